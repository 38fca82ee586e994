"""The episodes of a LeRobot dataset: their tasks, and where their frames and rows lie.

v3.0 keeps a row an episode in `meta/episodes/`, Parquet; v2 a line an episode in
`meta/episodes.jsonl`, and from its number follow the names of its files. Tasks are text; where a
dataset gives their numbers instead, `meta/tasks.jsonl` or `meta/tasks.parquet` tells the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora import jsonfile
from sofdata.corpora.base import suffix
from sofdata.corpora.columns import column_types, read_columns
from sofdata.corpora.lerobot_info import INFO, Info, fill
from sofdata.storage import Tree
from sofdata.walk import Item

EPISODES, LINES = "meta/episodes", "meta/episodes.jsonl"
TASKS = ("meta/tasks.jsonl", "meta/tasks.parquet")
_PLACE = ("chunk_index", "file_index")
_SPAN = ("from_timestamp", "to_timestamp")
_INDEX = "__index_level_0__"  # so pandas stores tasks, which are the index of its frame
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode as the metadata tells of it.

    number: its index. text: its tasks. rows: how many frames it should have.
    data: the file of its rows. views: of each camera the file of its frames and the seconds of it
    that are its own, None for all. place: names its row for a person.
    """

    number: int
    text: str
    rows: int
    data: str
    views: Mapping[str, tuple[str, Span | None]]
    place: str


def read_episodes(tree: Tree, info: Info, found: Mapping[str, Item]) -> Iterator[Episode]:
    """All episodes, in the order of their table.

    found: the files of the dataset by path. Raises `ConfigError` where there is no table, and for
    a row that is wrong.
    """
    tasks = _Tasks(tree)
    if info.has_a_file_an_episode:
        yield from _from_lines(tree, info, found, tasks)
    else:
        yield from _from_tables(tree, info, found, tasks)


# v2


def _from_lines(
    tree: Tree, info: Info, found: Mapping[str, Item], tasks: _Tasks
) -> Iterator[Episode]:
    if LINES not in found:
        other = f"; {EPISODES} is there, as in v3.0" if _tables(found) else ""
        what = f"it is of {info.version}, and there is no {LINES}{other}"
        raise jsonfile.wrong(tree, INFO, what)
    for line, row in jsonfile.lines(tree, LINES):
        at = f"line {line}"
        number, rows = (_number(tree, LINES, at, row, key) for key in ("episode_index", "length"))
        place = {"episode_chunk": number // info.chunk, "episode_index": number}
        views = {
            camera: (resolve(fill(info.video_path, video_key=camera, **place), found), None)
            for camera in info.cameras
        }
        yield Episode(
            number=number,
            text=tasks.text(LINES, at, row.get("tasks", row.get("task", []))),
            rows=rows,
            data=fill(info.data_path, **place),
            views=views,
            place=f"{LINES}, {at}",
        )


# v3.0


def _from_tables(
    tree: Tree, info: Info, found: Mapping[str, Item], tasks: _Tasks
) -> Iterator[Episode]:
    """Only the columns named here are read: others hold statistics of the actions."""
    columns = ["episode_index", "tasks", "length", *(f"data/{name}" for name in _PLACE)]
    for camera in info.cameras:
        columns += [f"videos/{camera}/{name}" for name in (*_PLACE, *_SPAN)]
    tables = _tables(found)
    if not tables:
        other = f"; {LINES} is there, as in v2.1" if LINES in found else ""
        raise jsonfile.wrong(tree, INFO, f"no episode is listed in {EPISODES}{other}")
    for rel in tables:
        for line, row in enumerate(read_columns(tree, rel, columns).to_pylist(), 1):
            at = f"row {line}, episode {row['episode_index']}"
            data = {name: _number(tree, rel, at, row, f"data/{name}") for name in _PLACE}
            yield Episode(
                number=_number(tree, rel, at, row, "episode_index"),
                text=tasks.text(rel, at, row["tasks"]),
                rows=_number(tree, rel, at, row, "length"),
                data=fill(info.data_path, **data),
                views={
                    camera: _view(tree, rel, at, row, camera, info, found)
                    for camera in info.cameras
                },
                place=f"{rel}, {at}",
            )


def _tables(found: Mapping[str, Item]) -> list[str]:
    return sorted(
        rel for rel in found if rel.startswith(f"{EPISODES}/") and suffix(rel) == ".parquet"
    )


def _view(
    tree: Tree,
    rel: str,
    at: str,
    row: Mapping[str, Any],
    camera: str,
    info: Info,
    found: Mapping[str, Item],
) -> tuple[str, Span]:
    place = {name: _number(tree, rel, at, row, f"videos/{camera}/{name}") for name in _PLACE}
    uri = fill(info.video_path, video_key=camera, **place)
    values = [row[f"videos/{camera}/{name}"] for name in _SPAN]
    for name, value in zip(_SPAN, values, strict=True):
        if not isinstance(value, int | float):
            what = f"{at}: 'videos/{camera}/{name}' is {value!r:.60}"
            raise jsonfile.wrong(tree, rel, what)
    return resolve(uri, found), (float(values[0]), float(values[1]))


# Both


def resolve(uri: str, found: Mapping[str, Item]) -> str:
    """Where a video lies: some datasets have a folder video/ where the template says videos/."""
    for one, other in (("videos/", "video/"), ("video/", "videos/")):
        if uri not in found and uri.startswith(one) and other + uri[len(one) :] in found:
            return other + uri[len(one) :]
    return uri


def _number(tree: Tree, rel: str, at: str, row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise jsonfile.wrong(tree, rel, f"{at}: '{key}' is {value!r:.60}, where a number belongs")
    return value


class _Tasks:
    """The text of tasks; their table is read only if a dataset gives numbers."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[int, str] | None = None

    def text(self, rel: str, at: str, tasks: Any) -> str:
        """Several tasks become one text. Raises `ConfigError` for what is no task."""
        values = tasks if isinstance(tasks, list) else [tasks]
        return jsonfile.clean("; ".join(self._one(rel, at, value) for value in values))

    def _one(self, rel: str, at: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            what = f"{at}: 'tasks' holds {value!r:.60}, where text belongs"
            raise jsonfile.wrong(self._tree, rel, what)
        if self._known is None:
            self._known = dict(_task_table(self._tree))
        if value not in self._known:
            what = f"{at}: task {value} is not in {' or '.join(TASKS)}"
            raise jsonfile.wrong(self._tree, rel, what)
        return self._known[value]


def _task_table(tree: Tree) -> Iterator[tuple[int, str]]:
    lines, table = TASKS
    if tree.exists(lines):
        for line, row in jsonfile.lines(tree, lines):
            at = f"line {line}"
            yield _number(tree, lines, at, row, "task_index"), str(row.get("task", ""))
    elif tree.exists(table):
        name = "task" if "task" in column_types(tree, table) else _INDEX
        for row in read_columns(tree, table, ["task_index", name]).to_pylist():
            yield _number(tree, table, f"task {row[name]!r:.40}", row, "task_index"), str(row[name])
