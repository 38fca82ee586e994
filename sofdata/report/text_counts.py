"""How many windows have each text, in the memory of the different texts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sofdata.loading.index import Index
from sofdata.loading.texts import FEW
from sofdata.shards.slices import used_values

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class TextCounts:
    """The texts of an index.

    table: `text` and `number`, a row a different text. empty: windows without one.
    """

    table: pa.Table
    empty: int

    @classmethod
    def of(cls, index: Index) -> TextCounts:
        """Count them. Raises `InputError` where the index is damaged."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts, waiting, known = list[pa.Table](), 0, 0
        for _, batch in index.batches(["text"], encoded=True):
            texts, codes = used_values(batch["text"])
            numbers = np.bincount(codes, minlength=len(texts))
            parts.append(pa.table({"text": texts.cast(pa.large_string()), "number": numbers}))
            waiting += len(texts)
            if waiting > max(FEW, known):
                parts = [_summed(parts)]
                known, waiting = parts[0].num_rows, 0
        table = _summed(parts)
        is_empty = pc.equal(table["text"], "")
        empty = pc.sum(table["number"].filter(is_empty)).as_py() or 0
        return cls(table.filter(pc.invert(is_empty)), empty)

    @property
    def distinct(self) -> int:
        return int(self.table.num_rows)

    def most(self, number: int) -> Counter[str]:
        """The most frequent ones; of equally frequent ones the first."""
        import pyarrow.compute as pc

        order = [("number", "descending"), ("text", "ascending")]
        chosen = pc.select_k_unstable(self.table, min(number, self.distinct), sort_keys=order)
        shown = self.table.take(chosen).to_pydict()
        return Counter(dict(zip(shown["text"], shown["number"], strict=True)))


def _summed(parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    kinds = pa.schema([("text", pa.large_string()), ("number", pa.int64())])
    table = pa.concat_tables(parts) if parts else kinds.empty_table()
    summed = table.group_by("text", use_threads=False).aggregate([("number", "sum")])
    return summed.rename_columns({"text": "text", "number_sum": "number"}).select(kinds.names)
