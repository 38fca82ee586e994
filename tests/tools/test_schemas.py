"""`schemas/` holds what the code would export, and recipes load."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sofdata.config.recipes import TRAIN_RECIPES, carried, recipes
from sofdata.config.section import Section
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.tools.export_schemas import exported, settings_page
from sofdata.train.config import load_train_config


def test_the_exported_schemas_are_up_to_date() -> None:
    """When this fails, `make schemas` writes them anew."""
    stored = {path.name: path.read_text() for path in carried("schemas").iterdir()}
    assert stored == exported()
    assert (carried("docs") / "training-settings.md").read_text() == settings_page()


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_carried_recipe_loads(name: str) -> None:
    assert load_config(name) != load_config(None)


@pytest.mark.parametrize("name", sorted(recipes(TRAIN_RECIPES)))
def test_a_carried_training_recipe_loads(name: str) -> None:
    assert load_train_config(name) != load_train_config(None)


@pytest.mark.parametrize("load", [load_config, load_train_config])
def test_every_setting_is_documented(load: Callable[[None], Section]) -> None:
    schema = load(None).model_json_schema()
    sections = {name: part["properties"] for name, part in schema["$defs"].items()}
    for section, fields in sections.items():
        for field, about in fields.items():
            known = "description" in about or "$ref" in about
            assert known, f"{section}.{field} has no description"


def test_overrides_win_over_the_recipe_and_are_typed() -> None:
    config = load_config("ssv2", ["flow.step_s=0.2", "windows.camera=off", "run.workers=3"])
    assert (config.flow.step_s, config.windows.length, config.run.workers) == (0.2, 8, 3)
    assert config.windows.camera == "off"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("flow.steps=1", "did you mean 'flow.step_s'"),
        ("windos.length=4", "did you mean 'windows'"),
        ("flow.step_s=fast", "'flow.step_s'"),
        ("flow.step_s=-1", "greater than or equal to 0.0001"),
        ("windows.length=0", "greater than or equal to 1"),
        ("flow", "needs the form key=value"),
        ("flow.step_s=[", "not YAML"),
    ],
)
def test_a_wrong_setting_is_explained(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, [override])
    assert told in str(error.value)
