"""`sofdata.bench.study.data`: a collection that does not fit is refused before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.study.data import prepare_data
from sofdata.errors import ConfigError
from tests.bench.conftest import tiny


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "collect.json does not exist: 'sofdata bench collect'"),
        ('{"suite": "pushing", "fps": 30}', "at 30 frames/s, and pushing has 10: .*Collect again"),
        ('{"suite": "scene", "fps": 30}', "in the suite scene, .* for pushing: .* --suite scene"),
        ('{"suite": "pushing"}', "has no valid suite and fps: collect again"),
        ('{"suite": "pushing", "f', "has no valid suite and fps"),
        ("[]", "has no valid suite and fps"),
        (
            '{"suite": "pushing", "fps": 10, "texts": {"carry": "carry the block to the square"}}',
            "nothing of push-left, push-right: collect .* --set 'tasks=.carry.'",
        ),
    ],
)
def test_a_collection_that_does_not_fit_is_refused(
    tmp_path: Path, record: str | None, said: str
) -> None:
    if record is not None:
        (tmp_path / "collect.json").write_text(record)
    with pytest.raises(ConfigError, match=said):
        prepare_data(tiny(), find_suite("pushing").fps, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_that_changed_after_it_was_ingested_is_refused(
    collected: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(collected, tmp_path / "collected")
    fps = find_suite("pushing").fps
    before = prepare_data(tiny(), fps, mine, tmp_path / "out")
    assert prepare_data(tiny(), fps, mine, tmp_path / "out") == before
    next((mine / "videos").rglob("*.mp4")).unlink()
    with pytest.raises(
        ConfigError, match=r"use another --out.*source is not what .*videos was planned from"
    ):
        prepare_data(tiny(), fps, mine, tmp_path / "out")


def test_videos_are_ingested_only_where_an_arm_learns_from_them(
    collected: Path, tmp_path: Path
) -> None:
    fps = find_suite("pushing").fps
    without = prepare_data(tiny("arms=[bc, bc-50]", "demos=[1]"), fps, collected, tmp_path)
    (folder,) = (tmp_path / "data").iterdir()
    assert not (folder / "videos").exists()
    assert without.choose("videos", ["push the block to the left"], 0, 0) == []
    with_them = prepare_data(tiny("arms=[bc, sof]"), fps, collected, tmp_path)
    assert (folder / "videos" / "dataset.json").exists()
    assert with_them.digest == without.digest
    assert with_them.sources["demos"] == without.sources["demos"]


@pytest.mark.parametrize(
    "setting", ["curve=[-5]", "seeds=[-1]", "seeds=[1, 1]", "tasks=[a, a]", "demos=[1, 1]"]
)
def test_settings_that_say_nothing_sensible_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        tiny(setting)
