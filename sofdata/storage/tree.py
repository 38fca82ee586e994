"""`Tree`: a folder of which parts of files and of archives can be read as files of their own.

A part is named by a `Location`: some bytes of a file, a value of a Parquet file, or bytes of the
tar that the parts of an archive make up. A folder may be named as one thing, too; and of a sequence
of pictures (`sofdata.video.sequences`) it is the file or folder that is meant here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sofdata.storage.folder import Folder, Where
from sofdata.storage.local import storage_errors
from sofdata.storage.uris import Location
from sofdata.storage.walk import NO_STAMP, Stat


@dataclass(frozen=True, repr=False)
class Tree(Folder):
    """A source or a destination. Where a method takes a `Location`, it may be a part of a file."""

    def size(self, where: Where) -> int:
        """Bytes of a file, or of a part of one, which must be there.

        Raises `FileNotFoundError`. Costs a row group for a cell of a Parquet file.
        """
        if isinstance(where, Location):
            where = where.whole
            if where.is_folder:
                from sofdata.storage.archives.folders import folder_size

                return folder_size(self, where)
            if where.cell:
                return len(self._cell(where))
            if where.part:
                start, end = where.part
                if self.size(replace(where, part=None)) < end:
                    what = "the file ends before this part of it"
                    raise FileNotFoundError(errno.ENOENT, what, where.file)
                return end - start
            if where.unpacked:
                from sofdata.storage.archives.tars import unpacked_size

                return unpacked_size(self, where.file)
        return super().size(where)

    def stat(self, where: Where) -> Stat:
        """As `Folder.stat`; a part has the stamp of its file, that of parts of an archive none."""
        if not isinstance(where, Location):
            return super().stat(where)
        where = where.whole
        if where.is_folder:
            return Stat(self.size(where))
        if not (where.is_part or where.unpacked):
            return super().stat(where)
        stamp = NO_STAMP if where.unpacked else super().stat(_whole(where)).stamp
        return Stat(self.size(where), stamp)

    def read_range(self, where: Where, start: int, end: int) -> bytes:
        """As `Folder.read_range`; `start` and `end` count from where a part begins."""
        if isinstance(where, Location):
            if where.cell:
                return self._cell(where)[start:end]
            if where.part:
                start, end = where.part[0] + start, min(where.part[1], where.part[0] + end)
            if where.unpacked:
                from sofdata.storage.archives.tars import read_unpacked

                return read_unpacked(self, where.file, start, end)
        return super().read_range(where, start, end)

    @contextmanager
    def local_copy(self, where: Where, size_bytes: int | None = None) -> Iterator[str]:
        """As `Folder.local_copy`; a part is always copied, to a file without a suffix."""
        if isinstance(where, Location) and where.is_folder:
            from sofdata.storage.archives.folders import folder_copy

            copied = folder_copy(self, where)
        elif _is_part(where):
            copied = self._downloaded(where, size_bytes, suffix="")
        else:
            copied = super().local_copy(where, size_bytes)
        with copied as copy:
            yield copy

    def download(self, where: Where, local_path: str, size_bytes: int | None = None) -> None:
        """As `Folder.download`, also of a part of a file."""
        if isinstance(where, Location) and where.cell:
            data = self._cell(where)
            with storage_errors(f"write {local_path}"), open(local_path, "wb") as target:
                target.write(data)
        elif _is_part(where):
            self._download_in_pieces(where, local_path, self.size(where))
        else:
            super().download(where, local_path, size_bytes)

    def has_ranges(self, where: Where) -> bool:
        """As `Folder.has_ranges`; a cell of a Parquet file can only be read as a whole."""
        if isinstance(where, Location) and (where.cell or where.is_folder):
            return False
        return super().has_ranges(where)

    def fingerprint(self, where: Where, size_bytes: int) -> str:
        """As `Folder.fingerprint`; of a folder by the names, sizes and some of its files."""
        if isinstance(where, Location) and where.is_folder:
            from sofdata.storage.archives.folders import folder_fingerprint

            return folder_fingerprint(self, where.whole)
        return super().fingerprint(where, size_bytes)

    def _samples(self, where: Where, size_bytes: int) -> Iterator[bytes]:
        if _is_part(where):
            return self._samples_by_range(where, size_bytes)
        return super()._samples(where, size_bytes)

    def _cell(self, where: Location) -> bytes:
        from sofdata.storage.archives.cells import read_cell

        assert where.cell is not None
        return read_cell(self, Location(where.file, where.elsewhere), *where.cell)


def _whole(where: Location) -> Location:
    """The file that a part is of."""
    return Location(where.file, where.elsewhere)


def _is_part(where: Where) -> bool:
    return isinstance(where, Location) and where.is_part
