"""TFDS datasets of RLDS episodes: what is listed, ingested, told and set aside."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.corpora.sequences.rlds.features import Feature, read_features
from sofdata.corpora.sequences.rlds.layout import layout_of
from sofdata.corpora.sequences.rlds.looked import found_in
from sofdata.errors import ActionError, ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.types import TimedText
from tests import rlds_files as made
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest
from tests.sequences import encoded, samples, wrong_frames

FPS = made.FPS
SETTINGS = (f"sequences.fps={FPS}", "windows.length=4", "flow.step_s=0.1", "flow.size=96")
TEXTS = ["open it"] * 12 + ["close it"] * 8


TIMES = {"name": "t", "unit": 1.0, "fps": 10.0, "last_s": 0.3, "all": []}
GROUP: dict[str, Any] = {
    "steps": 4,
    "parts": [[0, 4, True]],
    "texts": {"t": [[0, "a"], [2, "b"]]},
    "times": TIMES,
    "lacks": {},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two splits, one in two shards; in one episode the text changes."""
    shards = [[made.episode(range(14)), made.episode(range(30, 50), TEXTS)]]
    shards.append([made.episode(range(60, 74), "wait")])
    folder = tmp_path / "source" / "tiny" / "1.0.0"
    made.write_dataset(folder, {"train": shards, "val": [[made.episode(range(80, 94))]]})
    return tmp_path / "source"


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/tfds/", recursive=True)
    yield "memory://tfds"
    files.rm("/tfds", recursive=True)


def listed(source: Path | str, fps: float | None = FPS, **more: Any) -> Listing:
    return Rlds(SequenceConfig(fps=fps, **more)).listing(Tree(str(source)))


def demonstrated(source: Path, with_state: bool = False, fps: float | None = FPS) -> Listing:
    return Rlds(SequenceConfig(fps=fps)).demonstrations(Tree(str(source)), with_state)


def short(entry: Entry) -> str:
    """train-00000/0/wrist."""
    shard, episode, camera = entry.id.rsplit("/", 2)
    split = shard.rpartition("/")[2].partition("-")[2].replace(".tfrecord", "")
    return f"{split.rpartition('-of-')[0]}/{int(episode.removeprefix('episode-'))}/{camera}"


def by_name(listing: Listing) -> dict[str, Entry]:
    return {short(entry): entry for entry in listing.entries}


def rejected(dest: Path) -> dict[str, str]:
    """Why videos are rejected, by camera; all of one reason."""
    rows = pq.ParquetFile(dest / "rejects.parquet").read().to_pylist()
    return {
        row["video"].rpartition("/")[2]: row["reason"] for row in rows if row["kind"] == "video"
    }


def accounts_for_every_file(source: Path, listing: Listing) -> bool:
    """Whether each file is that of an entry, a table or ignored."""
    of_entries = {entry.uri.partition("#")[0] for entry in listing.entries}
    tables = set(listing.tables)
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    return len(files - of_entries - tables) == sum(listing.ignored.values())


class TestIngest:
    def test_every_window_shows_what_it_says(self, source: Path, tmp_path: Path) -> None:
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
        assert not wrong_frames(tmp_path / "d", FPS, numbers)
        assert all(read(sample.first).held for sample in found)  # red is red
        for sample in found:
            record = sample.record
            changes = numbers[record.source] % 100 == 30
            middle_s = (record.start_s + record.end_s) / 2
            late = "close it" if changes and middle_s > 1.2 else "open it"
            assert record.text == ("wait" if numbers[record.source] % 100 == 60 else late)
        assert verify(Tree(str(tmp_path / "d"))).whole

    def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
        self, source: Path, remote: str, tmp_path: Path
    ) -> None:
        settings = (*SETTINGS, "with_actions=true")
        ingest(source, tmp_path / "here", *settings)
        ingest(source, tmp_path / "apart", *settings, "run.isolate=true")
        ingest(remote, tmp_path / "away", *settings)
        assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
        assert hashes(tmp_path / "here") == hashes(tmp_path / "away")

    def test_actions_are_right_to_the_sample(self, source: Path, tmp_path: Path) -> None:
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

    def test_arrays_show_as_they_are(self, tmp_path: Path) -> None:
        from tests.conformance.barcode import draw

        features = made.steps_of(
            observation=made.dictionary(image=made.tensor(128, 192, 3, dtype="uint8"))
        )
        arrays = np.stack([draw(number, 192, 128) for number in range(12)])
        record = {**made.flags(12), "steps/observation/image": arrays}
        made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
        (source,) = {sample.record.source for sample in samples(tmp_path / "d")}
        assert not wrong_frames(tmp_path / "d", FPS, {source: 0})
        assert all(read(sample.first).held for sample in samples(tmp_path / "d"))

    def test_stated_times_count_more_than_a_rate(self, tmp_path: Path) -> None:
        features = made.steps_of(
            observation=made.dictionary(image=made.image()), timestamp=made.tensor(dtype="float64")
        )
        times = np.array([*np.arange(10) / 20, *(2 + np.arange(10) / 20)])
        record = {
            **made.flags(20),
            "steps/observation/image": [encoded(number) for number in range(20)],
            "steps/timestamp": times + 5,
        }
        made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
        ingest(
            tmp_path / "s", tmp_path / "d", "windows.length=4", "flow.step_s=0.05", "flow.size=96"
        )
        ends = sorted((s.record.start_s, s.record.end_s) for s in samples(tmp_path / "d"))
        assert ends[0] == pytest.approx((0, 0.2))
        assert not [one for one in ends if one[0] < 1 < one[1]]
        (note,) = [note for note in listed(tmp_path / "s", None).notes if "timestamp" in note]
        assert "20 steps a second" in note


class TestListing:
    def test_what_an_entry_says(self, source: Path) -> None:
        listing = listed(source)
        found = by_name(listing)
        assert len(found) == 8
        changing, other = found["train-00000/1/image"], found["train-00000/1/wrist"]
        assert changing.span_s == (0.0, 2.0)
        assert changing.text == "open it; close it"
        assert changing.annotations.texts == (
            TimedText(0.0, 1.2, "open it"),
            TimedText(1.2, 2.0, "close it"),
        )
        assert found["val-00000/0/image"].annotations.texts == ()
        assert changing.labels["split"] == "train"
        assert changing.labels["camera"] == "image"
        assert changing.labels["episode"] == "1"
        assert changing.labels["dataset"] == "tiny"
        assert changing.labels["file_path"] == "/raw/0"
        recordings = {recording_of("rlds", each.labels) for each in found.values()}
        assert len(recordings) == 4
        assert recording_of("rlds", changing.labels) == recording_of("rlds", other.labels)
        assert listing.tables == ("tiny/1.0.0/dataset_info.json", "tiny/1.0.0/features.json")
        assert any("depth" in note for note in listing.notes)
        assert accounts_for_every_file(source, listing)

    def test_it_is_found_wherever_it_is_entered(self, source: Path) -> None:
        for folder in (source, source / "tiny", source / "tiny" / "1.0.0"):
            corpus, _ = find_corpus(Tree(str(folder)), sequences=SequenceConfig(fps=5))
            assert corpus.name == "rlds"
            assert len(list_source(corpus, Tree(str(folder)), with_actions=False).entries) == 8

    def test_a_folder_of_videos_with_records_beside_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"")
        made.write_shard(tmp_path / "x.tfrecord-00000-of-00001", [b"data"])
        assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"

    def test_the_newest_version_counts(self, source: Path) -> None:
        for version in ("0.9.0", "0.10.0", "1.0.0"):
            folder = source / "tiny" / version
            made.write_dataset(folder, {"train": [[made.episode(range(5))]]}, version=version)
        listing = listed(source)
        assert {entry.labels["version"] for entry in listing.entries} == {"1.0.0"}
        assert listing.ignored["older version"] == 6
        assert any("newer one" in note for note in listing.notes)
        assert accounts_for_every_file(source, listing)

    def test_configs_and_datasets_side_by_side(self, tmp_path: Path) -> None:
        for name, config in (("kitchen", "small"), ("kitchen", "large"), ("shop", "")):
            folder = tmp_path / name / config / "1.0.0"
            record = made.episode(range(5))
            made.write_dataset(folder, {"train": [[record]]}, name=name, configName=config)
        found = listed(tmp_path).entries
        told = {(entry.labels["dataset"], entry.labels.get("config", "")) for entry in found}
        assert told == {("kitchen", "small"), ("kitchen", "large"), ("shop", "")}
        assert len({entry.id for entry in found}) == 6

    def test_what_is_not_finished_is_left_out(self, source: Path) -> None:
        made.write_dataset(
            source / "tiny" / "incomplete.AB12_1.1.0", {"train": [[made.episode(range(5))]]}
        )
        listing = listed(source)
        assert len(listing.entries) == 8
        assert listing.ignored["unfinished dataset"] == 3

    def test_other_names_of_files_by_their_template(self, tmp_path: Path) -> None:
        folder = made.write_dataset(tmp_path / "1.0.0", {"train": [[made.episode(range(5))]]})
        info = json.loads((folder / "dataset_info.json").read_text())
        info["splits"][0]["filepathTemplate"] = "{SPLIT}/{DATASET}-{SHARD_INDEX}.{FILEFORMAT}"
        info["splits"][0]["name"] = "test"
        (folder / "dataset_info.json").write_text(json.dumps(info))
        (folder / "test").mkdir()
        (folder / "tiny-train.tfrecord-00000-of-00001").rename(folder / "test/tiny-00000.tfrecord")
        assert {entry.labels["split"] for entry in listed(tmp_path).entries} == {"test"}

    def test_without_dataset_info_the_names_tell(self, source: Path) -> None:
        (source / "tiny/1.0.0/dataset_info.json").unlink()
        found = by_name(listed(source))
        assert found["val-00000/0/image"].labels["split"] == "val"
        assert found["val-00000/0/image"].labels["version"] == "1.0.0"

    def test_features_as_older_libraries_wrote_them(self, source: Path) -> None:
        path = source / "tiny/1.0.0/features.json"
        path.write_text(json.dumps(older(json.loads(path.read_text()))))
        found = by_name(listed(source))
        assert len(found) == 8
        assert found["train-00001/0/image"].text == "wait"

    def test_a_camera_that_shows_nothing_is_left_out(self, tmp_path: Path) -> None:
        """Bridge V2 has black pictures where there was no camera, and says so."""
        features = made.dictionary(
            steps=made.dataset(
                made.dictionary(
                    **made.FLAGS,
                    observation=made.dictionary(image_0=made.image(), image_1=made.image()),
                )
            ),
            episode_metadata=made.dictionary(
                has_image_0=made.tensor(dtype="bool"), has_image_1=made.tensor(dtype="bool")
            ),
        )
        record = {
            **made.flags(5),
            "steps/observation/image_0": [encoded(n) for n in range(5)],
            "steps/observation/image_1": [encoded(n) for n in range(5)],
            "episode_metadata/has_image_0": np.array([1]),
            "episode_metadata/has_image_1": np.array([0]),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        listing = listed(tmp_path)
        assert [entry.labels["camera"] for entry in listing.entries] == ["image_0"]
        assert any("image_1" in note and "shows nothing" in note for note in listing.notes)

    def test_a_record_of_several_episodes_is_cut_apart(self, tmp_path: Path) -> None:
        record = made.episode(range(20))
        record["steps/is_first"] = np.isin(np.arange(20), [0, 8]).astype(int)
        made.write_dataset(tmp_path / "s", {"train": [[record]]})
        listing = listed(tmp_path / "s")
        spans = {entry.labels["episode"]: entry.span_s for entry in listing.entries}
        assert spans == {"0-0": (0.0, 0.8), "0-1": (0.0, 1.2)}
        assert any("several episodes" in note for note in listing.notes)
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "with_actions=true")
        found = list(samples(tmp_path / "d"))
        for sample in found:
            number = read(sample.first).number or 0
            first = 8 if "-1/" in sample.record.source else 0
            assert number % 100 == first + round(FPS * sample.record.start_s)
            assert sample.actions is not None
            assert sample.actions[0, 0] == number % 100

    def test_texts_of_the_whole_episode_and_in_other_words(self, tmp_path: Path) -> None:
        features = made.dictionary(
            steps=made.dataset(
                made.dictionary(
                    **made.FLAGS,
                    image=made.image(),
                    language_instruction=made.text(),
                    language_instruction_2=made.text(),
                )
            ),
            episode_metadata=made.dictionary(
                task=made.text(), episode_id=made.tensor(dtype="int32")
            ),
        )
        record = {
            **made.flags(4),
            "steps/image": [encoded(n) for n in range(4)],
            "steps/language_instruction": [""] * 4,
            "steps/language_instruction_2": ["put it there", "", "", ""],
            "episode_metadata/task": ["put"],
            "episode_metadata/episode_id": np.array([123456789]),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        (entry,) = listed(tmp_path).entries
        assert entry.text == "put it there"
        assert entry.labels["task"] == "put"
        assert entry.labels["episode_id"] == "123456789"
        assert not entry.annotations.texts

    def test_instructions_as_code_points(self, tmp_path: Path) -> None:
        """Language-Table keeps them so."""
        codes = np.zeros((6, 32), int)
        for row, text in enumerate(["push it"] * 3 + ["pull it"] * 3):
            codes[row, : len(text)] = [ord(letter) for letter in text]
        features = made.steps_of(
            observation=made.dictionary(
                rgb=made.image(), instruction=made.tensor(32, dtype="int32")
            )
        )
        record = {
            **made.flags(6),
            "steps/observation/rgb": [encoded(n) for n in range(6)],
            "steps/observation/instruction": codes,
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        (entry,) = listed(tmp_path).entries
        assert [each.text for each in entry.annotations.texts] == ["push it", "pull it"]

    def test_lists_of_pictures_that_are_no_steps(self, tmp_path: Path) -> None:
        """Datasets of TFDS that are no RLDS: Video, and Sequence of Image."""
        video = made.node(
            "video_feature.Video", video={"shape": {"dimensions": ["-1", "8", "8", "3"]}}
        )
        features = made.dictionary(
            clip=video,
            frames=made.dataset(made.image(), "sequence_feature.Sequence"),
            label=made.text(),
        )
        record = {"clip": [encoded(n) for n in range(6)], "frames": [encoded(n) for n in range(4)]}
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        spans = {entry.labels["camera"]: entry.span_s for entry in listed(tmp_path).entries}
        assert spans == {"clip": (0.0, 0.6), "frames": (0.0, 0.4)}

    @pytest.mark.parametrize(
        ("name", "feature", "is_camera"),
        [
            ("topDepth", made.image(8, 8, 1), False),
            ("image_mask", made.image(8, 8, 3), False),
            ("depth_camera_rgb", made.image(8, 8, 3), True),
            ("tactile", made.image(8, 8, 1), True),
            ("colours", made.image(8, 8, 3, useColormap=True), False),
            ("wide", made.image(8, 8, 3, dtype="uint16"), False),
            ("any_size", made.image(), True),
            ("array", made.tensor(64, 64, 3, dtype="uint8"), True),
            ("planes", made.tensor(3, 64, 64, dtype="uint8"), False),
            ("cloud", made.tensor(64, 64, 3), False),
            ("small", made.tensor(4, 4, 3, dtype="uint8"), False),
        ],
    )
    def test_what_is_a_camera(self, name: str, feature: dict[str, Any], is_camera: bool) -> None:
        features = {"observation": made.dictionary(**{name: feature})}
        found = layout_of(_parsed(made.steps_of(**features)))
        assert [camera.label for camera in found.cameras] == ([name] if is_camera else [])

    def test_what_lies_beside_shards(self, source: Path) -> None:
        """An index that other programs write is no shard."""
        (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001.index").write_bytes(b"0 1")
        listing = listed(source)
        assert len(listing.entries) == 8
        assert sum(listing.ignored.values()) == 1

    def test_missing_shards_are_told(self, source: Path) -> None:
        (source / "tiny/1.0.0/tiny-train.tfrecord-00000-of-00002").unlink()
        (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001").unlink()
        notes = " ".join(listed(source).notes)
        assert "1 of the 2 shards of 'train' are here" in notes
        assert "no shard is here of val" in notes


class TestActions:
    def test_a_flag_that_is_always_set_costs_one_action(self, tmp_path: Path) -> None:
        record = made.episode(range(6)) | {"steps/is_last": np.ones(6, int)}
        made.write_dataset(tmp_path, {"train": [[record]]})
        listing = demonstrated(tmp_path)
        entry = listing.entries[0]
        assert entry.actions is not None
        assert listing.actions is not None
        track = Rlds().read_actions(Tree(str(tmp_path)), entry.actions, listing.actions)
        assert track.values[:, 0].tolist() == [0, 1, 2, 3, 4]

    def test_parts_are_joined_in_order(self, tmp_path: Path) -> None:
        features = made.steps_of(
            observation=made.dictionary(image=made.image()),
            action=made.dictionary(
                open_gripper=made.tensor(dtype="bool"),
                note=made.text(),
                terminate=made.tensor(2, dtype="int32"),
                world_vector=made.tensor(3),
            ),
            action_dict=made.dictionary(other=made.tensor(7)),
        )
        record = {
            **made.flags(5),
            "steps/observation/image": [encoded(n) for n in range(5)],
            "steps/action/open_gripper": np.array([0, 1, 0, 1, 0]),
            "steps/action/terminate": np.arange(10),
            "steps/action/world_vector": np.arange(15.0),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        listing = demonstrated(tmp_path)
        assert listing.actions is not None
        assert listing.actions.names == (
            "open_gripper",
            *("terminate_0", "terminate_1"),
            *("world_vector_0", "world_vector_1", "world_vector_2"),
        )
        (entry,) = listing.entries
        assert entry.actions is not None
        assert entry.actions.rows == 4
        track = Rlds().read_actions(Tree(str(tmp_path)), entry.actions, listing.actions)
        assert track.values[1].tolist() == [1, 2, 3, 3, 4, 5]
        assert track.times_s.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
        notes = " ".join(listing.notes)
        assert "action/note" in notes
        assert "action_dict/other" in notes

    def test_those_that_differ_are_rejects(self, tmp_path: Path) -> None:
        made.write_dataset(tmp_path / "a", {"train": [[made.episode(range(5))]]}, name="a")
        features = made.steps_of(image=made.image(), action=made.tensor(7))
        record = {**made.flags(3), "steps/image": [encoded(1)] * 3, "steps/action": np.zeros(21)}
        made.write_dataset(tmp_path / "b", {"train": [[record]]}, features, name="b")
        problems = {
            e.labels["dataset"]: (e.problem, e.detail) for e in demonstrated(tmp_path).entries
        }
        assert problems["a"][0] == ""
        assert problems["b"][0] == "other_actions"
        assert "7" in problems["b"][1]

    def test_two_rates_are_rejects(self, tmp_path: Path) -> None:
        features = made.steps_of(
            image=made.image(), action=made.tensor(1), timestamp_ms=made.tensor(dtype="int64")
        )
        records = [
            {
                **made.flags(5),
                "steps/image": [encoded(n) for n in range(5)],
                "steps/action": np.arange(5.0),
                "steps/timestamp_ms": np.arange(5) * step_ms + 1000,
            }
            for step_ms in (100, 101, 50)
        ]
        made.write_dataset(tmp_path, {"train": [records]}, features)
        listing = demonstrated(tmp_path, fps=None)
        assert [entry.problem for entry in listing.entries] == ["", "", "other_actions"]
        assert listing.actions is not None
        assert listing.actions.fps == 10

    def test_a_source_without_any_says_so(self, tmp_path: Path) -> None:
        record = {**made.flags(3), "steps/image": [encoded(1)] * 3}
        made.write_dataset(tmp_path, {"train": [[record]]}, made.steps_of(image=made.image()))
        with pytest.raises(ConfigError, match="leave out --with-actions"):
            demonstrated(tmp_path)

    def test_a_source_without_state_says_so(self, tmp_path: Path) -> None:
        features = made.steps_of(image=made.image(), action=made.tensor(1))
        record = {**made.flags(3), "steps/image": [encoded(1)] * 3, "steps/action": np.zeros(3)}
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        with pytest.raises(ConfigError, match="with_state"):
            demonstrated(tmp_path, with_state=True)

    def test_the_state_of_droid_is_in_parts(self, tmp_path: Path) -> None:
        features = made.steps_of(
            observation=made.dictionary(
                wrist_image_left=made.image(),
                cartesian_position=made.tensor(6, dtype="float64"),
                gripper_position=made.tensor(1, dtype="float64"),
            ),
            action=made.tensor(7, dtype="float64"),
        )
        record = {
            **made.flags(3),
            "steps/observation/wrist_image_left": [encoded(1)] * 3,
            "steps/observation/cartesian_position": np.zeros(18),
            "steps/observation/gripper_position": np.ones(3),
            "steps/action": np.zeros(21),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        listing = demonstrated(tmp_path, with_state=True)
        assert listing.actions is not None
        assert listing.actions.names[7] == "observation.state.cartesian_position_0"
        assert listing.actions.names[-1] == "observation.state.gripper_position"

    def test_actions_that_cannot_be_believed_are_an_error(self, source: Path) -> None:
        listing = demonstrated(source)
        entry = listing.entries[0]
        assert entry.actions is not None
        assert listing.actions is not None
        path = source / entry.actions.uri
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
        with pytest.raises(ActionError, match="checksum"):
            Rlds().read_actions(Tree(str(source)), entry.actions, listing.actions)


class TestDamaged:
    def test_a_shard_that_is_cut_off_keeps_what_comes_before(self, source: Path) -> None:
        path = source / "tiny/1.0.0/tiny-train.tfrecord-00000-of-00002"
        path.write_bytes(path.read_bytes()[:-50])
        listing = listed(source)
        rejects = [entry for entry in listing.entries if entry.problem]
        assert [entry.id.rpartition("/")[2] for entry in rejects] == ["rest"]
        assert rejects[0].problem == "damaged"
        assert "cut off" in rejects[0].detail
        assert "1 of 2 records" in rejects[0].detail
        assert len(listing.entries) == 7

    def test_a_wrong_checksum_is_a_reject_when_it_is_read(
        self, source: Path, tmp_path: Path
    ) -> None:
        path = source / "tiny/1.0.0/tiny-train.tfrecord-00001-of-00002"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1  # in a picture
        path.write_bytes(data)
        ingest(source, tmp_path / "d", *SETTINGS, "run.isolate=true")
        assert rejected(tmp_path / "d") == {"image": "damaged", "wrist": "damaged"}

    def test_a_compressed_shard_is_named(self, source: Path) -> None:
        path = source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001"
        path.write_bytes(gzip.compress(path.read_bytes()))
        (reject,) = [entry for entry in listed(source).entries if entry.problem]
        assert reject.problem == "compressed"
        assert "gunzip" in reject.detail

    def test_another_number_of_records_is_told(self, source: Path) -> None:
        path = source / "tiny/1.0.0/tiny-train.tfrecord-00001-of-00002"
        path.write_bytes(path.read_bytes() * 2)
        listing = listed(source)
        assert len(listing.entries) == 10
        (note,) = [note for note in listing.notes if "as many records" in note]
        assert "has 2, not 1" in note

    def test_an_empty_shard_is_counted(self, source: Path) -> None:
        (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001").write_bytes(b"")
        listing = listed(source)
        assert listing.ignored["shard without episodes"] == 1
        assert accounts_for_every_file(source, listing)

    @pytest.mark.parametrize(
        ("change", "problem", "words"),
        [
            ({"steps/observation/image": np.arange(9)}, "damaged", "holds integers"),
            ({"steps/observation/image": None}, "damaged", "no feature"),
            ({"steps/action": np.zeros(4)}, "damaged", "4 numbers, where each step has 3"),
            ({"steps/action": np.zeros(6)}, "damaged", "as many steps"),
        ],
    )
    def test_an_episode_that_is_not_as_features_json_says(
        self, change: dict[str, Any], problem: str, words: str, tmp_path: Path
    ) -> None:
        record = made.episode(range(9)) | change
        record = {name: value for name, value in record.items() if value is not None}
        made.write_dataset(tmp_path, {"train": [[made.episode(range(5)), record]]})
        rejects = [entry for entry in listed(tmp_path).entries if entry.problem]
        assert {entry.problem for entry in rejects} == {problem}
        assert words in rejects[0].detail
        assert len(rejects) == 1

    def test_fewer_pictures_than_steps(self, tmp_path: Path) -> None:
        record = made.episode(range(12)) | {"steps/observation/image": [encoded(1)] * 11}
        made.write_dataset(tmp_path / "s", {"train": [[record]]})
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
        assert rejected(tmp_path / "d") == {"image": "damaged"}

    def test_a_picture_that_is_missing_costs_itself(self, tmp_path: Path) -> None:
        record = made.episode(range(14))
        record["steps/observation/image"][6] = b""
        record["steps/observation/image"][7] = encoded(7)[:200]
        made.write_dataset(tmp_path / "s", {"train": [[record]]})
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
        first = {sample.record.source: 0 for sample in samples(tmp_path / "d")}
        first |= {name: 100 for name in first if name.endswith("wrist")}
        assert not wrong_frames(tmp_path / "d", FPS, first)

    def test_times_that_do_not_increase(self, tmp_path: Path) -> None:
        """A feature that was never filled is no clock: a rate counts, if there is one."""
        features = made.steps_of(image=made.image(), timestamp=made.tensor())
        record = {
            **made.flags(4),
            "steps/image": [encoded(n) for n in range(4)],
            "steps/timestamp": np.zeros(4),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        (entry,) = listed(tmp_path, fps=None).entries
        assert entry.problem == "no_times"
        assert "sequences.fps" in entry.detail
        listing = listed(tmp_path, fps=8)
        assert listing.entries[0].span_s == pytest.approx((0, 0.5))
        assert any("times that are no use" in note for note in listing.notes)

    def test_times_that_go_back(self, tmp_path: Path) -> None:
        features = made.steps_of(image=made.image(), timestamp=made.tensor())
        record = {
            **made.flags(4),
            "steps/image": [encoded(n) for n in range(4)],
            "steps/timestamp": np.array([0.0, -5, -4, -3]),
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        (entry,) = listed(tmp_path, fps=None).entries
        assert entry.problem == "no_times"

    def test_no_step_at_all(self, tmp_path: Path) -> None:
        made.write_dataset(tmp_path, {"train": [[made.episode([])]]})
        assert {entry.problem for entry in listed(tmp_path).entries} == {"no_frames"}


class TestRefused:
    def test_nothing_of_tfds(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no features\.json and no shard"):
            listed(tmp_path)

    def test_a_dataset_whose_shards_are_elsewhere(self, source: Path) -> None:
        for path in source.rglob("*.tfrecord-*"):
            path.unlink()
        with pytest.raises(ConfigError, match="no shard beside it"):
            listed(source)

    def test_a_missing_package_is_named(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sofdata.system.extras.is_installed", lambda module: False)
        with pytest.raises(ConfigError, match=r"pip install 'sofdata\[rlds\]'"):
            listed(source)

    def test_a_rate_is_needed(self, source: Path) -> None:
        with pytest.raises(ConfigError, match=r"sequences\.fps=5"):
            listed(source, fps=None)

    def test_a_feature_of_times_that_is_none(self, source: Path) -> None:
        with pytest.raises(ConfigError, match="no such feature"):
            listed(source, times="steps/clock")

    def test_a_feature_of_times_that_the_user_names(self, tmp_path: Path) -> None:
        features = made.steps_of(image=made.image(), clock_s=made.tensor())
        record = {
            **made.flags(4),
            "steps/image": [encoded(n) for n in range(4)],
            "steps/clock_s": np.arange(4) / 2,
        }
        made.write_dataset(tmp_path, {"train": [[record]]}, features)
        (entry,) = listed(tmp_path, fps=None, times="steps/clock_s").entries
        assert entry.span_s == (0, 2)

    def test_features_json_is_missing(self, source: Path, tmp_path: Path) -> None:
        (source / "tiny/1.0.0/features.json").unlink()
        with pytest.raises(ConfigError, match=r"no features\.json"):
            ingest(source, tmp_path / "d", *SETTINGS)

    def test_features_json_is_missing_for_some(self, source: Path) -> None:
        path = source / "other" / "x-train.tfrecord-00000-of-00001"
        made.write_shard(path, [made.example(made.episode(range(4)))])
        (reject,) = [entry for entry in listed(source).entries if entry.problem]
        assert reject.problem == "no_features_file"

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"featuresDict": {}}', '{"featuresDict": {"features": {"a": 1}}}']
    )
    def test_features_json_is_wrong(self, text: str, source: Path) -> None:
        (source / "tiny/1.0.0/features.json").write_text(text)
        with pytest.raises(ConfigError):
            listed(source)

    def test_features_json_is_nested_without_end(self, source: Path) -> None:
        node = made.tensor(1)
        for _ in range(100):
            node = made.dictionary(a=node)
        (source / "tiny/1.0.0/features.json").write_text(json.dumps(node))
        with pytest.raises(ConfigError, match="too deeply"):
            listed(source)

    def test_no_pictures(self, tmp_path: Path) -> None:
        made.write_dataset(tmp_path, {"train": [[made.flags(3)]]}, made.steps_of(a=made.tensor(1)))
        with pytest.raises(ConfigError, match="list of pictures"):
            listed(tmp_path)

    def test_one_shard_alone(self, source: Path, tmp_path: Path) -> None:
        shard = source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001"
        with pytest.raises(ConfigError, match="give the folder"):
            ingest(shard, tmp_path / "d", *SETTINGS)

    def test_another_format_of_tfds(self, source: Path, tmp_path: Path) -> None:
        folder = source / "tiny/1.0.0"
        for path in folder.glob("*.tfrecord-*"):
            path.rename(folder / path.name.replace(".tfrecord", ".array_record"))
        with pytest.raises(ConfigError, match="convert_format"):
            ingest(source, tmp_path / "d", *SETTINGS)

    def test_other_formats_beside_are_rejects(self, source: Path) -> None:
        (source / "tiny/1.0.0/tiny-test.array_record-00000-of-00001").write_bytes(b"x")
        (reject,) = [entry for entry in listed(source).entries if entry.problem]
        assert reject.problem == "other_format"


@pytest.mark.parametrize(
    "change",
    [
        {"at": -1},
        {"bytes": "x"},
        {"groups": {"steps": {"steps": 4}}},
        {"groups": {"steps": {**GROUP, "parts": [[0, 3, False]]}}},
        {"groups": {"steps": {**GROUP, "parts": [[2, 4, False], [0, 2, False]]}}},
        {"groups": {"steps": {**GROUP, "texts": {"t": [[9, "late"]]}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"fps": float("nan")}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"all": [0.0]}}}},
        {"alone": {"a": [1]}},
    ],
)
def test_what_no_look_says_is_not_believed(change: dict[str, Any]) -> None:
    told = {"at": 12, "bytes": 9, "wrong": None, "alone": {"a": "x"}, "groups": {"steps": GROUP}}
    found, wrong = found_in({"episodes": [told], "wrong": None})
    assert found[0].steps["steps"].count == 4
    assert wrong is None
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        found_in({"episodes": [told | change], "wrong": None})


def _parsed(features: dict[str, Any]) -> list[Feature]:
    """features.json, as it is read."""
    tree = Tree("memory://features")
    tree.write("features.json", json.dumps(features).encode())
    return read_features(tree, "features.json")


def older(node: Any) -> Any:
    """features.json as tensorflow_datasets before 4.5 wrote it."""
    kind = node["pythonClassName"]
    if "featuresDict" in node:
        inner = node["featuresDict"]["features"]
        return {"type": kind, "content": {name: older(each) for name, each in inner.items()}}
    if "sequence" in node:
        content = {"feature": older(node["sequence"]["feature"]), "length": None}
        return {"type": kind, "content": content}
    (about,) = [value for key, value in node.items() if key != "pythonClassName"]
    content = {key: value for key, value in about.items() if key != "shape"}
    if "shape" in about:
        content["shape"] = [int(side) for side in about["shape"].get("dimensions", [])]
    return {"type": kind, "content": content}
