"""Sources and datasets as no one should have them, for several tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.agibots import write_agibot
from tests.bags import jpegs, write_bag1
from tests.droids import write_droid
from tests.egoexo4ds import write_egoexo4d
from tests.epics import write_epic
from tests.hdf5s import write_robomimic
from tests.lerobots import write_grey
from tests.mcaps import images
from tests.mcaps import write as write_mcap
from tests.rlds_files import episode, write_dataset
from tests.sequences import write_frames
from tests.zarrs import replay_buffer

T = TypeVar("T")
NOBODY = 65534


def write_layout(root: Path, layout: str) -> Path:
    """A small source in one of the layouts that are known; its videos are not decoded."""
    root.mkdir(parents=True, exist_ok=True)
    if layout == "ssv2":
        put(root, "20bn-something-something-v2/1.webm", "20bn-something-something-v2/2.webm")
        put(root, "labels/train.json", data=b'[{"id": "1", "label": "push", "template": "push"}]')
    elif layout == "epic":
        write_epic(root, videos=False)
        put(root, "P01/videos/P01_01.MP4")
    elif layout == "ego4d":
        uid = "0a1b2c3d-0000-4000-8000-00000000000f"
        put(root, f"full_scale/{uid}.mp4")
        data = '{"videos": [{"video_uid": "%s", "duration_sec": 9.0, "redacted_intervals": []}]}'
        put(root, "ego4d.json", data=(data % uid).encode())
    elif layout == "kinetics":
        put(root, *(f"train/{name}/{n}.mp4" for name in ("dive", "run", "yoga") for n in range(3)))
    elif layout == "manifest":
        put(root, "a.mp4", "b/c.mp4")
        put(root, "manifest.csv", data=b"uri,text\na.mp4,x\nb/c.mp4,y\n")
    elif layout == "howto100m":
        heads = "video_id,category_1,category_2,rank,task_id\n"
        put(root, "HowTo100M_v1.csv", data=f"{heads}one,a,b,1,2\n".encode())
        put(root, "x/one.mp4")
    elif layout == "panda70m":
        heads = "videoID,url,timestamp,caption,matching_score\n"
        row = "one,u,\"[['0:00:00.5', '0:00:02.0']]\",\"['a']\",[0.4]\n"
        put(root, "panda70m_full.csv", data=(heads + row).encode())
        put(root, "one.mp4")
    elif layout == "video2dataset":
        put(root, "00000/000000000.mp4", "00000/000000001.mp4")
        put(root, "00000/000000000.txt", "00000/000000001.txt", data=b"a")
    elif layout == "lerobot":
        write_grey(root)
    elif layout in SEQUENCES:
        SEQUENCES[layout](root)
    else:
        put(root, "a.mp4", "b/c.mp4")
    return root


# Layouts of which the pictures are in no video file, or times and texts beside the videos.
SEQUENCES: dict[str, Callable[[Path], object]] = {
    "agibot": lambda root: write_agibot(root, videos=False),
    "droid": lambda root: write_droid(root, videos=False),
    "egoexo4d": lambda root: write_egoexo4d(root, videos=False),
    "frames": lambda root: write_frames(root / "a", range(12)),
    "hdf5": lambda root: write_robomimic(root / "a.hdf5", {"demo_0": range(4)}),
    "mcap": lambda root: write_mcap(root / "a.mcap", images(range(4))),
    "rlds": lambda root: write_dataset(root / "1.0.0", {"train": [[episode(range(4))]]}),
    "rosbag": lambda root: write_bag1(root / "a.bag", jpegs("/eye", range(4))),
    "zarr": lambda root: replay_buffer(root / "a.zarr", (4, 3)),
}
LAYOUTS = (
    *("ssv2", "lerobot", "ego4d", "epic", "manifest", "panda70m", "howto100m", "kinetics"),
    *("video2dataset", "folder"),
    *SEQUENCES,
)


def put(root: Path, *names: str, data: bytes = b"x") -> None:
    """Write files of this content."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def as_nobody(work: Callable[[], T], *folders: Path) -> T:
    """What a function returns, as JSON has it, called by a user who is not root.

    In a forked process, whose modules are loaded already. folders: those that this user must be
    able to reach.
    """
    for folder in folders:
        for each in (folder, *folder.parents):
            mode = each.stat().st_mode
            if each.stat().st_uid == os.getuid() and mode & 0o005 != 0o005:
                each.chmod(mode | 0o055)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = json.dumps({"value": work()})
        except BaseException as error:  # noqa: BLE001 - it is sent to the other process
            answer = json.dumps({"error": f"{type(error).__name__}: {error}"})
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        found = json.loads(stream.read())
    os.waitpid(child, 0)
    assert "error" not in found, found
    value: T = found["value"]
    return value
