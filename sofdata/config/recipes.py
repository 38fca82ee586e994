"""Recipes: YAML files of settings, those that sofdata carries, and overrides on top of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from sofdata.config.overrides import apply
from sofdata.config.section import Section
from sofdata.config.written import LARGEST_BYTES, read_recipe
from sofdata.errors import ConfigError
from sofdata.system.nearest import did_you_mean

S = TypeVar("S", bound=Section)
INGEST_RECIPES, TRAIN_RECIPES, BENCH_RECIPES = ".", "train", "bench"  # folders in pipelines/


def load_section(
    section: type[S],
    recipe: str | None,
    overrides: Iterable[str] = (),
    folder: str = INGEST_RECIPES,
) -> S:
    """Read a recipe for any kind of section; otherwise as `load_config`.

    folder: where sofdata carries the recipes of this kind.
    """
    values = _read_recipe(recipe, folder) if recipe is not None else {}
    return overridden(section, values, overrides)


def overridden(section: type[S], values: dict[str, Any], overrides: Iterable[str]) -> S:
    """A section of keys and values, once `a.b=c` is applied to these, which changes them."""
    for override in overrides:
        apply(values, override, section)
    return section.parse(values)


def recipes(folder: str = INGEST_RECIPES) -> dict[str, Path]:
    """The recipes that sofdata carries, by name."""
    path = carried("pipelines") / folder
    return {path.stem: path for path in sorted(path.glob("*.yaml"), key=lambda each: each.stem)}


def carried(folder: str) -> Path:
    """A top-level folder of the project: in a checkout beside the package, in a wheel inside it."""
    package = Path(str(files("sofdata")))
    inside = package / f"_{folder}"
    return inside if inside.is_dir() else package.parent / folder


def _read_recipe(recipe: str, folder: str) -> dict[str, Any]:
    path = recipes(folder).get(recipe, Path(recipe))
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        known = recipes(folder)
        hint = "" if "/" in recipe else did_you_mean(recipe, known)
        give = f"{hint} Give" if hint else "; give"
        raise ConfigError(
            f"cannot read recipe '{recipe}' ({getattr(error, 'strerror', error)})"
            f"{give} a path to a YAML file or one of: {', '.join(known) or 'none'}"
        ) from None
    return read_recipe(data, recipe)
