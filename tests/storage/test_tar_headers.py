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


def sized(name: str, size: int) -> bytes:
    """A header of a size that only base 256 can say."""
    found = bytearray(header(name))
    found[124:136] = b"\x80" + size.to_bytes(11, "big")
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found)
    return bytes(found)


@pytest.mark.parametrize("size", [1 << 63, 1 << 86])
def test_a_size_beyond_all_files_makes_no_sense(size: int) -> None:
    headers = TarHeaders(io.BytesIO(header("a") + sized("b", size) + END))
    found = []
    with pytest.raises(tarfile.TarError, match="makes no sense"):
        found += [member.name for member in headers]
    assert headers.count == 1


def test_a_member_has_no_endless_headers() -> None:
    """An old sparse file goes on with lists of places, each of which takes memory."""
    sparse = bytearray(header("s", 0, tarfile.GNUTYPE_SPARSE))
    sparse[482] = 1
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    more = (b"00000000001\0" * 42 + b"\1").ljust(512, b"\0")
    with pytest.raises(tarfile.TarError, match="more than 256 headers"):
        names(bytes(sparse) + more * 4096 + END)


def test_what_is_said_of_all_members_is_bounded() -> None:
    """Each member takes a copy of it."""
    said = b"".join(b"13 k%06d=1\n" % number for number in range(2000))
    data = header("x", len(said), tarfile.XGLTYPE) + said + bytes(-len(said) % 512)
    with pytest.raises(tarfile.TarError, match="more than 1024 headers of all members"):
        names(data + header("a") + END)


class Forward(io.BytesIO):
    """A file that cannot go back, as a stream."""

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        assert offset >= self.tell()
        return super().seek(offset)


def test_a_file_that_only_goes_forward_will_do() -> None:
    data = header("a", 3) + b"one".ljust(512, b"\0") + header("b" * 300, 0) + END
    headers = TarHeaders(Forward(data))
    assert [member.name for member in headers] == ["a", "b" * 300]
    assert headers.whole
