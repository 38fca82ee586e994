"""The episodes of a LeRobot dataset: their tasks, and where their frames and rows lie.

v3.0 keeps a row an episode in `meta/episodes/`, Parquet; v2 a line an episode in
`meta/episodes.jsonl`, and from its number follow the names of its files. Pictures lie in the file
of its rows, or in folders: see `pictures`.

Where a camera was off for an episode, its columns are null. pandas then writes NaN, and makes
numbers with a point of all others in the column: 1.0 is file 1. A table may also lack the columns
of a camera altogether, as where datasets were put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.base import suffix
from sofdata.corpora.lerobot.info import INFO, Info, fill
from sofdata.corpora.lerobot.pictures import Pictures, Place
from sofdata.corpora.lerobot.tasks import Tasks
from sofdata.corpora.readers import jsonfile
from sofdata.corpora.readers.columns import column_types, read_columns
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

EPISODES, LINES = "meta/episodes", "meta/episodes.jsonl"
_PLACE = ("chunk_index", "file_index")
_SPAN = ("from_timestamp", "to_timestamp")
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class View:
    """What a camera has of an episode.

    uri: the file of its frames, or the folder of its pictures. span_s: the seconds of it that are
    the episode's own, None for all. sequence: of pictures, which of those there; "" for a video.
    problem: "" or why there is nothing to read, known from the table; detail: in words.
    """

    uri: str
    span_s: Span | None = None
    problem: str = ""
    detail: str = ""
    sequence: str = ""


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """One episode as the metadata describes it.

    number: its index. tasks: what is done in it, each once. rows: how many frames it should have.
    data: the file of its rows, "" where none is given. views: by camera. place: names its row for
    a person.
    """

    number: int
    tasks: tuple[str, ...]
    rows: int
    data: str
    views: Mapping[str, View]
    place: str


def read_episodes(
    tree: Tree, info: Info, found: Mapping[str, Item], tasks: Tasks, pictures: Pictures
) -> Iterator[EpisodeInfo]:
    """All episodes, in the order of their table.

    found: the files of the dataset by path, without those of `pictures`. Raises `ConfigError` where
    there is no table, and for a row that is wrong.
    """
    if info.has_a_file_an_episode:
        yield from _from_lines(tree, info, found, tasks, pictures)
    else:
        yield from _from_tables(tree, info, found, tasks, pictures)


# v2


def _from_lines(
    tree: Tree, info: Info, found: Mapping[str, Item], tasks: Tasks, pictures: Pictures
) -> Iterator[EpisodeInfo]:
    if LINES not in found:
        other = f"; {EPISODES} is there, as in v3.0" if _tables(found) else ""
        what = f"it is of {info.version}, and there is no {LINES}{other}"
        raise jsonfile.wrong(tree, INFO, what)
    for line, row in jsonfile.lines(tree, LINES):
        at = _At(tree, LINES, f"line {line}")
        number, rows = at.number(row, "episode_index"), at.number(row, "length")
        place = {"episode_chunk": number // info.chunk, "episode_index": number}
        data = fill(info.data_path, **place)
        views = {
            camera: View(resolve(fill(info.video_path, video_key=camera, **place), found))
            for camera in info.cameras
            if camera not in info.pictures
        }
        for camera in info.pictures:
            there = pictures.place(camera, number, rows, data)
            views[camera] = View(there.uri, sequence=there.sequence)
        yield EpisodeInfo(
            number=number,
            tasks=tasks.texts(LINES, at.row, row.get("tasks", row.get("task"))),
            rows=rows,
            data=data,
            views=views,
            place=str(at),
        )


# v3.0


def _from_tables(
    tree: Tree, info: Info, found: Mapping[str, Item], tasks: Tasks, pictures: Pictures
) -> Iterator[EpisodeInfo]:
    """Only the columns named here are read: others hold statistics of the actions."""
    needed = ["episode_index", "tasks", "length", *(f"data/{name}" for name in _PLACE)]
    films = [camera for camera in info.cameras if camera not in info.pictures]
    views = [f"videos/{camera}/{name}" for camera in films for name in (*_PLACE, *_SPAN)]
    tables = _tables(found)
    if not tables:
        other = f"; {LINES} is there, as in v2.1" if LINES in found else ""
        raise jsonfile.wrong(tree, INFO, f"no episode is listed in {EPISODES}{other}")
    for rel in tables:
        there = column_types(tree, rel).keys()
        columns = [*needed, *(name for name in views if name in there)]
        for line, row in enumerate(read_columns(tree, rel, columns).to_pylist(), 1):
            at = _At(tree, rel, f"row {line}, episode {row['episode_index']}")
            number, rows = at.number(row, "episode_index"), at.number(row, "length")
            data = _file(at, row, "data", info.data_path)
            own = {camera: _view(at, row, camera, info, found) for camera in films}
            for camera in info.pictures:
                own[camera] = _of_rows(pictures.place(camera, number, rows, data))
            yield EpisodeInfo(
                number=number,
                tasks=tasks.texts(rel, at.row, row["tasks"]),
                rows=rows,
                data=data,
                views=own,
                place=str(at),
            )


def _tables(found: Mapping[str, Item]) -> list[str]:
    return sorted(
        rel for rel in found if rel.startswith(f"{EPISODES}/") and suffix(rel) == ".parquet"
    )


def _view(
    at: _At, row: Mapping[str, Any], camera: str, info: Info, found: Mapping[str, Item]
) -> View:
    head = f"videos/{camera}"
    uri = _file(at, row, head, info.video_path, video_key=camera)
    if not uri:
        return View(head, None, "no_file", at.says_nothing(row, [f"{head}/{n}" for n in _PLACE]))
    times = [at.seconds(row, f"{head}/{name}") for name in _SPAN]
    if None in times:
        nothing = at.says_nothing(row, [f"{head}/{name}" for name in _SPAN])
        return View(resolve(uri, found), None, "bad_span", nothing)
    start_s, end_s = (float(time) for time in times if time is not None)
    return View(resolve(uri, found), (start_s, end_s))


def _of_rows(there: Place) -> View:
    """A camera's pictures of an episode, all that there are: their times are those of its rows."""
    if not there.uri:
        return View("data", None, "no_file", "no file of its rows is given, where pictures are")
    return View(there.uri, sequence=there.sequence)


def _file(at: _At, row: Mapping[str, Any], head: str, template: str, **fields: str) -> str:
    """The path of a file, "" where its row does not give it."""
    place = {name: at.number_or_none(row, f"{head}/{name}") for name in _PLACE}
    return "" if None in place.values() else fill(template, **fields, **place)


# Both


def resolve(uri: str, found: Mapping[str, Item]) -> str:
    """Where a video lies: some datasets have a folder video/ where the template says videos/."""
    for one, other in (("videos/", "video/"), ("video/", "videos/")):
        if uri not in found and uri.startswith(one) and other + uri[len(one) :] in found:
            return other + uri[len(one) :]
    return uri


@dataclass(frozen=True, slots=True)
class _At:
    """A row of a table, to read values from; what is wrong is a `ConfigError` that names it."""

    tree: Tree
    rel: str
    row: str

    def __str__(self) -> str:
        return f"{self.rel}, {self.row}"

    def number(self, row: Mapping[str, Any], key: str) -> int:
        value = self.number_or_none(row, key)
        if value is None:
            raise self._wrong(key, row.get(key), "a number")
        return value

    def number_or_none(self, row: Mapping[str, Any], key: str) -> int | None:
        """A count from zero, None for null; pandas may write it as 1.0."""
        value = self.seconds(row, key)
        if value is not None and (value < 0 or value != int(value)):
            raise self._wrong(key, value, "a number")
        return None if value is None else int(value)

    def seconds(self, row: Mapping[str, Any], key: str) -> float | None:
        """A number, None for null or NaN."""
        value = row.get(key)
        if value is None or value != value:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        return value

    def says_nothing(self, row: Mapping[str, Any], keys: list[str]) -> str:
        """Which of the values are missing, in words."""
        absent = [key for key in keys if key not in row]
        null = [key for key in keys if key in row and self.seconds(row, key) is None]
        parts = [f"the table lacks {' and '.join(absent)}"] if absent else []
        parts += [f"{' and '.join(null)} {'are' if len(null) > 1 else 'is'} null"] if null else []
        return f"{self}: {'; '.join(parts)}"

    def _wrong(self, key: str, value: Any, wanted: str) -> Exception:
        what = f"{self.row}: '{key}' is {value!r:.60}, where {wanted} belongs"
        return jsonfile.wrong(self.tree, self.rel, what)
