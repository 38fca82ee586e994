"""The section `flow` refuses what cannot be meant."""

from __future__ import annotations

import re

import pytest

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"estimater": "dis"}, "did you mean 'estimator'"),
        ({"dis": {"patch_strid": 3}}, "did you mean 'dis.patch_stride'"),
        ({"size": 16}, "greater than or equal to 32"),
        ({"step_s": 0}, "greater than or equal to 0.0001"),
        ({"step_s": 1.0, "max_step_s": 0.5}, "every step would be a gap"),
        ({"dis": {"patch_size": 4, "patch_stride": 6}}, "leaves gaps between patches"),
        ({"model_size": [160]}, "model_size"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(
    values: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        FlowConfig.parse(values)


def test_a_recipe_may_give_sizes_as_lists() -> None:
    config = FlowConfig.parse(
        {"model_size": [160, 448], "model_args": {"attn_splits_list": [1, 4]}}
    )
    assert config.model_size == (160, 448)


def test_every_field_is_described() -> None:
    for section in (FlowConfig, type(FlowConfig().dis)):
        for name, field in section.model_fields.items():
            assert field.description, name
