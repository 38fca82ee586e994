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
        ({"cut": "motion", "length": 5}, "at least twice shortest, 6, and it is 5"),
        ({"cut": "text", "tail": "mask", "stride": 9}, "stride 9 is larger"),
        ({"trim": True, "static_px": 0}, "trim goes by static_px"),
        ({"trim": True, "trim_margin": 4, "trim_inside": 8}, "more than twice trim_margin, 4"),
        ({"cut": "movement"}, "cut"),
        ({"camera": "remove"}, "camera"),
        ({"static": 1}, "did you mean 'static_px'"),
    ],
)
def test_wrong_values_are_refused_with_the_reason(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WindowConfig.parse(values)


def test_keys_that_change_nothing_are_no_part_of_what_decides_bytes() -> None:
    fixed = WindowConfig().content()
    new = {"cut", "shortest", "change", "trim", "trim_margin", "trim_inside"}
    assert not new & set(fixed)
    assert WindowConfig.parse({"shortest": 4, "change": 0.7, "trim_margin": 3}).content() == fixed
    motion = WindowConfig.parse({"cut": "motion", "shortest": 4, "stride": 2})
    assert motion.content()["shortest"] == 4
    assert "stride" not in motion.content()
    assert WindowConfig.parse({"cut": "motion", "tail": "mask"}).content()["stride"] == 4
    assert motion.content() == WindowConfig.parse({"cut": "motion", "shortest": 4}).content()


def test_windows_that_follow_on_each_other_may_be_shorter_than_the_stride_of_others() -> None:
    assert WindowConfig.parse({"cut": "motion", "length": 3, "shortest": 1}).stride == 4
