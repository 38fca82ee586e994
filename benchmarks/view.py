"""How long the pages of `sofdata view` take on a dataset of many windows, and how they look.

    python benchmarks/view.py DATASET [--windows 100000]
    python benchmarks/view.py DATASET --pictures docs/pictures

DATASET: any small one. Its index is repeated into a copy with as many windows, in a temporary
folder; each page is asked for some times, and the median of the CPU seconds of this process, which
serves and asks, is printed. What is remembered from one request to the next is what a user gets,
too; the first request of each kind is printed apart.

--pictures draws the pictures of docs/view.md instead, with a headless Chromium of this machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sofdata.shards.parquet import write_columns
from sofdata.storage.tree import Tree
from sofdata.view.film import Source
from sofdata.view.server import ViewServer
from sofdata.view.site import Site
from tests.chromium import chromium

PAGES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("windows", "", {}),
    ("a page further on", "", {"page": "2000"}),
    ("words", "", {"q": "WORD"}),
    ("bounds of motion", "", {"least": "LEAST"}),
    ("fastest first", "", {"order": "fast"}),
    ("a filter", "", {"where": "mean_px > LEAST and text != ''"}),
    ("one window", "window", {"row": "ROW"}),
    ("flow that plays", "picture/flow", {"row": "ROW"}),
    ("set aside", "aside", {"kind": "window"}),
    ("account", "account", {}),
)
TIMES = 7
HEIGHT = 760  # of a picture, px


def enlarged(dataset: Path, folder: Path, windows: int) -> Path:
    """A copy of a dataset whose index is repeated up to so many windows."""
    copy = folder / "dataset"
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("skills"))
    index = pq.read_table(copy / "index.parquet")
    many = pa.concat_tables([index] * -(-windows // index.num_rows)).slice(0, windows)
    many = many.combine_chunks()
    # As in a dataset of so many: each repetition is of other videos, and no two move alike.
    again = [str(number // index.num_rows) for number in range(windows)]
    sources = pc.binary_join_element_wise(many["source"], pa.array(again), "-")
    motion = pc.multiply(many["mean_px"], np.linspace(0.5, 1.5, windows))
    for name, column in (("source", sources), ("mean_px", motion)):
        at = many.schema.get_field_index(name)
        many = many.set_column(at, many.schema.field(at), column)
    write_columns(Tree(str(copy)), "index.parquet", many)
    return copy


def measure(site: Site, path: str, given: dict[str, str]) -> tuple[float, float]:
    """CPU seconds of the first request, and the median of those after it."""
    spent = []
    for _ in range(1 + TIMES):
        began = time.process_time()
        answer = site.answer(path, given)
        spent.append(time.process_time() - began)
        assert answer.status == 200, answer.body[-400:]
    return spent[0], statistics.median(spent[1:])


def draw(dataset: Path, into: Path) -> None:
    """The page of windows, wide and light, and that of one window, narrow and dark."""
    tree = Tree(str(dataset))
    site = Site(tree, Source.of(tree, None))
    fastest = int(np.argmax(pq.read_table(dataset / "index.parquet")["mean_px"].to_numpy()))
    pages = (
        ("view-windows.jpg", "", 1200, False),
        ("view-window.jpg", "window?row=ROW", 400, True),
    )
    with tempfile.TemporaryDirectory() as folder, ViewServer(site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium(Path(folder) / "profile") as browser:
            for name, page, width, dark in pages:
                browser.look(width, HEIGHT, dark)
                browser.open(server.address + page.replace("ROW", str(fastest)))
                browser.until("[...document.images].every(image => image.complete)")
                if page:
                    browser.until("document.querySelector('.player').dataset.ready")
                    browser.run("document.querySelector('.play').click()")
                browser.picture(Path(folder) / "page.png", whole=False)
                with Image.open(Path(folder) / "page.png") as picture:
                    picture.convert("RGB").save(into / name, quality=85)
        server.shutdown()
    site.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--pictures", type=Path, help="a folder for them")
    given = parser.parse_args()
    if given.pictures:
        draw(given.dataset, given.pictures)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = enlarged(given.dataset, Path(folder), given.windows)
        index = pq.read_table(copy / "index.parquet")
        texts = [text for text in index["text"].unique().to_pylist() if text]
        words = {
            "WORD": texts[0].split()[0] if texts else "a",
            "LEAST": f"{statistics.median(index['mean_px'].to_pylist()):.4f}",
            "ROW": str(given.windows // 2),
        }
        site = Site(Tree(str(copy)), Source(None, "not asked for"))
        print(f"{given.windows} windows; CPU ms of the first request, and of the median after it")
        for title, path, values in PAGES:
            asked = dict(values)
            for word, value in words.items():
                asked = {name: text.replace(word, value) for name, text in asked.items()}
            first, later = measure(site, path, asked)
            print(f"{title:20} {1000 * first:8.1f} {1000 * later:8.1f}")
        site.close()


if __name__ == "__main__":
    main()
