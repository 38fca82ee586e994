"""A video of a dataset as a film: MP4, or a recording for the viewer of Rerun."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.errors import ConfigError
from sofdata.ingest.inputs import Refused
from sofdata.pictures.colour import flow_to_rgb
from sofdata.pictures.sheet import SLOWEST_PX
from sofdata.storage.local import storage_errors
from sofdata.storage.tree import Tree
from sofdata.system.extras import require
from sofdata.types import VideoRef
from sofdata.ui.text import printable
from sofdata.view.film import NoFrames, Projector, Source
from sofdata.view.filmstrip import Drawer, spans_of
from sofdata.view.opened import Opened, rejected_windows
from sofdata.view.query import Query
from sofdata.view.scenes import COLUMNS, Frame, Scene, scenes, steps_of

if TYPE_CHECKING:
    from rerun import RecordingStream

KINDS = (".mp4", ".rrd")
FPS = 30.0  # that the file states; each picture has its own time
STILL_S = 0.5  # that the last picture stays

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A film: its length, and how many windows it shows.

    why_no_frames: why frames of the video itself are not in it, or not to its end; else "".
    """

    seconds: float
    windows: int
    why_no_frames: str


def write_movie(
    dest: Tree,
    video: str,
    out: str,
    source: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Made:
    """Write a video of a dataset as a film.

    out: a local file, .mp4 or .rrd (which needs the package rerun-sdk). source: where the corpus is
    now, None for where the last run found it. progress: called with the seconds that are done, and
    all.

    Where frames cannot be had, those that the dataset has stored stand in for them. Raises
    `ConfigError` for a video that the dataset does not have or that has no window, another kind of
    file, or a source that is given and is not there; `InputError` for a damaged sample.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in KINDS:
        raise ConfigError(f"a film is a file {' or '.join(KINDS)}, got {out!r}")
    if suffix == ".rrd":
        require("rerun", "rerun", "a recording for Rerun")
    corpus = Source.of(dest, source)
    opened = Opened(dest)
    projector = Projector(opened.record, corpus)
    try:
        film = _Film(opened, projector, video)
        with _whole(out) as path:
            seconds = (_write_mp4 if suffix == ".mp4" else _write_rrd)(film, path, progress)
        return Made(seconds, len(film.rows), printable(film.why_no_frames))
    finally:
        projector.close()
        opened.close()


class _Film:
    """What is shown of one video, in its order."""

    def __init__(self, opened: Opened, projector: Projector, video: str) -> None:
        self.ref = opened.ref(video)
        if isinstance(self.ref, Refused):
            what = f"{self.ref.reason}: {self.ref.detail}"
            raise ConfigError(f"{video} was refused before any work, {what}")
        self.rows = [int(row) for row in opened.found(Query(source=video))]
        self.rejected = rejected_windows(opened, video)
        if not self.rows and not self.rejected:
            ended = opened.video(video)
            why = f"it ended as {ended['status']} {ended['reason']}" if ended else "no such video"
            raise ConfigError(
                f"the dataset has no window of {printable(video)} ({why}); videos.parquet lists "
                "the ids"
            )
        self.entries = opened.rows(self.rows, COLUMNS)
        self.title = printable(video)
        self.why_no_frames = projector.why_not
        self._opened, self._projector = opened, projector

    @property
    def scale_px(self) -> float:
        """The speed of full colour: the fastest of its windows' 99th percentiles."""
        speeds = [each["p99_px"] for each in self.entries]
        return float(max([SLOWEST_PX, *speeds]))

    @property
    def ends_s(self) -> float:
        """When its last window ends."""
        ends = [each["end_s"] or 0.0 for each in (*self.entries, *self.rejected)]
        return float(max(ends, default=0.0))

    def wide(self) -> float:
        """Width of the video as shown over its height."""
        if not self.rows:
            return 4 / 3
        record = self._opened.sample(self.rows[0]).record
        height, width = record.video_size
        return float(width / height) if record.fit == "stretch" and height and width else 1.0

    def scenes(self) -> Iterator[Scene]:
        """All of it."""
        return scenes(steps_of(self._opened, self.rows), self._frames())

    def _frames(self) -> Iterator[Frame]:
        """Its frames, as far as they can be had."""
        if not isinstance(self.ref, VideoRef) or self.why_no_frames:
            self.why_no_frames = self.why_no_frames or "the plan does not say where its file is"
            return
        try:
            yield from self._projector.all(self.ref)
        except NoFrames as error:
            self.why_no_frames = str(error)


def _write_mp4(film: _Film, path: str, progress: Progress) -> float:
    from sofdata.video.writer import Film

    drawer = Drawer(film.title, film.wide(), spans_of(film.entries, film.rejected), film.scale_px)
    began_s, at_s, drawn = None, 0.0, None
    with Film(path, FPS, "h264", dated=True) as out:
        for scene in film.scenes():
            began_s = scene.at_s if began_s is None else began_s
            at_s, drawn = scene.at_s, drawer.draw(scene)
            out.add(drawn, at_s - began_s)
            progress(round(at_s - began_s), round(film.ends_s - began_s))
        if drawn is not None and began_s is not None:
            out.add(drawn, at_s - began_s + STILL_S)
    return at_s - (began_s or 0.0)


def _write_rrd(film: _Film, path: str, progress: Progress) -> float:
    import rerun

    recording = rerun.RecordingStream("sofdata", recording_id=film.title)
    recording.save(path)
    began_s, at_s, window = None, 0.0, None
    for scene in film.scenes():
        began_s = scene.at_s if began_s is None else began_s
        at_s = scene.at_s
        recording.set_time("video", duration=at_s)
        window = _log(recording, scene, window, film.scale_px)
        progress(round(at_s - began_s), round(film.ends_s - began_s))
    recording.flush()
    recording.disconnect()
    return at_s - (began_s or 0.0)


def _log(recording: RecordingStream, scene: Scene, window: Any, scale_px: float) -> Any:
    """Put a scene into a recording; returns which window it shows, None for none."""
    import rerun

    seen = scene.rgb
    if seen is None and scene.step is not None:
        seen = scene.step.first
    if seen is not None:
        recording.log("video", rerun.EncodedImage(contents=_jpeg(seen), media_type="image/jpeg"))
    if scene.step is None:
        recording.log("flow", rerun.Clear(recursive=False))
        return None
    flow, said = scene.step.flow, scene.step.window
    recording.log("flow", rerun.Image(flow_to_rgb(flow, scale_px)))
    speed = np.hypot(flow[..., 0], flow[..., 1])
    recording.log("motion/mean_px", rerun.Scalars([float(np.nanmean(speed))]))
    if said["window"] != window:
        text = f"window {said['window']}: {printable(said['text']) or 'no text'}"
        recording.log("windows", rerun.TextLog(text))
    return said["window"]


def _jpeg(rgb: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@contextmanager
def _whole(out: str) -> Iterator[str]:
    """A path beside `out` that takes its place once the block has ended well."""
    folder, name = os.path.split(os.path.abspath(out))
    path = os.path.join(folder, f".{os.getpid()}-{name}")
    try:
        with storage_errors(f"write {out}"), open(path, "wb"):
            pass  # says what is wrong with the place before anything is decoded
        yield path
        with storage_errors(f"write {out}"):
            os.replace(path, out)
    finally:
        with suppress(OSError):
            os.unlink(path)
