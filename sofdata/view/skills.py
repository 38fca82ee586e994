"""`skills/NAME.parquet` of `sofdata encode`, read without trust: the skill of each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.loading.index import Index
from sofdata.shards.names import is_file_name
from sofdata.shards.parquet import BATCH_ROWS, check_footer, naming_table
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

SKILLS = "skills"
MOST_CODES = 1 << 20  # in a codebook
MOST_NUMBERS = 1 << 12  # that a skill is made of
MOST_BYTES = 1 << 30  # of all skills of a file, in memory


@dataclass(frozen=True)
class Skills:
    """The skills of all windows, in the order of the index.

    codebook: how many codes there are, 0 for a model without a codebook. values: int32 [rows, n],
    the tokens, or float32 [rows, n * D].
    """

    name: str
    model_sha256: str
    codebook: int
    tokens: int
    values: NDArray[Any]

    @cached_property
    def uses(self) -> NDArray[np.int64]:
        """In how many windows each code occurs, int64 [codebook]."""
        apart = np.sort(self.values, 1)
        first = np.ones(apart.shape, np.bool_)
        first[:, 1:] = apart[:, 1:] != apart[:, :-1]
        return np.bincount(apart[first], minlength=self.codebook)

    def windows_of(self, code: int) -> NDArray[np.int64]:
        """The rows of the windows in which a code occurs."""
        return np.flatnonzero((self.values == code).any(1))

    def places_of(self, code: int) -> list[int]:
        """How often a code stands at each of the n places of a skill."""
        return [int(number) for number in (self.values == code).sum(0)]

    def alike(self, row: int, number: int) -> NDArray[np.int64]:
        """Rows of the other windows whose skills are nearest: with most tokens at the same places,
        and any at all, or at the least distance."""
        if self.codebook:
            far = (self.values != self.values[row]).sum(1).astype(np.float32)
        else:
            far = np.square(self.values - self.values[row]).sum(1)
        far[row] = np.inf
        shares = far < self.values.shape[1] if self.codebook else np.isfinite(far)
        number = min(number, int(shares.sum()))
        nearest = np.argpartition(far, number - 1)[:number] if number else np.empty(0, np.int64)
        order = np.lexsort((nearest, far[nearest]))
        return np.asarray(nearest[order], np.int64)


def skill_files(tree: Tree) -> list[str]:
    """Names of the files of skills without their suffix, the one written last first."""
    try:
        names = [name for name in tree.names(SKILLS) if name.endswith(".parquet")]
    except FileNotFoundError:
        return []
    names = [name for name in names if is_file_name(name)]
    times = {name: tree.stat(f"{SKILLS}/{name}").stamp.mtime_ns for name in names}
    return [name.removesuffix(".parquet") for name in sorted(names, key=lambda n: (-times[n], n))]


def read_skills(tree: Tree, name: str, index: Index) -> Skills:
    """Read a file of skills. Raises `InputError` where it is damaged, or of another index."""
    import pyarrow.parquet as pq

    rel = f"{SKILLS}/{name}.parquet"
    place = f"{rel} of {tree.name}"
    if not is_file_name(f"{name}.parquet"):
        raise InputError(f"{name!r:.80} is no name of a file of skills")
    with naming_table(place), tree.local_copy(rel) as path:
        file = pq.ParquetFile(path, pre_buffer=False)
        check_footer(rel, place, file, tree.size(rel))
        if file.metadata.num_rows != index.num_rows:
            raise _stale(place, tree)
        column, head = _head(file.schema_arrow, place)
        width = head["tokens"] * (1 if head["codebook"] else head["code_dim"])
        if 4 * width * index.num_rows > MOST_BYTES:
            raise InputError(f"{place} holds more skills than are read into memory")
        values = np.empty((index.num_rows, width), np.int32 if head["codebook"] else np.float32)
        _fill(file, column, values, index, place, tree)
    if head["codebook"] and len(values) and not _within(values, head["codebook"]):
        raise InputError(f"{place} is damaged: a token is not in the codebook")
    return Skills(name, head["sha256"], head["codebook"], head["tokens"], values)


def _head(schema: pa.Schema, place: str) -> tuple[str, dict[str, Any]]:
    """The column of skills, and what the file says of them."""
    import pyarrow as pa

    said = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    head: dict[str, Any] = {"sha256": said.get("sofdata.model_sha256", "")[:64]}
    for name, key, most in (
        ("tokens", "tokens", MOST_NUMBERS),
        ("code_dim", "code_dim", MOST_NUMBERS),
        ("codebook", "codebook_size", MOST_CODES),
    ):
        value = said.get(f"sofdata.{key}", "")
        if not value.isdecimal() or int(value) > most or (name != "codebook" and value == "0"):
            raise InputError(f"{place} is damaged: its {key} is {value!r:.20}")
        head[name] = int(value)
    column = "tokens" if head["codebook"] else "codes"
    kind = pa.list_(pa.int32() if head["codebook"] else pa.float32())
    fits = {"key", column} <= {*schema.names} and schema.field("key").type == pa.string()
    if not fits or not schema.field(column).type.equals(kind, check_metadata=False):
        raise InputError(f"{place} is damaged: it lacks the columns key and {column}")
    return column, head


def _fill(
    file: Any, column: str, values: NDArray[Any], index: Index, place: str, tree: Tree
) -> None:
    """Put all skills into an array, while their keys are compared with those of the index."""
    parts = file.iter_batches(BATCH_ROWS, columns=["key", column], use_threads=False)
    keys: list[pa.Array] = []
    row = 0
    for part in parts:
        lists = part[column]
        flat = lists.flatten()
        if lists.null_count or flat.null_count or len(flat) != len(lists) * values.shape[1]:
            raise InputError(f"{place} is damaged: its skills are not of one length")
        lengths = np.diff(lists.offsets.to_numpy())
        if (lengths != values.shape[1]).any():
            raise InputError(f"{place} is damaged: its skills are not of one length")
        values[row : row + len(lists)] = flat.to_numpy().reshape(-1, values.shape[1])
        keys.append(part["key"])
        row += len(lists)
    if row != len(values) or not _same_keys(keys, index):
        raise _stale(place, tree)


def _same_keys(keys: Sequence[pa.Array], index: Index) -> bool:
    import pyarrow as pa

    found = pa.chunked_array(keys, pa.string())
    for first, batch in index.batches(["key"]):
        if not found.slice(first, batch.num_rows).equals(pa.chunked_array([batch["key"]])):
            return False
    return True


def _within(values: NDArray[Any], codebook: int) -> bool:
    return bool(values.min() >= 0 and values.max() < codebook)


def _stale(place: str, tree: Tree) -> InputError:
    return InputError(
        f"{place} is of other windows than the dataset has now; 'sofdata encode {tree.name}' "
        "writes the skills anew"
    )
