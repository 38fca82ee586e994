"""Videos are recognised by their first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.corpora.content import HEAD_BYTES, OTHER_SUFFIXES, VIDEO_SUFFIXES, container

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
TS_PACKET = b"\x47" + b"\x11" * 187
BLU_RAY_PACKET = b"\x00\x01\x02\x03\x47" + b"\x11" * 187

VIDEOS = {
    "iso-bmff": b"\x00\x00\x00\x20ftypisom",
    "quicktime": b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat",
    "ebml": b"\x1aE\xdf\xa3\x01\x00",
    "avi": b"RIFF\x00\x10\x00\x00AVI LIST",
    "flv": b"FLV\x01\x05",
    "asf": ASF,
    "ogg": b"OggS\x00\x02" + b"\x00" * 22 + b"\x80theora",
    "mpeg-ps": b"\x00\x00\x01\xba\x44",
    "mpeg-ts": TS_PACKET * 6,
}
OTHERS = {
    "nothing": b"",
    "text": b"the free encyclopaedia of mdat and moov",
    "many G": b"G" * 100,
    "heic image": b"\x00\x00\x00\x18ftypheic",
    "avif image": b"\x00\x00\x00\x20ftypavif",
    "m4a audio": b"\x00\x00\x00\x20ftypM4A ",
    "wav audio": b"RIFF\x00\x10\x00\x00WAVEfmt ",
    "ogg audio": b"OggS\x00\x02" + b"\x00" * 22 + b"\x01vorbis",
    "png image": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_container_is_recognised_by_its_head(name: str) -> None:
    assert container(VIDEOS[name]) == name


def test_blu_ray_transport_streams_are_recognised() -> None:
    assert container((BLU_RAY_PACKET * 6)[:HEAD_BYTES]) == "mpeg-ts"


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_video_is_not_taken_for_one(name: str) -> None:
    assert container(OTHERS[name]) == ""


def test_no_suffix_is_on_both_lists() -> None:
    assert not VIDEO_SUFFIXES & OTHER_SUFFIXES


def test_every_shared_clip_is_recognised(shared_clips: Path) -> None:
    clips = [path for path in shared_clips.rglob("*") if path.suffix in VIDEO_SUFFIXES]
    assert len(clips) == 21
    for path in clips:
        assert container(path.read_bytes()[:HEAD_BYTES]), path.name
