"""proprio_stats.h5 of AgiBot World: how many rows it has, of which numbers, and their clock.

Numbers are read as the format "hdf5" does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.hdf5.files import opened
from sofdata.video.sequences.hdf5.numbers import Clock, numeric, row_size, stored_times_s

TIMES = "timestamp"  # in ns
MOST_ROWS = 1 << 22


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """{"rows": n, "rate": rows a second, "off_s": s, "sizes": {name: numbers a row}}.

    off_s: by how much the times depart at most from those of a constant rate, options: "fps".
    options: also "arrays", paths of datasets whose sizes are wanted: told are those that hold
    numbers for each row.

    Raises `Unusable` where there are no rows, or no times of them.
    """
    with opened(source) as root:
        times = numeric(root, TIMES)
        rows = int(times.shape[0])
        if not 1 < rows <= MOST_ROWS:
            raise damaged(f"{source}: {rows} rows")
        times_s = stored_times_s(times, Clock(times=TIMES, unit="ns"), rows)
        if np.any(np.diff(times_s) <= 0) or not np.isfinite(times_s).all():
            raise Unusable("no_times", f"{TIMES}: its times do not increase")
        even_s = np.arange(rows) / float(options["fps"])
        names = [str(name) for name in options["arrays"]]
        sizes = {name: row_size(root, name, rows) for name in names}
        return {
            "rows": rows,
            "rate": float((rows - 1) / times_s[-1]),
            "off_s": float(np.abs(times_s - even_s).max()),
            "sizes": {name: size for name, size in sizes.items() if size},
        }
