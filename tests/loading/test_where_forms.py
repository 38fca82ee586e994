"""Filters drawn at random, in the forms that there were first, against plain Python a row."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from sofdata.loading.where import columns_of, select

Row = dict[str, Any]
Meaning = Callable[[Row], Any]

ROWS: list[Row] = [
    {"steps": steps, "mean_px": mean, "camera_px": camera, "text": text, "labels": labels}
    for steps, mean, camera, text, labels in [
        (8, 0.5, None, "push it", {"split": "train", "class": "3"}),
        (3, 0.25, 1.0, "", {"split": "validation"}),
        (5, 2.0, 0.0, "pull 'it'", {}),
        (8, 4.5, -1.5, "PUSH", None),
        (1, 0.0, 2.5, "push\\pull", {"split": ""}),
    ]
]
TABLE = pa.table(
    {
        "steps": [row["steps"] for row in ROWS],
        "mean_px": [row["mean_px"] for row in ROWS],
        "camera_px": pa.array([row["camera_px"] for row in ROWS], pa.float64()),
        "text": [row["text"] for row in ROWS],
        "labels": pa.array([row["labels"] for row in ROWS], pa.map_(pa.string(), pa.string())),
    }
)
NUMBERS = ("steps", "motion", "mean_px", "camera_px")
TEXTS = ("text", "labels.split", "labels['class']")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def _of(name: str) -> Meaning:
    if name.startswith("labels"):
        label = "split" if "split" in name else "class"
        return lambda row: (row["labels"] or {}).get(label)
    return lambda row: row["mean_px" if name == "motion" else name]


def _each(function: Callable[..., Any], *parts: Meaning) -> Meaning:
    """A function that knows no missing value: of one, it is missing itself."""

    def found(row: Row) -> Any:
        values = [part(row) for part in parts]
        return None if None in values else function(*values)

    return found


def _kleene(decisive: bool, *parts: Meaning) -> Meaning:
    def found(row: Row) -> bool | None:
        values = [part(row) for part in parts]
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    return found


def _number(draw: random.Random, depth: int) -> tuple[str, Meaning]:
    kind = draw.randrange(4 if depth else 2)
    if kind == 0:
        value = draw.choice([0, 1, 3, 8, 0.25, 0.5, 2.0, -1.5])
        return repr(value), lambda row: value
    if kind == 1:
        name = draw.choice(NUMBERS)
        return name, _of(name)
    left, right = _number(draw, depth - 1), _number(draw, depth - 1)
    if kind == 2:
        return f"-({left[0]})", _each(lambda value: -value, left[1])
    sign = draw.choice("+-*")
    return f"({left[0]} {sign} {right[0]})", _each(ARITHMETIC[sign], left[1], right[1])


def _condition(draw: random.Random, depth: int) -> tuple[str, Meaning]:
    kind = draw.randrange(8 if depth else 5)
    if kind == 0:
        sides = [_number(draw, 2) for _ in range(draw.choice([2, 2, 3]))]
        signs = [draw.choice([*COMPARISONS]) for _ in sides[1:]]
        text = sides[0][0] + "".join(
            f" {sign} {side[0]}" for sign, side in zip(signs, sides[1:], strict=True)
        )
        parts = [
            _each(COMPARISONS[sign], left[1], right[1])
            for sign, left, right in zip(signs, sides, sides[1:], strict=False)
        ]
        return text, _kleene(False, *parts)
    if kind == 1:
        name, value = draw.choice(TEXTS), draw.choice(["push", "", "train", "3", "pull 'it'"])
        sign = draw.choice([*COMPARISONS])
        return f"{name} {sign} {value!r}", _each(lambda a: COMPARISONS[sign](a, value), _of(name))
    if kind == 2:
        name, value, no = (
            draw.choice(TEXTS),
            draw.choice(["push", "i", "", "'"]),
            draw.random() < 0.3,
        )
        word = "not in" if no else "in"
        return f"{value!r} {word} {name}", _each(lambda a: (value in a) != no, _of(name))
    if kind == 3:  # a missing value is in no list
        name = draw.choice(NUMBERS + TEXTS)
        values: list[Any] = draw.sample(["push it", "", "3", "train"], 2)
        if name in NUMBERS:
            values = draw.sample([1, 3, 8, 2], 3)
        inner, no = ", ".join(map(repr, values)), draw.random() < 0.3
        word = "not in" if no else "in"
        return f"{name} {word} ({inner})", lambda row: (_of(name)(row) in values) != no
    if kind == 4:
        name, no = draw.choice(NUMBERS + TEXTS), draw.random() < 0.5
        word = "is not None" if no else "is None"
        return f"{name} {word}", lambda row: (_of(name)(row) is None) != no
    if kind == 5:
        text, meaning = _condition(draw, depth - 1)
        return f"not ({text})", _each(lambda value: not value, meaning)
    joined = [_condition(draw, depth - 1) for _ in range(draw.choice([2, 3]))]
    word, decisive = draw.choice([("and", False), ("or", True)])
    text = f" {word} ".join(f"({part[0]})" for part in joined)
    return text, _kleene(decisive, *(part[1] for part in joined))


@pytest.mark.parametrize("seed", range(8))
def test_every_form_means_what_it_means_for_a_row(seed: int) -> None:
    draw = random.Random(seed)
    looked_at = 0
    while looked_at < 100:
        where, meaning = _condition(draw, 2)
        if not any(name in where for name in (*NUMBERS, "text", "labels")):
            continue  # no column at all: refused
        wanted = [meaning(row) is True for row in ROWS]
        assert columns_of(where, TABLE.column_names), where
        assert select([TABLE, TABLE.slice(2)], where).tolist() == wanted + wanted[2:], where
        looked_at += 1
