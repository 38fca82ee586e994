"""Cells of manifests as people's programs write them: nothing, paths of Windows, file URLs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import ManifestConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.manifest_values import ABSENT
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_url
from tests.ego4ds import KITCHEN, write_ego4d


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with three files, one of an odd name."""
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b c.mp4", "100%25.mp4"):
        (tmp_path / "clips" / name).write_bytes(b"x")
    return tmp_path


def listing(place: Path, **config: str) -> Listing:
    found, _ = find_corpus(Tree(str(place)), "auto", ManifestConfig(**config))
    assert isinstance(found, Manifest)
    return list_source(found, Tree(str(place)), with_actions=False)


def of_csv(source: Path, content: str, **config: str) -> Listing:
    (source / "manifest.csv").write_text(content)
    return listing(source, **config)


def only(found: Listing) -> Entry:
    (entry,) = found.entries
    return entry


@pytest.mark.parametrize("word", sorted(ABSENT))
def test_what_programs_write_for_nothing_is_no_text_no_time_and_no_id(
    source: Path, word: str
) -> None:
    text = f"uri,text,start_s,end_s,id,country\nclips/a.mp4,{word},{word},{word},{word},{word}\n"
    found = of_csv(source, text)
    entry = only(found)
    assert (entry.text, entry.span_s, entry.id) == ("", None, "clips/a.mp4")
    assert entry.labels == {"country": word}  # may be Namibia's
    assert found.notes == (f"1 x text or time is taken for none: {word!r} 1",)


def test_strings_of_nan_in_parquet_and_json_are_no_text(source: Path) -> None:
    rows = {"uri": ["clips/a.mp4"], "text": ["nan"]}  # of pandas' astype(str)
    pq.write_table(pa.table(rows), source / "m.parquet")
    (source / "m.json").write_text(json.dumps([{"uri": "clips/a.mp4", "text": "None"}]))
    assert only(listing(source / "m.parquet")).text == ""
    assert only(listing(source / "m.json")).text == ""


@pytest.mark.parametrize("text", ["none", "na na na", "Nan bakes bread", "null and void"])
def test_words_that_look_like_nothing_stay_text(source: Path, text: str) -> None:
    found = of_csv(source, f"uri,text\nclips/a.mp4,{text}\n")
    assert only(found).text == text
    assert not found.notes


def test_a_span_of_which_one_time_is_nothing_stops_with_its_line(source: Path) -> None:
    with pytest.raises(ConfigError, match="line 2: start_s and end_s: 'NA' is no time"):
        of_csv(source, "uri,start_s,end_s\nclips/a.mp4,NA,1\n")


@pytest.mark.parametrize("as_source", [False, True])
def test_paths_of_windows_and_encoded_file_urls_find_their_files(
    source: Path, as_source: bool
) -> None:
    url = (source / "clips" / "b c.mp4").as_uri()
    assert "%20" in url
    (source / "manifest.csv").write_text(f"uri\nclips\\a.mp4\n{url}\nclips/100%25.mp4\n")
    found = listing(source / "manifest.csv" if as_source else source)
    assert [entry.uri for entry in found.entries] == [
        "clips/a.mp4",
        f"file://{source}/clips/b c.mp4",
        "clips/100%25.mp4",
    ]
    assert [entry.id for entry in found.entries] == ["clips\\a.mp4", url, "clips/100%25.mp4"]
    assert found.notes[0].startswith("2 x file is not there as its row spells it")
    assert not found.ignored


def test_a_backslash_that_belongs_to_a_name_is_left_alone(source: Path) -> None:
    (source / "clips\\a.mp4").write_bytes(b"x")
    found = of_csv(source, "uri\nclips\\a.mp4\n")
    assert only(found).uri == "clips\\a.mp4"
    assert found.ignored == {"video of no row": 3}


def test_patterns_with_backslashes_find_files_too(source: Path) -> None:
    text = "folder,name\nclips,a\nclips,gone\n"
    found = of_csv(source, text, table="manifest.csv", uri="{folder}\\{name}")
    assert only(found).uri == "clips/a.mp4"
    assert found.unused == {"row of manifest.csv without a file here": 1}


def test_what_ego4d_redacts_is_hidden_however_a_row_spells_its_file(tmp_path: Path) -> None:
    root = write_ego4d(tmp_path / "e 4d")
    table = tmp_path / "m" / "manifest.csv"
    table.parent.mkdir()
    video = root / "full_scale" / f"{KITCHEN}.mp4"
    rows = [f"..\\e 4d\\full_scale\\{KITCHEN}.mp4", video.as_uri(), f"local://{video}"]
    table.write_text("\n".join(["uri", *rows, ""]))
    found = listing(table.parent)
    assert [bool(entry.annotations.hidden_s) for entry in found.entries] == [True] * 3


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_is_named_by_a_whole_path_is_not_counted_again(
    source: Path, tmp_path_factory: pytest.TempPathFactory, scheme: str, linked: bool
) -> None:
    place = source
    if linked:
        place = tmp_path_factory.mktemp("link") / "source"
        place.symlink_to(source)
    (source / "manifest.csv").write_text(f"uri\n{scheme}{source}/clips/a.mp4\n")
    assert listing(place).ignored == {"video of no row": 2}


@pytest.mark.parametrize("before", ["\n", "\r\n \t\r\n", "\n\nsep=,\n"])
def test_empty_lines_before_the_heading_are_passed_over(source: Path, before: str) -> None:
    found = of_csv(source, f"{before}uri,text\nclips/a.mp4,push\n")
    assert only(found).text == "push"
    lines = before.count("\n")
    with pytest.raises(ConfigError, match=f"line {lines + 2} has 1 cells, line {lines + 1} has 2"):
        of_csv(source, f"{before}uri,text\nclips/a.mp4\n")


def test_a_setting_that_fits_no_column_or_table_names_the_nearest(source: Path) -> None:
    content = "videoId,Caption\na,push\n"
    with pytest.raises(
        ConfigError, match=r"'videoid'; found .*; did you mean 'videoId'\?"
    ) as error:
        of_csv(source, content, uri="videoid")
    assert "Mend" not in str(error.value)  # nothing is wrong with the table
    with pytest.raises(ConfigError, match=r"did you mean 'Caption'\?"):
        of_csv(source, content, uri="{videoId}", find="anywhere", text="captoin")
    with pytest.raises(ConfigError, match=r"did you mean 'manifest.csv'\?"):
        of_csv(source, content, table="manifests.csv")
    with pytest.raises(ConfigError, match=f"is below {source}: the first is 'line 2: a/a'"):
        of_csv(source, content, uri="a/{videoId}")


def test_a_table_with_videos_in_it_is_no_manifest_of_them(tmp_path: Path) -> None:
    video = b"\0" * 5000
    struct = {"video": [{"bytes": video, "path": "a.mp4"}], "text": ["x"]}
    for name, rows in (("s.parquet", struct), ("b.parquet", {"video": [video], "text": ["x"]})):
        pq.write_table(pa.table(rows), tmp_path / name)
        assert find_corpus(Tree(str(tmp_path / name)))[0].name == "video2dataset"
    pq.write_table(pa.table({"video": [b"a.mp4"]}), tmp_path / "n.parquet")
    assert only(listing(tmp_path / "n.parquet")).uri == "a.mp4"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("local:///a/b.mp4", "local:///a/b.mp4"),
        ("memory://a/b c.mp4", "memory://a/b c.mp4"),
        ("S3://b/a.mp4", "S3://b/a.mp4"),
        ("s3://key:pass@b/a@1.mp4?token=t#f", "s3://b/a@1.mp4"),
        ("https://u:p@host", "https://host"),
        ("s3://[x/a.mp4", "s3://[x/a.mp4"),
    ],
)
def test_a_url_without_secrets_is_shown_as_it_is(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_of_several_manifests_the_first_that_names_files_is_read_and_the_others_are_named(
    source: Path,
) -> None:
    (source / "manifest.jsonl").write_text('{"uri": "clips/b c.mp4"}\n')
    assert only(of_csv(source, "uri\nclips/a.mp4\n")).uri == "clips/a.mp4"
    assert listing(source).notes == ("manifest.jsonl is not read, since manifest.csv is there",)
    assert only(of_csv(source, "name\na\n")).uri == "clips/b c.mp4"
    assert listing(source).notes == ("manifest.csv is not read, since manifest.jsonl is there",)


@pytest.mark.parametrize("content", ["uri,text\n", "uri,text\n\n,\n"])
def test_a_manifest_without_a_row_is_said_to_have_none(source: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"table manifest.csv in .*: no row of it names a file"):
        of_csv(source, content)
