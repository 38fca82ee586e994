"""Self-contained HTML pages: one file, no script, no request, pictures and drawings inside.

Everything that is put into a template is escaped by Jinja2, since labels and file names are data.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.storage.local import storage_errors
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    from jinja2 import Environment

JPEG_QUALITY = 88
HISTOGRAM_BINS = 40
_LARGEST = 1e30  # what is drawn: beyond it there are no bins of equal widths


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values fall into equal bins from `low` to `high`, ready to be drawn.

    heights: 0 to 1, the fullest bin being 1. over: values above `high`, which the last bin holds.
    """

    title: str
    unit: str
    low: float
    high: float
    median: float
    heights: tuple[float, ...]
    over: int


def histogram(title: str, unit: str, values: NDArray[np.floating]) -> Histogram | None:
    """Bins up to the 99.5th percentile, so that one stray value hides nothing; None of no value."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.abs(finite) < _LARGEST]  # nor what is no number
    if not finite.size:
        return None
    low = min(0.0, float(finite.min()))
    high = float(np.percentile(finite, 99.5)) or 1.0
    counts, _ = np.histogram(finite.clip(max=high), HISTOGRAM_BINS, (low, max(high, low + 1e-9)))
    heights = tuple((counts / counts.max()).round(4).tolist())
    over = int((finite > high).sum())
    return Histogram(title, unit, low, high, float(np.median(finite)), heights, over)


def picture(rgb: NDArray[np.uint8], lossless: bool = False) -> str:
    """uint8 [H,W,3] as a data URI: a JPEG, or a PNG where edges and flat colours matter.

    With transparency, [H,W,4], it has to be a PNG.
    """
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if lossless:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def render(template: str, values: Mapping[str, Any], package: str = "sofdata.report") -> bytes:
    """A page from a template in `templates` of a package, UTF-8.

    Text that cannot be stored as UTF-8 (half of a surrogate pair) becomes question marks.
    """
    return _templates(package).get_template(template).render(values).encode("utf-8", "replace")


@cache
def _templates(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(tree: Tree, name: str, page: bytes, path: str | None) -> str:
    """Write a page to a local path, or as `name` into a folder. Returns where it lies.

    Raises `StorageError` where that cannot be written.
    """
    if path is None:
        tree.write(name, page)
        return f"{tree.name.rstrip('/')}/{name}"
    with storage_errors(f"write {path}"), open(path, "wb") as handle:
        handle.write(page)
    return path
