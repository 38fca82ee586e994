"""Fingerprints of the files of a source, read only where nothing shows that they are as they were.

`files.parquet` of a dataset says of each file its size, its stamp (modification time, and ETag in
an object store) and its fingerprint. A file that a listing finds with the same size and stamp keeps
the fingerprint and is not read. No stamp is kept that was too new when its file was listed, as in
git's index: what is written again within the resolution of a file system's clock has the same time
as before. What this file holds decides nothing of a dataset: without it all files are read.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sofdata.errors import InputError
from sofdata.shards.layout import FILES
from sofdata.shards.parquet import read_table, write_columns
from sofdata.shards.schema import files_schema
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SEQUENCE, Location, is_plain, local, parse
from sofdata.system.threads import in_order, in_parts
from sofdata.types import ActionRef

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

S = TypeVar("S")
T = TypeVar("T")

BEHIND = "+"  # between the fingerprint of a file and what tells its sequences apart
THREADS = 16  # they wait for a few blocks of each file, and compute next to nothing
AT_ONCE = 64  # files that a thread takes
MARGIN_NS = 2_000_000_000  # the coarsest clock of a file system in use: FAT's
BATCH_ROWS = 1 << 14
COLUMNS = ("uri", "size_bytes", "mtime_ns", "etag")


class Problem(NamedTuple):
    """Why a file cannot be used, and in words for a person."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Files and their fingerprints, with what shows that they have not changed.

    table: as `files_schema` has it.
    """

    table: pa.Table

    @classmethod
    def none(cls) -> KnownFiles:
        """No file is known."""
        return cls(files_schema().empty_table())

    @classmethod
    def load(cls, dest: Tree) -> KnownFiles:
        """What a dataset says; nothing where its file is missing, damaged or of another form."""
        try:
            table = read_table(dest, FILES)
        except (FileNotFoundError, InputError):
            return cls.none()
        return cls(table) if table.schema.equals(files_schema()) else cls.none()

    def save(self, dest: Tree, before: KnownFiles) -> None:
        """Write them, unless they are those that stand there. before: what does."""
        if not self.table.equals(before.table):
            write_columns(dest, FILES, self.table)

    def fingerprints(self, files: pa.Table) -> pa.ChunkedArray:
        """The fingerprint of each file of a table with `COLUMNS`, null where it has to be read."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(self.table):
            return pa.chunked_array([pa.nulls(len(files), pa.string())])
        at = pc.index_in(files["uri"], self.table["uri"])
        same = pc.is_valid(at)
        for name in COLUMNS[1:]:
            there = self.table[name].take(at)
            same = pc.and_(same, pc.fill_null(pc.equal(there, files[name]), False))
        marks = self.table["fingerprint"].take(at)
        return pc.if_else(same, marks, pa.scalar(None, pa.string()))


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of the files of some rows.

    file: int64; for each row the number of its file.
    size_bytes, fingerprint: of each file.
    problems: of files that cannot be used, by their number.
    known: what may be kept of them.
    """

    file: NDArray[np.int64]
    size_bytes: pa.Array
    fingerprint: pa.Array
    problems: dict[int, Problem]
    known: KnownFiles

    def columns(self, uris: pa.ChunkedArray) -> dict[str, pa.Array]:
        """What a plan says of each row: size, fingerprint and, where any has one, its problem.

        uris: of the rows.
        """
        import pyarrow as pa

        at = pa.array(self.file)
        found = {name: values.take(at) for name, values in self._of_files().items()}
        found["fingerprint"] = _of_sequences(found["fingerprint"], uris)
        return found

    def _of_files(self) -> dict[str, pa.Array]:
        import numpy as np
        import pyarrow as pa

        found = {"size_bytes": self.size_bytes, "fingerprint": self.fingerprint}
        if not self.problems:
            return found
        sizes = np.array(self.size_bytes)
        sizes[list(self.problems)] = 0
        none = Problem("", "")
        each = [self.problems.get(number, none) for number in range(len(sizes))]
        reasons, details = zip(*each, strict=True)
        named = {"problem": reasons, "detail": details}
        texts = {name: pa.array(values, pa.string()) for name, values in named.items()}
        return found | {"size_bytes": pa.array(sizes)} | texts


def look_at(source: Tree, rows: pa.Table, known: KnownFiles, listed_ns: int) -> Looked:
    """Fingerprint the files of rows of entries, each file once.

    known: files that are not read if they are as they were.
    listed_ns: the time, in ns since 1970, at which the listing began. Newer stamps are not kept.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    file, files = _distinct(_of_files(rows))
    files, problems = _with_sizes(source, files)
    marks = known.fingerprints(files)
    # Of a file of actions no stamp is kept: such videos are read again.
    unknown = pc.or_(pc.is_null(marks), pc.is_valid(files["actions_uri"])).to_numpy().copy()
    unknown[list(problems)] = False
    if unknown.any():
        some = files.filter(pa.array(unknown))
        read, lost = _packed(_read(source, some))
        places = np.flatnonzero(unknown)
        problems |= {int(places[at]): problem for at, problem in lost.items()}
        mask = pa.array(unknown)
        marks = read if unknown.all() else pc.replace_with_mask(_one(marks), mask, _one(read))
    marks = _one(pc.fill_null(marks, ""))
    kept = _to_keep(files, marks, problems, listed_ns)
    return Looked(file, _one(files["size_bytes"]), marks, problems, kept)


def fingerprint(
    source: Tree, uri: str, size_bytes: int, actions: ActionRef | None, copy: str = ""
) -> str:
    """Hash of a video's content, and of the file that holds its actions if they count.

    Of a sequence of pictures it is that of its file, and behind a "+" that of which one it is.

    copy: a local copy of the video, if there is one.
    """
    where = parse(uri)
    if copy:
        video = Tree("/").fingerprint(local(copy), size_bytes)
    else:
        video = source.fingerprint(where, size_bytes)
    both = video if actions is None else _both(video, _whole(source, actions.where))
    return of_sequence(both, where.sequence)


def of_sequence(file: str, sequence: str) -> str:
    """The fingerprint of a sequence in a file of that fingerprint: sequences differ as files do."""
    if not sequence:
        return file
    return f"{file}{BEHIND}{hashlib.sha256(sequence.encode()).hexdigest()[:16]}"


def _both(video: str, actions: str) -> str:
    return hashlib.sha256((video + actions).encode()).hexdigest()[:32]


def _whole(source: Tree, where: Location) -> str:
    return source.fingerprint(where, source.size(where))


def _of_sequences(marks: pa.Array, uris: pa.ChunkedArray) -> pa.Array:
    """The fingerprint of each row from that of its file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(uris, SEQUENCE)).as_py():
        return marks
    sequences = (parse(uri).sequence for uri in uris.to_pylist())
    pairs = zip(marks.to_pylist(), sequences, strict=True)
    return pa.array([of_sequence(mark, name) if mark else mark for mark, name in pairs])


def _of_files(rows: pa.Table) -> pa.Table:
    """Rows with the uri of the file in which a sequence lies in place of its own."""
    at = rows.schema.get_field_index("uri")
    return rows.set_column(at, rows.schema.field(at), files_of(rows["uri"]))


def files_of(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """The uri of the file of each video, which several sequences of pictures may have in common."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(uris, SEQUENCE)).as_py():
        return uris
    return pc.replace_substring_regex(uris, f"{SEQUENCE}.*$", "")


def _distinct(rows: pa.Table) -> tuple[NDArray[np.int64], pa.Table]:
    """The number of each row's file, and the files: the first row of each."""
    import numpy as np
    import pyarrow.compute as pc

    names = ["uri"]
    if rows["actions_uri"].null_count < len(rows):
        names.append("actions_uri")
    cells = [pc.fill_null(rows[name], "") for name in names]
    key = pc.binary_join_element_wise(*cells, "\0") if len(cells) > 1 else cells[0]
    codes = np.asarray(_one(key).dictionary_encode().indices.to_numpy(), np.int64)
    if not len(codes) or int(codes[-1]) == len(codes) - 1 == int(codes.max()):
        return codes, rows  # each row has a file of its own: as ids are sorted, so are these
    _, first = np.unique(codes, return_index=True)
    return codes, rows.take(first)


def _with_sizes(source: Tree, files: pa.Table) -> tuple[pa.Table, dict[int, Problem]]:
    """Files with the size and the stamp of those of which the listing knew neither."""
    import numpy as np
    import pyarrow as pa

    sizes, times = (files[name].to_numpy() for name in ("size_bytes", "mtime_ns"))
    asked = np.flatnonzero((sizes == 0) & (times == 0) & _empty(files["etag"]))
    if not len(asked):
        return files, {}
    sizes, times, etags = sizes.copy(), times.copy(), files["etag"].to_pylist()
    problems: dict[int, Problem] = {}
    uris = files["uri"].take(asked).to_pylist()
    found = _in_threads(lambda uri: source.stat(parse(uri)), uris)
    for at, each in zip(asked.tolist(), found, strict=True):
        if isinstance(each, Problem):
            problems[at] = each
        else:
            sizes[at], (times[at], etags[at]) = each
    for name, values in (("size_bytes", sizes), ("mtime_ns", times), ("etag", etags)):
        at, column = files.schema.get_field_index(name), files.field(name)
        files = files.set_column(at, column, pa.array(values, column.type))
    return files, problems


def _empty(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    import numpy as np
    import pyarrow.compute as pc

    return np.asarray(pc.equal(column, "").to_numpy(), bool)


def _read(source: Tree, files: pa.Table) -> Iterator[str | Problem]:
    """The fingerprint of each file."""
    actions = cache(lambda where: _whole(source, where))

    def read(file: tuple[str, int, str | None]) -> str:
        uri, size_bytes, actions_uri = file
        # A plain name is its own uri, as nearly all of millions are.
        video = source.fingerprint(uri if is_plain(uri) else parse(uri), size_bytes)
        return video if actions_uri is None else _both(video, actions(parse(actions_uri)))

    names = ("uri", "size_bytes", "actions_uri")
    batches = files.select(names).to_batches(BATCH_ROWS)
    cells = (zip(*(batch[name].to_pylist() for name in names), strict=True) for batch in batches)
    return _in_threads(read, itertools.chain.from_iterable(cells))


def _in_threads(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T | Problem]:
    """What comes of each item, or why its file cannot be used."""

    def some(chunk: Sequence[S]) -> list[T | Problem]:
        return [_tried(work, item) for item in chunk]

    return itertools.chain.from_iterable(in_order(some, in_parts(items, AT_ONCE), THREADS))


def _tried(work: Callable[[S], T], item: S) -> T | Problem:
    try:
        return work(item)
    except FileNotFoundError:
        return Problem("missing", "there is no such file")
    except OSError as error:
        return Problem("unreadable", error.strerror or str(error))


def _packed(found: Iterator[str | Problem]) -> tuple[pa.ChunkedArray, dict[int, Problem]]:
    """Fingerprints as a column, and the problems among them by their place."""
    import pyarrow as pa

    problems: dict[int, Problem] = {}
    chunks, at = [], 0
    for some in in_parts(found, BATCH_ROWS):
        for number, each in enumerate(some, at):
            if isinstance(each, Problem):
                problems[number] = each
        marks = [None if isinstance(each, Problem) else each for each in some]
        chunks.append(pa.array(marks, pa.string()))
        at += len(some)
    return pa.chunked_array(chunks, pa.string()), problems


def _to_keep(
    files: pa.Table, marks: pa.Array, problems: Collection[int], listed_ns: int
) -> KnownFiles:
    """The files that will be known by their stamps."""
    import numpy as np
    import pyarrow as pa

    times, tagged = files["mtime_ns"].to_numpy(), ~_empty(files["etag"])
    # An ETag differs even between contents of the same second.
    keep = tagged | ((times > 0) & (times <= listed_ns - MARGIN_NS))
    keep &= ~np.asarray(files["actions_uri"].is_valid().to_numpy(), bool)
    keep[list(problems)] = False
    table = files.select(COLUMNS).append_column("fingerprint", marks).filter(pa.array(keep))
    table = table.sort_by("uri").cast(files_schema())
    return KnownFiles(table.combine_chunks())


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
