"""A window as members of a shard, and back."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from sofdata.errors import ContractError, InputError
from sofdata.flow.codec import CodecConfig, check, decode, encode
from sofdata.settings import Section
from sofdata.shards.schema import SampleRecord
from sofdata.types import SkillWindow, VideoRef

JPEG_SUFFIXES = ("first.jpg", "last.jpg")


class ImageConfig(Section):
    """How the first and last frame of a window are stored."""

    jpeg_quality: int = Field(
        92, ge=1, le=100, description="Pillow's JPEG quality, without chroma subsampling (ours)."
    )


@dataclass(frozen=True, slots=True, eq=False)
class VideoContext:
    """What all windows of a video share."""

    ref: VideoRef
    estimator: str
    video_size: tuple[int, int]
    fit: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sample as stored: its record, and the bytes of its members by suffix."""

    record: SampleRecord
    members: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSample:
    """A sample read back: flow float32 [L,h,w,2], first and last uint8 [H,W,3]."""

    record: SampleRecord
    flow: NDArray[np.float32]
    first: NDArray[np.uint8]
    last: NDArray[np.uint8]


def sample_key(video_id: str, window: int) -> str:
    """Name of a window's sample: a readable part, a hash of the video's id, the number.

    Holds letters, digits, "_" and "-" only, whatever the id holds, and no dot, since WebDataset
    splits names at the first one.
    """
    readable = re.sub(r"[^A-Za-z0-9]+", "_", video_id.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    digest = hashlib.sha256(video_id.encode()).hexdigest()[:16]
    return f"{readable.strip('_')[:24] or 'video'}-{digest}-{window:06d}"


def encode_sample(
    window: SkillWindow, video: VideoContext, codec: CodecConfig, images: ImageConfig
) -> Sample:
    """Encode a window; see docs/format.md for the members."""
    key = sample_key(video.ref.id, window.index)
    encoded = encode(window.flow, codec)
    record = SampleRecord(
        key=key,
        source=video.ref.id,
        window=window.index,
        start_s=window.start_s,
        end_s=window.end_s,
        pts_s=window.pts_s.tolist(),
        cut=window.cut,
        text=video.ref.text,
        labels=dict(video.ref.labels),
        motion=dict(window.motion),
        flow=dict(encoded.meta),
        estimator=video.estimator,
        video_size=video.video_size,
        frame_size=(window.first.shape[0], window.first.shape[1]),
        fit=video.fit,
    )
    members = {
        **encoded.members,
        "first.jpg": _jpeg(window.first, images.jpeg_quality),
        "last.jpg": _jpeg(window.last, images.jpeg_quality),
        "json": record.to_json(),
    }
    return Sample(record, members)


def decode_sample(key: str, members: Mapping[str, bytes]) -> DecodedSample:
    """Read a sample back and check all of it.

    Raises `InputError` that names the sample and what is wrong: a member is missing or does not
    decode, shapes disagree, the record does not fit the schema.
    """
    try:
        record = SampleRecord.model_validate_json(members["json"])
        flow = decode(
            {suffix: data for suffix, data in members.items() if suffix.startswith("flow.")},
            record.flow,
        )
        first, last = (_image(members[suffix]) for suffix in JPEG_SUFFIXES)
    except KeyError as error:
        raise InputError(f"sample {key} lacks its member {error}") from None
    except ValidationError as error:
        raise InputError(f"{key}.json does not fit the schema: {error}") from None
    except (OSError, ValueError, ContractError, InputError) as error:
        raise InputError(f"sample {key} does not decode: {error}") from None
    if record.key != key:
        raise InputError(f"sample {key} says that it is {record.key}")
    if len(flow) + 1 != len(record.pts_s) or first.shape[:2] != record.frame_size:
        raise InputError(
            f"sample {key} holds {len(flow)} steps and {first.shape[:2]} px frames where its record"
            f" tells of {len(record.pts_s) - 1} and {record.frame_size}"
        )
    return DecodedSample(record, flow, first, last)


def check_sample(key: str, members: Mapping[str, bytes]) -> None:
    """Raise `InputError` for a sample that does not decode; takes less than half the time of that.

    Meant for what was just written: everything is parsed, but shapes are compared only as far as
    headers tell them.
    """
    try:
        record = SampleRecord.model_validate_json(members["json"])
        flow = {suffix: data for suffix, data in members.items() if suffix.startswith("flow.")}
        check(flow, record.flow)
        for suffix in JPEG_SUFFIXES:
            _check_image(members[suffix])
    except KeyError as error:
        raise InputError(f"sample {key} lacks its member {error}") from None
    except (OSError, ValueError, InputError) as error:
        raise InputError(f"sample {key} does not decode: {error}") from None
    if record.key != key:
        raise InputError(f"sample {key} says that it is {record.key}")


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _image(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return np.asarray(image.convert("RGB"))


def _check_image(data: bytes) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        image.draft(None, (1, 1))  # all of the file is parsed, and an eighth of each side drawn
        image.load()
