"""Panda-70M: clips of web video, each with a caption, in a table of whole videos.

Chen et al., "Panda-70M", CVPR 2024. The columns of the published CSV files that are read:

    videoID      names the file: videoID.mp4, in any folder
    timestamp    [['0:00:14.566', '0:00:21.733'], ...] as Python writes it
    caption      ['a man cuts a loaf', ...]
    matching_score, desirable_filtering      one for each clip; optional
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sofdata.corpora import csvfile, jsonfile
from sofdata.corpora.base import Entry, Listing, counted, suffix
from sofdata.corpora.spans import find_videos, span_entry
from sofdata.storage import Tree
from sofdata.walk import Item

_COLUMNS = ("videoID", "timestamp", "caption")
_EXTRA = ("matching_score", "desirable_filtering")


@dataclass(frozen=True, slots=True)
class _Video:
    """A row: the clips of one video. place: where it stands."""

    id: str
    place: str
    spans: tuple[tuple[str, str], ...]
    captions: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]


class Panda70M:
    """Every captioned clip is a span of its video."""

    name = "panda70m"
    summary = "Panda-70M: panda70m_*.csv with videoID, timestamp, caption, and videoID.mp4"
    example = "sofdata ingest panda70m DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        tables = _tables(tree)
        return f"Panda-70M: {', '.join(tables)} with {', '.join(_COLUMNS)}" if tables else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table, with its line.

        Rows of videos that are not here are no input, since few people hold all: a note counts
        them. A clip whose times are none becomes an entry with the problem "bad_span".
        """
        tables = _tables(tree)
        if not tables:
            what = f"no CSV file at the top has the columns {', '.join(_COLUMNS)}"
            raise jsonfile.wrong(tree, "panda70m_*.csv", what)
        files = find_videos(tree, tables)
        entries, away, known = list[Entry](), list[str](), set[str]()
        for rel in tables:
            for video in _videos(tree, rel):
                known.add(video.id)
                item = files.by_stem.get(video.id)
                if item is None:
                    away.append(video.id)
                    continue
                for number in range(len(video.spans)):
                    entries.append(_clip(video, number, item))
        notes = [counted(files.spare, "name came again; not used")] if files.spare else []
        if away:
            notes.append(counted(away, "video of the tables has no file here"))
        bare = sorted(files.by_stem.keys() - known)
        if bare:
            notes.append(counted(bare, "video is in no table; not used"))
        return Listing.of(entries, files.ignored, notes)


def _tables(tree: Tree) -> list[str]:
    if tree.is_file():
        return []
    names = [name for name in tree.names("") if suffix(name) == ".csv"]
    return [name for name in names if set(_COLUMNS) <= set(csvfile.columns(tree, name))]


def _videos(tree: Tree, rel: str) -> Iterator[_Video]:
    for line, row in csvfile.read_rows(tree, rel, _COLUMNS):
        spans = csvfile.literal_list(tree, rel, line, row["timestamp"])
        if not all(isinstance(span, list) and len(span) == 2 for span in spans):
            what = f"line {line}: timestamp should hold pairs of times, found {spans!r:.60}"
            raise jsonfile.wrong(tree, rel, what)
        lists = {
            name: [str(each) for each in csvfile.literal_list(tree, rel, line, row[name])]
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
        span = (0.0, 0.0)  # none, which is told with the place
    text = jsonfile.clean(video.captions[number])
    place = f"{video.place}, clip {number} {list(video.spans[number])}"
    return span_entry(f"{video.id}_{number:04d}", item, span, place, text, labels)
