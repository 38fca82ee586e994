"""Folds: which tasks are held out together, so that no demonstration of them is read.

Every arm is trained once a fold, with the demonstrations of the other tasks, and tried on the
tasks of the fold. What learns from videos alone is the same for all folds and trained once.
"""

from __future__ import annotations

from collections.abc import Sequence

from sofdata.bench.study.config import BenchConfig
from sofdata.errors import ConfigError
from sofdata.system.nearest import did_you_mean

Fold = tuple[str, ...]

NONE: Fold = ()
MOST_TASKS = 3  # of a fold, where folds=auto


def folds_of(config: BenchConfig, names: Sequence[str]) -> tuple[Fold, ...]:
    """The folds that the settings ask for, each in the order of the tasks; () for none.

    names: of the tasks that take part. A number of folds deals the tasks out in turn, so that
    neighbours, which are often alike, come into different folds.

    Raises `ConfigError` for a task that does not take part, more folds than tasks, and a fold that
    leaves no task with demonstrations.
    """
    dealt = _chosen(config.held_out, names)
    match config.folds:
        case None:
            folds = [dealt] if dealt else []
        case "auto":
            held_out = dealt or list(names)
            folds = _deal(held_out, -(-len(held_out) // MOST_TASKS))
        case int(number):
            folds = _deal(dealt or list(names), number)
        case given:
            folds = [_chosen(fold, names) for fold in given]
    for fold in folds:
        _check_rest(fold, names)
    return tuple(map(tuple, folds))


def _deal(names: Sequence[str], number: int) -> list[list[str]]:
    if number > len(names):
        raise ConfigError(f"folds={number} of {len(names)} tasks: ask for at most {len(names)}")
    return [list(names[start::number]) for start in range(number)]


def _chosen(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """The wanted tasks in the order of `names`."""
    for name in wanted:
        if name not in names:
            hint = did_you_mean(name, names) or "."
            raise ConfigError(
                f"no task '{name}' takes part that could be held out{hint} There are "
                f"{', '.join(names)}"
            )
    return [name for name in names if name in wanted]


def _check_rest(fold: Sequence[str], names: Sequence[str]) -> None:
    if len(fold) == len(names):
        raise ConfigError(
            f"with {', '.join(fold)} held out, no task is left whose demonstrations show what "
            "actions do: hold out fewer at once (--folds)"
        )
