"""Frames are stretched to a square, or resized and cut to one."""

from __future__ import annotations

import numpy as np

from sofdata.video.geometry import crop_square, working_size


def test_stretch_resizes_both_axes_to_the_side() -> None:
    assert working_size(427, 240, 128, "stretch") == (128, 128)


def test_crop_resizes_the_shorter_axis_to_the_side() -> None:
    assert working_size(427, 240, 128, "crop") == (228, 128)
    assert working_size(240, 427, 128, "crop") == (128, 228)
    assert working_size(7, 3000, 128, "crop")[0] == 128


def test_crop_keeps_the_middle_of_either_axis() -> None:
    wide = np.zeros((2, 4, 8, 3), dtype=np.uint8)
    wide[:, :, 2:6] = 1
    assert crop_square(wide, 4).shape == (2, 4, 4, 3)
    assert crop_square(wide, 4).all()
    assert crop_square(wide.transpose(0, 2, 1, 3), 4).all()
