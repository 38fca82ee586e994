"""Attributes and small datasets of HDF5 that say something of what lies beside them.

Only those that are asked for by name are read: others may be of any size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from sofdata.video.sequences.hdf5.files import child, link_kind

MOST_BYTES = 1 << 20  # of an attribute
MOST_TEXTS = 100_000  # in one dataset: names of demonstrations, and
MOST_TEXT_BYTES = 1 << 24  # as far as they are of one length


def attribute(found: Any, name: str) -> Any:
    """A value of numpy or Python, None where there is none, or none that is understood."""
    import h5py

    if not h5py.h5a.exists(found.id, name.encode()):
        return None
    if h5py.h5a.open(found.id, name.encode()).get_storage_size() > MOST_BYTES:
        return None
    try:
        return found.attrs[name]
    except (TypeError, ValueError):  # of a type that numpy does not have
        return None


def small(group: Any, name: str) -> Any:
    """The value of a dataset of one number or a few texts, None where there is none such."""
    if not group.id.links.exists(name.encode()) or link_kind(group, name) != "hard":
        return None
    found = child(group, name)
    shape = getattr(found, "shape", None)
    if shape is None or math.prod(shape) > MOST_TEXTS or found.nbytes > MOST_TEXT_BYTES:
        return None
    return found[()] if found.dtype.kind in "SOfiub" and not _is_of_arrays(found) else None


def texts(value: Any) -> list[str]:
    """The texts of a value: a text, bytes, or an array of them. No text where it is another."""
    if isinstance(value, bytes | str):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        text = " ".join(text.encode("utf-8", "replace").decode("utf-8", "replace").split())
        return [text] if text else []
    if isinstance(value, np.ndarray | list | tuple) and len(np.shape(value)) < 2:
        items = np.ravel(np.asarray(value, object)).tolist()
        return [text for each in items if isinstance(each, bytes | str) for text in texts(each)]
    return []


def number(value: Any) -> float | None:
    """The one number of a value, None where it is another."""
    kind = getattr(np.asarray(value), "dtype", np.dtype("O")).kind
    if value is None or kind not in "fiub" or np.size(value) != 1:
        return None
    found = float(np.ravel(value)[0])
    return found if math.isfinite(found) else None


def parsed(value: Any) -> dict[str, Any]:
    """An object of JSON in a text; {} where it is something else."""
    for text in texts(value)[:1]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def upwards(root: Any, path: str) -> Iterator[Any]:
    """A group or dataset by its path (through hard links), and the groups in which it lies."""
    chain = [root]
    for name in filter(None, path.split("/")):
        chain.append(child(chain[-1], name))
    yield from reversed(chain)


def first_texts(found: Iterable[Any], names: Iterable[str]) -> list[str]:
    """The texts under the first of the names that says any, of the first place that has one."""
    names = tuple(names)
    for each in found:
        for name in names:
            said = texts(attribute(each, name))
            if not said and hasattr(each, "keys"):
                said = texts(small(each, name))
            if said:
                return list(dict.fromkeys(said))
    return []


def _is_of_arrays(dataset: Any) -> bool:
    """Whether each value is an array of variable length, which is no text."""
    import h5py

    dtype = dataset.dtype
    return h5py.check_string_dtype(dtype) is None and h5py.check_vlen_dtype(dtype) is not None
