"""Sources and datasets as no one should have them, for several tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.epics import write_epic
from tests.lerobots import write_grey

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
    else:
        put(root, "a.mp4", "b/c.mp4")
    return root


LAYOUTS = (
    *("ssv2", "lerobot", "ego4d", "epic", "manifest", "panda70m", "howto100m", "kinetics"),
    *("video2dataset", "folder"),
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
