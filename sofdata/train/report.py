"""`train_report.md`: what was trained on what, how well it does, curves and pictures."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sofdata.train.config import STAGES, StageName
from sofdata.train.log import read_metrics
from sofdata.train.stage import read_done
from sofdata.train.verdict import stage_verdict

REPORT = "train_report.md"
TITLES = {"skill": "Skill VAE", "planner": "Planner", "decoder": "Action decoder"}


def write_report(out: str | Path) -> Path:
    """Write the report of all stages that have ended in a folder, and its curves."""
    out = Path(out)
    parts = [
        "# Training report",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, Python "
        f"{platform.python_version()}. Metrics are of held-out videos; what each one means stands "
        "in docs/models.md.",
    ]
    for name in STAGES:
        done = read_done(out / name)
        if done is not None:
            parts.append(_section(out, name, done))
    path = out / REPORT
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _section(out: Path, name: StageName, done: dict[str, Any]) -> str:
    lines = read_metrics(out / name)
    parts = [
        f"## {TITLES[name]}",
        described(done),
        *(f"**{each.kind}**: {each.text}." for each in stage_verdict(out / name, name)),
        metrics_table(done["metrics"]),
    ]
    if _draw_curves(lines, out / name / "curves.png"):
        parts.append(f"![curves]({name}/curves.png)")
    last = last_pictures(out / name)
    parts += [f"![{what}]({name}/pictures/{path.name})" for what, path in last.items()]
    return "\n\n".join(parts)


def described(done: dict[str, Any]) -> str:
    """What was trained on what, for how long, from the record of a stage."""
    windows, videos = done["windows"], done["videos"]
    return (
        f"{done['parameters']:,} parameters; {windows['train']:,} windows of "
        f"{videos['train']:,} videos in training, {windows['held_out']:,} of "
        f"{videos['held_out']:,} held out ({done['split']['how']}); {done['steps']:,} steps in "
        f"{done['seconds']:.0f} s{_skipped(done['steps_skipped'])}. "
        f"Data: {', '.join(done['data'])}. Model sha256 {done['model_sha256'][:16]}."
    )


def last_pictures(folder: Path) -> dict[str, Path]:
    """The last picture of each kind in the folder of a stage, by its kind."""
    last: dict[str, Path] = {}
    for picture in sorted((folder / "pictures").glob("*.png")):
        last[picture.stem.rpartition("-")[0]] = picture
    return dict(sorted(last.items()))


def _skipped(number: int) -> str:
    return f", {number} of them skipped for values that were not finite" if number else ""


def metrics_table(metrics: dict[str, float]) -> str:
    """Markdown of held-out metrics."""
    rows = [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
    return "\n".join(["| held out | |", "|---|---|", *rows])


def _draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> bool:
    """Loss and the first held-out metric over the steps; False where there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trained = [line for line in lines if line["kind"] == "train"]
    measured = [line for line in lines if line["kind"] == "held_out"]
    if not trained:
        return False
    # One above the other, so that they can be read on a phone, too.
    figure = Figure(figsize=(5.6, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1)
    upper.plot([line["step"] for line in trained], [line["loss"] for line in trained], lw=1)
    upper.set(xlabel="step", title="training loss")
    if min(line["loss"] for line in trained) > 0:
        upper.set_yscale("log")
    if measured:
        name = next(key for key in measured[-1] if key not in ("step", "kind"))
        values = [line.get(name, np.nan) for line in measured]
        lower.plot([line["step"] for line in measured], values, marker="o", lw=1)
        lower.set(xlabel="step", title=f"held out: {name}")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.savefig(path)
    return True
