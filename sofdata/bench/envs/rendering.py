"""Rendering without a screen: the system libraries that it needs, and a fast renderer.

MuJoCo draws through EGL or OSMesa, which come with the system and not with a Python package. On a
CPU, multisampling, shadows and reflections are nine tenths of the time of a frame.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.look import Look
from sofdata.errors import ConfigError
from sofdata.system.extras import require

PACKAGES = (
    "libegl1",
    "libegl-mesa0",
    "libgl1",
    "libgl1-mesa-dri",
    "libgles2",
    "libglx-mesa0",
    "libosmesa6",
)
INSTALL = f"apt-get install -y {' '.join(PACKAGES)}"
_LIBRARIES = {"egl": ("libEGL.so.1", "libGL.so.1"), "osmesa": ("libOSMesa.so.8",)}
_CHOICE = "MUJOCO_GL"


def check_packages(suite: str, packages: Sequence[str], extra: str = "bench") -> None:
    """Raises `ConfigError` if one of these Python packages is not installed."""
    require(packages, extra, f"the suite '{suite}'")


def choose_backend(loads: Callable[[str], bool] | None = None) -> str:
    """Set MUJOCO_GL unless it is set, to EGL, or to OSMesa where only that is there.

    Must be called before mujoco is imported. loads: whether a shared library can be loaded.

    Raises `ConfigError` that names the missing libraries and the command that installs them.
    """
    loads = loads or _loads
    wanted = os.environ.get(_CHOICE, "").lower()
    candidates = [wanted] if wanted in _LIBRARIES else list(_LIBRARIES)
    if wanted and wanted not in _LIBRARIES:
        return wanted  # the user's own way, such as a window
    missing = {name: [lib for lib in _LIBRARIES[name] if not loads(lib)] for name in candidates}
    for name in candidates:
        if not missing[name]:
            os.environ[_CHOICE] = name
            return name
    lacking = "; ".join(f"{name}: {', '.join(libraries)}" for name, libraries in missing.items())
    raise ConfigError(
        f"simulators cannot draw here, since system libraries are missing ({lacking}). "
        f"On Debian or Ubuntu: {INSTALL}"
    )


def check_rendering() -> None:
    """Make a very small context, in a process of its own: a broken driver may crash its process,
    and a working one does not mix with all other libraries.

    Raises `ConfigError` where that does not work. Takes half a second.
    """
    backend = choose_backend()
    tried = subprocess.run(
        [sys.executable, "-c", _TRIAL], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        lines = [line for line in tried.stderr.splitlines() if line.strip()]
        why = lines[-1].rstrip(".") if lines else f"the trial ended with {tried.returncode}"
        raise ConfigError(
            f"simulators cannot draw here with MUJOCO_GL={backend}: {why}. Install what drawing "
            f"without a screen needs ({INSTALL}), or try MUJOCO_GL=osmesa"
        )


_TRIAL = """
import sys, mujoco
try:
    context = mujoco.GLContext(16, 16)
    context.make_current()
    context.free()
except Exception as error:
    sys.unraisablehook = lambda unraisable: None
    sys.exit(str(error))
"""


class FastRenderer:
    """Pictures of a MuJoCo model at least cost: 5-8 ms at 128 px on a CPU.

    camera: the name of one of the model's own, or of a free one lookat (x, y, z), distance,
    azimuth and elevation. hidden_groups: groups of geoms that are not drawn. look: another than
    the model's own, for free cameras. second: another camera, given as the first.
    """

    def __init__(
        self,
        model: Any,
        size: int,
        camera: str | dict[str, Any],
        hidden_groups: Sequence[int] = (),
        look: Look | None = None,
        second: str | dict[str, Any] | None = None,
    ) -> None:
        choose_backend()
        import mujoco

        self._look = look
        if look:
            look.of_textures(model)
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        self._renderer = mujoco.Renderer(model, size, size)
        # Released at the interpreter's end at the latest. Mujoco has registered there that it ends
        # the drawing library; what is registered later is done before.
        self._release = weakref.finalize(self, self._renderer.close)
        atexit.register(self._release)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._options = mujoco.MjvOption()
        self._options.geomgroup[list(hidden_groups)] = 0
        self._camera = _camera(camera, look)
        self._second = None if second is None else _camera(second, look)

    def draw(self, data: Any) -> NDArray[np.uint8]:
        """The picture of a state, uint8 [S,S,3]."""
        return self._draw(data, self._camera)

    def draw_second(self, data: Any) -> NDArray[np.uint8]:
        """The second camera's picture of it, which there must be."""
        assert self._second is not None
        return self._draw(data, self._second)

    def _draw(self, data: Any, camera: Any) -> NDArray[np.uint8]:
        self._renderer.update_scene(data, camera, self._options)
        if self._look:
            self._look.of_scene(self._renderer.scene)
        image: NDArray[np.uint8] = self._renderer.render()
        return image.copy()

    def close(self) -> None:
        """Release the context."""
        self._release()


def _camera(camera: str | dict[str, Any], look: Look | None) -> Any:
    """A camera as mujoco takes it."""
    import mujoco

    if not isinstance(camera, dict):
        return camera
    camera = look.of_camera(camera) if look else camera
    free = mujoco.MjvCamera()
    free.type = mujoco.mjtCamera.mjCAMERA_FREE
    free.lookat[:] = camera["lookat"]
    for name in ("distance", "azimuth", "elevation"):
        setattr(free, name, camera[name])
    return free


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
