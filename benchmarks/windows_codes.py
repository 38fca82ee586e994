"""How many codes a second of video the flow that is explained costs, by how windows were cut.

Clips of the toy world (`sofdata.scenes`) are ingested once for each cut, so that each step lies in
one window; a tiny skill model is trained on each, with the same number of updates, for one, two and
four codes a window, and explains the flow of held-out clips, the same ones for every cut. Windows
that follow the motion differ in length, so that the codes of all cuts compare by the second.

The last column reads the table backwards: the codes a second that explain as much as the first cut
with its middle number of codes does, between the measured points, on a logarithmic scale.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import sofdata
from sofdata.scenes.pushing import write_pushing_corpus

TOKENS = (1, 2, 4)
CUTS: dict[str, dict[str, object]] = {
    "fixed, 8 steps": {"windows.length": 8, "windows.stride": 8},
    "fixed, 16 steps": {"windows.length": 16, "windows.stride": 16},
    "motion, 3 to 16 steps": {"windows.cut": "motion", "windows.length": 16},
}
INGEST: dict[str, object] = {
    "run.engine": "inline",
    "flow.size": 64,
    "windows.size": 32,
    "windows.shots": False,
    "windows.min_texture": 0,
}
TRAIN: dict[str, object] = {
    "skill.model.width": 32,
    "skill.model.channels": [8, 12, 16],
    "skill.model.detail": 16,
    "skill.data.batch_size": 8,
    "skill.data.held_out": 0.25,
    "skill.optim.warmup_steps": 10,
    "skill.run.pictures": False,
    "skill.run.evaluate_every": 1_000_000,
    "skill.run.checkpoint_every": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Point:
    """codes_a_s: codes of a model a second of video. explained: share of the flow's energy."""

    codes_a_s: float
    explained: float


def table(clips: int, updates: int) -> Iterator[str]:
    """Rows of Markdown: a cut each, a column a number of codes a window."""
    heads = [f"{number} a window: codes/s, explained" for number in TOKENS]
    yield "| cut | windows | " + " | ".join(heads) + " | codes/s for the same flow |"
    yield "|---" * (len(TOKENS) + 3) + "|"
    wanted: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pushing_corpus(root / "clips", clips)
        for number, (name, settings) in enumerate(CUTS.items()):
            data = root / f"dataset-{number}"
            sofdata.ingest(root / "clips", data, settings=INGEST | settings)
            points = [_point(data, root / f"models-{number}", each, updates) for each in TOKENS]
            wanted = points[len(points) // 2].explained if wanted is None else wanted
            cells = [f"{point.codes_a_s:.2f}, {point.explained:.3f}" for point in points]
            rows = pq.read_metadata(data / "index.parquet").num_rows
            yield f"| {name} | {rows} | " + " | ".join([*cells, _needed(points, wanted)]) + " |"


def _point(data: Path, out: Path, tokens: int, updates: int) -> Point:
    settings = TRAIN | {"skill.model.tokens": tokens, "skill.optim.steps": updates}
    trained = sofdata.train(
        data=data, out=out / str(tokens), what="skill", settings=settings, restart=True
    )
    metrics = trained.stages[0].metrics
    return Point(tokens * _windows_a_s(data), float(metrics["flow_energy_explained"]))


def _windows_a_s(data: Path) -> float:
    """Windows a second of video that lies in one."""
    index = pq.read_table(data / "index.parquet", columns=["source", "start_s", "end_s"])
    spans = sorted(zip(*(index[name].to_pylist() for name in index.column_names), strict=True))
    covered, last = 0.0, ("", 0.0)
    for source, start, end in spans:
        begin = max(start, last[1]) if source == last[0] else start
        covered += max(0.0, end - begin)
        last = (source, end)
    return len(spans) / covered


def _needed(points: list[Point], wanted: float) -> str:
    """The codes a second at which the points reach an explained share, if they do."""
    explained = [point.explained for point in points]
    logs = np.log([point.codes_a_s for point in points])
    for (low, high), (a, b) in zip(pairwise(explained), pairwise(logs), strict=True):
        if min(low, high) <= wanted <= max(low, high) and low != high:
            return f"{float(np.exp(a + (b - a) * (wanted - low) / (high - low))):.2f}"
    return "fewer than measured" if explained[0] > wanted else "more than measured"
