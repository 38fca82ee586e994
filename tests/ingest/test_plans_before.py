"""Plans of sources of every kind are those of earlier versions: the datasets made then resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ingest.plans import KINDS, RECORDED, plan_of, recorded


@pytest.mark.parametrize("kind", KINDS)
def test_units_and_rows_of_a_plan_are_those_of_earlier_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("SOFDATA_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "s"
    root.mkdir()
    assert recorded(plan_of(kind, root)) == json.loads(RECORDED.read_text())[kind]
