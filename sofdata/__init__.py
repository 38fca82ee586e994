"""sofdata turns action-free video into shards of optical-flow skill windows, and trains on them.

    import sofdata

    sofdata.ingest("clips/", "dataset")                              # videos to shards
    for batch in sofdata.load("dataset", batch_size=32):             # shards to torch
        print(batch)                                                 # shapes, not pixels
    sofdata.train(data="dataset", demos="demonstrations", out="models")
    policy = sofdata.load_policy("models")                           # plans and acts

What is listed in `__all__` is public: docs/api.md describes it. Importing sofdata imports nothing
heavy; each name is imported when it is first used.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sofdata.system.versions import __version__

if TYPE_CHECKING:
    from inspect import Signature

    from sofdata.api.edits import append, dedup, merge, rewindow, select, split
    from sofdata.api.functions import estimate, export, ingest, load, load_policy, train, verify
    from sofdata.edits.dedup import Copied, Deduplicated
    from sofdata.edits.split import StoredSplit
    from sofdata.errors import (
        ActionError,
        ConfigError,
        ContractError,
        DecodeError,
        FlowError,
        InputError,
        SofdataError,
        StorageError,
        TransientError,
        WorseError,
    )
    from sofdata.ingest.estimate.estimate import Estimate, NoEstimate
    from sofdata.ingest.estimate.figures import Figure
    from sofdata.ingest.run import Summary
    from sofdata.ingest.verify import Finding, Verdict
    from sofdata.loading.loader import Loader
    from sofdata.loading.split import HeldOut, Sides
    from sofdata.models.policy import Control, Policy
    from sofdata.shards.schema import DatasetRecord
    from sofdata.train.pipeline import Trained
    from sofdata.train.run import StageResult
    from sofdata.types import (
        ActionBatch,
        Actions,
        ActionWindow,
        Batch,
        FlowClip,
        Frames,
        Plan,
        RejectedWindow,
        Skill,
        SkillWindow,
        VideoRef,
    )

__all__ = [
    "ActionBatch",
    "ActionError",
    "ActionWindow",
    "Actions",
    "Batch",
    "ConfigError",
    "ContractError",
    "Control",
    "Copied",
    "DatasetRecord",
    "DecodeError",
    "Deduplicated",
    "Estimate",
    "Figure",
    "Finding",
    "FlowClip",
    "FlowError",
    "Frames",
    "HeldOut",
    "InputError",
    "Loader",
    "NoEstimate",
    "Plan",
    "Policy",
    "RejectedWindow",
    "Sides",
    "Skill",
    "SkillWindow",
    "SofdataError",
    "StageResult",
    "StorageError",
    "StoredSplit",
    "Summary",
    "Trained",
    "TransientError",
    "Verdict",
    "VideoRef",
    "WorseError",
    "__version__",
    "append",
    "dedup",
    "estimate",
    "export",
    "ingest",
    "load",
    "load_policy",
    "merge",
    "rewindow",
    "select",
    "split",
    "train",
    "verify",
]

# Where each public name is defined; `__getattr__` imports it from there.
_HOMES = {
    "sofdata.api.edits": ("append", "merge", "rewindow", "select", "split"),
    "sofdata.api.functions": ("estimate", "load", "load_policy", "verify"),
    "sofdata.edits.dedup": ("Copied", "Deduplicated"),
    "sofdata.edits.split": ("StoredSplit",),
    "sofdata.errors": (
        *("ActionError", "ConfigError", "ContractError", "DecodeError", "FlowError"),
        *("InputError", "SofdataError", "StorageError", "TransientError", "WorseError"),
    ),
    "sofdata.ingest.estimate.estimate": ("Estimate", "NoEstimate"),
    "sofdata.ingest.estimate.figures": ("Figure",),
    "sofdata.ingest.run": ("Summary",),
    "sofdata.models.policy": ("Control", "Policy"),
    "sofdata.loading.loader": ("Loader",),
    "sofdata.shards.schema": ("DatasetRecord",),
    "sofdata.loading.split": ("HeldOut", "Sides"),
    "sofdata.ingest.verify": ("Finding", "Verdict"),
    "sofdata.train.pipeline": ("Trained",),
    "sofdata.train.run": ("StageResult",),
    "sofdata.types": (
        *("ActionBatch", "ActionWindow", "Actions", "Batch", "FlowClip", "Frames", "Plan"),
        *("RejectedWindow", "Skill", "SkillWindow", "VideoRef"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
# Packages that are called as functions, and where those are.
_ALSO_PACKAGES = {
    "dedup": "sofdata.api.edits",
    "export": "sofdata.api.functions",
    "ingest": "sofdata.api.functions",
    "train": "sofdata.api.functions",
}

# A library's logger is silent until a program, as the command line does, gives it a handler.
logging.getLogger("sofdata").addHandler(logging.NullHandler())


class _CallablePackage(ModuleType):
    """`sofdata.ingest` and others: packages that are called as the functions of `api`."""

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._function()(*args, **more)

    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_ALSO_PACKAGES[name]), name)

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # what `help` prints
        from inspect import getdoc

        return f"{getdoc(self._function())}\n\n{self.__name__}{self.__signature__}\n"

    @property
    def __signature__(self) -> Signature:
        from inspect import signature

        return signature(self._function())

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)  # else it would be no task for a pool of processes


class _Root(ModuleType):
    """This package. Python sets a package's attribute when it imports a package within it, which
    would replace the function by the package; here the package becomes callable instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ALSO_PACKAGES and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root


if not TYPE_CHECKING:  # else a type checker would take any name for one of this package

    def __getattr__(name: str) -> Any:
        if name in _ALSO_PACKAGES:
            return import_module(f"sofdata.{name}")
        if name in _HOME_OF:
            return getattr(_home_of(name), name)
        raise AttributeError(f"module 'sofdata' has no attribute '{name}'")


def _home_of(name: str) -> ModuleType:
    try:
        return import_module(_HOME_OF[name])
    except ModuleNotFoundError as error:
        if (error.name or "sofdata").partition(".")[0] == "sofdata":
            raise
        from sofdata.system.extras import install

        needs = f"sofdata.{name} needs {error.name}: {install('train')}"
        raise ImportError(needs, name=error.name) from None


def __dir__() -> list[str]:
    return sorted(__all__)
