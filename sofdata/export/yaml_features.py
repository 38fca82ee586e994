"""Features of `datasets` as a card's YAML declares them, so that nothing is guessed.

A guess from five samples fails over the sixth, where a label or a number is missing there.
The form is that of huggingface/datasets 4 and 5 (`Features._to_yaml_list`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sofdata.shards.schema import DatasetRecord

if TYPE_CHECKING:
    import pyarrow as pa

Yaml = dict[str, Any]
TEXT, WHOLE, REAL = ({"dtype": each} for each in ("string", "int64", "float64"))
IMAGE = {"dtype": "image"}
REALS, WHOLES, TEXTS = {"list": "float64"}, {"list": "int64"}, {"list": "string"}
_SINGLE = ("active_share", "max_px", "mean_px", "p99_px")
_CAMERA = ("camera_px", "camera_share", "residual_px")


def struct(fields: Mapping[str, Yaml]) -> Yaml:
    """A nested field."""
    return {"struct": named(fields)}


def named(fields: Mapping[str, Yaml]) -> list[Yaml]:
    """Fields as a list, as YAML has them."""
    return [{"name": name, **each} for name, each in fields.items()]


def sample_features(dataset: DatasetRecord, labels: Iterable[str]) -> list[Yaml]:
    """Of the samples of a dataset's shards. labels: all names of labels that there are."""
    config = dataset.config
    exact = config["codec"]["name"] == "float16"
    flow: dict[str, Yaml] = {"codec": TEXT, "error_max_px": REAL, "error_mean_px": REAL}
    flow |= {"shape": WHOLES} if exact else {"shape": WHOLES, "step_px": REALS}
    motion = _SINGLE + (_CAMERA if config["windows"].get("camera") != "off" else ())
    record = {
        "cut": TEXT,
        "end_s": REAL,
        "estimator": TEXT,
        "fit": TEXT,
        "flow": struct(flow),
        "frame_size": WHOLES,
        "key": TEXT,
        "labels": struct(dict.fromkeys(sorted(labels), TEXT)),
        "motion": struct(dict.fromkeys(motion, REAL)),
        "pts_s": REALS,
        "schema_version": WHOLE,
        "source": TEXT,
        "start_s": REAL,
        "text": TEXT,
        "video_size": WHOLES,
        "window": WHOLE,
    }
    fields: dict[str, Yaml] = {"first.jpg": IMAGE, "last.jpg": IMAGE}
    fields |= {"flow.npy": _lists(4, "float32")} if exact else {"flow.jpg": IMAGE}
    if dataset.actions:
        fields["actions.npy"] = _lists(2, "float32")
        record["actions"] = struct({"dimension": WHOLE, "names": TEXTS, "times_s": REALS})
    return named({**fields, "json": struct(record), "__key__": TEXT, "__url__": TEXT})


def row_features(schema: pa.Schema, labels: Sequence[str]) -> list[Yaml]:
    """Of the rows of a table as samples of one JSON object each."""
    fields = {field.name: _column(field.type, labels) for field in schema}
    return named({"json": struct(fields), "__key__": TEXT, "__url__": TEXT})


def _column(kind: pa.DataType, labels: Sequence[str]) -> Yaml:
    import pyarrow as pa

    if pa.types.is_map(kind):
        return struct(dict.fromkeys(sorted(labels), TEXT))
    if pa.types.is_list(kind):
        return {"list": str(kind.value_type).replace("float", "float32")}
    return {"dtype": str(kind).replace("double", "float64")}


def _lists(depth: int, dtype: str) -> Yaml:
    inner: Yaml = {"list": dtype}
    for _ in range(depth - 1):
        inner = {"list": inner}
    return inner
