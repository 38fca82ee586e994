"""LeRobot datasets, format v3.0: robots and people at tasks, several episodes in one file.

`LeRobotDataset` of huggingface/lerobot, src/lerobot/datasets (version 0.4 and later) and its page
https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Only what is named below is read:

    meta/info.json                         codebase_version, fps, paths, features
    meta/episodes/chunk-N/file-N.parquet   a row an episode: its tasks, its length, and for each
                                           camera the MP4 and the seconds of it that are its own
    videos/CAMERA/chunk-N/file-N.mp4       the frames of many episodes, one after the other
    data/chunk-N/file-N.parquet            a row a frame; opened only when actions are asked for,
                                           and then episode_index, timestamp and action are read

Timestamps run from zero in each episode; in the MP4 the episode begins at its `from_timestamp`.
Those are sums of rounded seconds, which drift from the times of the frames (huggingface/lerobot,
issue 3177), so an episode is taken to reach from half a frame before it to half a frame before its
end: no frame of a neighbour slips in as long as the drift is less than that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora import jsonfile
from sofdata.corpora.base import Entry, Listing, count_ignored, counted, is_hidden, suffix
from sofdata.corpora.columns import brief, column_types, matching_rows, read_columns
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.lerobot_info import ACTION, EPISODES, INFO, Info, fill, read_info
from sofdata.errors import ActionError, ConfigError
from sofdata.storage import Item, Tree
from sofdata.types import ActionRef, ActionSpec, ActionTrack

if TYPE_CHECKING:
    import pyarrow as pa

_PLACE = ("chunk_index", "file_index")
_SPAN = ("from_timestamp", "to_timestamp")


class LeRobot:
    """Every camera of every episode is a video; its text is the episode's tasks."""

    name = "lerobot"
    summary = "LeRobot datasets v3.0: meta/info.json and videos/; with --with-actions also actions"
    example = "sofdata ingest lerobot_dataset DEST [--with-actions]"

    def detect(self, tree: Tree) -> str:
        return f"LeRobot: {INFO}" if tree.exists(INFO) else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for another version, no camera, or a table that is wrong."""
        return _list(tree, read_info(tree), None)

    def demonstrations(self, tree: Tree) -> Listing:
        info = read_info(tree)
        spec = info.actions(tree)
        listing = _list(tree, info, spec)
        for rel in sorted({entry.actions.uri for entry in listing.entries if entry.actions}):
            _check_type(tree, rel, spec)
        return listing

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        import pyarrow as pa

        where = f"episode {ref.part} in {ref.uri}"
        try:
            columns = ("timestamp", ACTION)
            parts = list(matching_rows(tree, ref.uri, columns, "episode_index", int(ref.part)))
            rows = sum(part.num_rows for part in parts)
            if rows != ref.rows or not rows:
                raise ActionError(f"{where}: {rows} rows, where {EPISODES} tells of {ref.rows}")
            table = pa.concat_tables(parts).combine_chunks()
            return ActionTrack(
                values=_matrix(table[ACTION].chunk(0), spec, where),
                times_s=_times_s(table["timestamp"], ref.start_s, where),
                tolerance_s=spec.tolerance_s,
            )
        except KeyError as error:
            raise ActionError(f"{where}: the file lacks the columns {error}") from None
        except (pa.ArrowException, OSError) as error:
            raise ActionError(f"{where}: no readable Parquet: {brief(error)}") from None


def _list(tree: Tree, info: Info, actions: ActionSpec | None) -> Listing:
    ignored: Counter[str] = Counter()
    found: dict[str, Item] = {}
    for item in tree.walk():
        if is_hidden(item.rel) or not item.rel.startswith(("meta/", "data/", "videos/")):
            count_ignored(ignored, item.rel)
        else:
            found[item.rel] = item
    entries = [
        _entry(info, camera, row, found, actions)
        for row in _episodes(tree, info, found)
        for camera in info.cameras
    ]
    if not entries:
        raise jsonfile.wrong(tree, INFO, f"no episode is listed in {EPISODES}")
    notes = list(info.notes)
    used = {entry.uri for entry in entries}
    spare = [rel for rel in found if suffix(rel) in VIDEO_SUFFIXES and rel not in used]
    if spare:
        notes.append(counted(spare, "video belongs to no episode; ignored"))
    return Listing.of(entries, ignored, notes, actions)


def _episodes(tree: Tree, info: Info, found: dict[str, Item]) -> Iterator[dict[str, Any]]:
    """A row an episode, of the allowed columns alone: others hold statistics of the actions."""
    columns = ["episode_index", "tasks", "length", *(f"data/{name}" for name in _PLACE)]
    for camera in info.cameras:
        columns += [f"videos/{camera}/{name}" for name in (*_PLACE, *_SPAN)]
    for rel in sorted(found):
        if rel.startswith(f"{EPISODES}/") and suffix(rel) == ".parquet":
            for row in read_columns(tree, rel, columns).to_pylist():
                _check_row(tree, rel, row)
                yield row


def _check_row(tree: Tree, rel: str, row: dict[str, Any]) -> None:
    for name, value in row.items():
        kind: Any = int
        if name == "tasks":
            kind = list
        elif name.rsplit("/", 1)[-1] in _SPAN:
            kind = int | float
        if not isinstance(value, kind):
            episode = row["episode_index"]
            raise jsonfile.wrong(tree, rel, f"episode {episode}: '{name}' is {value!r:.60}")


def _entry(
    info: Info,
    camera: str,
    row: dict[str, Any],
    found: dict[str, Item],
    actions: ActionSpec | None,
) -> Entry:
    episode = row["episode_index"]
    chunk, file, from_s, to_s = (row[f"videos/{camera}/{name}"] for name in (*_PLACE, *_SPAN))
    uri = fill(info.video_path, video_key=camera, chunk_index=chunk, file_index=file)
    item = found.get(uri) or Item(uri, 0, "no_file", "the episodes name this file, and it is none")
    problem, detail = item.problem, item.detail
    span_s = (from_s - info.half_frame_s, to_s - info.half_frame_s)
    if not problem and not (math.isfinite(from_s) and math.isfinite(to_s) and from_s < to_s):
        problem, detail = "bad_span", f"{EPISODES} gives it the seconds {from_s} to {to_s}"
    ref = None
    if actions is not None:
        place = {name: row[f"data/{name}"] for name in _PLACE}
        ref = ActionRef(fill(info.data_path, **place), str(episode), from_s, row["length"])
        if not problem and ref.uri not in found:
            problem, detail = "no_actions_file", f"{ref.uri} is missing"
    return Entry(
        id=f"{camera}/episode-{episode:06d}",
        uri=uri,
        size_bytes=item.size_bytes,
        span_s=None if problem else span_s,
        text=jsonfile.clean("; ".join(map(str, row["tasks"]))),
        labels={"camera": camera, "episode": str(episode)},
        problem=problem,
        detail=detail,
        actions=None if problem else ref,
    )


# Actions


def _check_type(tree: Tree, rel: str, spec: ActionSpec) -> None:
    """Raise `ConfigError` where the actions of a file cannot be those that info.json tells of."""
    import pyarrow as pa

    found = column_types(tree, rel).get(ACTION)
    if found is None:
        raise jsonfile.wrong(tree, rel, f"it lacks the column '{ACTION}'")
    size = 1
    if pa.types.is_fixed_size_list(found):
        size, found = found.list_size, found.value_type
    elif pa.types.is_list(found) or pa.types.is_large_list(found):
        size, found = spec.dimension, found.value_type  # seen only when the rows are read
    if size != spec.dimension or not (pa.types.is_floating(found) or pa.types.is_integer(found)):
        raise ConfigError(
            f"the actions in {rel} of {tree.name} are {size} of {found}, where {INFO} tells of "
            f"{spec.dimension} ({', '.join(spec.names)}): the dimension must not vary; mend the "
            "dataset, or leave out --with-actions"
        )


def _times_s(column: pa.ChunkedArray, start_s: float, where: str) -> NDArray[np.float64]:
    """Times on the clock of the video: float64 [M], to the microsecond."""
    seconds: NDArray[np.float64] = column.cast("float64").to_numpy()
    times_s = np.round(start_s + seconds, 6)
    if not (np.isfinite(times_s).all() and np.all(np.diff(times_s) > 0)):
        raise ActionError(f"{where}: its timestamps do not increase")
    return times_s


def _matrix(column: pa.Array, spec: ActionSpec, where: str) -> NDArray[np.float32]:
    """Actions as float32 [M,A], NaN where one is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = np.full((len(column), spec.dimension), np.nan, np.float32)
    if not pa.types.is_nested(column.type):  # so LeRobot keeps vectors of one number
        values[:, 0] = column.cast("float32", safe=False).to_numpy(zero_copy_only=False)
        return values
    sizes = set(pc.unique(pc.list_value_length(column)).to_pylist()) - {None}
    if sizes - {spec.dimension}:
        found = ", ".join(str(size) for size in sorted(sizes))
        raise ActionError(
            f"{where}: its actions have {found} dimensions, where {INFO} tells of {spec.dimension}"
        )
    present = column.is_valid().to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(column).cast("float32", safe=False).to_numpy(zero_copy_only=False)
    values[present] = flat.reshape(-1, spec.dimension)
    return values
