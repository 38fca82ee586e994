"""Optional packages: what is missing is named with the extra that installs it."""

from __future__ import annotations

import sys

import pytest

from sofdata.errors import ConfigError
from sofdata.system.extras import is_installed, missing, require


def test_what_is_missing_is_named_in_one_line_with_its_extra() -> None:
    with pytest.raises(ConfigError) as found:
        require(["numpy", "cheese_io", "moon_io"], "train", "training")
    assert str(found.value) == "training needs cheese_io, moon_io: pip install 'sofdata[train]'"


def test_what_works_without_the_package_is_said() -> None:
    with pytest.raises(ConfigError, match=r"needs cheese_io: .*\[moon\]', or use flow=dis$"):
        require("cheese_io", "moon", "learned flow", otherwise="use flow=dis")


def test_what_is_installed_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require("numpy", "train", "training")
    assert is_installed("numpy")
    assert missing(("numpy", "cheese_io")) == ["cheese_io"]
    monkeypatch.setitem(sys.modules, "numpy", None)  # what Python keeps for a missing module
    assert not is_installed("numpy")
