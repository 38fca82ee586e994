"""Tasks without labels, labels from play, videos of another look: what may be read, and who takes
part."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.results.table import read_results
from sofdata.bench.study import stage_windows
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import cell_hash, cell_settings
from sofdata.bench.study.choice import DataBudget, labelled, unlearned
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.memory import MemoryWindows, read_windows
from sofdata.bench.study.run import WorkDone, plan, run
from sofdata.bench.study.stages import FORMAT, Trainer
from sofdata.bench.study.wanted import Cell, wanted_cells
from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from sofdata.errors import ConfigError
from sofdata.scenes.pushing import CAMERA, demonstrate, write_pushing_corpus
from sofdata.scenes.pushing_scene import ACTION_NAMES, FPS, STATE_NAMES, PushingScene
from sofdata.system.digests import json_digest
from sofdata.system.versions import __version__
from tests.bench.conftest import tiny
from tests.bench.test_run import lasting
from tests.helpers import sofdata

HELD_OUT = "push the disc to the left"
KINDS = ("skill", "planner", "lapa", "tracks", "decoder")
QUICK = tuple(f"{kind}.optim.steps=3" for kind in KINDS)
QUICK = (*QUICK, "clone_updates=3", "evaluation.max_steps=9", "evaluation.strips=0")
ARMS_OF_EVERY_STAGE = "arms=[bc, lapa, atm, sof-novideo, sof+mpc, sof+clone]"
FOLD = ("held_out=[push-left]", ARMS_OF_EVERY_STAGE, *QUICK)


def write_demos(folder: Path, spoiled: str = "", episodes: int = 15) -> None:
    """Demonstrations of every task in turn; those of the task with text `spoiled` are noise."""
    writer = LeRobotWriter(
        folder,
        fps=FPS,
        action_names=ACTION_NAMES,
        state_names=STATE_NAMES,
        robot_type="pushing scene",
        episodes_per_file=1,  # what is encoded of one must not depend on another
    )
    rng = np.random.default_rng(3)
    scene = PushingScene((1, 2))
    for number in range(episodes):
        made = demonstrate(scene, episode=number)
        frames, actions = made.frames, made.actions
        if made.task == spoiled:
            frames = rng.integers(0, 256, frames.shape).astype(np.uint8)
            actions = rng.normal(0, 99, actions.shape).astype(np.float32)
        writer.add(Episode({CAMERA: frames}, actions, made.task, made.states))
    writer.finish()


def write_record(path: Path, **more: Any) -> None:
    path.write_text(json.dumps({"suite": "pushing", "fps": FPS, "cpu_s": 1.0, **more}))


def collection(root: Path, videos: Path, spoiled: str = "") -> Path:
    """A collection with the videos of another one."""
    root.mkdir()
    (root / "videos").symlink_to(videos)
    write_demos(root / "demos", spoiled)
    write_record(root / "collect.json")
    return root


@pytest.fixture(scope="module")
def sound(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collection(tmp_path_factory.mktemp("sound") / "pushing", collected / "videos")


@pytest.fixture(scope="module")
def fold_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fold")


def test_no_demonstration_of_a_held_out_task_is_read_by_any_arm(
    sound: Path, fold_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, str]] = []

    def reading(url: str, sources: Sequence[str], *more: Any) -> MemoryWindows:
        windows = read_windows(url, sources, *more)
        ids = set(windows.batch.text_ids.tolist())
        read.extend((Path(url).name, windows.texts[index]) for index in ids)
        return windows

    monkeypatch.setattr(stage_windows, "read_windows", reading)
    paths = run(tiny(*FOLD), sound, fold_out, "test", workers=1)
    assert {text for part, text in read if part == "demos"} == {"push the disc to the right"}
    assert ("videos", HELD_OUT) in read
    for result in read_results(paths):
        assert result["cell"]["held_out"] == ["push-left"]
        assert list(result["success_by_task"]) == ["push-left"]
        assert {each["task"] for each in result["episodes"]} == {"push-left"}
    for split in fold_out.glob("models/*/*/split.json"):
        record = json.loads(split.read_text())
        used = {*record["train"].get("demos", []), *record["held_out"]}
        assert not used & sources_of(fold_out, HELD_OUT)


def sources_of(out: Path, text: str) -> set[str]:
    from sofdata.bench.study.data import sources_of as sources

    (folder,) = out.glob("data/*/demos")
    return set(sources(str(folder))[0][text])


def test_nothing_follows_from_what_demonstrations_of_a_held_out_task_show(
    sound: Path, fold_out: Path, tmp_path: Path
) -> None:
    spoiled = collection(tmp_path / "pushing", sound / "videos", HELD_OUT)
    made = run(tiny(*FOLD), sound, fold_out, "test", workers=1)
    again = run(tiny(*FOLD), spoiled, tmp_path / "out", "test", workers=1)
    for one, other in zip(made, again, strict=True):
        assert lasting(one) == lasting(other)
    # They serve the study alone, to tell how far the actions that it names are off.
    script = Path(__file__).parents[2] / "benchmarks" / "study" / "transfer.py"
    errors = runpy.run_path(str(script))["errors"]
    of_sound = errors(tiny(*FOLD), sound, fold_out)
    of_noise = errors(tiny(*FOLD), spoiled, tmp_path / "out")
    assert list(of_sound) == list(of_noise) == ["push-left"]
    assert of_noise["push-left"]["error"] > 10 * of_sound["push-left"]["error"] > 0


@pytest.mark.parametrize("name", [name for name in ARMS if name != "bc-50"])
def test_no_arm_is_given_demonstrations_of_a_held_out_task(name: str, data: BenchData) -> None:
    config = tiny("curve=[]", f"arms=[{name}]")
    tasks = find_suite("pushing").tasks
    (cell,) = wanted_cells(config, "test", [("push-left", "carry")])
    texts = tuple(task.text for task in tasks)
    budget = cell.budget(tasks)
    barred = {source for task in cell.tried(tasks) for source in data.sources["demos"][task.text]}
    assert len(barred) == 6
    given = labelled(data, texts, budget)
    left = unlearned(data, texts, budget)
    assert len(given.sources) == 3
    assert not barred & {*given.sources, *left.sources}


def test_an_episode_that_also_shows_a_held_out_task_is_left_out(data: BenchData) -> None:
    first, second = "push the disc to the left", "push the disc to the right"
    both = data.sources["demos"][first][0]
    sources = {second: (both, "b"), first: (both,)}
    mixed = replace(data, sources=data.sources | {"demos": sources})
    budget = DataBudget(2, 0, 0, withheld=(first,))
    assert labelled(mixed, (first, second), budget).sources == ["b"]


def of_six_videos(out: Path, kind: str) -> int:
    """How many stages of a kind were trained on all six videos."""
    splits = [json.loads(path.read_text()) for path in out.glob(f"models/*/{kind}/split.json")]
    return sum(len(split["train"].get("videos", [])) == 6 for split in splits)


def test_what_learns_from_videos_is_trained_once_for_all_folds(sound: Path, fold_out: Path) -> None:
    more = ("reference_arms=[bc]", "try_labelled=true")
    config = tiny("arms=[bc, sof]", "folds=2", *more, *QUICK)
    made: list[WorkDone] = []
    paths = run(config, sound, fold_out, "test", workers=1, follow=made.append)
    results = read_results(paths)
    folds = [(each["cell"]["arm"], each["cell"].get("held_out")) for each in results]
    assert folds == [
        ("bc", ["push-left"]),
        ("sof", ["push-left"]),
        ("bc", ["push-right"]),
        ("sof", ["push-right"]),
        ("bc", None),
    ]
    assert of_six_videos(fold_out, "skill") == 1
    # Another test of this folder has latent actions, and a prior for them.
    assert of_six_videos(fold_out, "planner") == 1 + of_six_videos(fold_out, "lapa")
    assert list(results[0]["labelled"]["success_by_task"]) == ["push-right"]
    assert "labelled" not in results[4]
    assert list(results[4]["success_by_task"]) == ["push-left", "push-right"]
    assert "sof, K=1, seed 0, 3 videos, without labels of push-right" in [one.what for one in made]
    errors = {each["cell"]["arm"]: each["chunk_error"] for each in results[:2]}
    assert errors["bc"] > 0


def test_shared_work_of_folds_is_planned_once() -> None:
    config = tiny("arms=[sof, lapa]", "reference_arms=[sof]")
    cells = wanted_cells(config, "validation", [("push-left",), ("push-right",)])
    works = plan(cells)
    assert [work.what for work in works if work.prepares] == [
        "skills of 3 videos, seed 0, without demonstrations",
        "latent actions of 3 videos, seed 0, without demonstrations",
        "skills of 3 videos, seed 0",
    ]
    assert len(works) == 3 + 5


def test_where_demonstrations_show_no_goal_the_ends_of_videos_do(
    sound: Path, fold_out: Path
) -> None:
    config, suite = tiny(), find_suite("pushing")
    data = prepare_data(config, suite.fps, sound, fold_out)
    texts = (HELD_OUT, "push the disc to the right")
    trainer = Trainer(config, data, texts, fold_out)
    budget = DataBudget(1, 3, 0, withheld=(HELD_OUT,))
    demos, videos = trainer.windows.with_goals(budget)
    assert {demos.texts[index] for index in demos.batch.text_ids.tolist()} == {texts[1]}
    assert {videos.texts[index] for index in videos.batch.text_ids.tolist()} == {HELD_OUT}
    assert len({key.rpartition("-")[0] for key in videos.batch.keys}) == 3
    (only,) = trainer.windows.with_goals(DataBudget(1, 3, 0))
    assert len(set(only.batch.text_ids.tolist())) == 2


def test_cells_from_before_keep_their_hash_and_their_json() -> None:
    config = tiny()
    cell = Cell("pushing", "sof", 1, 0, 3, "validation")
    before = {
        "suite": "pushing",
        "arm": "sof",
        "demos": 1,
        "seed": 0,
        "videos": 3,
        "purpose": "validation",
    }
    assert cell.identity() == before
    parts = [FORMAT, __version__, before, cell_settings(cell, config), "data", ("a",)]
    assert cell_hash(cell, config, "data", ("a",)) == json_digest(parts, 24)


def test_every_protocol_has_cells_of_its_own() -> None:
    config = tiny("arms=[sof]")
    (plain,) = wanted_cells(config, "test")
    (fold,) = wanted_cells(config, "test", [("push-left",)])
    (look,) = wanted_cells(config, "test", look="other")
    (play,) = wanted_cells(tiny("arms=[sof]", "labels=play", "play_minutes=3"), "test")
    assert fold.identity() == plain.identity() | {"held_out": ["push-left"]}
    assert look.identity() == plain.identity() | {"look": "other"}
    assert play.identity() == plain.identity() | {"demos": 0, "labels": "play", "play_minutes": 3}
    hashes = {cell_hash(cell, config, "data", ("a",)) for cell in (plain, fold, look, play)}
    assert len(hashes) == 4


def test_a_protocol_is_no_hyper_parameter() -> None:
    plain = tiny("curve=[]")
    assert chosen_hash(plain) == chosen_hash(tiny("folds=auto", "try_labelled=true"))
    play = tiny("labels=play", "play_minutes=3", "arms=[sof]")
    assert chosen_hash(plain) == chosen_hash(play)
    assert chosen_hash(plain) == chosen_hash(tiny("videos_from=elsewhere"))


def with_play(root: Path, sound: Path) -> Path:
    """A collection with half a minute of what stands for play, and no demonstration."""
    root.mkdir()
    (root / "videos").symlink_to(sound / "videos")
    write_demos(root / "play", episodes=26)
    write_record(root / "collect.json")
    write_record(root / "play.json")
    return root


def test_with_labels_from_play_tasks_come_from_videos_alone(sound: Path, tmp_path: Path) -> None:
    root = with_play(tmp_path / "pushing", sound)
    arms = "arms=[sof+mpc, lapa+clone]"
    config = tiny("labels=play", "play_minutes=1", arms, *QUICK)
    paths = run(config, root, tmp_path / "out", "test", workers=1)
    results = read_results(paths)
    assert [result["cell"]["demos"] for result in results] == [0] * 2
    assert {result["cell"]["play_minutes"] for result in results} == {1}
    assert all(list(result["success_by_task"]) == ["push-left", "push-right"] for result in results)
    assert [result["chunk_error"] for result in results] == [None] * 2
    assert run(config, root, tmp_path / "out", "test", workers=1) == paths
    splits = [json.loads(p.read_text()) for p in tmp_path.glob("out/models/*/*/split.json")]
    assert all("demos" not in split["train"] for split in splits)
    assert any("play" in split["train"] for split in splits)


def test_too_little_play_is_noticed_before_any_work(sound: Path, tmp_path: Path) -> None:
    root = with_play(tmp_path / "pushing", sound)
    config = tiny("labels=play", "play_minutes=99", "arms=[sof]")
    with pytest.raises(ConfigError, match=r"99 minutes of play are wanted, and .* has 1"):
        run(config, root, tmp_path / "out", "test", workers=1)
    with pytest.raises(ConfigError, match="bench collect --play MINUTES"):
        run(config, sound, tmp_path / "out", "test", workers=1)


def test_play_is_chosen_by_the_training_seed_until_it_lasts_long_enough() -> None:
    lengths = {f"{number}": 25.0 for number in range(10)}
    data = BenchData("", {"play": "there"}, {}, {}, play_s=lengths)
    chosen = data.choose_play(1, seed=0)
    assert len(chosen) == 3
    assert data.choose_play(2, seed=0)[:3] == chosen
    assert not set(data.held_out_play(1, seed=0)) & set(chosen)
    assert len(data.held_out_play(1, seed=0)) == 4
    assert data.choose_play(1, seed=1) != chosen


def test_arms_that_learn_the_task_from_labels_do_not_play() -> None:
    without = {name for name, arm in ARMS.items() if not arm.plays}
    assert without == {"bc", "bc+encoder", "bc+compute", "sof-novideo", "bc-50"}


def test_videos_of_another_look_take_the_place_of_the_others(sound: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "pushing"
    write_pushing_corpus(other / "videos", 20, seed=8)
    write_record(other / "collect.json", config={"look": "other"})
    config = tiny("arms=[bc, sof]", f"videos_from={other}", *QUICK)
    made: list[WorkDone] = []
    bc, sof = run(config, sound, tmp_path / "out", "test", workers=1, follow=made.append)
    for path in (bc, sof):
        assert json.loads(path.read_text())["cell"]["look"] == "other"
    assert made[-1].what == "sof, K=1, seed 0, 3 videos, videos of other look"
    plain = run(tiny("arms=[bc, sof]", *QUICK), sound, tmp_path / "out", "test", workers=1)
    assert not {bc, sof} & set(plain)
    assert len(list(tmp_path.glob("out/data/*/videos"))) == 2
    assert len(list(tmp_path.glob("out/data/*/demos"))) == 1


def test_a_collection_of_another_suite_has_no_videos_to_give(sound: Path, tmp_path: Path) -> None:
    config = tiny("arms=[sof]", f"videos_from={tmp_path}")
    write_record(tmp_path / "collect.json", suite="scene")
    with pytest.raises(ConfigError, match="collected in the suite scene"):
        run(config, sound, tmp_path / "out", "test", workers=1)


PROTOCOL = {"held_out", "folds", "reference_arms", "labels", "play_minutes", "videos_from"}
WANTED = {"arms", "more_arms", "curve", "curve_arms", "demos", "counted"}


@pytest.mark.parametrize(
    ("preset", "base", "more"),
    [
        ("transfer", "standard", {"skill_task", "naming", "decoder"}),
        ("scene-transfer", "scene", {"skill_task", "naming", "decoder", "finetune_updates"}),
        ("play", "standard", {"skill_task", "naming"}),
        ("look", "standard", set[str]()),
    ],
)
def test_a_preset_differs_from_its_base_in_the_protocol_and_in_what_its_arms_learn_from(
    preset: str, base: str, more: set[str]
) -> None:
    ours, theirs = load_bench_config(preset), load_bench_config(base)
    differing = {
        name for name in BenchConfig.model_fields if getattr(ours, name) != getattr(theirs, name)
    }
    assert differing <= PROTOCOL | WANTED | more
    assert ours.naming == theirs.naming.model_copy(update={"told": ours.naming.told})
    assert differing & PROTOCOL
    model = ours.decoder.model.model_copy(update={"task": theirs.decoder.model.task})
    assert ours.decoder.model_copy(update={"model": model}) == theirs.decoder


def test_the_command_names_the_task_that_was_meant(sound: Path, tmp_path: Path) -> None:
    done = sofdata(
        *("bench", "run", "--data", str(sound), "--out", str(tmp_path), "--preset", "smoke"),
        *("--held-out", "push-left,push-rihgt", "--validation"),
    )
    assert done.returncode != 0
    said = re.sub(r"\s+", " ", done.stderr)
    assert "no task 'push-rihgt' takes part" in said
    assert "did you mean 'push-right'?" in said
