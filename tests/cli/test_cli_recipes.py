"""`sofdata recipes`: what is listed is what the other commands take."""

from __future__ import annotations

import json

import pytest

from sofdata.bench.study.config import load_bench_config
from sofdata.cli.recipes import CarriedRecipe, carried_recipes
from sofdata.config.recipes import carried
from sofdata.ingest.config import load_config
from sofdata.train.config import load_train_config
from tests.helpers import sofdata

LOADERS = {
    "sofdata ingest --recipe": load_config,
    "sofdata train --recipe": load_train_config,
    "sofdata bench run --preset": load_bench_config,
}


@pytest.mark.parametrize("recipe", carried_recipes(), ids=lambda recipe: recipe.name)
def test_a_listed_recipe_loads_by_its_name_and_says_what_it_is_for(recipe: CarriedRecipe) -> None:
    config = LOADERS[recipe.use](recipe.name).model_dump(mode="json")
    for key, value in recipe.settings.items():
        found = config
        for part in key.split("."):
            found = found[part]
        assert found == value, key
    assert 10 < len(recipe.summary) < 160
    assert recipe.summary.endswith(".")


def test_every_recipe_is_listed_once() -> None:
    pipelines = carried("pipelines")
    paths = {*pipelines.glob("*.yaml"), *pipelines.glob("train/*.yaml")}
    assert {recipe.path for recipe in carried_recipes()} == paths | {
        *pipelines.glob("bench/*.yaml")
    }
    names = [recipe.name for recipe in carried_recipes()]
    assert len(set(names)) == len(names)


def test_the_list_is_for_people_and_for_programs() -> None:
    text = sofdata("recipes").stdout
    assert "sofdata ingest --recipe NAME" in text
    assert "Something-Something V2" in text
    assert "changes flow.step_s, windows.length" in text
    rows = {row["name"]: row for row in json.loads(sofdata("recipes", "--json").stdout)}
    assert rows["ssv2"]["settings"] == {
        "flow.step_s": 0.16,
        "windows.length": 8,
        "windows.stride": 4,
    }
    assert rows["small"]["use"] == "sofdata train --recipe small"


def test_one_recipe_is_printed_as_it_is() -> None:
    done = sofdata("recipes", "ssv2")
    assert done.stdout == (carried("pipelines") / "ssv2.yaml").read_text()


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    done = sofdata("recipes", "ssv3")
    assert done.returncode == 2
    assert "there is no recipe 'ssv3'; did you mean 'ssv2'? There are ego4d, " in done.stderr
