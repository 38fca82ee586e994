"""Renders small videos with known content: clips in the manner of Something-Something V2, in which
a hand does something with a thing, and textures that move by exactly so many pixels.

They stand in for real video in the demo, the tests and the benchmarks. Everything follows from the
seed.
"""

from sofdata.scenes.clips import Clip, plan_clip
from sofdata.scenes.corpus import write_clip, write_ssv2_corpus
from sofdata.scenes.render import FPS, HEIGHT, WIDTH, render
from sofdata.video.writer import moving_texture, write_video

__all__ = [
    "FPS",
    "HEIGHT",
    "WIDTH",
    "Clip",
    "moving_texture",
    "plan_clip",
    "render",
    "write_clip",
    "write_ssv2_corpus",
    "write_video",
]
