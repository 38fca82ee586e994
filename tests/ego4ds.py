"""Miniature Ego4D downloads, in the layout of the real one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.videos import write_video

KITCHEN = "0a1b2c3d-0000-4000-8000-000000000001"
GARAGE = "0a1b2c3d-0000-4000-8000-000000000002"  # stereo
ABSENT = "0a1b2c3d-0000-4000-8000-000000000003"  # of the metadata, not downloaded
CLIP = "0a1b2c3d-0000-4000-8000-0000000000c1"  # the last two seconds of ABSENT
FPS, SECONDS = 12, 6.0
SECRET = (250, 20, 250)  # magenta: what redacted frames show, and nothing else does
HIDDEN_S = (2.0, 3.0)
NARRATIONS = {
    KITCHEN: ((0.2, "#C C picks up a #unsure cup"), (1.1, "#O man X talks"), (4.0, "#C C pours")),
    GARAGE: ((0.5, "#C C turns a screw. "),),
    ABSENT: ((4.5, "#C C opens the box"),),
}


def moving(seconds: float = SECONDS, width: int = 96, hidden: bool = False) -> NDArray[np.uint8]:
    """Frames [T,64,width,3] of a texture that moves; those of `HIDDEN_S` are magenta instead."""
    rng = np.random.default_rng(5)
    texture = np.kron(rng.integers(0, 120, (16, 48, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    number = int(seconds * FPS)
    frames = np.stack([texture[:64, 3 * t % 200 : 3 * t % 200 + width] for t in range(number)])
    if hidden:
        begin, end = (int(each * FPS) for each in HIDDEN_S)
        frames[begin : end + 1] = SECRET
    return frames


def metadata() -> dict[str, Any]:
    """ego4d.json, as dictionaries that a test may change."""
    both = {
        "scenarios": ["Cooking"],
        "device": "GoPro",
        "video_source": "unict",
        "split_em": "train",
    }
    kitchen = {"has_redacted_regions": True, "redacted_intervals": [interval(*HIDDEN_S)]}
    videos = [
        {"video_uid": KITCHEN, "duration_sec": SECONDS, "is_stereo": False, **both, **kitchen},
        {"video_uid": GARAGE, "duration_sec": SECONDS, "is_stereo": True, **both},
        {"video_uid": ABSENT, "duration_sec": SECONDS, "is_stereo": False, **both},
    ]
    clips = [
        {"clip_uid": CLIP, "video_uid": ABSENT, "video_start_sec": 4.0, "video_end_sec": SECONDS}
    ]
    return {"version": "v2_1", "date": "230224", "videos": videos, "clips": clips}


def interval(start_s: float, end_s: float) -> dict[str, Any]:
    frames = {"start_frame": int(start_s * FPS), "end_frame": int(end_s * FPS)}
    return {"start_sec": start_s, "end_sec": end_s, **frames}


def narrations(which: str = "narration_pass_1") -> dict[str, Any]:
    """narration.json of version 2; other files have the videos at the top."""
    found = {}
    for uid, told in NARRATIONS.items():
        moments = [
            {"timestamp_sec": at, "timestamp_frame": int(at * FPS), "narration_text": text}
            for at, text in told
        ]
        summary = {"start_sec": 0.0, "end_sec": SECONDS, "summary_text": "#Summary C cooks"}
        found[uid] = {which: {"narrations": moments, "summaries": [summary]}, "status": "complete"}
    return {"version": "v2", "videos": found}


def write_ego4d(root: Path, folder: str = "full_scale") -> Path:
    """A download of two videos and a clip of a third. Returns its root."""
    (root / folder).mkdir(parents=True)
    (root / "clips").mkdir()
    (root / "annotations").mkdir()
    write_video(root / folder / f"{KITCHEN}.mp4", moving(hidden=True), FPS)
    both = np.concatenate([moving(), np.full_like(moving(), 200)], axis=2)
    both[:, :, 96:, 0] = 0  # the right eye sees turquoise
    write_video(root / folder / f"{GARAGE}.mp4", both, FPS)
    write_video(root / "clips" / f"{CLIP}.mp4", moving(2.0), FPS)
    put(root / "ego4d.json", metadata())
    put(root / "annotations" / "narration.json", narrations())
    with (root / folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video_uid", "canonical_s3_location"])
        rows.writerows([uid, f"s3://bucket/{uid}"] for uid in (KITCHEN, GARAGE, ABSENT))
    return root


def put(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def grouped(top: dict[str, Any], uid: str) -> dict[str, Any]:
    """ego4d.json of version 2.1 with a grouped video more: GARAGE, and KITCHEN behind it."""
    record = {
        "video_uid": uid,
        "duration_sec": 2 * SECONDS,
        "scenarios": ["Cooking"],
        "is_grouped": True,
        "group_video_uids": [GARAGE, KITCHEN],
        "has_redacted_regions": False,
        "redacted_intervals": [],
    }
    return {**top, "videos": [*top["videos"], record]}
