"""Collecting: successes only, no actions beside the videos, the same bytes however it is run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sofdata.bench.collect.collect import (
    PLAY_RECORD,
    RECORD,
    WORK,
    CollectProgress,
    collect,
)
from sofdata.bench.collect.config import CollectConfig
from sofdata.bench.collect.episodes import layout_hash, perform
from sofdata.bench.envs.base import Suite, Task
from sofdata.bench.envs.pushing import PushingSuite
from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.envs.seeds import purpose_of, seeds_for
from sofdata.cli.app import app
from sofdata.errors import ConfigError
from tests.helpers import can_draw, ingest

SMALL = {"suite": "pushing", "tasks": ["push-left", "carry"], "videos": 3, "demos": 2}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("collected")
    collect(CollectConfig.parse(SMALL), out, workers=1)
    return out / "pushing"


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name not in (RECORD, PLAY_RECORD)
    }


def record(folder: Path) -> dict[str, Any]:
    """The record of a collection, without measurements of time."""
    values = json.loads((folder / RECORD).read_text())
    return {key: value for key, value in values.items() if not key.endswith("_s")}


def test_videos_hold_pictures_alone_and_their_dataset_no_actions(
    collected: Path, tmp_path: Path
) -> None:
    import av
    import pyarrow.parquet as pq

    for path in collected.glob("videos/**/*.mp4"):
        with av.open(str(path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
    assert {path.suffix for path in (collected / "videos").rglob("*.*")} == {".mp4", ".json"}
    dataset = ingest(collected / "videos", tmp_path / "dataset").dataset
    assert dataset.counts.done == 6
    assert dataset.actions is None
    names: list[str] = []
    for shard in (tmp_path / "dataset" / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert names
    assert not [name for name in names if "action" in name]
    index = pq.read_table(tmp_path / "dataset" / "index.parquet")
    assert not [name for name in index.schema.names if "action" in name]
    assert set(index["text"].to_pylist()) == {
        task.text
        for task in tasks_of(PushingSuite(), SMALL["tasks"])  # type: ignore[arg-type]
    }


def test_demonstrations_become_windows_with_actions(collected: Path, tmp_path: Path) -> None:
    dataset = ingest(collected / "demos", tmp_path / "dataset", "with_actions=true").dataset
    assert dataset.counts.done == 4
    assert dataset.actions is not None
    assert tuple(dataset.actions.names) == PushingSuite().action_names


def test_demonstrations_hold_the_actions_that_were_taken(collected: Path) -> None:
    import pyarrow.parquet as pq

    suite = PushingSuite()
    task = tasks_of(suite, ["push-left"])[0]
    seed = record(collected)["demos"]["push-left"]["seeds"][0]
    made = perform(suite, suite.make(task, 128), task, seed, hold_steps=3)
    (path,) = (collected / "demos" / "data").rglob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    first = np.array([row["action"] for row in rows if row["episode_index"] == 0], np.float32)
    assert np.array_equal(first, made.actions)


def test_the_same_bytes_for_any_number_of_processes(collected: Path, tmp_path: Path) -> None:
    collect(CollectConfig.parse(SMALL), tmp_path, workers=2)
    assert contents(tmp_path / "pushing") == contents(collected)
    assert record(tmp_path / "pushing") == record(collected)


def wait_for_the_end_of_group(group: int, timeout_s: float = 30) -> None:
    """No worker outlives the command."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a worker went on after its command was killed")


def test_a_killed_collection_goes_on_to_the_same_bytes(collected: Path, tmp_path: Path) -> None:
    words = ["bench", "collect", str(tmp_path), "--suite", "pushing", "--workers", "2", "--quiet"]
    for key in ("tasks", "videos", "demos"):
        words += ["--set", f"{key}={json.dumps(SMALL[key])}"]
    command = [sys.executable, "-m", "sofdata", *words]
    running = subprocess.Popen(command, start_new_session=True)
    work = tmp_path / "pushing" / WORK
    while not len(list(work.rglob("[0-9]*.json"))) >= 3:
        assert running.poll() is None
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_for_the_end_of_group(running.pid)
    assert not (tmp_path / "pushing" / RECORD).exists()
    before = {path: path.stat().st_mtime_ns for path in work.rglob("[0-9]*.json")}
    kept: dict[Path, int] = {}

    def follow(progress: CollectProgress) -> None:
        kept.update({path: path.stat().st_mtime_ns for path in before})

    collect(CollectConfig.parse(SMALL), tmp_path, 1, follow)
    assert kept == before  # no attempt was made again
    assert contents(tmp_path / "pushing") == contents(collected)
    assert record(tmp_path / "pushing") == record(collected)


def test_what_is_collected_is_left_alone_and_other_settings_are_refused(collected: Path) -> None:
    before = contents(collected)
    found = collect(CollectConfig.parse(SMALL), collected.parent)
    assert found == json.loads((collected / RECORD).read_text())
    with pytest.raises(ConfigError, match="videos is 4, there 3"):
        collect(CollectConfig.parse({**SMALL, "videos": 4}), collected.parent)
    assert contents(collected) == before


def test_a_collection_from_before_a_task_was_collected_by_itself_is_not_taken_for_a_whole_one(
    collected: Path, tmp_path: Path
) -> None:
    record = json.loads((collected / RECORD).read_text())
    (tmp_path / "pushing").mkdir()
    gone, *left = record["texts"]
    record["texts"] = {name: record["texts"][name] for name in left}
    (tmp_path / "pushing" / RECORD).write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=f"was collected before {gone} were among .*{left[0]}"):
        collect(CollectConfig.parse(SMALL), tmp_path)


@pytest.mark.parametrize(
    ("suite_name", "task_name"), [("pushing", "carry"), ("metaworld", "door-open")]
)
def test_no_seed_and_no_layout_of_evaluation_was_collected(
    suite_name: str, task_name: str, tmp_path: Path
) -> None:
    if suite_name != "pushing":
        can_draw()
    values = {"suite": suite_name, "tasks": [task_name], "videos": 2, "demos": 2, "size": 32}
    found = collect(CollectConfig.parse(values), tmp_path, workers=1)
    suite = find_suite(suite_name)
    env = suite.make(tasks_of(suite, [task_name])[0], 32)
    parts = [found[part][task_name] for part in ("videos", "demos")]
    collected = {layout for part in parts for layout in part["layouts"]}
    seeds = {seed for part in parts for seed in part["seeds"]}
    assert len(collected) == len(seeds) == 4
    env.reset(min(seeds))
    assert layout_hash(env.layout()) in collected  # the hashes are of what reset gives
    for purpose in ("validation", "test"):
        for seed in seeds_for(purpose, 20):
            env.reset(seed)
            assert seed not in seeds
            assert layout_hash(env.layout()) not in collected
    env.close()


class Hasty(PushingSuite):
    """No expert succeeds in so few steps, except by chance."""

    tasks: tuple[Task, ...] = (Task("carry", "carry the disc to the square", 26, 2),)


def hasty(name: str) -> Suite:
    return Hasty()


def test_only_successes_are_kept_and_the_rate_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sofdata.bench.collect.collect.find_suite", hasty)
    values = {"suite": "pushing", "videos": 2, "demos": 0, "least_rate": 0.05}
    found = collect(CollectConfig.parse(values), tmp_path, workers=1)["videos"]["carry"]
    assert found["episodes"] == 2
    assert found["tried"] > 2
    assert found["rate"] == round(2 / found["tried"], 4)
    suite = Hasty()
    tried = seeds_for("videos", found["tried"])
    env = suite.make(suite.tasks[0], 128)
    good = [seed for seed in tried if perform(suite, env, suite.tasks[0], seed, 3).success]
    assert good == found["seeds"]


def test_an_expert_that_hardly_ever_succeeds_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sofdata.bench.collect.collect.find_suite", hasty)
    with pytest.raises(ConfigError, match=r"expert of 'carry' succeeded in \d+ of \d+ attempts"):
        collect(
            CollectConfig.parse({"suite": "pushing", "videos": 5, "least_rate": 0.9}), tmp_path, 1
        )
    assert not (tmp_path / "pushing" / RECORD).exists()


def test_no_part_of_a_collection_is_ever_half_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Interrupted while it assembles, it leaves no folder that an ingest could take for whole."""

    def broken(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("sofdata.bench.collect.collect.shutil.copyfile", broken)
        with pytest.raises(OSError, match="disk full"):
            collect(CollectConfig.parse(SMALL), tmp_path, workers=1)
    assert not (tmp_path / "pushing" / "videos").exists()
    collect(CollectConfig.parse(SMALL), tmp_path, workers=1)
    assert sorted(os.listdir(tmp_path / "pushing")) == [RECORD, "demos", "videos"]


def test_a_record_that_a_person_wrote_is_left_alone(tmp_path: Path) -> None:
    """As docs/benchmark.md asks for where a suite ships no experts."""
    (tmp_path / "pushing").mkdir()
    (tmp_path / "pushing" / RECORD).write_text('{"suite": "pushing", "fps": 10}')
    with pytest.raises(ConfigError, match="was not written by 'collect'"):
        collect(CollectConfig.parse(SMALL), tmp_path, workers=1)


PLAYING = {
    "suite": "pushing",
    "tasks": SMALL["tasks"],
    "play_minutes": 0.2,
    "play_s": 2.0,
    "size": 64,
}


def test_play_is_as_many_minutes_as_asked_for_spread_evenly_and_with_no_task(
    tmp_path: Path,
) -> None:
    import pyarrow.parquet as pq

    found = collect(CollectConfig.parse(PLAYING), tmp_path, workers=1)
    assert [found["play"][task]["episodes"] for task in PLAYING["tasks"]] == [3, 3]  # type: ignore[attr-defined]
    seeds = [seed for part in found["play"].values() for seed in part["seeds"]]
    assert {purpose_of(seed) for seed in seeds} == {"play"}
    folder = tmp_path / "pushing" / "play"
    (path,) = (folder / "data").rglob("*.parquet")
    assert pq.read_table(path).num_rows == 0.2 * 60 * PushingSuite.fps
    assert list(pq.read_table(folder / "meta/tasks.parquet").to_pandas().index) == ["play"]
    dataset = ingest(folder, tmp_path / "dataset", "with_actions=true").dataset
    assert dataset.actions is not None
    assert tuple(dataset.actions.names) == PushingSuite().action_names


def test_play_stands_beside_what_was_collected_and_changes_none_of_it(
    collected: Path, tmp_path: Path
) -> None:
    shutil.copytree(collected, tmp_path / "pushing")
    collect(CollectConfig.parse(PLAYING), tmp_path, workers=1)
    found = tmp_path / "pushing"
    assert sorted(os.listdir(found)) == [RECORD, "demos", "play", PLAY_RECORD, "videos"]
    assert (found / RECORD).read_bytes() == (collected / RECORD).read_bytes()
    assert collect(CollectConfig.parse(SMALL), tmp_path) == json.loads(
        (collected / RECORD).read_text()
    )
    with pytest.raises(ConfigError, match=r"play_s is 1\.0, there 2\.0"):
        collect(CollectConfig.parse({**PLAYING, "play_s": 1}), tmp_path)


def test_the_command_line_asks_for_play_by_its_minutes(tmp_path: Path) -> None:
    words = ["bench", "collect", str(tmp_path), "--suite", "pushing", "--play", "0.1", "--json"]
    given = ["--set", "size=32", "--set", "tasks=[push-up]", "--workers", "1", "--quiet"]
    done = CliRunner().invoke(app, [*words, *given])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["play"]["push-up"]["episodes"] == 2
    shown = CliRunner().invoke(app, [*words[:-1], *given])
    assert "play" in shown.stdout
    assert "expert succeeds" not in shown.stdout


def test_play_is_the_same_bytes_for_any_number_of_processes(tmp_path: Path) -> None:
    config = CollectConfig.parse(PLAYING)
    records = [collect(config, tmp_path / str(number), number) for number in (1, 2)]
    one, two = (tmp_path / str(number) / "pushing" for number in (1, 2))
    assert contents(one) == contents(two)
    assert records[0]["play"] == records[1]["play"]


def test_another_look_changes_pictures_and_nothing_else(collected: Path, tmp_path: Path) -> None:
    collect(CollectConfig.parse({**SMALL, "look": "other"}), tmp_path, workers=1)
    before, after = record(collected), record(tmp_path / "pushing")
    assert after["config"].pop("look") == "other"
    assert after["config"] == before["config"]
    for part in ("videos", "demos"):
        assert after[part] == before[part]  # the same seeds, layouts and steps
    old, new = contents(collected), contents(tmp_path / "pushing")
    assert old.keys() == new.keys()
    films = [name for name in old if name.endswith(".mp4")]
    assert all(old[name] != new[name] for name in films)
    (rows,) = [name for name in old if name.startswith("demos/data/")]
    assert old[rows] == new[rows]  # actions and states


def test_settings_that_change_nothing_leave_a_record_as_it_was_before_there_were_such() -> None:
    content = CollectConfig.parse(SMALL).content()
    assert list(content) == [
        *("suite", "tasks", "videos", "demos", "size", "hold_steps", "least_rate"),
    ]
    assert list(CollectConfig.parse({"play_minutes": 1}).content()) == [
        *("suite", "tasks", "size", "play_minutes", "play_s"),
    ]
    assert CollectConfig.parse({"retreat": "none"}).content()["retreat"] == "none"


class Plain:
    """A suite as others write it, with no variants and no play."""

    name, fps, tasks = "plain", 10.0, (Task("go", "go there", 10),)

    def check(self) -> None: ...


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"look": "other"}, "the suite plain comes in no variants"),
        ({"play_minutes": 1}, "nothing plays in the suite plain"),
    ],
)
def test_what_a_suite_does_not_have_is_refused_before_any_work(
    values: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sofdata.bench.collect.collect.find_suite", lambda name: Plain())
    with pytest.raises(ConfigError, match=message):
        collect(CollectConfig.parse({"suite": "pushing", **values}), tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_an_expert_that_never_retreats_cannot_be_asked_to_stop(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no expert of the suite pushing retreats at random"):
        collect(CollectConfig.parse({**SMALL, "retreat": "none"}), tmp_path, 1)
