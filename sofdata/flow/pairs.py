"""Batches of frame pairs: the check that every estimator makes, and the loop over grey frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError, FlowError
from sofdata.flow.opencv import load_cv2

Grey = NDArray[np.uint8]


def check_pairs(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    """Raise `ContractError` unless both are uint8 [N,H,W,3] of one shape."""
    for name, frames in (("first", first), ("second", second)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise ContractError(
                f"{name} must be uint8 [N, H, W, 3], got {frames.dtype} {list(frames.shape)}"
            )
    if first.shape != second.shape:
        raise ContractError(
            f"first and second must have one shape, got {list(first.shape)} and "
            f"{list(second.shape)}"
        )


def check_flow(flow: NDArray[np.float32], estimator: str) -> NDArray[np.float32]:
    """Return `flow` [N,H,W,2]; raise `FlowError` if it holds a value that is not finite."""
    finite = np.isfinite(flow).all(axis=(1, 2, 3))
    if not finite.all():
        raise FlowError(
            f"{estimator} gave flow that is not finite for {np.count_nonzero(~finite)} of "
            f"{len(flow)} pairs of {flow.shape[2]}x{flow.shape[1]} px; try flow.dtype=float32, or "
            "a larger flow.model_size"
        )
    return flow


def estimate_grey(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    estimate: Callable[[Grey, Grey], NDArray[np.float32]],
    name: str,
    prepare: Callable[[Grey], Grey] | None = None,
) -> NDArray[np.float32]:
    """Call `estimate` on each pair, made grey; uint8 [N,H,W,3] twice to float32 [N,H,W,2].

    prepare: what is done to each grey frame before. In a film the second frame of a pair is the
        first of the next, and is made grey and prepared once.
    """
    check_pairs(first, second)
    flow = np.empty((*first.shape[:3], 2), np.float32)
    after: Grey | None = None
    for index, pair in enumerate(zip(first, second, strict=True)):
        follows = after is not None and _is_same(pair[0], second[index - 1])
        before = after if after is not None and follows else _grey(pair[0], prepare)
        after = _grey(pair[1], prepare)
        flow[index] = _estimated(before, after, estimate, name)
    return check_flow(flow, name)


def _is_same(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two frames of one shape are equal; at once where they lie in the same place."""
    place, other_place = frame.__array_interface__, other.__array_interface__
    is_one = all(place[key] == other_place[key] for key in ("data", "strides"))
    return is_one or np.array_equal(frame, other)


def _grey(frame: NDArray[np.uint8], prepare: Callable[[Grey], Grey] | None) -> Grey:
    cv2 = load_cv2()
    grey: Grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return prepare(grey) if prepare is not None else grey


def _estimated(
    before: Grey, after: Grey, estimate: Callable[[Grey, Grey], NDArray[np.float32]], name: str
) -> NDArray[np.float32]:
    try:
        return estimate(before, after)
    except load_cv2().error as error:
        height, width = before.shape
        raise FlowError(f"{name} failed on a pair of {width}x{height} px: {error}") from error
