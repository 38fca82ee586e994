"""DIS: dense inverse search, the default on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.flow.pairs import Grey, estimate_grey
from sofdata.flow.quality import DisSettings
from sofdata.flow.region import Box, changed_box

WHOLE_SHARE = 0.75  # of a frame; a box that takes more of it saves nothing over the frame

Field = NDArray[np.float32]  # [H,W,2]


class Dis:
    """OpenCV's dense inverse search (Kroeger et al. 2016, arXiv 1603.03590) on grey frames.

    With `region` "changed" the coarsest octave is searched in the whole frame, so that nothing that
    moves far is missed, and the finer ones, which take nearly all the time, only within the box
    that changed. Every pair starts from zero flow, so that none depends on another. For what a pair
    costs, see `benchmarks/flow_pareto.py`.
    """

    name = "dis"
    weights_sha256 = None

    def __init__(self, settings: DisSettings) -> None:
        self._cv2 = load_cv2()
        self.version = f"opencv {self._cv2.__version__}"
        self._settings = settings

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow from `first` to `second`; see `sofdata.flow.estimator.Estimator`."""
        return estimate_grey(first, second, self._pair, self.name, self._smooth)

    def _pair(self, before: Grey, after: Grey) -> Field:
        settings = self._settings
        height, width = before.shape
        coarsest = coarsest_octave(height, width, settings.patch_size)
        if settings.region == "whole" or coarsest <= settings.finest_scale:
            return self._search(before, after, settings.finest_scale)
        least_px = side_with_octave(coarsest - 1, settings.patch_size)
        box = changed_box(before, after, settings.region_diff, settings.region_margin_px, least_px)
        if box is None:
            return np.zeros((*before.shape, 2), np.float32)
        if box.area > WHOLE_SHARE * before.size:
            return self._search(before, after, settings.finest_scale)
        return self._within(box, before, after, coarsest)

    def _within(self, box: Box, before: Grey, after: Grey, coarsest: int) -> Field:
        """Flow in a box, from that of the coarsest octave of the whole frame; zero outside."""
        place = (box.rows, box.columns)
        start = self._search(before, after, coarsest)[place]
        flow = np.zeros((*before.shape, 2), np.float32)
        flow[place] = self._search(
            before[place], after[place], self._settings.finest_scale, np.ascontiguousarray(start)
        )
        return flow

    def _search(self, before: Grey, after: Grey, finest: int, start: Field | None = None) -> Field:
        """OpenCV's search down to an octave, from `start` or from zero flow.

        By an object of its own each time, which costs 6 us: one that has been given a start keeps
        parts of it for the next pair, and then reads beyond them when that one is larger.
        """
        before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
        found: Field = self._make(finest).calc(before, after, start)
        return found

    def _make(self, finest: int) -> Any:
        settings = self._settings
        preset = getattr(self._cv2, f"DISOPTICAL_FLOW_PRESET_{settings.preset.upper()}")
        search = self._cv2.DISOpticalFlow_create(preset)
        search.setFinestScale(finest)
        search.setPatchSize(settings.patch_size)
        search.setPatchStride(settings.patch_stride)
        search.setGradientDescentIterations(settings.gradient_descent_iterations)
        search.setVariationalRefinementIterations(settings.variational_refinement_iterations)
        search.setVariationalRefinementAlpha(settings.variational_refinement_alpha)
        search.setUseMeanNormalization(settings.mean_normalization)
        return search

    @property
    def _smooth(self) -> Callable[[Grey], Grey] | None:
        """What is done to each grey frame before the search; None for nothing."""
        spread_px = self._settings.smoothing_px
        return (lambda grey: self._cv2.GaussianBlur(grey, (0, 0), spread_px)) if spread_px else None


def coarsest_octave(height: int, width: int, patch_size: int) -> int:
    """The octave at which OpenCV begins on a frame of this size; below 0 for one that is too small.

    It is one in which a patch takes a quarter of the longer side. Asked for a finest octave beyond
    it, OpenCV takes other values than those it was given, or crashes.
    """
    longest, shortest = max(height, width), min(height, width)
    if shortest < patch_size:
        return -1
    octave = math.floor(math.log2(longest / (4 * patch_size)) + 0.5)
    return min(octave, int(math.log2(shortest // patch_size)))


def side_with_octave(octave: int, patch_size: int) -> int:
    """The least side, px, of a square in which OpenCV begins at an octave, or beyond it."""
    return math.ceil(4 * patch_size * 2 ** (octave - 0.5))
