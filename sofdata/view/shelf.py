"""What pages share beside the dataset itself: the source, skills that were read, maps that were
drawn. All of it belongs to one state of the dataset, and is made when it is first asked for."""

from __future__ import annotations

import shlex
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.system.digests import json_digest
from sofdata.types import VideoRef
from sofdata.ui.text import printable
from sofdata.view.codemap import Dot, code_map, spread, window_map
from sofdata.view.film import NoFrames, Projector, Source
from sofdata.view.opened import Opened
from sofdata.view.pictures import sprite
from sofdata.view.skills import Skills, read_skills, skill_files

KEPT_SPRITES = 16  # of frames: some 100 KB each
KEPT_TILES = 4096  # of codes: some KB each
EXAMPLES = 6  # windows that the picture of a code is the mean of


class Shelf:
    """Made for one state of a dataset; methods may be called by any thread."""

    def __init__(self, opened: Opened, source: Source) -> None:
        self._source = source
        self._projector = Projector(opened.record, source)
        self._lock = Lock()
        self._drawing = Lock()
        self._skills: dict[str, Skills] = {}
        self._maps: dict[str, list[Dot]] = {}
        self._sprites: OrderedDict[int, bytes] = OrderedDict()
        self._tiles: OrderedDict[tuple[str, int], NDArray[np.float32]] = OrderedDict()

    def close(self) -> None:
        """End what decodes."""
        self._projector.close()

    def head(self, opened: Opened, place: str) -> dict[str, Any]:
        """What stands on every page."""
        name = opened.tree.name
        return {
            "name": printable(name.rstrip("/").rsplit("/", 1)[-1]),
            "place": printable(name),
            "record": opened.record,
            "here": place,
            "stamp": json_digest(opened.stamp)[:8],
        }

    # Frames

    def why_no_frames(self, opened: Opened, video: str) -> str:
        """Why frames of a video are not shown, "" if they may be."""
        if self._projector.why_not:
            return printable(self._projector.why_not)
        ref = opened.ref(video)
        return "" if isinstance(ref, VideoRef) else "the plan does not say where its file is"

    def frames(self, opened: Opened, row: int) -> bytes:
        """The frames of a window below each other, as a JPEG. Raises `NoFrames`."""
        with self._lock:
            if row in self._sprites:
                return self._sprites[row]
        record = opened.sample(row).record
        ref = opened.ref(record.source)
        if not isinstance(ref, VideoRef):
            raise NoFrames("the plan does not say where its file is")
        drawn = sprite(self._projector.at(ref, record.pts_s))
        with self._lock:
            self._sprites[row] = drawn
            while len(self._sprites) > KEPT_SPRITES:
                self._sprites.popitem(last=False)
        return drawn

    # Skills

    def names(self, opened: Opened) -> list[str]:
        """The files of skills, the one written last first."""
        return skill_files(opened.tree)

    def skills_of(self, opened: Opened, name: str) -> tuple[Skills | None, str]:
        """A file of skills, or the one written last; else None, and why."""
        try:
            name = name or next(iter(skill_files(opened.tree)), "")
            if not name:
                return None, ""
            with self._lock:
                if name in self._skills:
                    return self._skills[name], ""
            skills = opened.with_index(lambda index: read_skills(opened.tree, name, index))
        except (InputError, OSError) as error:
            return None, printable(str(error))
        with self._lock:
            self._skills = {name: skills}  # one at a time: they may be large
        return skills, ""

    def map_of(self, opened: Opened, skills: Skills) -> list[Dot]:
        """The map of codes, or of windows where there is no codebook; drawn once."""
        with self._drawing:
            if skills.name not in self._maps:
                draw = code_map if skills.codebook else window_map
                self._maps[skills.name] = draw(skills, lambda row: opened.sample(row).flow)
            return self._maps[skills.name]

    def tile(self, opened: Opened, skills: Skills, code: int) -> NDArray[np.float32]:
        """Flow [h,w,2] of a code: the mean over the steps of a few windows in which it occurs."""
        key = skills.name, code
        with self._lock:
            if key in self._tiles:
                return self._tiles[key]
        rows = spread(skills.windows_of(code), EXAMPLES).tolist()
        means = [opened.sample(row).flow.mean(0) for row in rows]
        if not means:
            raise InputError(f"no window has the code {code}")
        found = np.asarray(np.mean(means, 0), np.float32)
        with self._lock:
            self._tiles[key] = found
            while len(self._tiles) > KEPT_TILES:
                self._tiles.popitem(last=False)
        return found

    # Commands to copy

    def movie_command(self, opened: Opened, video: str) -> str:
        """The command that writes a video as a film."""
        return self._command("movie", opened, video, "video.mp4")

    def replay_command(self, opened: Opened, video: str) -> str:
        """The command that ingests a video again and says what happens."""
        return self._command("replay", opened, video)

    def _command(self, command: str, opened: Opened, *words: str) -> str:
        at = self._source.tree
        source = ["--source", at.name] if at and self._source.is_given else []
        words = ("sofdata", command, opened.tree.name, *words, *source)
        return printable(shlex.join(words))
