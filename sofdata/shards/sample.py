"""A window as members of a shard, and back."""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sofdata.bounded.arrays import read_npy
from sofdata.bounded.jsons import brief
from sofdata.bounded.pictures import check_values, read_rgb
from sofdata.config.section import Section
from sofdata.errors import ContractError, InputError
from sofdata.flow.codec import CodecConfig, decode, encode
from sofdata.shards.schema import SampleActions, SampleRecord
from sofdata.types import ActionWindow, Picture, SkillWindow, StoredPicture, VideoRef
from sofdata.ui.brief import Brief

JPEG_SUFFIXES = ("first.jpg", "last.jpg")
ACTIONS = "actions.npy"
_REMEMBERED = 8  # frames, as JPEG


class ImageConfig(Section):
    """How the first and last frame of a window are stored."""

    jpeg_quality: int = Field(
        92, ge=1, le=100, description="Pillow's JPEG quality, without chroma subsampling (ours)."
    )


class Jpegs:
    """Encodes the first and last frames of a video's windows, each once.

    Windows overlap, so that the last frame of one is often the first of another: the same array,
    of which the latest few are remembered.
    """

    def __init__(self, config: ImageConfig) -> None:
        self._quality = config.jpeg_quality
        self._latest: deque[tuple[NDArray[np.uint8], bytes]] = deque(maxlen=_REMEMBERED)

    def encode(self, rgb: Picture) -> bytes:
        """A frame [H,W,3] as JPEG; the array must not change afterwards."""
        if isinstance(rgb, StoredPicture):
            return rgb.jpeg
        for known, data in self._latest:
            if known is rgb:
                return data
        self._latest.append((rgb, _jpeg(rgb, self._quality)))
        return self._latest[-1][1]


@dataclass(frozen=True, slots=True, eq=False)
class VideoContext:
    """What all windows of a video share; `action_names` only where there are actions."""

    ref: VideoRef
    estimator: str
    video_size: tuple[int, int]
    fit: str
    action_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sample(Brief):
    """A sample as stored: its record, the bytes of its members by suffix, its flow read back."""

    record: SampleRecord
    members: Mapping[str, bytes]
    flow: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DecodedSample(Brief):
    """A sample read back: flow float32 [L,h,w,2], first and last uint8 [H,W,3].

    actions: float32 [N,A]; None in a dataset without actions.
    """

    record: SampleRecord
    flow: NDArray[np.float32]
    first: NDArray[np.uint8]
    last: NDArray[np.uint8]
    actions: NDArray[np.float32] | None = None


def sample_key(video_id: str, window: int) -> str:
    """Name of a window's sample: a readable part, a hash of the video's id, the number.

    Holds letters, digits, "_" and "-" only, whatever the id holds, and no dot, since WebDataset
    splits names at the first one.
    """
    readable = re.sub(r"[^A-Za-z0-9]+", "_", video_id.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    digest = hashlib.sha256(video_id.encode()).hexdigest()[:16]
    return f"{readable.strip('_')[:24] or 'video'}-{digest}-{window:06d}"


def quarantine_name(video_id: str) -> str:
    """File name of the note about a quarantined video."""
    return f"{sample_key(video_id, 0)}.json"


def encode_sample(
    window: SkillWindow, video: VideoContext, codec: CodecConfig, images: Jpegs
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
        text=video.ref.text_at(window.start_s, window.end_s),
        labels=dict(video.ref.labels),
        motion=dict(window.motion),
        quality=dict(window.quality) or None,
        flow=dict(encoded.meta),
        estimator=video.estimator,
        video_size=video.video_size,
        frame_size=(window.first.shape[0], window.first.shape[1]),
        fit=video.fit,
        actions=_describe_actions(window, video),
    )
    members = {
        **encoded.members,
        **({ACTIONS: _npy(window.actions)} if isinstance(window, ActionWindow) else {}),
        "first.jpg": images.encode(window.first),
        "last.jpg": images.encode(window.last),
        "json": record.to_json(),
    }
    return Sample(record, members, encoded.stored)


def decode_sample(
    key: str, members: Mapping[str, bytes], planes: NDArray[np.float32] | None = None
) -> DecodedSample:
    """Read a sample back and check all of it.

    planes: where to put the flow, float32 [L or more,2,h,w]; see `sofdata.flow.codec.decode`.

    Raises `InputError` that names the sample and what is wrong: a member is missing or does not
    decode, shapes disagree, numbers are not finite, the record does not fit the schema.
    """
    try:
        record = _read_record(key, members)
        _check_sizes(record)
        flow = decode(
            {suffix: data for suffix, data in members.items() if suffix.startswith("flow.")},
            record.flow,
            planes,
        )
        first, last = (read_rgb(members[suffix], record.frame_size) for suffix in JPEG_SUFFIXES)
        actions = _read_actions(members, record.actions)
    except KeyError as error:
        raise InputError(f"sample {key} lacks its member {error}") from None
    except (OSError, ValueError, ContractError, InputError) as error:
        raise InputError(f"sample {key} does not decode: {error}") from None
    if record.key != key:
        raise InputError(f"sample {key} says that it is {record.key!r:.100}")
    return DecodedSample(record, flow, first, last, actions)


def _read_record(key: str, members: Mapping[str, bytes]) -> SampleRecord:
    try:
        return SampleRecord.parse(members["json"])
    except ValueError as error:
        raise InputError(f"{key}.json does not fit the schema: {brief(error)}") from None


def _check_sizes(record: SampleRecord) -> None:
    """Check that the sizes in a record agree with each other. Raises `InputError`."""
    height, width = record.frame_size
    if min(height, width) < 1:
        raise InputError(f"its record has frames of {height} x {width} px")
    check_values(3 * height * width, "a frame")
    shape = record.flow.get("shape")
    steps = shape[0] if isinstance(shape, list) and shape else None
    if steps != len(record.pts_s) - 1:
        raise InputError(
            f"its record has {len(record.pts_s)} times and flow of the shape {shape!r:.60}"
        )


def _describe_actions(window: SkillWindow, video: VideoContext) -> SampleActions | None:
    if not isinstance(window, ActionWindow):
        return None
    return SampleActions(
        names=list(video.action_names),
        dimension=window.actions.shape[1],
        times_s=window.action_times_s.tolist(),
    )


def _npy(values: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values.astype("<f4", order="C"), allow_pickle=False)
    return buffer.getvalue()


def _read_actions(
    members: Mapping[str, bytes], record: SampleActions | None
) -> NDArray[np.float32] | None:
    """The actions that a record describes. Raises `ValueError` where record and member differ."""
    if record is None:
        if ACTIONS in members:
            raise ValueError(f"it holds {ACTIONS}, which its record does not describe")
        return None
    wanted = (len(record.times_s), record.dimension)
    try:
        actions = read_npy(members[ACTIONS], "<f4", wanted)
    except ValueError as error:
        raise ValueError(f"{ACTIONS}: {error}") from None
    if not actions.size or not np.isfinite(actions).all():
        raise ValueError(f"{ACTIONS} must hold finite numbers, and at least one")
    return np.asarray(actions, np.float32)


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
