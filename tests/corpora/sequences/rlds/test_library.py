"""What the library tensorflow_datasets itself writes is read, to the picture and to the number.

It needs TensorFlow, so it runs in an environment of its own, whose Python SOFDATA_TFDS_PYTHON
names; `make tfds` makes one and runs this.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.storage.tree import Tree
from tests import rlds_files as made
from tests.conformance.barcode import draw, read
from tests.helpers import ingest
from tests.sequences import samples, wrong_frames

PYTHON = os.environ.get("SOFDATA_TFDS_PYTHON", "")
SCRIPT = Path(__file__).resolve().parents[3] / "tfds_library.py"
CAMERAS = {"image", "jpeg", "array", "packed", "sized", "clip"}

pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="needs tensorflow_datasets in an environment of its own"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two episodes that the library wrote."""
    home = tmp_path_factory.mktemp("written")
    frames: dict[str, Any] = {
        f"frames-{number}": np.stack([draw(each, 192, 128) for each in range(first, first + 12)])
        for number, first in enumerate((0, 100))
    }
    np.savez(home / "episodes.npz", **frames)
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment = keep | {"HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "NO_GCE_CHECK": "true"}
    command = [PYTHON, str(SCRIPT), str(home / "episodes.npz"), str(home / "data")]
    # In a folder of its own: beside a script the library looks for checksums.
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home / "data"


def test_every_kind_of_picture_is_right(written: Path, tmp_path: Path) -> None:
    settings = ("sequences.fps=10", "windows.length=4", "flow.step_s=0.1", "flow.size=96")
    ingest(written, tmp_path / "d", *settings)
    found = list(samples(tmp_path / "d"))
    assert {sample.record.labels["camera"] for sample in found} == CAMERAS
    first = {
        sample.record.source: int(sample.record.labels["file_path"].removeprefix("frames-")) * 100
        for sample in found
    }
    assert not wrong_frames(tmp_path / "d", 10, first)
    assert all(read(sample.first).held for sample in found)
    texts = {sample.record.text for sample in found if sample.record.end_s < 0.6}
    assert texts == {"open it", ""}  # the clip has none


def test_actions_times_and_what_is_left_out(written: Path) -> None:
    corpus, tree = Rlds(SequenceConfig(fps=3)), Tree(str(written))
    listing = corpus.demonstrations(tree, with_state=True)
    assert listing.actions is not None
    assert listing.actions.fps == 10
    assert listing.actions.names == (
        "open_gripper",
        *("packed_0", "packed_1", "world_vector_0", "world_vector_1", "world_vector_2"),
        *("observation.state.0", "observation.state.1"),
    )
    entry = next(e for e in listing.entries if e.labels["camera"] == "jpeg")
    assert entry.span_s == (0.0, 1.2)
    assert entry.actions is not None
    track = corpus.read_actions(tree, entry.actions, listing.actions)
    assert track.values[:3].tolist() == [
        [at % 2, at, at + 0.5, at, -at, 0.5, at, -at] for at in range(3)
    ]
    assert track.times_s.tolist() == pytest.approx([at / 10 for at in range(11)])
    notes = " ".join(listing.notes)
    for name in ("observation/depth", "observation/metres", "observation/several"):
        assert name in notes


def test_our_fixtures_have_the_same_layout(written: Path) -> None:
    """features.json and the records' features of the tests' own writer, and the library's."""
    folder = written / "tiny" / "1.0.0"
    theirs = json.loads((folder / "features.json").read_text())
    steps = theirs["featuresDict"]["features"]["steps"]
    assert made.dataset({})["pythonClassName"] == steps["pythonClassName"]
    inner = steps["sequence"]["feature"]["featuresDict"]["features"]
    shown = inner["observation"]["featuresDict"]["features"]
    assert shown["jpeg"] == made.image(128, 192, 3)
    assert shown["state"] == made.tensor(2, dtype="float64")
    assert inner["language_instruction"] == made.text()
    (split,) = json.loads((folder / "dataset_info.json").read_text())["splits"]
    assert split["shardLengths"] == ["2"]
    assert split["filepathTemplate"] == "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    data = (folder / "tiny-train.tfrecord-00000-of-00001").read_bytes()
    size = int.from_bytes(data[:8], "little")
    record = made.Example.FromString(data[12 : 12 + size])
    assert made.framed(data[12 : 12 + size]) == data[: size + 16]
    assert "steps/observation/sized/value" in record.features.feature
