"""A second camera that policies read: off by default, of demonstrations alone, matched exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from sofdata.bench.collect.collect import _of_attempts, collect
from sofdata.bench.collect.config import CollectConfig
from sofdata.bench.collect.episodes import perform
from sofdata.bench.envs.base import Task
from sofdata.bench.envs.pushing import PushingEnv, PushingSuite
from sofdata.bench.envs.registry import find_suite, second_camera
from sofdata.bench.results.table import read_results
from sofdata.bench.study.actor import Acted
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, cell_settings, reads_second, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import EvaluationConfig
from sofdata.bench.study.data import BenchData, SecondCamera, prepare_data
from sofdata.bench.study.evaluate import evaluate
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.memory import MemoryWindows, read_windows, small_frames
from sofdata.bench.study.run import run, texts_of
from sofdata.bench.study.second import with_second
from sofdata.bench.study.stage_settings import clone_stage, decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells
from sofdata.cli.app import app
from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.seen import SeenBatch
from sofdata.system.digests import json_digest
from tests.bench.conftest import tiny
from tests.helpers import ingest

SUITE = PushingSuite()
TASKS = ("push-left", "push-right")
SMALL = {"suite": "pushing", "tasks": TASKS, "videos": 3, "demos": 3, "size": 64}
BUDGET = DataBudget(demos=1, videos=3, seed=0)
SECOND = "decoder.model.second_camera=true"
FRONT, HAND = "observation.images.front", "observation.images.hand"
TEXTS = texts_of([task for task in SUITE.tasks if task.name in TASKS])
QUICK = ("skill.optim.steps=3", "planner.optim.steps=3", "decoder.optim.steps=3", "clone_updates=3")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected with one camera."""
    out = tmp_path_factory.mktemp("one")
    collect(CollectConfig.parse(SMALL), out, workers=1)
    return out / "pushing"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two."""
    out = tmp_path_factory.mktemp("two")
    collect(CollectConfig.parse({**SMALL, "second_camera": True}), out, workers=1)
    return out / "pushing"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark's folder."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def both(two: Path, made: Path) -> BenchData:
    return prepare_data(tiny(SECOND), SUITE.fps, two, made)


def record(folder: Path) -> dict[str, Any]:
    values = json.loads((folder / "collect.json").read_text())
    return {key: value for key, value in values.items() if not key.endswith("_s")}


# Collecting


def test_demonstrations_get_a_second_film_and_everything_else_keeps_its_bytes(
    one: Path, two: Path
) -> None:
    before, after = record(one), record(two)
    assert after.pop("cameras") == [FRONT, HAND]
    assert after["config"].pop("second_camera") is True
    assert after.pop("config_sha256") != before.pop("config_sha256")
    assert after == before
    films = f"demos/videos/{HAND}"
    old, new = (
        {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        for root in (one, two)
    )
    assert {name for name in new if name not in old} == {f"{films}/chunk-000/file-000.mp4"}
    described = {"collect.json", "demos/meta/info.json", "demos/meta/stats.json"}
    described.add("demos/meta/episodes/chunk-000/file-000.parquet")
    differing = {name for name in old if old[name].read_bytes() != new[name].read_bytes()}
    assert differing == described  # films of the first camera, rows, videos and labels are alike
    features = json.loads(new["demos/meta/info.json"].read_text())["features"]
    assert features[HAND] == features[FRONT]


def test_the_second_film_is_what_the_second_camera_showed(two: Path) -> None:
    import av

    task = SUITE.tasks[0]
    seed = record(two)["demos"][task.name]["seeds"][0]
    shown = perform(SUITE, SUITE.make(task, 64), task, seed, 3, second_camera=True)
    assert shown.second is not None
    (film,) = (two / "demos" / "videos" / HAND).rglob("*.mp4")
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    stored = np.stack(frames[: len(shown.second)]).astype(int)
    assert np.abs(stored - shown.second).mean() < 6  # what H.264 costs
    assert np.abs(stored - shown.frames).mean() > 20


def test_play_has_it_as_well_and_the_command_line_asks_for_it(tmp_path: Path) -> None:
    words = ["bench", "collect", str(tmp_path), "--suite", "pushing", "--workers", "1", "--quiet"]
    words += ["--set", "size=32", "--set", "tasks=[push-up]", "--set", "second_camera=true"]
    done = CliRunner().invoke(app, [*words, "--play", "0.1"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "pushing" / "play"
    assert sorted(path.name for path in (folder / "videos").iterdir()) == [FRONT, HAND]
    assert json.loads((folder.parent / "play.json").read_text())["cameras"] == [FRONT, HAND]


class Plain:
    """A suite as others write it, with one camera."""

    name, fps, tasks, second_camera = "plain", 10.0, (Task("go", "go there", 10),), ""

    def check(self) -> None: ...


def test_a_suite_without_one_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    suite: Any = Plain()
    monkeypatch.setattr("sofdata.bench.collect.collect.find_suite", lambda name: suite)
    config = CollectConfig.parse({"suite": "pushing", "second_camera": True})
    with pytest.raises(ConfigError, match="the suite plain has no second camera"):
        collect(config, tmp_path, 1)
    assert not list(tmp_path.iterdir())
    for name in ("front", "a/b"):
        suite.second_camera = name
        with pytest.raises(ConfigError, match="a name of its own is needed"):
            second_camera(suite)
    with pytest.raises(ConfigError, match="libero-goal has no second camera"):
        second_camera(find_suite("libero-goal"))


def test_an_environment_that_cannot_draw_what_its_suite_names_is_told_of() -> None:
    class Blind(PushingEnv):
        second_image = property()  # as if there were none

    task = SUITE.tasks[0]
    with pytest.raises(ConfigError, match="Blind of the task push-left has no method"):
        perform(SUITE, Blind(task, 64), task, 1, 3, second_camera=True)


def test_settings_without_it_are_what_they_were_before_there_was_this_key() -> None:
    # Computed with the version before it.
    attempts = {"plain": "352b0f8045c7", "play": "e8c64dc14b0f"}
    contents = {"plain": "c0dae30a69be", "play": "25d5dcddd65d"}
    given: dict[str, Any] = {"suite": "pushing", "tasks": ["push-left", "carry"], "size": 64}
    given |= {"videos": 2, "demos": 2}
    more: dict[str, dict[str, Any]] = {"plain": {}, "play": {"play_minutes": 0.1, "play_s": 2.0}}
    for name, each in more.items():
        config = CollectConfig.parse(given | each)
        assert json_digest(config.content())[:12] == contents[name]
        assert json_digest(_of_attempts(SUITE, config))[:12] == attempts[name]
    assert chosen_hash(tiny()) != chosen_hash(tiny(SECOND))
    cells = [cell_settings(cell, tiny()) for cell in wanted_cells(tiny(), "test")]
    assert json_digest(cells)[:12] == "36df86109d46"


# Data


def test_the_first_camera_is_learned_from_as_if_there_were_no_other(
    one: Path, two: Path, made: Path, both: BenchData
) -> None:
    plain = prepare_data(tiny(), SUITE.fps, one, made)
    off = prepare_data(tiny(), SUITE.fps, two, made)
    assert off.second is None
    assert len({plain.digest, off.digest, both.digest}) == 3
    assert both.second is not None
    assert both.second.cameras == (FRONT, HAND)
    for data in (off, both):
        assert data.sources["demos"] == plain.sources["demos"]
        ours, theirs = (read_windows(each.folders["demos"]) for each in (data, plain))
        assert torch.equal(ours.batch.first, theirs.batch.first)
        assert ours.batch.keys == theirs.batch.keys
    trained = [
        Trainer(tiny(), data, TEXTS, made).decoder(ARMS["bc"], BUDGET, None).model.state_dict()
        for data in (plain, off)
    ]
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_window_gets_what_the_second_camera_showed_at_its_first_frame(
    two: Path, made: Path, both: BenchData
) -> None:
    windows = Trainer(tiny(SECOND), both, TEXTS, made).windows.demonstrations(BUDGET)
    assert windows.second is not None
    assert windows.second.shape == windows.batch.first.shape
    source = windows.batch.keys[0].rpartition("-")[0]
    own = [row for row, key in enumerate(windows.batch.keys) if key.startswith(source)]
    text = windows.texts[int(windows.batch.text_ids[0])]
    (task,) = (task for task in SUITE.tasks if task.text == text)
    names = both.sources["demos"][text]
    chosen = both.choose("demos", [text], 1, BUDGET.seed)[0]
    seed = record(two)["demos"][task.name]["seeds"][names.index(chosen)]
    shown = perform(SUITE, SUITE.make(task, 64), task, seed, 3, second_camera=True)
    assert shown.second is not None
    real = small_frames(torch.from_numpy(shown.second).permute(0, 3, 1, 2))
    assert len(own) > 10
    for row in own:
        number = int(windows.batch.keys[row].rpartition("-")[2])  # a step is a frame in `tiny`
        gaps = (real.float() - windows.second[row].float()).abs().mean((1, 2, 3))
        assert gaps[number] < 8
        assert gaps[number] == gaps.min()


def test_batches_carry_it_beside_everything_else(made: Path, both: BenchData) -> None:
    config = tiny(SECOND, "decoder.model.history=2", "lapa.model.reads=frames")
    windows = Trainer(config, both, TEXTS, made).windows.demonstrations(BUDGET)
    batch = windows.rows([3, 1])
    assert isinstance(batch, SeenBatch)
    assert windows.second is not None
    assert torch.equal(batch.second[:, 0], windows.second[[3, 1]])
    assert batch.earlier.shape[1] == 2
    assert not windows.joined(replace(windows, second=None)).second
    again = windows.joined(windows).second
    assert again is not None
    assert len(again) == 2 * len(windows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["windows.length=10"], r"has no window \d+ of observation\.images\.hand/episode-"),
        (["windows.length=6"], r"has \d+ windows more than .* of which the first is number"),
        (["flow.step_s=0.2"], r"window 1 of .* begins at 0\.2 s, that of .* at 0\.1 s"),
    ],
)
def test_windows_that_do_not_go_together_are_an_error(
    settings: list[str], message: str, two: Path, both: BenchData, tmp_path: Path
) -> None:
    cut = ["windows.length=8", "windows.stride=1", "windows.size=32", "flow.size=64"]
    cut += ["windows.static_px=0", "windows.min_texture=0", "windows.shots=false"]
    cut += ["flow.step_s=0.1", "with_actions=true", f"sequences.camera={HAND}", *settings]
    ingest(two / "demos", tmp_path / "other", *cut)
    folder = both.folders["demos"]
    sources = [source for each in both.sources["demos"].values() for source in each]
    windows = read_windows(folder, sources)
    other = SecondCamera(str(tmp_path / "other"), (FRONT, HAND))
    with pytest.raises(ConfigError, match=message):
        with_second(windows, folder, other, sources, 64)
    strange = replace(other, cameras=("observation.images.top", HAND))
    with pytest.raises(ConfigError, match=r"no view of the camera observation\.images\.top"):
        with_second(windows, folder, strange, sources, 64)


# Policies


def test_policies_read_it_and_what_is_cloned_from_videos_does_not(
    both: BenchData, made: Path
) -> None:
    trainer = Trainer(tiny(SECOND), both, TEXTS, made)
    stages = train_arm(ARMS["bc"], BUDGET, trainer)
    decoder: ActionDecoder = stages["decoder"].model
    assert reads_second(stages)
    batch = trainer.windows.demonstrations(BUDGET).rows(range(3))
    assert isinstance(batch, SeenBatch)
    actor: Any = actor_of(ARMS["bc"], BUDGET, trainer, stages)
    texts, second = decoder.texts_of(batch), batch.second[:, 0]
    found = actor.act(batch.first, texts, 0, second=second).actions
    other = actor.act(batch.first, texts, 0, second=255 - second).actions
    assert not torch.equal(found, other)
    with pytest.raises(ConfigError, match="none is given"):
        actor.act(batch.first, texts, 0)


def test_settings_say_which_arms_read_it() -> None:
    config = tiny(SECOND)
    read = {name for name, arm in ARMS.items() if decoder_stage(arm, config).model.second_camera}
    assert read == set(ARMS) - {"sof+clone", "lapa+clone"}
    assert not clone_stage(config).model.second_camera
    with pytest.raises(ConfigError, match=r"begin at the same times.*ingest\.windows\.cut=fixed"):
        tiny(SECOND, "ingest.windows.cut=motion", "evaluation.execute=3")


class Looking:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        assert second is not None
        assert state is None
        self.seen.append((images, second))
        return Acted(torch.full((len(images), 4, 3), 2.0))


def test_a_policy_is_shown_what_the_second_camera_shows_at_each_look() -> None:
    config = EvaluationConfig(episodes=1, at_once=1, max_steps=8, execute=4, strips=0)
    looking: Any = Looking()
    evaluate(
        looking,
        SUITE.tasks[:1],
        (7,),
        config,
        simulators=lambda task, place: SUITE.make(task, 128),
        noise_seed=0,
        second=True,
    )
    env = PushingEnv(SUITE.tasks[0], 128)
    env.reset(7)
    for images, second in looking.seen:
        shown = torch.from_numpy(env.second_image().copy()).permute(2, 0, 1)[None]
        assert torch.equal(second, small_frames(shown))
        assert not torch.equal(second, images)
        for _ in range(4):
            env.step(np.full(3, 2.0, np.float32))
    assert len(looking.seen) == 2


@pytest.mark.parametrize("arm", ["sof", "sof+mpc", "sof+clone", "atm"])
def test_every_way_of_acting_is_evaluated_with_it(arm: str, two: Path, made: Path) -> None:
    more = (*QUICK, "tracks.optim.steps=3", "evaluation.max_steps=6", "curve=[]")
    state = "decoder.model.state=true"
    (path,) = run(tiny(SECOND, state, f"arms=[{arm}]", *more), two, made, "test", workers=1)
    (result,) = read_results([path])
    assert result["chunk_error"] > 0
    assert len(result["episodes"]) == 4


def test_from_collecting_to_a_result_on_the_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    more = [f"{key}={json.dumps(SMALL[key])}" for key in ("tasks", "demos", "size")]
    words = ["bench", "collect", str(tmp_path), "--suite", "pushing", "--workers", "1", "--quiet"]
    for value in (*more, "videos=0", "second_camera=true"):
        words += ["--set", value]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    words = ["bench", "run", "--data", str(tmp_path / "pushing"), "--preset", "smoke", "--quiet"]
    words += ["--out", str(tmp_path / "out"), "--workers", "1"]
    for value in (
        *more[:1],
        SECOND,
        "arms=[bc]",
        "decoder.optim.steps=3",
        "evaluation.max_steps=6",
    ):
        words += ["--set", value]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    (cell,) = (tmp_path / "out" / "cells").glob("*.json")
    (result,) = read_results([cell])
    assert result["config"]["decoder"]["model"]["second_camera"] is True
    (trained,) = (tmp_path / "out" / "models").glob("*/decoder/model.pt")
    weights = torch.load(trained, weights_only=True)["weights"]
    assert any(name.startswith("second_encoder.") for name in weights)


def test_data_without_it_are_refused_before_any_work(
    one: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="sofdata bench collect --set second_camera=true"):
        run(tiny(SECOND, "arms=[bc]"), one, tmp_path / "a", "test", workers=1)
    assert not (tmp_path / "a" / "data").exists()
    monkeypatch.setattr(PushingSuite, "second_camera", "wrist")
    with pytest.raises(ConfigError, match=r"is observation\.images\.hand, and that of the suite"):
        run(tiny(SECOND, "arms=[bc]"), two, tmp_path / "b", "test", workers=1)
    monkeypatch.setattr(PushingSuite, "second_camera", "")
    with pytest.raises(ConfigError, match="the suite pushing has no second camera"):
        run(tiny(SECOND, "arms=[bc]"), two, tmp_path / "c", "test", workers=1)


def test_a_record_that_says_nonsense_of_cameras_is_told_of(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "pushing")
    path = tmp_path / "pushing" / "collect.json"
    values = json.loads(path.read_text())
    for wrong in ("front", [FRONT, FRONT], [FRONT, HAND, "more"], [1]):
        path.write_text(json.dumps(values | {"cameras": wrong}))
        with pytest.raises(ConfigError, match="says of cameras"):
            prepare_data(tiny(), SUITE.fps, tmp_path / "pushing", tmp_path / "out")


def test_windows_of_another_camera_are_no_demonstrations(both: BenchData) -> None:
    """What is learned from holds no window of the second camera."""
    index = pq.read_table(Path(both.folders["demos"]) / "index.parquet", columns=["source"])
    assert {each.partition("/")[0] for each in index["source"].to_pylist()} == {FRONT}
    windows: MemoryWindows = read_windows(both.folders["demos"])
    assert windows.second is None
