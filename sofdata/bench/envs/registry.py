"""The suites that there are, by name."""

from __future__ import annotations

from sofdata.bench.envs.base import Suite
from sofdata.errors import ConfigError

SUITES = ("metaworld", "pushing")


def find_suite(name: str) -> Suite:
    """The suite of that name. Raises `ConfigError` that lists them where there is none."""
    if name == "pushing":
        from sofdata.bench.envs.pushing import PushingSuite

        return PushingSuite()
    if name == "metaworld":
        from sofdata.bench.envs.metaworld import MetaWorldSuite

        return MetaWorldSuite()
    raise ConfigError(f"there is no suite '{name}'; there are {', '.join(SUITES)}")
