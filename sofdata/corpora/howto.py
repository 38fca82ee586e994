"""HowTo100M: instructional video from the web, with what is said in it.

Miech et al., "HowTo100M", ICCV 2019. Read are, of the published files:

    HowTo100M_v1.csv                video_id, category_1, category_2, task_id
    caption.json, raw_caption.json  {video_id: {start: [s], end: [s], text: [...]}}
    task_ids.csv                    task_id, a tab or comma, what the task is called; optional
    VIDEO_ID.mp4, .webm, .mkv       in any folder

Captions come from speech, so a window's text is what is said while it happens, which need not be
what is done. The caption file is gigabytes: it is read piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sofdata.corpora import csvfile, jsonfile
from sofdata.corpora.base import Entry, Listing, counted
from sofdata.corpora.spans import VideoFiles, find_videos
from sofdata.storage import Tree
from sofdata.types import Annotations, TimedText
from sofdata.walk import Item

TABLE = "HowTo100M_v1.csv"
CAPTIONS = ("caption.json", "raw_caption.json")
TASKS = "task_ids.csv"
_COLUMNS = ("video_id", "category_1", "category_2", "task_id")


class HowTo100M:
    """Whole videos; their windows carry what is said meanwhile."""

    name = "howto100m"
    summary = f"HowTo100M: {TABLE}, caption.json, and VIDEO_ID.mp4"
    example = "sofdata ingest howto100m DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        return f"HowTo100M: {TABLE}" if not tree.is_file() and tree.exists(TABLE) else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table or caption file.

        Videos of the table that are not here are no input: a note counts them.
        """
        files = find_videos(tree, (TABLE, TASKS, *CAPTIONS))
        tasks = dict(_tasks(tree))
        labels, rows = _labels(tree, files.by_stem, tasks)
        captions, notes = _captions(tree, files.by_stem)
        entries = [
            _entry(id, item, labels.get(id, {}), captions.get(id, ()))
            for id, item in sorted(files.by_stem.items())
        ]
        notes += _notes(files, labels, captions, rows)
        return Listing.of(entries, files.ignored, notes)


def _tasks(tree: Tree) -> Iterator[tuple[str, str]]:
    if not tree.exists(TASKS):
        return
    text = jsonfile.read_bytes(tree, TASKS).decode("utf-8-sig", "replace")
    for line in text.splitlines():
        id, _, name = line.replace("\t", ",", 1).partition(",")
        yield id.strip(), jsonfile.clean(name.strip())


def _labels(
    tree: Tree, files: Mapping[str, Item], tasks: Mapping[str, str]
) -> tuple[dict[str, dict[str, str]], int]:
    """Labels of the videos that are here, and how many rows the table has."""
    rows, labels = 0, {}
    for _, row in csvfile.read_rows(tree, TABLE, _COLUMNS):
        rows += 1
        if row["video_id"] in files:
            found = {name: row[name] for name in _COLUMNS[1:]}
            found["task"] = tasks.get(row["task_id"], "")
            labels[row["video_id"]] = {key: value for key, value in found.items() if value}
    return labels, rows


def _captions(
    tree: Tree, files: Mapping[str, Item]
) -> tuple[dict[str, tuple[TimedText, ...]], list[str]]:
    rel = next((name for name in CAPTIONS if tree.exists(name)), "")
    if not rel:
        return {}, [f"no captions: neither {' nor '.join(CAPTIONS)} is there"]
    wanted = (pair for pair in jsonfile.items(tree, rel) if pair[0] in files)
    return {id: _texts(tree, rel, id, record) for id, record in wanted}, []


def _texts(tree: Tree, rel: str, id: str, record: Any) -> tuple[TimedText, ...]:
    """The captions of a video by time. Those without any length are left out."""
    lists = [
        record.get(key) if isinstance(record, dict) else None for key in ("start", "end", "text")
    ]
    lengths = {len(each) if isinstance(each, list) else -1 for each in lists}
    if lengths != {max(lengths)} or -1 in lengths:
        what = f"video {id} needs lists start, end and text of one length, found {record!r:.80}"
        raise jsonfile.wrong(tree, rel, what)
    texts = []
    for start, end, text in zip(*lists, strict=True):
        numbers = all(isinstance(at, int | float) and 0 <= at < 1e7 for at in (start, end))
        if not numbers or not isinstance(text, str | type(None)):
            what = f"video {id}: {start!r:.20} to {end!r:.20} is no time of a caption in s"
            raise jsonfile.wrong(tree, rel, what)
        if start < end and text and text.strip():
            texts.append(TimedText(float(start), float(end), jsonfile.clean(text.strip())))
    return tuple(sorted(texts, key=lambda each: (each.start_s, each.end_s)))


def _entry(id: str, item: Item, labels: Mapping[str, str], texts: tuple[TimedText, ...]) -> Entry:
    return Entry(
        id=id,
        uri=item.rel,
        size_bytes=item.size_bytes,
        text=labels.get("task", ""),
        labels=labels,
        annotations=Annotations(texts),
        problem=item.problem,
        detail=item.detail,
    )


def _notes(
    files: VideoFiles, labels: Mapping[str, Any], captions: Mapping[str, Any], rows: int
) -> list[str]:
    notes = [counted(files.spare, "name came again; not used")] if files.spare else []
    if rows > len(labels):
        notes.append(f"{rows - len(labels)} of the {rows} videos of {TABLE} have no file here")
    bare = sorted(files.by_stem.keys() - labels.keys())
    if bare:
        notes.append(counted(bare, f"video is not in {TABLE}"))
    silent = sorted(files.by_stem.keys() - captions.keys()) if captions else []
    if silent:
        notes.append(counted(silent, "video has no captions"))
    return notes
