"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> Path:
    """A folder of real material beside the checkout; a user's machine has none."""
    folder = SHARED / name
    if not folder.is_dir():
        if os.environ.get("CI") and SHARED.is_dir():
            pytest.fail(f"CI has {SHARED} but not its folder {name}")
        pytest.skip(f"needs the folder {name} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Real and awkward videos, read in place."""
    return _shared("clips")


@pytest.fixture(scope="session")
def shared_flow_gt() -> Path:
    """A real pair of frames with true flow."""
    return _shared("flow_gt")
