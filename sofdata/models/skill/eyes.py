"""How a model sees an image: the settings that skill model, planner, decoders and clones share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section
from sofdata.errors import ConfigError

EyesName = Literal["grid", "points"]
FRAME = 64  # px; to this the first frame was always reduced before there was `image_px`
GRID_TOKENS = 16  # of an observation: 4 x 4
POINT_TOKENS = 3  # behind these with key points: all x, all y, and what is seen there


class EyesConfig(Section):
    """The image encoder's build."""

    eyes: Annotated[EyesName, Earlier("grid")] = Field(
        "grid",
        description="The image encoder. 'grid': 4 x 4 averages of features; 'points': beside these "
        "a key point for each of the channels, where a map of cells of 4 px has its mean after a "
        "softmax (x, y, and the map's mean there), which tells where a small thing lies more "
        "finely than a grid can; docs/models.md says what it costs. After Levine et al. 2016, "
        "arXiv 1504.00702, and Finn et al. 2016, arXiv 1509.06113. Default ours.",
    )
    image_px: Annotated[int, Field(ge=FRAME, le=256, multiple_of=32), Earlier(FRAME)] = Field(
        FRAME,
        description="Side in px that images are reduced to before they are read, at most that of "
        "the stored frames, ingest's flow.size. With eyes=points, time and memory of the encoder "
        "grow with its square, with eyes=grid hardly. What flow is cut out of is always read at "
        "64. Default ours.",
    )


def check_image_px(wanted: int, stored: int) -> None:
    """Raises `ConfigError` where frames are stored at fewer px than a model is to read."""
    if wanted > max(stored, FRAME):
        raise ConfigError(
            f"skill.model.image_px is {wanted}, and the dataset stores frames of {stored} px: give "
            f"that at most, or ingest with flow.size={wanted}"
        )


def observed_tokens(config: EyesConfig) -> int:
    """P, the number of an observation's tokens."""
    return GRID_TOKENS + (POINT_TOKENS if config.eyes == "points" else 0)
