"""Which sequence a picture belongs to, by its name."""

from __future__ import annotations

import pytest

from sofdata.video.sequences.names import Kind, kind_of, numbered


@pytest.mark.parametrize(
    ("rel", "kind"),
    [
        ("P01/rgb_frames/P01_01/frame_0000000001.jpg", ("P01/rgb_frames/P01_01", "frame_*.jpg", 1)),
        ("a/im_0.jpg", ("a", "im_*.jpg", 0)),
        ("00012.JPEG", ("", "*.JPEG", 12)),
        ("s/frame-000003.color.png", ("s", "frame-*.color.png", 3)),
        ("cam2_17_left.webp", ("", "cam2_*_left.webp", 17)),
        ("cover.jpg", None),
        ("a*1.jpg", None),
        ("1.txt", None),
        ("12/cover.png", None),
        ("1.jpg.bak", None),
        ("1.pgm", ("", "*.pgm", 1)),
        ("x" * 251 + ".jpg", None),
        ("x" * 250 + "1.jpg", ("", "x" * 250 + "*.jpg", 1)),
        ("1" * 18 + "x" * 60_000 + ".jpg", None),  # of an archive; would take long to look at
    ],
)
def test_the_last_number_of_a_name_counts(rel: str, kind: tuple[str, str, int] | None) -> None:
    assert kind_of(rel) == (None if kind is None else Kind(*kind))


def test_order_is_that_of_numbers_and_a_number_comes_once() -> None:
    names = ["10.jpg", "9.jpg", "09.jpg", "1.JPG", "x.jpg", "2.jpgx"]
    found = numbered(names, "*.jpg")
    assert (found.numbers, found.names, found.twice) == ([9, 10], ["09.jpg", "10.jpg"], ["9.jpg"])
    assert numbered(names, "*.*").names == ["1.JPG", "09.jpg", "10.jpg"]


def test_a_pattern_finds_what_it_was_made_of() -> None:
    for name in ("frame-000003.color.png", "a.b[1].jpg", "x 7.tif"):
        kind = kind_of(name)
        assert kind is not None
        assert numbered([name], kind.pattern).names == [name]
