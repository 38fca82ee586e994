"""DIS: dense inverse search, the default on a CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.config import DisConfig
from sofdata.flow.opencv import load_cv2
from sofdata.flow.pairs import estimate_grey


class Dis:
    """OpenCV's dense inverse search (Kroeger et al. 2016, arXiv 1603.03590) on grey frames.

    Every pair starts from zero flow, so that none depends on another. For what a pair costs, see
    `benchmarks/flow_accuracy.py`.
    """

    name = "dis"
    weights_sha256 = None

    def __init__(self, config: DisConfig) -> None:
        cv2 = load_cv2()
        self.version = f"opencv {cv2.__version__}"
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        search = cv2.DISOpticalFlow_create(presets[config.preset])
        search.setFinestScale(config.finest_scale)
        search.setPatchSize(config.patch_size)
        search.setPatchStride(config.patch_stride)
        search.setGradientDescentIterations(config.gradient_descent_iterations)
        search.setVariationalRefinementIterations(config.variational_refinement_iterations)
        search.setVariationalRefinementAlpha(config.variational_refinement_alpha)
        search.setUseMeanNormalization(config.mean_normalization)
        self._search = search

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow from `first` to `second`; see `sofdata.flow.estimator.Estimator`."""
        return estimate_grey(first, second, lambda a, b: self._search.calc(a, b, None), self.name)
