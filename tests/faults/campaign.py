"""The campaign: hundreds of faults, after each of which the dataset must come out as if none were.

    python -m tests.faults.campaign --kills 200 --storage 100 --videos 2000 --state FOLDER

Prints a table and exits with 1 unless all of it is zero. What has been tried is kept in FOLDER, so
that the same command goes on where it was interrupted, until the code changes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sofdata.scenes import write_clip
from tests.faults.films import video_trials
from tests.faults.generations import Stage, changes
from tests.faults.history import life_trials
from tests.faults.inject import Fault, fired, write_spec
from tests.faults.judge import Score, compare, half_way
from tests.faults.results import Result, State, digest_of, judge_run, table
from tests.faults.runs import Outcome, Strike, preload, run
from tests.faults.schedule import Sizes, Trial, schedule
from tests.helpers import hashes

CLIPS, SECONDS = 7, 2.0
# Two clips a unit, and flow small enough that most of a run's time is not spent on it.
SETTINGS = ("--set", "units.max_videos=2", "--set", "units.min_units=1", "--set", "flow.size=64")
CLEAN_TRIES = 3


class Bench:
    """A corpus, its undisturbed dataset, and a place to work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "corpus"
        self.reference: dict[str, str] = {}
        self.local: Counter[str] = Counter()
        self.remote: Counter[str] = Counter()
        self.wall_s = 0.0

    def prepare(self) -> None:
        """Render the corpus and ingest it undisturbed: once to time it, twice to note its steps."""
        preload()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.source.mkdir(parents=True)
        for index in range(CLIPS):
            write_clip(self.source / f"clip{index}.webm", index, seed=1, seconds=SECONDS)
        for name in ("reference", "local", "remote"):
            dest = self.folder / name
            trace = None if name == "reference" else self.folder / f"{name}.trace"
            spec = write_spec(self.folder / f"{name}-spec", trace=trace)
            outcome = self.ingest(dest, spec, remote=name == "remote")
            if outcome.code != 0 or (self.reference and hashes(dest) != self.reference):
                raise SystemExit(f"an undisturbed ingest fails:\n{outcome.output}")
            if trace:
                getattr(self, name).update(trace.read_text().splitlines())
            else:
                self.reference, self.wall_s = hashes(dest), outcome.wall_s

    def ingest(
        self,
        dest: Path,
        faults: str = "",
        strike: Strike | None = None,
        ray: bool = False,
        remote: bool = False,
        options: tuple[str, ...] = (),
    ) -> Outcome:
        """Run the ingest command."""
        engine = ("--workers", "2") if ray else ("--engine", "inline")
        url = f"disk://{dest}" if remote else str(dest)
        return run(("ingest", self.source, url, *engine, *SETTINGS, *options), faults, strike, ray)

    def attempt(self, trial: Trial) -> Result:
        """Run a trial and judge it."""
        result, work = Result(trial.id, trial.kind), self.folder / "work"
        began = time.monotonic()
        shutil.rmtree(work, ignore_errors=True)
        dest = work / "dest"
        for number, disturbance in enumerate(trial.disturbances):
            self._disturb(trial, disturbance, work / f"spec{number}", dest, result)
        self._complete(trial, dest, result)
        result.wall_s = round(time.monotonic() - began, 2)
        return result

    def _disturb(
        self, trial: Trial, disturbance: Fault | Strike, spec: Path, dest: Path, result: Result
    ) -> None:
        strike = disturbance if isinstance(disturbance, Strike) else None
        faults = write_spec(spec, [disturbance] if isinstance(disturbance, Fault) else [])
        outcome = self.ingest(dest, faults, strike, trial.ray, trial.remote)
        result.runs += 1
        happened = outcome.struck or bool(fired(spec))
        result.fired += happened
        codes = trial.codes if happened else (0,)
        told = f"{disturbance}: exit {outcome.code}: {outcome.output[-1500:]}"
        result.add(judge_run(outcome, codes, trial.says if happened else ""), told)
        if trial.source:
            return
        result.add(half_way(self.reference, dest, atomic=not trial.remote), f"left: {told}")

    def _complete(self, trial: Trial, dest: Path, result: Result) -> None:
        """Run without faults until the dataset is complete, then check all of it."""
        again = ("--update", "--retry-quarantined") if trial.source else ()
        for _ in range(CLEAN_TRIES):
            outcome = self.ingest(dest, remote=trial.remote, options=again)
            result.runs += 1
            result.add(judge_run(outcome, (0,)), f"{trial}: resumed: {outcome.output[-1500:]}")
            if outcome.code == 0:
                break
        verdict = run(("verify", dest))
        result.add(Score(verify=verdict.code != 0), f"{trial}: verify: {verdict.output[-1500:]}")
        found = compare(self.reference, hashes(dest))
        result.add(found, f"{trial}: {found}")


def main() -> int:
    """Run a campaign from the command line."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--storage", type=int, default=100)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--changes", type=int, default=400, help="Kills while a dataset changes.")
    parser.add_argument("--together", type=int, default=60, help="Several commands at once.")
    parser.add_argument("--libraries", type=int, default=12, help="Runs under another library.")
    parser.add_argument(
        "--lives", type=int, default=30, help="Of a dataset: `tests.faults.history`."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("build/faults"))
    parser.add_argument("--only", default="", help="Run the kinds alone that begin so.")
    parser.add_argument("--shared", type=Path, help="A folder of real clips to mutate as well.")
    asked = parser.parse_args()
    folder, seed = asked.state.absolute(), asked.seed
    bench, stage = Bench(folder / "bench"), Stage(folder / "stage")
    bench.prepare()
    stage.prepare()
    sizes = Sizes.of(asked.kills, asked.storage)
    trials: list[tuple[str, Callable[[], Result]]] = [
        (trial.id, lambda trial=trial: bench.attempt(trial))  # type: ignore[misc]
        for trial in schedule(bench.local, bench.remote, bench.wall_s, sizes, seed)
    ]
    trials += [
        (change.id, lambda change=change: stage.attempt(change))  # type: ignore[misc]
        for change in changes(stage, asked.changes, asked.together, asked.libraries, seed)
    ]
    trials += life_trials(folder / "lives", asked.lives, seed)
    trials += video_trials(folder / "films", asked.videos, seed, asked.shared)
    trials = [trial for trial in trials if trial[0].startswith(asked.only)]
    state = State(asked.state, digest_of({**vars(asked), "state": "", "only": ""}))
    results = []
    for number, (id, action) in enumerate(trials):
        results.append(state.once(id, action))
        wrong = "; ".join(results[-1].notes)
        print(f"{number + 1}/{len(trials)} {id}: {wrong or 'right'}", file=sys.stderr, flush=True)
    print(table(results))
    return int(any(result.score for result in results))


if __name__ == "__main__":
    sys.exit(main())
