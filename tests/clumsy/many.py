"""Runs many commands of the command line, each in a fork of one process that has imported all.

A command alone costs a second or more, most of it imports. Read from standard input: a JSON list
of lists of words; written: [exit code, standard output and error] of each.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
from importlib import import_module

LIMIT_S = 60.0
HEAVY = (
    "cv2",
    "sofdata.audit.run",
    "sofdata.bench.study.run",
    "sofdata.dedup.find",
    "sofdata.edits.rewindow",
    "sofdata.export.run",
    "sofdata.ingest.run",
    "sofdata.train.encode",
    "sofdata.report.benchmark",
    "sofdata.report.dataset",
    "sofdata.report.inspect",
    "sofdata.train.progress",
    "sofdata.train.run",
    "sofdata.view.movie",
)


def main() -> None:
    import torch

    for module in HEAVY:
        import_module(module)
    torch.set_num_threads(1)
    gc.freeze()  # what forks share stays shared
    gc.disable()
    results = [_run(words) for words in json.load(sys.stdin)]
    json.dump(results, sys.stdout)


def _run(words: list[str]) -> list[object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _become(words, out.fileno(), err.fileno())
        code = _wait(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return [code, *texts]


def _become(words: list[str], out: int, err: int) -> None:
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = ["sofdata", *(os.fsdecode(word.encode("latin-1")) for word in words)]
    from sofdata.cli import app as cli

    vars(cli)["allow"] = lambda: None  # no process beside this one: it ends here
    code = 99
    try:
        cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int) -> int:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    main()
