"""What an ingest may do beyond going on from what is committed."""

from __future__ import annotations

from enum import Flag, auto


class Mode(Flag):
    """What an ingest does about a dataset that is there; members may be combined.

    RESUME: go on from what is committed, of the source as it was planned; no more than that.
    UPDATE: if the source has changed, plan what is there now; units that have not changed stay.
    RETRY: run those units again in which a video was quarantined.
    FORCE: update also from a source that shares less than half of the planned videos, or in which
        some cannot be used any more; and take what is worse than a result that is damaged.
    """

    RESUME = 0
    UPDATE = auto()
    RETRY = auto()
    FORCE = auto()

    @classmethod
    def of(cls, *, update: bool = False, retry: bool = False, force: bool = False) -> Mode:
        """The members that were chosen, each by a switch."""
        chosen = cls.RESUME
        for member, wanted in ((cls.UPDATE, update), (cls.RETRY, retry), (cls.FORCE, force)):
            chosen |= member if wanted else cls.RESUME
        return chosen
