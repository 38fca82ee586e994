"""How videos are decoded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sofdata.config.section import Section

Fit = Literal["stretch", "crop"]
DecoderName = Literal["pyav", "decord"]


class VideoConfig(Section):
    """How a video becomes frames. The SOF paper publishes none of this: the defaults are ours."""

    decoder: DecoderName = Field(
        default="pyav",
        description="Which library decodes: 'pyav', or 'decord' for short files that it reads "
        "well, with PyAV for all others and wherever decord misbehaves. Only PyAV gives the same "
        "bytes each time for a damaged file. Default ours.",
    )
    fit: Fit = Field(
        default="stretch",
        description="How a frame becomes a square of flow.size: 'stretch' resizes both axes, so "
        "that nothing is lost; 'crop' resizes the shorter side and keeps the middle. Default ours.",
    )
    max_pixels: int | None = Field(
        default=1 << 26,
        ge=1,
        description="A video with larger frames, counted in stored pixels, those of more than 8 "
        "bits twice, is rejected as too_large before it is decoded; a few KB can hold frames of "
        "GiBs. The default, ours, is 8192 x 8192. Null: all are decoded.",
    )
    chunk_frames: int = Field(
        default=64,
        ge=1,
        le=65_536,
        description="Sampled frames decoded at a time; bounds the memory of a worker. Default "
        "ours.",
    )
