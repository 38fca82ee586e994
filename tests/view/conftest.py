"""A dataset with captions and names that want to be markup, and skills for its windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.storage.tree import Tree
from sofdata.view.film import Source
from sofdata.view.site import Site
from tests.helpers import ingest

HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "' onload='x' {{ 7*7 }} \u202e turned \x07 \u0627\u062f\u0641\u0639 " + "long " * 400
)
CODES = 16


@pytest.fixture(scope="session")
def hostile(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos with such a caption, one in a file of such a name, and one that is none."""
    source = tmp_path_factory.mktemp("hostile") / "source"
    source.mkdir()
    clips = sorted(corpus.rglob("*.webm"))
    names = ["<b onclick=x>&amp; %2e%2e?#.webm", "plain.webm"]
    lines = []
    for name, clip in zip(names, clips, strict=False):
        (source / name).write_bytes(clip.read_bytes())
        lines.append({"path": name, "text": HOSTILE})
    (source / "none<i>.mp4").write_text("no video")
    lines.append({"path": "none<i>.mp4", "text": "none"})
    (source / "manifest.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    dest = source.parent / "dest"
    ingest(source / "manifest.jsonl", dest)
    write_skills(dest, "model")
    return dest


@pytest.fixture
def site(hostile: Path) -> Iterator[Site]:
    """Answers for that dataset."""
    tree = Tree(str(hostile))
    made = Site(tree, Source.of(tree, None))
    yield made
    made.close()


def write_skills(dest: Path, name: str, codebook: int = CODES) -> np.ndarray:
    """Skills of two tokens, or of three numbers, for each window, as `sofdata encode` has them."""
    index = pq.read_table(dest / "index.parquet", columns=["key"])
    generator = np.random.default_rng(0)
    kind, column = (pa.int32(), "tokens") if codebook else (pa.float32(), "codes")
    if codebook:
        values = generator.integers(0, codebook, (index.num_rows, 2)).astype(np.int32)
    else:
        values = generator.normal(size=(index.num_rows, 3)).astype(np.float32)
    said = {
        "sofdata.model_sha256": "ab" * 32,
        "sofdata.tokens": "2" if codebook else "1",
        "sofdata.code_dim": "1" if codebook else "3",
        "sofdata.codebook_size": str(codebook),
    }
    schema = pa.schema(
        [pa.field("key", pa.string(), nullable=False), pa.field(column, pa.list_(kind))],
        metadata=said,
    )
    (dest / "skills").mkdir(exist_ok=True)
    table = pa.table([index["key"], pa.array(values.tolist(), pa.list_(kind))], schema=schema)
    pq.write_table(table, dest / "skills" / f"{name}.parquet")
    return values
