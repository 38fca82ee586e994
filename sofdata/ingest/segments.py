"""Whether a corpus tells where to cut, for `windows.cut` text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = r'"texts": ?\[\['  # the JSON of annotations that hold a timed text


def segment_notes(table: pa.Table, config: IngestConfig) -> tuple[str, ...]:
    """What a user should know of videos without segments, where windows are cut at these.

    table: the planned inputs. Raises `ConfigError` where no video has a segment.
    """
    import pyarrow.compute as pc

    if config.windows.cut != "text":
        return ()
    column = table.filter(pc.equal(table["problem"], ""))["annotations"]
    told = pc.fill_null(pc.match_substring_regex(column, _TEXTS), False)
    with_texts, videos = pc.sum(told).as_py() or 0, len(column)
    if not videos or with_texts == videos:
        return ()
    if not with_texts:
        raise ConfigError(
            f"windows.cut=text cuts at segments that the corpus annotates (narrations, action "
            f"segments), and none of its {videos} videos has one: use windows.cut=motion or fixed"
        )
    return (
        f"{videos - with_texts} of {videos} videos have no annotated segment: windows.cut=text "
        "divides them evenly",
    )
