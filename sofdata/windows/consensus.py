"""Camera motion by consensus: the affine map that most of a grid of points agrees on.

Where most points hardly move, as with a camera that stands still, the map is fitted to these.
Elsewhere maps through fixed triples of points are tried, and the best is taken, as in RANSAC
(Fischler and Bolles 1981) but with the same triples for every step: what these make of the other
points is then a sum of products, computed for all steps and triples at once. In both cases the map
is fitted again to the points that follow it: of a quarter of them at first, then of all.

All sums run over the points of one step in a fixed order, so that no result depends on which steps
are computed together.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.windows.camera import CameraMotion, spread

_MAJORITY = 0.5  # of the points: no other map can then be followed by more that do not follow this
_TRIPLES = 32
_LEAST_AREA = 0.4  # of a triple's triangle, in squares of half the frame's side
_REFITS = 2
_FLAT = 1e-6  # determinant of a fit a point, below which its points lie on a line

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


def consensus_motion(flow: NDArray[np.float32], inlier_px: float) -> CameraMotion:
    """The camera's motion in each step of flow [S,h,w,2] (px a step).

    inlier_px: largest distance in px between a point's flow and the map that it follows.
    All means are over up to 16 x 16 points. About 0.02 ms a step where the camera stands still and
    0.05 ms where it moves; `benchmarks/camera.py` compares it with RANSAC.
    """
    grid, near = _grid(*flow.shape[1:3]), inlier_px**2
    vectors = grid.vectors(flow)  # [S, 2, N]
    few = np.ascontiguousarray(vectors[..., grid.coarse])
    follows = _squares(few) <= near
    unclear = np.flatnonzero(follows.mean(axis=1) < _MAJORITY)
    if len(unclear):
        follows[unclear] = _best_triple(grid, few[unclear], near)
    for _ in range(_REFITS):
        maps, _ = grid.few.fitted(few, follows)
        follows = _squares(few - grid.few.made(maps)) <= near
    maps, _ = grid.few.fitted(few, follows)
    maps, is_known = grid.all.fitted(vectors, _squares(vectors - grid.all.made(maps)) <= near)
    camera = grid.all.made(maps)
    left = _squares(vectors - camera)
    return CameraMotion(
        maps=grid.in_px(maps),
        share=np.where(is_known, (left <= near).mean(axis=1), 0.0),
        camera_px=np.sqrt(_squares(camera)).mean(axis=1),
        residual_px=np.sqrt(left).mean(axis=1),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Points of a frame at places from -1 to 1.

    basis: [3,N]; 1, x and y of each. products: [6,N]; of two of these, for the equations of a fit.
    """

    basis: Values
    products: Values

    @staticmethod
    def at(basis: Values) -> _Points:
        return _Points(
            basis, np.stack([basis[i] * basis[j] for i in range(3) for j in range(i, 3)])
        )

    def made(self, maps: Values) -> Values:
        """The vectors [S,2,N] that maps [S,2,3] give the points."""
        made: Values = maps[..., 1, None] * self.basis[1]
        made += maps[..., 2, None] * self.basis[2]
        made += maps[..., 0, None]
        return made

    def fitted(self, vectors: Values, follows: Flags) -> tuple[Values, Flags]:
        """Least squares: the maps [S,2,3] of the points [S,N] that count, and which are known [S].

        A map is not known, and is then 0, where these points lie on a line.
        """
        counted = follows.astype(np.float64)
        one, x, y, xx, xy, yy = (counted[:, None] * self.products).sum(axis=-1).T  # each [S]
        wanted = ((counted[:, None] * vectors)[:, :, None] * self.basis).sum(axis=-1)  # [S, 2, 3]
        first, second, third = xx * yy - xy * xy, y * xy - x * yy, x * xy - y * xx
        determinant = one * first + x * second + y * third
        is_known = determinant > _FLAT * counted.shape[1] ** 3
        rows = [
            *(first, second, third),
            *(second, one * yy - y * y, x * y - one * xy),
            *(third, x * y - one * xy, one * xx - x * x),
        ]
        inverse = np.array(rows) / np.where(is_known, determinant, np.inf)  # [9, S]
        return (inverse.T.reshape(len(vectors), 1, 3, 3) * wanted[:, :, None]).sum(
            axis=-1
        ), is_known


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Points of a frame, and triples of them.

    rows, columns: where they lie, px. coarse: [n]; which of them are among the `few`: every second
    one along both axes. triples: [K,3]; points of the few. through: [K,3,n]; what a vector at each
    point of a triple adds, at each of the few, to what the map through the triple makes there.
    middle, half: (y, x) in px: the place 0, and how far from it 1 is.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    all: _Points
    few: _Points
    coarse: NDArray[np.int64]
    triples: NDArray[np.int64]
    through: Values
    middle: tuple[float, float]
    half: tuple[float, float]

    def vectors(self, flow: NDArray[np.float32]) -> Values:
        """The flow [S,h,w,2] at the points: [S,2,N]."""
        found = flow[:, self.rows[:, None], self.columns]  # [S, n, m, 2]
        apart = found.transpose(0, 3, 1, 2).reshape(len(flow), 2, self.all.basis.shape[1])
        return np.ascontiguousarray(apart, np.float64)

    def in_px(self, maps: Values) -> Values:
        """Maps [S,2,3] of places to vectors as maps of points in px, see `CameraMotion`."""
        (middle_y, middle_x), (half_y, half_x) = self.middle, self.half
        found = np.stack([maps[..., 1] / half_x, maps[..., 2] / half_y, maps[..., 0]], axis=-1)
        found[..., 2] -= found[..., 0] * middle_x + found[..., 1] * middle_y
        found[..., :2] += np.eye(2)
        return found


@functools.cache
def _grid(height: int, width: int) -> _Grid:
    rows, columns = spread(height), spread(width)
    middle, half = ((height - 1) / 2, (width - 1) / 2), (height / 2, width / 2)
    y, x = np.meshgrid((rows - middle[0]) / half[0], (columns - middle[1]) / half[1], indexing="ij")
    points = _Points.at(np.stack([np.ones(x.size), x.ravel(), y.ravel()]))
    coarse = np.arange(x.size).reshape(x.shape)[::2, ::2].ravel()
    few = _Points.at(np.ascontiguousarray(points.basis[:, coarse]))
    triples = _draw_triples(few.basis)
    # Takes the vectors at a triple to the map [3] through them: [K, 3, 3].
    solved = np.asarray(np.linalg.inv(few.basis[:, triples].transpose(1, 2, 0)), np.float64)
    through = (solved[..., None] * few.basis[:, None]).sum(axis=1)
    return _Grid(rows, columns, points, few, coarse, triples, through, middle, half)


def _draw_triples(basis: Values) -> NDArray[np.int64]:
    """Triples [K,3] of points [3,n] that span a good part of the frame, the same each time."""
    chosen: list[list[int]] = []
    state = 1
    while len(chosen) < _TRIPLES:
        triple = []
        for _ in range(3):  # our own draw: that of a library may change from version to version
            state = (state * 1103515245 + 12345) % (1 << 31)
            triple.append((state >> 16) % basis.shape[1])
        if abs(np.linalg.det(basis[:, triple])) >= 2 * _LEAST_AREA:
            chosen.append(triple)
    return np.array(chosen)


def _best_triple(grid: _Grid, vectors: Values, near: float) -> Flags:
    """Which of the few points [S,n] follow the best of the maps through triples.

    vectors: [S,2,n]. near: squared distance within which a point follows.
    """
    spanned = vectors[..., grid.triples]  # [S, 2, K, 3]
    squares = _missed(spanned[:, 0], vectors[:, 0], grid.through)
    squares += _missed(spanned[:, 1], vectors[:, 1], grid.through)
    best = np.minimum(squares, near).sum(axis=-1).argmin(axis=-1)
    follows: Flags = squares[np.arange(len(best)), best] <= near
    return follows


def _missed(spanned: Values, vectors: Values, through: Values) -> Values:
    """Squares [S,K,n] of how far maps through vectors [S,K,3] miss others [S,n], one component."""
    missed = spanned[..., 0, None] * through[:, 0]
    missed += spanned[..., 1, None] * through[:, 1]
    missed += spanned[..., 2, None] * through[:, 2]
    missed -= vectors[:, None]
    missed *= missed
    return missed


def _squares(vectors: Values) -> Values:
    """Squared lengths [S,N] of vectors [S,2,N]."""
    x, y = vectors[:, 0], vectors[:, 1]
    return x * x + y * y
