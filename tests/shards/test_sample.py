"""`sofdata.shards.sample`: a window becomes members and comes back."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sofdata.errors import InputError
from sofdata.flow.codec import CodecConfig
from sofdata.shards.sample import (
    ImageConfig,
    Jpegs,
    VideoContext,
    decode_sample,
    encode_sample,
    sample_key,
)
from sofdata.types import SkillWindow, VideoRef

REF = VideoRef("dir/clip.webm", "dir/clip.webm", 10, "f", text="Pushing a cup", labels={"a": "b"})
CONTEXT = VideoContext(REF, "dis", (240, 427), "stretch")


def window(steps: int = 3) -> SkillWindow:
    flow = np.zeros((steps, 16, 16, 2), np.float32)
    flow[:, 4:12, 4:12] = (2.0, -1.0)
    frame = np.full((32, 32, 3), 90, np.uint8)
    pts_s = np.array([8.333 + step * 0.125 for step in range(steps + 1)])
    return SkillWindow(5, flow, pts_s, frame, frame + 20, "shot", {"mean_px": 0.5})


@pytest.mark.parametrize(("codec", "tolerance"), [("q8", 0.2), ("float16", 0.0)])
def test_a_sample_comes_back(codec: str, tolerance: float) -> None:
    original = window()
    config = CodecConfig.parse({"name": codec})
    sample = encode_sample(original, CONTEXT, config, Jpegs(ImageConfig()))
    back = decode_sample(sample.record.key, sample.members)
    assert np.abs(back.flow - original.flow).max() <= tolerance
    assert np.abs(back.first.astype(int) - 90).max() <= 2
    assert np.abs(back.last.astype(int) - 110).max() <= 2
    assert back.record == sample.record
    assert (back.record.start_s, back.record.cut, back.record.window) == (8.333, "shot", 5)
    assert (back.record.text, back.record.labels) == ("Pushing a cup", {"a": "b"})
    assert back.record.flow["error_max_px"] <= tolerance + 1e-4


def test_encoding_twice_gives_the_same_bytes() -> None:
    members = [
        encode_sample(window(), CONTEXT, CodecConfig(), Jpegs(ImageConfig())).members
        for _ in range(2)
    ]
    assert members[0] == members[1]


@pytest.mark.parametrize("lacking", ["json", "first.jpg", "last.jpg", "flow.jpg"])
def test_a_missing_member_is_named(lacking: str) -> None:
    sample = encode_sample(window(), CONTEXT, CodecConfig(), Jpegs(ImageConfig()))
    members = {suffix: data for suffix, data in sample.members.items() if suffix != lacking}
    with pytest.raises(InputError, match=re.escape(lacking)):
        decode_sample(sample.record.key, members)


@pytest.mark.parametrize("suffix", ["json", "first.jpg", "last.jpg", "flow.jpg"])
def test_a_damaged_member_is_refused(suffix: str) -> None:
    sample = encode_sample(window(), CONTEXT, CodecConfig(), Jpegs(ImageConfig()))
    whole = sample.members[suffix]
    for rest in (whole[:20], whole[:-40]):
        with pytest.raises(InputError, match=sample.record.key):
            decode_sample(sample.record.key, {**sample.members, suffix: rest})


def test_a_sample_under_another_key_is_refused() -> None:
    sample = encode_sample(window(), CONTEXT, CodecConfig(), Jpegs(ImageConfig()))
    with pytest.raises(InputError, match="says that it is"):
        decode_sample("other-000001", sample.members)


@pytest.mark.parametrize(
    "video",
    [
        "a.b.c.mp4",
        "../../etc/passwd",
        "x\0y",
        "line\nbreak",
        "é" * 4000,
        "a/" * 2000,
        "片.webm",
        ".",
    ],
)
def test_a_key_is_a_plain_name_whatever_the_id_holds(video: str) -> None:
    key = sample_key(video, 12)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,24}-[0-9a-f]{16}-000012", key)
    assert key != sample_key(video + "x", 12)


def test_a_frame_that_two_windows_share_is_encoded_once_and_equally() -> None:
    frames = [np.full((32, 32, 3), level, np.uint8) for level in (10, 200, 10)]
    images = Jpegs(ImageConfig())
    first, second, third = (images.encode(frame) for frame in frames)
    assert images.encode(frames[0]) is first
    assert images.encode(frames[1]) is second != first
    assert third is not first  # another array, though it is equal
    assert third == first


def test_only_the_latest_frames_are_remembered() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in range(20)]
    images = Jpegs(ImageConfig())
    first = images.encode(frames[0])
    for frame in frames:
        images.encode(frame)
    again = images.encode(frames[0])
    assert again is not first
    assert again == first
