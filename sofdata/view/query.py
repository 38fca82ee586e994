"""What is asked for of a dataset's windows, and which rows of the index fulfil it.

A search reads the columns that it needs, some rows at a time: nothing of the index stays in memory
but the numbers of the rows found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.loading.columns import tables
from sofdata.loading.index import Index
from sofdata.loading.where import columns_of, select
from sofdata.shards.slices import used_values

if TYPE_CHECKING:
    import pyarrow as pa

ORDERS = {
    "": "as stored",
    "fast": "fastest first",
    "slow": "slowest first",
    "long": "longest first",
    "short": "shortest first",
}
MOST_WORDS = 20
LONGEST = 1000  # characters of what is searched for


@dataclass(frozen=True, slots=True)
class Query:
    """A search among windows.

    text: words, all of which occur in a window's text or in its video's id, whatever their case.
    cut: why the window's stretch begins, "" for all. source: the id of its video, "" for all.
    corpus: that its video is of, in a dataset of several, "" for all.
    least_px, most_px: bounds of its mean motion. where: a filter as the loader takes it.
    order: one of `ORDERS`.
    """

    text: str = ""
    cut: str = ""
    source: str = ""
    corpus: str = ""
    least_px: float = -math.inf
    most_px: float = math.inf
    where: str = ""
    order: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Query:
        """The search that an address asks for. Raises `ConfigError` for what is none."""
        order = given.get("order", "")
        if order not in ORDERS:
            raise ConfigError(f"order is one of {', '.join(map(repr, ORDERS))}, got {order!r:.40}")
        return cls(
            text=" ".join(given.get("q", "")[:LONGEST].split()),
            cut=given.get("cut", ""),
            source=given.get("video", ""),
            corpus=given.get("corpus", ""),
            least_px=_bound(given, "least", -math.inf),
            most_px=_bound(given, "most", math.inf),
            where=given.get("where", "").strip(),
            order=order,
        )

    @property
    def is_plain(self) -> bool:
        """Whether it asks for all windows as they stand."""
        return self == Query()


def find(index: Index, query: Query, videos: pa.Array | None = None) -> NDArray[np.int64]:
    """Numbers of the rows that fulfil a search, in its order.

    videos: ids of those of the corpus that is asked for, None for all.

    Raises `ConfigError` for a filter that is none, `InputError` where the index is damaged.
    """
    chosen = np.ones(index.num_rows, np.bool_)
    if query.text or query.source or query.cut or videos is not None:
        _narrow_by_words(index, query, chosen, videos)
    if not (query.least_px == -math.inf and query.most_px == math.inf):
        motion = column(index, "mean_px")
        chosen &= (motion >= query.least_px) & (motion <= query.most_px)
    if query.where:
        chosen &= select(tables([index], columns_of(query.where, index.column_names)), query.where)
    return _ordered(index, np.flatnonzero(chosen), query.order)


def column(index: Index, name: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where one is missing, float64 [rows]."""
    values = np.empty(index.num_rows)
    for first, batch in index.batches([name]):
        part = batch[name].to_numpy(zero_copy_only=False)
        values[first : first + len(part)] = part
    return values


def counted(index: Index, name: str) -> dict[str, int]:
    """How many windows have each text of a column, the most frequent first."""
    found: dict[str, int] = {}
    for _, batch in index.batches([name], encoded=True):
        texts, codes = used_values(batch[name])
        numbers = np.bincount(codes, minlength=len(texts)).tolist()
        for text, number in zip(texts.to_pylist(), numbers, strict=True):
            found[text] = found.get(text, 0) + number
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _bound(given: Mapping[str, str], name: str, otherwise: float) -> float:
    text = given.get(name, "").strip().replace(",", ".")
    if not text:
        return otherwise
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ConfigError(f"motion is a number of px a step, such as 0.5; got {text!r:.40}")
    return value


def _narrow_by_words(
    index: Index, query: Query, chosen: NDArray[np.bool_], videos: pa.Array | None
) -> None:
    words = query.text.split()[:MOST_WORDS]
    for first, batch in index.batches(["text", "source", "cut"], encoded=True):
        part = chosen[first : first + batch.num_rows]
        for word in words:
            part &= _has(batch["text"], word) | _has(batch["source"], word)
        for name, wanted in (("source", query.source), ("cut", query.cut)):
            if wanted:
                part &= _is(batch[name], wanted)
        if videos is not None:
            part &= _is_any(batch["source"], videos)


def _has(texts: pa.DictionaryArray, word: str) -> NDArray[np.bool_]:
    """In which rows a word occurs, bool [rows]: each different text is looked at once."""
    import pyarrow.compute as pc

    known, codes = used_values(texts)
    found: NDArray[np.bool_] = pc.match_substring(known, word, ignore_case=True).to_numpy(
        zero_copy_only=False
    )
    return found[codes]


def _is(texts: pa.DictionaryArray, wanted: str) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    known, codes = used_values(texts)
    found: NDArray[np.bool_] = pc.equal(known, wanted).to_numpy(zero_copy_only=False)
    return found[codes]


def _is_any(texts: pa.DictionaryArray, wanted: pa.Array) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    known, codes = used_values(texts)
    found: NDArray[np.bool_] = pc.is_in(known, value_set=wanted).to_numpy(zero_copy_only=False)
    return found[codes]


def _ordered(index: Index, rows: NDArray[np.int64], order: str) -> NDArray[np.int64]:
    if not order:
        return rows
    if order in ("fast", "slow"):
        values = column(index, "mean_px")[rows]
    else:
        values = (column(index, "end_s") - column(index, "start_s"))[rows]
    places: Any = np.argsort(-values if order in ("fast", "long") else values, kind="stable")
    return np.asarray(rows[places], np.int64)
