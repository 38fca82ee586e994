"""docs/api.md is what the code says."""

from __future__ import annotations

from pathlib import Path

import sofdata
from sofdata.tools.api_page import SECTIONS, page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m sofdata.tools.api_page"


def test_every_public_name_is_on_the_page() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted([*listed, "__version__"]) == sorted(sofdata.__all__)
    assert len(set(listed)) == len(listed)


def test_signatures_keep_their_defaults_and_examples_are_code() -> None:
    text = page()
    assert "    corpus: str = 'auto',\n" in text
    assert "    engine: Literal['auto', 'ray', 'processes', 'inline'] | None = None,\n" in text
    assert '```python\n>>> import sofdata\n>>> summary = sofdata.ingest("videos"' in text
    assert "- `dest`: where the dataset goes: a path or an fsspec URL." in text
