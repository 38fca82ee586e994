"""What a result is of: an ordinary study, transfer, labels from play, videos of another look or of
datasets of one's own.

A cell says so: `held_out` has the tasks of which it saw no label, `labels` is "play" where labels
come from `play_minutes` of undirected play, `look` is "other" where its videos look otherwise than
demonstrations and test, `dataset` names the dataset that they are of. Cells that were made before
these keys existed are ordinary.

Transfer is measured in folds: each cell leaves a few tasks out, and only those count in it. Cells
that differ in nothing but what they leave out are shown as one, over the tasks of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TRANSFER, PLAY, LOOK, DATASETS = "transfer", "play", "look", "datasets"
TITLES = {
    "": "",
    TRANSFER: "tasks without labels",
    PLAY: "labels from play",
    LOOK: "videos of another look",
    DATASETS: "choices of videos",
}
WHAT = {
    "": "",
    TRANSFER: "Of these tasks there were videos and a text, and no labelled demonstration in any "
    "arm; K is of each other task.",
    PLAY: "The labels come from undirected play of the robot alone, of which no part shows a task; "
    "K is its minutes.",
    LOOK: "The videos have another camera angle, colours and light than demonstrations and test.",
    DATASETS: "The videos are those of the dataset that is named beside their number; all else is "
    "the same for every dataset.",
}


def kind_of(cell: dict[str, Any]) -> str:
    """What a cell's result is of: a key of `TITLES`, or several joined by "+"."""
    parts = [TRANSFER] if cell.get("held_out") else []
    if cell.get("labels", "demos") == "play":
        parts = [PLAY]  # no task has labels, whichever are named
    if cell.get("look"):
        parts.append(LOOK)
    if cell.get("dataset"):
        parts.append(DATASETS)
    return "+".join(parts)


def order_of(kind: str) -> tuple[int, ...]:
    """Where a kind stands among others: ordinary results, transfer, play, another look."""
    return tuple(list(TITLES).index(part) for part in kind.split("+"))


def title_of(kind: str) -> str:
    """The heading of results of a kind; "" for ordinary ones."""
    return ", ".join(TITLES[part] for part in kind.split("+") if part)


def what_of(kind: str) -> str:
    """What a reader has to know of results of a kind."""
    return " ".join(WHAT[part] for part in kind.split("+") if part)


def labels_of(cell: dict[str, Any]) -> int:
    """How much is labelled: demonstrations a task, or minutes of play."""
    minutes = cell.get("play_minutes") if cell.get("labels", "demos") == "play" else None
    return int(cell["demos"] if minutes is None else minutes)


def counting_tasks(result: dict[str, Any]) -> tuple[str, ...]:
    """The tasks that count in a result: all, or those of which it saw no label."""
    cell = result["cell"]
    if not kind_of(cell).startswith(TRANSFER):
        return tuple(result["success_by_task"])
    return tuple(task for task in result["success_by_task"] if task in cell["held_out"])


def on_tasks(result: dict[str, Any], tasks: Iterable[str]) -> dict[str, Any]:
    """A result as if there had been no other tasks, in the order of `tasks`.

    Its error and its steps to success stay those of all of them.
    """
    rates = result["success_by_task"]
    chosen = [task for task in tasks if task in rates]
    by_task = {task: rates[task] for task in chosen}
    return result | {
        "success": sum(by_task.values()) / max(len(by_task), 1),
        "success_by_task": by_task,
        "episodes": [each for each in result["episodes"] if each["task"] in chosen],
        "strips": [name for name in result.get("strips", []) if name.rpartition("-")[0] in chosen],
    }


def joined_folds(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results in which those of one arm, K, seed and number of videos are one, over all the tasks
    that they leave out; ordinary ones stay as they are.

    Computing is the mean of the folds, `strip_hashes` says of each strip which fold drew it. Where
    two folds leave the same task out, both stay, which `grouped` refuses.
    """
    together: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        cell = result["cell"]
        rest = {key: value for key, value in cell.items() if key != "held_out"}
        name: tuple[Any, ...] = (kind_of(cell), *sorted((k, str(v)) for k, v in rest.items()))
        if not name[0].startswith(TRANSFER):
            name = (*name, result["hash"])
        together.setdefault(name, []).append(result)
    joined = list[dict[str, Any]]()
    for folds in together.values():
        left_out = [task for fold in folds for task in counting_tasks(fold)]
        if len(folds) == 1 and counting_tasks(folds[0]) == tuple(folds[0]["success_by_task"]):
            joined += folds
        elif len(set(left_out)) < len(left_out):
            joined += [on_tasks(fold, counting_tasks(fold)) for fold in folds]
        else:
            joined.append(_join(folds))
    return joined


def _join(folds: list[dict[str, Any]]) -> dict[str, Any]:
    folds = sorted(folds, key=lambda fold: sorted(fold["cell"]["held_out"]))
    own = [on_tasks(fold, counting_tasks(fold)) for fold in folds]
    by_task = {task: rate for fold in own for task, rate in fold["success_by_task"].items()}
    ordered = {task: by_task[task] for task in sorted(by_task)}
    errors = [fold["chunk_error"] for fold in own if fold.get("chunk_error") is not None]
    stages = {name for fold in own for name in fold["cpu_s"]}
    return own[0] | {
        "hash": "-".join(fold["hash"] for fold in own),
        "cell": own[0]["cell"] | {"held_out": sorted(by_task)},
        "success": sum(ordered.values()) / max(len(ordered), 1),
        "success_by_task": ordered,
        "episodes": [each for fold in own for each in fold["episodes"]],
        "steps_to_success": _mean([e["steps"] for f in own for e in f["episodes"] if e["success"]]),
        "chunk_error": _mean(errors),
        "strips": [name for fold in own for name in fold["strips"]],
        "strip_hashes": {name: fold["hash"] for fold in own for name in fold["strips"]},
        "cpu_s": {
            name: sum(fold["cpu_s"].get(name, 0.0) for fold in own) / len(own) for name in stages
        },
    }


def _mean(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None
