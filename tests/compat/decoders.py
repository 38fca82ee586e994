"""How far two datasets of the same videos agree whose videos were decoded by different libraries.

    python -m tests.compat.decoders PYAV DECORD

Prints a row for each decoder that the second dataset names: how many windows both hold, with which
times, and how far pictures and flow differ. Exit code 1 where they should be equal and are not: in
videos that the same library decoded, and in the times of windows that both hold.
"""

from __future__ import annotations

import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.sample import DecodedSample, decode_sample
from tests.compat.compare import rows


@dataclass(slots=True)
class Agreement:
    """What was found of the videos of one decoder.

    only_one: windows that only one dataset holds. equal: windows of the same bytes, of `both`.
    pixels: mean difference of the pictures of each window that both hold, grey levels.
    flow_px: mean end-point difference of their flow, px.
    """

    videos: int = 0
    only_one: int = 0
    both: int = 0
    equal: int = 0
    other_times: int = 0
    pixels: list[float] = field(default_factory=list)
    flow_px: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        mean = np.mean(self.pixels or [0.0]), np.mean(self.flow_px or [0.0])
        worst = max(self.pixels, default=0.0), max(self.flow_px, default=0.0)
        return (
            f"{self.videos} videos, {self.both} windows in both and {self.only_one} in one only; "
            f"of those in both {self.equal} have the same bytes, {self.other_times} other times; "
            f"pictures differ by {mean[0]:.2f} grey levels on average ({worst[0]:.2f} in the worst "
            f"window), flow by {mean[1]:.3f} px ({worst[1]:.3f})"
        )


def samples(dataset: Path) -> dict[str, dict[str, bytes]]:
    """The members of each sample by its key."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for shard in sorted((dataset / "shards").rglob("*.tar")):
        for name, data in _members(shard):
            key, _, suffix = name.partition(".")
            found[key][suffix] = data
    return found


def compare(one: Path, other: Path) -> dict[str, Agreement]:
    """What the videos of each decoder of the second dataset have in common with the first."""
    mine, theirs = samples(one), samples(other)
    decoders = {row["id"]: row["decoder"].partition(" ")[0] for row in rows(other, "videos")}
    found: dict[str, Agreement] = defaultdict(Agreement)
    for decoder in decoders.values():
        found[decoder].videos += 1
    index = {
        row["key"]: row["source"] for dataset in (one, other) for row in rows(dataset, "index")
    }
    for key in sorted(index):
        agreement = found[decoders[index[key]]]
        if key not in mine or key not in theirs:
            agreement.only_one += 1
            continue
        agreement.both += 1
        agreement.equal += mine[key] == theirs[key]
        left, right = decode_sample(key, mine[key]), decode_sample(key, theirs[key])
        if left.record.pts_s != right.record.pts_s:
            agreement.other_times += 1
            continue
        ends = _grey(left.first, right.first), _grey(left.last, right.last)
        agreement.pixels.append(sum(ends) / 2)
        agreement.flow_px.append(_endpoint(left, right))
    return dict(found)


def main(one: Path, other: Path) -> int:
    """Print what was found. Returns the exit code."""
    found = compare(one, other)
    for decoder, agreement in sorted(found.items()):
        print(f"decoded by {decoder}: {agreement}")
    same = found.get("pyav", Agreement())
    bad = (
        same.equal != same.both or same.only_one or any(each.other_times for each in found.values())
    )
    return 1 if bad else 0


def _members(shard: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(shard) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            yield member.name, file.read()


def _grey(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def _endpoint(one: DecodedSample, other: DecodedSample) -> float:
    return float(np.linalg.norm(one.flow - other.flow, axis=-1).mean())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
