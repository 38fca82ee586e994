"""Makes the plain decode of one video hang or crash; see `sofdata.system.fault_points`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def injector(argument: str) -> Callable[[str], None]:
    """argument: the name of the video, after "crash:" where it is not to hang but to crash."""
    crashes, name = argument.startswith("crash:"), argument.removeprefix("crash:")

    def inject(step: str) -> None:
        if step == f"audit {name}":
            os.abort() if crashes else time.sleep(60)

    return inject
