"""LeRobot datasets, formats v2.0, v2.1 and v3.0: robots and people at tasks, from several cameras.

`LeRobotDataset` of huggingface/lerobot, src/lerobot/datasets, and its page
https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Only what is named below is read:

    meta/info.json                         codebase_version, fps, paths, features, chunks_size

v3.0 (version 0.4 of the library and later), several episodes in one file:

    meta/episodes/chunk-N/file-N.parquet   a row an episode: its tasks, its length, and for each
                                           camera the MP4 and the seconds of it that are its own
    videos/CAMERA/chunk-N/file-N.mp4       the frames of many episodes, one after the other
    data/chunk-N/file-N.parquet            a row a frame

v2.0 and v2.1, a file an episode:

    meta/episodes.jsonl                    a line an episode: its tasks and its length
    videos/chunk-N/CAMERA/episode_N.mp4
    data/chunk-N/episode_N.parquet         a row a frame

Files of rows are opened only when actions are asked for, and then only episode_index, timestamp
and action (or `actions`, as some converters write it) are read.

Timestamps run from zero in each episode; in an MP4 of v3.0 the episode begins at its
`from_timestamp`. Those are sums of rounded seconds, which drift from the times of the frames
(huggingface/lerobot, issue 3177), so an episode is taken to reach from half a frame before it to
half a frame before its end: no frame of a neighbour slips in as long as the drift is less than
that. What a dataset says of its codecs is not believed, nor needed. An MP4 may lack frames that
have rows: windows end with the frames.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora import jsonfile
from sofdata.corpora.base import Entry, Listing, count_ignored, counted, is_hidden, suffix
from sofdata.corpora.columns import brief, column_types, matching_rows
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.lerobot_episodes import Episode, read_episodes
from sofdata.corpora.lerobot_info import ACTIONS, INFO, Info, read_info
from sofdata.errors import ActionError, ConfigError
from sofdata.storage import Tree
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.walk import Item

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = 16
_FOLDERS = ("meta/", "data/", "videos/", "video/")


class LeRobot:
    """Every camera of every episode is a video; its text is the episode's tasks."""

    name = "lerobot"
    summary = "LeRobot datasets v2.0, v2.1, v3.0: meta/info.json, videos/; --with-actions: actions"
    example = "sofdata ingest lerobot_dataset DEST --with-actions"

    def detect(self, tree: Tree) -> str:
        return f"LeRobot: {INFO}" if tree.exists(INFO) else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for another version, no camera, or a table that is wrong."""
        return _list(tree, read_info(tree), None)

    def demonstrations(self, tree: Tree) -> Listing:
        info = read_info(tree)
        spec = info.actions(tree)
        listing = _list(tree, info, spec)
        files = sorted({entry.actions.uri for entry in listing.entries if entry.actions})
        with ThreadPoolExecutor(THREADS) as threads:  # v2 has a file for every episode
            for _ in threads.map(lambda rel: _check_type(tree, rel, spec, info.action), files):
                pass
        return listing

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        import pyarrow as pa

        where = f"episode {ref.part.partition('/')[0]} in {ref.uri}"
        try:
            episode, _, name = ref.part.partition("/")
            columns = ("timestamp", name or ACTIONS[0])
            parts = list(matching_rows(tree, ref.uri, columns, "episode_index", int(episode)))
            rows = sum(part.num_rows for part in parts)
            if rows != ref.rows or not rows:
                raise ActionError(f"{where}: {rows} rows, where the metadata tells of {ref.rows}")
            table = pa.concat_tables(parts).combine_chunks()
            return ActionTrack(
                values=_matrix(table[columns[1]].chunk(0), spec, where),
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
        if is_hidden(item.rel) or not item.rel.startswith(_FOLDERS):
            count_ignored(ignored, item.rel, item.problem)
        else:
            found[item.rel] = item
    first: dict[int, str] = {}
    entries = [
        _entry(
            info, camera, episode, first.setdefault(episode.number, episode.place), found, actions
        )
        for episode in read_episodes(tree, info, found)
        for camera in info.cameras
    ]
    if not entries:
        raise jsonfile.wrong(tree, INFO, "its table of episodes is empty")
    notes = list(info.notes)
    used = {entry.uri for entry in entries}
    spare = [rel for rel in found if suffix(rel) in VIDEO_SUFFIXES and rel not in used]
    if spare:
        notes.append(counted(spare, "video belongs to no episode; ignored"))
    return Listing.of(entries, ignored, notes, actions)


def _entry(
    info: Info,
    camera: str,
    episode: Episode,
    first: str,
    found: Mapping[str, Item],
    actions: ActionSpec | None,
) -> Entry:
    """One camera's view of an episode. first: the place at which its number came first."""
    uri, own_s = episode.views[camera]
    id = f"{camera}/episode-{episode.number:06d}"
    item = found.get(uri) or Item(
        uri, 0, "no_file", f"{episode.place} names this file, and it is none"
    )
    problem, detail = item.problem, item.detail
    if first != episode.place:
        id += f" ({episode.place})"
        problem, detail = "duplicate_id", f"{episode.place}: {first} has this number, too"
    span_s = None
    if own_s is not None:
        span_s = (own_s[0] - info.half_frame_s, own_s[1] - info.half_frame_s)
        if not problem and not -math.inf < own_s[0] < own_s[1] < math.inf:
            problem, detail = (
                "bad_span",
                f"{episode.place}: its seconds are {own_s[0]} to {own_s[1]}",
            )
    ref = None
    if actions is not None:
        part = str(episode.number)
        if info.action != ACTIONS[0]:
            part += f"/{info.action}"
        ref = ActionRef(episode.data, part, own_s[0] if own_s else 0.0, episode.rows)
        if not problem and ref.uri not in found:
            problem, detail = "no_actions_file", f"{ref.uri} is missing"
    return Entry(
        id=id,
        uri=uri,
        size_bytes=item.size_bytes,
        span_s=None if problem else span_s,
        text=episode.text,
        labels={"camera": camera, "episode": str(episode.number)},
        problem=problem,
        detail=detail,
        actions=None if problem else ref,
    )


# Actions


def _check_type(tree: Tree, rel: str, spec: ActionSpec, name: str) -> None:
    """Raise `ConfigError` where the actions of a file cannot be those that info.json tells of."""
    import pyarrow as pa

    found = column_types(tree, rel).get(name)
    if found is None:
        raise jsonfile.wrong(tree, rel, f"it lacks the column '{name}'")
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
