"""The version of sofdata, and those of other packages that a result may depend on."""

from __future__ import annotations

__version__ = "0.1.0"


def installed(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version  # 25 ms, for records alone

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
