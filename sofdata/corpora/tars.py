"""WebDataset tars: a sample is the members of one key, a video and its texts.

    KEY.mp4 (or another video), KEY.txt, KEY.json; also KEY.video.mp4, KEY.caption.txt

A video is named by its place in the tar, from which it is copied alone. Nothing is unpacked.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sofdata.corpora.base import HIDDEN, NO_SUFFIX, Ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import jsonfile
from sofdata.corpora.sidecars import MAX_TEXT, NO_VIDEO, SUFFIXES, caption, clean, parse_json
from sofdata.storage.archives.tar_headers import TarHeaders
from sofdata.storage.tree import Tree
from sofdata.storage.uris import part_of
from sofdata.storage.walk import Item

EMPTY = "tar without a video"
_FIRST = 8  # members that are looked at to see whether a tar holds videos


class _Video(NamedTuple):
    """Where the bytes of a video lie in its tar."""

    name: str
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(slots=True)
class _Sample:
    """The members of one key in a tar. ends: of the names of its texts."""

    video: _Video | None = None
    text: str = ""
    caption: str = ""
    ends: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _TarSamples:
    """The samples of one tar by their key, in the order of its members.

    duplicates: videos of a key that has one already.
    """

    item: Item
    by_key: dict[str, _Sample] = field(default_factory=dict)
    duplicates: list[Entry] = field(default_factory=list)

    def of(self, key: str) -> _Sample:
        """The sample of a key, begun if it is new."""
        return self.by_key.setdefault(key, _Sample())


@dataclass(slots=True)
class ArchiveContents:
    """What tars and tables hold, as they are gone through; `ignored` and `unused` as of `Listing`.

    odd: members that are no files. silent: texts that cannot be read. again: texts of a sample that
    has one of that kind already.
    """

    entries: list[Entry] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    unused: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def begins_with_video(tree: Tree, rel: str) -> bool:
    """Whether a video is among the first members of a tar."""
    try:
        with tree.open(rel) as handle:
            for number, member in enumerate(TarHeaders(handle)):
                if suffix(member.name) in VIDEO_SUFFIXES:
                    return True
                if number >= _FIRST:
                    break
    except (tarfile.TarError, OSError):
        return False
    return False


def read_tar(tree: Tree, item: Item, found: ArchiveContents) -> None:
    """Add the samples of a tar. Reads the headers of all members, and texts.

    A tar that is cut off, or has a header that makes no sense, gives the whole videos before that;
    the one that a cut runs through becomes an entry with the problem "truncated". One without
    videos is counted in `ignored`.
    """
    if item.problem:
        found.entries.append(_whole_tar(item, item.problem, item.detail))
        return
    samples = _TarSamples(item)
    whole = False
    try:
        with tree.open(item.rel) as handle:
            headers = TarHeaders(handle)
            for member in headers:
                _take(headers, member, samples, found)
            whole = headers.whole
    except tarfile.TarError as error:
        if not samples.by_key:
            detail = f"no tar can be read from it: {error}"
            found.entries.append(_whole_tar(item, "bad_archive", detail))
            return
    except OSError as error:
        found.entries.append(_whole_tar(item, "unreadable", error.strerror or str(error)))
        return
    if not whole:
        found.notes.append(f"{item.rel} ends without the mark of a tar's end: it may be cut off")
    _add(samples, found)


def _add(samples: _TarSamples, found: ArchiveContents) -> None:
    item = samples.item
    _join(samples.by_key)
    keyed = [(key, sample) for key, sample in samples.by_key.items() if sample.video]
    found.entries += [_entry(item, key, sample) for key, sample in keyed] + samples.duplicates
    lone = len(samples.by_key) - len(keyed)
    if lone:
        found.unused[NO_VIDEO] += lone
        found.notes.append(f"{item.rel}: {lone} samples have no video")
    if not keyed:
        found.ignored[EMPTY] += 1


def _join(samples: dict[str, _Sample]) -> None:
    """Give the texts of KEY.caption.txt to KEY.video.mp4, as WebDataset reads names.

    There a key ends at the first dot; here it ends at the last one, where that fits, since names of
    videos may hold dots.
    """
    videos: dict[str, list[_Sample]] = {}
    for key, sample in samples.items():
        if sample.video:
            videos.setdefault(_first_dot(key), []).append(sample)
    for key, sample in list(samples.items()):
        fitting = videos.get(_first_dot(key), [])
        if not sample.video and len(fitting) == 1:
            fitting[0].text = fitting[0].text or sample.text
            fitting[0].caption = fitting[0].caption or sample.caption
            del samples[key]


def _first_dot(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _take(
    headers: TarHeaders, member: tarfile.TarInfo, samples: _TarSamples, found: ArchiveContents
) -> None:
    """Note one member: a video by its place, a text by what it says."""
    if member.isdir():
        return
    item = samples.item
    name = jsonfile.clean(member.name)
    place = f"{item.rel}: {name}"
    if not member.isreg() or member.issparse():
        found.odd.append(place)
        found.ignored["link in a tar"] += 1
        return
    end, key = suffix(member.name), member.name.rpartition(".")[0].removeprefix("./")
    if is_hidden(member.name):
        found.ignored[f"{HIDDEN} in a tar"] += 1
    elif end in VIDEO_SUFFIXES:
        sample, video = samples.of(key), _Video(name, member.offset_data, member.size)
        if sample.video is None:
            sample.video = video
        else:  # `Listing.of` rejects it, as any duplicate id
            samples.duplicates.append(_entry(item, key, _Sample(video)))
    elif end in SUFFIXES and _whole(member, item):
        sample = samples.of(key)
        if end in sample.ends:  # the first one is kept, as of videos
            found.again.append(place)
            return
        sample.ends.add(end)
        try:
            _read_text(headers, member, end, sample)
        except (ValueError, RecursionError):
            found.silent.append(place)
    else:
        found.ignored[f"{end or NO_SUFFIX} in a tar"] += 1


def _read_text(headers: TarHeaders, member: tarfile.TarInfo, end: str, sample: _Sample) -> None:
    """Raises `ValueError` for a text that is too long, no UTF-8 or no JSON object."""
    if member.size > MAX_TEXT:
        raise ValueError(f"{member.size} bytes")
    data = headers.read(member)
    if end == ".txt":
        sample.text = clean(data.decode())
    else:
        sample.caption = caption(parse_json(data))


def _whole(member: tarfile.TarInfo, item: Item) -> bool:
    return member.offset_data + member.size <= item.size_bytes


def _entry(item: Item, key: str, sample: _Sample) -> Entry:
    video = sample.video
    assert video is not None
    problem = detail = ""
    if video.end > item.size_bytes:
        problem = "truncated"
        detail = f"{video.name} goes to byte {video.end}, and {item.rel} ends at {item.size_bytes}"
    elif not video.size:
        problem, detail = "empty_file", f"{video.name} in {item.rel} has no bytes"
    return Entry(
        id=f"{item.rel.removesuffix('.tar')}/{jsonfile.clean(key)}",
        uri=part_of(item.rel, video.start, video.end),
        size_bytes=video.size,
        text=sample.text or sample.caption,
        labels={"key": jsonfile.clean(key)},
        problem=problem,
        detail=detail,
        stamp=item.stamp,
    )


def _whole_tar(item: Item, problem: str, detail: str) -> Entry:
    id = item.rel.removesuffix(".tar")
    return Entry(id, item.uri, item.size_bytes, problem=problem, detail=detail)
