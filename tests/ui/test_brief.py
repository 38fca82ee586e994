"""How public values are printed: their shapes, in a few short lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sofdata
from sofdata.ingest.verify import Finding, Remedy
from sofdata.types import Annotations, TimedText
from sofdata.ui.brief import LINES, WIDTH
from tests.helpers import ingest


def is_short(value: object) -> bool:
    return repr(value).count("\n") < LINES and len(repr(value)) <= LINES * (WIDTH + 1)


def values() -> dict[str, Any]:
    """One of each public kind, as large as they come."""
    frame, flow = np.zeros((512, 512, 3), np.uint8), np.zeros((32, 64, 64, 2), np.float32)
    times_s, motion = np.arange(33) / 10, {f"statistic {number}": 0.5 for number in range(40)}
    window = (7, flow, times_s, frame, frame, "start", motion)
    codes, tokens = torch.zeros(4, 3, 8, 5), torch.zeros(4, 3, 8, dtype=torch.int64)
    batch: dict[str, Any] = {
        "flow": torch.zeros(64, 4, 2, 8, 8),
        "first": torch.zeros(64, 3, 8, 8),
        "last": torch.zeros(64, 3, 8, 8),
        "mask": torch.ones(64, 4, dtype=torch.bool),
        "text_ids": torch.zeros(64),
        "keys": tuple(f"a-long-name-of-a-sample-{number:06}" for number in range(64)),
    }
    texts = tuple(TimedText(float(n), n + 1.0, "a long description " * 20) for n in range(99))
    return {
        "VideoRef": sofdata.VideoRef(
            "a/long/name/" * 20,
            "a/long/name/" * 20,
            1 << 30,
            "f" * 64,
            text="a long description " * 50,
            labels={f"label {number}": "value" * 20 for number in range(50)},
            annotations=Annotations(texts),
        ),
        "Frames": sofdata.Frames(frame[None].repeat(33, 0), times_s),
        "FlowClip": sofdata.FlowClip(flow, np.ones(32)),
        "SkillWindow": sofdata.SkillWindow(*window),
        "ActionWindow": sofdata.ActionWindow(*window, np.ones((9, 7), np.float32), np.arange(9.0)),
        "RejectedWindow": sofdata.RejectedWindow(1, 0.0, 1.0, "static"),
        "Batch": sofdata.Batch(**batch),
        "ActionBatch": sofdata.ActionBatch(
            **batch, actions=torch.zeros(64, 9, 7), action_mask=torch.ones(64, 9)
        ),
        "Skill": sofdata.Skill(codes[:, 0], tokens[:, 0]),
        "Plan": sofdata.Plan(codes, tokens, torch.ones(4)),
        "Actions": sofdata.Actions(torch.zeros(4, 8, 7)),
        "StageResult": sofdata.StageResult("skill", motion, 1.0, skipped=False),
        "Trained": sofdata.Trained(
            Path("models"),
            tuple(sofdata.StageResult("skill", motion, 1.0, skipped=False) for _ in range(3)),
            Path("models/train_report.md"),
        ),
        "Sides": sofdata.Sides("0.1 of the files", ("a" * 99,) * 99, ("b" * 99,) * 99),
        "HeldOut": sofdata.HeldOut(0.2),
        "Verdict": sofdata.Verdict((Finding("x" * 99, "y" * 99, Remedy.NONE),) * 99, 1, 2, 3),
    }


@pytest.mark.parametrize("name", values())
def test_a_public_value_is_printed_in_a_few_short_lines(name: str) -> None:
    value = values()[name]
    assert is_short(value), repr(value)
    assert repr(value).startswith(f"{name}(")


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("Frames", ["rgb=uint8 [33,512,512,3]", "pts_s=float64 [33]"]),
        ("SkillWindow", ["flow=float32 [32,64,64,2]", "first=uint8 [512,512,3]"]),
        ("Batch", ["flow=float32 [64,4,2,8,8]", "mask=bool [64,4]", "64 in all"]),
        ("Plan", ["codes=float32 [4,3,8,5]", "tokens=int64 [4,3,8]", "score=float32 [4]"]),
        ("Actions", ["values=float32 [4,8,7]"]),
    ],
)
def test_shapes_and_types_are_what_is_printed(name: str, shapes: list[str]) -> None:
    printed = repr(values()[name]).replace("\n  ", " ")
    assert all(shape in printed for shape in shapes), printed


def test_a_summary_and_the_record_in_it_are_short(corpus: Path, tmp_path: Path) -> None:
    summary = ingest(corpus, tmp_path / "dest")
    assert is_short(summary), repr(summary)
    assert "units_run=" in repr(summary)
    assert is_short(summary.dataset), repr(summary.dataset)
    assert f"windows={summary.dataset.counts.windows}" in repr(summary.dataset)
    assert str(summary.dataset) in repr(summary.dataset).replace(", ", " ")
    loader = sofdata.load(tmp_path / "dest", batch_size=4)
    assert f"{loader.batches} batches of 4 an epoch" in repr(loader)
