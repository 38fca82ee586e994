"""Panda-70M: clips of web video, each with a caption, in a table of whole videos.

Chen et al., "Panda-70M", CVPR 2024. The columns of the published CSV files that are read:

    videoID      names the file: videoID.mp4, in any folder
    timestamp    [['0:00:14.566', '0:00:21.733'], ...] as Python writes it
    caption      ['a man cuts a loaf', ...]
    matching_score, desirable_filtering      one for each clip; optional

The tables overlap by design: 2m is drawn from 10m, and 10m from the full one. They are read from
the largest on, and a clip that was in one before counts once.

The authors' own downloader (dataset_dataloading in snap-research/Panda-70M, a fork of
video2dataset) cuts the clips, and stores each with its caption; those are read as they are, see
`sidecars`:

    00000/0000012_00003.mp4, .txt, .json     shard / number of the video _ number of the clip
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sofdata.corpora import sidecars
from sofdata.corpora.base import Listing, counted, names_in, suffix
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.corpora.spans import (
    NO_FILE,
    NO_ROW,
    VideoFiles,
    find_videos,
    has_columns,
    span_entry,
    stem_of,
)
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

_COLUMNS = ("videoID", "timestamp", "caption")
_EXTRA = ("matching_score", "desirable_filtering")
_CUT = re.compile(r"\d+_\d+")  # a clip as the authors' downloader names it
_URL = re.compile(r"(?:v=|youtu\.be/|/shorts/)([\w-]{11})")
_CUT_ALREADY = "row of clips that are cut already"
_REPEATED = "repeated clip"


@dataclass(frozen=True, slots=True)
class _Video:
    """A row: the clips of one video. place: where it stands."""

    id: str
    place: str
    spans: tuple[tuple[str, str], ...]
    captions: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]


class Panda70M:
    """Every captioned clip is a span of its video, or a file of its own."""

    name = "panda70m"
    summary = "Panda-70M: panda70m_*.csv with videoID, timestamp, caption, and videoID.mp4 or clips"
    example = "sofdata ingest panda70m DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        tables = _tables(tree)
        return f"Panda-70M: {', '.join(tables)} with {', '.join(_COLUMNS)}" if tables else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table, with its line.

        Rows of videos that are not here are no input, since few people hold all: they are counted.
        So are videos of no row: nobody knows what of them belongs to the corpus. A clip whose times
        are none becomes an entry with the problem "bad_span".
        """
        claim = (".csv", *sidecars.SUFFIXES)
        files = find_videos(tree, lambda item: suffix(item.rel) in claim)
        sizes = {item.rel: item.size_bytes for item in files.claimed}
        tables = sorted(_tables(tree), key=lambda rel: -sizes.get(rel, 0))
        if not tables:
            what = f"no CSV file at the top has the columns {', '.join(_COLUMNS)}"
            raise jsonfile.wrong(tree, "panda70m_*.csv", what)
        files.ignore(i for i in files.claimed if suffix(i.rel) == ".csv" and i.rel not in tables)
        texts = [item for item in files.claimed if suffix(item.rel) != ".csv"]
        beside = sidecars.samples(tree, _cut(files, texts), texts, with_urls=True)
        files.ignore(beside.spare)
        entries, unused, notes = _of_tables(tree, tables, files, beside.urls)
        used = {entry.uri for entry in (*entries, *beside.entries)}
        bare = sorted(item.rel for item in files if item.uri not in used)
        if bare:
            notes.append(counted(bare, "video is in no table; not used"))
            files.ignored[NO_ROW] += len(bare)
        if beside.silent:
            notes.append(counted(beside.silent, "text or JSON cannot be read; left out"))
        return Listing.of(
            [*entries, *beside.entries],
            files.ignored,
            notes,
            tables=[*tables, *beside.tables],
            unused=unused + beside.unused,
        )


def _cut(files: VideoFiles, texts: list[Item]) -> list[Item]:
    """The clips that the authors' downloader has cut, with files of text beside them."""
    captioned = {item.rel.rpartition(".")[0] for item in texts}
    named = [item for item in files if _CUT.fullmatch(stem_of(item.rel))]
    return [item for item in named if item.rel.rpartition(".")[0] in captioned]


def _of_tables(
    tree: Tree, tables: list[str], files: VideoFiles, urls: set[str]
) -> tuple[list[Entry], Counter[str], list[str]]:
    """Entries of the clips whose video is here, rows that are not used, notes.

    urls: of the videos whose clips are here as files of their own.
    """
    entries, unused = list[Entry](), Counter[str]()
    away = dict[str, None]()
    seen: dict[str, set[tuple[tuple[str, str], str]]] = {}
    cut = {found[1] for found in map(_URL.search, urls) if found}
    for rel in tables:
        for video in _videos(tree, rel):
            item = files.first(video.id)
            if item is None and video.id in cut:
                unused[_CUT_ALREADY] += 1
            elif item is None:
                unused[NO_FILE] += 1
                away[video.id] = None
            else:
                if video.id not in seen:
                    entries += files.spare(video.id)
                clips = seen.setdefault(video.id, set())
                for number, clip in enumerate(zip(video.spans, video.captions, strict=True)):
                    if clip in clips:
                        unused[_REPEATED] += 1
                        continue
                    clips.add(clip)
                    entries.append(_clip(video, number, item))
    notes = [counted([*away], "video of the tables has no file here")] if away else []
    return entries, unused, notes


def _tables(tree: Tree) -> list[str]:
    if tree.is_file():
        return []
    names = [name for name in names_in(tree) if suffix(name) == ".csv"]
    return [name for name in names if has_columns(tree, name, _COLUMNS)]


def _videos(tree: Tree, rel: str) -> Iterator[_Video]:
    for line, row in csvfile.read_rows(tree, rel, _COLUMNS):
        spans = csvfile.literal_list(tree, rel, line, row["timestamp"])
        if not all(isinstance(span, list) and len(span) == 2 for span in spans):
            what = f"line {line}: timestamp should hold pairs of times, found {spans!r:.60}"
            raise jsonfile.wrong(tree, rel, what)
        lists = {
            name: [
                "" if each is None else str(each)
                for each in csvfile.literal_list(tree, rel, line, row[name])
            ]
            for name in ("caption", *_EXTRA)
            if row.get(name)
        }
        for name, found in lists.items():
            if len(found) != len(spans):
                what = f"line {line}: {len(spans)} times and {len(found)} of {name}"
                raise jsonfile.wrong(tree, rel, what)
        yield _Video(
            id=row["videoID"],
            place=f"{rel}, line {line}",
            spans=tuple((str(start), str(end)) for start, end in spans),
            captions=tuple(lists.get("caption", [""] * len(spans))),
            extra={name: tuple(lists[name]) for name in _EXTRA if name in lists},
        )


def _clip(video: _Video, number: int, item: Item) -> Entry:
    labels = {"videoID": video.id, **{name: values[number] for name, values in video.extra.items()}}
    try:
        span = (csvfile.seconds(video.spans[number][0]), csvfile.seconds(video.spans[number][1]))
    except ValueError:
        span = (0.0, 0.0)  # rejected below as "bad_span", with its place in the table
    text = jsonfile.clean(video.captions[number])
    place = f"{video.place}, clip {number} {list(video.spans[number])}"
    id = f"{video.id}_{number:04d}"
    return span_entry(id, item, span, place=place, text=text, labels=labels)
