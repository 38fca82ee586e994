"""Variants of the study, each measured on validation seeds: what makes skills better?

    python benchmarks/study/sweep.py collected/metaworld study            all variants, in order
    python benchmarks/study/sweep.py collected/metaworld study noise flow those named

Every variant is first.yaml with a few settings changed, or for those in AROUND the frozen settings
(`standard`). Cells are cached, so that running it again resumes where it stopped, and variants
share whatever they have in common. Prints a row of Markdown for each, as in LOG.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sofdata.bench.results.table import training_s
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.run import run

FIRST = str(Path(__file__).with_name("first.yaml"))
BASE = ("curve=[]", "demos=[1]", "seeds=[0]", "evaluation.strips=0", "ingest.run.engine=inline")
FLOW_AND_IMAGE = (
    "skill_task=true",
    "decoder.model.condition=flow+image",
    "decoder.model.image_dropout=0.5",
    "decoder.model.shift_px=4",
)
VARIANTS: dict[str, tuple[str, ...]] = {
    # What is compared with.
    "arms": ("arms=[sof, bc, bc+encoder, lapa, sof-shuffled]",),
    "clones": ("arms=[sof+clone, lapa+clone]",),
    "bc and clone": ("arms=[bc, sof+clone]",),
    "ceiling": ("arms=[bc-50]",),
    "more demonstrations": ("arms=[bc]", "demos=[10]"),
    "longer clone": ("arms=[sof+clone]", "clone_updates=5000"),
    # How the arm acts: no training at all.
    "mode": ("arms=[sof]", "acting.temperature=0"),
    "likeliest": ("arms=[sof]", "acting.combine=likeliest"),
    "medoid": ("arms=[sof]", "acting.combine=medoid"),
    "one sample": ("arms=[sof]", "acting.samples=1"),
    "warmer": ("arms=[sof]", "acting.temperature=1"),
    "cooler": ("arms=[sof]", "acting.temperature=0.25"),
    "execute 4": ("arms=[bc, sof]", "evaluation.execute=4"),
    # The action decoder.
    "noise": ("arms=[sof]", "decoder.model.code_noise=0.2"),
    "half of the images hidden": ("arms=[sof]", "decoder.model.image_dropout=0.5"),
    "no images": ("arms=[sof]", "decoder.model.image_dropout=1"),
    "frozen": ("arms=[sof]", "skill_encoder=frozen"),
    "given the task": ("arms=[sof]", "skill_task=true"),
    "clone, given the task": ("arms=[sof+clone]", "skill_task=true"),
    "longer prior, less dropout, given the task": (
        "arms=[sof, sof-shuffled]",
        "skill_task=true",
        "planner.optim.steps=2500",
        "planner.model.prior.dropout=0.1",
    ),
    "given the task, execute 4": (
        "arms=[bc, sof+clone]",
        "skill_task=true",
        "evaluation.execute=4",
    ),
    "given the task, 8 codes": ("arms=[sof+clone]", "skill_task=true", "skill.model.tokens=8"),
    # Given the task and the flow of the skill, half of the images hidden, images shifted further.
    "flow and image": ("arms=[sof+clone, bc]", *FLOW_AND_IMAGE),
    "flow and image, shifts of 2": (
        "arms=[sof+clone, bc-50]",
        *FLOW_AND_IMAGE,
        "decoder.model.shift_px=2",
        "clone_updates=1500",
    ),
    "flow and image, no shifts": (
        "arms=[sof+clone, bc-50]",
        *FLOW_AND_IMAGE,
        "decoder.model.shift_px=0",
        "clone_updates=1500",
    ),
    "flow and image, shifts of 4": ("arms=[bc-50]", *FLOW_AND_IMAGE),
    "flow and image, shorter clone": ("arms=[sof+clone]", *FLOW_AND_IMAGE, "clone_updates=1500"),
    "flow and image, shorter prior": (
        "arms=[sof]",
        *FLOW_AND_IMAGE,
        "planner.optim.steps=1500",
        "planner.model.prior.dropout=0.1",
    ),
    "flow and image, prior": (
        "arms=[sof]",
        *FLOW_AND_IMAGE,
        "planner.optim.steps=2500",
        "planner.model.prior.dropout=0.1",
    ),
    "flow": ("arms=[sof]", "decoder.model.condition=flow"),
    "bc+encoder frozen": ("arms=[bc+encoder]", "bc_encoder=frozen"),
    "more updates": ("arms=[bc, sof]", "decoder.optim.steps=1500"),
    "wider shifts": ("arms=[bc, sof]", "decoder.model.shift_px=4"),
    # The prior.
    "longer prior": ("arms=[sof]", "planner.optim.steps=2500"),
    "longer prior, less dropout": (
        "arms=[sof]",
        "planner.optim.steps=2500",
        "planner.model.prior.dropout=0.1",
    ),
    "smaller prior": ("arms=[sof]", "planner.model.prior.width=64"),
    "prior sees by the skill model": ("arms=[sof]", "planner.model.image_encoder=frozen"),
    # The skill model.
    "longer skill": ("arms=[sof]", "skill.optim.steps=2500"),
    "8 codes": ("arms=[sof]", "skill.model.tokens=8"),
    "2 codes": ("arms=[sof]", "skill.model.tokens=2"),
    "smaller codebook": ("arms=[sof]", "skill.model.levels=[5, 5, 5]"),
    "kl": ("arms=[sof]", "skill.model.bottleneck=kl"),
    # The ingest.
    "128 px": ("arms=[sof]", "ingest.flow.size=128"),
    "steps of 4": (
        "arms=[bc, sof]",
        "step_frames=4",
        "ingest.windows.length=2",
        "skill.model.tokens=4",
    ),
    "windows of 16": ("arms=[bc, sof]", "ingest.windows.length=8"),
    "camera subtracted": ("arms=[sof]", "ingest.windows.camera=subtract"),
    "float16": ("arms=[sof]", "ingest.codec.name=float16"),
    # Planning.
    "mpc": ("arms=[sof+mpc]",),
    "mpc, prior counts more": ("arms=[sof+mpc]", "planner.model.mpc.prior_weight=0.2"),
    "mpc, one ahead": ("arms=[sof-flat]",),
}


# One thing changed in the settings that were frozen.
AROUND: dict[str, tuple[str, ...]] = {
    "frozen": ("arms=[sof+clone, sof, bc]",),
    # The skill model.
    "frozen, 8 codes": ("arms=[sof+clone]", "skill.model.tokens=8"),
    "frozen, 2 codes": ("arms=[sof+clone]", "skill.model.tokens=2"),
    "frozen, codebook of 125": ("arms=[sof+clone]", "skill.model.levels=[5, 5, 5]"),
    "frozen, kl": ("arms=[sof+clone]", "skill.model.bottleneck=kl"),
    "frozen, longer skill": ("arms=[sof+clone]", "skill.optim.steps=2500"),
    "frozen, encoder half as wide": ("arms=[sof+clone]", "skill.model.channels=[8, 16, 32]"),
    "frozen, encoder twice as wide": ("arms=[sof+clone]", "skill.model.channels=[32, 64, 128]"),
    # Window, step, chunk and replanning.
    "frozen, steps of 4 frames": (
        "arms=[sof+clone, bc]",
        "step_frames=4",
        "ingest.windows.length=2",
    ),
    "frozen, steps of 1 frame": (
        "arms=[sof+clone, bc]",
        "step_frames=1",
        "ingest.windows.length=8",
    ),
    "frozen, windows of 16 actions": ("arms=[sof+clone, bc]", "ingest.windows.length=8"),
    "frozen, 16 actions carried out": (
        "arms=[sof+clone, bc]",
        "ingest.windows.length=8",
        "evaluation.execute=16",
    ),
    "frozen, 4 actions carried out": ("arms=[sof+clone, bc]", "evaluation.execute=4"),
    # The ingest.
    "frozen, flow at 128 px": ("arms=[sof+clone]", "ingest.flow.size=128"),
    "frozen, camera subtracted": ("arms=[sof+clone]", "ingest.windows.camera=subtract"),
    "frozen, float16": ("arms=[sof+clone]", "ingest.codec.name=float16"),
    # Baselines.
    "frozen, atm": ("arms=[atm]",),
    "frozen, atm, true tracks": ("arms=[atm]", "tracks.model.reads=true"),
    "frozen, atm, no image hidden": ("arms=[atm]", "decoder.model.image_dropout=0"),
    "frozen, atm, longer": ("arms=[atm]", "tracks.optim.steps=3000"),
    "frozen, lapa": ("arms=[lapa, lapa+clone]",),
    "frozen, lapa, every frame": ("arms=[lapa, lapa+clone]", "lapa.model.reads=frames"),
    "frozen, lapa, every frame, decoded": (
        "arms=[lapa, lapa+clone]",
        "lapa.model.reads=frames",
        "lapa.model.conditions=frames",
    ),
    "frozen, lapa, every frame, decoded, longer": (
        "arms=[lapa, lapa+clone]",
        "lapa.model.reads=frames",
        "lapa.model.conditions=frames",
        "lapa.optim.steps=1800",
    ),
    # Prior and planning.
    "frozen, smaller prior": ("arms=[sof]", "planner.model.prior.width=64"),
    "frozen, shorter prior": ("arms=[sof]", "planner.optim.steps=700"),
    "frozen, mpc": ("arms=[sof+mpc]",),
    "frozen, mpc, prior counts more": ("arms=[sof+mpc]", "planner.model.mpc.prior_weight=0.2"),
}


def main(collected: str, out: str, *names: str) -> None:
    """Run variants and print their rows."""
    print("| variant | arm | success | chunk error | by task | training CPU s |")
    print("|---|---|---|---|---|---|")
    for name in names or (*VARIANTS, *AROUND):
        preset, variants = ("standard", AROUND) if name in AROUND else (FIRST, VARIANTS)
        config = load_bench_config(preset, [*BASE, *variants[name]])
        for path in run(config, Path(collected), Path(out), "validation", workers=1):
            cell = json.loads(path.read_text())
            tasks = ", ".join(
                f"{task} {rate:.2f}" for task, rate in cell["success_by_task"].items()
            )
            print(
                f"| {name} | {cell['cell']['arm']} | {cell['success']:.3f} "
                f"| {cell['chunk_error']:.3f} | {tasks} | {training_s(cell):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
