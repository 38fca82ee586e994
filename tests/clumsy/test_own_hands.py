"""Weeks of finished work in the user's own hands: wrong folders, lost files, half of everything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sofdata.errors import ConfigError, InputError, StorageError, WorseError
from sofdata.ingest import plan
from sofdata.ingest.config import UnitConfig
from sofdata.ingest.inputs import PlannedVideos
from sofdata.ingest.mode import Mode
from sofdata.ingest.repair import repair
from sofdata.ingest.units import Cut, unit_id
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.system import fault_points as faults
from tests.helpers import hashes
from tests.ingest.cutting import cut
from tests.ingest.test_generation import clip, fresh, look, run, unreadable
from tests.ingest.test_units import config, video


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(6):
        clip(folder / f"{number}.mp4", number)
    return folder


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("made") / "dest"
    run(films, dest)
    return dest


@pytest.fixture
def source(films: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(films, tmp_path / "source"))


@pytest.fixture
def dest(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "dest"))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    for number in range(2):
        clip(tmp_path / "other" / f"{number}.mp4", 50 + number)
    return tmp_path / "other"


class Stop(Exception):
    """Ends a run at a step, as a kill would."""


Stopped = Callable[..., None]


@pytest.fixture
def stopped(source: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """Run an ingest until a step is reached."""

    def stop(step: str, **options: Any) -> None:
        def reached(name: str) -> None:
            if name == step:
                raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(faults, "_inject", reached)
            with pytest.raises(Stop):
                run(source, dest, **options)

    return stop


def damage_a_shard(dest: Path) -> None:
    shard = min((dest / "shards").glob("*.tar"))
    shard.write_bytes(b"x" + shard.read_bytes()[1:])


def mend(dest: Path) -> list[str]:
    return repair(Tree(str(dest)), verify(Tree(str(dest))))


@pytest.mark.parametrize("mode", [Mode.RESUME, Mode.UPDATE])
def test_a_wrong_source_is_refused_though_the_plan_that_tells_so_is_lost(
    mode: Mode, dest: Path, other: Path
) -> None:
    (dest / "plan.parquet").unlink()
    before = hashes(dest)
    with pytest.raises(ConfigError, match=r"lost its plan.* 6 of the 6 videos"):
        run(other, dest, mode=mode)
    assert hashes(dest) == before
    run(other, dest, mode=Mode.UPDATE | Mode.FORCE)
    assert verify(Tree(str(dest))).whole


def test_a_lost_plan_is_made_anew_and_every_unit_kept(source: Path, dest: Path, made: Path) -> None:
    (dest / "plan.parquet").unlink()
    assert run(source, dest).units_run == 0
    assert hashes(dest) == hashes(made)


def test_an_update_after_the_loss_of_the_plan_keeps_what_has_not_changed(
    source: Path, dest: Path, tmp_path: Path
) -> None:
    (dest / "plan.parquet").unlink()
    (source / "3.mp4").unlink()
    with pytest.raises(ConfigError, match="1 of the 6 videos"):
        run(source, dest)
    assert run(source, dest, mode=Mode.UPDATE).frames == 0
    assert hashes(dest) == fresh(source, tmp_path)


def test_a_lost_dataset_json_is_written_anew_and_every_unit_kept(
    source: Path, dest: Path, made: Path
) -> None:
    (dest / "dataset.json").unlink()
    with pytest.raises(ConfigError, match="the same ingest writes it again"):
        verify(Tree(str(dest)))
    assert run(source, dest).units_run == 0
    assert hashes(dest) == hashes(made)


def test_a_damaged_dataset_json_says_that_it_may_be_removed(source: Path, dest: Path) -> None:
    (dest / "dataset.json").write_text("{")
    with pytest.raises(ConfigError, match=r"remove it: the same ingest writes it again"):
        run(source, dest)


def test_units_whose_dataset_json_is_lost_are_not_mixed_with_another_configuration(
    source: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dest / "dataset.json").unlink()
    before = hashes(dest)
    monkeypatch.setattr("tests.ingest.test_generation.FAST", ("run.engine=inline", "flow.size=64"))
    with pytest.raises(ConfigError, match="made with another configuration"):
        run(source, dest)
    assert hashes(dest) == before


def test_units_whose_dataset_json_is_lost_are_not_mixed_with_other_libraries_unasked(
    source: Path, dest: Path, made: Path
) -> None:
    (dest / "dataset.json").unlink()
    for path in (dest / "ledger").iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"libraries": "0" * 16}))
    with pytest.raises(ConfigError, match="other libraries"):
        run(source, dest)
    assert run(source, dest, other_libraries=True).units_run == 0
    assert verify(Tree(str(dest))).whole


def test_a_folder_of_other_files_is_still_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "ledger").mkdir(parents=True)
    (tmp_path / "mine" / "ledger" / "2024.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds other files"):
        run(source, tmp_path / "mine")


@pytest.mark.parametrize("kind", ["update", "resume"])
def test_an_ingest_does_not_end_well_while_a_shard_is_missing_that_was_done_before(
    kind: str, source: Path, dest: Path, tmp_path: Path
) -> None:
    wanted = (source / "new.mp4", 77)
    if kind == "update":
        clip(*wanted)
        # Of a unit that the update leaves as it is.
        kept = {unit.id for unit in look(source, dest, dry_run=True, mode=Mode.UPDATE).plan.units}
        name = next(p for p in (dest / "shards").glob("*.tar") if p.name.split("-")[2] in kept)
    else:
        data = json.loads((dest / "dataset.json").read_text()) | {"complete": False}
        (dest / "dataset.json").write_text(json.dumps(data))
        name = min((dest / "shards").glob("*.tar"))
    name.unlink()
    with pytest.raises(StorageError, match=r"lacks 1 shards .*--repair"):
        run(source, dest, mode=Mode.of(update=kind == "update"))
    mend(dest)
    run(source, dest)
    assert hashes(dest) == fresh(source, tmp_path)


@pytest.mark.parametrize("kind", ["dangling", "empty"])
def test_an_update_is_refused_where_videos_are_there_but_none_to_be_used(
    kind: str, source: Path, dest: Path, tmp_path: Path
) -> None:
    """More than half are whole, so that the source is the right one: but not its disk."""
    before = hashes(dest)
    (source / "1.mp4").unlink()
    if kind == "dangling":
        (source / "1.mp4").symlink_to("/not/mounted/1.mp4")
    else:
        (source / "1.mp4").touch()
    with pytest.raises(ConfigError, match=r"1 of the 6 videos .*cannot be used.*1\.mp4.*--yes"):
        run(source, dest, mode=Mode.UPDATE)
    assert hashes(dest) == before
    run(source, dest, mode=Mode.UPDATE | Mode.FORCE)
    assert hashes(dest) == fresh(source, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root enters every folder")
def test_an_update_is_refused_where_a_folder_cannot_be_entered_any_more(
    films: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(films, source / "a")
    clip(source / "b" / "x.mp4", 60)
    run(source, tmp_path / "dest")
    (source / "b").chmod(0)
    try:
        with pytest.raises(ConfigError, match=r"b/x\.mp4 \(unreadable_folder\)"):
            run(source, tmp_path / "dest", mode=Mode.UPDATE)
    finally:
        (source / "b").chmod(0o755)


@pytest.mark.parametrize("step", ["stage: begun", "stage: plan saved"])
def test_what_a_repair_has_queued_is_not_forgotten_by_an_update_that_is_killed(
    step: str, source: Path, dest: Path, stopped: Stopped, tmp_path: Path
) -> None:
    damage_a_shard(dest)
    mend(dest)
    clip(source / "new.mp4", 77)
    stopped(step, mode=Mode.UPDATE)
    run(source, dest, mode=Mode.UPDATE)
    assert verify(Tree(str(dest))).whole
    assert hashes(dest) == fresh(source, tmp_path)


@pytest.mark.parametrize("name", ["plan.parquet", "dataset.json"])
def test_a_repair_of_an_update_that_lost_its_plan_keeps_the_units_that_it_has_made(
    name: str, source: Path, dest: Path, stopped: Stopped, tmp_path: Path
) -> None:
    clip(source / "new.mp4", 77)
    stopped("finish: tables made", mode=Mode.UPDATE)
    (dest / "next" / name).write_text("damaged")
    with pytest.raises(InputError, match="--repair"):
        run(source, dest)
    assert "kept" in mend(dest)[-1]
    assert verify(Tree(str(dest))).whole
    assert run(source, dest, mode=Mode.UPDATE).units_run == 0
    assert hashes(dest) == fresh(source, tmp_path)


def test_what_is_worse_than_a_damaged_result_is_taken_where_the_user_says_so(
    source: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_a_shard(dest)
    mend(dest)
    for number in range(6):
        unreadable(monkeypatch, f"{number}.mp4")
    with pytest.raises(WorseError, match="--yes"):
        run(source, dest)
    assert run(source, dest, mode=Mode.FORCE).dataset.counts.quarantined
    assert verify(Tree(str(dest))).whole


def test_a_retry_that_goes_worse_keeps_what_is_whole_even_with_yes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "d"
    unreadable(monkeypatch, "5.mp4")
    run(source, dest)
    before = hashes(dest)
    for number in range(6):
        unreadable(monkeypatch, f"{number}.mp4")
    run(source, dest, mode=Mode.RETRY | Mode.FORCE)
    assert hashes(dest) == before


@pytest.mark.parametrize("mode", [Mode.RESUME, Mode.UPDATE, Mode.RETRY])
def test_a_dry_run_writes_nothing_even_in_the_middle_of_an_update(
    mode: Mode, source: Path, dest: Path, stopped: Stopped
) -> None:
    clip(source / "new.mp4", 77)
    stopped("finish: tables made", mode=Mode.UPDATE)
    before = {path: path.stat().st_mtime_ns for path in dest.rglob("*")}
    look(source, dest, dry_run=True, mode=mode)
    assert {path: path.stat().st_mtime_ns for path in dest.rglob("*")} == before


def in_order(table: pa.Table, config: UnitConfig, config_sha256: str) -> Cut:
    """Units as they were cut before they went by hash: three after each other."""
    rows = np.arange(len(table))
    groups = [rows[start : start + 3] for start in range(0, len(table), 3)]
    ids = [unit_id(PlannedVideos(table, group), config_sha256) for group in groups]
    starts = np.cumsum([0, *map(len, groups)])
    return Cut(ids, list(range(len(ids))), rows, starts)


@pytest.fixture
def cut_in_order(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of an older version: its units hold other videos, its records hold less."""
    dest = tmp_path / "in-order"
    with monkeypatch.context() as patch:
        patch.setattr(plan, "cut", in_order)
        patch.setattr(
            "sofdata.shards.commit.shard_name",
            lambda number, unit, _: f"sof-{number:06}-{unit}.tar",
        )
        run(source, dest)
    for path in (dest / "ledger").iterdir():
        record = json.loads(path.read_text())
        for ended in record["videos"]:
            del ended["inputs"]
        path.write_text(json.dumps(record))
    return dest


@pytest.mark.parametrize("lost", [(), ("plan.parquet",), ("plan.parquet", "dataset.json")])
def test_an_update_of_a_dataset_that_was_cut_otherwise_computes_what_is_new_only(
    lost: tuple[str, ...], source: Path, cut_in_order: Path, tmp_path: Path
) -> None:
    for name in lost:
        (cut_in_order / name).unlink()
    clip(source / "new.mp4", 77)
    assert run(source, cut_in_order, mode=Mode.UPDATE).taken_over == 6
    assert hashes(cut_in_order) == fresh(source, tmp_path)


def test_a_dataset_that_was_cut_otherwise_is_repaired_as_it_is(
    source: Path, cut_in_order: Path
) -> None:
    damage_a_shard(cut_in_order)
    mend(cut_in_order)
    assert run(source, cut_in_order).units_run == 1
    assert verify(Tree(str(cut_in_order))).whole


def test_spans_of_a_file_that_is_larger_than_a_unit_stay_together() -> None:
    spans = [video(f"film-{at}", size=1 << 40, file="film.mp4") for at in range(1000)]
    found = cut([*spans, video("b", size=1 << 40)], config("units.max_videos=64"))
    assert len(found) < 1000 / 64 * 3
    assert all(len({each.uri for each in unit.videos}) == 1 for unit in found)
