"""Which faults a campaign tries: everything follows from the seed and from the steps of a run."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tests.faults.inject import Fault
from tests.faults.runs import KILLED, Strike

COMMIT = ("unit: video ended", "shard: member", "commit: ", "put")
READ_BACK = ("commit: shard finished", "commit: shard verified")  # then the shard is read again
WRITTEN = ("write", "put", "scratch", "shard: member", *READ_BACK)
LOCAL = (*WRITTEN, "read", "names", "remove", "table")
LOCAL_ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT")
DRIVER_CONNECTS = "python-core-driver-*"  # Ray's log of that
PASSING_ERRORS = ("EIO", "ETIMEDOUT", "ECONNRESET")


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs that are each disturbed once, after which undisturbed ones must bring the reference.

    codes: exit codes that a disturbed run may have.
    says: words that a disturbed run has to tell where it fails.
    source: it is the source that fails: its videos may be set aside, and are taken in later.
    """

    id: str
    kind: str
    disturbances: tuple[Fault | Strike, ...]
    codes: tuple[int, ...]
    says: str = ""
    ray: bool = False
    remote: bool = False
    source: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each kind."""

    inline_steps: int
    inline_moments: int
    ray: int
    ray_starting: int
    local: int
    remote: int
    ray_storage: int
    source: int

    @classmethod
    def of(cls, kills: int, storage: int) -> Sizes:
        """Shares of a campaign: most runs are inline, since Ray takes seconds to start."""
        ray, starting, moments = kills * 7 // 24, kills // 20, kills * 3 // 20
        steps = kills - ray - starting - moments
        far, tenth = storage * 3 // 10, storage // 10
        near = storage - far - 2 * tenth
        return cls(steps, moments, ray, starting, near, far, tenth, tenth)


def schedule(
    local: Counter[str], remote: Counter[str], wall_s: float, sizes: Sizes, seed: int
) -> Iterator[Trial]:
    """The trials of a campaign.

    local, remote: how often each step is reached in a run of the inline engine, by where DEST is.
    wall_s: how long such a run takes.
    """
    yield from _inline_steps(local, sizes.inline_steps, seed)
    yield from _inline_moments(wall_s, sizes.inline_moments, seed)
    yield from _ray(local, sizes.ray, seed)
    yield from _ray_starting(sizes.ray_starting, seed)
    yield from _local_errors(local, sizes.local, seed)
    yield from _ray_errors(local, sizes.ray_storage, seed)
    yield from _remote_errors(remote, sizes.remote, seed)
    yield from _source_errors(local, sizes.source, seed)


def _inline_steps(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    """Kills at every step in turn; every third trial is killed once more when it is resumed."""
    kind, made, index = "driver killed at a step", 0, 0
    names = sorted(steps)
    while made < number:
        rng = _rng(seed, kind, index)
        faults = [_fault(names[index % len(names)], "kill", steps, rng)]
        if index % 3 == 2 and made + 1 < number:
            faults.append(_fault(names[int(rng.integers(len(names)))], "kill", steps, rng))
        yield Trial(f"{kind} {index}", kind, tuple(faults), (KILLED,))
        made += len(faults)
        index += 1


def _inline_moments(wall_s: float, number: int, seed: int) -> Iterator[Trial]:
    kind = "driver killed at any moment"
    for index in range(number):
        after_s = float(_rng(seed, kind, index).uniform(0, 0.9 * wall_s))
        yield Trial(f"{kind} {index}", kind, (Strike("driver", after_s),), (KILLED,))


def _ray(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    """All kinds of process, at a step of a worker's or at any moment."""
    names = [step for step in sorted(steps) if step.startswith(COMMIT)]
    makers: Sequence[tuple[str, str, str, float, tuple[int, ...]]] = (
        # A driver that is killed is told of by its supervisor.
        ("Ray: worker killed", "kill", "", 0.0, (0, 3)),
        ("Ray: worker killed", "", "worker", 1.5, (0,)),
        ("Ray: raylet killed", "kill parent", "", 0.0, (0, 3)),
        ("Ray: driver killed", "kill driver", "", 0.0, (3,)),
        ("Ray: supervisor killed", "kill supervisor", "", 0.0, (KILLED,)),
        ("Ray: worker killed", "kill", "", 0.0, (0, 3)),
        ("Ray: raylet killed", "", "raylet", 7.0, (0, 3)),
        ("Ray: worker killed", "", "worker", 1.5, (0,)),
        ("Ray: driver killed", "", "driver", 8.0, (3,)),
        ("Ray: supervisor killed", "", "supervisor", 8.0, (KILLED,)),
        ("Ray: decoder killed", "", "decoder", 1.0, (0,)),
    )
    for index in range(number):
        kind, action, victim, most_s, codes = makers[index % len(makers)]
        rng = _rng(seed, kind, index)
        disturbance: Fault | Strike
        if victim:
            disturbance = Strike(victim, float(rng.uniform(0, most_s)))
        else:
            own = [n for n in names if not n.startswith("put")] if action != "kill" else names
            disturbance = _fault(own[int(rng.integers(len(own)))], action, steps, rng, share=0.5)
        says = "SIGKILL" if action in ("kill", "kill driver") or victim == "driver" else ""
        yield Trial(f"{kind} {index}", kind, (disturbance,), codes, says, ray=True)


def _ray_starting(number: int, seed: int) -> Iterator[Trial]:
    """Kills the raylet while the driver connects to it; every third time as soon as it is there."""
    kind = "Ray: raylet killed at once"
    for index in range(number):
        after_s = float(_rng(seed, kind, index).uniform(0, 0.5))
        strike = Strike("raylet", after_s, once="" if index % 3 == 2 else DRIVER_CONNECTS)
        yield Trial(f"{kind} {index}", kind, (strike,), (0, 3), ray=True)


def _local_errors(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    kind = "storage fails (local)"
    yield from _errors(kind, steps, number, seed, lambda step: step.startswith(LOCAL), 1.0)


def _ray_errors(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    kind = "Ray: storage fails"
    wanted = [step for step in steps if step.startswith(WRITTEN)]
    for trial in _errors(kind, steps, number, seed, lambda step: step in wanted, share=0.3):
        yield Trial(trial.id, kind, trial.disturbances, (0, *trial.codes), ray=True)


def _errors(
    kind: str,
    steps: Counter[str],
    number: int,
    seed: int,
    wanted: Callable[[str], bool],
    share: float,
) -> Iterator[Trial]:
    names = [step for step in sorted(steps) if wanted(step)]
    for index in range(number):
        rng = _rng(seed, kind, index)
        error = LOCAL_ERRORS[int(rng.integers(len(LOCAL_ERRORS)))]
        fault = _fault(names[index % len(names)], error, steps, rng, share)
        codes = (0, 3) if fault.step == "remove" else (3,)
        yield Trial(f"{kind} {index}", kind, (fault,), codes)


def _remote_errors(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    """What passes is waited for, what stays and what is forbidden stop the run."""
    kind = "storage fails (remote)"
    names = [step for step in sorted(steps) if step.startswith(("remote", "store"))]
    for index in range(number):
        rng = _rng(seed, kind, index)
        step = names[index % len(names)]
        action, times, codes = PASSING_ERRORS[int(rng.integers(3))], int(rng.integers(1, 4)), (0,)
        if index % 7 == 3:
            times, codes = 0, (3,)
        elif index % 7 == 5:
            action, times, codes = "EACCES", 1, (3,)
        elif step == "store upload: sent" and index % 2:
            action, times, codes = "short", 1, (3,)
        fault = _fault(step, action, steps, rng, times=times)
        yield Trial(f"{kind} {index}", kind, (fault,), codes, remote=True)


def _source_errors(steps: Counter[str], number: int, seed: int) -> Iterator[Trial]:
    kind = "source fails for a moment"
    for index in range(number):
        fault = _fault(("open", "size")[index % 2], "EIO", steps, _rng(seed, kind, index))
        yield Trial(f"{kind} {index}", kind, (fault,), (0,), source=True)


def _fault(
    step: str,
    action: str,
    steps: Counter[str],
    rng: np.random.Generator,
    share: float = 1.0,
    times: int = 1,
) -> Fault:
    """A fault at one of the times that the step is reached; `share`: among the first of them."""
    most = max(1, int(share * steps[step]))
    return Fault(step, action, int(rng.integers(1, most + 1)), times)


def _rng(seed: int, kind: str, index: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(kind.encode()), index))
