"""When the pictures of an HDF5 file were taken, as far as it says so.

Times that lie beside the pictures count first, whatever they are called in `TIMES`. Else a rate:
an attribute or a single number called as in `RATES`, of the pictures or of a group in which they
lie, and robomimic's `env_args`, whose `control_freq` is that of the steps, of which each shows one
picture. Rates that contradict each other are an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences import paces
from sofdata.video.sequences.hdf5.fields import attribute, number, parsed, small, texts, upwards
from sofdata.video.sequences.hdf5.files import find
from sofdata.video.sequences.hdf5.numbers import UNITS, Clock, stored_times_s

TIMES = ("timestamps", "timestamp", "time_stamps", "time_stamp", "times", "time", "stamps")
RATES = ("fps", "frame_rate", "framerate", "frequency", "freq", "hz", "control_freq", "rate_hz")
_NAMES = {"s": "s sec secs second seconds", "ms": "ms msec millisecond milliseconds"}
_NAMES |= {"us": "us usec microsecond microseconds", "ns": "ns nsec nanosecond nanoseconds"}
_UNITS = {name: unit for unit, names in _NAMES.items() for name in names.split()}
# Since 1970, between 2001 and 2096: (least, unit).
_EPOCHS = ((1e18, "ns"), (1e15, "us"), (1e12, "ms"), (1e9, "s"))
_EPOCH_SPAN = 4.0
# Between two pictures, in a unit that nothing states: others are of another unit, or no times.
FASTEST_S, SLOWEST_S = 1e-4, 5.0


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file says: a rate, or the path of times with their unit; or neither."""

    fps: float | None = None
    times: str = ""
    unit: str = "s"

    @property
    def clock(self) -> Clock | None:
        """None where nothing is said."""
        return Clock(self.fps, self.times, self.unit) if self.fps or self.times else None


def stated(root: Any, path: str, count: int, recording: str, wanted: str = "") -> Stated:
    """What a file says of the times of a sequence.

    path: of its dataset or group. count: of its pictures. recording: path of the group of all that
    was taken together. wanted: the name of the dataset of times that the user gives.

    Raises `Unusable`: "other_length", "no_times", "two_rates".
    """
    if wanted:
        return _of_times(root, _wanted(root, path, wanted), count)
    if found := _beside(root, path, recording, count):
        return _of_times(root, found, count)
    return Stated(fps=_rate(root, path))


def unit_of(dataset: Any, stored: NDArray[Any]) -> str:
    """The unit of times: as an attribute or the name says, or else by how large they are.

    Raises `Unusable`, "no_times", where that does not tell.
    """
    for said in (*texts(attribute(dataset, "units")), *texts(attribute(dataset, "unit"))):
        if said.lower() not in _UNITS:
            raise _unknown(dataset, f"its unit is '{said[:40]}'")
        return _UNITS[said.lower()]
    ending = dataset.name.rpartition("_")[2].lower()
    if ending in ("ns", "us", "ms"):
        return str(ending)
    first = float(stored[0])
    steps = np.diff(stored.astype(np.float64))
    step = paces.usual_s([stored.astype(np.float64)])
    if not step and len(steps):
        raise Unusable("no_times", f"{dataset.name}: its times do not increase")
    for least, unit in _EPOCHS:
        if least <= first < _EPOCH_SPAN * least and step * UNITS[unit] <= SLOWEST_S:
            return unit
    plain = dataset.dtype.kind == "f" and bool(np.isfinite(steps).all())
    if plain and FASTEST_S <= step < SLOWEST_S and not (steps == 1).all():
        return "s"
    raise _unknown(dataset, f"steps of {step:g} in a unit that is not said")


def _unknown(dataset: Any, what: str) -> Unusable:
    say = "give it an attribute 'units' of s, ms, us or ns"
    return Unusable("no_times", f"{dataset.name}: {what}; {say}")


def _of_times(root: Any, path: str, count: int) -> Stated:
    dataset = find(root, path)
    if dataset.size != count:
        what = f"{dataset.name} has {dataset.size} times for {count} pictures"
        raise Unusable("other_length", what)
    # In seconds if nothing else: what is checked here is that they are times at all.
    stored_times_s(dataset, Clock(times=path), count)
    stored = dataset[...].reshape(-1)
    unit = unit_of(dataset, stored)
    times_s = stored_times_s(dataset, Clock(times=path, unit=unit), count)
    if odd := paces.doubt([times_s], paces.finest_s(stored, UNITS[unit])):
        raise Unusable("no_times", f"{dataset.name}: its times {odd}")
    return Stated(times=path, unit=unit)


def _wanted(root: Any, path: str, name: str) -> str:
    """The dataset of a name beside a sequence or in a group above. Raises `Unusable`."""
    parts = path.split("/")
    for depth in range(len(parts) - 1, -1, -1):
        place = "/".join([*parts[:depth], name])
        if _is_times(find(root, place)):
            return place
    raise Unusable("no_times", f"there are no times called '{name:.80}' beside {path}")


def _beside(root: Any, path: str, recording: str, count: int) -> str:
    """The path of times in the recording; of several those of the camera, then the nearest."""
    parts = path.split("/")
    camera = parts[-1]
    own = [f"{camera}_{name}" for name in TIMES] + [f"{name}/{camera}" for name in TIMES]
    least = len(recording.split("/")) if recording else 0
    found = [
        "/".join([*parts[:depth], name])
        for names in (own, TIMES)
        for depth in range(len(parts) - 1, least - 1, -1)
        for name in names
    ]
    stated = [place for place in found if _is_times(find(root, place))]
    fit = [place for place in stated if find(root, place).size == count]
    return (fit or stated or [""])[0]


def _is_times(found: Any) -> bool:
    shape = getattr(found, "shape", None)
    if not shape or len(shape) > 2 or found.dtype.kind not in "fiu":
        return False
    return bool(found.size == shape[0] > 1)


def _rate(root: Any, path: str) -> float | None:
    """The rate of a sequence. Raises `Unusable` where there are two."""
    rates: dict[float, str] = {}
    for found in upwards(root, path.partition("*")[0].rpartition("/")[0] if "*" in path else path):
        for name, rate in _rates(found):
            if rate is not None and 0 < rate < 1e4:
                rates.setdefault(rate, f"{name} of {found.name}")
    if len(rates) > 1:
        told = " and ".join(f"{rate:g} ({where})" for rate, where in [*rates.items()][:3])
        raise Unusable("two_rates", f"pictures a second are {told}")
    return next(iter(rates), None)


def _rates(found: Any) -> list[tuple[str, float | None]]:
    rates = [(name, number(attribute(found, name))) for name in RATES]
    if hasattr(found, "keys"):
        rates += [(name, number(small(found, name))) for name in RATES]
    env = parsed(attribute(found, "env_args")).get("env_kwargs")
    control = env.get("control_freq") if isinstance(env, dict) else None
    said = float(control) if isinstance(control, int | float) else None
    return [*rates, ("control_freq in env_args", said)]
