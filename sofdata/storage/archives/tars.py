"""Tars in parts, packed with gzip or not: `cat parts | tar xz` without unpacking to a disk.

A first pass unpacks all of it once, in a stream, and keeps of it a list of its members and restart
points (`sofdata.storage.archives.gzip_points`); after that any member is read from the nearest
point. They lie in a folder of the machine's cache, so that a machine needs that pass once:

    $SOFDATA_CACHE, else $XDG_CACHE_HOME/sofdata, else ~/.cache/sofdata

A `Location` that is `unpacked` names the tar that the parts of a pattern make up, or a part of it.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sofdata.errors import ConfigError, StorageError
from sofdata.storage.archives import gzip_points
from sofdata.storage.archives.parts import Joined, Part, find_parts, opened
from sofdata.storage.archives.tar_headers import TarHeaders
from sofdata.storage.fingerprints import SAMPLE_BYTES, digest, offsets
from sofdata.storage.folder import Folder
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked

VERSION = 1
PIECE = 1 << 18  # read at once; restart points lie at least so far apart
POINTS, MEMBERS = "tar.gzidx", "members.jsonl"
_GZIP = b"\x1f\x8b"
_BLOCK = tarfile.BLOCKSIZE
# By process, source and pattern: the parts and where their index lies.
_known: dict[tuple[str, str], _Index] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar: where its bytes lie in it, and their fingerprint as `Folder` takes it.

    regular: False for a link, a device or a sparse file, of which nothing can be read.
    """

    name: str
    start: int
    size: int
    fingerprint: str
    regular: bool


@dataclass(frozen=True, slots=True)
class _Index:
    parts: tuple[Part, ...]
    folder: Path

    @property
    def points(self) -> Path:
        return self.folder / POINTS


def members(tree: Folder, pattern: str) -> list[Member]:
    """All members, in their order; folders are left out.

    Costs a pass over everything where this machine has made none for these parts. Raises
    `ConfigError` that names the part where one is missing, damaged or out of place.
    """
    index = _index(tree, pattern, look_again=True)
    with (index.folder / MEMBERS).open() as lines:
        return [Member(**json.loads(line)) for line in lines]


def read_unpacked(tree: Folder, pattern: str, start: int, end: int) -> bytes:
    """Some bytes of the unpacked tar. Raises `OSError`."""
    index = _index(tree, pattern)
    with opened(Joined(tree, index.parts, index.folder)) as joined:
        if index.points.exists():
            return gzip_points.read(joined, index.points, start, end)
        joined.seek(start)
        return _read(joined, end - start)


def unpacked_size(tree: Folder, pattern: str) -> int:
    """Bytes of the unpacked tar."""
    index = _index(tree, pattern)
    if index.points.exists():
        return gzip_points.size(index.points)
    return sum(part.size for part in index.parts)


def cache_folder() -> Path:
    """Where what can be found again is kept on this machine."""
    given, xdg = os.environ.get("SOFDATA_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given)
    return (Path(xdg) if xdg else Path.home() / ".cache") / "sofdata"


def _index(tree: Folder, pattern: str, look_again: bool = False) -> _Index:
    """The index of these parts, made if this machine has none.

    look_again: at the parts, which else are looked at once a process.
    """
    found = _known.get((tree.url, pattern))
    if found is None or look_again or not found.folder.exists():
        parts = tuple(find_parts(tree, pattern))
        key = json_digest([VERSION, *_prints(tree, parts)], 24)
        found = _Index(parts, cache_folder() / "archives" / key)
        _make(tree, pattern, found)
        _known[tree.url, pattern] = found
    return found


def _prints(tree: Folder, parts: tuple[Part, ...]) -> Iterator[list[Any]]:
    for part in parts:
        size = tree.size(part.rel)
        yield [part.rel.rsplit("/", 1)[-1], size, tree.fingerprint(part.rel, size)]


def _make(tree: Folder, pattern: str, index: _Index) -> None:
    """Make the index, unless it is there and whole."""
    try:
        if _whole(index.folder):
            return
        with locked(f"{index.folder}.lock"):
            if _whole(index.folder):  # another process has made it meanwhile
                return
            shutil.rmtree(index.folder, ignore_errors=True)
            work = index.folder.with_name(f"new-{index.folder.name}")
            shutil.rmtree(work, ignore_errors=True)  # of a process that was killed at it
            work.mkdir(0o700)
            try:
                with opened(Joined(tree, index.parts, work, keep=True)) as joined:
                    _Pass(tree, pattern, joined).run(work)
                work.rename(index.folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"cannot index {pattern} of {tree.name} in {index.folder.parent}: "
            f"{error.strerror or error}; SOFDATA_CACHE names another folder for it"
        ) from None


def _whole(folder: Path) -> bool:
    """Whether an index is there and nothing of it was cut off, as a machine that went down may."""
    try:
        with (folder / MEMBERS).open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(0, size - 1))
            listed = lines.read(1) == b"\n"
        return listed and all(gzip_points.whole(points) for points in folder.glob("*.gzidx"))
    except FileNotFoundError:
        return False


class _Pass:
    """The one pass over all parts."""

    def __init__(self, tree: Folder, pattern: str, joined: Joined) -> None:
        self._name = f"{pattern} of {tree.name}"
        self._joined = joined
        self._end_of_data = 0  # after the last byte that is not zero
        self._size, self._crc = 0, 0
        self._ahead = b""  # what was read and not asked for yet

    def run(self, folder: Path) -> None:
        head = _read(self._joined, _BLOCK)
        self._joined.seek(0)
        packed = head[:2] == _GZIP
        if not packed and head[257:262] != b"ustar":
            raise ConfigError(
                f"{self._joined.part_at(0)} begins like no tar and no gzip file: it is not the "
                f"first part of {self._name}, or damaged"
            )
        self._file: Any = self._joined
        if packed:
            self._file = gzip_points.reader(self._joined, folder / POINTS, build=True)
        try:
            end = self._list(folder / MEMBERS)
            while self.read(PIECE):
                pass
        except (OSError, tarfile.TarError, EOFError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's or the source's, not zran's
                raise
            self._explain(packed)
            raise ConfigError(f"{self._name} holds no whole tar: {error}") from None
        if packed and not self._matches():
            self._explain(packed)
        if not end < self._size or self._end_of_data > end:
            self._explain(packed)
            raise ConfigError(
                f"{self._name} holds no whole tar: it has {self._size} bytes, and its last member "
                f"before something unreadable ends at byte {end}"
            )
        if packed:
            self._file.export_index(filename=str(folder / POINTS))

    def read(self, number: int) -> bytes:
        """For `TarHeaders`: the next bytes, unpacked, read in pieces as restart points want it."""
        while len(self._ahead) < number and (data := self._next()):
            self._ahead += data
        found, self._ahead = self._ahead[:number], self._ahead[number:]
        return found

    def tell(self) -> int:
        return self._size - len(self._ahead)

    def seek(self, offset: int) -> int:
        """Read on up to there, or to the end. Raises `tarfile.TarError` for what was passed."""
        if offset < self.tell():
            raise tarfile.StreamError(f"a header leads back to byte {offset}")
        while (left := offset - self.tell()) and self.read(min(left, PIECE)):
            pass
        return self.tell()

    def _next(self) -> bytes:
        """The next piece; `run` checks what has come through here."""
        data = bytes(self._file.read(PIECE))
        self._crc = zlib.crc32(data, self._crc)
        if rest := data.rstrip(b"\0"):
            self._end_of_data = self._size + len(rest)
        self._size += len(data)
        return data

    def _list(self, path: Path) -> int:
        """Write down all members; returns where the last one ends, with what fills its block."""
        end = 0
        stream: Any = self
        with path.open("w") as lines:
            for info in TarHeaders(stream):
                regular = info.isreg() and not info.issparse()
                size = info.size if regular else 0
                end = info.offset_data + -(-size // _BLOCK) * _BLOCK
                if not info.isdir():
                    print_ = _fingerprint(self.read, size) if regular else ""
                    name = info.name.encode("utf-8", "replace").decode()
                    member = Member(name, info.offset_data, size, print_, regular)
                    fields = {key: getattr(member, key) for key in Member.__slots__}
                    lines.write(json.dumps(fields) + "\n")
        return end

    def _matches(self) -> bool:
        """Whether size and checksum are those at the end of the gzip file."""
        self._joined.seek(-8, os.SEEK_END)
        ends = _read(self._joined, 8)
        found = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        return ends == found

    def _explain(self, packed: bool) -> None:
        """Unpack again in the plainest way, to find out where it fails. Raises `ConfigError`.

        Returns where nothing is wrong: a gzip file may consist of several.
        """
        if not packed:
            return
        self._joined.seek(0)
        unpack = zlib.decompressobj(31)
        while True:
            at = self._joined.tell()
            data = _read(self._joined, PIECE)
            if not data:
                break
            last = at + len(data) - 1
            while data:
                try:
                    unpack.decompress(data)
                except zlib.error as error:
                    raise ConfigError(self._broken(at, last, str(error))) from None
                data = unpack.unused_data.lstrip(b"\0")
                if data:
                    unpack = zlib.decompressobj(31)
        if not unpack.eof:
            raise ConfigError(
                f"{self._name} continues after {self._joined.part_at(len(self._joined))}: that "
                "part is cut off, parts after it are missing, or a part before its end is damaged. "
                "Compare the parts' sizes and checksums, and fetch again what differs"
            )

    def _broken(self, at: int, last: int, error: str) -> str:
        """What to say of bytes `at` to `last`, in which unpacking failed."""
        if "check" in error:
            return (
                f"{self._name} is not what was packed: its checksum is wrong, though all of it can "
                "be unpacked. A part is damaged; compare their checksums, or fetch them again"
            )
        first, part = self._joined.part_at(at), self._joined.part_at(last)
        where = f"in {part}" if first == part else f"at the end of {first} or in {part}"
        return (
            f"{self._name} cannot be unpacked from about byte {at} on, which lies {where} "
            f"({error.rpartition(': ')[2]}). {part} or the part before it is damaged, cut off or "
            "out of place: fetch both again"
        )


def _read(handle: Any, number: int) -> bytes:
    """So many bytes, or all there are: a raw file gives as many as it likes."""
    data = b""
    while len(data) < number and (more := handle.read(number - len(data))):
        data += more
    return data


def _fingerprint(read: Callable[[int], bytes], size: int) -> str:
    """`Folder.fingerprint` of the next `size` bytes, read once, from start to end."""
    samples = dict.fromkeys(offsets(size), b"")
    at = 0
    while data := read(min(PIECE, size - at)):
        for offset, sample in samples.items():
            begin = offset + len(sample) - at
            if 0 <= begin < len(data) and len(sample) < SAMPLE_BYTES:
                samples[offset] = sample + data[begin : offset + SAMPLE_BYTES - at]
        at += len(data)
    if at != size:
        raise EOFError(f"a member of {size} bytes has {at}")
    return digest(size, samples.values())
