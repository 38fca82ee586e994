"""The library lerobot itself reads, trains on and writes what sofdata writes and reads.

It needs another Python (3.12 or later) and an older PyAV than sofdata, so it runs in an environment
of its own, whose Python SOFDATA_LEROBOT_PYTHON names; `make lerobot` makes one and runs this.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.bench.collect.collect import collect
from sofdata.bench.collect.config import CollectConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from sofdata.scenes.pushing import write_pushing_demonstrations
from sofdata.storage.tree import Tree
from sofdata.types import TimedText
from tests.conformance.barcode import draw
from tests.corpora.test_lerobot import levels
from tests.helpers import ingest
from tests.lerobot_library import DEPTH, FPS
from tests.lerobot_pictures import LENGTHS as PICTURES
from tests.lerobot_pictures import first_number, schema, write_pictures
from tests.lerobots import LENGTHS, TOP, WRIST, grey_episodes, jumping_texture, write_grey
from tests.sequences import HEIGHT, WIDTH, samples, wrong_frames

PYTHON = os.environ.get("SOFDATA_LEROBOT_PYTHON", "")
SCRIPT = Path(__file__).resolve().parents[1] / "lerobot_library.py"
QUANTILES = '{"VISUAL": "QUANTILES", "STATE": "QUANTILES", "ACTION": "QUANTILES"}'

pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="needs lerobot in an environment of its own"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


def library(home: Path, *arguments: object) -> str:
    """Run the library's Python, which must reach nothing outside; what it prints."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(home / "huggingface"),
        "HOME": str(home),
        "WANDB_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
    }
    command = [PYTHON, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that the library recorded without video: its pictures carry their numbers."""
    home = tmp_path_factory.mktemp("pictured")
    arrays: dict[str, Any] = {}
    for number, length in enumerate(PICTURES):
        count = np.arange(length)
        for name, camera in (("top", TOP), ("wrist", WRIST)):
            first = first_number(camera, number)
            frames = [draw(first + at, WIDTH, HEIGHT) for at in range(length)]
            arrays[f"{name}-{number}"] = np.stack(frames)
        arrays[f"action-{number}"] = np.stack([100 * number + count, -count], 1).astype(np.float32)
        arrays[f"task-{number}"] = np.array([f"task {number % 2}"] * length)
    np.savez(home / "episodes.npz", **arrays)
    library(home, SCRIPT, "write_pictures", home / "episodes.npz", home / "dataset")
    return home / "dataset"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that the library recorded: its frames have tasks of their own."""
    home = tmp_path_factory.mktemp("recorded")
    arrays: dict[str, Any] = {}
    for number, episode in enumerate(grey_episodes()):
        for name, camera in (("top", TOP), ("wrist", WRIST)):
            arrays[f"{name}-{number}"] = episode.frames[camera].repeat(4, axis=1).repeat(4, axis=2)
        arrays[f"action-{number}"] = episode.actions
        arrays[f"task-{number}"] = np.array([task_of(number, at) for at in range(len(episode))])
    np.savez(home / "episodes.npz", **arrays)
    library(home, SCRIPT, "write", home / "episodes.npz", home / "dataset")
    return home / "dataset"


def task_of(episode: int, frame: int) -> str:
    return "close it" if episode and frame >= 5 else "open it"


def by_id(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in LeRobot().demonstrations(Tree(str(root))).entries}


# What sofdata writes


def test_the_library_reads_every_frame_of_what_is_written(tmp_path: Path) -> None:
    root = write_grey(tmp_path / "grey")
    library(tmp_path, SCRIPT, "read", root, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    print(f"lerobot {found['version']}")
    expected = [(e, t) for e, length in enumerate(LENGTHS) for t in range(length)]
    assert len(found["frames"]) == len(expected)
    for frame, (e, t) in zip(found["frames"], expected, strict=True):
        assert (frame["episode"], frame["task"]) == (e, f"task {e % 2}")
        assert frame["time_s"] == pytest.approx(t / 10)
        assert frame["action"] == [10 * e + t, -t]
        assert frame["level"][TOP] == pytest.approx(40 + 60 * e, abs=4)
        assert frame["level"][WRIST] == pytest.approx(70 + 60 * e, abs=4)
    for camera in (TOP, WRIST):
        for name in ("min", "max", "mean", "std", "q01", "q10", "q50", "q90", "q99"):
            assert found["shapes"][f"{camera}/{name}"] == [3, 1, 1]
    assert found["shapes"]["action/q99"] == [2]


def _write_scene(folder: Path) -> Path:
    write_pushing_demonstrations(folder, 1, episodes_per_file=3)
    return folder


def _collect(folder: Path) -> Path:
    settings = {"suite": "pushing", "tasks": ["push-left", "carry"], "videos": 1, "demos": 2}
    collect(CollectConfig.parse(settings), folder, workers=1)
    return folder / "pushing" / "demos"


@pytest.mark.parametrize(
    ("write", "settings"),
    [
        # Statistics of ImageNet in place of the dataset's own, which lerobot asks for, too.
        (_write_scene, ()),
        (
            _write_scene,
            ("--dataset.use_imagenet_stats=false", f"--policy.normalization_mapping={QUANTILES}"),
        ),
        (_collect, ("--dataset.use_imagenet_stats=false",)),
    ],
)
def test_the_library_trains_on_what_is_written(
    tmp_path: Path, write: Callable[[Path], Path], settings: tuple[str, ...]
) -> None:
    root = write(tmp_path / "demos")
    small = {
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 64,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "chunk_size": 8,
        "n_action_steps": 8,
    }
    arguments = {
        "dataset.repo_id": "local/demos",
        "dataset.root": root,
        "dataset.video_backend": "pyav",
        "policy.type": "act",
        "policy.device": "cpu",
        "policy.push_to_hub": "false",
        "policy.pretrained_backbone_weights": "null",
        **{f"policy.{name}": value for name, value in small.items()},
        "steps": 2,
        "batch_size": 2,
        "num_workers": 0,
        "log_freq": 1,
        "save_freq": 2,
        "wandb.enable": "false",
        "output_dir": tmp_path / "run",
    }
    given = [f"--{name}={value}" for name, value in arguments.items()]
    said = library(tmp_path, "-m", "lerobot.scripts.lerobot_train", *given, *settings)
    print("\n".join(line for line in said.splitlines() if "loss:" in line))
    assert "step:2 " in said
    assert "loss:nan" not in said
    assert (tmp_path / "run/checkpoints/000002/pretrained_model/model.safetensors").exists()


# What the library writes


def test_a_recorded_dataset_is_read_with_its_texts_by_time(recorded: Path) -> None:
    found = LeRobot().listing(Tree(str(recorded)))
    assert found.ignored == {"depth video": 1}
    assert found.notes == ("camera observation.images.top_depth shows depth and is left out",)
    assert {entry.problem for entry in found.entries} == {""}
    entries = by_id(recorded)
    assert len(entries) == 6
    for camera, extra in ((TOP, 0), (WRIST, 30)):
        start_s = 0.0
        for episode, length in enumerate(LENGTHS):
            entry = entries[f"{camera}/episode-{episode:06d}"]
            assert np.abs(np.array(levels(recorded, entry)) - (40 + 60 * episode + extra)).max() < 4
            assert len(levels(recorded, entry)) == length
            end_s, change_s = round(start_s + length / FPS, 6), round(start_s + 0.5, 6)
            texts = (
                TimedText(start_s, change_s, "open it"),
                TimedText(change_s, end_s, "close it"),
            )
            assert entry.annotations.texts == (texts if episode else ())
            start_s = end_s


def test_actions_of_a_recorded_dataset_are_joined(recorded: Path) -> None:
    corpus, tree = LeRobot(), Tree(str(recorded))
    spec = corpus.demonstrations(tree).actions
    assert spec is not None
    pose = tuple(f"pose_{number}" for number in range(4))
    assert spec.names == ("arm_0", "arm_1", *pose, "gripper")
    ref = by_id(recorded)[f"{TOP}/episode-000001"].actions
    assert ref is not None
    track = corpus.read_actions(tree, ref, spec)
    t = np.arange(12)
    expected = np.stack([10 + t, -t, t, t * 0 + 1, t * 0 + 2, -t, t % 2], axis=1)
    np.testing.assert_array_equal(track.values, expected)
    np.testing.assert_allclose(track.times_s, 0.7 + t / FPS, atol=1e-6)


def test_statistics_are_those_that_the_library_counts(tmp_path: Path) -> None:
    """But for the quantiles of the dataset: it averages those of the episodes, ours are exact."""
    writer = LeRobotWriter(tmp_path / "ours", fps=FPS, action_names=("dx", "dy"))
    arrays: dict[str, Any] = {}
    for number, length in enumerate((40, 130)):  # of the second not every frame is counted
        film, actions = jumping_texture(length, seed=number)
        film[:, :40] //= 2 + number
        writer.add(Episode({TOP: film, WRIST: 255 - film}, actions, "jump"))
        arrays |= {f"top-{number}": film, f"wrist-{number}": 255 - film}
        arrays |= {f"action-{number}": actions, f"task-{number}": np.array(["jump"] * length)}
    writer.finish()
    np.savez(tmp_path / "episodes.npz", **arrays)
    library(tmp_path, SCRIPT, "write", tmp_path / "episodes.npz", tmp_path / "theirs")
    stats = [json.loads((tmp_path / each / "meta/stats.json").read_text()) for each in OWNERS]
    compare(stats[0], stats[1], levels_apart=255)
    rows = [pq.read_table(tmp_path / each / EPISODES_TABLE).to_pylist() for each in OWNERS]
    for ours, theirs in zip(*rows, strict=True):
        compare(nested(ours), nested(theirs), levels_apart=1.01)  # it has bins


OWNERS = ("ours", "theirs")
EPISODES_TABLE = "meta/episodes/chunk-000/file-000.parquet"


def nested(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns stats/FEATURE/NAME of an episode by feature and name."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        if key.startswith("stats/"):
            _, feature, name = key.split("/")
            found.setdefault(feature, {})[name] = value
    return found


def compare(ours: dict[str, Any], theirs: dict[str, Any], levels_apart: float) -> None:
    theirs = {name.removesuffix(".arm"): value for name, value in theirs.items()}
    assert ours.keys() <= theirs.keys()
    for feature, values in ours.items():
        assert values.keys() == theirs[feature].keys()
        for name, value in values.items():
            assert np.shape(value) == np.shape(theirs[feature][name])
            tolerance = 1e-6
            if name.startswith("q"):  # of a few rows two rules give two numbers
                tolerance = levels_apart / 255 if feature in (TOP, WRIST) else 1e9
            elif name in ("mean", "std") and feature in (TOP, WRIST):
                tolerance = 2e-3  # the library adds up millions of float32
            np.testing.assert_allclose(value, theirs[feature][name], atol=tolerance, rtol=1e-5)


# What the library writes, with pictures


def test_pictures_that_the_library_writes_become_windows(pictured: Path, tmp_path: Path) -> None:
    settings = ("windows.length=4", "flow.step_s=0.1", "flow.size=96", "with_actions=true")
    ingest(pictured, tmp_path / "d", *settings)
    cameras = {TOP, WRIST}
    first = {
        f"{camera}/episode-{episode:06d}": first_number(camera, episode)
        for camera in cameras
        for episode in range(len(PICTURES))
    }
    assert not wrong_frames(tmp_path / "d", FPS, first)
    assert {sample.record.source for sample in samples(tmp_path / "d")} == set(first)
    for sample in samples(tmp_path / "d"):
        episode, at = int(sample.record.source[-6:]), round(FPS * sample.record.pts_s[0])
        assert sample.actions is not None
        assert sample.actions.tolist() == [[100 * episode + t, -t] for t in range(at, at + 4)]
        assert sample.record.text == f"task {episode % 2}"


def test_the_fixture_of_pictures_is_what_the_library_writes(pictured: Path, tmp_path: Path) -> None:
    """Columns, types, row groups, and what `datasets` says of them, but for its fingerprint."""
    rel = "data/chunk-000/file-000.parquet"
    own = pq.ParquetFile(write_pictures(tmp_path / "own") / rel)
    theirs = pq.ParquetFile(pictured / rel)
    names = [name for name in theirs.schema_arrow.names if name != DEPTH]
    assert names == own.schema_arrow.names
    for name in names:
        assert own.schema_arrow.field(name) == theirs.schema_arrow.field(name)
    told = json.loads(theirs.schema_arrow.metadata[b"huggingface"])["info"]
    assert told["features"].pop(DEPTH) == {"_type": "Image"}
    assert json.dumps({"info": told}).encode() == schema([TOP, WRIST]).metadata[b"huggingface"]
    groups = [own.metadata.row_group(at).num_rows for at in range(own.metadata.num_row_groups)]
    assert groups == list(PICTURES)
    assert theirs.metadata.num_row_groups == len(groups)
    (ours,) = own.read_row_group(0, columns=[TOP]).slice(0, 1)[TOP].to_pylist()
    (its,) = theirs.read_row_group(0, columns=[TOP]).slice(0, 1)[TOP].to_pylist()
    assert ours["path"] == its["path"] == "frame-000000.png"
