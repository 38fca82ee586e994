"""Farnebäck's method: polynomial expansion, the older classical choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.flow.pairs import estimate_grey


class Farneback:
    """OpenCV's Farnebäck flow (SCIA 2003) on grey frames, with the values of OpenCV's own example.

    Good where motion is small, poor beyond a few px; kept for comparison with data sets made by it.
    """

    name = "farneback"
    weights_sha256 = None

    def __init__(self) -> None:
        cv2 = load_cv2()
        self.version = f"opencv {cv2.__version__}"
        self._search = cv2.FarnebackOpticalFlow_create(
            numLevels=3, pyrScale=0.5, winSize=15, numIters=3, polyN=5, polySigma=1.2
        )

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow from `first` to `second`; see `sofdata.flow.estimator.Estimator`."""
        return estimate_grey(first, second, lambda a, b: self._search.calc(a, b, None), self.name)
