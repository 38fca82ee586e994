"""Another look of a suite: the same scene from elsewhere, in other colours and another light.

For videos that were not taken where the robot acts. Pictures alone change: what is simulated, and
so every action and every success, stays the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import LookName


@dataclass(frozen=True, slots=True)
class Look:
    """How pictures differ from a suite's own.

    azimuth_deg, elevation_deg: how far the camera is turned about the table and tilted, besides;
        in a flat world, azimuth_deg turns the picture, and that is all of the camera. distance:
        how many times as far it stands.
    channels: which of red, green and blue becomes red, green and blue, of things and their
        textures. light: the strength of red, green and blue light.
    """

    azimuth_deg: float = 0.0
    elevation_deg: float = 0.0
    distance: float = 1.0
    channels: tuple[int, int, int] = (0, 1, 2)
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def of_camera(self, camera: dict[str, Any]) -> dict[str, Any]:
        """A free camera, moved."""
        return {
            **camera,
            "azimuth": camera["azimuth"] + self.azimuth_deg,
            "elevation": camera["elevation"] + self.elevation_deg,
            "distance": camera["distance"] * self.distance,
        }

    def of_textures(self, model: Any) -> None:
        """Recolour the textures of a MuJoCo model, before a renderer takes them over."""
        for texture in range(model.ntex):
            size = int(model.tex_height[texture] * model.tex_width[texture])
            depth, first = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
            if depth >= 3:
                pixels = model.tex_data[first : first + size * depth].reshape(size, depth)
                pixels[:, :3] = pixels[:, self.channels]

    def of_scene(self, scene: Any) -> None:
        """Recolour what is about to be drawn. The model keeps its colours, which may mean a state:
        a locked button is red."""
        for geom in scene.geoms[: scene.ngeom]:
            geom.rgba[:3] = geom.rgba[list(self.channels)]
        for light in scene.lights[: scene.nlight]:
            for part in (light.ambient, light.diffuse, light.specular):
                part[:] = np.multiply(part, self.light)

    def of_picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture uint8 [S,S,3] of a flat world, turned and recoloured.

        It is enlarged until it fills the frame without its corners.
        """
        from PIL import Image

        turned = Image.fromarray(image).rotate(self.azimuth_deg, Image.Resampling.BILINEAR)
        angle, side = np.radians(abs(self.azimuth_deg)), image.shape[0]
        cut = round(side / 2 * (1 - 1 / (np.cos(angle) + np.sin(angle))))
        inner = turned.crop((cut, cut, side - cut, side - cut)).resize((side, side))
        lit = np.multiply(np.asarray(inner)[..., self.channels], self.light)
        found: NDArray[np.uint8] = np.clip(lit, 0, 255).round().astype(np.uint8)
        return found


_CHANNELS, _LIGHT = (2, 0, 1), (0.95, 0.8, 0.6)
# A camera that somebody else put up: turned by 25 degrees and 5 lower, a twentieth farther away.
_ELSEWHERE = Look(-25.0, 5.0, 1.05, _CHANNELS, _LIGHT)
_TURNED = Look(12.0, 0.0, 1.0, _CHANNELS, _LIGHT)  # of a flat world
LOOKS: dict[LookName, Look | None] = {"default": None, "other": _ELSEWHERE}
FLAT_LOOKS: dict[LookName, Look | None] = {"default": None, "other": _TURNED}
