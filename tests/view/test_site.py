"""Every page shows what is asked for, takes all text as data, and survives odd addresses."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sofdata.storage.tree import Tree
from sofdata.view.film import Source
from sofdata.view.site import Site
from tests.helpers import ingest
from tests.report.test_dataset_page import Elements
from tests.view.conftest import write_skills

PAGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("window", {"row": "0"}),
    ("skills", {}),
    ("code", {"code": "CODE"}),
    ("aside", {}),
    ("aside", {"kind": "window"}),
    ("aside", {"kind": "salvaged"}),
    ("account", {}),
)


def page(site: Site, path: str, **given: str) -> Elements:
    answer = site.answer(path, given)
    assert answer.status == 200, answer.body
    return Elements(answer.body.decode())


def used_code(dest: Path) -> str:
    return str(pq.read_table(dest / "skills" / "model.parquet")["tokens"][0][0].as_py())


def source_of(dest: Path) -> str:
    found: str = pq.read_table(dest / "index.parquet")["source"][0].as_py()
    return found


def test_no_page_has_a_script_style_or_handler_of_the_data(site: Site, hostile: Path) -> None:
    pages = [*PAGES, ("video", {"id": source_of(hostile)})]
    for path, given in pages:
        given = {name: value.replace("CODE", used_code(hostile)) for name, value in given.items()}
        found = page(site, path, **given)
        assert {tag for tag, _ in found.tags} & {"iframe", "object", "style", "b onclick"} == set()
        scripts = [attributes for tag, attributes in found.tags if tag == "script"]
        assert scripts == [{"src": "static/view.js", "defer": None}]
        for _, attributes in found.tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert "\u202e" not in found.text
        assert "\x07" not in found.text


def test_a_caption_is_shown_as_it_is_and_cut_where_it_is_long(site: Site) -> None:
    text = page(site, "").text
    assert "<script>document.title=" in text
    assert "{{ 7*7 }}" in text
    assert "…" in text
    assert max(map(len, text.splitlines())) < 2000


def test_links_lead_to_pages_that_are_there(site: Site, hostile: Path) -> None:
    seen: set[str] = set()
    waiting = ["./"]
    while waiting:
        link = waiting.pop()
        if link in seen or len(seen) > 60:
            continue
        seen.add(link)
        path, _, query = link.removeprefix("./").partition("?")
        given = dict(pair for pair in _pairs(query))
        answer = site.answer(path, given)
        assert answer.status == 200, (link, answer.body)
        if answer.kind.startswith("text/html"):
            for tag, attributes in Elements(answer.body.decode()).tags:
                target = attributes.get("href") if tag == "a" else attributes.get("src")
                if target:
                    waiting.append(target)
    assert {"account", "skills", "aside"} <= seen
    assert any(link.startswith("video?id=%3Cb+onclick") for link in seen)
    assert any(link.startswith("code?") for link in seen)


def _pairs(query: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(query)


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("window", {"row": "999999"}, 400),
        ("window", {"row": "-1"}, 400),
        ("window", {}, 400),
        ("video", {"id": "no such"}, 404),
        ("video", {"id": "../../etc/passwd"}, 404),
        ("code", {"code": "999"}, 404),
        ("code", {"file": "../index", "code": "1"}, 404),
        ("skills", {"file": "../../secret"}, 200),  # says that it is no file of skills
        ("static/../server.py", {}, 404),
        ("static/view.html.j2", {}, 404),
        ("picture/first", {"row": "1e3"}, 400),
        ("aside", {"kind": "<i>"}, 400),
        ("", {"page": "x"}, 400),
        ("", {"page": "999999"}, 200),  # the last one
        ("no/such", {}, 404),
    ],
)
def test_an_odd_address_gets_a_page_that_says_so(
    site: Site, path: str, given: dict[str, str], status: int
) -> None:
    answer = site.answer(path, given)
    assert answer.status == status
    assert b"Traceback" not in answer.body


def test_pictures_are_those_of_the_window(site: Site) -> None:
    def opened(name: str) -> Image.Image:
        answer = site.answer(f"picture/{name}", {"row": "1"})
        assert answer.status == 200, answer.body
        assert answer.is_kept
        return Image.open(io.BytesIO(answer.body))

    steps = int(getattr(opened("flow"), "n_frames", 0))
    assert opened("strip").size == (opened("flow").width, 8 * opened("flow").height)
    assert 1 <= steps <= 8  # alike ones are one that lasts longer
    assert opened("strip").mode == "RGBA"
    frames = np.asarray(opened("frames"))
    assert frames.shape == (9 * 256, 256, 3)
    first = np.asarray(opened("first").convert("RGB").resize((256, 256))).astype(float)
    last = np.asarray(opened("last").convert("RGB").resize((256, 256))).astype(float)
    assert np.abs(frames[:256] - first).mean() < 6
    assert np.abs(frames[-256:] - last).mean() < 6


def test_where_the_source_is_gone_the_page_says_so_and_shows_what_is_stored(
    corpus: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(corpus, source)
    ingest(source, tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    changed = sorted(source.rglob("*.webm"))
    site = Site(tree, Source.of(tree, None))
    for clip in changed:
        clip.write_bytes(b"x" + clip.read_bytes())
    answer = site.answer("picture/frames", {"row": "0"})
    assert answer.status == 404
    assert b"has changed since" in answer.body
    for clip in changed:
        clip.unlink()
    assert b"not in the source any more" in site.answer("picture/frames", {"row": "0"}).body
    site.close()
    shutil.rmtree(source)
    site = Site(tree, Source.of(tree, None))
    found = page(site, "window", row="0")
    assert "is not there; start with --source" in found.text
    assert site.answer("picture/first", {"row": "0"}).status == 200
    site.close()


def test_set_aside_lists_what_is_not_done_and_finds_by_reason_and_words(site: Site) -> None:
    assert "none<i>.mp4" in page(site, "aside").text
    assert "not_a_video" in page(site, "aside", reason="not_a_video").text
    assert "none<i>.mp4" in page(site, "aside", q="NONE").text
    assert "nothing here" in page(site, "aside", q="elsewhere").text


def test_a_video_without_windows_says_nothing_of_pictures(site: Site, hostile: Path) -> None:
    without = page(site, "video", id="none<i>.mp4").text
    assert "rejected" in without
    assert "on the page of each window" not in without
    assert "on the page of each window" in page(site, "video", id=source_of(hostile)).text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"where": "nonsense > <i>", "q": "kept words"}, "nonsense"),
        ({"least": "much", "q": "kept words"}, "motion is a number of px a step"),
        ({"order": "odd", "q": "kept words"}, "order is one of"),
    ],
)
def test_a_search_that_is_none_says_so_and_keeps_what_was_typed(
    site: Site, given: dict[str, str], message: str
) -> None:
    answer = site.answer("", given)
    found = Elements(answer.body.decode())
    assert answer.status == 400
    assert message in found.text
    typed = {each.get("name"): each.get("value") for tag, each in found.tags if tag == "input"}
    assert typed["q"] == "kept words"
    assert typed["where"] == given.get("where", "")
    assert "fits this search" not in found.text


def test_the_title_of_a_page_says_what_it_is(site: Site) -> None:
    for given, title in (({}, "windows of dest"), ({"q": "nothing"}, "search of dest")):
        body = site.answer("", given).body.decode()
        assert f"<title>{title}</title>" in body


def test_the_account_adds_up(site: Site, hostile: Path) -> None:
    lines = page(site, "account").text.splitlines()
    row = next(line for line in lines if line.startswith("manifest"))
    rejects = len(pq.read_table(hostile / "rejects.parquet")) - 1  # the video that is none
    windows = pq.read_table(hostile / "index.parquet").num_rows
    assert row == f"manifest3210{windows}{rejects}0"  # cells, one after the other


def test_a_code_has_the_windows_that_have_it(site: Site, hostile: Path) -> None:
    tokens = np.array(pq.read_table(hostile / "skills" / "model.parquet")["tokens"].to_pylist())
    code = int(tokens[0, 0])
    found = page(site, "code", code=str(code))
    links = [a["href"] for tag, a in found.tags if tag == "a" and (a["href"] or "")[:6] == "window"]
    rows = np.flatnonzero((tokens == code).any(1)).tolist()
    assert links == [f"window?row={row}" for row in rows]
    answer = site.answer("picture/code", {"code": str(code)})
    assert Image.open(io.BytesIO(answer.body)).mode == "RGBA"


def test_the_map_has_a_dot_for_each_code_in_use(site: Site, hostile: Path) -> None:
    tokens = pq.read_table(hostile / "skills" / "model.parquet")["tokens"].to_pylist()
    found = page(site, "skills")
    dots = [a for tag, a in found.tags if tag == "circle" and "fill" in a]
    assert len(dots) == len({code for row in tokens for code in row})
    assert all(0 <= float(dot["cx"] or -1) <= 600 for dot in dots)


def test_skills_without_a_codebook_and_stale_or_damaged_ones(hostile: Path, tmp_path: Path) -> None:
    dest = tmp_path / "d"
    shutil.copytree(hostile, dest)
    write_skills(dest, "numbers", codebook=0)
    (dest / "skills" / "broken.parquet").write_bytes(b"PAR1 nothing")
    (dest / "skills" / "stale.parquet").write_bytes(
        (dest / "skills" / "model.parquet").read_bytes()
    )
    stale = pq.read_table(dest / "skills" / "stale.parquet")
    pq.write_table(stale.slice(0, stale.num_rows - 1), dest / "skills" / "stale.parquet")
    site = Site(Tree(str(dest)), Source(None, "none"))
    found = page(site, "skills", file="numbers")
    assert "3 numbers: a model without a codebook" in " ".join(found.text.split())
    rows = pq.read_table(dest / "index.parquet").num_rows
    assert len([1 for tag, a in found.tags if tag == "circle" and "fill" in a]) == rows
    assert "Nearest by skill" in page(site, "window", row="0", skills="numbers").text
    assert "is damaged" in page(site, "skills", file="broken").text
    assert "'sofdata encode" in page(site, "skills", file="stale").text
    site.close()


def test_a_dataset_that_changes_is_opened_again(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(corpus, source)
    ingest(source, tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    site = Site(tree, Source.of(tree, None))
    before = page(site, "").text
    record = json.loads((tmp_path / "d" / "dataset.json").read_text())
    (tmp_path / "d" / "dataset.json").write_text(json.dumps({**record, "notes": ["a new note"]}))
    assert "a new note" in page(site, "account").text
    assert page(site, "").text == before
    site.close()


def test_a_dataset_without_a_window_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.mp4").write_text("no video")
    ingest(tmp_path / "s", tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    site = Site(tree, Source.of(tree, None))
    assert "has no window" in page(site, "").text
    for path in ("skills", "aside", "account"):
        assert "a.mp4" in page(site, path).text or path != "aside"
    site.close()


def test_several_corpora_have_an_account_each_and_can_be_searched(
    hostile: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    shutil.copytree(hostile, dest)
    plan = pq.read_table(dest / "plan.parquet")
    labels = [None, "folder:kitchen", "folder:kitchen"]
    pq.write_table(plan.append_column("corpus", pa.array(labels)), dest / "plan.parquet")
    site = Site(Tree(str(dest)), Source(None, "none"))
    ids = dict(zip(plan["id"].to_pylist(), labels, strict=True))
    sources = pq.read_table(dest / "index.parquet")["source"].to_pylist()
    kitchen = [row for row, source in enumerate(sources) if ids[source]]
    found = page(site, "", corpus="folder:kitchen")
    links = [a["href"] for tag, a in found.tags if tag == "a" and (a["href"] or "")[:6] == "window"]
    assert links == [f"window?row={row}" for row in kitchen]
    lines = page(site, "account").text.splitlines()
    assert next(line for line in lines if line.startswith("folder:kitchen"))[14:15] == "2"
    assert next(line for line in lines if line.startswith("manifest"))[8:9] == "1"
    site.close()
