"""The tasks of a LeRobot dataset as text: of an episode and, where it has several, of stretches.

An episode's row names its tasks; where a dataset gives their numbers instead, `meta/tasks.jsonl` or
`meta/tasks.parquet` has the text. When in the episode each is done is in the files of rows: every
frame has the `task_index` of its own (huggingface/lerobot, dataset_writer.py: `add_frame` takes a
task with each frame). These files are opened only for episodes that have several tasks, and of
them only episode_index, timestamp and task_index are read.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sofdata.corpora.readers import jsonfile
from sofdata.corpora.readers.columns import brief, column_types, matching_rows, read_columns
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

TASKS = ("meta/tasks.jsonl", "meta/tasks.parquet")
UNUSED = "task of no episode"
THREADS = 16
_COLUMNS = ("episode_index", "timestamp", "task_index")
_INDEX = "__index_level_0__"  # so pandas stores tasks, which are the index of its frame
Run = tuple[float, float, int]


class Tasks:
    """The text of tasks; their table is read only if a dataset gives numbers."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[int, str] | None = None
        self._used: set[str] = set()

    def texts(self, rel: str, at: str, tasks: Any) -> tuple[str, ...]:
        """The tasks of a row, each once. Raises `ConfigError` for what is no task."""
        values = tasks if isinstance(tasks, list) else [] if tasks is None else [tasks]
        found = tuple(dict.fromkeys(self._one(rel, at, value) for value in values))
        self._used.update(found)
        return found

    def by_number(self) -> dict[int, str]:
        """All tasks of the table; reads it."""
        if self._known is None:
            self._known = dict(_table(self._tree))
        return self._known

    def unused(self) -> dict[str, int]:
        """How many tasks of the table concern no episode, as far as it was read."""
        return {UNUSED: len(set((self._known or {}).values()) - self._used)}

    def _one(self, rel: str, at: str, value: Any) -> str:
        if isinstance(value, str):
            return jsonfile.clean(value)
        if isinstance(value, bool) or not isinstance(value, int):
            what = f"{at}: 'tasks' holds {value!r:.60}, where text belongs"
            raise jsonfile.wrong(self._tree, rel, what)
        if value not in self.by_number():
            what = f"{at}: task {value} is not in {' or '.join(TASKS)}"
            raise jsonfile.wrong(self._tree, rel, what)
        return self.by_number()[value]


def _table(tree: Tree) -> Iterator[tuple[int, str]]:
    lines, table = TASKS
    if tree.exists(lines):
        for line, row in jsonfile.lines(tree, lines):
            yield _index(tree, lines, f"line {line}", row), str(row.get("task", ""))
    elif tree.exists(table):
        name = "task" if "task" in column_types(tree, table) else _INDEX
        for row in read_columns(tree, table, ["task_index", name]).to_pylist():
            text = str(row[name])
            yield _index(tree, table, f"task {text!r:.40}", row), jsonfile.clean(text)


def _index(tree: Tree, rel: str, at: str, row: dict[str, Any]) -> int:
    value = row.get("task_index")
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        what = f"{at}: 'task_index' is {value!r:.60}, where a number belongs"
        raise jsonfile.wrong(tree, rel, what)
    return value


# By time


def texts_by_time(
    tree: Tree, wanted: dict[str, set[int]], tasks: Tasks, step_s: float
) -> dict[tuple[str, int], tuple[TimedText, ...]]:
    """What is done when in episodes with several tasks, on the clock that starts with each.

    wanted: the episodes, by their file of rows. step_s: time between two rows, as long as the last
    one lasts. The result is by file and episode; one is absent whose rows have no task, a single
    one, one that the table of tasks does not have, or times that do not increase. Raises
    `ConfigError` for a file that cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as threads:  # v2 has a file for every episode
        files = list(threads.map(lambda rel: _runs(tree, rel, wanted[rel], step_s), wanted))
    found = {}
    for rel, episodes in zip(wanted, files, strict=True):
        for episode, runs in episodes.items():
            if texts := _texts(runs, tasks.by_number()):
                found[rel, episode] = texts
    return found


def _texts(runs: Sequence[Run], known: dict[int, str]) -> tuple[TimedText, ...]:
    """Runs of one task as texts; none where they do not say what is done when."""
    indices = {task for _, _, task in runs} - {-1}
    if len(indices) < 2 or indices - known.keys() or not all(0 <= a < b for a, b, _ in runs):
        return ()
    return tuple(TimedText(start, end, known[task]) for start, end, task in runs if task >= 0)


def _runs(tree: Tree, rel: str, episodes: Collection[int], step_s: float) -> dict[int, list[Run]]:
    """The stretches (start, end, task) of each episode, -1 for no task.

    A stretch whose end is not behind its start has rows out of their order.
    """
    import pyarrow as pa

    found: dict[int, list[Run]] = {episode: [] for episode in episodes}
    try:
        for table in matching_rows(tree, rel, _COLUMNS, "episode_index", episodes):
            _extend(found, table, step_s)
    except KeyError:  # a dataset without task_index
        return {}
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None
    return found


def _extend(found: dict[int, list[Run]], table: Any, step_s: float) -> None:
    """Add rows, which may go on with an episode that a part before began."""
    episode, seconds, task = (table[name].cast("float64").to_numpy() for name in _COLUMNS)
    task = np.where(np.isfinite(task), task, -1).astype(np.int64)
    changes = np.flatnonzero((np.diff(episode) != 0) | (np.diff(task) != 0)) + 1
    starts = [0, *changes.tolist()]
    for start, end in zip(starts, [*starts[1:], len(task)], strict=True):
        increase = bool(np.all(np.diff(seconds[start:end]) > 0))  # not for NaN
        begin = round(float(seconds[start]), 6) if increase else math.nan
        last = round(float(seconds[end - 1]) + step_s, 6)
        _add(found[int(episode[start])], (begin, last, int(task[start])))


def _add(runs: list[Run], run: Run) -> None:
    """Append a run: the one before it ends where it starts; two of one task are one."""
    if runs:
        start, _, task = runs[-1]
        if task == run[2] and run[0] > start:
            runs[-1] = (start, run[1], task)
            return
        runs[-1] = (start, run[0], task)
    runs.append(run)
