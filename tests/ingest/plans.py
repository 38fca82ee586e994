"""Sources of every kind, and the plans that earlier versions made of them, in `plans.json`.

    python -m tests.ingest.plans

writes that file anew: only to add a kind of source, since datasets that are there hold these ids.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.plan import IngestPlan, make_plan
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from tests.corpora.test_account import SOURCES, lerobot_pictures, lerobot_v3, put

RECORDED = Path(__file__).with_name("plans.json")
MOST = 40
Write = Callable[[Path], object]


def _spans(root: Path) -> None:
    """Spans, odd characters, labels, ids that come twice."""
    put(root, "a.mp4", "b c/é.mp4", 'q"uote.mp4')
    rows = [
        {"uri": "a.mp4", "start_s": 0.5, "end_s": 2, "text": "tab\there, ü and \u2028", "n": 1},
        {"uri": "a.mp4", "start_s": 2, "end_s": 1e3, "text": "back\\slash", "z": "1", "a": "é"},
        {"uri": "b c/é.mp4", "id": "one", "text": 'a "quoted" text'},
        {"uri": 'q"uote.mp4', "id": "one"},
        {"uri": "a.mp4", "start_s": 3, "end_s": 1, "id": "bad"},
        {"uri": "missing.mp4", "text": "\x7f"},
    ]
    put(root, "manifest.jsonl", data="".join(f"{json.dumps(row)}\n" for row in rows).encode())


def _many(root: Path) -> None:
    """More than fit into one unit, some of them copies of each other."""
    for number in range(700):
        put(root, f"{number % 7}/{number:04}.mp4", data=str(number % 350).encode() * 50)


def _large(root: Path) -> None:
    """Files that fill units by their size, with several spans of each."""
    put(root, *(f"{number}.mp4" for number in range(40)))
    for number in range(40):
        with open(root / f"{number}.mp4", "ab") as file:
            file.truncate((number + 1) << 20)
    rows = [f"{n}.mp4,{at},{at + 1}\n" for n in range(40) for at in range(n % 5 + 1)]
    put(root, "manifest.csv", data=("uri,start_s,end_s\n" + "".join(rows)).encode())


# Their files are written by libraries, of which each version may write other bytes.
_BY_LIBRARIES = ("agibot", "droid", "frames", "hdf5", "mcap", "rlds", "rosbag", "zarr")
_FEW = ("units.max_videos=5", "units.min_units=3")
KINDS: dict[str, tuple[str, Write, tuple[str, ...]]] = {
    **{
        f"{name} {write.__name__}": (name, write, ())
        for name, each in SOURCES.items()
        for write in each
        if name not in _BY_LIBRARIES and write is not lerobot_pictures
    },
    "lerobot with actions": ("lerobot", lerobot_v3, ("with_actions=true",)),
    "manifest spans": ("manifest", _spans, ()),
    "folder many": ("folder", _many, ()),
    "folder units of 5": ("folder", _many, _FEW),
    "manifest large": ("manifest", _large, ()),
}


# Of these settings when the plans were recorded: other defaults since are no matter of plans.
DIGESTS = {
    (): "8872900fe9ecdd1bd6798a931fbf0ca7ed1638a3e5b9f2e8e3bdbd3c35bbd683",
    ("with_actions=true",): "f23b0a36b553c82e481bd80b0e774370403cef2a2d91c8d5656c5d3780f1015c",
    _FEW: "c05621bd2fd40215c30ebd3c113a8e66b783bcfef03fc199bf6c60142201a50c",
}


def plan_of(kind: str, root: Path) -> IngestPlan:
    """Write a source of a kind and plan it."""
    name, write, settings = KINDS[kind]
    write(root)
    for path in sorted(root.rglob("*")):  # what an encoder gives depends on its version
        if path.suffix in VIDEO_SUFFIXES and path.stat().st_size < 1 << 16:
            path.write_bytes(path.relative_to(root).as_posix().encode() + b"x" * 9)
    config = load_config(None, settings)
    tree = Tree(str(root))
    listing = list_source(find_corpus(tree, name)[0], tree, config.with_actions)
    with mock.patch.object(IngestConfig, "digest", return_value=DIGESTS[settings]):
        plan = make_plan(tree, listing, config)
        assert plan.units.cut  # made when it is first asked for
    return plan


def recorded(plan: IngestPlan) -> dict[str, Any]:
    """What is recorded of a plan: its units and its rows, of many a digest."""
    units = [[unit.ordinal, unit.id, len(unit.videos)] for unit in plan.units]
    rows = list(_rows(plan))
    return {"units": _short(units), "rows": _short(rows)}


def _short(values: list[Any]) -> list[Any]:
    return values if len(values) <= MOST else [len(values), json_digest(values)]


def _rows(plan: IngestPlan) -> Iterator[list[Any]]:
    """Cells without names, so that the file stays small."""
    for row in plan.stored().to_pylist():
        more = sorted(name for name in row.keys() - {*COLUMNS} if row[name] is not None)
        yield [row[name] for name in (*COLUMNS, *more)]


COLUMNS = (
    *("id", "uri", "size_bytes", "fingerprint", "span_start_s", "span_end_s", "text", "labels"),
    *("unit", "ordinal", "problem", "detail"),
)


def main() -> None:
    found = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = recorded(plan_of(kind, Path(folder)))
    lines = ",\n".join(f"{json.dumps(kind)}: {json.dumps(each)}" for kind, each in found.items())
    RECORDED.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
