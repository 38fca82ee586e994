"""The actions of a recording, read in the decoding process from where its listing found them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sofdata.corpora.sequences.looking import rows_in
from sofdata.errors import ActionError, InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.base import Rows
from sofdata.video.sequences.place import SequencePlace

ReadRows = Callable[[Tree, Location, SequencePlace], Rows]


def read_track(
    tree: Tree, ref: ActionRef, spec: ActionSpec, read: ReadRows = rows_in
) -> ActionTrack:
    """The rows that `ref.part` names as a place, on the clock of the pictures.

    read: reads them.

    Raises `ActionError` where they cannot be read or are not those that `ref` and `spec` describe.
    """
    try:
        rows = read(tree, ref.where, SequencePlace.parse(ref.part))
    except InputError as error:
        raise ActionError(f"{ref.uri}: {error}") from None
    except OSError as error:
        raise ActionError(f"{ref.uri}: {error.strerror or error}") from None
    if rows.values.shape != (ref.rows, spec.dimension):
        found = " x ".join(map(str, rows.values.shape))
        wanted = f"{ref.rows} x {spec.dimension}"
        raise ActionError(f"{ref.uri}: {found} numbers, where its listing told of {wanted}")
    times_s = np.round(ref.start_s + rows.times_s, 6)
    if not (np.isfinite(times_s).all() and (np.diff(times_s) > 0).all()):
        raise ActionError(f"{ref.uri}: the times of its actions do not increase")
    return ActionTrack(rows.values, times_s, spec.tolerance_s)
