"""Files and recordings that show the same thing under different names.

One corpus names recordings and another, or a folder of the same videos, does not; and a video may
lie in a corpus twice, as two recordings. Two are the same if the fingerprints of their files are
equal and the spans that are used of them overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

TOUCH_S = 0.05  # neighbouring episodes of one file may overlap by so much, for they begin at frames


def same_content(videos: pa.Table) -> dict[Any, Any]:
    """Other names for some of the names of these videos, so that what is the same has one.

    videos: of each its fingerprint, span_start_s, span_end_s, recording and name. What belongs to
    no recording counts as the whole file. Fingerprints and names are texts, or numbers that are
    sorted as the texts are. The name is the first of those that are the same.
    """
    import pyarrow.compute as pc

    names = videos.group_by("fingerprint", use_threads=False)
    names = names.aggregate([("name", "count_distinct")])
    several = names.filter(pc.greater(names["name_count_distinct"], 1))["fingerprint"]
    if not len(several):
        return {}
    parent: dict[Any, Any] = {}

    def first(name: Any) -> Any:
        while (above := parent.get(name, name)) != name:
            parent[name] = name = parent.get(above, above)
        return name

    chosen = videos.filter(pc.is_in(videos["fingerprint"], value_set=several.combine_chunks()))
    for one, other in _overlapping(chosen):
        low, high = sorted((first(one), first(other)))
        parent[high] = low
    return {name: first(name) for name in parent}


def _overlapping(videos: pa.Table) -> Iterator[tuple[Any, Any]]:
    """Names of pairs of which the spans overlap; by way of these all that overlap are reached."""
    columns = ("fingerprint", "span_start_s", "span_end_s", "recording", "name")
    spans = sorted(
        (
            fingerprint,
            (start_s or 0.0) if recording else -math.inf,
            end_s if recording and end_s is not None else math.inf,
            name,
        )
        for fingerprint, start_s, end_s, recording, name in zip(
            *(videos[column].to_pylist() for column in columns), strict=True
        )
    )
    file, end_s, last = None, -math.inf, None
    for fingerprint, span_start_s, span_end_s, name in spans:
        if fingerprint == file and span_start_s < end_s - TOUCH_S:
            if name != last:
                yield last, name
        elif fingerprint != file:
            end_s = -math.inf
        if fingerprint != file or span_end_s > end_s:
            end_s, last = span_end_s, name
        file = fingerprint
