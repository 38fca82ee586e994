"""Holds a worker in the middle of a unit until the test lets it go on, or kills its node.

A module for `sofdata.system.fault_points`: SOFDATA_FAULTS=tests.cluster.gate:FOLDER/NAME/NTH. When
a process ends its NTH video it makes FOLDER/NAME.held, and waits for FOLDER/NAME.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

STEP = "unit: video ended"


def variable(folder: Path, name: str, nth: int) -> str:
    """What SOFDATA_FAULTS has to be."""
    return f"{__name__}:{folder}/{name}/{nth}"


def injector(argument: str) -> Callable[[str], None]:
    """What `sofdata.system.fault_points` calls with every step."""
    path, _, nth = argument.rpartition("/")
    seen = 0

    def gate(step: str) -> None:
        nonlocal seen
        seen += step == STEP
        if step != STEP or seen != int(nth):
            return
        Path(f"{path}.held").touch()
        while not Path(f"{path}.go").exists():
            time.sleep(0.05)

    return gate
