"""The actions of a LeRobot dataset: which columns hold them, what their numbers are called.

Most datasets have one column, `action`; some converters write `actions`. Others keep the parts of
an action apart, as `action.arm` and `action.gripper` (LeRobot v2 conversions of AgiBot World:
`actions.joint.position`, `actions.end.orientation` of shape [2, 4], ...): their numbers are joined,
in the order in which `meta/info.json` has the columns, a matrix row by row. Where it is asked for,
the robot's own state (`observation.state`) is joined behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.info import INFO, Info
from sofdata.corpora.readers import jsonfile
from sofdata.corpora.readers.columns import brief, column_types, matching_rows
from sofdata.errors import ActionError, ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import STATE_NAME, ActionRef, ActionSpec, ActionTrack

if TYPE_CHECKING:
    import pyarrow as pa

ACTIONS = ("action", "actions")  # the second is what some converters write
STATE = "observation.state"
_DEEPEST = 8  # lists in lists of names


@dataclass(frozen=True, slots=True)
class ActionColumn:
    """A column of numbers: its name, and how many of them are in a row."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ActionLayout:
    """What a dataset has of actions.

    columns: where they are, one or several that are joined. spec: what they are together.
    notes: what is left out.
    """

    columns: tuple[ActionColumn, ...]
    spec: ActionSpec
    notes: tuple[str, ...]

    def part(self, episode: int) -> str:
        """The episode and the columns, for `ActionRef.part`."""
        if len(self.columns) > 1:
            return "/".join([str(episode), *(f"{each.name}={each.size}" for each in self.columns)])
        name = self.columns[0].name
        return str(episode) if name == ACTIONS[0] else f"{episode}/{name}"


def find_actions(tree: Tree, info: Info) -> ActionLayout:
    """Raises `ConfigError` where there are none, or none that are numbers."""
    columns = {name: _size(info.features[name]) for name in ACTIONS if name in info.features}
    plain = next((ActionColumn(name, size) for name, size in columns.items() if size), None)
    parts, others = _parts(info.features)
    if plain:
        names = _plain_names(info.features[plain.name].get("names"), plain.size)
        left = [*(part.name for part in parts), *others]
        notes = (f"{plain.name} holds the actions; left out: {', '.join(left)}",) if left else ()
        return ActionLayout((plain,), ActionSpec(names, info.fps), notes)
    if parts:
        joined = [f"actions are joined from {', '.join(part.name for part in parts)}"]
        if others:
            joined.append(f"no numbers in a row, and left out of the actions: {', '.join(others)}")
        spec = ActionSpec(_joined_names(info.features, parts), info.fps)
        return ActionLayout(parts, spec, tuple(joined))
    raise ConfigError(
        f"{INFO} in {tree.name} {_found(info.features)}; leave out --with-actions to use the "
        "videos alone"
    )


def with_the_state(tree: Tree, info: Info, actions: ActionLayout) -> ActionLayout:
    """The same with the robot's own state behind the actions, under names of its own.

    Raises `ConfigError` where there is none that is numbers.
    """
    size = _size(info.features.get(STATE))
    if not size:
        raise ConfigError(
            f"{INFO} in {tree.name} has no feature '{STATE}' of numbers, which with_state wants: "
            "leave that out"
        )
    own = _distinct(flat_names(info.features[STATE].get("names")), size)
    names = [f"{STATE_NAME}{name}" for name in own or map(str, range(size))]
    spec = ActionSpec((*actions.spec.names, *names), actions.spec.fps)
    return ActionLayout((*actions.columns, ActionColumn(STATE, size)), spec, actions.notes)


def check_type(tree: Tree, rel: str, actions: ActionLayout) -> None:
    """Raise `ConfigError` where a file cannot hold the actions that info.json declares."""
    types = column_types(tree, rel)
    for column in actions.columns:
        if column.name not in types:
            raise jsonfile.wrong(tree, rel, f"it lacks the column '{column.name}'")
        _check(tree, rel, column, types[column.name], actions.spec)


def read_track(tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
    """The actions of an episode on the clock of its video; memory is that of one episode.

    Raises `ActionError` where they cannot be read or are not those that `ref` and `spec` describe.
    """
    import pyarrow as pa

    episode, *named = ref.part.split("/")
    columns = [_column(name, spec) for name in named] or [ActionColumn(ACTIONS[0], spec.dimension)]
    where = f"episode {episode} in {ref.uri}"
    names = ["timestamp", *(column.name for column in columns)]
    try:
        parts = list(matching_rows(tree, ref.where.file, names, "episode_index", [int(episode)]))
        rows = sum(part.num_rows for part in parts)
        if rows != ref.rows or not rows:
            raise ActionError(f"{where}: {rows} rows, where the metadata tells of {ref.rows}")
        table = pa.concat_tables(parts).combine_chunks()
        values = [_matrix(table[each.name].chunk(0), each, where) for each in columns]
        return ActionTrack(
            values=np.concatenate(values, axis=1),
            times_s=_times_s(table["timestamp"], ref.start_s, where),
            tolerance_s=spec.tolerance_s,
        )
    except KeyError as error:
        raise ActionError(f"{where}: the file lacks the columns {error}") from None
    except (pa.ArrowException, OSError) as error:
        raise ActionError(f"{where}: no readable Parquet: {brief(error)}") from None


def flat_names(names: Any, depth: int = 0) -> list[str]:
    """Names in the order of their numbers, however they are nested.

    LeRobot and its converters keep a list, lists in a list, {"motors": list}, a list for each of
    several groups, {name: number} or null. Groups whose names are the same go before them:
    {"left": ["x"], "right": ["x"]} gives left.x, right.x.
    """
    if names is None or depth > _DEEPEST:
        return []
    if isinstance(names, list):
        return [each for inner in names for each in flat_names(inner, depth + 1)]
    if not isinstance(names, dict):
        return [jsonfile.clean(str(names))]
    if all(isinstance(value, int) for value in names.values()):
        return [jsonfile.clean(name) for name in sorted(names, key=lambda name: int(names[name]))]
    groups = {group: flat_names(inner, depth + 1) for group, inner in names.items()}
    flat = [name for inner in groups.values() for name in inner]
    if len(set(flat)) == len(flat):
        return flat
    return [jsonfile.clean(f"{group}.{name}") for group in groups for name in groups[group]]


# Columns


def _size(feature: Any) -> int:
    """How many numbers a feature has in a row, 0 where it has none, or is no feature."""
    about: Mapping[str, Any] = feature if isinstance(feature, dict) else {}
    shape, dtype = about.get("shape"), str(about.get("dtype"))
    if not dtype.startswith(("float", "int", "uint")) or not isinstance(shape, list) or not shape:
        return 0
    fits = all(isinstance(each, int) and not isinstance(each, bool) for each in shape)
    return max(0, prod(shape)) if fits and min(shape) > 0 else 0


def _parts(features: Mapping[str, Any]) -> tuple[tuple[ActionColumn, ...], tuple[str, ...]]:
    """Columns that each hold a part of the actions, and the names of those that cannot."""
    named = [name for name in features if name.startswith(tuple(f"{each}." for each in ACTIONS))]
    sizes = {name: 0 if "/" in name else _size(features[name]) for name in named}
    fit = tuple(ActionColumn(name, size) for name, size in sizes.items() if size)
    return fit, tuple(name for name, size in sizes.items() if not size)


def _found(features: Mapping[str, Any]) -> str:
    """What there is instead of actions, for a person."""
    for name in (*ACTIONS, *_parts(features)[1]):
        if isinstance(features.get(name), dict):
            feature = features[name]
            what = f"{feature.get('dtype')} {feature.get('shape')}"
            return f"says that feature '{name}' is {what}, and only numbers can be stored"
    known = ", ".join(sorted(features))
    return f"has no feature '{ACTIONS[0]}' or '{ACTIONS[0]}.PART', only of {known}"


def _plain_names(names: Any, size: int) -> tuple[str, ...]:
    found = _distinct(flat_names(names), size)
    return found or tuple(f"{ACTIONS[0]}_{number}" for number in range(size))


def _joined_names(features: Mapping[str, Any], parts: Sequence[ActionColumn]) -> tuple[str, ...]:
    """Each name behind that of its part: `action.arm` with ["x", "y"] gives arm.x, arm.y."""
    for short in (True, False):  # action.arm and actions.arm differ in their full names only
        names: list[str] = []
        for part in parts:
            head = jsonfile.clean(part.name.partition(".")[2] if short else part.name)
            own = _distinct(flat_names(features[part.name].get("names")), part.size)
            names += _behind(head, own, part.size)
        if len(set(names)) == len(names):
            break
    return tuple(names)


def _behind(head: str, own: Sequence[str], size: int) -> list[str]:
    if own and list(own) != [head]:
        return [f"{head}.{name}" for name in own]
    return [head] if size == 1 else [f"{head}_{number}" for number in range(size)]


def _distinct(names: Sequence[str], size: int) -> tuple[str, ...]:
    """The names if there is one for each number, and no two are the same; otherwise none."""
    return tuple(names) if len(names) == len(set(names)) == size else ()


def _column(named: str, spec: ActionSpec) -> ActionColumn:
    name, _, size = named.partition("=")
    return ActionColumn(name, int(size) if size else spec.dimension)


# Values


def _check(tree: Tree, rel: str, column: ActionColumn, found: Any, spec: ActionSpec) -> None:
    import pyarrow as pa

    size, fixed = 1, True
    while pa.types.is_nested(found) and hasattr(found, "value_type"):
        fixed = fixed and pa.types.is_fixed_size_list(found)
        size *= found.list_size if pa.types.is_fixed_size_list(found) else 1
        found = found.value_type
    if not fixed:
        size = column.size  # seen only when the rows are read
    if size != column.size or not (pa.types.is_floating(found) or pa.types.is_integer(found)):
        names = "" if column.size != spec.dimension else f" ({', '.join(spec.names)})"
        raise ConfigError(
            f"'{column.name}' in {rel} of {tree.name} is {size} of {found}, where {INFO} declares "
            f"{column.size}{names}: the dimension must not vary; fix the dataset, or leave out "
            "--with-actions"
        )


def _times_s(column: pa.ChunkedArray, start_s: float, where: str) -> NDArray[np.float64]:
    """Times on the clock of the video: float64 [M], to the microsecond."""
    seconds: NDArray[np.float64] = column.cast("float64").to_numpy()
    times_s = np.round(start_s + seconds, 6)
    if not (np.isfinite(times_s).all() and np.all(np.diff(times_s) > 0)):
        raise ActionError(f"{where}: its timestamps do not increase")
    return times_s


def _matrix(values: pa.Array, column: ActionColumn, where: str) -> NDArray[np.float32]:
    """Numbers of a column as float32 [M, its size], NaN where one or a whole row is null."""
    import pyarrow as pa

    present = values.is_valid().to_numpy(zero_copy_only=False)
    shape: list[set[Any]] = []
    while pa.types.is_nested(values.type):  # LeRobot keeps vectors of one number bare
        values, lengths = _flatten(values, first=not shape)
        shape.append(lengths)
    single = all(len(lengths) == 1 and None not in lengths for lengths in shape)
    if present.any() and not (single and prod(each for (each,) in shape) == column.size):
        found = " x ".join(", ".join(sorted(map(str, lengths))) for lengths in shape) or "1"
        raise ActionError(
            f"{where}: its actions have {found} dimensions in '{column.name}', where {INFO} tells "
            f"of {column.size}"
        )
    matrix = np.full((len(present), column.size), np.nan, np.float32)
    flat = values.cast("float32", safe=False).to_numpy(zero_copy_only=False)
    if shape:
        matrix[present] = flat.reshape(-1, column.size)
    else:
        matrix[:, 0] = flat
    return matrix


def _flatten(values: pa.Array, first: bool) -> tuple[pa.Array, set[Any]]:
    """One level of lists less, and how long those were; a whole row may be null, a part not."""
    import pyarrow.compute as pc

    lengths = set(pc.unique(pc.list_value_length(values)).to_pylist())
    return pc.list_flatten(values), lengths - {None} if first else lengths
