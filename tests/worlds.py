"""A small world that examples run in: videos, a dataset, and models that have hardly learned."""

from __future__ import annotations

from pathlib import Path

import sofdata
from sofdata.scenes import write_clip
from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations

WINDOWS = {"flow.size": 64, "windows.size": 32, "units.min_units": 2}
TINY: dict[str, object] = {
    "skill.model.width": 32,
    "skill.model.channels": [8, 12, 16],
    "skill.model.heads": 2,
    "planner.model.prior.width": 32,
    "planner.model.dynamics.width": 32,
    "decoder.model.width": 32,
    "decoder.model.layers": 1,
    "machine.threads": 1,
    "machine.device": "cpu",
}
SHORT: dict[str, object] = {
    f"{stage}.{key}": value
    for stage in ("skill", "planner", "decoder")
    for key, value in {
        "optim.steps": 2,
        "optim.warmup_steps": 1,
        "data.batch_size": 8,
        "data.held_out": 0.3,
        "data.loaders": 0,
        "run.pictures": False,
    }.items()
}


def make_world(folder: Path) -> None:
    """Fill a folder: `videos` (3 clips) and their `dataset`, and a `policy` for pushing."""
    (folder / "videos").mkdir(parents=True)
    for number in range(3):
        write_clip(folder / "videos" / f"clip{number}.webm", number, seconds=2.5)
    sofdata.ingest(folder / "videos", folder / "dataset", engine="inline")
    make_policy(folder)


def make_policy(folder: Path) -> None:
    """Two steps of each of the three models."""
    write_pushing_corpus(folder / "pushes", episodes=5)
    write_pushing_demonstrations(folder / "demonstrations", episodes_per_task=1)
    data, demos = folder / "pushes-dataset", folder / "demonstrations-dataset"
    sofdata.ingest(folder / "pushes", data, engine="inline", settings=WINDOWS)
    sofdata.ingest(
        folder / "demonstrations", demos, engine="inline", settings=WINDOWS, with_actions=True
    )
    sofdata.train(data=data, demos=demos, out=folder / "policy", settings=TINY | SHORT)
