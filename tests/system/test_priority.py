"""No library changes how a process that uses sofdata is scheduled."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sofdata.system.priority import own_priority
from sofdata.video.writer import write_video

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="not on this system")


def test_writing_av1_leaves_the_process_scheduled_as_it_was(tmp_path: Path) -> None:
    """Its encoder makes root's processes real-time ones."""
    write_video(tmp_path / "a.mkv", [np.zeros((64, 64, 3), np.uint8)] * 3, codec="av1")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_what_was_changed_within_is_put_back() -> None:
    with own_priority():
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            pytest.skip("this root may not")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
