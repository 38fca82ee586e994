"""A dataset's life as a seeded sequence of events, each of which must end as a fresh ingest does.

    python -m tests.faults.history --seeds 30

Videos come, go and change; updates are killed and go on, or the source changes before they can;
videos cannot be read for a while and are tried again; files of the dataset are damaged and mended.
Whenever an ingest has completed, all files are compared with those of a fresh ingest of the same
source, and whenever one was killed, the dataset that was whole before has to load as it was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import numpy as np

from sofdata.errors import ConfigError, InputError, SofdataError, WorseError
from sofdata.ingest.config import load_config
from sofdata.ingest.mode import Mode
from sofdata.ingest.repair import repair
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import Verdict, verify
from sofdata.storage.tree import Tree
from tests.faults.damage import DAMAGES
from tests.faults.judge import Score
from tests.faults.loaded import loaded
from tests.faults.results import Result
from tests.faults.runs import aside
from tests.faults.tiny import SETTINGS, VIDEOS, Source, id_of, write_pool
from tests.faults.within import PROMOTION, Killed, Steps, told, unreadable
from tests.helpers import hashes

MOST_KILLS = 3  # in a row
EVENTS_A_LIFE = 14
KIND = "lives of a dataset"


T = TypeVar("T")


class Life:
    """A source, its dataset, what was in it when it was last whole, and what has happened.

    owed: whether a video may be quarantined that could be read.
    whole: what loads, as the last complete ingest left it; None where files were damaged since.
    done: of the videos that were done then, what decided them.
    known: hashes of fresh ingests by the state of the source, shared by several lives.
    """

    def __init__(
        self, pool: Path, folder: Path, seed: int, known: dict[str, dict[str, str]]
    ) -> None:
        self.pool, self.folder, self.known = pool, folder, known
        self.source, self.dest = folder / "source", folder / "dest"
        self.rng = np.random.default_rng((seed, VIDEOS))
        self.wanted = Source()
        self.owed = False
        self.whole: dict[str, str] | None = None
        self.done: dict[str, tuple[str, ...]] = {}
        self.steps: Counter[str] = Counter({"unit: video ended": 20, "commit: shard published": 4})
        self.promoting = False
        self.kills = 0
        self.told: list[str] = []

    # What happens

    def begin(self) -> None:
        """Ingest about half of the pool."""
        self.add(int(self.rng.integers(80, 140)))
        self.wanted.backwards = {n for n in range(0, VIDEOS, 37) if n % 2}
        self.complete()

    def event(self) -> None:
        """Let something happen, and end with a complete dataset."""
        names = sorted(EVENTS)
        weights = np.array([EVENTS[name][1] for name in names], float)
        name = names[int(self.rng.choice(len(names), p=weights / weights.sum()))]
        self.told.append(name)
        EVENTS[name][0](self)

    def add(self, number: int) -> None:
        """Add videos, those that were removed before among them."""
        missing = [n for n in range(VIDEOS) if n not in self.wanted.texts]
        for video in self._some(missing, number):
            self.wanted.texts[video] = f"text {self.rng.integers(5)}"

    def remove(self, number: int) -> None:
        """Remove videos, but never so many that an update would ask."""
        number = min(number, len(self.wanted.texts) // 3)
        for video in self._some(sorted(self.wanted.texts), number):
            del self.wanted.texts[video]

    def change(self, number: int) -> None:
        """Give files another content."""
        for file in self._some(range(VIDEOS), number):
            self.wanted.versions[file] = 1 - self.wanted.versions.get(file, 0)

    def reword(self, number: int) -> None:
        """Change texts of the table, and which of its spans make no sense."""
        for video in self._some(sorted(self.wanted.texts), number):
            self.wanted.texts[video] = f"other text {self.rng.integers(5)}"
        for video in self._some(range(VIDEOS), 1):
            self.wanted.backwards ^= {video}

    def mix(self) -> None:
        """A little of everything."""
        for act in self._some((self.add, self.remove, self.change, self.reword), 2):
            act(int(self.rng.integers(1, 13)))

    # How it ends

    def complete(self, failing: set[str] | None = None, retry: bool = False) -> None:
        """Update until nothing is left to do, then judge."""
        self.ingest(failing=failing or set(), retry=retry)
        self.judge(clean=not failing, retried=retry)

    def one(self, act: Callable[[int], None]) -> None:
        """Add or remove one video: all units but one, or a pair, stay as they are."""
        self.settle()
        before = self._ledger()
        act(1)
        self.complete()
        after = self._ledger()
        gone = {name for name in before if after.get(name) != before[name]}
        new = {name for name in after if before.get(name) != after[name]}
        self._check(
            max(len(gone), len(new)) <= 2 and len(gone) + len(new) <= 3,
            f"one video replaces the records {sorted(gone)} by {sorted(new)}",
        )

    def update_killed(self) -> None:
        """Kill an update, then go on with it, change the source first, or change it back."""
        before = deepcopy(self.wanted)
        self.mix()
        for _ in range(int(self.rng.integers(1, MOST_KILLS + 1))):
            if not self.killed(self.ingest):
                break
            if self.rng.random() < 0.3:
                self.told.append("the source changes in between")
                self.mix()
        if self.rng.random() < 0.3:
            self.back_to(before)
        self.complete()

    def back_to(self, before: Source) -> None:
        """Let the source be what it was, and give the command that the dataset was made with."""
        self.told.append("the source is what it was")
        self.wanted = before
        with suppress(ConfigError):  # right if another plan is under way
            self.ingest(update=False)

    def killed_at_the_end(self) -> None:
        """Kill updates while they retire what they have replaced; what is gone may come back."""
        states = [deepcopy(self.wanted)]
        for _ in range(int(self.rng.integers(1, MOST_KILLS + 1))):
            self.mix()
            states.append(deepcopy(self.wanted))
            self.killed(self.ingest, after="finish: shards listed")
            if self.rng.random() < 0.5:
                self.wanted = deepcopy(states[int(self.rng.integers(len(states)))])
        self.complete()

    def goes_on_plainly(self) -> None:
        """Kill an update and go on with the command that began the dataset."""
        self.mix()
        self.killed(self.ingest)
        try:
            self.ingest(update=False)
        except ConfigError:  # right if it was killed before the new plan was there
            self._check(not self._is_planned(), "the command that began it does not go on")
            self.ingest()
        self.judge(clean=True)

    def unreadable_for_a_while(self) -> None:
        """Some videos fail while an update runs, and are tried again later."""
        self.mix()
        failing = self._failing()
        self.complete(failing=failing)
        if self.rng.random() < 0.5:
            self.retried()

    def retried(self) -> None:
        """Try again what failed; others may fail meanwhile, and a retry may be killed."""
        turn = self.rng.random()
        if turn < 0.4:
            failing = self._failing()
            self.told.append(f"a retry in which {len(failing)} fail")
            self.complete(failing=failing, retry=True)
        elif turn < 0.8:
            self.killed(lambda: self.ingest(retry=True))
        self.settle()

    def damaged(self) -> None:
        """Damage files of the dataset, half of the time in the middle of an update; mend them."""
        if self.rng.random() < 0.3:
            self.mix()
            self.killed(self.ingest)
        kinds = self._some(sorted(DAMAGES), int(self.rng.integers(1, 3)))
        for kind in kinds:
            self.told.append(f"damage: {kind}")
            self.whole = None
            DAMAGES[kind](self.dest, self.rng)
        self._check(not self.verify().whole, f"{kinds} is not found")
        self.mend_killed()
        if any("plan" in kind for kind in kinds):  # all else is found once there is one again
            with suppress(InputError):  # names a damaged record
                self.ingest()
            self.mend_killed()
        turn = self.rng.random()
        if turn < 0.3:
            self.killed(self.ingest)
        elif turn < 0.6:
            self.told.append("some videos fail then")
            with suppress(WorseError):  # what is damaged was better than what can be had now
                self.ingest(failing=self._failing())
        self.complete(retry=self.owed)

    def mend_killed(self) -> None:
        """Repair, and kill it while it is at it."""
        for _ in range(MOST_KILLS):
            if not self.killed(self.mend):
                break
        self.mend()

    def settle(self) -> None:
        """Leave nothing quarantined that can be read."""
        if self.owed:
            self.complete(retry=True)

    # The means

    def ingest(
        self, update: bool = True, retry: bool = False, failing: set[str] | None = None
    ) -> None:
        """Run the command once."""
        self.wanted.write(self.pool, self.source)
        self.owed |= bool(failing)
        config = load_config(None, (*SETTINGS, "units.max_videos=8"))
        with unreadable(failing or set()):
            prepared = prepare(
                Tree(str(self.source)),
                Tree(str(self.dest)),
                config,
                "auto",
                mode=Mode.of(update=update, retry=retry),
            )
            if not prepared.complete:
                execute(prepared, lambda event: None)

    def mend(self) -> None:
        """Run `verify --repair`."""
        verdict = self.verify()
        if not verdict.whole:
            repair(Tree(str(self.dest)), verdict)

    def verify(self) -> Verdict:
        """A whole verdict on the dataset."""
        return verify(Tree(str(self.dest)))

    def killed(self, act: Callable[[], None], after: str = "") -> bool:
        """Kill something at a step that such runs reach; says whether it came to that.

        after: a step; it is killed within the 40 steps that come after it.
        """
        names = sorted(self.steps)
        name = names[int(self.rng.integers(len(names)))]
        steps = Steps(name, int(self.rng.integers(1, self.steps[name] + 1)))
        if after:
            steps = Steps(after, 1, late=int(self.rng.integers(40)))
        try:
            with told(steps):
                act()
        except Killed:
            late = f" and {steps.late}" if steps.late else ""
            self.told.append(f"killed at '{steps.step}', {steps.nth}{late}")
            self.kills += 1
            happened = True
        else:
            happened = False
        self.steps |= steps.seen  # the most of each
        self.promoting |= PROMOTION in steps.seen
        if happened and self.whole is not None:
            self._check_loads(self.whole)
        return happened

    # The judge

    def judge(self, clean: bool, retried: bool = False) -> None:
        """Compare a completed dataset with a fresh one.

        clean: whether all videos could be read; retried: whether those quarantined ran again.
        """
        self.promoting = False
        if clean and retried:
            self.owed = False
        verdict = self.verify()
        self._check(verdict.whole, f"verify finds {verdict.findings[:3]}")
        self._check_kept()
        if not self.owed:
            self._check_fresh()
        self.whole = self._loaded()

    def _check_fresh(self) -> None:
        state = self.wanted.digest()
        if state not in self.known:
            self.known[state] = self._fresh()
        wanted, found = self.known[state], hashes(self.dest)
        odd = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
        what = [f"{'+' * (n in found)}{'-' * (n in wanted)}{n}" for n in odd]
        self._check(not odd, f"other files than a fresh ingest has: {len(odd)}: {what[:8]}")

    def _fresh(self) -> dict[str, str]:
        dest = self.folder / "fresh"
        shutil.rmtree(dest, ignore_errors=True)
        mine, self.dest = self.dest, dest
        try:
            self.ingest(update=False)
        finally:
            self.dest = mine
        return hashes(dest)

    def _check_kept(self) -> None:
        """A video that was done is done, unless what decides it has changed."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.dest / "videos.parquet") as file:
            rows = file.read(columns=["id", "status"]).to_pylist()
        inputs = self.wanted.inputs()
        ended = Counter(row["id"] for row in rows)
        self._check(ended == Counter(inputs.keys()), "the videos are not those of the source")
        done = {row["id"] for row in rows if row["status"] == "done"}
        lost = {id for id, was in self.done.items() if inputs.get(id) == was} - done
        self._check(not lost, f"{len(lost)} done videos are not done any more: {sorted(lost)[:3]}")
        self.done = {id: inputs[id] for id in done}

    def _check_loads(self, whole: dict[str, str]) -> None:
        """After a kill the old dataset loads, or from the promotion on the new one or none."""
        try:
            found = loaded(self.dest)
        except SofdataError as error:
            self._check(self.promoting, f"what was whole does not load any more: {error}")
            return
        self._check(self.promoting or found == whole, "what loads is not what was whole before")

    def _loaded(self) -> dict[str, str] | None:
        """What loads; None where there is nothing to load."""
        return loaded(self.dest) if any(self.dest.glob("shards/*.tar")) else None

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise AssertionError(what)

    def _is_planned(self) -> bool:
        """Whether a plan of the source as it is now was written before the kill."""
        return (self.dest / "next" / "dataset.json").exists()

    def _ledger(self) -> dict[str, str]:
        return {n: sha for n, sha in hashes(self.dest).items() if n.startswith("ledger/")}

    def _failing(self) -> set[str]:
        return {id_of(n) for n in self._some(range(VIDEOS), int(self.rng.integers(10, 60)))}

    def _some(self, of: Sequence[T], number: int) -> list[T]:
        chosen = self.rng.choice(len(of), size=min(number, len(of)), replace=False)
        return [of[int(index)] for index in sorted(chosen)]


def _then(act: Callable[[Life], None]) -> Callable[[Life], None]:
    def both(life: Life) -> None:
        act(life)
        life.complete()

    return both


# Each event and how likely it is.
EVENTS: dict[str, tuple[Callable[[Life], None], int]] = {
    "add": (_then(lambda life: life.add(int(life.rng.integers(2, 20)))), 2),
    "add one": (lambda life: life.one(life.add), 3),
    "change": (_then(lambda life: life.change(int(life.rng.integers(1, 12)))), 2),
    "damage": (Life.damaged, 3),
    "go on plainly": (Life.goes_on_plainly, 2),
    "killed at the end": (Life.killed_at_the_end, 4),
    "nothing new": (Life.complete, 1),
    "remove": (_then(lambda life: life.remove(int(life.rng.integers(2, 40)))), 2),
    "remove one": (lambda life: life.one(life.remove), 3),
    "retry": (Life.retried, 2),
    "reword": (_then(lambda life: life.reword(int(life.rng.integers(1, 12)))), 1),
    "unreadable": (Life.unreadable_for_a_while, 4),
    "update killed": (Life.update_killed, 5),
}


def live(
    pool: Path, folder: Path, seed: int, events: int, known: dict[str, dict[str, str]]
) -> Life:
    """One life. Raises `AssertionError` with all that has happened where something is wrong."""
    life = Life(pool, folder, seed, known)
    try:
        life.begin()
        for _ in range(events):
            life.event()
        life.told.append("settle")
        life.settle()
        life.complete()
    except Exception as error:
        error.add_note(f"seed {seed}, after: {'; '.join(life.told)}")
        raise
    return life


def life_trials(folder: Path, number: int, seed: int) -> list[tuple[str, Callable[[], Result]]]:
    """Whole lives as trials of a campaign, each in a process of its own."""

    def attempt(id: str, seed: int) -> Result:
        began = time.monotonic()
        kills, told = aside(lambda: _live_alone(folder, seed))
        result = Result(id, KIND, fired=int(kills), runs=1)
        result.add(Score(differing=bool(told)), str(told))
        result.wall_s = round(time.monotonic() - began, 2)
        return result

    ids = [(f"{KIND} {index}", 1000 * seed + index) for index in range(number)]
    return [(id, lambda id=id, own=own: attempt(id, own)) for id, own in ids]  # type: ignore[misc]


def _live_alone(folder: Path, seed: int) -> tuple[int, str]:
    """How many kills a life had, and what went wrong in it, "" for nothing."""
    pool = folder / "pool"
    if not pool.is_dir():
        write_pool(pool)
    shutil.rmtree(folder / "life", ignore_errors=True)
    try:
        return live(pool, folder / "life", seed, EVENTS_A_LIFE, {}).kills, ""
    except Exception as error:  # noqa: BLE001 - it is what was looked for
        notes = getattr(error, "__notes__", [])
        return 0, "; ".join([f"{type(error).__name__}: {error}", *notes])


def main() -> int:
    """Live several lives from the command line; exits with 1 if one of them went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="sof") as name:
        for seed in range(asked.first, asked.first + asked.seeds):
            began = time.process_time()
            kills, told = _live_alone(Path(name), seed)
            wrong += bool(told)
            spent_s = time.process_time() - began
            print(f"seed {seed}: {told or f'right, {kills} kills'} ({spent_s:.0f} s)", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
