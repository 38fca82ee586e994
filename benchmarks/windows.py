"""Windows: where they are cut, and what that is worth.

    python benchmarks/windows.py [--parts boundaries codes cuts dedup] [--episodes 6]

prints Markdown, part by part:

    boundaries  windows.cut=motion against the stages of scripted experts (windows_boundaries.py)
    codes       codes a second of video that tiny skill models need for the flow they explain, by
                how their windows were cut (windows_codes.py)
    cuts        gradual changes of shot in composed films: recall and precision (windows_cuts.py)
    dedup       copies, made in several ways: recall and precision (windows_dedup.py); --real
                ../shared/clips for both

What the benchmark makes of it, success in simulation with each cut, takes hours, not minutes:
`python benchmarks/windows.py --commands` prints its commands.

One process, one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from sofdata.windows.config import WindowConfig

COMMANDS = """\
sofdata bench collect collected --suite metaworld
common="--data collected/metaworld --set exploratory=true --set step_frames=4 --set arms=[bc,sof]
  --set more_arms=[] --set demos=[3] --set curve=[] --set evaluation.execute=12
  --set ingest.windows.stride=1 --set ingest.windows.tail=mask"
sofdata bench run $common --out cut-fixed --set ingest.windows.length=8
sofdata bench run $common --out cut-motion --set ingest.windows.length=16 \\
  --set ingest.windows.cut=motion
"""


def boundaries(arguments: argparse.Namespace) -> Iterator[str]:
    """Precision and recall of boundaries."""
    from windows_boundaries import CHOSEN_ON, REPORTED, table

    config = WindowConfig.parse({"cut": "motion", "length": 16})
    seed = CHOSEN_ON if arguments.chosen_on else REPORTED
    yield from table(arguments.suites, arguments.episodes, config, seed)


def codes(arguments: argparse.Namespace) -> Iterator[str]:
    """Codes a second for the flow that is explained."""
    from windows_codes import table

    yield from table(arguments.clips, arguments.updates)


def cuts(arguments: argparse.Namespace) -> Iterator[str]:
    """Gradual changes of shot."""
    from windows_cuts import run

    run(arguments.films, arguments.real)
    yield ""


def dedup(arguments: argparse.Namespace) -> Iterator[str]:
    """Copies among videos."""
    from windows_dedup import run

    run(arguments.clips // 3, arguments.real, stretches=3)
    yield ""


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "boundaries": boundaries,
    "codes": codes,
    "cuts": cuts,
    "dedup": dedup,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--suites", nargs="+", default=["pushing", "metaworld"])
    parser.add_argument("--episodes", type=int, default=6, help="Of each task.")
    parser.add_argument(
        "--chosen-on", action="store_true", help="The episodes that settings were chosen on."
    )
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--films", type=int, default=20, help="With gradual changes.")
    parser.add_argument("--real", type=Path, help="A folder with the shared clips.")
    parser.add_argument("--updates", type=int, default=200, help="Of each skill model.")
    parser.add_argument("--commands", action="store_true", help="Print those of the benchmark.")
    arguments = parser.parse_args()
    if arguments.commands:
        print(COMMANDS, end="")
        return
    for name in arguments.parts:
        print(f"\n## {name}\n")
        for line in PARTS[name](arguments):
            print(line, flush=True)


if __name__ == "__main__":
    main()
