"""The three models of SOF, and loading them.

    batch ─► skill_vae ─► Skill        what happens in a window, as a few codes
    image, task ─► planner ─► Plan     which skills come next
    image, skill ─► action_decoder ─► Actions

`sofdata.models.load(folder)` gives a policy of all that was trained there. docs/models.md has the
equations and every default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sofdata.models.policy import Policy


def load(path: str | Path) -> Policy:
    """Load what `sofdata train` has written to a folder; see `sofdata.models.saved.load`."""
    from sofdata.models import saved

    return saved.load(path)
