"""The command line: quick help, clear errors, exit codes, plain and JSON output."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from tests.helpers import sofdata

HEAVY = {"numpy", "ray", "torch", "cv2", "av", "decord", "pyarrow", "pydantic", "fsspec"}


def test_help_imports_nothing_heavy() -> None:
    """The half second that help may take is kept by what it does not import."""
    code = (
        "import sys; from sofdata.cli.app import app; from typer.main import get_command\n"
        "get_command(app); import rich.console\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_the_commands_and_the_exit_codes() -> None:
    done = sofdata("--help")
    assert done.returncode == 0
    for word in ("ingest", "verify", "train", "encode", "flows", "corpora", "demo", "Exit codes"):
        assert word in done.stdout


def test_wrong_usage_exits_with_2_and_says_what_to_try(tmp_path: Path, corpus: Path) -> None:
    cases = {
        "did you mean 'flow.step_s'": ["--set", "flow.steps_s=1"],
        "needs the form key=value": ["--set", "flow.step_s"],
        "did you mean 'ssv2'": ["--corpus", "ssv3"],
        "cannot read recipe": ["--recipe", "nowhere.yaml"],
    }
    for message, arguments in cases.items():
        done = sofdata("ingest", corpus, tmp_path / "d", *arguments)
        assert done.returncode == 2, (message, done.stderr)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = sofdata("ingest", tmp_path / "nowhere", tmp_path / "d")
    assert done.returncode == 2
    assert "nothing at" in done.stderr
    assert not (tmp_path / "d").exists()


def test_verify_and_inspect_refuse_what_is_no_dataset(tmp_path: Path) -> None:
    for command in ("verify", "inspect"):
        done = sofdata(command, tmp_path)
        assert done.returncode == 2
        assert "no dataset of sofdata" in done.stderr


def test_output_without_a_terminal_is_plain_and_json_is_parsable(
    corpus: Path, tmp_path: Path
) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d", "--engine", "inline", "--json")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["counts"]["videos"] == 9
    assert summary["run"]["frames"] > 0
    again = json.loads(sofdata("ingest", corpus, tmp_path / "d", "--json").stdout)
    assert again["nothing_to_do"] is True
    verdict = json.loads(sofdata("verify", tmp_path / "d", "--json").stdout)
    assert verdict["whole"] is True


def test_ingest_again_does_nothing_and_says_so(corpus: Path, dataset: Path) -> None:
    before = time.monotonic()
    done = sofdata("ingest", corpus, dataset)
    assert done.returncode == 0
    assert "nothing to do" in done.stderr
    assert time.monotonic() - before < 30  # and starts no workers


def test_a_damaged_dataset_fails_verify_with_3(corpus: Path, tmp_path: Path) -> None:
    sofdata("ingest", corpus, tmp_path / "d", "--engine", "inline")
    shard = next((tmp_path / "d" / "shards").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    done = sofdata("verify", tmp_path / "d")
    assert done.returncode == 3
    assert shard.name in done.stdout
    assert "sha256" in done.stdout


def test_inspect_draws_a_sheet(dataset: Path, tmp_path: Path) -> None:
    done = sofdata("inspect", dataset, "--sheet", tmp_path / "sheet.png", "--rows", "3")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[1] > 3 * 100
    missing = sofdata("inspect", dataset, "--video", "nothing", "--sheet", tmp_path / "no.png")
    assert missing.returncode == 2
    assert "no window of video 'nothing'" in missing.stderr


def test_corpora_and_flows_list_what_there_is() -> None:
    rows = {row["name"]: row for row in _json("corpora")}
    assert {"ssv2", "folder"} <= set(rows)
    none = {"packages": [], "missing": [], "install": "", "only_with_actions": False}
    assert rows["folder"]["needs"] == none
    flows = {row["name"]: row["runs_here"] for row in _json("flows")}
    assert flows["dis"] is True
    assert flows["farneback"] is True


def _json(command: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(sofdata(command, "--json").stdout)
    return rows
