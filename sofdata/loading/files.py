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
from sofdata.loading.copies import with_copies
from sofdata.loading.index import Index
from sofdata.loading.planned import parsed, plan_parts, videos_of
from sofdata.loading.texts import Texts
from sofdata.system.allocation import release_unused

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
    copy of it, and files of which `sofdata dedup` has found that one shows what another does.

    Raises `ConfigError` where a dataset has no plan, `InputError` where it does not belong to the
    index.
    """
    videos, video, starts = _videos(indexes, corpora)
    # Of a million videos a column of texts has 50 MB: each goes as soon as it has become numbers.
    ids, content = videos["id"], _codes(videos["fingerprint"])
    videos = videos.drop_columns(["id", "fingerprint"])
    release_unused()
    used = np.zeros(len(content), np.bool_)
    used[video] = True
    names, number = _names(videos, content, used)
    videos = videos.drop_columns("uri")
    release_unused()
    names, number = _joined(names, number, videos, content, used)
    names, number = with_copies(names, number, ids, used, indexes, starts)
    return Files(names, number[video], ids, video)


def _videos(
    indexes: Sequence[Index], corpora: Sequence[str]
) -> tuple[pa.Table, NDArray[np.int32], list[int]]:
    """The planned videos of all datasets, and the number of that of each window, int32 [rows].

    Last, where the videos of each dataset begin among them.
    """
    import pyarrow as pa

    video = np.empty(sum(index.num_rows for index in indexes), np.int32)
    plans, starts, before, rows = list[pa.Table](), list[int](), 0, 0
    for index, corpus in zip(indexes, corpora, strict=True):
        plan = _plan(index, corpus)
        part = video[rows : rows + index.num_rows]
        videos_of(index, plan["id"], part)
        part += np.int32(before)
        starts.append(before)
        rows, before = rows + index.num_rows, before + plan.num_rows
        plans.append(plan)
        release_unused()
    return pa.concat_tables(plans), video, starts


def _plan(index: Index, corpus: str) -> pa.Table:
    """Of each planned video what identifies its content; labels become the recording."""
    import pyarrow as pa

    from sofdata.corpora.recordings import corpora_of, kind_of, names_recordings, recording_of

    labelled, several = names_recordings(corpus), len(corpora_of(corpus)) > 1
    columns = [name for name in PLANNED if labelled or name != "labels"]
    columns += ["corpus"] if labelled and several else []
    parts = []
    for part in plan_parts(index.tree, columns, "file a window comes from"):
        found = pa.nulls(part.num_rows, pa.string()).fill_null("")
        if labelled:
            labels = parsed(index.tree, part["labels"])
            parts_of = part["corpus"].to_pylist() if several else [corpus] * len(labels)
            part = part.drop_columns(["labels", "corpus"] if several else "labels")
            recordings = (
                recording_of(kind_of(each or ""), of)
                for each, of in zip(parts_of, labels, strict=True)
            )
            found = pa.array(recordings, pa.string())
        parts.append(part.append_column("recording", found.dictionary_encode()))
    return pa.concat_tables(parts).unify_dictionaries()


def _joined(
    names: Texts,
    number: NDArray[np.int32],
    videos: pa.Table,
    content: NDArray[np.int32],
    used: NDArray[np.bool_],
) -> tuple[Texts, NDArray[np.int32]]:
    """The names, and their numbers, with one name for what `same_content` finds to be the same."""
    same = np.arange(len(names), dtype=np.int32)
    # Numbers stand for the names: they are sorted alike.
    for one, first in _same(videos, content, used, number).items():
        same[one] = first
    number = same[number]
    left = np.zeros(len(names), np.bool_)
    left[number[used]] = True
    places = np.cumsum(left, dtype=np.int32) - 1
    return names.those(left), places[number]


def _names(
    videos: pa.Table, content: NDArray[np.int32], used: NDArray[np.bool_]
) -> tuple[Texts, NDArray[np.int32]]:
    """Names of the used videos, and the number of that of each video, 0 for others.

    It is the recording, or else the first of the uris of files of the same content.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    recording = videos["recording"]
    alone = pc.equal(recording.cast(pa.string()), "").to_numpy()
    first = _first_uris(videos["uri"], content, np.flatnonzero(alone))
    wanted, place = np.unique(first[content[used & alone]], return_inverse=True)
    recorded, of_recording = np.flatnonzero(used & ~alone), np.empty(0, np.int64)
    parts = videos["uri"].take(wanted).cast(pa.large_string()).chunks
    if len(recorded):
        codes = recording.take(recorded).cast(pa.string()).combine_chunks().dictionary_encode()
        of_recording = codes.indices.to_numpy() + len(wanted)
        parts.append(codes.dictionary.cast(pa.large_string()))
    texts, numbers = Texts.numbered(parts[0] if len(parts) == 1 else pa.concat_arrays(parts))
    found = np.zeros(videos.num_rows, np.int32)
    found[used & alone] = numbers[place]
    found[recorded] = numbers[of_recording]
    return texts, found


def _first_uris(
    uris: pa.ChunkedArray, content: NDArray[np.int32], alone: NDArray[np.int64]
) -> NDArray[np.int32]:
    """For each content the place of the first of the uris that these videos have, int32."""
    first = np.zeros(int(content.max(initial=0)) + 1, np.int32)
    first[content[alone]] = alone
    several = np.bincount(content[alone], minlength=len(first)) > 1
    rows = alone[several[content[alone]]]
    _, numbers = Texts.numbered(uris.take(rows).combine_chunks())
    last_to_first = np.argsort(-numbers, kind="stable")
    first[content[rows[last_to_first]]] = rows[last_to_first]
    return first


def _same(
    videos: pa.Table,
    content: NDArray[np.int32],
    used: NDArray[np.bool_],
    number: NDArray[np.int32],
) -> dict[int, int]:
    """Other numbers for names of which `same_content` finds that they stand for the same."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.flatnonzero(used)
    any_name = np.zeros(int(content.max(initial=0)) + 1, np.int32)
    any_name[content[rows]] = number[rows]
    several = np.zeros(len(any_name), np.bool_)
    several[content[rows][any_name[content[rows]] != number[rows]]] = True
    rows = rows[several[content[rows]]]  # few: most content has one name
    table = videos.select(["span_start_s", "span_end_s"]).take(rows)
    recordings = videos["recording"].take(rows).cast(pa.string())
    table = table.append_column("recording", pc.not_equal(recordings, ""))
    table = table.append_column("fingerprint", pa.array(content[rows]))
    return same_content(table.append_column("name", pa.array(number[rows])))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int32]:
    """A number for each text, the same for equal ones."""
    import pyarrow as pa

    encoded = column.cast(pa.large_string()).dictionary_encode()
    codes: NDArray[np.int32] = np.concatenate([each.indices.to_numpy() for each in encoded.chunks])
    return codes
