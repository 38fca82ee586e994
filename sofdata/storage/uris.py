"""Where a video lies, as a value, and as the text that plans hold: a uri.

What names a file in a store is data: whatever it looks like, it is only a name there. What may lead
elsewhere, a URL or an absolute path, comes from a manifest alone, which says so by `elsewhere`.
Between the parts of a program goes a `Location`; text it becomes only to be stored or shown:

    clips/a.mp4                     a file of the source
    s3://bucket/a.mp4, /data/a.mp4, ../a.mp4     one that a manifest names, wherever it lies
    shard.tar#bytes=512-1024        bytes of a file, such as a member of a tar
    t.parquet#row=3&column=v        a value of a binary column, see `sofdata.storage.archives.cells`
    clips-??.zip#unpacked#bytes=0-9 a member of the tar that parts make up, see `archives.tars`
    demo.hdf5#sequence=hdf5:obs/eye a sequence of pictures in a file, see `video.sequences`
    rgb/P01_01/#sequence=frames:    and one in a folder, of which all files make one input; the
                                    source itself is ./
    quoted:file%3A///etc/a.mp4      a file of the source whose name would be read as one of those
    quoted+s3%3A//bucket/a%23bytes%3D1-2         and so one that lies elsewhere

A uri is read back as what it was made of, always. Those of older plans are read as they were meant,
but for names that were misread then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

SAFE_SUFFIX = 8  # characters
UNPACKED = "#unpacked"
NAME, AWAY = "quoted:", "quoted+"
_PART = re.compile(r"#bytes=(\d+)-(\d+)\Z")
_CELL = re.compile(r"#row=(\d+)&column=([^#&/]+)\Z")
SEQUENCE = "#sequence="
SOURCE = "./"  # the folder that is the source itself


@dataclass(frozen=True, slots=True)
class Location:
    """Where bytes lie: a file, or a part of one.

    file: the name of a file below the source, whatever it looks like; a URL or a path if
    `elsewhere`.
    part: the (start, end) of its bytes. cell: the (row, column) of a Parquet file, rows from 0;
    of a field of a struct the path, such as video.bytes.
    unpacked: `file` is a pattern of parts, and what is meant the tar that they make up.
    sequence: which of the sequences of pictures in it, in the words of `sofdata.video.sequences`,
        "" for a video file. Where `file` ends with "/" it is a folder, all of whose files it takes.
    """

    file: str
    elsewhere: bool = False
    part: tuple[int, int] | None = None
    cell: tuple[int, str] | None = None
    unpacked: bool = False
    sequence: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder with all that is in it."""
        return self.file.endswith("/")

    @property
    def whole(self) -> Location:
        """What a sequence lies in: that is what is read, copied and fingerprinted."""
        return replace(self, sequence="") if self.sequence else self

    @property
    def is_part(self) -> bool:
        """Whether this is a part of a file rather than all of it."""
        return self.part is not None or self.cell is not None

    @property
    def uri(self) -> str:
        """This as text, which `parse` reads back."""
        text = self.file
        if is_plain(text) and not (self.elsewhere or self.unpacked or self.is_part):
            return text + self._sequence_text
        if text.startswith((NAME, AWAY)) or _plain(text) != Location(text, self.elsewhere):
            text = (AWAY if self.elsewhere else NAME) + quote(text, errors="surrogatepass")
        if self.unpacked:
            text += UNPACKED
        if self.part:
            text += f"#bytes={self.part[0]}-{self.part[1]}"
        if self.cell:
            text += f"#row={self.cell[0]}&column={quote(self.cell[1], safe='')}"
        return text + self._sequence_text

    @property
    def _sequence_text(self) -> str:
        return SEQUENCE + quote(self.sequence, safe="/:?&=,*") if self.sequence else ""


def is_plain(name: str) -> bool:
    """Whether a name of a file of the source surely is its own uri, as most are."""
    odd = ":" in name or "#" in name or ".." in name or name.startswith(("/", AWAY))
    return not (odd or name.endswith("/"))


def without_sequence(uri: str) -> str:
    """The uri of the file or folder in which a sequence lies; that of a video file as it is."""
    return uri.partition(SEQUENCE)[0]


def parse(uri: str) -> Location:
    """A uri of a plan as what it names."""
    if is_plain(uri):
        return Location(uri)
    for mark in (NAME, AWAY):
        if uri.startswith(mark):
            found = _plain(uri[len(mark) :])
            file = unquote(found.file, errors="surrogatepass")
            found = replace(found, file=file, elsewhere=mark == AWAY)
            if found.uri == uri:  # else a plain name of an older plan that only begins like this
                return found
    return _plain(uri)


def from_root(uri: str, root: str) -> str:
    """A uri of a file below a root, a path or a URL, as it is for whatever source."""
    found = parse(uri)
    if found.elsewhere and ("://" in found.file or found.file.startswith("/")):
        return uri
    below = "" if found.file == SOURCE else found.file
    return replace(found, file=f"{root.rstrip('/')}/{below}", elsewhere=True).uri


def leads_away(text: str) -> bool:
    """Whether what a manifest names is not simply a file below it: a URL, or a path that leaves."""
    return text.startswith("/") or "://" in text or ".." in text.split("/")


def named(text: str) -> Location:
    """What a manifest names, or the user: the one place where a text may turn out to be a URL."""
    return Location(text, leads_away(text))


def local(path: str) -> Location:
    """A file of this machine by its absolute path, whatever tree is asked for it."""
    return Location(path, elsewhere=True)


def part_of(rel: str, start: int, end: int) -> str:
    """The uri of some bytes of a file of the source, such as a member of a tar."""
    return Location(rel, part=(start, end)).uri


def cell_of(rel: str, row: int, column: str) -> str:
    """The uri of a value of a binary column of a Parquet file of the source."""
    return Location(rel, cell=(row, column)).uri


def safe_suffix(rel: str) -> str:
    """The suffix of a file's name with its dot, "" for an odd one."""
    end = rel.rpartition("/")[2].rpartition(".")[2]
    return f".{end}" if end.isascii() and end.isalnum() and len(end) <= SAFE_SUFFIX else ""


def _plain(text: str) -> Location:
    """A text without regard to quotes."""
    text, _, sequence = text.partition(SEQUENCE)
    part, cell = _PART.search(text), None if _PART.search(text) else _CELL.search(text)
    found = part or cell
    file = text[: found.start()] if found else text
    unpacked = file.endswith(UNPACKED)
    file = file.removesuffix(UNPACKED)
    return Location(
        file,
        leads_away(file),
        (int(part[1]), int(part[2])) if part else None,
        (int(cell[1]), unquote(cell[2])) if cell else None,
        unpacked,
        unquote(sequence),
    )
