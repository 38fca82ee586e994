"""The format "hdf5" of `sofdata.video.sequences`: what its places and looks mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows
from sofdata.video.sequences.hdf5 import numbers
from sofdata.video.sequences.hdf5.files import find, opened
from sofdata.video.sequences.place import SequencePlace


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """What a file holds. options: "arrays", paths of datasets: tell their shapes and types alone.

    Then it is {path: {"shape": [...], "dtype": "float64"}}, without those that are not there.
    """
    with opened(source) as root:
        found = {str(name): find(root, str(name)) for name in options["arrays"]}
        return {
            name: {"shape": list(each.shape), "dtype": str(each.dtype)}
            for name, each in found.items()
            if getattr(each, "shape", None) is not None
        }


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """Numbers by the names of their datasets: see `sofdata.video.sequences.hdf5.numbers`."""
    with opened(source) as root:
        return numbers.read_rows(root, place)
