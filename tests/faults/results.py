"""What trials brought, kept in a file as they end, and the table that a campaign prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.judge import NAMES, Score
from tests.faults.runs import Outcome


@dataclass(slots=True)
class Result:
    """What one trial brought: how many faults fired in how many runs, and what was wrong."""

    id: str
    kind: str
    fired: int = 0
    runs: int = 0
    wall_s: float = 0.0
    score: Score = field(default_factory=Score)
    notes: list[str] = field(default_factory=list)

    def add(self, score: Score, note: str) -> None:
        self.score += score
        if score:
            self.notes.append(note)


def judge_run(outcome: Outcome, codes: Iterable[int], says: str = "") -> Score:
    """Judge how a run ended. A failure has to be told in a line that begins with `sofdata: `.

    says: what that line has to hold.
    """
    failed = outcome.code is not None and outcome.code > 0
    lines = [line for line in outcome.output.splitlines() if line.startswith("sofdata: ")]
    told = not failed or any(says in line for line in lines)
    return Score(
        hung=outcome.hung,
        tracebacks=outcome.traceback,
        exits=not outcome.hung and (outcome.code not in tuple(codes) or not told),
        leaked=outcome.survivors,
    )


class State:
    """Results so far, in a file that survives an interruption."""

    def __init__(self, folder: Path, digest: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"results-{digest}.jsonl"
        self.results: dict[str, Result] = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            values = json.loads(line)
            result = Result(**{**values, "score": Score(**values["score"])})
            self.results[result.id] = result

    def once(self, id: str, action: Callable[[], Result]) -> Result:
        """The result of a trial, from the file or by running it."""
        if id not in self.results:
            self.results[id] = action()
            with self._path.open("a") as handle:
                handle.write(json.dumps(asdict(self.results[id])) + "\n")
        return self.results[id]


def table(results: Iterable[Result]) -> str:
    """The results as Markdown, a row a kind and their sum."""
    kinds: dict[str, list[Result]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    heads = ("kind", "faults", "runs", *NAMES)
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    everything = [result for rows in kinds.values() for result in rows]
    for kind, rows in {**kinds, "**all**": everything}.items():
        score = sum((row.score for row in rows), Score())
        cells = [sum(row.fired for row in rows), sum(row.runs for row in rows)]
        cells += [getattr(score, name) for name in NAMES]
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def digest_of(*settings: object) -> str:
    """Hash of the code and of what a campaign was asked for."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256(repr(settings).encode())
    for path in sorted([*root.glob("sofdata/**/*.py"), *root.glob("tests/faults/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
