"""What a unit, or one try at one of its videos, has brought."""

from __future__ import annotations

from dataclasses import dataclass, field

from sofdata.shards.schema import RejectedWindowRecord, WindowRow
from sofdata.shards.stats import FlowSums


@dataclass(slots=True)
class Output:
    """What a unit, or one try at one of its videos, has brought so far.

    stderr: the end of what a decoder wrote before it died.
    """

    rows: list[WindowRow] = field(default_factory=list)
    rejected: list[RejectedWindowRecord] = field(default_factory=list)
    sums: FlowSums = field(default_factory=FlowSums)
    stderr: str = ""

    def extend(self, other: Output) -> None:
        self.rows.extend(other.rows)
        self.rejected.extend(other.rejected)
        self.sums.merge(other.sums)
