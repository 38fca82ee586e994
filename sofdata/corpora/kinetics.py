"""Kinetics and its like: a folder a class, or one folder and a table of classes.

Kay et al., "The Kinetics human action video dataset", arXiv 1705.06950. Both layouts in which it
is passed around:

    train/abseiling/ID_000010_000020.mp4     class folders, with or without folders of splits
    train/ID_000010_000020.mp4               a file a clip, its class in a table:
    kinetics-400_train.csv, or any .csv      label, youtube_id, time_start, time_end, split

A table is known by its columns, whatever it is called and in whatever folder it lies; those of
test splits have no label. Files are cut to the span that their names state. A file without it,
ID.mp4, is the whole video, of which the spans of the table are used. Of two files of a clip one is
used, and that of CVDF's folder replacement/ first: it stands for one that is damaged
(cvdfoundation/kinetics-dataset, arrange_by_classes.py).

UCF101, HMDB51 and others in class folders read the same way: each file is an input of its own
under its path, since names such as CLASS/0.mp4 come again in every folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sofdata.corpora.base import Listing, counted, names_in, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.corpora.spans import (
    NO_FILE,
    REPEATED,
    Span,
    VideoFiles,
    find_videos,
    has_columns,
    span_entry,
    stem_of,
)
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

SPLITS = ("train", "val", "validate", "validation", "test", "holdout")
_COLUMNS = ("youtube_id", "time_start", "time_end")
_CUT = re.compile(r"(.+)_(\d{6})_(\d{6})")
_SHARD = re.compile(r"\d{3,}")
_ENOUGH = 2  # class folders that make a layout
_HOLDS_TABLES = re.compile(r"annot|kinetics|label|list|csv|meta|^k[4-7]00")


@dataclass(frozen=True, slots=True)
class _ClipRow:
    """A row of a table. place: where it stands."""

    id: str
    span_s: Span
    label: str
    split: str
    place: str = field(compare=False)

    @property
    def cut(self) -> str:
        """The name of its file, and its id."""
        start, end = (int(second) for second in self.span_s)
        return f"{self.id}_{start:06d}_{end:06d}"


class Kinetics:
    """Clips with their class as text: from a table, or else from the folder."""

    name = "kinetics"
    summary = "Kinetics-style: CLASS/clip.mp4, also below train/ val/ test/; or clips and a table"
    example = "sofdata ingest kinetics DEST --recipe kinetics"

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            return ""
        tables = [rel for rel in _near(tree) if has_columns(tree, rel, _COLUMNS)]
        if tables:
            return f"Kinetics-style: {', '.join(tables)} with {', '.join(_COLUMNS)}"
        for split in SPLITS:
            classes = [
                name for name in names_in(tree, split) if _holds_clips(tree, f"{split}/{name}")
            ]
            if len(classes) >= _ENOUGH:
                return f"Kinetics-style: folders of classes in {split}/, such as {classes[0]}"
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed table, or where neither layout is found.

        Rows whose file is not here are no input, since many videos have been taken down since:
        they are counted. A file of no row is an input, with its folder's class if that is one.
        """
        files = find_videos(
            tree, lambda item: suffix(item.rel) == ".csv", lambda rel: "replacement" not in rel
        )
        tables = [item.rel for item in files.claimed if has_columns(tree, item.rel, _COLUMNS)]
        files.ignore(item for item in files.claimed if item.rel not in tables)
        if not tables:
            return _of_folders(tree, files)
        clips = [clip for rel in tables for clip in _clips(tree, rel)]
        entries, away, used, unused = _of_table(clips, files)
        notes = [counted(away, "clip of the tables has no file here")] if away else []
        classes = {_plain(clip.label) for clip in clips if clip.label} or None
        bare = [item for stem in files.by_stem.keys() - used for item in files.by_stem[stem]]
        bare.sort(key=lambda item: item.rel)
        if bare:
            what = "video is in no table; used, with its folder's class if the tables have it"
            notes.append(counted([item.rel for item in bare], what))
        entries += [_in_folder(item, classes) for item in bare]
        return Listing.of(entries, files.ignored, notes, tables=tables, unused=unused)


def _near(tree: Tree) -> Iterator[str]:
    """The tables at the top, and in folders there that are called like some that hold tables.

    Others are not listed, since of an object store a folder of clips is thousands of requests.
    """
    top = names_in(tree)
    yield from (name for name in top if suffix(name) == ".csv")
    for folder in [name for name in top if _HOLDS_TABLES.search(name.lower())]:
        yield from (f"{folder}/{name}" for name in names_in(tree, folder) if suffix(name) == ".csv")


def _holds_clips(tree: Tree, folder: str) -> bool:
    """Whether videos lie in a folder that is no shard of video2dataset, with texts beside them."""
    names = names_in(tree, folder)
    shard = _SHARD.fullmatch(folder.rsplit("/", 1)[-1])
    captioned = {stem_of(name) for name in names if shard and suffix(name) in (".txt", ".json")}
    # Some names are enough to see what a folder is for, and it may hold many thousands.
    clips = [name for name in names[:20] if suffix(name) in VIDEO_SUFFIXES]
    return bool(clips) and not any(stem_of(name) in captioned for name in clips)


def _clips(tree: Tree, rel: str) -> Iterator[_ClipRow]:
    words = re.split("[^a-z]+", rel.rsplit("/", 1)[-1].lower())
    named = next((word for word in words if word in SPLITS), "")
    for line, row in csvfile.read_rows(tree, rel, _COLUMNS):
        id = row["youtube_id"]
        if not id or "/" in id:
            raise jsonfile.wrong(tree, rel, f"line {line} needs a youtube_id, found {id[:40]!r}")
        try:
            span = csvfile.seconds(row["time_start"]), csvfile.seconds(row["time_end"])
        except ValueError as error:
            raise jsonfile.wrong(tree, rel, f"line {line}: {error}") from None
        split = row.get("split", "") or named
        yield _ClipRow(id, span, row.get("label", ""), split, f"{rel}, line {line}")


def _of_table(
    clips: list[_ClipRow], files: VideoFiles
) -> tuple[list[Entry], list[str], set[str], Counter[str]]:
    """Entries of the rows that have a file, ids of the others, stems that were used, rows not."""
    entries, away, used = list[Entry](), list[str](), set[str]()
    seen, unused = set[_ClipRow](), Counter[str]()
    for clip in clips:
        if clip in seen:  # tables of several versions overlap
            unused[REPEATED] += 1
            continue
        seen.add(clip)
        stem = next((name for name in (clip.cut, clip.id) if name in files.by_stem), None)
        if stem is None:
            unused[NO_FILE] += 1
            away.append(clip.cut)
            continue
        labels = {"label": clip.label, "split": clip.split, "youtube_id": clip.id}
        span = None if stem == clip.cut and clip.span_s[0] < clip.span_s[1] else clip.span_s
        item = files.by_stem[stem][0]
        entries.append(
            span_entry(clip.cut, item, span, place=clip.place, text=clip.label, labels=labels)
        )
        if stem not in used:
            entries += files.spare(stem)
        used.add(stem)
    return entries, away, used, unused


def _of_folders(tree: Tree, files: VideoFiles) -> Listing:
    """Every file as an input under its path, whatever the others are called."""
    entries = [_in_folder(item) for item in files]
    bare = [entry.id for entry in entries if not entry.text]
    if len(bare) == len(entries):
        raise ConfigError(
            f"{tree.name} has no folders of classes and no table with the columns "
            f"{', '.join(_COLUMNS)}; --corpus folder takes videos without them"
        )
    notes = [counted(bare, "video lies in no folder of a class; used without")] if bare else []
    return Listing.of(entries, files.ignored, notes)


def _in_folder(item: Item, classes: set[str] | None = None) -> Entry:
    """A clip whose folder names its class, if that is none of the splits.

    classes: the only names of folders that are taken for classes, None for all.
    """
    folders = item.rel.split("/")[:-1]
    split = next((name for name in folders if name in SPLITS), "")
    label = folders[-1] if folders and folders[-1] not in SPLITS else ""
    if classes is not None and _plain(label) not in classes:
        label = ""
    text = label.replace("_", " ")
    stem = item.rel.rsplit("/", 1)[-1].rpartition(".")[0]
    cut = _CUT.fullmatch(stem)
    labels = {"label": label, "split": split, "youtube_id": cut[1] if cut else ""}
    return span_entry(item.rel, item, None, place=item.rel, text=text, labels=labels)


def _plain(label: str) -> str:
    """A class as tables and folders write it alike: 'Opening_bottle' is 'opening bottle'."""
    return label.replace("_", " ").casefold()
