"""Datasets as TFDS stores them, written with protobuf from its published layout.

`tf.train.Example` is described in code as tensorflow/core/example/{example,feature}.proto have it;
features.json and dataset_info.json have the fields that tensorflow_datasets 4.9 writes: the one of
`EXPECTED` was compared with what that library makes of the same features (docs/corpora.md).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.sequences import encoded

FPS = 10
PACKAGE = "tensorflow_datasets.core.features"


def _example_class() -> Any:
    """The message class tf.train.Example."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tf", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> Any:
        made = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=of or None)
        return made

    message("BytesList", ("value", 1, kinds.TYPE_BYTES, True, ""))
    message("FloatList", ("value", 1, kinds.TYPE_FLOAT, True, ""))
    message("Int64List", ("value", 1, kinds.TYPE_INT64, True, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, kinds.TYPE_MESSAGE, False, ".tf.BytesList"),
        ("float_list", 2, kinds.TYPE_MESSAGE, False, ".tf.FloatList"),
        ("int64_list", 3, kinds.TYPE_MESSAGE, False, ".tf.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for each in feature.field:
        each.oneof_index = 0
    features = message("Features", ("feature", 1, kinds.TYPE_MESSAGE, True, ".tf.Features.Entry"))
    entry = features.nested_type.add(name="Entry")
    entry.options.map_entry = True
    once = kinds.LABEL_OPTIONAL
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=once)
    entry.field.add(
        name="value", number=2, type=kinds.TYPE_MESSAGE, label=once, type_name=".tf.Feature"
    )
    message("Example", ("features", 1, kinds.TYPE_MESSAGE, False, ".tf.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


Example = _example_class()


# Records


def example(values: Mapping[str, Any]) -> bytes:
    """A record: a list of bytes or texts, or the numbers of an array, floats or whole ones."""
    made = Example()
    for name, each in values.items():
        feature = made.features.feature[name]
        if isinstance(each, list):
            texts = [one.encode() if isinstance(one, str) else one for one in each]
            feature.bytes_list.value.extend(texts)
            continue
        flat = np.asarray(each).reshape(-1)
        kind = feature.float_list if flat.dtype.kind == "f" else feature.int64_list
        kind.value.extend(flat.tolist())
    data: bytes = made.SerializeToString()
    return data


def masked(data: bytes) -> bytes:
    """The checksum of TFRecord files."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    """A record as a file has it."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write_shard(path: Path, records: Iterable[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(framed, records)))
    return path


# features.json


def node(name: str, **content: Any) -> dict[str, Any]:
    """A feature of a class of tensorflow_datasets: module.Class."""
    return {"pythonClassName": f"{PACKAGE}.{name}", **content}


def dictionary(**features: Any) -> dict[str, Any]:
    return node("features_dict.FeaturesDict", featuresDict={"features": features})


def tensor(*shape: int, dtype: str = "float32", encoding: str = "none") -> dict[str, Any]:
    about = {"shape": _shape(shape), "dtype": dtype, "encoding": encoding}
    return node("tensor_feature.Tensor", tensor=about)


def image(*shape: int, dtype: str = "uint8", encoding: str = "jpeg", **more: Any) -> dict[str, Any]:
    about = {"shape": _shape(shape), "dtype": dtype, "encodingFormat": encoding, **more}
    return node("image_feature.Image", image=about)


def text() -> dict[str, Any]:
    return node("text_feature.Text", text={})


def dataset(feature: dict[str, Any], name: str = "dataset_feature.Dataset") -> dict[str, Any]:
    return node(name, sequence={"feature": feature, "length": "-1"})


def _shape(sides: Sequence[int]) -> dict[str, Any]:
    return {"dimensions": [str(side) for side in sides]} if sides else {}


FLAGS = {name: tensor(dtype="bool") for name in ("is_first", "is_last", "is_terminal")}


def steps_of(**features: Any) -> dict[str, Any]:
    """The features of a dataset whose steps have these, with the flags of RLDS."""
    return dictionary(
        steps=dataset(dictionary(**FLAGS, **features)),
        episode_metadata=dictionary(file_path=text()),
    )


PLAIN = steps_of(
    observation=dictionary(
        image=image(128, 192, 3),
        wrist=image(128, 192, 3, encoding="png"),
        depth=image(128, 192, 1, dtype="uint16", encoding="png"),
        state=tensor(2, dtype="float64"),
    ),
    action=tensor(3),
    language_instruction=text(),
)


# Datasets


def flags(count: int) -> dict[str, Any]:
    """The flags of an episode."""
    at = np.arange(count)
    last = at == count - 1
    return {
        "steps/is_first": (at == 0).astype(int),
        "steps/is_last": last.astype(int),
        "steps/is_terminal": last.astype(int),
    }


def episode(
    numbers: Sequence[int], texts: str | Sequence[str] = "open it", **more: Any
) -> dict[str, Any]:
    """A record of `PLAIN`: pictures that carry these numbers, the wrist's 100 more.

    Actions [T,3] are number, -number, a half; the state [T,2] is number / 2, 1.
    """
    told = [texts] * len(numbers) if isinstance(texts, str) else list(texts)
    at = np.array(numbers, float)
    return {
        **flags(len(numbers)),
        "steps/observation/image": [encoded(number) for number in numbers],
        "steps/observation/wrist": [encoded(number + 100, "PNG") for number in numbers],
        "steps/observation/depth": [b"\x89PNG depth"] * len(numbers),
        "steps/observation/state": np.stack([at / 2, np.ones_like(at)], 1),
        "steps/action": np.stack([at, -at, np.full_like(at, 0.5)], 1),
        "steps/language_instruction": told,
        "episode_metadata/file_path": ["/raw/0"],
        **more,
    }


def write_dataset(
    folder: Path,
    splits: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    features: dict[str, Any] = PLAIN,
    name: str = "tiny",
    **info: Any,
) -> Path:
    """A dataset: for each split its shards, each a list of records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.json").write_text(json.dumps(features, indent=4, sort_keys=True))
    told = []
    for split, shards in splits.items():
        for number, records in enumerate(shards):
            shard = f"{name}-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
            write_shard(folder / shard, map(example, records))
        told.append(
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": split,
                "numBytes": "1",
                "shardLengths": [str(len(records)) for records in shards],
            }
        )
    about = {"fileFormat": "tfrecord", "name": name, "splits": told, "version": "1.0.0", **info}
    (folder / "dataset_info.json").write_text(json.dumps(about))
    return folder
