"""Narrations of Ego4D: their tags in the many ways in which they are written, and their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.ego4d.corpus import Ego4D
from sofdata.corpora.ego4d.narrations import plain
from sofdata.storage.tree import Tree
from tests.ego4ds import KITCHEN, metadata, narrations, put
from tests.helpers import ingest

# Ways of writing that occur in the released narrations, as public analyses count them.
TAGS = [
    ("#C C picks up a cup.", "picks up a cup"),
    ("#c c  Opens #unsure", "Opens"),
    (" # C C cuts", "cuts"),
    ("# c c walks around", "walks around"),
    ("#cC c walks", "walks"),
    ("#Cc C walks", "walks"),
    ("#C- C holds a bag", "holds a bag"),
    ("#c  c looks", "looks"),
    ("#CC opens the tap", "opens the tap"),
    ("#cc walks around", "walks around"),
    ("#C opens the tap", "opens the tap"),
    ("#C C: opens", "opens"),
    ("#CCtalks to #OO", "talks to"),
    ("@c c opens", "opens"),
    ("#C C's phone rings", "C's phone rings"),
    ("#O Man A waves", "Man A waves"),
    ("#O A man X talks", "A man X talks"),
    ("#o a lady B sits", "a lady B sits"),
    ("#OO man walks", "man walks"),
    ("#OOpoints at the park", "points at the park"),
    ("#O man hands #C C a cup", "man hands C a cup"),
    ("#C C picks #Unsure from the table", "picks from the table"),
    ("#C C picks #UNSURE.", "picks"),
    ("#C C picks #unsured, and leaves", "picks, and leaves"),
    ("#C C picks #Unssure", "picks"),
    ("#C C picks #ub=nsure", "picks"),
    ("#C C picks # unsure", "picks"),
    ("#C C takes it #unsurefrom the shelf", "takes it from the shelf"),
    ("#C C cuts #unsurewith a knife", "cuts with a knife"),
    ("#C C picks #unknown", "picks"),
    ("#unsure #C C picks", "picks"),
    ("#Summary C cooked", "C cooked"),
    ("#summary c was in the kitchen. C walked out.", "c was in the kitchen. C walked out"),
    ("#Summary: C cooked", "C cooked"),
    ("#SUMMARY #C C cooked", "cooked"),
    ("#Conversation C talks", "C talks"),
    ("C walks", "C walks"),
    ("Cuts a rope", "Cuts a rope"),
    ("#C C cuts C-shaped wood", "cuts C-shaped wood"),
    ("#C C Unscrews a bolt", "Unscrews a bolt"),
    ("#O Officer A waves", "Officer A waves"),
    ("#C C takes screwdriver #2", "takes screwdriver #2"),
    ("#C C", ""),
    ("#unsure", ""),
    ("", ""),
]


@pytest.mark.parametrize(("narration", "text"), TAGS)
def test_tags_are_taken_out_and_words_stay(narration: str, text: str) -> None:
    assert plain(narration) == text


def _texts(root: Path, moments: list[dict[str, Any]]) -> list[tuple[float, float, str]]:
    (root / "annotations").mkdir(parents=True)
    (root / f"{KITCHEN}.mp4").write_bytes(b"x")
    put(root / "ego4d.json", metadata())
    changed = narrations()
    changed["videos"][KITCHEN]["narration_pass_1"] = {"narrations": moments}
    put(root / "annotations" / "narration.json", changed)
    (entry,) = Ego4D().listing(Tree(str(root))).entries
    return [(each.start_s, each.end_s, each.text) for each in entry.annotations.texts]


def test_narrations_of_one_moment_hold_side_by_side(tmp_path: Path) -> None:
    moments: list[dict[str, Any]] = [
        {"timestamp_sec": 1.0, "narration_text": "#C C pours"},
        {"timestamp_sec": 1.0, "narration_text": "#O man X talks"},
        {"timestamp_sec": 2.0, "narration_text": "#C C drinks"},
    ]
    assert _texts(tmp_path, moments) == [
        (1.0, 2.0, "pours"),
        (1.0, 2.0, "man X talks"),
        (2.0, 6.0, "drinks"),
    ]


def test_a_narration_without_words_is_none(tmp_path: Path) -> None:
    moments: list[dict[str, Any]] = [
        {"timestamp_sec": 1.0, "narration_text": None},
        {"timestamp_sec": 2.0},
    ]
    assert _texts(tmp_path, moments) == []


def test_a_summary_is_read_without_its_tag(shared_cases: Path, tmp_path: Path) -> None:
    ingest(shared_cases / "ego4d_summary" / "v2", tmp_path / "d", "flow.size=64")
    texts = set(pq.read_table(tmp_path / "d" / "index.parquet")["text"].to_pylist())
    assert texts <= {
        "picks up a cup",
        "C stood in a kitchen, wiped a gas stove with a cloth",
    }
    assert json.dumps(sorted(texts)).count("#") == 0
    assert "C stood in a kitchen, wiped a gas stove with a cloth" in texts
