"""Something-Something V2: 220,847 short clips of hands that do something with something.

Goyal et al., "The something something video database for learning and evaluating visual common
sense", ICCV 2017. Only the fields named below are read from its label files:

    20bn-something-something-v2/ID.webm          also in another container, in any folder
    labels/train.json, labels/validation.json    [{id, label, template, placeholders}, ...]
    labels/test.json                             [{id}, ...]
    labels/labels.json                           {template without brackets: class id}, optional
    labels/test-answers.csv                      id;label, optional

The older file names, something-something-v2-train.json and so on, are found too. As it is
downloaded the clips are one archive in parts, which are read without unpacking them (see
`sofdata.storage.archives.tars`), and the label files lie in a zip:

    20bn-something-something-v2-00, -01, ...    or each in a zip: 20bn-something-something-v2-00.zip
    20bn-something-something-download-package-labels.zip
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sofdata.corpora.base import (
    Ignored,
    Listing,
    count_ignored,
    counted,
    is_hidden,
    names_in,
    suffix,
)
from sofdata.corpora.content import VIDEO_SUFFIXES, is_other_folder
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import jsonfile
from sofdata.corpora.spans import REPEATED, spare_entry
from sofdata.errors import ConfigError
from sofdata.storage.archives.parts import WILD, part_names
from sofdata.storage.archives.tars import members
from sofdata.storage.archives.zips import open_zip
from sofdata.storage.folder import Folder
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item

SPLITS = ("train", "validation", "test")
VIDEOS = "20bn-something-something-v2"
UNLABELLED = "unlabelled"
_PLACES = ("labels/{}", "something-something-v2-{}", "labels/something-something-v2-{}")
_SUFFIXES = (".webm", ".mp4", ".mkv")  # where an id has several files, the first of these is used
_PART_UNUSED = "part of an archive"
_NO_CLIP = "answer for no clip"
_ID = re.compile(r"[0-9]{1,18}")
PART = re.compile(r"((?:20bn-)?something-something-v2-)\d\d(|\.zip)")
LABELS_ZIP = re.compile(r"(20bn-)?something-something-(v2-|download-package-)?labels\.zip")


@dataclass(frozen=True, slots=True)
class _Label:
    """What the label files say of one id."""

    id: str
    text: str
    labels: dict[str, str]


class SomethingSomethingV2:
    """Clips by their id, with label, template, placeholders, class and split."""

    name = "ssv2"
    summary = f"Something-Something V2: {VIDEOS}/ID.webm, or its parts -00, ..., and label files"
    example = "sofdata ingest something-something-v2 DEST --recipe ssv2"

    def detect(self, tree: Tree) -> str:
        found = [rel for rel in (_place(tree, f"{split}.json") for split in SPLITS) if rel]
        found += _labels_zip(tree)
        folder = _folder_of_clips(tree) if found else None
        if folder is not None:
            where = folder or "."
            return f"Something-Something V2: {found[0]}, and clips named by number in {where}"
        if pattern := parts_pattern(tree):
            labels = found[0] if found else "no label file yet"
            return f"Something-Something V2: {labels}, and an archive in parts, {pattern}"
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for missing or malformed label files.

        An id without a file becomes an entry with the problem "no_file"; a clip without a label
        is an entry of the split "unlabelled".
        """
        unused = Counter[str]()
        with _label_folder(tree) as place:
            labels = list(_once(_labels(place, unused), unused))
        clips = _clips(tree)
        files = {id: clips.found[id][0].item for id in clips.found}
        known = {label.id for label in labels}
        bare = [_Label(id, "", {"split": UNLABELLED}) for id in files if id not in known]
        spare = (_spare(o, clip) for clip, *others in clips.found.values() for o in others)
        entries = itertools.chain((_entry(label, files) for label in (*labels, *bare)), spare)
        notes = list(clips.notes)
        if bare:
            notes.append(counted([label.id for label in bare], "clip has no label; used without"))
        return Listing.of(entries, clips.ignored, notes, tables=_tables(tree), unused=unused)


def _once(labels: Iterable[_Label], unused: Counter[str]) -> Iterator[_Label]:
    """Labels without those that come again as they are, which are counted."""
    seen: dict[str, _Label] = {}
    for label in labels:
        if seen.setdefault(label.id, label) is not label and seen[label.id] == label:
            unused[REPEATED] += 1
        else:
            yield label


def _place(tree: Folder, file: str) -> str:
    """Where a label file lies, or ""."""
    return next((rel for rel in _places(file) if tree.exists(rel)), "")


def _places(file: str) -> list[str]:
    return [place.format(file) for place in _PLACES]


def _folder_of_clips(tree: Tree) -> str | None:
    """The folder of clips named by number: the usual one, the root, or one just below it."""
    top = names_in(tree)
    folders = [VIDEOS, "", *(name for name in top if not suffix(name) and name != VIDEOS)]
    for folder in folders:
        names = names_in(tree, folder) if folder else top
        if any(_clip_id(name) for name in names):
            return folder
    return None


def _clip_id(rel: str) -> str:
    """The id that a clip's file name holds, or ""."""
    name = rel.rsplit("/", 1)[-1]
    stem, _, end = name.partition(".")
    return stem if f".{end.lower()}" in VIDEO_SUFFIXES and _ID.fullmatch(stem) else ""


def texts_by_clip(tree: Tree) -> tuple[dict[str, str], list[str]]:
    """The label of each id, and the files that say them; nothing of a source without any."""
    tables = _tables(tree)
    if not tables:
        return {}, []
    with _label_folder(tree) as place:
        return {label.id: label.text for label in _labels(place, Counter())}, tables


def _tables(tree: Tree) -> list[str]:
    """The label files that are read, or the zip that holds them."""
    if not any(_place(tree, f"{split}.json") for split in SPLITS):
        return _labels_zip(tree)
    return [rel for rel in (_place(tree, name) for name in _LABEL_FILES) if rel]


# Label files


def _labels(tree: Folder, unused: Counter[str]) -> Iterator[_Label]:
    places = {split: _place(tree, f"{split}.json") for split in SPLITS}
    if not any(places.values()):
        looked = ", ".join(rel for split in SPLITS for rel in _places(f"{split}.json"))
        raise ConfigError(
            f"{tree.name} has no label file of Something-Something V2; looked for {looked}."
            " Put them there, or give --corpus folder to take the videos without labels"
        )
    classes = _classes(tree)
    answers = _answers(tree)
    asked = set()
    for split, rel in places.items():
        if rel:
            for label in _split(tree, rel, split, classes, answers):
                asked.add(label.id)
                yield label
    unused[_NO_CLIP] += len(answers.keys() - asked)


def _split(
    tree: Folder, rel: str, split: str, classes: dict[str, str], answers: dict[str, str]
) -> Iterator[_Label]:
    records: list[Any] = jsonfile.read_json(tree, rel, list)
    for at, record in enumerate(records):
        if not isinstance(record, dict):
            raise jsonfile.wrong(tree, rel, f"record {at} is no object with 'id' and 'label'")
        id = _id(tree, rel, record, at)
        text = jsonfile.field(tree, rel, record, "label", str, at=at) or answers.get(id, "")
        template = jsonfile.field(tree, rel, record, "template", str, at=at) or answers.get(id, "")
        things = jsonfile.field(tree, rel, record, "placeholders", list, at=at)
        fields = {
            "split": split,
            "template": template,
            "class_id": classes.get(re.sub(r"[\[\]]", "", template), ""),
            "placeholders": json.dumps(things, ensure_ascii=False) if things else "",
        }
        kept = {key: jsonfile.clean(value) for key, value in fields.items() if value}
        yield _Label(id, jsonfile.clean(text), kept)


def _id(tree: Folder, rel: str, record: dict[str, Any], at: int) -> str:
    id = str(record.get("id", ""))
    if not _ID.fullmatch(id):
        found = f"'{id[:40]}'" if "id" in record else "none"
        raise jsonfile.wrong(tree, rel, f"record {at} needs an 'id' of digits, found {found}")
    return id


def _classes(tree: Folder) -> dict[str, str]:
    rel = _place(tree, "labels.json")
    values: dict[str, Any] = jsonfile.read_json(tree, rel, dict) if rel else {}
    for template, number in values.items():
        if not isinstance(number, str | int):
            raise jsonfile.wrong(tree, rel, f"class of '{template}' should be a number")
    return {template: str(number) for template, number in values.items()}


def _answers(tree: Folder) -> dict[str, str]:
    """Labels of the test split: lines of id;label."""
    rel = _place(tree, "test-answers.csv")
    answers: dict[str, str] = {}
    lines = jsonfile.read_bytes(tree, rel).decode("utf-8", "replace").splitlines() if rel else []
    for number, line in enumerate(lines, 1):
        id, _, text = line.partition(";")
        if _ID.fullmatch(id.strip()) and text.strip():
            answers.setdefault(id.strip(), text.strip())
        elif line.strip() and number > 1:  # the first line may be a heading
            raise jsonfile.wrong(tree, rel, f"line {number} should read id;label")
    return answers


# Clips


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip's file, or the member of an archive; `name` is for a person."""

    name: str
    item: Item


@dataclass(slots=True)
class _Clips:
    """The files of each id, the one to use first, in the order of the ids; and what is no clip."""

    found: dict[str, list[_Clip]] = field(default_factory=dict)
    ignored: Ignored = field(default_factory=Ignored)
    notes: list[str] = field(default_factory=list)

    def add(self, id: str, name: str, item: Item) -> None:
        self.found.setdefault(id, []).append(_Clip(name, item))

    def in_order(self) -> None:
        for clips in self.found.values():
            clips.sort(key=lambda clip: _rank(clip.item))
        ids = sorted(self.found, key=lambda id: (len(id), id))
        self.found = {id: self.found[id] for id in ids}


def _clips(tree: Tree) -> _Clips:
    clips, tables = _Clips(), set(_tables(tree))
    unnamed: list[str] = []
    parts: list[str] = []
    for item in tree.walk(folders=True):
        hidden, folder = is_hidden(item.rel), item.problem == "is_a_directory"
        id = "" if hidden else _clip_id(item.rel)
        if id and not is_other_folder(item):
            clips.add(id, item.rel, item)
        elif PART.fullmatch(item.rel.rsplit("/", 1)[-1]) and not (folder or hidden):
            parts.append(item.rel)
        elif not folder and item.rel not in tables:
            count_ignored(clips.ignored, item)
            if suffix(item.rel) in VIDEO_SUFFIXES and not hidden:
                unnamed.append(item.rel)
    _unpack(tree, parts, clips)
    clips.in_order()
    if unnamed:
        clips.notes.append(counted(unnamed, "video is not named by an id; ignored"))
    return clips


def _unpack(tree: Tree, parts: list[str], clips: _Clips) -> None:
    """Take the clips from the archive whose parts are there, if there are none beside it."""
    if not parts:
        return
    pattern = "" if clips.found else parts_pattern(tree)
    used = set(part_names(tree, pattern)) if pattern else set()
    spare = [rel for rel in parts if rel not in used]
    clips.ignored[_PART_UNUSED] += len(spare)
    if spare:
        where = "lies too deep in folders" if not pattern else "lies beside those that are"
        where = "lies beside the clips" if clips.found else where
        clips.notes.append(counted(spare, f"part of an archive {where}; not read"))
    if pattern:
        for name, item in _members(tree, pattern, clips.notes):
            if id := _clip_id(name):
                clips.add(id, name, item)
            else:
                count_ignored(clips.ignored, Item(name, 0))


_LABEL_FILES = (*(f"{split}.json" for split in SPLITS), "labels.json", "test-answers.csv")


def _rank(item: Item) -> tuple[bool, bool, int, str]:
    """Sorts the files of one id: readable ones first, then the usual folder and suffix."""
    usual = item.rel.startswith(f"{VIDEOS}/")
    end = suffix(item.rel)  # none for a member of an archive
    return bool(item.problem), not usual, _SUFFIXES.index(end) if end in _SUFFIXES else 0, item.rel


def _spare(clip: _Clip, used: _Clip) -> Entry:
    """A second file of an id, as a reject under its path."""
    entry = spare_entry(clip.item, used.item)
    detail = clip.item.detail or f"it has the id of {used.name}, which is used"
    return replace(entry, id=clip.name, detail=detail)


def _entry(label: _Label, files: dict[str, Item]) -> Entry:
    item = files.get(label.id)
    if item is None:
        uri = f"{VIDEOS}/{label.id}.webm"
        missing = Item(uri, 0, "no_file", "the label files name this id, and no clip has it")
        return _entry(label, {label.id: missing})
    return Entry(
        id=label.id,
        uri=item.uri,
        size_bytes=item.size_bytes,
        text=label.text,
        labels=label.labels,
        problem=item.problem,
        detail=item.detail or ("a folder, not a clip" if item.problem == "is_a_directory" else ""),
        fingerprint=item.fingerprint,
        stamp=item.stamp,
    )


# Archives, as they are downloaded


def parts_pattern(tree: Tree) -> str:
    """The pattern of the archive's parts at the root, or in a folder there; "" if there is none.

    Parts that are not in a zip come first where both are there.
    """
    for folder in ("", *(name for name in names_in(tree) if not suffix(name))):
        found = [match for match in map(PART.fullmatch, names_in(tree, folder)) if match]
        if found and folder != found[0].string:
            first = min(found, key=lambda match: (match[2], match.string))
            return f"{folder}/" * bool(folder) + f"{first[1]}{WILD}{first[2]}"
    return ""


def _members(tree: Tree, pattern: str, notes: list[str]) -> Iterator[tuple[str, Item]]:
    """The files in the archive by name, in order."""
    odd = []
    for member in members(tree, pattern):
        if not member.regular or not member.name or ".." in member.name.split("/"):
            odd.append(member.name)
            continue
        part = (member.start, member.start + member.size)
        where = Location(pattern, part=part, unpacked=True)
        problem, detail = "", ""
        if not member.size:
            problem, detail = "empty_file", f"{member.name} in {pattern} has no bytes"
        mark = member.fingerprint
        yield member.name, Item(where.uri, member.size, problem, detail, mark, where)
    if odd:
        notes.append(counted(odd, "member of the archive is a link or has a name that leaves it"))


def _labels_zip(tree: Tree) -> list[str]:
    return [name for name in names_in(tree) if LABELS_ZIP.fullmatch(name)][:1]


@contextmanager
def _label_folder(tree: Tree) -> Iterator[Folder]:
    """Where the label files lie: in the source, or in their zip."""
    found = _labels_zip(tree)
    if not found or any(_place(tree, f"{split}.json") for split in SPLITS):
        yield tree
        return
    with tree.local_copy(found[0]) as copy:
        yield open_zip(copy, f"{tree.name}/{found[0]}")
