"""Fuzzing what reads datasets: each mutation ends in success, a finding or an error of ours.

    python -m tests.faults.strangers --trials 2000 --state FOLDER

Prints a table and exits with 1 unless nothing escaped, hung, or took more than 1 GiB.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from sofdata.errors import SofdataError
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from tests.faults.lies import KINDS, mutate
from tests.helpers import ingest
from tests.lerobots import write_grey

MOST_RSS_MIB = 1024
MOST_S = 60
GUARD_BYTES = 16 << 30  # of address space beyond what there is, for the machine's sake
SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
SMALL = (*SETTINGS, "units.max_videos=2", "units.min_units=1")
ANY = ("windows.static_px=0", "windows.min_texture=0", "with_actions=true", "codec.name=float16")


@dataclass
class Trial:
    """What one mutation brought: how each command ended, and what was wrong."""

    number: int
    what: str
    ends: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    rss_mib: int = 0
    wall_s: float = 0.0


def write_datasets(folder: Path) -> list[Path]:
    """Two small datasets to alter: q8 with a video that is none, float16 with actions."""
    (folder / "source").mkdir(parents=True)
    for number in range(4):
        write_clip(folder / "source" / f"{number}.webm", number, seconds=2.0)
    (folder / "source" / "bad.mp4").write_bytes(b"x" * 1000)
    ingest(folder / "source", folder / "q8", *SMALL)
    write_grey(folder / "robot")
    ingest(folder / "robot", folder / "float16", *SMALL, *ANY)
    return [folder / "q8", folder / "float16"]


# The commands, as `sofdata` calls them


def _verify(folder: Path) -> str:
    from sofdata.ingest.verify import verify
    from sofdata.report.summary import print_verdict, verdict_summary

    verify(Tree(str(folder)), fast=True)
    verdict = verify(Tree(str(folder)))
    print_verdict(_console(), verdict)
    json.dumps(verdict_summary(verdict))
    return "whole" if verdict.whole else "findings"


def _inspect(folder: Path) -> str:
    from sofdata.cli.app import _dataset
    from sofdata.report.inspect import draw_sheet
    from sofdata.report.summary import inspect_summary, print_dataset

    dataset = _dataset(Tree(str(folder)))
    draw_sheet(Tree(str(folder)), 2, None, str(folder / "sheet.png"))
    print_dataset(_console(), dataset, str(folder))
    json.dumps(inspect_summary(dataset))
    return "done"


def _report(folder: Path) -> str:
    from sofdata.cli.app import _dataset
    from sofdata.report.dataset import write_report

    write_report(Tree(str(folder)), _dataset(Tree(str(folder))), 2, str(folder / "page.html"))
    return "done"


def _load(folder: Path) -> str:
    from sofdata.loading.loader import Loader

    loader = Loader(str(folder), batch_size=4, shuffle=True, seed=1)
    for number, _ in enumerate(loader):
        if number == 2:
            break
    json.dumps(loader.statistics)
    return "done"


def _console() -> Console:
    return Console(file=io.StringIO(), width=160)


COMMANDS: dict[str, Callable[[Path], str]] = {
    "verify": _verify,
    "inspect": _inspect,
    "report": _report,
    "load": _load,
}


def judge(folder: Path, number: int, what: str) -> Trial:
    """Run the commands on an altered dataset in a process of its own, and judge how they end."""
    trial = Trial(number, what)
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            _in_child(folder, out.fileno(), err.fileno())
        _, status, usage = os.wait4(child, 0)
        trial.wall_s = round(time.monotonic() - began, 2)
        trial.rss_mib = usage.ru_maxrss >> 10
        out.seek(0)
        for line in out.read().decode().splitlines():
            told = json.loads(line)
            trial.ends[told["command"]] = told["end"]
            if told["escaped"]:
                trial.wrong.append(f"{told['command']}: {told['escaped']}")
        err.seek(0)
        shown = err.read()
        if "Traceback" in shown:
            trial.wrong.append(f"stderr: {shown[-3000:]}")
    if status:
        which = next((name for name in COMMANDS if name not in trial.ends), "at its end")
        how = os.waitstatus_to_exitcode(status)
        trial.ends[which] = "hung" if how == -signal.SIGALRM else f"died of {-how}"
        trial.wrong.append(f"{which}: {trial.ends[which]}")
    if trial.rss_mib > MOST_RSS_MIB:
        trial.wrong.append(f"it took {trial.rss_mib} MiB")
    return trial


def _in_child(folder: Path, out: int, err: int) -> None:
    os.dup2(err, 1)
    os.dup2(err, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + GUARD_BYTES, resource.RLIM_INFINITY))
    stream = os.fdopen(2, "w", closefd=False)
    with redirect_stdout(stream), redirect_stderr(stream):
        for name, command in COMMANDS.items():
            signal.alarm(MOST_S)  # whose signal ends the process
            told = {"command": name, "escaped": ""}
            try:
                told["end"] = command(folder)
            except SofdataError as error:
                told["end"] = type(error).__name__
                if len(str(error)) > 5000:
                    told["escaped"] = f"a message of {len(str(error))} characters"
            except BaseException as error:  # noqa: BLE001 - what escapes is what is looked for
                told["end"] = f"escaped: {type(error).__name__}"
                told["escaped"] = traceback.format_exc()[-3000:]
            os.write(out, (json.dumps(told) + "\n").encode())
    stream.flush()
    os._exit(0)


def attempt(datasets: list[Path], work: Path, seed: int, number: int) -> Trial:
    """Alter a copy of one of the datasets, and judge."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(datasets[number // len(KINDS) % len(datasets)], work)
    return judge(work, number, _altered(work, seed, number))


def _altered(work: Path, seed: int, number: int) -> str:
    """Alter in a process of its own, whose memory would count for those that are judged."""
    with tempfile.TemporaryFile() as out:
        child = os.fork()
        if child == 0:
            try:
                told = mutate(work, seed, number)
            except BaseException:  # noqa: BLE001 - shown by the other process
                told = traceback.format_exc()
            os.write(out.fileno(), told.encode())
            os._exit(0)
        os.waitpid(child, 0)
        out.seek(0)
        told = out.read().decode()
    if "Traceback" in told:
        raise RuntimeError(told)
    return told


def preload(datasets: list[Path]) -> None:
    """Load all modules, so that forked processes need not."""
    import torch

    torch.set_num_threads(1)
    for dataset in datasets:
        with redirect_stdout(io.StringIO()):
            for name in ("inspect", "report"):
                work = dataset.with_name("sound")
                shutil.rmtree(work, ignore_errors=True)
                shutil.copytree(dataset, work)
                COMMANDS[name](work)
    COMMANDS["verify"](datasets[0])
    import webdataset  # noqa: F401

    import sofdata.loading.loader  # noqa: F401

    gc.freeze()  # else each process would copy all objects as it counts references to them


def table(trials: Iterable[Trial]) -> str:
    """How the commands ended, by kind of mutation, as Markdown."""
    kinds: dict[str, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(trial.what.partition(":")[0], []).append(trial)
    everything = [trial for found in kinds.values() for trial in found]
    heads = ("altered", "trials", *(f"{name}: ended / error or finding" for name in COMMANDS))
    heads += ("escaped, hung or died", "most MiB", "longest, s")
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for kind, found in {**kinds, "**all**": everything}.items():
        cells: list[object] = [kind, len(found)]
        for name in COMMANDS:
            ends = Counter(trial.ends.get(name, "") in ("whole", "done") for trial in found)
            cells.append(f"{ends[True]} / {ends[False]}")
        cells += [sum(bool(trial.wrong) for trial in found)]
        cells += [max(trial.rss_mib for trial in found), max(trial.wall_s for trial in found)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Run the fuzz from the command line."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("build/strangers"))
    asked = parser.parse_args()
    shutil.rmtree(asked.state, ignore_errors=True)
    datasets = write_datasets(asked.state)
    preload(datasets)
    trials = []
    for number in range(asked.first, asked.first + asked.trials):
        trials.append(attempt(datasets, asked.state / "work", asked.seed, number))
        for wrong in trials[-1].wrong:
            print(f"{number} {trials[-1].what}: {wrong}", file=sys.stderr, flush=True)
    print(table(trials))
    return int(any(trial.wrong for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
