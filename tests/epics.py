"""Miniature EPIC-KITCHENS-100 downloads, in the layout of the real one."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.ego4ds import FPS, moving
from tests.videos import write_video

VIDEO, OTHER, ABSENT, BARE = "P01_01", "P02_103", "P09_09", "P03_01"
TIMES = ["narration_timestamp", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame"]
WORDS = ["narration", "verb", "verb_class", "noun", "noun_class", "all_nouns", "all_noun_classes"]
HEADS = ["narration_id", "participant_id", "video_id", *TIMES, *WORDS]
INFO = [["video_id", "duration", "fps", "resolution"], [VIDEO, "6.0", "50.0", "1920x1080"]]


def segment(number: int, start: str, stop: str, text: str, video: str = VIDEO) -> list[str]:
    """A row of EPIC_100_train.csv."""
    verb, noun = text.split(" ", 1)
    times = [start, start, stop, "1", "2"]
    words = [text, verb, "0", noun, "2", f"['{noun}', 'cupboard']", "[2, 8]"]
    return [f"{video}_{number}", video.split("_", maxsplit=1)[0], video, *times, *words]


def train() -> list[list[str]]:
    return [
        HEADS,
        segment(0, "00:00:00.50", "00:00:02.00", "open door"),
        segment(1, "00:00:01.50", "00:00:04.25", 'take "big" plate'),
        segment(2, "00:00:03.00", "00:00:05.00", "close tap", OTHER),
        segment(3, "00:00:01.00", "00:00:02.00", "wash cup", ABSENT),
    ]


def timestamps() -> list[list[str]]:
    return [HEADS[:8], segment(7, "00:00:04.00", "00:00:05.50", "x y")[:8]]


def write_epic(root: Path, videos: bool = True, tables: str = "") -> Path:
    """Three videos with four segments, one of a video that was not downloaded. Returns the root."""
    for video in (VIDEO, OTHER, BARE):
        folder = root / video.split("_", maxsplit=1)[0] / "videos"
        folder.mkdir(parents=True)
        path = folder / f"{video}.MP4"
        if videos:
            write_video(path, moving(), FPS)
        else:
            path.write_bytes(b"x")
    (root / tables).mkdir(exist_ok=True)
    rows = {"train": train(), "test_timestamps": timestamps(), "video_info": INFO}
    for name, content in rows.items():
        put(root / tables / f"EPIC_100_{name}.csv", content)
    return root


def put(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
