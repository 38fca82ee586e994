"""An ingest whose windows follow the motion: what is stored, loaded, verified and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import sofdata
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, completed, load_config, stored_config
from sofdata.ingest.segments import segment_notes
from sofdata.scenes.pushing import write_pushing_corpus

SETTINGS = {
    "run.engine": "inline",
    "flow.size": 64,
    "windows.size": 32,
    "windows.shots": False,
    "windows.cut": "motion",
    "windows.length": 16,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cut")
    write_pushing_corpus(folder / "corpus", 3)
    return folder / "corpus"


@pytest.fixture(scope="module")
def dataset(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("by motion") / "dataset"
    sofdata.ingest(source, dest, settings=SETTINGS)
    return dest


def test_windows_of_several_lengths_are_stored_verified_and_loaded_with_their_masks(
    dataset: Path,
) -> None:
    index = pq.read_table(dataset / "index.parquet")
    steps = dict(zip(index["key"].to_pylist(), index["steps"].to_pylist(), strict=True))
    assert len(set(steps.values())) > 1
    assert max(steps.values()) <= 16
    assert {"start", "motion"} <= set(index["cut"].to_pylist())
    assert sofdata.verify(dataset).whole
    for batch in sofdata.load(dataset, batch_size=4):
        assert batch.steps.tolist() == [steps[key] for key in batch.keys]
        assert batch.mask.shape[1] == 16
        assert not batch.flow[~batch.mask].any()
        assert batch.mask.sum() == sum(steps[key] for key in batch.keys)


def test_windows_of_a_video_follow_on_each_other(dataset: Path) -> None:
    index = pq.read_table(dataset / "index.parquet", columns=["source", "start_s", "end_s"])
    for source in set(index["source"].to_pylist()):
        rows = [row for row in index.to_pylist() if row["source"] == source]
        ends, starts = [row["end_s"] for row in rows[:-1]], [row["start_s"] for row in rows[1:]]
        assert all(start >= end for start, end in zip(starts, ends, strict=True))


def test_the_same_ingest_again_has_nothing_to_do_and_other_cuts_are_refused(
    source: Path, dataset: Path
) -> None:
    again = sofdata.ingest(source, dataset, settings=SETTINGS | {"windows.stride": 2})
    assert again.units_run == 0, "the stride plays no part"
    with pytest.raises(ConfigError, match=r"windows\.cut"):
        sofdata.ingest(source, dataset, settings=SETTINGS | {"windows.cut": "fixed"})


def test_a_stored_configuration_comes_back_and_one_of_before_is_fixed(dataset: Path) -> None:
    stored = json.loads((dataset / "dataset.json").read_text())["config"]
    found = stored_config(stored)
    assert (found.windows.cut, found.windows.length, found.windows.trim) == ("motion", 16, False)
    before = IngestConfig().content()
    assert "cut" not in before["windows"]
    assert completed(before)["windows"]["cut"] == "fixed"


def test_a_corpus_without_segments_is_refused_where_windows_are_cut_at_them(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"none of its 3 videos has one: use windows\.cut=motion"):
        sofdata.ingest(source, tmp_path / "d", settings=SETTINGS | {"windows.cut": "text"})
    assert not (tmp_path / "d" / "plan.parquet").exists()


def test_videos_without_segments_among_others_are_told() -> None:
    import pyarrow as pa

    texts = json.dumps({"eye": "", "hidden_s": [], "texts": [[0.0, 1.0, "stir"]]})
    hidden = json.dumps({"eye": "", "hidden_s": [[0, 1]], "lasts_s": None, "texts": []})
    table = pa.table(
        {"problem": ["", "", "", "missing"], "annotations": [texts, hidden, None, None]}
    )
    config = load_config(None, ["windows.cut=text"])
    (note,) = segment_notes(table, config)
    assert note.startswith("2 of 3 videos have no annotated segment")
    assert segment_notes(table, load_config(None)) == ()
