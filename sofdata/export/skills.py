"""The skills of a dataset's windows, as `sofdata encode` has stored them beside its index."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError
from sofdata.shards.parquet import naming_table
from sofdata.storage.tree import Tree
from sofdata.system.nearest import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SKILLS = "skills"
_SUFFIX = ".parquet"
_MOST = 4096  # points of a skill, numbers of a point: more than any model has


def choose_skills(dest: Tree, name: str) -> str:
    """The file of skills to take, as a path in the dataset; "" where there is none.

    name: its name, "" for the only one.

    Raises `ConfigError` for a name that is not there, and where there are several to choose from.
    """
    names = [each.removesuffix(_SUFFIX) for each in dest.names(SKILLS) if each.endswith(_SUFFIX)]
    if name and name not in names:
        there = ", ".join(names) or "none: 'sofdata encode' writes them"
        raise ConfigError(
            f"{dest.name} has no skills {name!r:.60}{did_you_mean(name, names)}; there are: {there}"
        )
    if len(names) > 1 and not name:
        raise ConfigError(
            f"{dest.name} has skills of several models: say which, --skills {names[0]} or "
            f"{', '.join(names[1:])}"
        )
    return f"{SKILLS}/{name or names[0]}{_SUFFIX}" if names else ""


class Skills:
    """The skills of all windows, in the order of the index, in which they are best read.

    points: n of a window. dim: numbers of a point, D. levels: of each of these, with an FSQ model
    whose file names them; else empty. codebook: 0 for a KL model. model_sha256: of what encoded.

    Raises `InputError` for a file that is something else.
    """

    def __init__(self, place: str, file: pq.ParquetFile) -> None:
        self._place, self._file = place, file
        told = {key.decode(): value for key, value in (file.schema_arrow.metadata or {}).items()}
        try:
            self.model_sha256 = told["sofdata.model_sha256"].decode()
            self.points, self.dim, self.codebook = (
                int(told[f"sofdata.{each}"]) for each in ("tokens", "code_dim", "codebook_size")
            )
            self.levels = tuple(map(int, json.loads(told.get("sofdata.levels", b"[]"))))
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{place} is no file of 'sofdata encode': {error!r:.100}") from None
        if not (0 < self.points <= _MOST and 0 < self.dim <= _MOST):
            raise InputError(f"{place} claims skills of {self.points} x {self.dim} numbers")
        if self.levels and (len(self.levels), math.prod(self.levels)) != (self.dim, self.codebook):
            raise InputError(f"{place} claims levels {self.levels} of {self.codebook} codes")
        self.column = "tokens" if self.codebook else "codes"
        self.width = self.points * (1 if self.codebook else self.dim)
        self.rows: int = file.metadata.num_rows
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._left: list[tuple[list[str], NDArray[Any]]] = []
        self._at = -1

    @classmethod
    @contextmanager
    def open(cls, dest: Tree, path: str) -> Iterator[Skills]:
        """Open the file at a path within a dataset."""
        import pyarrow.parquet as pq

        place = f"{path} of {dest.name}"
        with dest.local_copy(path) as local:
            if not os.path.isfile(local):
                raise InputError(f"{place} is no file")
            with naming_table(place), pq.ParquetFile(local, pre_buffer=False) as file:
                yield cls(place, file)

    def of_rows(self, start: int, keys: list[str]) -> NDArray[Any]:
        """The skills of consecutive windows: int64 [M,n] tokens, or float32 [M,n*D] codes.

        start: number of the first one's row. Going back means reading from the first row again.

        Raises `InputError` where the file is not of the windows with these keys.
        """
        if self._at < 0 or start < self._at:
            columns = ["key", self.column]
            self._batches = self._file.iter_batches(1 << 12, columns=columns, use_threads=False)
            self._at, self._left = 0, []
        self._take(start - self._at)
        found = self._take(len(keys))
        if [key for names, _ in found for key in names] != keys:
            raise InputError(
                f"{self._place} is of other windows than the index lists: run 'sofdata encode' "
                "again"
            )
        kind = np.int64 if self.codebook else np.float32
        values = [values for _, values in found] or [np.empty((0, self.width))]
        return np.concatenate(values).astype(kind)

    def tables(self) -> Iterator[pa.Table]:
        """All rows, some thousand at a time: key, and tokens or codes."""
        import pyarrow as pa

        columns = ["key", self.column]
        for batch in self._file.iter_batches(1 << 12, columns=columns, use_threads=False):
            self._values(batch)
            yield pa.Table.from_batches([batch])

    def centred(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Tokens [M,n] as the numbers in -1 to 1 that they stand for, float32 [M,n*D].

        Only where `levels` are known: each number is a digit of the token, spread evenly.
        """
        levels = np.array(self.levels)
        radix = np.cumprod([1, *self.levels[:-1]])
        digits = (tokens[..., None] // radix) % levels  # [M, n, D]
        spread: NDArray[np.float64] = 2 * digits / (levels - 1) - 1
        return spread.reshape(len(tokens), -1).astype(np.float32)

    def _take(self, number: int) -> list[tuple[list[str], NDArray[Any]]]:
        taken = []
        while number > 0:
            if not self._left:
                batch = next(self._batches, None)
                if batch is None:
                    raise InputError(f"{self._place} has fewer rows than the index: encode again")
                self._left.append((batch["key"].to_pylist(), self._values(batch)))
            keys, values = self._left.pop()
            if len(keys) > number:
                self._left.append((keys[number:], values[number:]))
            taken.append((keys[:number], values[:number]))
            self._at += len(taken[-1][0])
            number -= len(taken[-1][0])
        return taken

    def _values(self, batch: pa.RecordBatch) -> NDArray[Any]:
        column = batch[self.column]
        lengths = np.diff(column.offsets.to_numpy())
        if column.null_count or not (lengths == self.width).all():
            raise InputError(f"{self._place} has skills of other lengths than {self.width}")
        values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(-1, self.width)
