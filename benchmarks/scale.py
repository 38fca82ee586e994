"""What sofdata takes at the scale of a million videos and ten million windows, beside its goals.

The parts stand in modules of their own: `scale_plan` (listing, plan, resume, update),
`scale_ledger` (finishing and verifying), `scale_loader` (opening a dataset). Each gives its
figures, and takes each of them in a child process, so that times and peak memory are of that alone.

    python benchmarks/scale.py [--videos 1000000] [--parts plan ledger loader]

prints a Markdown table. Run it where nothing else runs; a trial with fewer videos is for the code,
not for the figures, whose goals are those of a million.
"""

from __future__ import annotations

import argparse
import importlib

from scale_figures import Figure, table

PARTS = ("plan", "ledger", "loader")


def measure(part: str, videos: int) -> list[Figure]:
    """The figures of one part. Raises `ModuleNotFoundError` for one that is not there."""
    found: list[Figure] = importlib.import_module(f"scale_{part}").measure(videos)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    figures = [each for part in chosen.parts for each in measure(part, chosen.videos)]
    print(table(figures))


if __name__ == "__main__":
    main()
