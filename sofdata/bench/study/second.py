"""What a second camera shows at the first frames of windows.

A dataset holds windows of one camera each. Demonstrations of two cameras are ingested once for
each, cut alike; a window of the first is given the first frame of the second's window of the same
episode and number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sofdata.bench.study.data import SecondCamera
from sofdata.bench.study.memory import MemoryWindows, read_windows
from sofdata.errors import ConfigError
from sofdata.loading.catalog import open_catalog
from sofdata.shards.sample import sample_key
from sofdata.storage.tree import Tree

_CLOSE_S = 1e-6  # times of two cameras come from the same numbers


@dataclass(frozen=True, slots=True)
class _Place:
    """A window: of what it is, its number, and when its first frame is shown."""

    source: str
    number: int
    start_s: float


def with_second(
    windows: MemoryWindows,
    folder: str,
    camera: SecondCamera,
    sources: Sequence[str],
    image_px: int,
) -> MemoryWindows:
    """The same with what the second camera shows, `MemoryWindows.second`.

    folder: the dataset that the windows are of. sources: those of it that they are of. image_px:
    what the models read.

    Raises `ConfigError` where a window of either camera has none beside it of the other, or one
    that begins at another time.
    """
    second = camera.folder
    beside = {source: _beside(source, camera.cameras) for source in sources}
    images = read_windows(second, list(beside.values()), image_px)
    rows = {key: row for row, key in enumerate(images.batch.keys)}
    ours, theirs = _places(folder, windows.batch.keys), _places(second, images.batch.keys)
    chosen = torch.empty(len(windows), dtype=torch.int64)
    for row, key in enumerate(windows.batch.keys):
        place = ours[key]
        wanted = sample_key(beside[place.source], place.number)
        if wanted not in rows:
            raise _unlike(second, f"no window {place.number} of {beside[place.source]}")
        found = theirs[wanted]
        if abs(found.start_s - place.start_s) > _CLOSE_S:
            raise _unlike(
                second,
                f"window {place.number} of {found.source} begins at {found.start_s:g} s, that of "
                f"{place.source} at {place.start_s:g} s",
            )
        chosen[row] = rows.pop(wanted)
    if rows:
        left = theirs[next(iter(rows))]
        raise _unlike(
            second,
            f"{len(rows)} windows more than {folder} has, of which the first is number "
            f"{left.number} of {left.source}",
        )
    return replace(windows, second=images.batch.first[chosen])


def _beside(source: str, cameras: tuple[str, str]) -> str:
    """The second camera's view of what a source is the first one's view of."""
    first, second = cameras
    if not source.startswith(f"{first}/"):
        raise ConfigError(
            f"'{source}' is no view of the camera {first}: demonstrations of two cameras are "
            "sources CAMERA/EPISODE"
        )
    return second + source.removeprefix(first)


def _places(folder: str, keys: Sequence[str]) -> dict[str, _Place]:
    """Where windows lie, by their keys."""
    wanted, found = set(keys), dict[str, _Place]()
    for table in open_catalog([Tree(folder)]).tables(["key", "source", "start_s"]):
        columns = (table[name].to_pylist() for name in ("key", "source", "start_s"))
        for key, source, start_s in zip(*columns, strict=True):
            if key in wanted:
                found[key] = _Place(source, int(key.rpartition("-")[2]), start_s)
    return found


def _unlike(second: str, what: str) -> ConfigError:
    return ConfigError(
        f"the windows of the two cameras do not go together: {second} has {what}. Windows were "
        "parted or left out by what one camera shows: set ingest.windows.shots=false, "
        "ingest.windows.static_px=0 and ingest.windows.min_texture=0, or set "
        "decoder.model.second_camera=false"
    )
