"""How many altered windows `sofdata audit` finds, of a dataset whose source is at hand.

    python benchmarks/audit.py DEST SOURCE

Each window is altered as it is read, in one way after the other; nothing is written. The first row,
without an alteration, should name none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

import sofdata.audit.run
from sofdata.shards.sample import DecodedSample
from sofdata.storage.tree import Tree
from sofdata.video.probe import probe

Alter = Callable[[DecodedSample], DecodedSample]


def mirrored_pictures(sample: DecodedSample) -> DecodedSample:
    first, last = sample.first[:, ::-1].copy(), sample.last[:, ::-1].copy()
    return replace(sample, first=first, last=last)


def mirrored_flow(sample: DecodedSample) -> DecodedSample:
    flow = sample.flow[:, :, ::-1].copy()
    flow[..., 0] *= -1
    return replace(sample, flow=flow)


def backward_flow(sample: DecodedSample) -> DecodedSample:
    return replace(sample, flow=-sample.flow)


class Shifted:
    """Times as of the next frames, or of those before where there are none."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._times: dict[str, Any] = {}

    def __call__(self, sample: DecodedSample) -> DecodedSample:
        record = sample.record
        if record.source not in self._times:
            self._times[record.source] = probe(f"{self._source}/{record.source}").pts_s
        times = self._times[record.source]
        places = [int(np.argmin(abs(times - pts_s))) for pts_s in record.pts_s]
        by = 1 if places[-1] + 1 < len(times) else -1
        pts_s = [float(times[place + by]) for place in places]
        changes = {"pts_s": pts_s, "start_s": pts_s[0], "end_s": pts_s[-1]}
        return replace(sample, record=record.model_copy(update=changes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dest")
    parser.add_argument("source")
    given = parser.parse_args()
    kinds: dict[str, Alter] = {
        "nothing altered": lambda sample: sample,
        "pictures mirrored": mirrored_pictures,
        "times shifted by a frame": Shifted(given.source),
        "flow mirrored": mirrored_flow,
        "flow backward": backward_flow,
    }
    read = sofdata.audit.run._read
    print("| altered | windows named | of | s |\n|---|---:|---:|---:|")
    for name, alter in kinds.items():
        began = time.monotonic()

        def altered(dest: Tree, row: dict[str, Any], alter: Alter = alter) -> DecodedSample:
            return alter(read(dest, row))

        with mock.patch.object(sofdata.audit.run, "_read", altered):
            found = sofdata.audit.run.audit(Tree(given.dest), given.source, videos=0)
        named = {(video.id, each.window) for video in found.videos for each in video.findings}
        windows = sum(video.windows for video in found.videos)
        print(f"| {name} | {len(named)} | {windows} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
