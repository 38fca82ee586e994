"""Which file each window shows a part of: what must be learned from or measured on, not both.

Cameras of an episode and clips of a recording count as one file, and so do copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.loading.alike import same_content
from sofdata.loading.index import Index
from sofdata.loading.planned import parsed, plan_parts, videos_of
from sofdata.loading.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

PLANNED = ("id", "uri", "fingerprint", "labels", "span_start_s", "span_end_s")


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """The files of the windows of some datasets.

    names: of all that have windows. ids: of all planned videos, an Arrow column.
    file, video: int32 [rows]; of each window the number of its name, and of its video's id.
    """

    names: Texts
    file: NDArray[np.int32]
    ids: pa.ChunkedArray
    video: NDArray[np.int32]

    def with_any(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which files have any of these windows, bool [names]."""
        found = np.zeros(len(self.names), np.bool_)
        found[self.file[windows]] = True
        return found


def files_of(indexes: Sequence[Index], corpora: Sequence[str]) -> Files:
    """The files, or recordings, of all windows.

    A name is that of the recording where the corpus says one (`sofdata.corpora.recordings`), or
    else the uri of the file; files of equal content have one name, and so have recordings in one of
    which is the same stretch of such a file as in the other, as where one corpus is joined with a
    copy of it.

    Raises `ConfigError` where a dataset has no plan, `InputError` where it does not belong to the
    index.
    """
    import pyarrow as pa

    plans = [_plan(index, corpus) for index, corpus in zip(indexes, corpora, strict=True)]
    video = np.empty(sum(index.num_rows for index in indexes), np.int32)
    before = rows = 0
    for index, plan in zip(indexes, plans, strict=True):
        part = video[rows : rows + index.num_rows]
        videos_of(index, plan["id"], part)
        part += np.int32(before)
        rows, before = rows + index.num_rows, before + plan.num_rows
    videos = pa.concat_tables(plans)
    used = np.zeros(videos.num_rows, np.bool_)
    used[video] = True
    names, numbers = _named(videos.drop_columns("id"), np.flatnonzero(used))
    file_of_video = np.zeros(videos.num_rows, np.int32)
    file_of_video[used] = numbers
    return Files(names, file_of_video[video], videos["id"], video)


def _plan(index: Index, corpus: str) -> pa.Table:
    """Of each planned video what identifies its content; labels become the recording."""
    import pyarrow as pa

    from sofdata.corpora.recordings import recording_of

    parts = []
    for part in plan_parts(index.tree, PLANNED, "file a window comes from"):
        found = [recording_of(corpus, labels) for labels in parsed(index.tree, part["labels"])]
        recordings = pa.array(found, pa.string()).dictionary_encode()
        parts.append(part.drop_columns("labels").append_column("recording", recordings))
    return pa.concat_tables(parts).unify_dictionaries()


def _named(videos: pa.Table, used: NDArray[np.int64]) -> tuple[Texts, NDArray[np.int64]]:
    """The names of the files of the used videos, and the number of the name of each of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    prints = _codes(videos["fingerprint"])
    names = _names(videos, prints).take(used)
    texts = Texts(names.combine_chunks())
    # Numbers stand for the names from here on: they are sorted alike.
    numbers = pc.index_in(names, value_set=texts.values).to_numpy()
    alike = videos.select(["span_start_s", "span_end_s"]).take(used)
    recorded = pc.not_equal(videos["recording"].cast(pa.string()), "").take(used)
    alike = alike.append_column("recording", recorded)
    alike = alike.append_column("fingerprint", pa.array(prints[used]))
    same = np.arange(len(texts))
    for number, first in same_content(alike.append_column("name", pa.array(numbers))).items():
        same[number] = first
    left, numbers = np.unique(same[numbers], return_inverse=True)
    return Texts(texts.values.take(left)), numbers


def _names(videos: pa.Table, prints: NDArray[np.int32]) -> pa.ChunkedArray:
    """Of each planned video its recording, or the first of the uris of files of its content."""
    import pyarrow as pa
    import pyarrow.compute as pc

    recordings = videos["recording"].cast(pa.string())
    is_alone = pc.equal(recordings, "")
    table = pa.table({"uri": videos["uri"], "content": pa.array(prints)}).filter(is_alone)
    first = table.group_by("content", use_threads=False).aggregate([("uri", "min")])
    place = np.zeros(int(prints.max(initial=0)) + 1, np.int64)
    place[first["content"].to_numpy()] = np.arange(first.num_rows)
    uris = first["uri_min"].cast(pa.large_string())
    if not len(uris):
        return recordings.cast(pa.large_string())
    return pc.if_else(is_alone, uris.take(place[prints]), recordings.cast(pa.large_string()))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int32]:
    """A number for each text, the same for equal ones."""
    import pyarrow as pa

    encoded = column.cast(pa.large_string()).dictionary_encode()
    codes: NDArray[np.int32] = np.concatenate([each.indices.to_numpy() for each in encoded.chunks])
    return codes
