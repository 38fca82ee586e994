"""What a command says to what it cannot use: one clear line, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
from typer.main import get_command

from sofdata.cli import ending
from sofdata.cli.app import app
from sofdata.cli.ending import print_end, words_for
from sofdata.errors import ConfigError, ContractError, StorageError
from sofdata.scenes import write_ssv2_corpus
from tests.helpers import ingest, sofdata

# {P} is the odd place, CLIPS a corpus, DATASET one of ours, NEW a place where nothing is.
COMMANDS = """
ingest {P} NEW --engine inline --quiet
ingest CLIPS {P} --dry-run
ingest CLIPS NEW --dry-run --recipe {P}
verify {P}
verify {P} --repair
audit {P}
audit DATASET --source {P}
inspect {P} --sheet NEW
inspect DATASET --sheet {P}
report {P} --out NEW
report DATASET --out {P}
replay {P} x
replay DATASET 10001 --source {P}
trims {P}
trims DATASET --out {P}
select {P} NEW --where "motion>0"
select DATASET {P} --where "motion>0"
merge {P} DATASET NEW
merge DATASET DATASET {P}
append {P} DATASET
append CLIPS {P}
split {P}
split DATASET --list {P}
rewindow {P} NEW --set windows.length=4
rewindow DATASET {P} --set windows.length=4
dedup {P}
dedup DATASET {P}
view {P} --no-open
view DATASET --source {P}/below --no-open
movie {P} 10001 NEW.mp4
movie DATASET 10001 {P}
movie DATASET 10001 NEW.mp4 --source {P}
export {P} NEW --to hf
export DATASET {P} --to lerobot
train skill --data {P} --out NEW
train planner --data DATASET --out {P}
train decoder --demos {P} --out NEW
train skill --data DATASET --out NEW --recipe {P}
encode {P} --model NEW
encode DATASET --model {P}
bench collect {P}/below --suite nowhere
bench run --data {P} --out NEW --preset smoke --workers 1
bench run --data NEW --preset {P}
bench freeze --out {P}
bench report {P}
bench table {P}
bench table {P} --into NEW
bench export --out {P} --into NEW
""".strip().splitlines()
ROOT = Path(__file__).parents[2]
WITHOUT_PLACES = {"flows", "corpora", "recipes", "demo"}  # demo: would do everything


def _missing(path: Path) -> str:
    return str(path)


def _file(path: Path) -> str:
    path.write_text("hello\n")
    return str(path)


def _empty(path: Path) -> str:
    path.mkdir()
    return str(path)


def _device(path: Path) -> str:
    return os.devnull


def _below_a_file(path: Path) -> str:
    return f"{_file(path)}/x"


def _another_dataset(path: Path) -> str:
    path.mkdir()
    for name in ("dataset.json", "collect.json", "results.json"):
        (path / name).write_text('{"name": "squad", "complete": true}')
    return str(path)


def _folders_for_files(path: Path) -> str:
    for name in ("dataset.json", "collect.json", "plan.parquet", "index.parquet"):
        (path / name).mkdir(parents=True)
    return str(path)


def _broken(path: Path) -> str:
    for name in ("dataset.json", "collect.json", "cells/a.json", "skill/model.pt"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text('{"a')
    (path / "skill" / "done.json").write_text("[1]")
    return str(path)


def _too_long(path: Path) -> str:
    return f"{path}{'x' * 300}"


def _loop(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


def _no_unicode(path: Path) -> str:
    return f"{path}\xff"  # one byte, as `many` passes it on


def _unwritable(path: Path) -> str:
    return "/proc/nowhere/x"


def _unknown_scheme(path: Path) -> str:
    return "nope://x/y"


def _nothing(path: Path) -> str:
    return ""


Odd = Callable[[Path], str]
ALWAYS: tuple[Odd, ...] = (_missing, _file, _another_dataset, _folders_for_files, _broken)
IN_TURN: tuple[Odd, ...] = (  # three for each command
    _empty,
    _device,
    _below_a_file,
    _too_long,
    _loop,
    _no_unicode,
    _unwritable,
    _unknown_scheme,
    _nothing,
)
Answer = tuple[str, int, str, str]  # of which odd place, exit code, standard output and error


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Answer]]:
    """What every command says to every odd place."""
    root = tmp_path_factory.mktemp("odd")
    write_ssv2_corpus(root / "clips", videos=2, seconds=2.0)
    ingest(root / "clips", root / "dataset")
    turn = cycle(IN_TURN)
    asked = [(command, odd) for command in COMMANDS for odd in (*ALWAYS, *islice(turn, 3))]
    lines = []
    for number, (command, odd) in enumerate(asked):
        place = odd(root / f"{number}")
        new = root / f"n{number}"
        known = {"CLIPS": root / "clips", "DATASET": root / "dataset", "NEW": new}
        known["NEW.mp4"] = new.with_suffix(".mp4")
        words = [str(known.get(word, word)) for word in command.split()]
        lines.append([word.replace("{P}", place) for word in words])
    here = root / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.clumsy.many"],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert not list(here.iterdir())  # what was given no place wrote nowhere
    found: dict[str, list[Answer]] = {}
    for (command, odd), (code, out, err) in zip(asked, json.loads(done.stdout), strict=True):
        found.setdefault(command, []).append((odd.__name__, code, out, err))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_an_odd_place_is_answered_with_one_clear_line(
    command: str, answers: dict[str, list[Answer]]
) -> None:
    for odd, code, out, err in answers[command]:
        message = f"{command} | {odd}: {code}\n{err}"
        assert code in (0, 1, 2, 3), message
        for word in ("Traceback", "unexpected error", "bug in sofdata", "shows whether"):
            assert word not in err, message
        lines = [line for line in err.splitlines() if line.startswith("sofdata: ")]
        assert len(lines) == 1 or code == 0 or "Invalid value" in err or (code == 1 and out), (
            message
        )
        assert "\\x" not in err or odd == "_no_unicode", message


def test_every_command_is_tried() -> None:
    def named(group: object, prefix: str = "") -> set[str]:
        inner = getattr(group, "commands", None)
        if inner is None:
            return {prefix.strip()}
        return set().union(*(named(each, f"{prefix} {name}") for name, each in inner.items()))

    tried = {name for name in named(get_command(app)) for line in COMMANDS if line.startswith(name)}
    assert named(get_command(app)) - tried == WITHOUT_PLACES


def test_a_reader_that_leaves_changes_nothing(dataset: Path) -> None:
    words = f"{sys.executable} -m sofdata verify {dataset} --json"
    done = subprocess.run(
        ["bash", "-c", f"{words} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        for words in (["corpora"], ["corpora", "--json"], ["--help"]):
            done = subprocess.run(
                [sys.executable, "-m", "sofdata", *words],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert done.returncode == 3
            (line,) = done.stderr.splitlines()
            assert line.endswith(
                "what this command prints cannot be written: No space left on device"
            )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_get_nothing_and_nothing_else_gets_what_is_printed(
    closed: str, tmp_path: Path
) -> None:
    """A file that is opened next would else have the number of the closed stream."""
    words = f"{sys.executable} -m sofdata corpora {closed}; echo $?"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "TERM": ""},
        {"COLUMNS": "1", "TERM": "dumb"},
        {"COLUMNS": "0", "LINES": "0", "TERM": "unknown"},
    ],
)
def test_any_terminal_will_do(environment: dict[str, str], dataset: Path) -> None:
    for words in (["--help"], ["corpora"], ["verify", dataset], ["inspect", "/nowhere/…"]):
        done = sofdata(*words, env={**os.environ, **environment}, errors="replace")
        assert done.returncode == (2 if words[0] == "inspect" else 0), done.stderr
        assert "Traceback" not in done.stderr
        assert "UnicodeEncodeError" not in done.stderr


@pytest.mark.parametrize("device", ["cuda", "cuda:9", "mps", "xpu", "gpu", "", "cuda:-1"])
def test_a_device_that_is_not_there_is_refused_before_work(
    device: str, dataset: Path, tmp_path: Path
) -> None:
    import torch

    from sofdata.train.config import load_train_config
    from sofdata.train.stage import device_of

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("it is there")
    with pytest.raises(ConfigError, match=r"machine\.device is"):
        device_of(load_train_config(None, [f"machine.device={device}"]))


@pytest.mark.parametrize("seed", ["-1", str(2**63), str(2**64), "1e3", "x"])
def test_a_seed_that_cannot_be_used_is_refused(seed: str, tmp_path: Path) -> None:
    done = sofdata("audit", tmp_path, "--seed", seed)
    assert done.returncode == 2
    assert "--seed" in done.stderr


def test_a_training_that_diverges_says_so_and_keeps_its_checkpoints(
    dataset: Path, tmp_path: Path
) -> None:
    settings = ["optim.lr=1e9", "optim.warmup_steps=0", "data.batch_size=4", "data.loaders=0"]
    settings += ["run.checkpoint_every=1", "run.max_bad_steps=2", "model.width=32"]
    given = [word for each in settings for word in ("--set", f"skill.{each}")]
    words = ("train", "skill", "--data", dataset, "--out", tmp_path / "m", "--quiet", *given)
    done = sofdata(*words)
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("sofdata: ")]
    assert "training has diverged. Lower skill.optim.lr" in line
    assert list((tmp_path / "m" / "skill" / "checkpoints").iterdir())


def _failing(body: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command line with one more command, which fails in some way."""
    code = (
        "import sys\nfrom sofdata.cli.app import app, main\n@app.command()\ndef probe():\n"
        f"    {body}\nsys.argv = ['sofdata', 'probe', '--', *sys.argv[1:]][:2]\nmain()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('odd')", "RuntimeError: odd"),
        ("raise EOFError('ends early')", "EOFError: ends early"),
        ("raise MemoryError", "memory ran out"),
        ('raise RuntimeError("[enforce fail] can\'t allocate memory")', "memory ran out"),
        ("raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError"),
        ("def f(): f()\n    f()", "nested too deeply"),
        ("import nonexistent_package", "nonexistent_package is not installed"),
        ("import socket; socket.getaddrinfo('a.invalid', 80)", "on the network cannot be reached"),
        ("raise ConnectionRefusedError(111, 'refused')", "on the network cannot be reached"),
        ("'\\udcff'.encode()", "not Unicode"),
        ("from sofdata.errors import ContractError; raise ContractError('x')", "bug in sofdata"),
    ],
)
def test_an_unexpected_error_is_a_line_and_a_log(body: str, message: str, tmp_path: Path) -> None:
    done = _failing(body, {"XDG_STATE_HOME": str(tmp_path)})
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert message in line
    (log,) = (tmp_path / "sofdata").iterdir()
    assert str(log) in line
    assert log.stat().st_mode & 0o777 == 0o600
    kept = log.read_text()
    assert "Traceback" in kept
    assert "versions: sofdata" in kept


def test_a_log_holds_no_secrets(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "AWS_SECRET_ACCESS_KEY": "hushhush"}
    body = "raise RuntimeError('hushhush at s3://me:mine@bucket/x?sig=ab')"
    done = _failing(body, environment)
    (log,) = (tmp_path / "sofdata").iterdir()
    for text in (done.stderr, log.read_text().replace(body, "")):
        assert "s3://bucket/x" in text
        for secret in ("hushhush", "mine", "sig=ab"):
            assert secret not in text


def test_a_log_that_cannot_be_written_at_its_place_goes_elsewhere() -> None:
    done = _failing("raise RuntimeError('odd')", {"XDG_STATE_HOME": "/proc/nowhere"})
    path = Path(done.stderr.split()[-1])
    assert "Traceback" in path.read_text()
    path.unlink()


def test_only_so_many_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for number in range(ending.LOGS + 5):
        monkeypatch.setattr(ending, "_log", None)
        words_for(RuntimeError(str(number)))
    assert len(list((tmp_path / "sofdata").iterdir())) == ending.LOGS


def test_a_traceback_of_another_process_stays_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(ending, "_log", None)
    text = "training failed: ray::f()\nTraceback (most recent call last):\n  File x\nKeyError: 'a'"
    assert print_end(ContractError(text)) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sofdata: training failed: ray::f() ... KeyError: 'a'; this is a bug")


def test_verify_is_recommended_of_datasets_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "d" / "ledger" / "a.json", tmp_path / "other" / "a.json"
    for path in (inside, outside):
        path.parent.mkdir(parents=True)
    (tmp_path / "d" / "dataset.json").touch()
    hint = f"'sofdata verify {tmp_path / 'd'}' shows whether the dataset is whole"
    assert hint in words_for(OSError(28, "", str(inside)))
    assert "sofdata verify" not in words_for(OSError(28, "", str(outside)))
    assert "free some space there" in words_for(OSError(28, "", str(outside)))


def test_exit_codes_are_those_of_the_documentation() -> None:
    ends = {2: ConfigError("x"), 3: StorageError("x"), 130: KeyboardInterrupt()}
    assert {code: print_end(error) for code, error in ends.items()} == {2: 2, 3: 3, 130: 130}
