"""A long video is measured on a few spans of it; what these took stands for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.estimate.guess import Guess, Header, bounds_s, of_seconds
from sofdata.ingest.estimate.meter import Measured
from sofdata.ingest.estimate.sampling import Numbers
from sofdata.types import VideoRef

SPANS = 2
SPAN_S = 10.0
LONG_S = 3 * SPANS * SPAN_S  # below this, less than two thirds would be saved

# What is measured of a video, and what of its `Guess` it goes with.
GOES_WITH = {
    "decoding_s": "decode",
    "working_s": "steps",
    "flow_s": "steps",
    "committing_s": "windows",
    "in_flow_s": "steps",
    "pairs": "steps",
    "windows": "windows",
    "bytes": "windows",
}
CPU = ("decoding_s", "working_s", "flow_s", "committing_s")  # those that sum up to CPU seconds


@dataclass(frozen=True, slots=True)
class Taken:
    """What a whole video takes and gives, by the names in `GOES_WITH`, and the variance of each.

    Variances are 0 where the whole video was measured. wall_s: of the clock, of all of it.
    in_flow_s: of the clock, in the estimator of flow, on whatever device; flow_s: of the CPU there.
    """

    values: dict[str, float]
    variances: dict[str, float]
    wall_s: float
    whole: bool


def parts_of(ref: VideoRef, header: Header | None, seed: int) -> tuple[VideoRef, ...]:
    """What to measure of a video: all of it, or seeded spans of a long one.

    Of a video whose length nobody knows, all.
    """
    bounds = bounds_s(ref, header) if header else None
    if bounds is None or bounds[1] - bounds[0] <= LONG_S:
        return (ref,)
    length_s = (bounds[1] - bounds[0]) / SPANS
    name = int.from_bytes(ref.id.encode("utf-8", "surrogateescape"), "big")
    places = np.random.default_rng((seed, name)).random(SPANS)
    starts_s = [
        bounds[0] + number * length_s + place * (length_s - SPAN_S)
        for number, place in enumerate(places.tolist())
    ]
    return tuple(  # under names of their own, since they may come to lie in one shard
        replace(ref, id=f"{ref.id}#{number}", span_s=(start_s, start_s + SPAN_S))
        for number, start_s in enumerate(starts_s)
    )


def taken(
    parts: Sequence[Measured],
    header: Header | None,
    expected: Guess,
    config: IngestConfig,
    flow_apart: bool = False,
) -> Taken:
    """What a video takes, from what was measured of it.

    flow_apart: flow is estimated elsewhere while the worker goes on, and is none of its time.
    """
    found = [_found(part) for part in parts]
    if len(parts) == 1 or header is None:
        return Taken(found[0], dict.fromkeys(GOES_WITH, 0.0), _wall_s(parts, flow_apart), True)
    guesses = [_guess_of(part, header, config) for part in parts]
    values, variances = dict[str, float](), dict[str, float]()
    for name, what in GOES_WITH.items():
        sizes = np.array([getattr(guess, what) for guess in guesses])
        parts_found = np.array([each[name] for each in found])
        values[name], variances[name] = _expanded(parts_found, sizes, getattr(expected, what))
    measured_s = sum(cpu_s(each) for each in found)
    longer = cpu_s(values) / measured_s if measured_s else 1.0
    return Taken(values, variances, _wall_s(parts, flow_apart) * longer, False)


def cpu_s(values: Mapping[str, float]) -> float:
    """CPU seconds of all that a video takes."""
    return sum(values[name] for name in CPU)


def _found(part: Measured) -> dict[str, float]:
    return {
        "decoding_s": part.spent.children_s,
        "working_s": part.spent.own_s - part.flow.own_s,
        "flow_s": part.flow.own_s,
        "in_flow_s": part.flow.wall_s,
        "pairs": float(part.pairs),
        "windows": float(part.record.windows),
        "bytes": float(part.bytes),
        "committing_s": part.commit.cpu_s,
    }


def _guess_of(part: Measured, header: Header, config: IngestConfig) -> Guess:
    """Of a span, with the frames that were decoded on the way to it."""
    guess = of_seconds(SPAN_S, header, config)
    if part.frames_decoded is None:
        return guess
    return replace(guess, decode=max(1, part.frames_decoded) * header.frame_ms)


def _expanded(found: Numbers, sizes: Numbers, size: float) -> tuple[float, float]:
    if not sizes.sum() > 0:
        return 0.0, 0.0
    value = float(found.sum() / sizes.sum() * size)
    rates = found / np.maximum(sizes, 1e-9) * size
    return value, float(rates.var(ddof=1)) / len(rates)


def _wall_s(parts: Sequence[Measured], flow_apart: bool) -> float:
    whole_s = sum(part.spent.wall_s + part.commit.wall_s for part in parts)
    return whole_s - sum(part.flow.wall_s for part in parts) * flow_apart
