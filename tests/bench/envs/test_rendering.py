"""The check of what a machine needs to draw."""

from __future__ import annotations

import pytest

from sofdata.bench.envs.rendering import INSTALL, check_packages, check_rendering, choose_backend
from sofdata.errors import ConfigError
from tests.helpers import can_draw


def test_egl_is_taken_where_it_is_and_osmesa_where_only_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert choose_backend(lambda library: True) == "egl"
    monkeypatch.delenv("MUJOCO_GL")
    assert choose_backend(lambda library: "OSMesa" in library) == "osmesa"


def test_missing_libraries_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(ConfigError) as caught:
        choose_backend(lambda library: False)
    assert "libEGL.so.1" in str(caught.value)
    assert "libOSMesa.so.8" in str(caught.value)
    assert INSTALL in str(caught.value)


def test_the_choice_of_the_user_is_kept_or_refused_but_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert choose_backend(lambda library: False) == "glfw"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    with pytest.raises(ConfigError, match="libOSMesa"):
        choose_backend(lambda library: "EGL" in library)


def test_a_missing_package_is_named_with_the_extra_that_brings_it() -> None:
    with pytest.raises(
        ConfigError, match=r"'moon' needs cheese_io: pip install 'sofdata\[bench\]'"
    ):
        check_packages("moon", ["numpy", "cheese_io"])


def test_what_cannot_draw_is_found_out_by_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(ConfigError, match=r"MUJOCO_GL=nonsense: .*invalid value.*apt-get install"):
        check_rendering()
    monkeypatch.delenv("MUJOCO_GL")
    can_draw()
