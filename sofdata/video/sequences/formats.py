"""The formats of which sequences are read, by name; each is imported when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sofdata.errors import ContractError, DecodeError
from sofdata.system.extras import install, missing
from sofdata.video.sequences.place import SequencePlace

if TYPE_CHECKING:
    from sofdata.video.ranges import Source
    from sofdata.video.sequences.base import Rows, Sequence


@dataclass(frozen=True, slots=True)
class SequenceFormat:
    """A format. module: that reads it. needs: packages for that; extra: what brings them."""

    module: str
    needs: tuple[str, ...] = ()
    extra: str = ""


FORMATS = {
    "agibot": SequenceFormat("sofdata.video.sequences.agibot", ("h5py",), "hdf5"),
    "droid": SequenceFormat("sofdata.video.sequences.droid", ("h5py",), "hdf5"),
    "film": SequenceFormat("sofdata.video.sequences.film"),
    "frames": SequenceFormat("sofdata.video.sequences.frames"),
    "tar": SequenceFormat("sofdata.video.sequences.tars"),
    "zip": SequenceFormat("sofdata.video.sequences.zips"),
    "parquet": SequenceFormat("sofdata.video.sequences.parquets"),
    "hdf5": SequenceFormat("sofdata.video.sequences.hdf5.reader", ("h5py",), "hdf5"),
    "rlds": SequenceFormat("sofdata.video.sequences.rlds.reader", ("google_crc32c",), "rlds"),
    "mcap": SequenceFormat(
        "sofdata.video.sequences.mcap", ("mcap", "rosbags", "google.protobuf"), "mcap"
    ),
    "rosbag": SequenceFormat(
        "sofdata.video.sequences.rosbag", ("rosbags", "mcap", "google.protobuf"), "rosbag"
    ),
    "zarr": SequenceFormat("sofdata.video.sequences.zarr", ("zarr",), "zarr"),
}


def look(source: Source, format: str, options: Mapping[str, Any]) -> Any:
    """What a file or folder holds, as JSON. Raises `InputError` where it cannot be read."""
    return _module(format).look(source, options)


def open_sequence(source: Source, place: SequencePlace) -> Sequence:
    """Open a sequence of pictures. Raises `InputError` where it cannot be read."""
    sequence: Sequence = _module(place.format).open_sequence(source, place)
    return sequence


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """Read numbers. Raises `InputError` where they cannot be read."""
    rows: Rows = _module(place.format).read_rows(source, place)
    return rows


def _module(format: str) -> ModuleType:
    if format not in FORMATS:
        raise ContractError(f"there is no format '{format:.40}' of sequences")
    found = FORMATS[format]
    if lacking := missing(found.needs):  # on a node of a cluster: a listing has asked before
        what = f"reading {format} on this machine needs {', '.join(lacking)}"
        raise DecodeError(f"{what}: {install(found.extra)}")
    return importlib.import_module(found.module)
