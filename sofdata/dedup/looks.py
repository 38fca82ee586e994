"""What a video looks like, from its stored windows: how it moves, and hashes of some frames.

Both are made of what a dataset holds, not while it is ingested: so any dataset can be looked at,
old ones and those made of others, and nothing depends on how it was made. Motion is the flow of
3 x 3 cells, 8 times a second, whatever the rate of the steps; a stretch without windows counts as
still. Frames are hashed as they are, mirrored, and cropped about their middle, with the perceptual
hash of ImageHash (64 signs of low frequencies).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sofdata.loading.catalog import Catalog, ShardFile
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.system.extras import require

RATE_HZ = 8  # of motion
GRID = 3  # cells a side
VALUES = 2 * GRID * GRID
CROPS = (1.0, 0.9, 0.8, 0.7)  # shares of the side
_APART_S = 0.4  # between two frames that are hashed, at least
_WHOLE = 127  # what the fastest motion of a video becomes


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a video looks like.

    dataset: its number among those that are looked at. start_s: the time of the first row of
    `motion`, a whole number of them since 0. motion: int8 [T,18]; (dx, dy) of cells, row by row,
    on a scale of its own. times_s: float64 [K]; of the frames hashed.
    hashes: uint64 [K,4]; of the frame and its crops. mirrored: uint64 [K]; of the mirrored frame.
    """

    dataset: int
    video: str
    windows: int
    start_s: float
    motion: NDArray[np.int8]
    times_s: NDArray[np.float64]
    hashes: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]


def looks_of(catalog: Catalog) -> Iterator[Look]:
    """The looks of all videos that have windows, in the order of the shards.

    Costs a pass over all shards: 2 to 4 ms a window. Raises `InputError` for damaged samples,
    `ConfigError` where ImageHash is not installed.
    """
    require("imagehash", "dedup", "finding near copies")
    for shard in catalog.shards:
        dataset = next(n for n, tree in enumerate(catalog.trees) if tree is shard.tree)
        video: _Video | None = None
        for sample in _samples(shard):
            if video is None or video.id != sample.record.source:
                if video is not None:
                    yield video.look(dataset)
                video = _Video(sample.record.source)
            video.add(sample)
        if video is not None:
            yield video.look(dataset)


def _samples(shard: ShardFile) -> Iterator[DecodedSample]:
    with shard.tree.local_copy(shard.rel) as path, open(path, "rb") as stream:
        for key, _, members in read_samples(stream, shard.rel):
            yield decode_sample(key, members)


@dataclass(slots=True, eq=False)
class _Video:
    """The windows of one video as they come."""

    id: str
    windows: int = 0
    steps: dict[tuple[float, float], NDArray[np.float32]] = field(default_factory=dict)
    frames: list[tuple[float, list[int], int]] = field(default_factory=list)

    def add(self, sample: DecodedSample) -> None:
        self.windows += 1
        times_s = sample.record.pts_s
        cells = cell_flow(sample.flow)
        for number, step in enumerate(cells):
            self.steps.setdefault((times_s[number], times_s[number + 1]), step)
        for time_s, rgb in ((times_s[0], sample.first), (times_s[-1], sample.last)):
            if all(abs(time_s - each[0]) >= _APART_S for each in self.frames[-4:]):
                self.frames.append((time_s, *frame_hashes(rgb)))

    def look(self, dataset: int) -> Look:
        times = sorted(self.steps)
        start_s, motion = motion_of(times, np.stack([self.steps[each] for each in times]))
        frames = sorted(self.frames, key=lambda each: each[0])
        return Look(
            dataset=dataset,
            video=self.id,
            windows=self.windows,
            start_s=start_s,
            motion=motion,
            times_s=np.array([each[0] for each in frames]),
            hashes=np.array([each[1] for each in frames], np.uint64),
            mirrored=np.array([each[2] for each in frames], np.uint64),
        )


def cell_flow(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean flow of cells, in sides of the frame a step: [L,h,w,2] to [L,18]."""
    side = flow.shape[1]
    edges = np.linspace(0, side, GRID + 1).round().astype(int)
    rows = np.add.reduceat(flow, edges[:-1], axis=1)
    cells = np.add.reduceat(rows, edges[:-1], axis=2)
    sizes = np.diff(edges)
    areas = (sizes[:, None] * sizes[None, :])[None, :, :, None]
    return np.asarray(cells / areas / side, np.float32).reshape(len(flow), VALUES)


def motion_of(
    times: list[tuple[float, float]], steps: NDArray[np.float32]
) -> tuple[float, NDArray[np.int8]]:
    """Steps at any times as rows at `RATE_HZ`, smoothed by one row: the first time, and [T,18]."""
    first, last = int(times[0][0] * RATE_HZ) - 1, int(times[-1][1] * RATE_HZ) + 2
    grid_s = np.arange(first, last + 1) / RATE_HZ
    # The way covered until any time; where it does not move on there are no steps.
    at_s = np.array(times).reshape(-1)
    ways = np.zeros((len(at_s), VALUES))
    ways[1::2] = np.cumsum(steps, axis=0)
    ways[2::2] = ways[1:-1:2]
    at_s = np.maximum.accumulate(at_s)
    covered = np.stack([np.interp(grid_s, at_s, way) for way in ways.T], axis=1)
    rows = np.diff(covered, axis=0)
    padded = np.pad(rows, ((1, 1), (0, 0)))
    smooth = (padded[:-2] + 2 * rows + padded[2:]) / 4
    scale = _WHOLE / max(float(np.abs(smooth).max()), 1e-9)
    return first / RATE_HZ, np.rint(smooth * scale).astype(np.int8)


def frame_hashes(rgb: NDArray[np.uint8]) -> tuple[list[int], int]:
    """Hashes of a frame and of its crops, and of the mirrored frame."""
    return [_hash(_cropped(rgb, share)) for share in CROPS], _hash(rgb[:, ::-1])


def _cropped(rgb: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    height, width = (round(side * share) for side in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return rgb[top : top + height, left : left + width]


def _hash(rgb: NDArray[np.uint8]) -> int:
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(rgb))).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")
