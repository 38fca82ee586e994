"""Headers of tars that make no sense cost the tar, and neither time nor memory."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc

import pytest

from sofdata.storage.archives.tar_headers import TarHeaders

END = bytes(1024)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def negative(name: str, size: int) -> bytes:
    """A header of a negative size, in base 256 as GNU writes large ones."""
    found = bytearray(header(name))
    found[124:136] = b"\xff" + (size % (1 << 88)).to_bytes(11, "big")
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found)
    return bytes(found)


def names(data: bytes) -> tuple[list[str], bool]:
    headers = TarHeaders(io.BytesIO(data))
    return [member.name for member in headers], headers.whole


def test_members_come_in_order_and_are_read() -> None:
    data = header("a", 3) + b"one".ljust(512, b"\0") + header("d", kind=tarfile.DIRTYPE)
    headers = TarHeaders(io.BytesIO(data + header("b" * 300, 0) + END))
    found = list(headers)
    assert [member.name for member in found] == ["a", "d", "b" * 300]
    assert headers.whole
    assert headers.count == 3
    assert headers.read(found[0]) == b"one"


@pytest.mark.parametrize("size", [-512, -1024, -1, -(1 << 80)])
def test_a_negative_size_does_not_lead_back(size: int) -> None:
    with pytest.raises(tarfile.TarError, match=r"makes no sense|negative"):
        names(header("a") + negative("b", size) + END)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_long_name_takes_no_more_memory_than_a_name_may(kind: bytes) -> None:
    data = header("x", 64 << 20, kind) + bytes(64 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(tarfile.TarError, match="a header of 67108864 bytes"):
            names(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_endless_digits_cost_no_time() -> None:
    """Over which `tarfile` of Python 3.11.7 takes minutes."""
    start = time.monotonic()
    with pytest.raises(tarfile.TarError, match="nothing but digits"):
        names(header("x", 60_000, tarfile.XHDTYPE) + b"1" * 60_416 + header("a") + END)
    assert time.monotonic() - start < 10


def test_headers_of_headers_end(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(tarfile.TarError, match="makes no sense"):
        names((header("x", 1, tarfile.GNUTYPE_LONGNAME) + bytes(512)) * 3000 + END)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (header("a") + END, True),
        (header("a") + bytes(512), True),
        (header("a"), False),  # cut off between two members
        (header("a") + b"no header" * 100 + header("b") + END, False),
    ],
)
def test_a_tar_is_whole_that_has_its_end(data: bytes, whole: bool) -> None:
    assert names(data) == (["a"], whole)
