"""Faults while a dataset changes: an update, a retry or a repair is killed, or several run at once.

What was whole before has to load as it was until the new generation is put in place, and in the end
every file has to be the one that a fresh ingest writes.
"""

from __future__ import annotations

import shutil
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sofdata.errors import ConfigError
from tests.faults.damage import DAMAGES
from tests.faults.inject import Fault, fired, write_spec
from tests.faults.judge import Score, compare, units
from tests.faults.loaded import loaded
from tests.faults.results import Result, judge_run
from tests.faults.runs import KILLED, Command, Outcome, aside, preload, run, run_together
from tests.faults.tiny import SETTINGS, Source, id_of, write_pool
from tests.faults.within import PROMOTION, other_library, unreadable
from tests.helpers import hashes

OPTIONS = [w for s in (*SETTINGS, "units.max_videos=4") for w in ("--set", s)]
CLEAN_TRIES = 3
LIBRARIES = ("numpy", "opencv", "ffmpeg")
VIDEOS = (*range(16), 137, *range(140, 146), 151)
FAILING = {id_of(number) for number in (3, 9, 141)}


@dataclass(frozen=True, slots=True)
class Scene:
    """A command that changes a dataset, what was there before, and what has to come out.

    name: what the kind of its trials is called. options: of the ingest. repair: `verify --repair`
    comes before the ingest, and is what is disturbed.
    reference: hashes of all files. old, new: what loads before and after; None where it need not.
    steps: how often an undisturbed run reaches each step.
    """

    name: str
    base: Path
    source: Path
    options: tuple[str, ...]
    repair: bool
    reference: dict[str, str]
    old: dict[str, str] | None
    new: dict[str, str]
    steps: Counter[str]

    @property
    def codes(self) -> tuple[int, ...]:
        """How the command may end undisturbed. A repair leaves work to the ingest."""
        return (0, 3) if self.repair else (0,)

    def words(self, dest: Path) -> tuple[str | Path, ...]:
        """The command."""
        return ("verify", dest, "--repair") if self.repair else self.ingest(dest)

    def ingest(self, dest: Path) -> tuple[str | Path, ...]:
        """The ingest that ends it."""
        return ("ingest", self.source, dest, *OPTIONS, *self.options)


@dataclass(frozen=True, slots=True)
class Change:
    """A scene under faults, one a run of its command; then undisturbed until it is complete.

    together: its command runs twice at once instead, beside a repair, begun so many seconds apart.
    library: one that is another in a further run, which has to be refused and to change nothing.
    """

    id: str
    scene: str
    faults: tuple[Fault, ...]
    together: tuple[float, ...] = ()
    library: str = ""


class Stage:
    """Datasets before a change, and a place to work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes: dict[str, Scene] = {}
        self.wall_s = 0.0

    def prepare(self, damages: Iterable[str] = tuple(DAMAGES)) -> None:
        """Make everything that the trials begin with, undisturbed.

        damages: which of `DAMAGES` there are to repair.
        """
        preload()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        aside(self._write_sources)
        self._make("first", "before")
        self._make("updated", "after")
        self._make("failed", "before", failing=True)
        self._add("ingest", "nothing", "first")
        self._add("update", "first", "updated", "--update")
        self._add("retry", "failed", "first", "--retry-quarantined")
        for kind in damages:
            base = self.folder / f"damaged: {kind}"
            shutil.copytree(self.folder / "first", base)
            DAMAGES[kind](base, np.random.default_rng(zlib.crc32(kind.encode())))
            self._add(f"repair: {kind}", base.name, "first", repair=True)
            mended = self.folder / f"mended: {kind}"
            shutil.copytree(base, mended)
            run(("verify", mended, "--repair"))
            self._add(f"mend: {kind}", mended.name, "first")

    def _write_sources(self) -> None:
        pool = write_pool(self.folder / "pool")
        source = Source({number: f"text {number % 3}" for number in VIDEOS}, backwards={151})
        source.write(pool, self.folder / "before")
        for number in (5, 142):
            del source.texts[number]
        source.texts |= {20: "new", 21: "new", 8: "another"}
        source.versions |= {2: 1, 140: 1}
        source.write(pool, self.folder / "after")

    def _make(self, name: str, source: str, failing: bool = False) -> None:
        words: list[str | Path] = ["ingest", self.folder / source, self.folder / name, *OPTIONS]
        before = unreadable(FAILING).__enter__ if failing else None
        outcome = run(words, before=before)
        if outcome.code != 0:
            raise SystemExit(f"an undisturbed ingest fails:\n{outcome.output}")
        self.wall_s = max(self.wall_s, outcome.wall_s)

    def _add(self, name: str, base: str, becomes: str, *options: str, repair: bool = False) -> None:
        """Add a scene; its command runs undisturbed once, for its steps."""
        source = self.folder / ("after" if becomes == "updated" else "before")
        old = None
        if base in ("first", "failed"):
            old = aside(lambda: loaded(self.folder / base))
        scene = Scene(
            name,
            self.folder / base,
            source,
            options,
            repair,
            hashes(self.folder / becomes),
            old,
            aside(lambda: loaded(self.folder / becomes)),
            Counter(),
        )
        work, trace = self.folder / "work", self.folder / "trace"
        dest = _begin(scene, work)
        run(scene.words(dest), write_spec(work / "spec", trace=trace))
        scene.steps.update(trace.read_text().splitlines() if trace.exists() else ())
        trace.unlink(missing_ok=True)
        self.scenes[name] = scene

    def attempt(self, change: Change) -> Result:
        """Run a trial and judge it."""
        scene, work = self.scenes[change.scene], self.folder / "work"
        result = Result(change.id, change.id.rpartition(" ")[0])
        began = time.monotonic()
        dest = _begin(scene, work)
        if change.together:
            self._together(scene, change, dest, work, result)
        else:
            self._killed(scene, change, dest, work, result)
        if change.library:
            _refused(scene, change.library, dest, result)
        _complete(scene, dest, result)
        result.wall_s = round(time.monotonic() - began, 2)
        return result

    def _killed(self, scene: Scene, change: Change, dest: Path, work: Path, result: Result) -> None:
        before, trace = units(dest), work / "trace"
        for number, fault in enumerate(change.faults):
            spec = work / f"spec{number}"
            outcome = run(scene.words(dest), write_spec(spec, [fault], trace))
            happened = bool(fired(spec))
            result.runs += 1
            result.fired += happened
            said = f"{fault}: exit {outcome.code}: {outcome.output[-1000:]}"
            codes = (KILLED,) if happened else scene.codes
            result.add(_judge(outcome, codes, scene.repair), said)
            if scene.repair:
                gone = {n for n in before if scene.reference.get(n) == before[n]} - {*units(dest)}
                result.add(Score(lost=len(gone)), f"{said}: sound units lost: {sorted(gone)}")
            if scene.old is not None:
                promoted = PROMOTION in trace.read_text() if trace.exists() else False
                result.add(_between(scene, dest, promoted), f"{said}: does not load as it was")

    def _together(
        self, scene: Scene, change: Change, dest: Path, work: Path, result: Result
    ) -> None:
        spec = write_spec(work / "spec", change.faults)
        repair = ("verify", dest, "--repair")
        words = (scene.ingest(dest), scene.ingest(dest), repair)
        commands = [
            Command(each, "" if number else spec, after_s)
            for number, (each, after_s) in enumerate(zip(words, change.together, strict=True))
        ]
        ended = run_together(commands)
        result.fired += 1
        result.runs += len(ended)
        pids = {str(pid) for pid, _ in ended}
        for words_, (_, outcome) in zip(words, ended, strict=True):
            said = f"{change}: {words_[0]}: exit {outcome.code}: {outcome.output[-1000:]}"
            result.add(_judge_one(outcome, scene, words_ is repair, pids), said)


def _begin(scene: Scene, work: Path) -> Path:
    """A new folder to work in, with a copy of what was there before."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    dest = work / "dest"
    if scene.base.is_dir():
        shutil.copytree(scene.base, dest)
    return dest


def _between(scene: Scene, dest: Path, promoted: bool) -> Score:
    """What loads after a kill: the old dataset, or after the promotion began the new one or none.

    That a dataset says that it is not complete is right then. That its index names what is not
    there is not.
    """

    def look() -> dict[str, str] | None:
        try:
            return loaded(dest)
        except ConfigError:
            return None

    try:
        found = aside(look)
    except RuntimeError:
        return Score(lost=1)
    if not promoted:
        return Score(lost=found is None, differing=found not in (None, scene.old))
    return Score(differing=found not in (None, scene.old, scene.new))


def _refused(scene: Scene, library: str, dest: Path, result: Result) -> None:
    """Go on with another library: that is refused by its name before anything is changed."""
    before = hashes(dest)
    outcome = run(scene.ingest(dest), before=lambda: other_library(library))
    said = f"with another {library}: exit {outcome.code}: {outcome.output[-1000:]}"
    result.runs += 1
    result.fired += 1
    result.add(judge_run(outcome, (2,), says=library), said)
    result.add(compare(before, hashes(dest)), f"{said}: something has changed")


def _judge(outcome: Outcome, codes: tuple[int, ...], repair: bool) -> Score:
    """How a command ended. With 3 a repair says, in a table of its own, what is left to do."""
    if repair and outcome.code == 3 and not outcome.traceback:
        return Score(exits=outcome.code not in codes)
    return judge_run(outcome, codes)


def _judge_one(outcome: Outcome, scene: Scene, repair: bool, pids: set[str]) -> Score:
    """One of several at once has ended, or has been refused with the name of the one at work."""
    refused = [line for line in outcome.output.splitlines() if line.startswith("sofdata: ")]
    if outcome.code == 2 and any(pid in line for pid in pids for line in refused):
        return Score()
    if outcome.code == 2 and repair and any("no dataset" in line for line in refused):
        return Score()  # it has not begun yet
    if repair:
        return _judge(outcome, (0, 3), repair)
    return judge_run(outcome, (0, 2, 3) if scene.repair else (0,))  # what is damaged is refused


def _complete(scene: Scene, dest: Path, result: Result) -> None:
    """Run without faults until the dataset is complete, then check all of it."""
    if scene.repair:
        outcome = run(scene.words(dest))
        result.runs += 1
        result.add(_judge(outcome, (0, 3), repair=True), f"repaired: {outcome.output[-1000:]}")
    for _ in range(CLEAN_TRIES):
        outcome = run(scene.ingest(dest))
        result.runs += 1
        result.add(judge_run(outcome, (0,)), f"resumed: {outcome.output[-1000:]}")
        if outcome.code == 0:
            break
    verdict = run(("verify", dest))
    result.add(Score(verify=verdict.code != 0), f"verify: {verdict.output[-1000:]}")
    found, wanted = hashes(dest), scene.reference
    odd = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
    result.add(compare(wanted, found), f"other files than a fresh ingest has: {odd[:6]}")


def changes(stage: Stage, kills: int, together: int, libraries: int, seed: int) -> Iterator[Change]:
    """The trials: kills at every step in turn, some once more when it goes on; then the others."""
    for name, share in (("update", 0.4), ("retry", 0.25), ("repair", 0.2), ("mend", 0.15)):
        yield from _kills(stage, name, round(kills * share), seed)
    yield from _libraries(stage, libraries, seed)
    yield from _several(stage, together, seed)


def _several(stage: Stage, number: int, seed: int) -> Iterator[Change]:
    """Two drivers and a repair at once; the first of them may rest in the middle of its work."""
    names = sorted(stage.scenes)
    for index in range(number):
        rng = np.random.default_rng((seed, zlib.crc32(b"together"), index))
        name = ("update", "retry", "ingest", names[int(rng.integers(len(names)))])[index % 4]
        scene = stage.scenes[name]
        faults: tuple[Fault, ...] = ()
        if index % 3 and scene.steps and not scene.repair:
            action = ("pause", "rest")[index % 2]
            faults = (
                _fault(
                    scene, sorted(scene.steps)[int(rng.integers(len(scene.steps)))], action, rng
                ),
            )
        delays = tuple(float(delay) for delay in rng.uniform(0, stage.wall_s, 3))
        yield Change(f"several at once {index}", name, faults, (0.0, *delays[1:]))


def _libraries(stage: Stage, number: int, seed: int) -> Iterator[Change]:
    """Interrupted while some units are committed and some are not, then under another library."""
    for index in range(number):
        rng = np.random.default_rng((seed, zlib.crc32(b"library"), index))
        name = ("ingest", "update", "retry")[index % 3]
        step = "commit: record written"
        fault = Fault(step, "kill", int(rng.integers(1, stage.scenes[name].steps[step])))
        library = LIBRARIES[index % len(LIBRARIES)]
        yield Change(f"a library changed {index}", name, (fault,), library=library)


def _kills(stage: Stage, kind: str, number: int, seed: int) -> Iterator[Change]:
    scenes = [stage.scenes[n] for n in sorted(stage.scenes) if n.partition(":")[0] == kind]
    # Each step of each scene, the scenes in turn
    pairs = [(scene, step) for scene in scenes for step in sorted(scene.steps)]
    made, index = 0, 0
    while made < number and pairs:
        rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), index))
        scene, step = pairs[(index * _stride(len(pairs))) % len(pairs)]
        faults = [_fault(scene, step, "kill", rng)]
        if index % 3 == 2:
            again = sorted(scene.steps)[int(rng.integers(len(scene.steps)))]
            faults.append(_fault(scene, again, "kill", rng))
        yield Change(f"{kind} killed {index}", scene.name, tuple(faults))
        made += len(faults)
        index += 1


def _stride(number: int) -> int:
    """A step through `number` things that meets each and does not meet neighbours in turn."""
    stride = max(1, int(number * 0.618))
    while np.gcd(stride, number) != 1:
        stride += 1
    return stride


def _fault(scene: Scene, step: str, action: str, rng: np.random.Generator) -> Fault:
    return Fault(step, action, int(rng.integers(1, scene.steps[step] + 1)))
