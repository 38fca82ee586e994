"""A dissolve between two shots of a film, ingested with and without `windows.gradual_s`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.edits.rewindow import rewound
from sofdata.ingest.config import IngestConfig, load_config, stored_config
from sofdata.ingest.verify import verify
from sofdata.shards.layout import INDEX, REJECTS
from sofdata.shards.parquet import read_table
from sofdata.storage.tree import Tree
from tests.helpers import ingest
from tests.videos import write_video
from tests.windows.test_gradual import WAYS, joined, shot

SETTINGS = ("flow.size=64", "flow.estimator=farneback", "windows.size=32", "windows.min_texture=0")
GRADUAL = "windows.gradual_s=3"
FPS = 8
BEGIN_S, END_S = 22 / FPS, 30 / FPS


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    film = joined(shot(1, 30, 2), shot(2, 30, 2), WAYS["dissolve"], 8)
    write_video(folder / "dissolve.mp4", film, fps=FPS, codec="h264")
    return folder


def gradual(dest: Path) -> list[tuple[float, float]]:
    rows = read_table(Tree(str(dest)), REJECTS).to_pylist()
    return [(row["start_s"], row["end_s"]) for row in rows if row["reason"] == "gradual"]


def check(dest: Path) -> None:
    """One reject at the time of the dissolve, and no window over any of it."""
    ((begin_s, end_s),) = gradual(dest)
    assert begin_s == pytest.approx(BEGIN_S, abs=3 / FPS)
    assert end_s == pytest.approx(END_S, abs=3 / FPS)
    windows = read_table(Tree(str(dest)), INDEX).to_pylist()
    assert all(row["end_s"] <= begin_s or row["start_s"] >= end_s for row in windows)
    assert {row["cut"] for row in windows} == {"start", "gradual"}
    verdict = verify(Tree(str(dest)))
    assert verdict.whole, verdict.findings


def test_a_dissolve_is_one_reject_in_the_account_whatever_the_chunks(
    films: Path, tmp_path: Path
) -> None:
    ingest(films, tmp_path / "whole", *SETTINGS, GRADUAL)
    check(tmp_path / "whole")
    ingest(films, tmp_path / "chunks", *SETTINGS, GRADUAL, "video.chunk_frames=3")
    assert gradual(tmp_path / "chunks") == gradual(tmp_path / "whole")


def test_without_the_key_windows_span_it_as_ever(films: Path, tmp_path: Path) -> None:
    ingest(films, tmp_path / "dataset", *SETTINGS)
    assert gradual(tmp_path / "dataset") == []
    windows = read_table(Tree(str(tmp_path / "dataset")), INDEX).to_pylist()
    assert any(row["start_s"] < BEGIN_S and row["end_s"] > BEGIN_S for row in windows)


def test_kept_flow_is_cut_at_the_same_dissolve(films: Path, tmp_path: Path) -> None:
    ingest(films, tmp_path / "kept", *SETTINGS, "flow.keep=true")
    parent = open_parent(Tree(str(tmp_path / "kept")))
    derive(rewound(parent, Tree(str(tmp_path / "new")), [GRADUAL]), run_config("inline"))
    check(tmp_path / "new")
    ingest(films, tmp_path / "whole", *SETTINGS, GRADUAL)
    assert gradual(tmp_path / "new") == gradual(tmp_path / "whole")


def test_configurations_without_the_key_are_as_they_were() -> None:
    assert "gradual_s" not in IngestConfig().content()["windows"]
    assert stored_config(IngestConfig().content()).windows.gradual_s == 0
    with_key = load_config(None, [GRADUAL])
    assert stored_config(with_key.content()).windows.gradual_s == 3
    assert with_key.digest() != IngestConfig().digest()
