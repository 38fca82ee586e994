"""docs/scale.md holds what benchmarks/scale_costs.py prints, and its arithmetic is right."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sofdata.ingest.config import IngestConfig
from sofdata.types import VideoRef
from tests.helpers import script as load_script
from tests.ingest.cutting import cut

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("scale_costs")


MEASURED: dict[str, Any] = {
    "date": "2026-01-01",
    "machine": "here",
    "load": 0.0,
    "kinds": {
        name: {
            "cpu_s": 0.5,
            "decoding_cpu_s": 0.1,
            "flow_cpu_s": 0.3,
            "pairs": 6.0,
            "windows": 1.5,
            "bytes": 40_000,
        }
        for name in ("240p", "360p", "1080p")
    },
    "requests": {
        "run": {"PutObject": 5.0, "ListObjectsV2": 3.0, "GetObject": 2.0, "DeleteObject": 7.0},
        "unit": {"PutObject": 2.0, "HeadObject": 1.0},
        "video": {"GetObject": 1.0},
    },
}


def test_the_page_holds_what_the_script_prints(script: ModuleType) -> None:
    page = script.PAGE.read_text()
    found = script.tables(json.loads(script.MEASURED.read_text()), script.read(script.DRIVER))
    assert script.filled(page, found) == page, "python benchmarks/scale_costs.py --write"


def test_a_corpus_costs_what_its_seconds_units_and_videos_do(script: ModuleType) -> None:
    corpus = script.Corpus("c", "240p", 10, 100.0, 10 * 2**30, "")
    found = script.cost(corpus, MEASURED)
    assert found.units == 10  # files of a GiB are alone
    assert found.cpu_hours == 50.0
    assert found.hours_without_flow == pytest.approx(20.0)
    assert found.windows == 540_000
    assert found.pairs == 2_160_000
    assert found.bytes_ == 14.4e9
    parts = 86  # of 16 MiB, of a shard of 1.44 GB, which is begun and completed as well
    assert found.puts == 5 + 3 + 10 * 2 + 10 * (parts + 1)
    assert found.gets == 2 + 10 * 1 + 10 * 1


def test_units_are_counted_by_the_rule_that_cuts_them(script: ModuleType) -> None:
    videos = [VideoRef(f"v{n}", f"v{n}.mp4", 1000, f"f{n}") for n in range(5000)]
    assert script.units_of(5000, 5000 * 1000.0) == pytest.approx(
        len(cut(videos, IngestConfig())), rel=0.15
    )
    assert script.units_of(3, 3e12) == 3


def test_the_rows_of_the_driver_are_those_of_its_benchmark(script: ModuleType) -> None:
    rows = [{"engine": "ray", "ms a unit": 1.0, "ms a video": 0.1}]
    costs = [script.cost(corpus, MEASURED) for corpus in script.CORPORA]
    text = script.driver_table(costs, rows)
    assert "driver of ray" in text
    seconds = script.CORPORA[0].hours * 3600 * 0.5 / 1024
    busy = (costs[0].units * 1.0 + 220_847 * 0.1) / 1000 / seconds
    assert f"| {busy:.1%} busy |" in text
