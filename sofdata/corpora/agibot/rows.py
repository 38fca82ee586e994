"""Actions of AgiBot World: the rows of proprio_stats.h5, and which of their numbers they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sofdata.corpora.agibot.files import STATS, Files
from sofdata.corpora.agibot.tasks import FPS
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences import arrays
from sofdata.corpora.sequences.arrays import Layout, other_actions
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.system.extras import require
from sofdata.types import STATE_NAME, ActionRef
from sofdata.video.sequences.place import SequencePlace

ACTIONS = (
    "action/effector/position",
    "action/end/orientation",
    "action/end/position",
    "action/head/position",
    "action/joint/position",
    "action/robot/velocity",
    "action/waist/position",
)
STATES = (
    "state/effector/position",
    "state/end/orientation",
    "state/end/position",
    "state/head/position",
    "state/joint/position",
    "state/robot/orientation",
    "state/robot/position",
    "state/waist/position",
)
HEADS = {array: array.partition("/")[2].replace("/", ".") for array in ACTIONS}
HEADS |= {array: STATE_NAME + array.partition("/")[2].replace("/", ".") for array in STATES}
_RATE_SHARE = 0.05  # by which the rate of rows may differ from that of the videos


@dataclass(frozen=True, slots=True)
class Rows:
    """What proprio_stats.h5 holds. off_s: by how much its times depart from 30 a second."""

    count: int
    rate: float
    off_s: float
    sizes: Layout


def read_rows(tree: Tree, files: Files, wanted: Sequence[str]) -> dict[str, Rows | str]:
    """What is known of the rows of each episode that is here, or why nothing is."""
    here = {key.episode for key, _ in files.videos}
    there = [episode for episode in sorted(here) if episode in files.stats]
    if there:
        require("h5py", "hdf5", f"{STATS} of AgiBot World")
    places = (files.stats[episode].place for episode in there)
    options = {"arrays": list(wanted), "fps": FPS}
    found = looks(tree, places, "agibot", options)
    return {episode: _checked(each) for episode, each in zip(there, found, strict=True)}


def _checked(found: object) -> Rows | str:
    """A look, as far as it is what it should be."""
    if isinstance(found, NotRead):
        return f"{STATS}: {found}"
    try:
        assert isinstance(found, dict)
        sizes = {str(name): int(size) for name, size in found["sizes"].items()}
        return Rows(int(found["rows"]), float(found["rate"]), float(found["off_s"]), sizes)
    except (ArithmeticError, AssertionError, KeyError, TypeError, ValueError):
        return f"{STATS}: the reader said what makes no sense"


def common_layout(tree: Tree, rows: Mapping[str, Rows | str], wanted: Sequence[str]) -> Layout:
    """The arrays of most episodes. Raises `ConfigError` where none has what is asked for."""
    kinds = [kind for kind in (ACTIONS, STATES) if set(kind) & set(wanted)]
    sizes = (each.sizes for each in rows.values() if isinstance(each, Rows))
    return arrays.common_layout(tree, sizes, kinds, STATS, "row")


def with_actions(entry: Entry, item: Item | None, found: Rows | str, layout: Layout) -> Entry:
    """An entry with the place of its actions, or as a reject."""
    if item is None or isinstance(found, str):
        detail = found if isinstance(found, str) else f"there is no {STATS} of it"
        return replace(entry, problem="no_actions_file", detail=detail)
    if abs(found.rate / FPS - 1) > _RATE_SHARE:
        detail = f"its rows are {found.rate:.2f} a second, and its frames {FPS:g}"
        return replace(entry, problem="other_rate", detail=detail)
    if found.sizes != layout:
        return other_actions(entry, found.sizes, layout)
    place = SequencePlace.of("hdf5", "", arrays=",".join(layout), fps=FPS)
    return replace(entry, actions=ActionRef(item.uri, place.text, 0.0, found.count))
