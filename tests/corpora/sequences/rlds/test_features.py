"""features.json, and what is taken of it: cameras and texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.sequences.rlds.features import Feature, read_features
from sofdata.corpora.sequences.rlds.layout import layout_of
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.video.sequences.rlds.steps import code_runs
from tests import rlds_files as made
from tests.corpora.sequences.rlds.listings import SETTINGS, by_name, listed
from tests.helpers import ingest
from tests.sequences import encoded


def test_features_as_older_libraries_wrote_them(source: Path) -> None:
    path = source / "tiny/1.0.0/features.json"
    path.write_text(json.dumps(older(json.loads(path.read_text()))))
    found = by_name(listed(source))
    assert len(found) == 8
    assert found["train-00001/0/image"].text == "wait"


def test_the_layout_between_the_two_is_read() -> None:
    """Of 4.5: content is that of today, beside the name of its message."""
    inner = made.PLAIN["featuresDict"]["features"]
    between = {"type": made.PLAIN["pythonClassName"], "content": {"features": inner}}
    between["proto_cls"] = "tensorflow_datasets.FeaturesDict"
    assert _parsed(between) == _parsed(made.PLAIN)


def test_a_camera_that_shows_nothing_is_left_out(tmp_path: Path) -> None:
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


def test_texts_of_the_whole_episode_and_in_other_words(tmp_path: Path) -> None:
    features = made.dictionary(
        steps=made.dataset(
            made.dictionary(
                **made.FLAGS,
                image=made.image(),
                language_instruction=made.text(),
                language_instruction_2=made.text(),
            )
        ),
        episode_metadata=made.dictionary(task=made.text(), episode_id=made.tensor(dtype="int32")),
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


def test_instructions_as_code_points(tmp_path: Path) -> None:
    """Language-Table keeps them so."""
    codes = np.zeros((6, 32), int)
    for row, text in enumerate(["push it"] * 3 + ["pull it"] * 3):
        codes[row, : len(text)] = [ord(letter) for letter in text]
    features = made.steps_of(
        observation=made.dictionary(rgb=made.image(), instruction=made.tensor(32, dtype="int32"))
    )
    record = {
        **made.flags(6),
        "steps/observation/rgb": [encoded(n) for n in range(6)],
        "steps/observation/instruction": codes,
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path).entries
    assert [each.text for each in entry.annotations.texts] == ["push it", "pull it"]


def test_lists_of_pictures_that_are_no_steps(tmp_path: Path) -> None:
    """Datasets of TFDS that are no RLDS: Video, and Sequence of Image."""
    video = made.node("video_feature.Video", video={"shape": {"dimensions": ["-1", "8", "8", "3"]}})
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
        ("stack", made.tensor(2, 64, 64, 3, dtype="uint8"), False),
        ("depth", made.dictionary(front=made.image(8, 8, 3)), False),
    ],
)
def test_what_is_a_camera(name: str, feature: dict[str, Any], is_camera: bool) -> None:
    features = {"observation": made.dictionary(**{name: feature})}
    found = layout_of(_parsed(made.steps_of(**features)))
    assert [camera.label for camera in found.cameras] == ([name] if is_camera else [])


def test_features_json_is_missing(source: Path, tmp_path: Path) -> None:
    (source / "tiny/1.0.0/features.json").unlink()
    with pytest.raises(ConfigError, match=r"no features\.json"):
        ingest(source, tmp_path / "d", *SETTINGS)


def test_features_json_is_missing_for_some(source: Path) -> None:
    path = source / "other" / "x-train.tfrecord-00000-of-00001"
    made.write_shard(path, [made.example(made.episode(range(4)))])
    (reject,) = [entry for entry in listed(source).entries if entry.problem]
    assert reject.problem == "no_features_file"


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"featuresDict": {}}', '{"featuresDict": {"features": {"a": 1}}}'),
        '{"featuresDict": {"features": {"a": {"tensor": {"shape": [Infinity]}}}}}',
    ],
)
def test_features_json_is_wrong(text: str, source: Path) -> None:
    (source / "tiny/1.0.0/features.json").write_text(text)
    with pytest.raises(ConfigError):
        listed(source)


def test_features_json_is_nested_without_end(source: Path) -> None:
    node = made.tensor(1)
    for _ in range(100):
        node = made.dictionary(a=node)
    (source / "tiny/1.0.0/features.json").write_text(json.dumps(node))
    with pytest.raises(ConfigError, match="too deeply"):
        listed(source)


def test_no_pictures(tmp_path: Path) -> None:
    made.write_dataset(tmp_path, {"train": [[made.flags(3)]]}, made.steps_of(a=made.tensor(1)))
    with pytest.raises(ConfigError, match="list of pictures"):
        listed(tmp_path)


def test_arrays_that_may_be_pictures_are_told() -> None:
    arrays = {
        "stack": made.tensor(2, 64, 64, 3, dtype="uint8"),
        "part": made.tensor(-1, 64, 3, dtype="uint8"),
        "planes": made.tensor(3, 64, 64, dtype="uint8"),
        "small": made.tensor(4, 4, 3, dtype="uint8"),
        "table": made.tensor(64, 64, dtype="uint8"),
    }
    found = layout_of(_parsed(made.steps_of(**arrays))).left_out
    assert sorted(name for names in found.values() for name in names) == ["part", "planes", "stack"]


def test_cameras_of_one_name_are_told_apart() -> None:
    image = made.image(8, 8, 3)
    steps = made.dataset(
        made.dictionary(image=image, observation=made.dictionary(image=image, wrist=image))
    )
    found = layout_of(_parsed(made.dictionary(steps=steps)))
    labels = [camera.label for camera in found.cameras]
    assert labels == ["steps/image", "steps/observation/image", "wrist"]


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        (list("öffne es".encode()), "öffne es"),
        ([101, 2202, 1996, 4012, 102], ""),  # of a vocabulary
        ([-1, 111], ""),
    ],
)
def test_instructions_as_numbers_are_bytes_of_utf_8(codes: list[int], text: str) -> None:
    row = np.zeros(16, np.int64)
    row[: len(codes)] = codes
    assert code_runs(np.concatenate([row, row]), 16) == (2, [(0, text)])


def test_a_text_may_be_an_array_of_one(tmp_path: Path) -> None:
    features = made.steps_of(
        image=made.image(), language_instruction=made.tensor(1, dtype="string")
    )
    record = {
        **made.flags(2),
        "steps/image": [encoded(n) for n in range(2)],
        "steps/language_instruction": ["open it"] * 2,
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path).entries
    assert entry.text == "open it"


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
