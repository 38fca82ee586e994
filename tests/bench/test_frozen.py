"""Settings are chosen on validation seeds, and test seeds are only for those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.frozen import check_frozen, chosen_hash, freeze
from sofdata.config.recipes import carried
from sofdata.errors import ConfigError
from tests.bench.conftest import tiny

RECORDS = carried("pipelines") / "bench" / "frozen"


def write_cell(out: Path, purpose: str, chosen: str) -> str:
    name = f"{purpose}-{chosen[:6]}"
    cell: dict[str, Any] = {"arm": "sof", "purpose": purpose}
    (out / "cells").mkdir(parents=True, exist_ok=True)
    values = {"hash": name, "cell": cell, "chosen_sha256": [chosen], "success": 0.5}
    (out / "cells" / f"{name}.json").write_text(json.dumps(values))
    return name


def test_settings_that_were_measured_on_validation_seeds_can_be_frozen_and_used(
    tmp_path: Path,
) -> None:
    config = tiny("exploratory=false")
    with pytest.raises(ConfigError, match=r"no cell .* on validation seeds"):
        freeze(config, tmp_path)
    name = write_cell(tmp_path, "validation", chosen_hash(config))
    record = json.loads(freeze(config, tmp_path, "the best of two").read_text())
    assert list(record["validation_cells"]) == [name]
    assert record["note"] == "the best of two"
    check_frozen(config, tmp_path)
    check_frozen(tiny("exploratory=false", "seeds=[7]", "arms=[bc]"), tmp_path)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    config = tiny("exploratory=false")
    write_cell(tmp_path, "validation", chosen_hash(config))
    freeze(config, tmp_path)
    with pytest.raises(ConfigError, match=r"acting.samples is 9, there 4"):
        check_frozen(tiny("exploratory=false", "acting.samples=9"), tmp_path)
    check_frozen(tiny("acting.samples=9"), tmp_path)  # exploratory: for a look


def test_nothing_is_chosen_after_test_seeds_were_used(tmp_path: Path) -> None:
    config, other = tiny("exploratory=false"), tiny("exploratory=false", "acting.samples=9")
    write_cell(tmp_path, "validation", chosen_hash(config))
    write_cell(tmp_path, "test", chosen_hash(other))
    with pytest.raises(ConfigError, match="choosing by test results"):
        freeze(config, tmp_path)


def test_the_preset_that_is_frozen_for_a_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"not those that were frozen: .*--preset scene has those"
    ):
        check_frozen(load_bench_config("standard", ["suite=scene"]), tmp_path)
    check_frozen(load_bench_config("scene"), tmp_path)
    check_frozen(load_bench_config("standard"), tmp_path)


@pytest.mark.parametrize("suite", ["metaworld", "scene"])
def test_what_was_frozen_first_keeps_its_hash(suite: str) -> None:
    """Keys that came later are left out where they change nothing, those of ingest among them."""
    record = json.loads((RECORDS / "first" / f"{suite}.json").read_text())
    assert chosen_hash(BenchConfig.parse(record["settings"])) == record["chosen_sha256"]


@pytest.mark.parametrize(
    ("preset", "record"),
    [
        ("standard", "metaworld"),
        ("scene", "scene"),
        ("transfer", "transfer"),
        ("scene-transfer", "scene-transfer"),
        ("play", "play"),
    ],
)
def test_a_preset_has_the_settings_that_are_frozen(preset: str, record: str) -> None:
    path = RECORDS / f"{record}.json"
    assert chosen_hash(load_bench_config(preset)) == json.loads(path.read_text())["chosen_sha256"]


@pytest.mark.parametrize(
    "setting",
    ["ingest.windows.tail=drop", "ingest.windows.gradual_s=3", "ingest.flow.quality=fast"],
)
def test_a_later_key_of_ingest_that_changes_something_changes_the_hash(setting: str) -> None:
    assert chosen_hash(load_bench_config("standard", [setting])) != chosen_hash(
        load_bench_config("standard")
    )
