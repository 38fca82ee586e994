"""Kinetics and its like: a folder a class, or one folder and a table of classes.

Kay et al., "The Kinetics human action video dataset", arXiv 1705.06950. Both layouts in which it
is passed around:

    train/abseiling/ID_000010_000020.mp4     class folders, with or without folders of splits
    train/ID_000010_000020.mp4               a file a clip, its class in a table:
    train.csv, annotations/train.csv         label, youtube_id, time_start, time_end, split

Files are cut to the span that their names tell. A file without it, ID.mp4, is the whole video, of
which the spans of the table are used. UCF101, HMDB51 and others in class folders read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sofdata.corpora import csvfile, jsonfile
from sofdata.corpora.base import Entry, Listing, counted, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.spans import Span, VideoFiles, find_videos, span_entry
from sofdata.errors import ConfigError
from sofdata.storage import Tree
from sofdata.walk import Item

SPLITS = ("train", "val", "validate", "validation", "test", "holdout")
_FOLDERS = ("", "annotations/")
_NAMES = (
    "{}.csv",
    "kinetics_{}.csv",
    "kinetics400_{}.csv",
    "kinetics600_{}.csv",
    "kinetics700_{}.csv",
)
_COLUMNS = ("youtube_id", "time_start", "time_end")
_CUT = re.compile(r"(.+)_(\d{6})_(\d{6})")
_ENOUGH = 2  # class folders that make a layout


@dataclass(frozen=True, slots=True)
class _Clip:
    """A row of a table. place: where it stands."""

    id: str
    span_s: Span
    label: str
    split: str
    place: str


class Kinetics:
    """Clips with their class as text: from a table, or else from the folder."""

    name = "kinetics"
    summary = "Kinetics-style: CLASS/clip.mp4, also below train/ val/ test/; or clips and train.csv"
    example = "sofdata ingest kinetics DEST --recipe kinetics"

    def detect(self, tree: Tree) -> str:
        tables = [rel for rel in _tables(tree) if _is_table(tree, rel)]
        if tables:
            return f"Kinetics-style: {', '.join(tables)} with {', '.join(_COLUMNS)}"
        if tree.is_file():
            return ""
        for split in SPLITS:
            classes = [name for name in tree.names(split) if _holds_clips(tree, f"{split}/{name}")]
            if len(classes) >= _ENOUGH:
                return f"Kinetics-style: folders of classes in {split}/, such as {classes[0]}"
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table, or where neither layout is found.

        Rows whose file is not here are no input, since many videos have been taken down since; a
        note counts them. A row without a span, and a file of no class, are told too.
        """
        tables = [rel for rel in _tables(tree) if _is_table(tree, rel)]
        files = find_videos(tree, tables)
        notes = [counted(files.spare, "name came again; not used")] if files.spare else []
        if not tables:
            entries = [_in_folder(item) for item in files.by_stem.values()]
            bare = [entry.id for entry in entries if not entry.text]
            if len(bare) == len(entries):
                raise ConfigError(
                    f"{tree.name} has no folders of classes and no table such as train.csv with "
                    f"the columns {', '.join(_COLUMNS)}; --corpus folder takes videos without them"
                )
            if bare:
                notes.append(counted(bare, "video lies in no folder of a class; used without"))
            return Listing.of(entries, files.ignored, notes)
        clips = [clip for rel in tables for clip in _clips(tree, rel)]
        entries, away, used = _of_table(clips, files)
        if away:
            notes.append(counted(away, "clip of the tables has no file here"))
        bare = sorted(files.by_stem.keys() - used)
        if bare:
            notes.append(counted(bare, "video is in no table; its folder names its class"))
        entries += [_in_folder(files.by_stem[stem]) for stem in bare]
        return Listing.of(entries, files.ignored, notes)


def _tables(tree: Tree) -> list[str]:
    names = [name.format(split) for split in SPLITS for name in _NAMES]
    if tree.is_file():
        return []
    return [
        f"{place}{name}" for place in _FOLDERS for name in names if tree.exists(f"{place}{name}")
    ]


def _is_table(tree: Tree, rel: str) -> bool:
    return set(_COLUMNS) <= set(csvfile.columns(tree, rel))


def _holds_clips(tree: Tree, folder: str) -> bool:
    return any(suffix(name) in VIDEO_SUFFIXES for name in tree.names(folder)[:20])


def _clips(tree: Tree, rel: str) -> Iterator[_Clip]:
    for line, row in csvfile.read_rows(tree, rel, _COLUMNS):
        id = row["youtube_id"]
        if not id or "/" in id:
            raise jsonfile.wrong(tree, rel, f"line {line} needs a youtube_id, found {id[:40]!r}")
        try:
            span = csvfile.seconds(row["time_start"]), csvfile.seconds(row["time_end"])
        except ValueError as error:
            raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None
        split = row.get("split", "") or rel.rsplit("/", 1)[-1].removesuffix(".csv")
        yield _Clip(id, span, row.get("label", ""), split, f"{rel}, line {line}")


def _of_table(clips: list[_Clip], files: VideoFiles) -> tuple[list[Entry], list[str], set[str]]:
    """Entries of the rows that have a file, ids of the others, and the files that were used."""
    entries, away, used = [], [], set[str]()
    for clip in clips:
        start, end = (int(second) for second in clip.span_s)
        cut = f"{clip.id}_{start:06d}_{end:06d}"
        stem = next((name for name in (cut, clip.id) if name in files.by_stem), None)
        if stem is None:
            away.append(cut)
            continue
        used.add(stem)
        labels = {"label": clip.label, "split": clip.split, "youtube_id": clip.id}
        span = None if stem == cut and clip.span_s[0] < clip.span_s[1] else clip.span_s
        item = files.by_stem[stem]
        entries.append(span_entry(cut, item, span, clip.place, clip.label, labels))
    return entries, away, used


def _in_folder(item: Item) -> Entry:
    """A clip whose folder names its class, if that is none of the splits."""
    folders = item.rel.split("/")[:-1]
    split = next((name for name in folders if name in SPLITS), "")
    label = folders[-1] if folders and folders[-1] not in SPLITS else ""
    text = label.replace("_", " ")
    stem = item.rel.rsplit("/", 1)[-1].rpartition(".")[0]
    cut = _CUT.fullmatch(stem)
    labels = {"label": label, "split": split, "youtube_id": cut[1] if cut else ""}
    return span_entry(item.rel, item, None, item.rel, text, labels)
