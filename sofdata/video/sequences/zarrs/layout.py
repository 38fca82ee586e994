"""What lies where in a Zarr store: videos, their times, their actions, their texts.

Diffusion Policy's ReplayBuffer and UMI's stores keep all episodes one behind the other:

    data/img, data/camera0_rgb, ...   pictures [N,H,W,3]
    data/action, data/state, ...      numbers [N,A]
    meta/episode_ends                 the row behind each episode

Each array of pictures below a group that has `episode_ends`, or `meta/episode_ends`, is cut by it.
Any other one is a video as a whole; what belongs to it is looked for in its own group, and in those
above it as far as one is named like an episode (demo_3, 12).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.kinds import is_episode
from sofdata.video.sequences.zarrs.about import CLOCKS, About, blank
from sofdata.video.sequences.zarrs.files import Files
from sofdata.video.sequences.zarrs.metadata import Array
from sofdata.video.sequences.zarrs.nodes import Store, above, open_store
from sofdata.video.sequences.zarrs.pictures import Layout

MOST_VIDEOS = 200_000


def look_into(files: Files, times: str = "") -> dict[str, Any]:
    """The videos of a store as JSON, and what in it is none.

    times: the name of the arrays of timestamps, "" for the usual ones.

    nodes: how many groups and arrays there are; 0: this is no store.
    videos: objects with the fields of `sofdata.corpora.sequences.zarr_found.Found`.
    left_out: by why, the paths of arrays that may be meant as pictures and are not read.
    needs: packages without which some pictures cannot be read.
    """
    store = open_store(files)
    store.clocks = (times,) if times else CLOCKS
    videos: list[dict[str, Any]] = []
    for array in store.arrays.values():
        layout = Layout.of(array)
        if isinstance(layout, str):
            if layout:
                store.leave_out(array.path, layout)
            continue
        videos += _videos(store, array, layout)
        if len(videos) > MOST_VIDEOS:
            raise damaged(f"more than {MOST_VIDEOS} videos are in one store")
    packed = any(store.arrays[video["array"]].pictures for video in videos)
    return {
        "nodes": len(store.said) + len(store.left_out),
        "videos": videos,
        "left_out": store.left_out,
        "needs": ["imagecodecs"] if packed else [],
    }


def _videos(store: Store, array: Array, layout: Layout) -> Iterator[dict[str, Any]]:
    groups = list(above(array.folder))
    broken = next((path for path in groups if path in store.wrong_ends), None)
    owner = next((path for path in groups if path in store.ends), None)
    if broken is not None and (owner is None or len(broken) >= len(owner)):
        yield blank(array, broken) | {
            "problem": "bad_episodes",
            "detail": store.wrong_ends[broken],
            "end": array.shape[0],
        }
        return
    group = _group(array) if owner is None else owner
    about = About(store, array, layout, owner, group, _bases(array, owner))
    if owner is None:
        yield about.video(None, 0, array.shape[0])
        return
    start = 0
    for number, end in enumerate(store.ends[owner].tolist()):
        yield about.video(number, start, end)
        start = end
    if array.shape[0] > start:
        store.leave_out(array.path, "has rows behind the last episode, which belong to none")


def _bases(array: Array, owner: str | None) -> list[str]:
    """The groups in which lies what belongs to an array of pictures, nearest first."""
    groups = list(above(array.folder))
    if owner is not None:
        inside = [path for path in groups if len(path) > len(owner)]
        data = f"{owner}/data" if owner else "data"
        return [*inside, *([] if data in inside else [data]), owner]
    group = _group(array)
    return [path for path in groups if len(path) >= len(group)]


def _group(array: Array) -> str:
    """The group of one recording: that which is named like an episode, or the array's own.

    Of several the innermost (session_1/demo_3); a number alone may be that of a camera as well, so
    that of those the outermost counts, and only where there is no other.
    """
    parts = array.folder.split("/")
    named = [depth for depth, part in enumerate(parts, 1) if is_episode(part)]
    numbered = [depth for depth, part in enumerate(parts, 1) if part.isdecimal()]
    depth = named[-1] if named else numbered[0] if numbered else len(parts)
    return "/".join(parts[:depth])
