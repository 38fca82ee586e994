"""The page of a dataset shows its account, shows its windows, and takes all text as data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.errors import StorageError
from sofdata.report.dataset import write_report
from sofdata.report.page import histogram
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest, sofdata

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x' {{ 7*7 }} \u202e turned"
)


class Elements(HTMLParser):
    """Gathers what a browser would make of a page: tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(dest: Path, out: Path, rows: int = 3) -> Elements:
    dataset = read_dataset(Tree(str(dest)))
    assert dataset is not None
    write_report(Tree(str(dest)), dataset, rows, str(out))
    return Elements(out.read_text())


def test_the_page_tells_the_account_and_shows_windows(dataset: Path, tmp_path: Path) -> None:
    record = read_dataset(Tree(str(dataset)))
    assert record is not None
    page = page_of(dataset, tmp_path / "page.html")
    assert f"{record.counts.windows} windows of optical flow" in " ".join(page.text.split())
    assert f"{record.counts.videos} videos" in page.text
    assert "static" in page.text
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 1 + 3 * 6  # the wheel; a first, four flows and a last frame each
    assert len(set(pictures)) > 10  # steps in which nothing moves look alike


def test_windows_have_the_names_of_their_videos_and_pictures_say_what_they_are(
    dataset: Path, tmp_path: Path
) -> None:
    page = page_of(dataset, tmp_path / "page.html")
    index = pq.read_table(dataset / "index.parquet").to_pylist()
    for row in (index[0], index[-1]):
        assert f"{row['source']}, window {row['window']}" in page.text
        assert row["key"] not in page.text
    for label in ("first frame", "flow, step 1", "last frame"):
        assert page.text.count(label) >= 3


def test_the_page_asks_for_nothing_and_runs_nothing(dataset: Path, tmp_path: Path) -> None:
    page = page_of(dataset, tmp_path / "page.html")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
    assert not re.search(r"url\(|@import", (tmp_path / "page.html").read_text())


def test_labels_are_shown_as_they_are_and_never_become_markup(tmp_path: Path, corpus: Path) -> None:
    source = tmp_path / "source"
    (source / "labels").mkdir(parents=True)
    (source / "1.webm").symlink_to(sorted(corpus.rglob("*.webm"))[0])
    (source / "2.webm").write_text("no video")
    labels = [{"id": id, "label": HOSTILE, "template": HOSTILE} for id in ("1", "2")]
    (source / "labels" / "train.json").write_text(json.dumps(labels))
    ingest(source, tmp_path / "d")
    page = page_of(tmp_path / "d", tmp_path / "page.html")
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "\u202e" not in page.text  # would turn the rest of the line around
    assert not {tag for tag, _ in page.tags} & {"script"}
    assert not [1 for _, attributes in page.tags if "onerror" in attributes]


def test_a_dataset_without_a_window_has_a_page_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.mp4").write_text("no video")
    ingest(tmp_path / "s", tmp_path / "d")
    page = page_of(tmp_path / "d", tmp_path / "page.html")
    assert "not_a_video" in page.text
    assert "a.mp4" in page.text


def test_the_command_puts_the_page_into_the_dataset_which_stays_whole(
    corpus: Path, tmp_path: Path
) -> None:
    ingest(corpus, tmp_path / "d")
    before = hashes(tmp_path / "d")
    done = sofdata("report", tmp_path / "d", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["report"]) == tmp_path / "d" / "report.html"
    after = hashes(tmp_path / "d")
    assert after.pop("report.html")
    assert after == before
    assert sofdata("verify", tmp_path / "d").returncode == 0
    assert "nothing to do" in sofdata("ingest", corpus, tmp_path / "d").stderr
    assert sofdata("report", tmp_path).returncode == 2


def test_a_page_that_cannot_be_written_says_so(dataset: Path, tmp_path: Path) -> None:
    record = read_dataset(Tree(str(dataset)))
    assert record is not None
    with pytest.raises(StorageError, match=r"cannot write .*no/page\.html"):
        write_report(Tree(str(dataset)), record, 1, str(tmp_path / "no" / "page.html"))


def test_a_histogram_is_not_flattened_by_one_stray_value() -> None:
    values = np.r_[np.linspace(0, 1, 999), 1e6]
    found = histogram("x", "px", values)
    assert found is not None
    assert found.high < 2
    assert found.over == 5
    assert max(found.heights) == 1
    assert np.mean(found.heights) > 0.8


def test_a_histogram_of_nothing_is_none_and_of_one_value_is_drawn() -> None:
    assert histogram("x", "", np.array([np.nan])) is None
    same = histogram("x", "", np.zeros(5))
    assert same is not None
    assert sum(same.heights) == 1
