"""RLDS episodes are ingested: every window shows and says what it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests import rlds_files as made
from tests.conformance.barcode import read
from tests.corpora.sequences.rlds.listings import SETTINGS
from tests.helpers import hashes, ingest
from tests.sequences import samples, wrong_frames


def test_every_window_shows_what_it_says(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    first = {
        "train.tfrecord-00000-of-00002/episode-00000": 0,
        "train.tfrecord-00000-of-00002/episode-00001": 30,
        "train.tfrecord-00001-of-00002/episode-00000": 60,
        "val.tfrecord-00000-of-00001/episode-00000": 80,
    }
    numbers = {
        f"tiny/1.0.0/tiny-{name}/{camera}": number + more
        for name, number in first.items()
        for camera, more in (("image", 0), ("wrist", 100))
    }
    found = list(samples(tmp_path / "d"))
    assert {sample.record.source for sample in found} == set(numbers)
    assert not wrong_frames(tmp_path / "d", made.FPS, numbers)
    assert all(read(sample.first).held for sample in found)  # red is red
    for sample in found:
        record = sample.record
        changes = numbers[record.source] % 100 == 30
        middle_s = (record.start_s + record.end_s) / 2
        late = "close it" if changes and middle_s > 1.2 else "open it"
        assert record.text == ("wait" if numbers[record.source] % 100 == 60 else late)
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
    source: Path, remote: str, tmp_path: Path
) -> None:
    settings = (*SETTINGS, "with_actions=true")
    ingest(source, tmp_path / "here", *settings)
    ingest(source, tmp_path / "apart", *settings, "run.isolate=true")
    ingest(remote, tmp_path / "away", *settings)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_actions_are_right_to_the_sample(source: Path, tmp_path: Path) -> None:
    """The action of the last step means nothing, and no window would have it."""
    ingest(source, tmp_path / "d", *SETTINGS, "with_actions=true", "with_state=true")
    found = list(samples(tmp_path / "d"))
    assert found
    for sample in found:
        spec = sample.record.actions
        assert spec is not None
        names = [
            *(f"action_{at}" for at in range(3)),
            *(f"observation.state.{at}" for at in (0, 1)),
        ]
        assert spec.names == names
        number = (read(sample.first).number or 0) % 100
        wanted = np.arange(number, number + 4)
        assert sample.actions is not None
        np.testing.assert_allclose(sample.actions[:, 0], wanted)
        np.testing.assert_allclose(sample.actions[:, 1], -wanted)
        np.testing.assert_allclose(sample.actions[:, 3], wanted / 2)


def test_arrays_show_as_they_are(tmp_path: Path) -> None:
    from tests.conformance.barcode import draw

    features = made.steps_of(
        observation=made.dictionary(image=made.tensor(128, 192, 3, dtype="uint8"))
    )
    arrays = np.stack([draw(number, 192, 128) for number in range(12)])
    record = {**made.flags(12), "steps/observation/image": arrays}
    made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    (source,) = {sample.record.source for sample in samples(tmp_path / "d")}
    assert not wrong_frames(tmp_path / "d", made.FPS, {source: 0})
    assert all(read(sample.first).held for sample in samples(tmp_path / "d"))
