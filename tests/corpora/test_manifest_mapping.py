"""Tables that name files by columns of ids: mapped by settings, and by the recipes of corpora."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from tests.videos import moving_square, write_video

SMALL = ("run.engine=inline", "windows.length=4", "windows.stride=4", "flow.size=64")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def listed(source: Path, recipe: str | None, *settings: str, corpus: str = "auto") -> Listing:
    config = load_config(recipe, settings)
    tree = Tree(str(source))
    found, _ = find_corpus(tree, corpus, config.manifest)
    assert found.name == "manifest"
    listing = found.listing(tree)
    if not tree.is_file():
        check_account(source, listing)
    return listing


def check_account(source: Path, listing: Listing) -> None:
    """Every file is that of an entry, a table, or ignored; each of these once."""
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    used = {entry.uri.removeprefix("./") for entry in listing.entries} & files
    assert len(files) == len(used) + len(listing.tables) + sum(listing.ignored.values())


WEBVID = [
    {
        "videoid": 1001 + n,
        "contentUrl": f"https://example.org/{1001 + n}.mp4",
        "duration": "PT00H00M12S",
        "page_dir": page,
        "name": caption,
    }
    for n, (page, caption) in enumerate(
        [("000001_000050", "A dog runs"), ("000051_000100", "Waves, at night"), ("", "no page")]
    )
]


@pytest.mark.parametrize("above", ["videos/", "videos/part0/", ""])
def test_webvid_is_read_by_its_recipe(tmp_path: Path, above: str) -> None:
    """results_2M_train.csv, and the folders in which the published downloader puts videos."""
    write_csv(tmp_path / "results_2M_train.csv", WEBVID)
    write_csv(tmp_path / "results_2M_val.csv", [{**WEBVID[0], "videoid": 7, "name": "A cat"}])
    touch(tmp_path, f"{above}000001_000050/1001.mp4", f"{above}000001_000050/7.mp4")
    touch(tmp_path, f"{above}000001_000050/1002.mp4")  # of another page: it is not meant
    found = listed(tmp_path, "webvid")
    assert [(entry.id, entry.text) for entry in found.entries] == [
        ("1001", "A dog runs"),
        ("7", "A cat"),
    ]
    assert found.entries[0].uri == f"{above}000001_000050/1001.mp4"
    assert found.entries[0].labels["duration"] == "PT00H00M12S"
    assert found.unused == {
        "row of results_2M_train.csv that names no file": 1,
        "row of results_2M_train.csv without a file here": 1,
    }
    assert found.ignored == {"video of no row": 1}
    assert found.tables == ("results_2M_train.csv", "results_2M_val.csv")


def test_a_table_that_is_the_source_itself_is_read_by_the_same_recipe(tmp_path: Path) -> None:
    write_csv(tmp_path / "my_part.csv", WEBVID)
    touch(tmp_path, "videos/000051_000100/1002.mp4")
    (entry,) = listed(tmp_path / "my_part.csv", "webvid").entries
    assert (entry.id, entry.uri) == ("1002", "videos/000051_000100/1002.mp4")


def test_openvid_is_read_by_its_recipe(tmp_path: Path) -> None:
    """data/train/OpenVid-1M.csv; each zip file unpacks to a folder of its own."""
    rows = [
        {"video": "celebv_0.mp4", "caption": "A face", "aesthetic score": 5.1, "fps": 24.0},
        {"video": "pexels_1_2to3.mp4", "caption": "A road", "aesthetic score": 4.9, "fps": 30.0},
        {"video": "gone.mp4", "caption": "", "aesthetic score": 4.9, "fps": 30.0},
    ]
    write_csv(tmp_path / "data" / "train" / "OpenVid-1M.csv", rows)
    write_csv(tmp_path / "data" / "train" / "OpenVidHD.csv", rows[:1])
    touch(tmp_path, "video/OpenVid_part0/celebv_0.mp4", "video/pexels_1_2to3.mp4")
    found = listed(tmp_path, "openvid")
    assert [(entry.id, entry.uri, entry.text) for entry in found.entries] == [
        ("celebv_0.mp4", "video/OpenVid_part0/celebv_0.mp4", "A face"),
        ("pexels_1_2to3.mp4", "video/pexels_1_2to3.mp4", "A road"),
    ]
    assert found.entries[0].labels == {"aesthetic score": "5.1", "fps": "24.0"}
    assert found.ignored == {".csv": 1}
    only = listed(tmp_path, "openvid", "manifest.table=OpenVidHD.csv")
    assert [entry.text for entry in only.entries] == ["A face"]
    assert only.ignored == {"video of no row": 1, ".csv": 1}


INTERNVID = [
    {
        "YoutubeID": "HdYo-zCSWyw",
        "Start_timestamp": "00:00:01.000",
        "End_timestamp": "00:00:02.500",
        "Caption": "a hand moves a mouse",
        "Aesthetic_Score": 4.5,
        "UMT_Score": 0.39,
    },
    {
        "YoutubeID": "HdYo-zCSWyw",
        "Start_timestamp": "01:00:02.500",
        "End_timestamp": "01:00:03.000",
        "Caption": "a hand types",
        "Aesthetic_Score": 4.2,
        "UMT_Score": 0.4,
    },
    {
        "YoutubeID": "gone",
        "Start_timestamp": "00:00:00.000",
        "End_timestamp": "00:00:03.000",
        "Caption": "",
    },
]


def test_internvid_is_read_by_its_recipe_as_spans_of_videos(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in INTERNVID)
    (tmp_path / "InternVid-10M-flt.jsonl").write_text(text)
    touch(tmp_path, "a/b/HdYo-zCSWyw.webm", "other.mp4", "HdYo-zCSWyw.json")
    found = listed(tmp_path, "internvid")
    assert [(entry.id, entry.uri, entry.span_s, entry.text) for entry in found.entries] == [
        ("HdYo-zCSWyw#1-2.5", "a/b/HdYo-zCSWyw.webm", (1.0, 2.5), "a hand moves a mouse"),
        ("HdYo-zCSWyw#3602.5-3603", "a/b/HdYo-zCSWyw.webm", (3602.5, 3603.0), "a hand types"),
    ]
    assert found.unused == {"row of InternVid-10M-flt.jsonl without a file here": 1}
    assert found.ignored == {"video of no row": 1, ".json": 1}


def test_internvid_that_was_cut_is_read_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "InternVid.jsonl").write_text(json.dumps(INTERNVID[0]))
    touch(tmp_path, "clips/HdYo-zCSWyw_00:00:01.000_00:00:02.500.mp4")
    (entry,) = listed(
        tmp_path,
        "internvid",
        "manifest.uri={YoutubeID}_{Start_timestamp}_{End_timestamp}",
        "manifest.start=",
        "manifest.end=",
    ).entries
    assert entry.uri == "clips/HdYo-zCSWyw_00:00:01.000_00:00:02.500.mp4"
    assert (entry.span_s, entry.text) == (None, "a hand moves a mouse")


def test_any_table_of_ids_is_read_by_settings(tmp_path: Path) -> None:
    """HowTo100M's table, say, for its labels alone."""
    rows = [{"video_id": "nVbIUDjzWY4", "category_1": "Cars", "rank": 108, "task_id": 52907}]
    write_csv(tmp_path / "HowTo100M_v1.csv", rows)
    touch(tmp_path, "v/nVbIUDjzWY4.mkv")
    assert find_corpus(Tree(str(tmp_path)))[0].name == "howto100m"
    settings = ("manifest.table=HowTo100M_v1.csv", "manifest.uri=video_id")
    (entry,) = listed(tmp_path, None, *settings, "manifest.find=anywhere").entries
    assert (entry.uri, entry.labels["category_1"]) == ("v/nVbIUDjzWY4.mkv", "Cars")


def test_a_recipe_gives_windows_with_texts(tmp_path: Path) -> None:
    write_csv(tmp_path / "s" / "results_2M_val.csv", WEBVID)
    folder = tmp_path / "s" / "videos" / "000001_000050"
    folder.mkdir(parents=True)
    write_video(folder / "1001.mp4", moving_square(60), 12)
    config = load_config("webvid", [*SMALL, "windows.camera=off"])
    tree, dest = Tree(str(tmp_path / "s")), Tree(str(tmp_path / "d"))
    execute(prepare(tree, dest, config, "auto"), lambda event: None)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {(row["source"], row["text"]) for row in rows} == {("1001", "A dog runs")}
    plain = load_config("web_video", [*SMALL, "windows.camera=off"])
    with pytest.raises(ConfigError, match="manifest"):
        prepare(tree, dest, plain, "manifest")


def test_a_pattern_finds_files_of_any_suffix_at_its_path_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"k": "a", "n": 1}, {"k": "b", "n": 2}, {"k": "c", "n": 3}])
    touch(tmp_path, "v/a/1.webm", "deep/v/b/2.mp4", "v/c/3.txt")
    found = listed(tmp_path, None, "manifest.table=t.csv", "manifest.uri=v/{k}/{n}")
    assert [entry.uri for entry in found.entries] == ["v/a/1.webm"]
    assert found.unused == {"row of t.csv without a file here": 2}
    assert found.ignored == {"video of no row": 1, ".txt": 1}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("find", ["path", "anywhere"])
def test_the_folder_of_the_files_may_be_another(tmp_path: Path, absolute: bool, find: str) -> None:
    source = tmp_path / "s"
    write_csv(source / "t" / "x.csv", [{"id": "a", "video": "a.mp4"}])
    place = tmp_path if absolute else source
    touch(place, "files/a.mp4")
    touch(source, "a.mp4")
    root = str(tmp_path / "files") if absolute else "files"
    settings = (f"manifest.root={root}", f"manifest.find={find}", "manifest.table=t/x.csv")
    config = load_config(None, settings)
    tree = Tree(str(source))
    found = find_corpus(tree, "auto", config.manifest)[0].listing(tree)
    (entry,) = found.entries
    assert entry.uri == f"{root}/a.mp4"
    assert found.ignored == {"video of no row": 1}
    assert tree.size(parse(entry.uri)) == 1


def test_several_files_of_one_name_are_a_reject_and_none_is_picked(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"n": "0"}])
    touch(tmp_path, "a/0.mp4", "b/0.mp4")
    settings = ("manifest.table=t.csv", "manifest.uri=n", "manifest.find=anywhere")
    found = listed(tmp_path, None, *settings)
    (entry,) = found.entries
    assert (entry.problem, entry.detail) == (
        "ambiguous_file",
        "t.csv, line 2: 0 may be a/0.mp4, b/0.mp4",
    )
    assert found.ignored == {"video of the same name as another": 1}


def test_where_no_file_is_found_the_first_that_was_looked_for_is_shown(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"n": "0"}, {"n": "1"}])
    touch(tmp_path, "a/zero.mp4")
    with pytest.raises(
        ConfigError, match=r"none of the files that its 2 rows name .*'line 2: v/0'"
    ):
        listed(tmp_path, None, "manifest.table=t.csv", "manifest.uri=v/{n}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("manifest.uri=v/{n",), "a pattern with columns in braces"),
        (("manifest.uri={n",), "a pattern with columns in braces"),
        (("manifest.uri={m}.mp4",), "asks for the column 'm'; found n"),
        (
            ("manifest.uri=n", "manifest.text=caption"),
            "manifest.text asks for .*'caption'; found n",
        ),
        (("manifest.table=gone.csv",), "no file has this name; at the top there are t.csv"),
        (("manifest.text=n",), r"manifest\.\* is set, but .* is read as folder"),
        (("manifest.file=n",), "unknown key 'manifest.file'"),
    ],
)
def test_a_setting_that_fits_nothing_is_refused(
    tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    write_csv(tmp_path / "t.csv", [{"n": "0"}])
    touch(tmp_path, "0.mp4")
    table = () if "table" in settings[0] or "text=n" in settings[0] else ("manifest.table=t.csv",)
    with pytest.raises(ConfigError, match=message):
        listed(tmp_path, None, *settings, *table)


def test_a_pattern_may_be_of_one_column_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"n": "0", "text": "push cup"}])
    touch(tmp_path, "0.mp4")
    (entry,) = listed(tmp_path, None, "manifest.table=t.csv", "manifest.uri={n}").entries
    assert (entry.uri, entry.text) == ("0.mp4", "push cup")


def test_the_settings_count_in_the_digest_only_where_they_are_given() -> None:
    assert "manifest" not in load_config(None).content()
    assert load_config("webvid").content()["manifest"]["id"] == "videoid"
    assert load_config(None, ["manifest.uri=a"]).digest() != load_config(None).digest()
