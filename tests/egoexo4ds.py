"""Miniature Ego-Exo4D downloads in the published layout, which no genuine one was held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conformance.barcode import draw
from tests.videos import write_video

BIKE, DANCE, ABSENT = "cmu_bike01_2", "unc_dance_03_1", "sfu_cooking_008_3"
UIDS = {
    BIKE: "13f01c79-5bfd-42f5-90ce-ee350aa1c3ad",
    DANCE: "3c489f86-8896-4c86-8a5a-929999799d36",
    ABSENT: "44d647ce-72d2-4c86-8a5a-929999799d37",
}
FPS, FRAMES = 10, 60
# The number that the first frame of each camera carries.
FIRST = {
    f"{BIKE}/aria01_214-1": 0,
    f"{BIKE}/cam01": 60,
    f"{BIKE}/gp02": 120,
    f"{DANCE}/aria02_214-1": 180,
    f"{DANCE}/cam01": 20,
}
GREY = "aria01_1201-1.mp4", "aria01_1201-2.mp4", "aria01_211-1.mp4"


def stream(camera: str, number: str, name: str, path: str | None) -> dict[str, Any]:
    return {
        "cam_id": camera,
        "stream_id": number,
        "readable_stream_id": name,
        "clip_uid": "dc66a4d5-244e-459d-8480-85bb356cc448",
        "relative_path": path,
    }


def take(name: str, glasses: str, cameras: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """A record of takes.json."""
    folder = "frame_aligned_videos"
    kinds = {"1201-1": "slam-left", "1201-2": "slam-right", "211-1": "et", "214-1": "rgb"}
    worn = {
        kind: stream(glasses, number, kind, f"{folder}/{glasses}_{number}.mp4")
        for number, kind in kinds.items()
    }
    around = {each: {"0": stream(each, "0", "0", f"{folder}/{each}.mp4")} for each in cameras}
    listed = [{"cam_id": glasses, "is_ego": True, "device_type": "aria"}]
    listed += [{"cam_id": each, "is_ego": False, "device_type": "hero10"} for each in cameras]
    return {
        "root_dir": f"takes/{name}",
        "take_name": name,
        "take_uid": UIDS[name],
        "duration_sec": FRAMES / FPS,
        "is_dropped": False,
        "task_name": "Remove a Wheel",
        "parent_task_name": "Bike Repair",
        "university_name": name.partition("_")[0],
        "physical_setting_uid": 97,
        "capture": {"capture_name": name.rpartition("_")[0], "cameras": listed},
        "frame_aligned_videos": {
            glasses: worn,
            **around,
            "collage": {"0": {"stream_id": "0", "relative_path": "ego_preview.mp4"}},
            "best_exo": {"0": {"stream_id": "0", "relative_path": None}},
        },
        **more,
    }


def takes() -> list[dict[str, Any]]:
    """takes.json, as dictionaries that a test may change."""
    return [
        take(BIKE, "aria01", ("cam01", "gp02")),
        take(DANCE, "aria02", ("cam01",), root_dir=DANCE),  # as in the first release
        take(ABSENT, "aria01", ("cam01",)),
    ]


def said(time_s: float, text: str, **more: Any) -> dict[str, Any]:
    """A description."""
    usual = {"narration_subject": "C", "ego_visible": "1", "unsure": "0"}
    best = {"best_exo": {"raw_cam_id": "1", "cam_id": "cam01"}}
    return {"text": text, "timestamp": time_s, **usual, **best, **more}


def annotation(*descriptions: dict[str, Any], rejected: bool = False) -> dict[str, Any]:
    return {
        "annotation_uid": "fe6b4107-ecdb-4e90-93c5-3df74385bda2",
        "annotator_id": "5284063695022975",
        "rejected": rejected,
        "reject_reason": "blurred" if rejected else None,
        "descriptions": list(descriptions),
    }


def descriptions() -> dict[str, list[dict[str, Any]]]:
    """What is said of the takes in atomic_descriptions_train.json."""
    return {
        UIDS[BIKE]: [
            annotation(said(0.5, "C throws the wheel."), rejected=True),
            annotation(
                said(0.03831, "C loosens the nut with his right hand."),
                said(1.5, "The man X walks towards C.", narration_subject="O", ego_visible="0"),
                said(2.5, "C lifts the wheel.", unsure="1"),
            ),
            annotation(said(0.1, "C turns a nut.")),
        ],
        UIDS[ABSENT]: [annotation(said(1.0, "C stirs."))],
    }


def write_egoexo4d(root: Path, videos: bool = True, small: bool = True) -> Path:
    """A download of two takes, one of them in two sizes. Returns its root.

    videos: with pictures in them. small: with the downscaled ones.
    """
    for source, first in FIRST.items():
        name, _, stem = source.partition("/")
        folder = root / "takes" / name / "frame_aligned_videos"
        _video(folder / f"{stem}.mp4", first, videos)
        if small and name == BIKE:
            _video(folder / "downscaled" / "448" / f"{stem}.mp4", first, videos, 96, 64)
    for name in GREY:
        _video(root / "takes" / BIKE / "frame_aligned_videos" / name, 0, False)
    _video(root / "takes" / BIKE / "ego_preview.mp4", 0, False)
    put(root / "takes.json", takes())
    put(root / "captures.json", [])
    put(root / "physical_setting.json", [])
    splits = {UIDS[BIKE]: "train", UIDS[DANCE]: "val", UIDS[ABSENT]: "test"}
    put(root / "annotations" / "splits.json", {"take_uid_to_split": splits})
    put_descriptions(root, descriptions())
    return root


def put_descriptions(root: Path, of_takes: dict[str, Any], split: str = "train") -> None:
    path = root / "annotations" / f"atomic_descriptions_{split}.json"
    put(path, {"take_cam_id_map": {}, "ds": "x", "annotations": of_takes})


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _video(path: Path, first: int, pictures: bool, width: int = 192, height: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not pictures:
        path.write_bytes(b"x")
        return
    write_video(path, [draw(first + each, width, height) for each in range(FRAMES)], FPS)
