"""What the default models learn from 250 rendered episodes, and how long that takes.

    python benchmarks/training.py [--episodes 250] [--demonstrations 6] [--set KEY=VALUE]

renders episodes of the scripted gripper, ingests them, runs `sofdata train all` on them, and prints
each stage's held-out metrics as Markdown. Corpora and datasets are kept under benchmarks/cache; the
same command resumes a training that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations
from sofdata.train.report import metrics_table

CACHE = Path(__file__).parent / "cache"


def sofdata(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "sofdata", *map(str, words)], check=True)


def dataset(name: str, *words: str) -> Path:
    """A corpus of the cache, ingested."""
    dest = CACHE / f"{name}-dataset"
    sofdata("ingest", CACHE / name, dest, "--quiet", *words)
    return dest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=250)
    parser.add_argument("--demonstrations", type=int, default=6, help="of each task")
    parser.add_argument("--set", action="append", default=[], help="a setting of sofdata train")
    asked = parser.parse_args()
    videos, demos = f"pushing-{asked.episodes}", f"demonstrations-{asked.demonstrations}"
    if not (CACHE / videos).exists():
        write_pushing_corpus(CACHE / videos, asked.episodes, seed=0)
    if not (CACHE / demos).exists():
        write_pushing_demonstrations(CACHE / demos, asked.demonstrations, seed=1)
    data, actions = dataset(videos), dataset(demos, "--with-actions")
    settings = [word for setting in asked.set for word in ("--set", setting)]
    out = CACHE / f"models-{asked.episodes}"
    sofdata("train", "all", "--data", data, "--demos", actions, "--out", out, *settings)
    for name in ("skill", "planner", "decoder"):
        done = json.loads((out / name / "done.json").read_text())
        print(f"\n{name}: {done['parameters']:,} parameters, {done['seconds']:.0f} s\n")
        print(metrics_table(done["metrics"]))


if __name__ == "__main__":
    main()
