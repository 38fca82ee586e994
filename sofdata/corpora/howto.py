"""HowTo100M: instructional video from the web, with what is said in it.

Miech et al., "HowTo100M", ICCV 2019. Read are, of the published files:

    HowTo100M_v1.csv                video_id, category_1, category_2, task_id
    caption.json                    {video_id: {start: [s], end: [s], text: [...]}}; or the fuller
                                    raw_caption.json, raw_caption_superclean.json, taken before it
    VIDEO_ID.csv                    start, end, text: as howto100m_captions.zip has them; in any
                                    folder, read where no JSON has the video
    task_ids.csv                    task_id, a tab or comma, what the task is called; optional
    VIDEO_ID.mp4, .webm, .mkv       in any folder

Captions come from speech, so a window's text is what is said while it happens, which need not be
what is done. In caption.json stop words are left out ("greetings lovelies hi emmy"), so that one
of the raw files is better where it is there. They are gigabytes: they are read piece by piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sofdata.corpora.base import Listing, counted, suffix
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.corpora.spans import NO_FILE, REPEATED, VideoFiles, find_videos, has_columns, stem_of
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.types import Annotations, TimedText

TABLE = "HowTo100M_v1.csv"
CAPTIONS = ("raw_caption_superclean.json", "raw_caption.json", "caption.json")
TASKS = "task_ids.csv"
_COLUMNS = ("video_id", "category_1", "category_2", "task_id")
_TIMES = ("start", "end", "text")
_OTHER_ROW = "row of a video that has one"
_OTHER_CAPTIONS = "captions of no video here"
_FILES = (TABLE, TASKS, *CAPTIONS)
Captions = dict[str, tuple[TimedText, ...]]


class HowTo100M:
    """Whole videos; their windows carry what is said meanwhile."""

    name = "howto100m"
    summary = f"HowTo100M: {TABLE}, caption.json, and VIDEO_ID.mp4"
    example = "sofdata ingest howto100m DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        return f"HowTo100M: {TABLE}" if not tree.is_file() and tree.exists(TABLE) else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table or caption file.

        Videos of the table that are not here are no input: they are counted. A video that is not in
        it is one, without labels.
        """
        files = find_videos(tree, lambda item: item.rel in _FILES or suffix(item.rel) == ".csv")
        tables = [item.rel for item in files.claimed if item.rel in _FILES and not item.problem]
        own = {stem_of(item.rel): item for item in files.claimed if _may_caption(tree, item, files)}
        kept = {*tables, *(item.rel for item in own.values())}
        files.ignore(item for item in files.claimed if item.rel not in kept)
        unused = Counter[str]()
        labels = _labels(tree, files, dict(_tasks(tree)), unused)
        captions, notes = _captions(tree, tables, files, unused)
        for id, item in own.items():
            if id not in captions:
                captions[id] = _of_rows(tree, item.rel, id)
        entries = []
        for id in sorted(files.by_stem):
            found = _entry(id, files.by_stem[id][0], labels.get(id, {}), captions.get(id, ()))
            entries += [found, *files.spare(id)]
        if not own and not set(CAPTIONS) & kept:
            notes.append(f"no captions: none of {', '.join(CAPTIONS)} is there")
        notes += _notes(files, labels, captions, unused)
        return Listing.of(entries, files.ignored, notes, tables=kept, unused=unused)


def _may_caption(tree: Tree, item: Item, files: VideoFiles) -> bool:
    """Whether a file is the captions of one video that is here."""
    if item.rel in _FILES or stem_of(item.rel) not in files.by_stem or item.problem:
        return False
    return has_columns(tree, item.rel, _TIMES)


def _tasks(tree: Tree) -> Iterator[tuple[str, str]]:
    if not tree.exists(TASKS):
        return
    text = jsonfile.read_bytes(tree, TASKS).decode("utf-8-sig", "replace")
    for line in text.splitlines():
        id, _, name = line.replace("\t", ",", 1).partition(",")
        yield id.strip(), jsonfile.clean(name.strip())


def _labels(
    tree: Tree, files: VideoFiles, tasks: Mapping[str, str], unused: Counter[str]
) -> dict[str, dict[str, str]]:
    """Labels of the videos that are here; counts the rows of others."""
    labels: dict[str, dict[str, str]] = {}
    for _, row in csvfile.read_rows(tree, TABLE, _COLUMNS):
        id = row["video_id"]
        if id not in files.by_stem:
            unused[NO_FILE] += 1
            continue
        found = {name: row[name] for name in _COLUMNS[1:]}
        found["task"] = tasks.get(row["task_id"], "")
        kept = {key: value for key, value in found.items() if value}
        if id in labels:
            unused[REPEATED if kept == labels[id] else _OTHER_ROW] += 1
        labels.setdefault(id, kept)
    return labels


def _captions(
    tree: Tree, tables: list[str], files: VideoFiles, unused: Counter[str]
) -> tuple[Captions, list[str]]:
    """The captions of the videos that are here, from the first of the files that is there."""
    there = [name for name in CAPTIONS if name in tables]
    if not there:
        return {}, []
    found: Captions = {}
    for id, record in jsonfile.items(tree, there[0]):
        if id in files.by_stem:
            found[id] = _texts(tree, there[0], id, record)
        else:
            unused[_OTHER_CAPTIONS] += 1
    return found, [f"{name} is not read, since {there[0]} is there" for name in there[1:]]


def _of_rows(tree: Tree, rel: str, id: str) -> tuple[TimedText, ...]:
    """The captions of one video from a table of its own."""
    record: dict[str, list[Any]] = {name: [] for name in _TIMES}
    for line, row in csvfile.read_rows(tree, rel, _TIMES):
        try:
            record["start"].append(csvfile.seconds(row["start"]))
            record["end"].append(csvfile.seconds(row["end"]))
        except ValueError as error:
            raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None
        record["text"].append(row["text"])
    return _texts(tree, rel, id, record)


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
        uri=item.uri,
        size_bytes=item.size_bytes,
        text=labels.get("task", ""),
        labels=labels,
        annotations=Annotations(texts),
        problem=item.problem,
        detail=item.detail,
        stamp=item.stamp,
    )


def _notes(
    files: VideoFiles, labels: Mapping[str, Any], captions: Captions, unused: Mapping[str, int]
) -> list[str]:
    notes = []
    if away := unused[NO_FILE]:
        notes.append(f"{away} of the {away + len(labels)} videos of {TABLE} have no file here")
    bare = sorted(files.by_stem.keys() - labels.keys())
    if bare:
        notes.append(counted(bare, f"video is not in {TABLE}"))
    silent = sorted(files.by_stem.keys() - captions.keys()) if captions else []
    if silent:
        notes.append(counted(silent, "video has no captions"))
    return notes
