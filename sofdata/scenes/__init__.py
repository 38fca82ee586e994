"""Renders small videos with known content: clips like those of Something-Something V2, in which a
hand moves an object, and textures that move by a known number of pixels.

They replace real video in the demo, the tests and the benchmarks. The seed decides everything.
"""

from sofdata.scenes.clips import Clip, plan_clip
from sofdata.scenes.corpus import write_clip, write_ssv2_corpus
from sofdata.scenes.render import FPS, HEIGHT, WIDTH, render
from sofdata.scenes.texture import moving_texture
from sofdata.video.writer import write_video

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
