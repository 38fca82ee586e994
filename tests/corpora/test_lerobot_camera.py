"""One camera of a LeRobot dataset, chosen by name: the others are counted, and not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, load_config, stored_config
from sofdata.storage.tree import Tree
from tests.corpora.test_account import files_of, walked
from tests.helpers import ingest
from tests.lerobot_pictures import write_pictures
from tests.lerobots import TOP, WRIST, grey_episodes, write_grey, write_v2

KEEP_ALL = ("windows.static_px=0", "windows.min_texture=0", "windows.shots=false")
CUT = ("flow.step_s=0.1", "flow.size=32", "windows.size=16", "windows.length=4", *KEEP_ALL)


def listed(root: Path, camera: str | None) -> Listing:
    corpus, _ = find_corpus(Tree(str(root)), sequences=SequenceConfig(camera=camera))
    return corpus.listing(Tree(str(root)))


def in_folders(root: Path) -> Path:
    return write_pictures(root, {TOP: "files", WRIST: "files"})


def mixed(root: Path) -> Path:
    return write_pictures(root, {TOP: "video", WRIST: "rows"})


def v2(root: Path) -> Path:
    return write_v2(root, grey_episodes())


@pytest.mark.parametrize("write", [write_grey, v2, in_folders, mixed])
@pytest.mark.parametrize("camera", [TOP, WRIST])
def test_one_camera_is_read_and_every_other_file_is_accounted_for(
    tmp_path: Path, write: Callable[[Path], Path], camera: str
) -> None:
    root = write(tmp_path / "s")
    every, found = listed(root, None), listed(root, camera)
    assert list(found.entries) == [e for e in every.entries if e.labels["camera"] == camera]
    assert f"of 2 cameras {camera} alone is read" in " ".join(found.notes)
    inputs = set(files_of(Tree(str(root)), found.entries))
    assert set(found.ignored) <= {"another camera's video", "another camera's picture"}
    rest = walked(root) - inputs - set(found.tables)
    assert len(rest) == sum(found.ignored.values())


def test_a_camera_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    root = write_grey(tmp_path / "s")
    with pytest.raises(ConfigError, match=rf"did you mean '{TOP}'\? There are {TOP}, {WRIST}"):
        listed(root, "observation.images.topp")
    with pytest.raises(ConfigError, match="no camera of that name to read"):
        ingest(root, tmp_path / "d", "sequences.camera=wide")


def test_its_windows_are_those_of_an_ingest_of_all_cameras(tmp_path: Path) -> None:
    write_grey(tmp_path / "s")
    ingest(tmp_path / "s", tmp_path / "all", *CUT, "with_actions=true")
    ingest(tmp_path / "s", tmp_path / "one", *CUT, "with_actions=true", f"sequences.camera={WRIST}")
    columns = ["key", "source", "start_s", "end_s"]
    both, one = (
        pq.read_table(tmp_path / name / "index.parquet", columns=columns).to_pylist()
        for name in ("all", "one")
    )
    chosen = [row for row in both if row["source"].startswith(WRIST)]
    assert sorted(one, key=str) == sorted(chosen, key=str)
    assert 0 < len(one) == len(both) / 2


def test_settings_without_a_camera_are_what_they_were_before_there_was_this_key() -> None:
    # Computed with the version before it.
    plain = "82103751a43307c3338f5d9ffed0124762a95094b4bbdd0801b66d976abc4903"
    with_fps = "21915e08dba95a1f5ee12980d6b24471aa0ca834d2603e8301036ddef8fe6c2c"
    assert IngestConfig().digest() == plain
    config = load_config(None, ["sequences.fps=10"])
    assert config.digest() == with_fps
    assert stored_config(config.content()).sequences == config.sequences
    chosen = load_config(None, ["sequences.camera=a"])
    assert chosen.content()["sequences"]["camera"] == "a"
    assert stored_config(chosen.content()).sequences.camera == "a"
