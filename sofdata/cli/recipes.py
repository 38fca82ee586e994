"""`sofdata recipes`: the settings that sofdata carries, what each is for and what it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sofdata.cli.complete import completer
from sofdata.cli.options import Json, examples
from sofdata.errors import ConfigError
from sofdata.system.nearest import did_you_mean
from sofdata.ui.console import print_json, say, stdout

RECIPES_EXAMPLES = examples(
    "sofdata recipes",
    "sofdata recipes ego4d",
    "sofdata recipes standard --json",
)
_SHOWN_DEPTH = 2  # of a setting's key: "skill.optim" stands for all that it holds


@dataclass(frozen=True, slots=True)
class CarriedRecipe:
    """A recipe that comes with sofdata.

    use: the option that takes its name. summary: the first sentence of its comment.
    settings: what it changes, by dotted key.
    """

    name: str
    use: str
    summary: str
    settings: dict[str, Any]
    path: Path


@completer
def all_recipes() -> Iterable[str]:
    """Names for `sofdata recipes`."""
    return [recipe.name for recipe in carried_recipes()]


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Print this recipe's YAML.", autocompletion=all_recipes),
    ] = None,
    json_: Json = False,
) -> None:
    """List the recipes that come with sofdata, or print one to start your own from."""
    found = carried_recipes()
    if name is not None:
        found = [recipe for recipe in found if recipe.name == name]
        if not found:
            known = [recipe.name for recipe in carried_recipes()]
            hint = did_you_mean(name, known) or "."
            raise ConfigError(f"there is no recipe '{name}'{hint} There are {', '.join(known)}")
    if json_:
        print_json([_summary(recipe) for recipe in found])
    elif name is None:
        _print_list(found)
    else:
        for recipe in found:
            print(recipe.path.read_text(encoding="utf-8"), end="")


def carried_recipes() -> list[CarriedRecipe]:
    """All recipes, as `load_config` and its like find them by name."""
    from sofdata.config.recipes import BENCH_RECIPES, INGEST_RECIPES, TRAIN_RECIPES
    from sofdata.config.recipes import recipes as in_folder

    uses = {
        INGEST_RECIPES: "sofdata ingest --recipe",
        TRAIN_RECIPES: "sofdata train --recipe",
        BENCH_RECIPES: "sofdata bench run --preset",
    }
    return [
        _read(name, use, path)
        for folder, use in uses.items()
        for name, path in in_folder(folder).items()
    ]


def _read(name: str, use: str, path: Path) -> CarriedRecipe:
    from sofdata.config.written import read_recipe

    data = path.read_bytes()
    settings = dict(_dotted(read_recipe(data, name)))
    return CarriedRecipe(name, use, _first_sentence(data.decode()), settings, path)


def _first_sentence(text: str) -> str:
    """Of the comment that a recipe begins with."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).partition(". ")[0].rstrip(".") + "."


def _dotted(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    from sofdata.config.written import typed

    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", typed(value)


def _summary(recipe: CarriedRecipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "use": f"{recipe.use} {recipe.name}",
        "summary": recipe.summary,
        "settings": recipe.settings,
        "path": str(recipe.path),
    }


def _print_list(found: list[CarriedRecipe]) -> None:
    console, use = stdout(), ""
    for recipe in found:
        if recipe.use != use:
            use = recipe.use
            say(console, f"{use} NAME", "bold")
        changes = dict.fromkeys(_shortened(key) for key in recipe.settings)
        say(console, f"  {recipe.name:14} {recipe.summary}")
        say(console, f"  {'':14} changes {', '.join(changes)}", "dim")


def _shortened(key: str) -> str:
    return ".".join(key.split(".")[:_SHOWN_DEPTH])
