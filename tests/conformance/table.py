"""The table that the suite prints: a line for each film, a mark for each way of reading it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

STEPS_S = (0.04, 0.13, 0.25)
KINDS = ("whole", "spans", "spans on frames")


@dataclass(frozen=True, slots=True)
class Cell:
    """A combination: container, codec and condition; how it is read; the step, s."""

    parts: tuple[str, str, str]
    kind: str
    step_s: float | None

    @property
    def label(self) -> str:
        return self.kind if self.step_s is None else f"{self.kind}-{self.step_s}"


@dataclass(slots=True)
class Table:
    """What became of each combination that was run, and why it failed."""

    results: dict[Cell, tuple[str, str]] = field(default_factory=dict)

    def note(self, cell: Cell, result: str, why: str = "") -> None:
        self.results[cell] = result, why

    def lines(self) -> Iterator[str]:
        """The table as text."""
        if not self.results:
            return
        columns = [("reference", None), *((kind, step) for kind in KINDS for step in STEPS_S)]
        films = list(dict.fromkeys(cell.parts for cell in self.results))
        heads = ["reference", *(f"{step} s" for _ in KINDS for step in STEPS_S)]
        width = [max(len(parts[i]) for parts in films) for i in range(3)]
        left = "  ".join("".ljust(w) for w in width)
        yield f"{left}  {'':9}  " + "  ".join(kind.center(20) for kind in KINDS)
        yield f"{left}  " + "  ".join(
            head.ljust(9 if i == 0 else 5) for i, head in enumerate(heads)
        )
        for parts in films:
            marks = []
            for kind, step in columns:
                result, _ = self.results.get(Cell(parts, kind, step), ("", ""))
                marks.append(result.ljust(9 if kind == "reference" else 5))
            name = "  ".join(part.ljust(w) for part, w in zip(parts, width, strict=True))
            yield f"{name}  {'  '.join(marks)}".rstrip()
        for parts, why in self._refused().items():
            yield f"n/a: {', '.join(parts)}: {why}"
        yield self._sum()

    def _refused(self) -> dict[tuple[str, str, str], str]:
        return {cell.parts: why for cell, (result, why) in self.results.items() if result == "n/a"}

    def _sum(self) -> str:
        count = {
            mark: sum(result == mark for result, _ in self.results.values())
            for mark in ("ok", "FAIL", "n/a")
        }
        return (
            f"{len(self.results)} combinations: {count['ok']} right, {count['FAIL']} wrong, "
            f"{count['n/a']} that cannot be encoded here"
        )
