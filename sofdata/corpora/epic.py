"""EPIC-KITCHENS-100: egocentric video of kitchens, with an action segment for every narration.

Damen et al., "Rescaling egocentric vision", IJCV 2022. Videos lie as they are downloaded, the
annotations are those of the authors' repository (epic-kitchens-100-annotations):

    P01/videos/P01_01.MP4               in any folder, .MP4 or another container
    EPIC_100_train.csv                  narration_id, video_id, start_timestamp, stop_timestamp,
    EPIC_100_validation.csv             narration, verb, noun, classes, all_nouns
    EPIC_100_test_timestamps.csv        narration_id, video_id, start_timestamp, stop_timestamp
    EPIC_100_video_info.csv             video_id, duration; optional

Only the columns named in this module are read. The tables lie at the root, in annotations/ or in
epic-kitchens-100-annotations/.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sofdata.corpora.base import Listing, counted, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.corpora.spans import NO_FILE, REPEATED, VideoFiles, find_videos
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.types import TimedText

TABLES = {
    "train": "EPIC_100_train.csv",
    "validation": "EPIC_100_validation.csv",
    "test": "EPIC_100_test_timestamps.csv",
}
INFO = "EPIC_100_video_info.csv"
UNLABELLED = "unlabelled"
NO_ID = "video of no id"
_LOOKED_AT = 1000  # items, to see whether there are videos
_FOLDERS = ("", "annotations/", "epic-kitchens-100-annotations/")
_TIMES = ("narration_id", "video_id", "start_timestamp", "stop_timestamp")
_WORDS = ("narration", "verb", "noun", "verb_class", "noun_class", "all_nouns")
_VIDEO = re.compile(r"P\d{2}_\d{2,3}")
_SEGMENT = re.compile(r"P\d{2}_\d{2,3}_\d{1,6}")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A row of a table; `place` names it for a person."""

    id: str
    video: str
    start_s: float
    end_s: float
    text: str
    labels: Mapping[str, str]
    place: str

    @property
    def content(self) -> tuple[object, ...]:
        """All values of the row, wherever it stands and whatever its split: for comparison."""
        labels = {key: value for key, value in self.labels.items() if key != "split"}
        return self.id, self.video, self.start_s, self.end_s, self.text, *sorted(labels.items())


class EpicKitchens:
    """Action segments by narration id, each a span of its video."""

    name = "epic"
    summary = f"EPIC-KITCHENS-100: P01/videos/P01_01.MP4 and {TABLES['train']}, ..."
    example = "sofdata ingest EPIC-KITCHENS DEST --recipe epic_kitchens"

    def detect(self, tree: Tree) -> str:
        found = [rel for rel in (_place(tree, name) for name in TABLES.values()) if rel]
        if not found or _only_pictures(tree):
            return ""
        return f"EPIC-KITCHENS-100: {', '.join(found)}"

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table, or where there is none.

        A segment that has no time in its video becomes an entry with the problem "bad_span".
        Segments of videos that are not here are no input, since most people hold a part: they are
        counted. A video without a segment is taken whole.
        """
        unused = Counter[str]()
        segments = [each for split in TABLES for each in _segments(tree, split)]
        if not segments:
            looked = ", ".join(f"{folder}{TABLES['train']}" for folder in _FOLDERS)
            raise ConfigError(
                f"{tree.name} has no segments of EPIC-KITCHENS-100; looked for {looked} and those "
                "of the other splits. Put them there, or give --corpus folder"
            )
        tables = {rel for rel in (_place(tree, name) for name in (*TABLES.values(), INFO)) if rel}
        files, unnamed = _files(tree, tables)
        durations = dict(_durations(tree))
        # The table of durations lists all videos; most people have downloaded a part of them.
        unused[NO_FILE] += sum(video not in files.by_stem for video in durations)
        entries, away = [], Counter[str]()
        for segment in _once(segments, unused):
            item = files.first(segment.video)
            if item is None:
                away[segment.video] += 1
            else:
                entries.append(_entry(segment, item, durations))
        unused[NO_FILE] += away.total()
        bare = sorted(files.by_stem.keys() - {segment.video for segment in segments})
        entries += [_whole(video, files.by_stem[video][0]) for video in bare]
        entries += [spare for video in files.by_stem for spare in files.spare(video)]
        notes = []
        if away:
            videos = counted(sorted(away), "video has no file here")
            notes.append(f"{videos}; their {away.total()} segments are no input")
        if bare:
            notes.append(counted(bare, "video has no segment; taken whole"))
        if unnamed:
            notes.append(counted(unnamed, "video is not named by an id; ignored"))
        return Listing.of(entries, files.ignored, notes, tables=tables, unused=unused)


def _once(segments: Iterable[_Segment], unused: Counter[str]) -> Iterator[_Segment]:
    """Segments without those that say again what one before says, which are counted."""
    seen = set[tuple[object, ...]]()
    for segment in segments:
        if segment.content in seen:
            unused[REPEATED] += 1
        else:
            seen.add(segment.content)
            yield segment


def _only_pictures(tree: Tree) -> bool:
    """Whether what lies here is rgb_frames rather than videos, by the first file of either."""
    for item in itertools.islice(tree.walk(), _LOOKED_AT):
        if suffix(item.rel) in VIDEO_SUFFIXES:
            return False
        folder, found, _ = item.rel.partition("rgb_frames/")
        if found:
            return not tree.exists(f"{folder}videos")
    return False


def tables_of(tree: Tree) -> list[str]:
    """The tables that are here."""
    return [rel for rel in (_place(tree, name) for name in (*TABLES.values(), INFO)) if rel]


def texts_by_video(tree: Tree) -> dict[str, tuple[TimedText, ...]]:
    """What is done when in each video, by start. A segment that is no stretch is left out."""
    found: dict[str, set[tuple[float, float, str]]] = {}
    for each in (each for split in TABLES for each in _segments(tree, split)):
        if each.text and each.start_s < each.end_s:
            found.setdefault(each.video, set()).add((each.start_s, each.end_s, each.text))
    return {id: tuple(TimedText(*each) for each in sorted(rows)) for id, rows in found.items()}


def rates_by_video(tree: Tree) -> dict[str, float]:
    """Frames a second of each video, which are also those of its rgb_frames."""
    rel = _place(tree, INFO)
    rates = {}
    for line, row in csvfile.read_rows(tree, rel, ("video_id",)) if rel else ():
        try:
            rates[row["video_id"]] = csvfile.seconds(row.get("fps", ""))
        except ValueError as error:
            if row.get("fps"):
                raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None
    return {id: fps for id, fps in rates.items() if fps > 0}


def _place(tree: Tree, name: str) -> str:
    """Where a table lies, or ""."""
    return next((f"{folder}{name}" for folder in _FOLDERS if tree.exists(f"{folder}{name}")), "")


def _segments(tree: Tree, split: str) -> Iterator[_Segment]:
    rel = _place(tree, TABLES[split])
    if not rel:
        return
    required = _TIMES if split == "test" else (*_TIMES, *_WORDS)
    for line, row in csvfile.read_rows(tree, rel, required):
        video, id = row["video_id"], row["narration_id"]
        if not _VIDEO.fullmatch(video) or not _SEGMENT.fullmatch(id):
            what = f"line {line}: {id[:40]!r} of {video[:40]!r} should be like P01_01_0 of P01_01"
            raise jsonfile.wrong(tree, rel, what)
        try:
            start_s, end_s = (csvfile.seconds(row[name]) for name in _TIMES[2:])
        except ValueError as error:
            raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None
        labels = {name: row.get(name, "") for name in ("verb", "noun", "verb_class", "noun_class")}
        nouns = csvfile.strings(tree, rel, line, row.get("all_nouns", ""))
        labels |= {"split": split, "video_id": video, "all_nouns": ", ".join(nouns)}
        kept = {key: value for key, value in labels.items() if value}
        text = row.get("narration", "")
        yield _Segment(id, video, start_s, end_s, text, kept, f"{rel}, line {line}")


def _durations(tree: Tree) -> Iterator[tuple[str, float]]:
    """Seconds of each video, where the authors' table is there."""
    rel = _place(tree, INFO)
    if not rel:
        return
    for line, row in csvfile.read_rows(tree, rel, ("video_id", "duration")):
        try:
            yield row["video_id"], csvfile.seconds(row["duration"])
        except ValueError as error:
            raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None


def _files(tree: Tree, tables: Container[str]) -> tuple[VideoFiles, list[str]]:
    """The videos by id, and those of other names, which are counted as such."""
    files = find_videos(tree, lambda item: item.rel in tables)
    odd = [stem for stem in files.by_stem if not _VIDEO.fullmatch(stem)]
    unnamed = [item.rel for stem in odd for item in files.by_stem.pop(stem)]
    files.ignored[NO_ID] += len(unnamed)
    return files, unnamed


def _entry(segment: _Segment, item: Item, durations: Mapping[str, float]) -> Entry:
    span, problem, detail = (segment.start_s, segment.end_s), item.problem, item.detail
    length_s = durations.get(segment.video)
    if not problem and not segment.start_s < segment.end_s:
        problem, detail = "bad_span", f"{segment.place}: {span[0]} s to {span[1]} s is no stretch"
    elif not problem and length_s is not None and segment.start_s >= length_s:
        problem = "bad_span"
        detail = f"{segment.place}: it starts at {span[0]} s, and the video ends at {length_s} s"
    return Entry(
        id=segment.id,
        uri=item.uri,
        size_bytes=item.size_bytes,
        span_s=None if problem else span,
        text=segment.text,
        labels=segment.labels,
        problem=problem,
        detail=detail,
        stamp=item.stamp,
    )


def _whole(video: str, item: Item) -> Entry:
    labels = {"split": UNLABELLED, "video_id": video}
    return Entry(
        video,
        item.uri,
        item.size_bytes,
        labels=labels,
        problem=item.problem,
        detail=item.detail,
        stamp=item.stamp,
    )
