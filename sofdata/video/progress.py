"""How far this process has come with what it decodes, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DecodeProgress:
    """Numbers that only grow. packets: that were read; frames: that were decoded."""

    packets: int = 0
    frames: int = 0


PROGRESS = DecodeProgress()  # of this process; one decoder runs at a time
