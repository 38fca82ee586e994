"""What replaces finished work is written beside it: updates, retries, repairs and their limits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sofdata import load
from sofdata.errors import ConfigError, WorseError
from sofdata.ingest.config import load_config
from sofdata.ingest.mode import Mode
from sofdata.ingest.repair import repair
from sofdata.ingest.run import Prepared, Summary, execute, prepare
from sofdata.ingest.verify import verify
from sofdata.scenes import moving_texture, write_video
from sofdata.storage.folder import Where
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.system import fault_points as faults
from tests.helpers import hashes

FAST = ("run.engine=inline", "units.min_units=2", "flow.size=32", "windows.min_texture=0")


def look(source: Path, dest: Path, **options: Any) -> Prepared:
    return prepare(Tree(str(source)), Tree(str(dest)), load_config(None, FAST), "auto", **options)


def run(source: Path, dest: Path, **options: Any) -> Summary:
    return execute(look(source, dest, **options), lambda event: None)


def clip(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_texture(2.0, 1.0, 14, (48, 48), seed), 10)


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


def fresh(source: Path, tmp_path: Path) -> dict[str, str]:
    run(source, tmp_path / "fresh")
    return hashes(tmp_path / "fresh")


class Stop(Exception):
    """Ends a run at a step, as a kill would."""


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Stop at the n-th step from now; returns the steps that were reached."""

    def arm(number: int) -> list[str]:
        steps: list[str] = []

        def step(name: str) -> None:
            steps.append(name)
            if len(steps) == number:
                raise Stop(name)

        monkeypatch.setattr(faults, "_inject", step)
        return steps

    return arm


def test_until_an_update_is_in_place_the_old_dataset_is_complete_and_loads(
    source: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(dest)
    clip(source / "new.mp4", 77)
    (source / "3.mp4").unlink()
    update_stopped_at("finish: tables made", source, dest, monkeypatch)
    assert keys(dest) == before
    assert verify(Tree(str(dest))).whole
    assert look(source, dest).waiting == (), "all units of the next one are committed"
    run(source, dest)  # without --update: this source is what the next one was planned from
    assert not (dest / "next").exists()
    films = {key.split("-")[0] for key in keys(dest)}
    assert "new" in films
    assert "3" not in films


def test_an_update_that_is_given_up_for_another_keeps_what_both_have(
    source: Path, dest: Path, tmp_path: Path
) -> None:
    clip(source / "new.mp4", 77)
    look(source, dest, mode=Mode.UPDATE)
    (source / "3.mp4").unlink()
    with pytest.raises(ConfigError, match="1 gone"):
        look(source, dest)
    run(source, dest, mode=Mode.UPDATE)
    assert hashes(dest) == fresh(source, tmp_path)


def test_an_update_that_is_taken_back_leaves_what_there_was(
    source: Path, dest: Path, made: Path
) -> None:
    clip(source / "new.mp4", 77)
    look(source, dest, mode=Mode.UPDATE)
    (source / "new.mp4").unlink()
    run(source, dest, mode=Mode.UPDATE)
    assert hashes(dest) == hashes(made)


def test_the_wrong_source_is_refused_and_names_both_figures(
    dest: Path, made: Path, tmp_path: Path
) -> None:
    clip(tmp_path / "other" / "a.mp4", 50)
    clip(tmp_path / "other" / "b.mp4", 51)
    with pytest.raises(ConfigError, match=r"0 of the 6 videos .* and 2 others.*--yes"):
        look(tmp_path / "other", dest, mode=Mode.UPDATE)
    assert hashes(dest) == hashes(made)
    run(tmp_path / "other", dest, mode=Mode.UPDATE | Mode.FORCE)
    assert hashes(dest) == fresh(tmp_path / "other", tmp_path)


def test_a_source_whose_files_have_the_same_names_and_other_content_is_refused_too(
    dest: Path, tmp_path: Path
) -> None:
    for number in range(6):
        clip(tmp_path / "other" / f"{number}.mp4", 100 + number)
    with pytest.raises(ConfigError, match="0 of the 6 videos"):
        look(tmp_path / "other", dest, mode=Mode.UPDATE)


def test_a_retry_computes_only_what_was_quarantined(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        unreadable(patch, "5.mp4")
        run(source, tmp_path / "d")
    summary = run(source, tmp_path / "d", mode=Mode.RETRY)
    assert summary.units_run == 1
    assert summary.taken_over == videos_beside("5.mp4", tmp_path / "d")
    assert hashes(tmp_path / "d") == fresh(source, tmp_path)


def test_a_retry_of_what_still_fails_loses_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable(monkeypatch, "5.mp4")
    run(source, tmp_path / "d")
    before = hashes(tmp_path / "d")
    for number in range(6):
        unreadable(monkeypatch, f"{number}.mp4")
    run(source, tmp_path / "d", mode=Mode.RETRY)
    assert hashes(tmp_path / "d") == before


def test_a_damaged_unit_whose_videos_cannot_be_read_any_more_is_kept_and_named(
    source: Path, dest: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = min((dest / "shards").glob("*.tar"))
    shard.write_bytes(b"x" + shard.read_bytes()[1:])
    damaged = hashes(dest)
    tree = Tree(str(dest))
    repair(tree, verify(tree))
    with monkeypatch.context() as patch:
        for number in range(6):
            unreadable(patch, f"{number}.mp4")
        with pytest.raises(WorseError, match=r"was done .* now it is quarantined"):
            run(source, dest)
    assert {name: sha for name, sha in hashes(dest).items() if "next/" not in name} == damaged
    run(source, dest)
    assert hashes(dest) == hashes(made)


def test_what_was_planned_is_what_is_run(source: Path, dest: Path) -> None:
    clip(source / "new.mp4", 77)
    prepared = look(source, dest, mode=Mode.UPDATE)
    clip(source / "another.mp4", 78)
    look(source, dest, mode=Mode.UPDATE)
    with pytest.raises(ConfigError, match="planned again"):
        execute(prepared, lambda event: None)


def test_what_another_driver_has_done_since_is_not_done_again(source: Path, dest: Path) -> None:
    clip(source / "new.mp4", 77)
    prepared = look(source, dest, mode=Mode.UPDATE)
    units = len(prepared.waiting)
    assert execute(look(source, dest), lambda event: None).units_run == units
    with pytest.raises(ConfigError, match="completed by another command"):
        execute(prepared, lambda event: None)


def test_a_repair_in_the_middle_of_an_update_is_part_of_it(
    source: Path, dest: Path, tmp_path: Path
) -> None:
    clip(source / "new.mp4", 77)
    look(source, dest, mode=Mode.UPDATE)
    for shard in (dest / "shards").glob("*.tar"):
        shard.write_bytes(b"x" + shard.read_bytes()[1:])
    tree = Tree(str(dest))
    repair(tree, verify(tree))
    run(source, dest)
    assert hashes(dest) == fresh(source, tmp_path)


@pytest.mark.parametrize("name", ["dataset.json", "plan.parquet", "again.json", "ledger"])
def test_damage_to_an_update_under_way_is_found_and_mended(
    name: str, source: Path, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(source / "new.mp4", 77)
    update_stopped_at("finish: tables made", source, dest, monkeypatch)
    assert "is under way" in verify(Tree(str(dest))).notes[0]
    path = dest / "next" / name
    path = next(path.iterdir()) if path.is_dir() else path
    path.write_bytes(b"damaged")
    verdict = verify(Tree(str(dest)))
    places = {finding.where.split("/")[0] for finding in verdict.findings}
    assert places == ({"next", "shards"} if name == "ledger" else {"next"})
    repair(Tree(str(dest)), verdict)
    assert verify(Tree(str(dest))).whole
    run(source, dest, mode=Mode.UPDATE)
    assert hashes(dest) == fresh(source, tmp_path)


def update_stopped_at(step: str, source: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Update, and end at a step as a kill would."""

    def reached(name: str) -> None:
        if name == step:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(faults, "_inject", reached)
        with pytest.raises(Stop):
            run(source, dest, mode=Mode.UPDATE)


def keys(dest: Path) -> list[str]:
    return [key for batch in load(str(dest), batch_size=1, shuffle=False) for key in batch.keys]


def videos_beside(name: str, dest: Path) -> int:
    """How many other videos have the unit of this one."""
    for path in dest.glob("ledger/*.json"):
        videos = [video["id"] for video in json.loads(path.read_text())["videos"]]
        if name in videos:
            return len(videos) - 1
    raise AssertionError(name)


@pytest.mark.parametrize("kind", ["update", "retry", "repair"])
def test_stopped_at_any_step_it_goes_on_and_ends_as_a_fresh_ingest(
    kind: str,
    films: Path,
    made: Path,
    tmp_path: Path,
    stop_at: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Path(shutil.copytree(films, tmp_path / "source"))
    origin = tmp_path / "origin"
    mode = Mode.RESUME
    if kind == "retry":
        wanted = fresh(source, tmp_path)
        with monkeypatch.context() as patch:
            unreadable(patch, "5.mp4")
            run(source, origin)
        mode = Mode.RETRY
    else:
        shutil.copytree(made, origin)
        if kind == "update":
            clip(source / "new.mp4", 77)
            (source / "3.mp4").unlink()
            mode = Mode.UPDATE
        else:
            shard = min((origin / "shards").glob("*.tar"))
            shard.write_bytes(b"x" + shard.read_bytes()[1:])
        wanted = fresh(source, tmp_path)

    def work(dest: Path) -> None:
        if kind == "repair" and not (verdict := verify(Tree(str(dest)))).whole:
            repair(Tree(str(dest)), verdict)
        prepared = look(source, dest, mode=mode)
        if not prepared.complete:
            execute(prepared, lambda event: None)

    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(origin, undisturbed)
    steps = stop_at(-1)
    work(undisturbed)
    assert hashes(undisturbed) == wanted
    first_and_last = {name: number for number, name in reversed([*enumerate(steps, 1)])}
    first_and_last |= {f"{name} again": number for number, name in enumerate(steps, 1)}
    for number in sorted(set(first_and_last.values())):
        dest = tmp_path / f"at-{number}"
        shutil.copytree(origin, dest)
        stop_at(number)
        with pytest.raises(Stop):
            work(dest)
        assert committed_videos(dest) >= committed_videos(origin) - {"3.mp4"}, steps[number - 1]
        stop_at(-1)
        work(dest)
        assert hashes(dest) == wanted, steps[number - 1]
        shutil.rmtree(dest)


def committed_videos(dest: Path) -> set[str]:
    """Videos that are done in any record whose shard is there."""
    found = set()
    for path in [*dest.glob("ledger/*.json"), *dest.glob("next/*/*.json")]:
        record = json.loads(path.read_text())
        if record["shard"] and (dest / "shards" / record["shard"]["name"]).exists():
            found |= {video["id"] for video in record["videos"] if video["status"] == "done"}
    return found


def unreadable(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let a file fail to be read, for whatever user."""
    whole = Tree.local_copy

    def fail(tree: Tree, where: Where, size_bytes: int | None = None) -> object:
        if where == Location(name):
            raise PermissionError(13, "Permission denied", name)
        return whole(tree, where, size_bytes)

    patch.setattr(Tree, "local_copy", fail)


def test_an_update_in_a_store_ends_as_a_fresh_ingest_and_leaves_nothing(
    source: Path, tmp_path: Path
) -> None:
    def at(name: str, **options: Any) -> Summary:
        config = load_config(None, FAST)
        prepared = prepare(Tree(str(source)), Tree(f"memory://{name}"), config, "auto", **options)
        return execute(prepared, lambda event: None)

    name = tmp_path.name
    at(f"{name}-old")
    clip(source / "new.mp4", 77)
    (source / "3.mp4").unlink()
    assert at(f"{name}-old", mode=Mode.UPDATE).taken_over
    at(f"{name}-new")
    old, new = Tree(f"memory://{name}-old"), Tree(f"memory://{name}-new")
    assert verify(old).whole
    files = [item.rel for item in new.walk() if not item.rel.startswith("runs/")]
    assert [item.rel for item in old.walk() if not item.rel.startswith("runs/")] == files
    assert all(old.read(rel) == new.read(rel) for rel in files)


def test_a_shard_that_is_lost_while_an_update_takes_its_place_is_made_again(
    source: Path, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(source / "new.mp4", 77)
    before = {path.name for path in (dest / "shards").glob("*.tar")}
    update_stopped_at("finish: record in place", source, dest, monkeypatch)
    for path in (dest / "shards").glob("*.tar"):
        if path.name not in before:
            path.unlink()
    tree = Tree(str(dest))
    repair(tree, verify(tree))
    run(source, dest)
    assert hashes(dest) == fresh(source, tmp_path)
