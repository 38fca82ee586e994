"""Where tests make an ingest fail: a name at every step of the commit and at every storage call.

Nothing happens at these steps unless the environment variable SOFDATA_FAULTS is set, to
MODULE:ARGUMENT; then MODULE.injector(ARGUMENT) is called once in each process, and what it returns
is called with the name of every step reached. `tests/faults/inject.py` is such a module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

VARIABLE = "SOFDATA_FAULTS"


def _injector(text: str) -> Callable[[str], None] | None:
    module, _, argument = text.partition(":")
    injector: Callable[[str], Callable[[str], None]] | None
    injector = import_module(module).injector if module else None
    return injector(argument) if injector else None


_inject = _injector(os.environ.get(VARIABLE, ""))


def fault_point(step: str) -> None:
    """Say that a step is reached; tests fail or kill here. Costs a comparison otherwise."""
    if _inject is not None:
        _inject(step)


def arm(text: str) -> None:
    """Ask for faults in this process, as the environment variable would at its start."""
    global _inject
    _inject = _injector(text)
