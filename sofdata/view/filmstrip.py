"""The pictures of a film: frame and flow side by side, what is said, and the windows over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.pictures.colour import flow_to_rgba
from sofdata.pictures.sheet import fitted_text
from sofdata.view.scenes import Scene, Step

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PANEL_PX = 288  # height of a panel
_EDGE, _GAP, _HEAD, _FOOT = 16, 12, 66, 62
_GROUND, _TILE, _INK, _GREY = (22, 24, 28), (12, 13, 16), (230, 232, 236), (154, 161, 173)
_GOOD, _MID, _NOW = (88, 179, 137), (219, 169, 74), (255, 255, 255)
_WIDEST, _NARROWEST = 2.4, 0.5  # of a panel, against its height


@dataclass(frozen=True, slots=True)
class Span:
    """A window on the time line. reason: why it was rejected, "" if it was written."""

    start_s: float
    end_s: float
    reason: str


class Drawer:
    """Draws the scenes of one video.

    title: of the film. wide: width of the video as shown over its height. spans: all windows.
    scale_px: the speed of full colour.
    """

    def __init__(self, title: str, wide: float, spans: Sequence[Span], scale_px: float) -> None:
        self._spans, self._scale_px = spans, scale_px
        self._panel = 2 * round(PANEL_PX * min(max(wide, _NARROWEST), _WIDEST) / 2), PANEL_PX
        self.width = 2 * _EDGE + 2 * self._panel[0] + _GAP
        self.height = _HEAD + PANEL_PX + _FOOT
        self._from_s = min((span.start_s for span in spans), default=0.0)
        self._to_s = max((span.end_s for span in spans), default=1.0)
        self._base = self._empty(title)
        self._frame: Picture | None = None
        self._last: NDArray[np.uint8] | None = None  # with which the step before has ended
        self._frame_said = "no frame of the video is stored before this"

    def draw(self, scene: Scene) -> NDArray[np.uint8]:
        """The picture of a scene, uint8 [height, width, 3]."""
        from PIL import ImageDraw

        self._see(scene)
        canvas = self._base.copy()
        pen = ImageDraw.Draw(canvas)
        left, top = _EDGE, _HEAD
        right = left + self._panel[0] + _GAP
        if self._frame is not None:
            canvas.paste(self._frame, (left, top))
        if scene.step is not None:
            flow = self._fitted(flow_to_rgba(scene.step.flow, self._scale_px))
            canvas.paste(flow, (right, top), flow)
        room = self._panel[0]
        fitted_text(pen, (_EDGE, 34), self._said(scene), size=14, ink=_GREY, room=2 * room)
        below = top + PANEL_PX + 4
        fitted_text(pen, (left, below), self._frame_said, size=12, ink=_GREY, room=room)
        fitted_text(pen, (right, below), self._flow_said(scene.step), size=12, ink=_GREY, room=room)
        x = self._across(scene.at_s)
        pen.line((x, self.height - 36, x, self.height - 10), fill=_NOW, width=2)
        return np.asarray(canvas)

    def _see(self, scene: Scene) -> None:
        """Take the frame of the scene, or one that the dataset has stored."""
        if scene.rgb is not None:
            self._frame = self._fitted(scene.rgb)
            self._frame_said = f"video at {scene.at_s:.2f} s"
        elif (stored := scene.step.first if scene.step else self._last) is not None:
            self._frame = self._fitted(stored)
            self._frame_said = f"video at {scene.at_s:.2f} s, the last frame stored so far"
        self._last = scene.step.last if scene.step else None

    def _said(self, scene: Scene) -> str:
        if scene.step is not None:
            window = scene.step.window
            return f"{scene.at_s:.2f} s   window {window['window']}   {window['text']}"
        return f"{scene.at_s:.2f} s   {self._why_nothing(scene.at_s)}"

    def _why_nothing(self, at_s: float) -> str:
        there = [span.reason for span in self._spans if span.start_s <= at_s < span.end_s]
        reasons = [reason for reason in there if reason]
        return f"window rejected: {reasons[0]}" if reasons else "no window"

    def _flow_said(self, step: Step | None) -> str:
        if step is None:
            return "no flow is stored of this"
        place = f"step {step.number + 1} of {step.steps}"
        return f"flow, {place}; full colour at {self._scale_px:.3g} px a step"

    def _empty(self, title: str) -> Picture:
        from PIL import Image, ImageDraw

        base = Image.new("RGB", (self.width, self.height), _GROUND)
        pen = ImageDraw.Draw(base)
        fitted_text(pen, (_EDGE, 10), title, size=18, ink=_INK, room=self.width - 2 * _EDGE)
        for column in range(2):
            x = _EDGE + column * (self._panel[0] + _GAP)
            pen.rectangle((x, _HEAD, x + self._panel[0] - 1, _HEAD + PANEL_PX - 1), fill=_TILE)
        lanes = [0, 0]
        for span in sorted(self._spans, key=lambda span: span.start_s):
            lane = bool(span.reason)
            y = self.height - 34 + 12 * lane + 5 * (lanes[lane] % 2)
            lanes[lane] += 1
            ends = self._across(span.start_s), self._across(span.end_s)
            pen.rectangle((ends[0], y, max(ends[1] - 1, ends[0] + 1), y + 4), fill=_tone(span))
        return base

    def _across(self, at_s: float) -> float:
        share = (at_s - self._from_s) / max(self._to_s - self._from_s, 1e-9)
        return _EDGE + min(max(share, 0.0), 1.0) * (self.width - 2 * _EDGE)

    def _fitted(self, picture: NDArray[np.uint8]) -> Picture:
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(picture))
        return image.resize(self._panel, Image.Resampling.BILINEAR)


def _tone(span: Span) -> tuple[int, int, int]:
    return _MID if span.reason else _GOOD


def spans_of(entries: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]]) -> list[Span]:
    """The windows of a video as spans; rejected ones without a time are left out."""
    written = [Span(each["start_s"], each["end_s"], "") for each in entries]
    timed = [each for each in rejected if None not in (each["start_s"], each["end_s"])]
    return written + [Span(each["start_s"], each["end_s"], each["reason"]) for each in timed]
