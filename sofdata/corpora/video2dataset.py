"""Tars as video2dataset writes them: WebDataset shards of web video.

https://github.com/iejMac/video2dataset, output format "webdataset". Read are

    00000.tar               KEY.mp4 (or another video), KEY.txt, KEY.json; clips are KEY_n
    00000.parquet           the column status, to tell how many downloads failed; optional

A video is decoded from its place in the tar: it is copied to a temporary file alone, from a remote
tar by a range of bytes. Nothing is unpacked.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sofdata.corpora import jsonfile
from sofdata.corpora.base import Entry, Listing, count_ignored, counted, suffix
from sofdata.corpora.columns import column_types, read_columns
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.errors import ConfigError
from sofdata.storage import Tree
from sofdata.uris import part_of
from sofdata.walk import Item

MAX_TEXT = 1 << 20  # bytes of a .txt or .json member
_TAR = re.compile(r"\d{3,}\.tar")
_STATS = re.compile(r"\d{3,}(_stats\.json|\.parquet)")
_BLOCK = tarfile.BLOCKSIZE


@dataclass(slots=True)
class _Sample:
    """The members of one key in a tar."""

    video: tarfile.TarInfo | None = None
    text: str = ""
    caption: str = ""


@dataclass(slots=True)
class _Found:
    """What all tars hold, as they are gone through."""

    entries: list[Entry] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Video2Dataset:
    """Every video in every tar, with its caption as text."""

    name = "video2dataset"
    summary = "WebDataset tars of video2dataset: 00000.tar with KEY.mp4, KEY.txt, KEY.json"
    example = "sofdata ingest s3://bucket/videos DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        tars = [] if tree.is_file() else [n for n in tree.names("") if _TAR.fullmatch(n)]
        if not tars or not _begins_with_video(tree, tars[0]):
            return ""
        return f"video2dataset: {len(tars)} tars such as {tars[0]}, with videos in them"

    def listing(self, tree: Tree) -> Listing:
        """Reads the headers of all members, and texts. Raises `ConfigError` where there is no tar.

        A tar that is cut off gives the whole videos before the cut; the one that it runs through
        becomes an entry with the problem "truncated".
        """
        found = _Found()
        tars = []
        for item in tree.walk():
            if _TAR.fullmatch(item.rel.rsplit("/", 1)[-1]):
                tars.append(item)
            elif not _STATS.fullmatch(item.rel.rsplit("/", 1)[-1]):
                count_ignored(found.ignored, item.rel, item.problem)
            elif suffix(item.rel) == ".parquet":
                found.notes += _failures(tree, item.rel)
        if not tars:
            raise ConfigError(f"{tree.name} holds no tar such as 00000.tar")
        for item in tars:
            _read_tar(tree, item, found)
        if found.odd:
            found.notes.append(counted(found.odd, "member is no file of its own; not read"))
        if found.silent:
            found.notes.append(counted(found.silent, "text or JSON cannot be read; left out"))
        return Listing.of(found.entries, found.ignored, found.notes)


def _begins_with_video(tree: Tree, rel: str) -> bool:
    """Whether a video is among the first members of a tar."""
    try:
        with tree.open(rel) as handle, tarfile.open(fileobj=handle, mode="r:") as tar:
            for number, member in enumerate(tar):
                if suffix(member.name) in VIDEO_SUFFIXES:
                    return True
                if number >= 8:
                    break
    except (tarfile.TarError, OSError):
        return False
    return False


def _failures(tree: Tree, rel: str) -> Iterator[str]:
    """What a table of downloads says of those that failed."""
    try:
        if "status" not in column_types(tree, rel):
            return
        status = Counter(read_columns(tree, rel, ["status"])["status"].to_pylist())
    except ConfigError as error:
        yield str(error)
        return
    failed = {str(name): number for name, number in status.items() if name != "success"}
    if failed:
        told = ", ".join(f"{name} {number}" for name, number in sorted(failed.items()))
        yield f"{rel}: {sum(failed.values())} downloads failed ({told})"


def _read_tar(tree: Tree, item: Item, found: _Found) -> None:
    stem = item.rel.removesuffix(".tar")
    if item.problem:
        found.entries.append(
            Entry(stem, item.rel, item.size_bytes, problem=item.problem, detail=item.detail)
        )
        return
    samples: dict[str, _Sample] = {}
    again: list[Entry] = []
    try:
        with tree.open(item.rel) as handle, tarfile.open(fileobj=handle, mode="r:") as tar:
            for member in tar:
                _take(tar, member, item, samples, again, found)
            whole = _is_end(tree, item, tar.offset)
    except tarfile.TarError as error:
        whole = False
        if not samples:
            detail = f"no tar can be read from it: {error}"
            found.entries.append(
                Entry(stem, item.rel, item.size_bytes, problem="bad_archive", detail=detail)
            )
            return
    if not whole:
        found.notes.append(f"{item.rel} ends without the mark of a tar's end: it may be cut off")
    keyed = [(key, sample) for key, sample in samples.items() if sample.video]
    found.entries += [_entry(item, key, sample) for key, sample in keyed] + again
    lone = sum(sample.video is None for sample in samples.values())
    if lone:
        found.notes.append(f"{item.rel}: {lone} samples have no video")


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    item: Item,
    samples: dict[str, _Sample],
    again: list[Entry],
    found: _Found,
) -> None:
    """Note one member: a video by its place, a text by what it says."""
    if member.isdir():
        return
    place = f"{item.rel}: {member.name}"
    if not member.isreg() or member.issparse():
        found.odd.append(place)
        return
    end, key = suffix(member.name), member.name.rpartition(".")[0].removeprefix("./")
    if end in VIDEO_SUFFIXES:
        sample = samples.setdefault(key, _Sample())
        if sample.video is None:
            sample.video = member
        else:  # told by `Listing.of`, as any id that comes again
            again.append(_entry(item, key, _Sample(member)))
    elif end in (".txt", ".json") and _whole(member, item):
        sample = samples.setdefault(key, _Sample())
        try:
            _read_text(tar, member, end, sample)
        except (ValueError, RecursionError):
            found.silent.append(place)
    else:
        count_ignored(found.ignored, member.name)


def _read_text(tar: tarfile.TarFile, member: tarfile.TarInfo, end: str, sample: _Sample) -> None:
    """Raises `ValueError` for a text that is too long, no UTF-8 or no JSON object."""
    stream = tar.extractfile(member)
    if member.size > MAX_TEXT or stream is None:
        raise ValueError(f"{member.size} bytes")
    text = stream.read().decode()
    if end == ".txt":
        sample.text = jsonfile.clean(text.strip())
        return
    record: Any = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("no object")
    caption = record.get("caption")
    sample.caption = jsonfile.clean(caption.strip()) if isinstance(caption, str) else ""


def _whole(member: tarfile.TarInfo, item: Item) -> bool:
    return member.offset_data + member.size <= item.size_bytes


def _entry(item: Item, key: str, sample: _Sample) -> Entry:
    member = sample.video
    assert member is not None
    start, end = member.offset_data, member.offset_data + member.size
    problem = detail = ""
    if not _whole(member, item):
        problem = "truncated"
        detail = f"{member.name} goes to byte {end}, and {item.rel} ends at {item.size_bytes}"
    elif not member.size:
        problem, detail = "empty_file", f"{member.name} in {item.rel} has no bytes"
    return Entry(
        id=f"{item.rel.removesuffix('.tar')}/{jsonfile.clean(key)}",
        uri=part_of(item.rel, start, end),
        size_bytes=member.size,
        text=sample.text or sample.caption,
        labels={"key": jsonfile.clean(key)},
        problem=problem,
        detail=detail,
    )


def _is_end(tree: Tree, item: Item, offset: int) -> bool:
    """Whether the empty block that ends a tar lies where its last member does."""
    begin = max(0, offset - _BLOCK)
    return b"\0" * _BLOCK in tree.read_range(item.rel, begin, offset + _BLOCK)
