"""What the files of a dataset hold, schema version 1: JSON as models, Parquet as Arrow schemas.

`schemas/` holds both in exported form (`python -m sofdata.tools.export_schemas`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, field_validator

from sofdata.bounded.jsons import check_numbers, check_size
from sofdata.shards.names import is_file_name
from sofdata.types import SCHEMA_VERSION
from sofdata.windows.quality import QUALITY_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["done", "rejected", "quarantined"]
MIB = 1 << 20
# Sides and lengths, px and steps, beyond which no configuration goes.
LARGEST_SIDE = 4096
_HISTOGRAM_BINS = 1 << 14  # more than there are bins of float32, see `sofdata.shards.stats`
_LARGEST_SUM = 1e100

T = TypeVar("T")


def _whole_numbers(value: Any) -> Any:
    """Refuse a tally at its first wrong value: millions of errors would take gigabytes."""
    if isinstance(value, dict) and not all(type(each) is int for each in value.values()):
        raise ValueError("its values must be whole numbers")
    return value


Tally = Annotated[dict[str, int], BeforeValidator(_whole_numbers)]
Rows = Annotated[list[T], FailFast()]


class Record(BaseModel):
    """Base of what is stored as JSON. Unknown keys are refused.

    OPTIONAL: fields that are left out of the JSON where they are None, since they came later than
    the schema: what has no use for them keeps its bytes.
    MOST_BYTES: of JSON, which is not read if it is longer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    MOST_BYTES: ClassVar[int] = 2 * MIB

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The record in a JSON text that a stranger may have written.

        Raises `ValueError` (pydantic's among them) for one that is too long or too deep, does not
        fit the schema, or holds numbers that cannot be; `sofdata.bounded.jsons.brief` shortens it.
        """
        check_size(data, cls.MOST_BYTES)
        record = cls.model_validate_json(data)
        check_numbers(record)
        for problem in record.problems():
            raise ValueError(problem)
        return record

    def problems(self) -> Iterator[str]:
        """What its values cannot be, though they are of the right types."""
        yield from ()

    def to_json(self) -> bytes:
        """Canonical bytes: the same value gives the same bytes."""
        import json

        values = self._values()
        text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return text.encode()

    def _values(self) -> dict[str, Any]:
        """What is written as JSON."""
        return self._without_later(self.model_dump(mode="json"))

    @classmethod
    def _without_later(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if v is not None or k not in cls.OPTIONAL}


class SampleActions(Record):
    """What `KEY.actions.npy` holds: an action a row."""

    names: list[str] = Field(description="Name of each dimension.")
    dimension: int = Field(description="Numbers in an action, A.")
    times_s: list[float] = Field(
        description="When each of the N actions was taken, s, on the clock of pts_s."
    )


class SampleRecord(Record):
    """`KEY.json`: everything about a window but its pixels, its flow and its actions."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"actions", "quality"})

    schema_version: int = SCHEMA_VERSION
    key: str = Field(description="Name of the sample: unique in the dataset, without a dot.")
    source: str = Field(description="Id of the video in its corpus.")
    window: int = Field(description="Number of the window in its video, rejected ones counted.")
    start_s: float = Field(description="Presentation time of the first frame, s.")
    end_s: float = Field(description="Presentation time of the last frame, s.")
    pts_s: list[float] = Field(description="Presentation times of all L + 1 frames, s.")
    cut: str = Field(
        description="Why the window begins where it does: motion, length or stride; or why its "
        "stretch does: start, shot, gap, redacted, text or idle."
    )
    text: str = Field(description="What the corpus says is done; empty if it says nothing.")
    labels: dict[str, str] = Field(description="Further fields of the corpus.")
    motion: dict[str, float] = Field(description="Statistics of the flow, px a step as stored.")
    quality: dict[str, float] | None = Field(
        None,
        description="What pictures and flow are worth, of what quality.columns asks for; only in "
        "datasets that ask for any.",
    )
    flow: dict[str, Any] = Field(description="How the flow is coded; see docs/format.md.")
    estimator: str = Field(description="What estimated the flow.")
    video_size: tuple[int, int] = Field(description="Height and width of the video as shown, px.")
    frame_size: tuple[int, int] = Field(description="Height and width of first and last, px.")
    fit: str = Field(description="How frames were brought to that size: stretch or crop.")
    actions: SampleActions | None = Field(
        None, description="What was done; only in datasets with actions."
    )


class ShardRecord(Record):
    """A committed shard."""

    name: str
    samples: int
    size_bytes: int
    sha256: str
    md5: str = Field(description="For wids, which checks with md5.")

    @field_validator("name")
    @classmethod
    def _is_no_path(cls, name: str) -> str:
        if not is_file_name(name):
            raise ValueError("a shard's name is the name of a file in shards/, not a path")
        return name


class KeptRecord(Record):
    """`KEY.json` in a shard of kept flow: some consecutive steps of a video, between frames."""

    schema_version: int = SCHEMA_VERSION
    key: str = Field(description="Name of the sample: unique in these shards, without a dot.")
    source: str = Field(description="Id of the video in its corpus.")
    part: int = Field(description="Number of the piece in its video, from 0 on.")
    pts_s: list[float] = Field(description="Presentation times of its S + 1 frames, s.")
    moves: list[bool] = Field(description="Of each of the S steps, whether its flow is not zero.")
    known: list[bool] = Field(
        description="Of each step, whether flow was looked for: not over gaps and what is redacted."
    )
    flow: dict[str, Any] = Field(
        description="How the flow of the steps that move is coded; empty where none does."
    )
    jpeg_bytes: list[int] = Field(description="Length of each frame in frames.jpegs.")
    estimator: str = Field(description="What estimated the flow.")
    video_size: tuple[int, int] = Field(description="Height and width of the video as shown, px.")
    frame_size: tuple[int, int] = Field(description="Height and width of the frames, px.")
    fit: str = Field(description="How frames were brought to that size: stretch or crop.")


class KeptVideo(Record):
    """Where the kept flow of a video begins, of one that was read to its end.

    records: of a video of which no frame was sampled, none. errors: of what its codec has lost.
    """

    id: str
    offset: int = Field(description="Byte offset of its first sample; the others follow it.")
    records: int = Field(description="Its samples.")
    steps: int
    vectors: int = Field(description="Vectors of flow that are stored: of the steps that move.")
    error_sum_px: float = Field(description="Sum of their end-point errors, px.")
    error_max_px: float = Field(description="The largest of these.")


class KeptShard(Record):
    """What a unit keeps of the flow of its videos."""

    shard: ShardRecord | None = Field(description="In flow/; null where nothing was sampled.")
    videos: Rows[KeptVideo]


class VideoRecord(Record):
    """How one video of the plan ended."""

    id: str
    status: Status
    reason: str = Field("", description="Short name of why it is not done; empty when done.")
    detail: str = Field("", description="A sentence for a person.")
    decoder: str = ""
    tries: int = Field(0, description="How often it was opened.")
    frames: int = Field(0, description="Frames sampled.")
    decode_errors: int = 0
    frames_lost: int = Field(
        0, description="Frames that the file holds or declares and that could not be had."
    )
    frames_undated: int = Field(
        0, description="Frames left out since their time is missing or goes back."
    )
    missing_s: float = Field(
        0.0, description="Seconds that were declared or asked for and are not in the file."
    )
    salvaged: str = Field("", description="What of the video was lost or is out of order.")
    covered_s: float = Field(0.0, description="Seconds between the first and last sampled frame.")
    windows: int = Field(0, description="Windows written.")
    windows_rejected: Tally = Field(default_factory=dict, description="By reason.")
    inputs: str = Field(
        "", description="Hash of what decided its samples beside the configuration."
    )
    labels: dict[str, str] | None = Field(
        None,
        description="Further fields of the corpus; null in records made before they were kept.",
    )


class RejectedWindowRecord(Record):
    """A candidate window that was not written."""

    video: str
    window: int
    start_s: float
    end_s: float
    reason: str


class FlowStatistics(Record):
    """Sums over all flow vectors as stored, from which mean, std and p99 follow.

    histogram: counts of squared magnitudes by bin; see `sofdata.shards.stats`.
    """

    vectors: int = 0
    sum_px: tuple[float, float] = (0.0, 0.0)
    sum_squares_px2: tuple[float, float] = (0.0, 0.0)
    histogram: Annotated[dict[int, int], BeforeValidator(_whole_numbers)] = Field(
        default_factory=dict
    )

    def problems(self) -> Iterator[str]:
        """Bins that float32 does not have, sums that no flow has."""
        if self.vectors < 0 or min(self.histogram.values(), default=0) < 0:
            yield "statistics: a number of vectors is negative"
        bins = self.histogram.keys()
        if bins and not 0 <= min(bins) <= max(bins) < _HISTOGRAM_BINS:
            yield "statistics.histogram: there is no such bin"
        if any(abs(each) > _LARGEST_SUM for each in (*self.sum_px, *self.sum_squares_px2)):
            yield "statistics: a sum is larger than any flow has"


class WindowRow(Record):
    """A written window as the index lists it; `shard` is added there."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset(QUALITY_FIELDS)

    key: str
    offset: int = Field(description="Byte offset of the sample's first tar header.")
    source: str
    window: int
    steps: int
    start_s: float
    end_s: float
    cut: str
    text: str
    mean_px: float
    p99_px: float
    max_px: float
    active_share: float
    camera_px: float | None = None
    camera_share: float | None = None
    residual_px: float | None = None
    codec: str
    error_mean_px: float
    error_max_px: float
    blur: float | None = None
    dark_share: float | None = None
    bright_share: float | None = None
    consistency: float | None = None
    camera_motion_share: float | None = None


class LedgerRecord(Record):
    """`ledger/UNIT.json`: the commit record. A unit without one does not exist."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"kept"})
    MOST_BYTES: ClassVar[int] = 128 * MIB

    schema_version: int = SCHEMA_VERSION
    unit: str
    ordinal: int
    config_sha256: str
    shard: ShardRecord | None = Field(description="null when no window of the unit was kept.")
    videos: Rows[VideoRecord]
    windows: Rows[WindowRow]
    rejected_windows: Rows[RejectedWindowRecord]
    statistics: FlowStatistics
    libraries: str = Field(
        "",
        description="Digest of the libraries that computed it, of several joined by +: a key of "
        "`libraries` in dataset.json. Empty in records made before there were digests.",
    )
    kept: KeptShard | None = Field(
        None, description="The flow of its videos; only in datasets with flow.keep."
    )

    def _values(self) -> dict[str, Any]:
        values = Record._values(self)
        return values | {"windows": [WindowRow._without_later(row) for row in values["windows"]]}

    def problems(self) -> Iterator[str]:
        """Numbers of what there cannot be fewer than none of."""
        yield from self.statistics.problems()
        if self.shard and min(self.shard.samples, self.shard.size_bytes) < 0:
            yield "shard: a number is negative"
        if any(row.offset < 0 for row in self.windows):
            yield "windows: an offset is negative"
        for video in self.kept.videos if self.kept else ():
            if min(video.offset, video.records, video.steps, video.vectors) < 0:
                yield "kept: a number is negative"


class Counts(Record):
    """How everything ended: planned videos = done + rejected + quarantined.

    Files found = files of planned videos + `label_files` + `ignored_files`.
    """

    videos: int = 0
    done: int = 0
    rejected: int = 0
    quarantined: int = 0
    windows: int = 0
    windows_rejected: int = 0
    shards: int = 0
    bytes: int = Field(0, description="Of all shards.")
    salvaged: int = Field(0, description="Videos done of which something was lost.")
    spans_cut: int = Field(0, description="Videos that end before their span or their header says.")
    frames: int = Field(0, description="Frames sampled.")
    frames_lost: int = Field(0, description="Of all videos.")
    frames_undated: int = Field(0, description="Of all videos.")
    reasons: Tally = Field(default_factory=dict, description="Videos not done, by reason.")
    window_reasons: Tally = Field(default_factory=dict, description="By reason.")
    ignored_files: Tally = Field(
        default_factory=dict, description="Files that are no input, by suffix or by why."
    )
    label_files: int = Field(
        0, description="Files of the corpus that hold no video: labels, metadata, actions."
    )
    unused_rows: Tally = Field(
        default_factory=dict, description="Rows of those that concern no file here, by what."
    )


class DatasetActions(Record):
    """What the actions of all samples are."""

    names: list[str] = Field(description="Name of each dimension.")
    dimension: int = Field(description="Numbers in an action, A.")
    fps: float = Field(description="Actions a second, as the corpus states.")


class DatasetKept(Record):
    """What a dataset keeps of the flow of whole videos, so that other windows can be made of it."""

    codec: str
    size: int = Field(description="Side of the kept flow, px.")
    shards: int
    bytes: int = Field(description="Of all shards of flow/.")
    videos: int = Field(description="Videos that were read to their end.")
    steps: int
    bytes_per_video_s: float = Field(description="Of each second between sampled frames.")
    error_mean_px: float = Field(description="End-point error of the kept flow, px.")
    error_max_px: float


class ParentRecord(Record):
    """A dataset that another was made of, as it was then."""

    name: str = Field(description="Where it lay, without secrets.")
    identity: str = Field(
        description="sha256 of what it held: its configuration, its counts, and each shard's hash."
    )
    config_sha256: str
    videos: int
    windows: int


class LineageStep(Record):
    """How a dataset was made of others."""

    operation: str = Field(description="select, merge, append, rewindow, ...")
    command: str = Field(
        description="The command, to be read by people; NEW stands for where the dataset lies."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="All that decided the result beside the parents."
    )
    parents: list[ParentRecord] = Field(description="What it was made of, in the order given.")
    sofdata: str = Field(description="Version of sofdata that made it.")


class DatasetRecord(Record):
    """`dataset.json`: what the dataset is. `complete` turns true when every unit is committed."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"actions", "kept", "lineage"})
    MOST_BYTES: ClassVar[int] = 16 * MIB

    schema_version: int = SCHEMA_VERSION
    complete: bool
    corpus: str
    config: dict[str, Any]
    config_sha256: str
    counts: Counts
    flow: dict[str, Any] = Field(description="mean_px and std_px of (dx, dy), p99_px of magnitude.")
    provenance: dict[str, Any] = Field(
        description="Versions, and the hash of learned weights; where units were made with several "
        "versions, all of them, between semicolons."
    )
    libraries: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="What computed the units, by the digest that stands in their records; the "
        "empty one stands for units made before there were digests.",
    )
    notes: list[str] = Field(
        default_factory=list, description="What was odd about the corpus when it was listed."
    )
    actions: DatasetActions | None = Field(
        None, description="What the actions are; only in datasets with actions."
    )
    kept: DatasetKept | None = Field(
        None, description="The flow of whole videos; only in datasets with flow.keep."
    )
    lineage: list[LineageStep] | None = Field(
        None,
        description="How it was made, where that was of other datasets: the last step has made "
        "it, those before have made its parents. Absent where all of it comes from one ingest.",
    )

    @property
    def made_by(self) -> str:
        """The command that made it, or goes on with it, to be named to people."""
        return self.lineage[-1].command if self.lineage else "sofdata ingest"

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """What is printed of it: all of `config` and `libraries` would be pages."""
        yield "corpus", self.corpus
        yield "complete", self.complete
        for name in ("videos", "done", "windows", "shards"):
            yield name, getattr(self.counts, name)
        yield "config_sha256", self.config_sha256[:12]

    def problems(self) -> Iterator[str]:
        """What readers of a complete dataset rely on, and of which pydantic knows no types."""
        if self.actions and not (
            0 < self.actions.fps < math.inf
            and 0 < self.actions.dimension <= LARGEST_SIDE
            and len(self.actions.names) == self.actions.dimension
        ):
            yield "actions: fps, dimension or names"
        if not self.complete:
            return
        for section, key in (("windows", "length"), ("windows", "size"), ("flow", "size")):
            found = _within(self.config, section, key)
            if type(found) is not int or not 0 < found <= LARGEST_SIDE:
                yield f"config.{section}.{key}"
        if not isinstance(_within(self.config, "codec", "name"), str):
            yield "config.codec.name"
        if not isinstance(self.provenance.get("estimator"), str):
            yield "provenance.estimator"
        for name, number in (("mean_px", 2), ("std_px", 2), ("p99_px", 1)):
            found = self.flow.get(name)
            figures = found if number > 1 and isinstance(found, list) else [found]
            if [type(figure) in (int, float) for figure in figures] != [True] * number:
                yield f"flow.{name}"


def _within(values: dict[str, Any], section: str, key: str) -> Any:
    inner = values.get(section)
    return inner.get(key) if isinstance(inner, dict) else None


def plan_schema(
    with_actions: bool = False, annotated: bool = False, several: bool = False
) -> pa.Schema:
    """`plan.parquet`: a row a planned video, in plan order.

    with_actions: also where its actions lie. annotated: also what the corpus says of stretches of
    it, where it says anything of any video's. several: also which of several corpora it is of.
    """
    import pyarrow as pa

    actions = [
        pa.field("actions_uri", pa.string()),
        pa.field("actions_part", pa.string()),
        pa.field("actions_start_s", pa.float64()),
        pa.field("actions_rows", pa.int64()),
    ]
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("uri", pa.string(), nullable=False),
            pa.field("size_bytes", pa.int64(), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
            pa.field("span_start_s", pa.float64()),
            pa.field("span_end_s", pa.float64()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("labels", pa.string(), nullable=False),  # a JSON object
            pa.field("unit", pa.string(), nullable=False),  # empty: rejected before any work
            pa.field("ordinal", pa.int64(), nullable=False),  # of the unit; -1 without one
            pa.field("problem", pa.string(), nullable=False),
            pa.field("detail", pa.string(), nullable=False),
            *([pa.field("annotations", pa.string())] if annotated else []),  # a JSON object
            *(actions if with_actions else []),
            *([pa.field("corpus", pa.string())] if several else []),
        ]
    )


@cache
def files_schema() -> pa.Schema:
    """`files.parquet`: a row a file of the source, sorted by uri; see `sofdata.ingest.files`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("uri", pa.string(), nullable=False),
            pa.field("size_bytes", pa.int64(), nullable=False),
            pa.field("mtime_ns", pa.int64(), nullable=False),  # since 1970; 0: not known
            pa.field("etag", pa.string(), nullable=False),  # of an object store, else empty
            pa.field("fingerprint", pa.string(), nullable=False),
        ]
    )


@cache
def index_schema(quality: tuple[str, ...] = ()) -> pa.Schema:
    """`index.parquet`: a row a window, in the order of the shards.

    quality: those of the columns of `QUALITY_FIELDS` that it has, as `stored_columns` gives them.
    """
    import pyarrow as pa

    columns: dict[Any, Any] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns[float | None] = pa.float64()
    fields = [pa.field("shard", pa.string(), nullable=False)]
    for name, info in WindowRow.model_fields.items():
        if name in QUALITY_FIELDS and name not in quality:
            continue
        nullable = info.annotation == float | None
        fields.append(pa.field(name, columns[info.annotation], nullable=nullable))
    return pa.schema([*fields, _labels()])


@cache
def rejects_schema() -> pa.Schema:
    """`rejects.parquet`: a row a video or window that is not in the shards, and why."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("kind", pa.string(), nullable=False),  # video or window
            pa.field("status", pa.string(), nullable=False),  # rejected or quarantined
            pa.field("video", pa.string(), nullable=False),
            pa.field("window", pa.int64()),
            pa.field("start_s", pa.float64()),
            pa.field("end_s", pa.float64()),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("detail", pa.string(), nullable=False),
            pa.field("decoder", pa.string(), nullable=False),
            pa.field("tries", pa.int64(), nullable=False),
            pa.field("unit", pa.string(), nullable=False),
        ]
    )


# Of videos and index: datasets made before there were such columns are whole without them.
LATER_COLUMNS = frozenset({"frames_lost", "frames_undated", "missing_s", "labels"})


def _labels() -> pa.Field:
    """Labels of a video by name; null where they were not kept, see `VideoRecord`."""
    import pyarrow as pa

    return pa.field("labels", pa.map_(pa.string(), pa.string()))


@cache
def videos_schema() -> pa.Schema:
    """`videos.parquet`: a row a planned video and how it ended."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("detail", pa.string(), nullable=False),
            pa.field("decoder", pa.string(), nullable=False),
            pa.field("tries", pa.int64(), nullable=False),
            pa.field("frames", pa.int64(), nullable=False),
            pa.field("decode_errors", pa.int64(), nullable=False),
            pa.field("frames_lost", pa.int64(), nullable=False),
            pa.field("frames_undated", pa.int64(), nullable=False),
            pa.field("missing_s", pa.float64(), nullable=False),
            pa.field("salvaged", pa.string(), nullable=False),
            pa.field("covered_s", pa.float64(), nullable=False),
            pa.field("windows", pa.int64(), nullable=False),
            pa.field("windows_rejected", pa.int64(), nullable=False),
            pa.field("unit", pa.string(), nullable=False),
            _labels(),
        ]
    )
