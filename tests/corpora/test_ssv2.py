"""Something-Something V2 in the layouts in which it is passed around, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.ssv2 import SomethingSomethingV2
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree

WEBM = b"\x1aE\xdf\xa3" + b"\x00" * 60
TRAIN = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    },
    {
        "id": "42326",
        "label": "spreading margarine onto bread",
        "template": "Spreading [something] onto [something]",
        "placeholders": ["margarine", "bread"],
    },
]
VALIDATION = [
    {
        "id": "74225",
        "label": "spinning cube that quickly stops spinning",
        "template": "Spinning [something] that quickly stops spinning",
        "placeholders": ["cube"],
    }
]
TEST = [{"id": "1420"}]
CLASSES = {
    "Holding something next to something": "0",
    "Spreading something onto something": "1",
    "Spinning something that quickly stops spinning": "2",
}
IDS = ("78687", "42326", "74225", "1420")


def write(root: Path, rel: str, value: Any) -> None:
    path = root / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())


def corpus(root: Path, labels: str = "labels/{}.json", video: str = "") -> Path:
    parts = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "labels": CLASSES}
    for name, value in parts.items():
        write(root, labels.format(name), value)
    for id in IDS:
        write(root, (video or "20bn-something-something-v2/{}.webm").format(id), WEBM)
    return root


def listing(root: Path) -> Listing:
    return SomethingSomethingV2().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def test_label_template_class_placeholders_and_split_are_read(tmp_path: Path) -> None:
    found = entries(corpus(tmp_path))
    assert list(found) == list(IDS)
    assert found["78687"] == Entry(
        id="78687",
        uri="20bn-something-something-v2/78687.webm",
        size_bytes=len(WEBM),
        text="holding potato next to vicks vaporub bottle",
        labels={
            "split": "train",
            "template": "Holding [something] next to [something]",
            "class_id": "0",
            "placeholders": '["potato", "vicks vaporub bottle"]',
        },
    )
    assert found["74225"].labels["split"] == "validation"
    assert found["1420"] == Entry(
        "1420", "20bn-something-something-v2/1420.webm", len(WEBM), labels={"split": "test"}
    )


@pytest.mark.parametrize(
    "labels",
    [
        "labels/{}.json",
        "something-something-v2-{}.json",
        "labels/something-something-v2-{}.json",
    ],
)
@pytest.mark.parametrize(
    "video", ["20bn-something-something-v2/{}.webm", "videos/{}.mp4", "{}.webm", "v/{}.mkv"]
)
def test_the_layouts_in_use_are_detected_and_read(tmp_path: Path, labels: str, video: str) -> None:
    corpus(tmp_path, labels, video)
    found, why = find_corpus(Tree(str(tmp_path)))
    assert found.name == "ssv2"
    assert "train.json" in why
    result = found.listing(Tree(str(tmp_path)))
    assert [entry.uri for entry in result.entries] == [video.format(id) for id in IDS]
    assert result.ignored == {}
    assert result.notes == ()


def test_an_object_store_is_read_like_a_folder() -> None:
    tree = Tree("memory://ssv2")
    tree.write("labels/train.json", json.dumps(TRAIN).encode())
    tree.write("videos/78687.webm", WEBM)
    found, _ = find_corpus(tree)
    assert found.name == "ssv2"
    assert [entry.problem for entry in found.listing(tree).entries] == ["", "no_file"]


def test_test_answers_label_the_test_split(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "labels/test-answers.csv", b"1420;Spreading something onto something\r\n")
    found = entries(tmp_path)["1420"]
    assert found.text == "Spreading something onto something"
    assert found.labels["class_id"] == "1"


def test_an_id_without_a_file_is_an_entry_with_that_problem(tmp_path: Path) -> None:
    corpus(tmp_path)
    (tmp_path / "20bn-something-something-v2" / "42326.webm").unlink()
    found = entries(tmp_path)["42326"]
    assert found.problem == "no_file"
    assert found.detail
    assert found.uri == "20bn-something-something-v2/42326.webm"


def test_a_clip_without_a_label_is_used_and_noted(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "20bn-something-something-v2/9.webm", WEBM)
    result = listing(tmp_path)
    (entry,) = [entry for entry in result.entries if entry.id == "9"]
    assert (entry.text, entry.problem, entry.labels) == ("", "", {"split": "unlabelled"})
    assert result.notes == ("1 x clip has no label; used without: 9",)


def test_an_id_in_two_splits_counts_once_and_is_noted(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "labels/validation.json", [*VALIDATION, TRAIN[0]])
    result = listing(tmp_path)
    assert [entry.labels["split"] for entry in result.entries if entry.id == "78687"] == ["train"]
    assert result.notes == ("1 x duplicate id; the first is kept: 78687",)


def test_of_several_files_of_an_id_one_is_used(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "backup/78687.webm", WEBM)
    write(tmp_path, "20bn-something-something-v2/78687.mp4", WEBM)
    result = listing(tmp_path)
    assert result.entries[0].uri == "20bn-something-something-v2/78687.webm"
    assert len(result.entries) == 6
    again = {entry.id: entry for entry in result.entries[4:]}
    assert set(again) == {"20bn-something-something-v2/78687.mp4", "backup/78687.webm"}
    assert {entry.problem for entry in again.values()} == {"duplicate_id"}
    assert result.notes == ()


def test_a_label_that_is_repeated_word_for_word_is_counted(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "labels/train.json", [*TRAIN, TRAIN[0]])
    write(tmp_path, "labels/test-answers.csv", b"1420;x\n99;y\n")
    result = listing(tmp_path)
    assert result.unused == {"answer for no clip": 1, "repeated row": 1}
    assert len(result.entries) == 4
    assert "labels/test-answers.csv" in result.tables


def test_label_files_that_are_not_read_are_counted(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "something-something-v2-train.json", TRAIN)
    write(tmp_path, "labels.zip", b"x")
    assert listing(tmp_path).ignored == {".json": 1, ".zip": 1}


def test_clips_in_other_containers_are_read(tmp_path: Path) -> None:
    corpus(tmp_path, video="v/{}.AVI")
    assert [entry.uri for entry in listing(tmp_path).entries] == [f"v/{id}.AVI" for id in IDS]


def test_other_files_and_other_videos_are_counted(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "licence.txt", b"x")
    write(tmp_path, "extra/intro.webm", WEBM)
    write(tmp_path, "20bn-something-something-v2/._78687.webm", WEBM)
    result = listing(tmp_path)
    assert result.ignored == {".txt": 1, ".webm": 1, "hidden": 1}
    assert result.notes == ("1 x video is not named by an id; ignored: extra/intro.webm",)


def test_a_dangling_link_and_a_folder_in_place_of_a_clip_carry_their_problem(
    tmp_path: Path,
) -> None:
    corpus(tmp_path)
    for id in ("78687", "42326"):
        (tmp_path / "20bn-something-something-v2" / f"{id}.webm").unlink()
    (tmp_path / "20bn-something-something-v2" / "78687.webm").symlink_to("nowhere")
    (tmp_path / "20bn-something-something-v2" / "42326.webm").mkdir()
    found = entries(tmp_path)
    assert found["78687"].problem == "dangling_link"
    assert found["42326"].problem == "is_a_directory"


def test_ids_may_be_numbers_and_fields_may_be_absent(tmp_path: Path) -> None:
    write(tmp_path, "labels/train.json", [{"id": 7, "label": "pushing a cup"}])
    write(tmp_path, "videos/7.webm", WEBM)
    (entry,) = listing(tmp_path).entries
    assert (entry.id, entry.text, entry.labels) == ("7", "pushing a cup", {"split": "train"})


def test_only_fields_on_the_list_are_read(tmp_path: Path) -> None:
    write(tmp_path, "labels/train.json", [{"id": "7", "label": "x", "action": [1, 2]}])
    write(tmp_path, "videos/7.webm", WEBM)
    assert set(entries(tmp_path)["7"].labels) == {"split"}


def test_text_can_always_be_stored_as_utf_8(tmp_path: Path) -> None:
    write(tmp_path, "labels/train.json", b'[{"id": "7", "label": "caf\\u00e9 \\ud800"}]')
    write(tmp_path, "videos/7.webm", WEBM)
    assert entries(tmp_path)["7"].text == "café ?"


def test_a_folder_without_label_files_is_no_ssv2(tmp_path: Path) -> None:
    write(tmp_path, "20bn-something-something-v2/7.webm", WEBM)
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"
    with pytest.raises(ConfigError, match=r"no label file.*labels/train.json.*--corpus folder"):
        listing(tmp_path)


def test_labels_beside_clips_with_other_names_are_no_ssv2(tmp_path: Path) -> None:
    write(tmp_path, "labels/train.json", {})
    write(tmp_path, "videos/intro.webm", WEBM)
    assert SomethingSomethingV2().detect(Tree(str(tmp_path))) == ""


BAD = {
    "cut off": (b'[{"id": "7",\n "la', "line 2, column 2"),
    "empty": (b"", "line 1, column 1"),
    "not UTF-8": (b'[{"id": "7", "label": "\xff"}]', "no valid JSON"),
    "an object at the top": (b"{}", "expected a list at the top, found object"),
    "a record that is no object": (b'[{"id": "7"}, 3]', "record 1"),
    "a record without id": (b'[{"label": "x"}]', "record 0 needs an 'id'.*found none"),
    "an id that is a path": (b'[{"id": "../7"}]', "found '../7'"),
    "a label that is no text": (b'[{"id": "7", "label": 3}]', "record 0: 'label'.*found number"),
    "placeholders that are no list": (b'[{"id": "7", "placeholders": null}]', "found null"),
    "a deep nest": (b"[" * 100_000, "no valid JSON"),
    "a huge number": (b'[{"id": ' + b"9" * 10_000 + b"}]", "no valid JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_label_file_is_refused_with_its_name_and_place(
    tmp_path: Path, case: str
) -> None:
    data, message = BAD[case]
    corpus(tmp_path)
    write(tmp_path, "labels/train.json", data)
    with pytest.raises(ConfigError, match=message) as caught:
        listing(tmp_path)
    assert "labels/train.json" in str(caught.value)


def test_malformed_classes_and_answers_are_refused(tmp_path: Path) -> None:
    corpus(tmp_path)
    write(tmp_path, "labels/labels.json", {"Holding something": []})
    with pytest.raises(ConfigError, match=r"labels/labels\.json.*'Holding something'"):
        listing(tmp_path)
    write(tmp_path, "labels/labels.json", CLASSES)
    write(tmp_path, "labels/test-answers.csv", b"id;label\n1420;x\nrubbish\n")
    with pytest.raises(ConfigError, match="line 3 should read id;label"):
        listing(tmp_path)


def test_a_label_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    corpus(tmp_path)
    (tmp_path / "labels" / "labels.json").unlink()
    (tmp_path / "labels" / "labels.json").mkdir()
    with pytest.raises(ConfigError, match=r"labels/labels\.json"):
        listing(tmp_path)


def test_a_label_file_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.corpora.readers.jsonfile.MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="more than the 10"):
        listing(corpus(tmp_path))
