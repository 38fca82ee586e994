"""`flow.keep`: what is kept beside the windows, committed and checked with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, load_config, stored_config
from sofdata.ingest.engines.decoders import InProcess
from sofdata.ingest.estimate.estimate import Estimate, estimate
from sofdata.ingest.mode import Mode
from sofdata.ingest.pipeline import DecodedVideo
from sofdata.ingest.repair import repair
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from sofdata.system import fault_points as faults
from sofdata.video.ranges import Source
from tests.edits.rewound import COMPACT, FAST, ingested, shard_files, write_kinds
from tests.helpers import hashes

UNITS = "units.min_units=2"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kinds(tmp_path_factory.mktemp("kinds") / "videos")


@pytest.fixture(scope="module")
def kept(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with kept flow. Tests must not write to it."""
    return ingested(source, tmp_path_factory.mktemp("kept") / "dest", *COMPACT, UNITS)


def run(source: Path, dest: Path, mode: Mode = Mode.RESUME, engine: str = "inline") -> None:
    settings = [f"run.engine={engine}", "run.workers=2", *FAST, *COMPACT, UNITS]
    prepared = prepare(
        Tree(str(source)), Tree(str(dest)), load_config(None, settings), "auto", mode=mode
    )
    if not prepared.complete:
        execute(prepared, lambda event: None)


def test_windows_are_those_of_an_ingest_that_keeps_nothing(
    source: Path, kept: Path, tmp_path: Path
) -> None:
    plain = ingested(source, tmp_path / "plain", UNITS)
    contents = [
        [path.read_bytes() for path in shard_files(each, ["shards"])] for each in (plain, kept)
    ]
    assert contents[0] == contents[1]
    assert not (plain / "flow").exists()


def test_what_is_kept_is_accounted_for(kept: Path) -> None:
    dataset = read_dataset(Tree(str(kept)))
    assert dataset is not None
    assert dataset.kept is not None
    files = shard_files(kept, ["flow"])
    assert dataset.kept.shards == len(files)
    assert dataset.kept.bytes == sum(path.stat().st_size for path in files)
    assert dataset.kept.videos == 5  # of seven, one is empty and one is no video
    covered_s = 3 * 3.9 + 2 + 1.9
    assert dataset.kept.bytes_per_video_s == pytest.approx(dataset.kept.bytes / covered_s, rel=0.1)
    assert verify(Tree(str(kept))).whole


def test_a_dataset_that_keeps_nothing_says_nothing_of_it(source: Path, tmp_path: Path) -> None:
    plain = ingested(source, tmp_path / "plain")
    assert "kept" not in json.loads((plain / "dataset.json").read_text())
    assert "keep" not in json.loads((plain / "dataset.json").read_text())["config"]["flow"]
    for path in plain.glob("ledger/*.json"):
        assert "kept" not in json.loads(path.read_text())


def test_worker_processes_keep_the_same_bytes(source: Path, kept: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "many", engine="processes")
    assert hashes(tmp_path / "many") == hashes(kept)


def test_an_update_takes_over_what_is_kept_and_ends_as_a_fresh_ingest(
    source: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = Path(shutil.copytree(source, tmp_path / "videos"))
    dest = Path(shutil.copytree(kept, tmp_path / "dest"))
    shutil.copyfile(videos / "cut.mp4", videos / "another.mp4")
    (videos / "gap.mp4").unlink()
    opened: list[str] = []
    whole = InProcess.__call__

    def opening(decoder: InProcess, path: Source, *rest: Any) -> DecodedVideo:
        opened.append(Path(str(path)).name)
        return whole(decoder, path, *rest)

    monkeypatch.setattr(InProcess, "__call__", opening)
    run(videos, dest, Mode.UPDATE)
    assert "moves.mp4" not in opened
    monkeypatch.undo()
    run(videos, tmp_path / "fresh")
    assert hashes(dest) == hashes(tmp_path / "fresh")
    assert verify(Tree(str(dest))).whole


def _break(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_break, Path.unlink])
def test_damaged_flow_is_found_and_made_again_to_the_same_bytes(
    damage: Callable[[Path], None], source: Path, kept: Path, tmp_path: Path
) -> None:
    dest = Path(shutil.copytree(kept, tmp_path / "dest"))
    shard = shard_files(dest, ["flow"])[0]
    damage(shard)
    verdict = verify(Tree(str(dest)))
    assert {finding.where for finding in verdict.findings} == {f"flow/{shard.name}"}
    repair(Tree(str(dest)), verdict)
    run(source, dest)
    assert hashes(dest) == hashes(kept)
    assert verify(Tree(str(dest))).whole


def test_a_file_in_flow_that_no_record_names_is_a_finding(kept: Path, tmp_path: Path) -> None:
    dest = Path(shutil.copytree(kept, tmp_path / "dest"))
    (dest / "flow" / "flow-00000000-0000-00000000.tar").write_bytes(b"left over")
    verdict = verify(Tree(str(dest)))
    assert [finding.what for finding in verdict.findings] == ["no ledger record names this file"]
    repair(Tree(str(dest)), verdict)
    assert verify(Tree(str(dest))).whole


class Stop(Exception):
    """Ends a run at a step, as a kill would."""


@pytest.mark.parametrize("step", ["commit: shard published", "commit: record written"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_stopped_at_a_commit_it_goes_on_to_the_same_bytes(
    step: str, times: int, source: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [times]

    def reached(name: str) -> None:
        left[0] -= name == step
        if name == step and not left[0]:
            raise Stop

    monkeypatch.setattr(faults, "_inject", reached)
    try:
        run(source, tmp_path / "dest")
    except Stop:
        monkeypatch.undo()
        run(source, tmp_path / "dest")
    assert hashes(tmp_path / "dest") == hashes(kept)


def test_an_estimate_counts_what_is_kept(source: Path, tmp_path: Path) -> None:
    def bytes_of(*settings: str) -> float:
        config = load_config(None, ["run.engine=inline", *FAST, *settings])
        trees = Tree(str(source)), Tree(str(tmp_path / "nowhere"))
        found = estimate(prepare(*trees, config, "auto", dry_run=True), 20, 0, 0.0)
        assert isinstance(found, Estimate)
        return found.bytes.value

    assert bytes_of(*COMPACT) > 1.5 * bytes_of()


def test_another_way_to_keep_flow_is_another_configuration(source: Path, kept: Path) -> None:
    config = load_config(None, ["run.engine=inline", *FAST, UNITS])
    with pytest.raises(
        ConfigError, match=r"flow\.keep is False, there True.*--set flow\.keep=true"
    ):
        prepare(Tree(str(source)), Tree(str(kept)), config, "auto", dry_run=True)


def test_keys_of_keeping_decide_nothing_where_nothing_is_kept() -> None:
    plain, named = IngestConfig(), load_config(None, ["flow.kept.codec=float32"])
    assert plain.digest() == named.digest()
    keeping = load_config(None, ["flow.keep=true", "flow.kept.codec=float32"])
    assert keeping.digest() != plain.digest()
    assert stored_config(keeping.content()).flow.kept.codec == "float32"
    assert stored_config(plain.content()).flow.keep is False


def test_flow_is_not_kept_larger_than_it_is_estimated() -> None:
    with pytest.raises(ConfigError, match=r"flow\.kept\.size is 256 .* larger than flow\.size 128"):
        load_config(None, ["flow.keep=true", "flow.kept.size=256"])
