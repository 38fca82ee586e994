"""The commands as a user types them, interrupted and killed ones among them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.edits.tiny import but_record, ingest_tiny, select_tiny, write_tiny
from tests.faults.inject import Fault, fired, write_spec
from tests.helpers import hashes, sofdata


def test_select_prints_the_account_and_inspect_the_lineage(tiny: Path, tmp_path: Path) -> None:
    done = sofdata("select", tiny, tmp_path / "fast", "--where", "motion > 1.2")
    assert done.returncode == 0, done.stderr
    assert "not_selected" in done.stdout
    shown = sofdata("inspect", tmp_path / "fast", "--json")
    (step,) = json.loads(shown.stdout)["lineage"]
    assert step["command"] == f"sofdata select {tiny} NEW --where 'motion > 1.2'"
    again = sofdata("select", tiny, tmp_path / "fast", "--where", "motion > 1.2")
    assert "nothing to do" in again.stdout


def test_merge_append_and_split_from_the_command_line(tmp_path: Path) -> None:
    for name, numbers in (("one", range(4)), ("two", range(4, 8)), ("three", range(10, 13))):
        write_tiny(tmp_path / "v" / name, numbers)
    for name in ("one", "two"):
        ingest_tiny(tmp_path / "v" / name, tmp_path / name)
    merged = sofdata("merge", tmp_path / "one", tmp_path / "two", tmp_path / "both", "--json")
    assert json.loads(merged.stdout)["counts"]["videos"] == 8, merged.stderr
    source = tmp_path / "v" / "three"
    added = sofdata("append", source, tmp_path / "one", "--engine", "inline", "--json")
    assert json.loads(added.stdout)["counts"]["videos"] == 7, added.stderr
    split = sofdata("split", tmp_path / "one", "--share", "0.4")
    assert "files: 3 of 7 are held out" in split.stdout, split.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "{tiny}", "{new}", "--side", "test"], "--side is train or held_out"),
        (["select", "{tiny}", "{new}", "--side", "train"], "has no stored split"),
        (["select", "{tiny}", "{tiny}"], "which it is made of"),
        (["merge", "{tiny}", "{new}"], "merge takes two datasets or more"),
        (["split", "{new}"], "there is no dataset"),
        (["append", "{tiny}/../videos", "{new}"], "makes a dataset of a first corpus"),
    ],
)
def test_what_cannot_be_is_refused_with_a_line(
    tiny: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [each.format(tiny=tiny, new=tmp_path / "new") for each in arguments]
    before = hashes(tiny)
    done = sofdata(*given)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert hashes(tiny) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_command_that_is_stopped_midway_goes_on_to_the_same_bytes(
    tiny: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    select_tiny(tiny, tmp_path / "whole", "motion > 0.7")
    before = hashes(tiny)
    folder = tmp_path / "faults"
    faults = write_spec(folder, [Fault("commit: shard published", "rest", nth=3)])
    command = ("select", tiny, tmp_path / "cut", "--where", "motion > 0.7", "--engine", "inline")
    cut = subprocess.Popen(
        [sys.executable, "-m", "sofdata", *map(str, command)],
        env={**os.environ, "SOFDATA_FAULTS": faults},
        stderr=subprocess.DEVNULL,
    )
    while not fired(folder) and cut.poll() is None:
        time.sleep(0.05)
    cut.send_signal(stop)
    assert cut.wait() in (-stop, 130)
    assert sofdata(*command).returncode == 0
    assert but_record(tmp_path / "cut") == but_record(tmp_path / "whole")
    assert verify(Tree(str(tmp_path / "cut"))).whole
    assert hashes(tiny) == before
