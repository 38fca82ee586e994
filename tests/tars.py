"""Tars that no program writes: hostile, damaged, cut off. Each fault follows a first member."""

from __future__ import annotations

import tarfile

END = bytes(1024)


def member(name: str, data: bytes, **fields: bytes) -> bytes:
    """A member with its header. Names may hold bytes that are no UTF-8, as surrogates."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), fields.get("type", tarfile.REGTYPE)
    head = info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")
    return head + data + bytes(-len(data) % 512)


def claiming(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header without what it says that follows; negative and endless sizes in base 256."""
    info = tarfile.TarInfo(name)
    info.type = kind
    found = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    found[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11, "big")
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found)
    return bytes(found)


# By what is wrong: what comes after a first member.
FAULTS = {
    "back": claiming("b.mp4", -512) + END,
    "further back": claiming("b.mp4", -1024) + END,
    "a little back": claiming("b.mp4", -1) + END,
    "far back": claiming("b.mp4", -(1 << 80)) + END,
    "beyond all files": claiming("b.mp4", 1 << 63) + END,
    "far beyond": claiming("b.mp4", 1 << 86) + END,
    "long name": claiming("x", 64 << 20, tarfile.GNUTYPE_LONGNAME) + bytes(64 << 20),
    "digits": member("x", b"1" * 60_000, type=tarfile.XHDTYPE) + member("b.mp4", b"b") + END,
    "headers of headers": member("x", b"\0", type=tarfile.GNUTYPE_LONGNAME) * 3000 + END,
    "damaged": b"\xff" * 512 + member("b.mp4", b"b") + END,
    "cut": b"",
}
