"""OpenCV, imported so that it cannot hurt: with one thread, and with a remedy when it fails."""

from __future__ import annotations

from types import ModuleType

from sofdata.errors import ConfigError

REMEDY = 'pip install --force-reinstall --no-deps "opencv-python-headless<4.14"'


def load_cv2() -> ModuleType:
    """Import `cv2` and hold it to one thread: sofdata runs a worker a core.

    Raises `ConfigError` with the command that repairs it when the import fails. ptlflow installs
    opencv-python, whose `cv2` overwrites that of opencv-python-headless and needs system libraries
    (libGL, glib) that a bare server lacks.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(
            f"OpenCV does not import: {error}. If it asks for a system library such as libGL, "
            "opencv-python (which ptlflow installs) has overwritten the headless build. "
            f"To repair it: {REMEDY}"
        ) from error
    cv2.setNumThreads(1)
    module: ModuleType = cv2
    return module
