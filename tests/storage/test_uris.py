"""`sofdata.storage.uris`: what is written is read back, whatever names look like."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, local, named, parse

PIECES = ["a", "/", "..", ".", "://", "#bytes=0-9", "#row=1&column=v", "#unpacked", "quoted:", "%"]
PIECES += ["quoted+", "%3A", "?", " ", "\n", "\N{LATIN SMALL LETTER E WITH ACUTE}", "#", "s3", "&"]


def test_every_location_is_read_back_from_its_uri() -> None:
    draw = random.Random(1)
    parts: list[dict[str, Any]] = [{}, {"part": (0, 12)}, {"cell": (3, "video.b/ü#")}]
    parts += [{"unpacked": True}, {"unpacked": True, "part": (5, 7)}]
    for number in range(20_000):
        file = "".join(draw.choices(PIECES, k=draw.randint(1, 6)))
        for elsewhere in (False, True):
            where = Location(file, elsewhere, **parts[number % len(parts)])
            assert parse(where.uri) == where


def test_no_two_locations_share_a_uri() -> None:
    files = ["".join(pair) for pair in itertools.product(PIECES, PIECES)]
    places = {Location(file, elsewhere) for file in files for elsewhere in (False, True)}
    places |= {Location(file, part=(0, 9)) for file in files}
    assert len({place.uri for place in places}) == len(places)


@pytest.mark.parametrize("name", ["a.mp4", "a b/c#1?.mp4", "x:y.mp4", "-a", "~b", "%41"])
def test_ordinary_names_are_their_own_uris(name: str) -> None:
    assert Location(name).uri == name


def test_only_what_a_manifest_names_leads_away() -> None:
    for text in ("/a.mp4", "s3://b/a", "../a", "a/../../b"):
        assert named(text).elsewhere
        assert named(text).uri == text
        assert not parse(Location(text).uri).elsewhere
    for text in ("a.mp4", "a..mp4", "./a", "C:\\a"):
        assert not named(text).elsewhere


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a\0b"])
def test_no_name_leads_out_of_a_local_folder(name: str, tmp_path: Path) -> None:
    tree = Tree(str(tmp_path))
    assert not tree.exists(name)
    assert not tree.is_file(name)
    assert tree.names(name) == []
    for look in (tree.size, tree.read, tree.path):
        with pytest.raises(FileNotFoundError, match="leads out of it"):
            look(name)


def test_a_file_of_this_machine_is_reached_from_any_tree(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a#bytes=0-1"
    path.write_bytes(b"abc")
    assert Tree("/").size(local(str(path))) == 3
