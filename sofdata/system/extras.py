"""Optional packages: which are installed, and which extra of sofdata installs what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from sofdata.errors import ConfigError


def is_installed(module: str) -> bool:
    """Whether a module can be found. It is not imported, which may take seconds."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a.b, there is not even an a
        return False


def missing(modules: Iterable[str]) -> list[str]:
    """Those modules that are not installed."""
    return [module for module in modules if not is_installed(module)]


def require(modules: str | Iterable[str], extra: str, why: str, otherwise: str = "") -> None:
    """Check that optional packages are installed, before they are imported.

    modules: top-level names of what is imported, such as "torch".
    extra: of sofdata, which installs them, such as "train".
    why: what needs them, the subject of the message, such as "training".
    otherwise: what works without them, such as "use video.decoder=pyav"; "" for nothing.

    Raises `ConfigError` of one line: "training needs torch: pip install 'sofdata[train]'".
    """
    lacking = missing([modules] if isinstance(modules, str) else modules)
    if lacking:
        hint = f", or {otherwise}" if otherwise else ""
        raise ConfigError(f"{why} needs {', '.join(lacking)}: {install(extra)}{hint}")


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'sofdata[{extra}]'"
