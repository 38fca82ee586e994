"""Web video as video2dataset stores it, in any of its formats.

https://github.com/iejMac/video2dataset, data_writer.py. Read are

    00000/KEY.mp4, KEY.txt, KEY.json    "files", its default: see `sidecars`
    00000.tar                           "webdataset", also shard-00000.tar and others: see `tars`
    00000.parquet                       "parquet", with the videos in a column: see `parquets`
    00000.parquet, 00000_stats.json     beside the other two: what was downloaded, and what failed

Clips are KEY_n. Ids are SHARD/KEY, whatever the format. A video without a text is used without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sofdata.corpora import parquets, sidecars
from sofdata.corpora.base import Listing, count_ignored, counted, is_hidden, names_in, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.spans import find_videos
from sofdata.corpora.tars import ArchiveContents, begins_with_video, read_tar
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

_ANY_TAR = re.compile(r".*\.tar")
_TAR = re.compile(r".*\d{3,}\.tar")
_SHARD = re.compile(r"\d{3,}")
_STATS = re.compile(r"\d{3,}(_stats\.json|\.parquet)")
_LOOKED_AT = 3  # tars and tables of a folder
_LOOKED_IN = 5  # folders at the top, shards first: each may hold thousands of files


class Video2Dataset:
    """Every video with its caption as text: in files, in tars, in tables."""

    name = "video2dataset"
    summary = "video2dataset: 00000/KEY.mp4, .txt, .json; tars 00000.tar; or tables 00000.parquet"
    example = "sofdata ingest s3://bucket/videos DEST --recipe web_video"

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            name = tree.root.rsplit("/", 1)[-1]
            known = suffix(name) in (".tar", ".parquet")
            return _why(tree.parent(), "", [name], _ANY_TAR) if known else ""
        top = names_in(tree)
        if why := _why(tree, "", top):
            return why
        folders = [name for name in top if not suffix(name) and not is_hidden(name)]
        folders.sort(key=lambda name: (not _SHARD.fullmatch(name), name))
        for folder in folders[:_LOOKED_IN]:
            names = names_in(tree, folder)
            if why := _why(tree, folder, names):
                return why
            for shard in [name for name in names if _SHARD.fullmatch(name)][:1]:  # train/00000
                if why := _why(tree, f"{folder}/{shard}", names_in(tree, f"{folder}/{shard}")):
                    return why
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Reads the headers of all members of tars, all files of text, and the videos in tables.

        Raises `ConfigError` where there is no video in any of the formats.
        """
        if tree.is_file():
            name = tree.root.rsplit("/", 1)[-1]
            item = Item(name, tree.size(""))
            return _list(tree.parent(), [], [item], ArchiveContents())
        claim = (".tar", ".parquet", *sidecars.SUFFIXES)
        files = find_videos(tree, lambda item: suffix(item.rel) in claim)
        found = ArchiveContents(ignored=files.ignored)
        listing = _list(tree, sorted(files, key=lambda item: item.rel), files.claimed, found)
        if not listing.entries:
            raise ConfigError(
                f"{tree.name} holds no tar such as 00000.tar, no folder such as 00000 with videos, "
                "and no table such as 00000.parquet with a column of videos"
            )
        return listing


def _why(tree: Tree, folder: str, names: list[str], tar: re.Pattern[str] = _TAR) -> str:
    """Why a folder looks as video2dataset fills it, "" if it does not. tar: names of shards."""
    place = f"{folder}/" if folder else ""
    tars = [name for name in names if tar.fullmatch(name) and not is_hidden(name)]
    for name in tars[:_LOOKED_AT]:
        if begins_with_video(tree, place + name):
            return f"video2dataset: {len(tars)} tars such as {place}{name}, with videos in them"
    tables = [name for name in names if suffix(name) == ".parquet" and not is_hidden(name)]
    for name in tables[:_LOOKED_AT]:
        if columns := _video_columns(tree, place + name):
            where = f"in the column {columns[0]}"
            return f"video2dataset: {len(tables)} tables such as {place}{name}, with videos {where}"
    if not folder or _SHARD.fullmatch(folder.rsplit("/", 1)[-1]):
        captioned = {name.rpartition(".")[0] for name in names if suffix(name) in sidecars.SUFFIXES}
        for name in names:
            stem = name.rpartition(".")[0]
            keyed = stem in captioned and sidecars.KEY.fullmatch(stem)
            if keyed and suffix(name) in VIDEO_SUFFIXES:
                return f"video2dataset: videos with their texts beside them, such as {place}{name}"
    return ""


def _video_columns(tree: Tree, rel: str) -> list[str]:
    try:
        return parquets.video_columns(tree, rel)
    except ConfigError:
        return []


def _list(tree: Tree, videos: list[Item], others: list[Item], found: ArchiveContents) -> Listing:
    beside = sidecars.samples(tree, videos, _texts(others))
    found.silent += beside.silent
    tables = [*beside.tables]
    for item in beside.spare:
        if _STATS.fullmatch(item.rel.rsplit("/", 1)[-1]) and not item.problem:
            tables.append(item.rel)
        else:
            count_ignored(found.ignored, item)
    for item in others:
        if suffix(item.rel) == ".tar":
            read_tar(tree, item, found)
        elif suffix(item.rel) == ".parquet":
            tables += _read_table(tree, item, found)
    if found.odd:
        found.notes.append(counted(found.odd, "member is no file of its own; not read"))
    if found.silent:
        found.notes.append(counted(found.silent, "text or JSON cannot be read; left out"))
    if found.again:
        found.notes.append(counted(found.again, "text of a sample comes again; the first is kept"))
    return Listing.of(
        [*beside.entries, *found.entries],
        found.ignored,
        found.notes,
        tables=tables,
        unused=found.unused + beside.unused,
    )


def _texts(items: Iterable[Item]) -> Iterator[Item]:
    return (item for item in items if suffix(item.rel) in sidecars.SUFFIXES)


def _read_table(tree: Tree, item: Item, found: ArchiveContents) -> list[str]:
    """Take the videos of a table; without any it is one of `tables` if it lists downloads."""
    try:
        if columns := [] if item.problem else parquets.video_columns(tree, item.rel):
            before = len(found.entries)
            parquets.read_videos(tree, item, columns, found)
            return [item.rel] if len(found.entries) == before else []
        failed = parquets.failures(tree, item.rel) if not item.problem else {}
    except ConfigError as error:
        found.notes.append(str(error))
        failed = {}
    if failed:
        reasons = ", ".join(f"{name} {number}" for name, number in sorted(failed.items()))
        found.unused[parquets.FAILED] += sum(failed.values())
        found.notes.append(f"{item.rel}: {sum(failed.values())} downloads failed ({reasons})")
    if item.problem or not _STATS.fullmatch(item.rel.rsplit("/", 1)[-1]):
        count_ignored(found.ignored, item)
        return []
    return [item.rel]
