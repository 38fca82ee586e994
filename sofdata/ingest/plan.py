"""Corpus to plan: what is listed, fingerprinted and cut into units; see `sofdata.ingest.units`."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, field
from functools import cache
from typing import Any

from sofdata.bounded.jsons import check_numbers
from sofdata.bounded.jsons import parse as parse_json
from sofdata.corpora.base import Entry, Listing
from sofdata.errors import ConfigError, ContractError, InputError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.units import MIB, Unit, cut
from sofdata.shards.layout import PLAN
from sofdata.shards.names import check_file_names
from sofdata.shards.parquet import read_table, write_table
from sofdata.shards.schema import plan_schema
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local, parse
from sofdata.types import ActionRef, Annotations, TimedText, VideoRef

LISTING_THREADS = 16  # they wait for a few blocks of each file, and compute next to nothing
MOST_JSON = 64 * MIB  # of a cell that holds JSON: all that is narrated in a video of many hours


@dataclass(frozen=True, slots=True)
class Refused:
    """An input that is rejected before any work: no file, a dangling link, a folder, ..."""

    id: str
    uri: str
    size_bytes: int
    reason: str
    detail: str


Input = VideoRef | Refused


@dataclass(frozen=True, slots=True)
class SourceExtras:
    """What a source holds beside its inputs; see `Listing`."""

    ignored: Mapping[str, int] = field(default_factory=dict)
    label_files: int = 0
    unused_rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """All inputs of an ingest: each stands in exactly one unit or is refused.

    extras: what the source holds beside them. It is not stored with the plan.
    """

    units: tuple[Unit, ...]
    refused: tuple[Refused, ...]
    extras: SourceExtras = field(default_factory=SourceExtras)

    @property
    def videos(self) -> int:
        return len(self.refused) + sum(len(unit.videos) for unit in self.units)

    def all_videos(self) -> Iterator[VideoRef]:
        """The videos of all units."""
        return (video for unit in self.units for video in unit.videos)

    def inputs(self) -> dict[str, Input]:
        """All inputs by id."""
        inputs: dict[str, Input] = {refused.id: refused for refused in self.refused}
        return inputs | {video.id: video for video in self.all_videos()}

    @property
    def reasons(self) -> dict[str, int]:
        """How many inputs are refused, by reason."""
        return dict(Counter(each.reason for each in self.refused).most_common())

    @property
    def with_actions(self) -> bool:
        """Whether any video comes with its actions."""
        return any(video.actions for video in self.all_videos())

    @property
    def annotated(self) -> bool:
        """Whether the corpus says anything of stretches of any video."""
        return any(video.annotations for video in self.all_videos())

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of `plan.parquet`, sorted by id."""
        rows = [_video_row(unit, video) for unit in self.units for video in unit.videos]
        rows.extend(_refused_row(refused) for refused in self.refused)
        yield from sorted(rows, key=lambda row: row["id"])


def make_plan(source: Tree, listing: Listing, config: IngestConfig) -> IngestPlan:
    """Fingerprint what the corpus lists and cut it into units.

    Raises `ConfigError` if nothing is listed or two inputs have the same id.
    """
    entries = sorted(listing.entries, key=lambda entry: entry.id)
    if not entries:
        raise ConfigError(f"no video found in {source.name}; is that the right folder?")
    for one, other in itertools.pairwise(entries):
        if one.id == other.id:
            raise ConfigError(f"two inputs have the id '{one.id}': {one.uri} and {other.uri}")
    files = _Files(source)
    with ThreadPoolExecutor(LISTING_THREADS) as threads:
        found = list(threads.map(lambda entry: _look_at(files, entry), entries))
    videos = [item for item in found if isinstance(item, VideoRef)]
    return IngestPlan(
        units=cut(videos, config),
        refused=tuple(item for item in found if isinstance(item, Refused)),
        extras=SourceExtras(listing.ignored, len(listing.tables), listing.unused, listing.notes),
    )


class _Files:
    """Sizes and fingerprints of a source's files, of which many videos may be spans."""

    def __init__(self, source: Tree) -> None:
        self.size = cache(source.size)
        self.fingerprint = cache(source.fingerprint)


def save_plan(dest: Tree, plan: IngestPlan, name: str = PLAN) -> None:
    """Write `plan.parquet`, or the same under another name."""
    write_table(dest, name, plan_schema(plan.with_actions, plan.annotated), plan.rows())


def load_plan(dest: Tree, name: str = PLAN) -> IngestPlan | None:
    """Read `plan.parquet`; None if there is none. Raises `InputError` if it is damaged."""
    try:
        table = read_table(dest, name)
    except FileNotFoundError:
        return None
    kinds = itertools.product((False, True), repeat=2)
    if not any(table.schema.equals(plan_schema(*kind)) for kind in kinds):
        raise InputError(f"{name} in {dest.name} is damaged: its columns are not those of a plan")
    units: dict[tuple[int, str], list[VideoRef]] = {}
    refused = []
    for number, row in enumerate(row for batch in table.to_batches() for row in batch.to_pylist()):
        try:
            check_numbers(row)
            if row["problem"]:
                refused.append(
                    Refused(row["id"], row["uri"], row["size_bytes"], row["problem"], row["detail"])
                )
            else:
                units.setdefault((row["ordinal"], row["unit"]), []).append(_video(row))
        except (ValueError, KeyError, TypeError, AttributeError, ContractError) as error:
            where = f"row {number}: {type(error).__name__}: {str(error)[:200]}"
            raise InputError(f"{name} in {dest.name} is damaged: {where}") from None
    check_file_names({unit for _, unit in units}, f"{name} in {dest.name}")  # of their records
    return IngestPlan(
        units=tuple(Unit(key[1], key[0], tuple(videos)) for key, videos in sorted(units.items())),
        refused=tuple(refused),
    )


def fingerprint(
    source: Tree | _Files, uri: str, size_bytes: int, actions: ActionRef | None, copy: str = ""
) -> str:
    """Hash of a video's content, and of the file that holds its actions if they count.

    copy: a local copy of the video, if there is one.
    """
    if copy:
        video = Tree("/").fingerprint(local(copy), size_bytes)
    else:
        video = source.fingerprint(parse(uri), size_bytes)
    if actions is None:
        return video
    both = video + source.fingerprint(actions.where, source.size(actions.where))
    return hashlib.sha256(both.encode()).hexdigest()[:32]


def stored_input(item: Input) -> dict[str, Any]:
    """What a plan stores of an input, but for its unit and for sentences to a person."""
    nowhere = Unit("", -1, ())
    row = _video_row(nowhere, item) if isinstance(item, VideoRef) else _refused_row(item)
    return {key: row[key] for key in row if key not in ("unit", "ordinal", "detail")}


def _look_at(source: _Files, entry: Entry) -> VideoRef | Refused:
    """Fingerprint an entry, unless it has or shows a problem."""
    if entry.problem:
        return Refused(entry.id, entry.uri, entry.size_bytes, entry.problem, entry.detail)
    try:
        size = entry.size_bytes or source.size(parse(entry.uri))
        hashed = entry.fingerprint or fingerprint(source, entry.uri, size, entry.actions)
    except FileNotFoundError:
        return Refused(entry.id, entry.uri, 0, "missing", "there is no such file")
    except OSError as error:
        return Refused(entry.id, entry.uri, 0, "unreadable", error.strerror or str(error))
    return VideoRef(
        id=entry.id,
        uri=entry.uri,
        size_bytes=size,
        fingerprint=hashed,
        span_s=entry.span_s,
        text=entry.text,
        labels=dict(entry.labels),
        actions=entry.actions,
        annotations=entry.annotations,
    )


def _video(row: dict[str, Any]) -> VideoRef:
    span = None
    if row["span_start_s"] is not None:
        span = (row["span_start_s"], row["span_end_s"])
    return VideoRef(
        id=row["id"],
        uri=row["uri"],
        size_bytes=row["size_bytes"],
        fingerprint=row["fingerprint"],
        span_s=span,
        text=row["text"],
        labels=_labels(row["labels"]),
        actions=_actions(row),
        annotations=_annotations(row.get("annotations")),
    )


def _labels(text: str) -> dict[str, str]:
    found = parse_json(text, MOST_JSON)
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("labels are texts")
    return dict(found)


def _annotations(text: str | None) -> Annotations:
    if not text:
        return Annotations()
    found = parse_json(text, MOST_JSON)
    return Annotations(
        texts=tuple(TimedText(*each) for each in found["texts"]),
        hidden_s=tuple((start, end) for start, end in found["hidden_s"]),
        eye=found["eye"],
        lasts_s=found.get("lasts_s"),
    )


def _annotations_text(annotations: Annotations) -> str:
    texts = [astuple(text) for text in annotations.texts]
    fields = {"texts": texts, "hidden_s": annotations.hidden_s, "eye": annotations.eye}
    lasts = {"lasts_s": annotations.lasts_s} if annotations.hidden_s else {}
    return json.dumps(fields | lasts, sort_keys=True)


def _actions(row: dict[str, Any]) -> ActionRef | None:
    if row.get("actions_uri") is None:
        return None
    return ActionRef(
        uri=row["actions_uri"],
        part=row["actions_part"],
        start_s=row["actions_start_s"],
        rows=row["actions_rows"],
    )


def _video_row(unit: Unit, video: VideoRef) -> dict[str, Any]:
    start_s, end_s = video.span_s or (None, None)
    return {
        "id": video.id,
        "uri": video.uri,
        "size_bytes": video.size_bytes,
        "fingerprint": video.fingerprint,
        "span_start_s": start_s,
        "span_end_s": end_s,
        "text": video.text,
        "labels": json.dumps(dict(video.labels), sort_keys=True),
        "unit": unit.id,
        "ordinal": unit.ordinal,
        "problem": "",
        "detail": "",
        **({"annotations": _annotations_text(video.annotations)} if video.annotations else {}),
        **({f"actions_{k}": v for k, v in asdict(video.actions).items()} if video.actions else {}),
    }


def _refused_row(refused: Refused) -> dict[str, Any]:
    return {
        "id": refused.id,
        "uri": refused.uri,
        "size_bytes": refused.size_bytes,
        "fingerprint": "",
        "span_start_s": None,
        "span_end_s": None,
        "text": "",
        "labels": "{}",
        "unit": "",
        "ordinal": -1,
        "problem": refused.reason,
        "detail": refused.detail,
    }
