"""The windows' configuration refuses what cannot work."""

from __future__ import annotations

import pytest

from sofdata.errors import ConfigError
from sofdata.windows.config import WindowConfig


def test_the_defaults_hold_together_and_are_documented() -> None:
    WindowConfig()
    assert all(info.description for info in WindowConfig.model_fields.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stride": 9}, "stride 9 is larger than length 8"),
        ({"min_steps": 9}, "min_steps 9 is larger than length 8"),
        ({"length": 0}, "length"),
        ({"camera": "remove"}, "camera"),
        ({"static": 1}, "did you mean 'static_px'"),
    ],
)
def test_wrong_values_are_refused_with_the_reason(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WindowConfig.parse(values)
