"""Kept flow as members of a shard, and back: some consecutive steps of a video a sample.

KEY.flow.npy.gz     flow of the steps that move, see `sofdata.flow.kept`; none where none does
KEY.texture.npy.gz  what frames show of them, float32 [M,5,8,8]; in the same samples
KEY.small.npy.gz    frames for shot changes, uint8 [S+1,24,24,3]
KEY.frames.jpegs    all S + 1 frames, one JPEG after the other
KEY.actions.npy     float32 [N,A], in the first sample of a demonstration
KEY.times.npy       float64 [N+1]; when these were taken, s, and last their tolerance
KEY.json            `KeptRecord`
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.arrays import read_npy, read_npy_gz
from sofdata.bounded.jsons import brief
from sofdata.bounded.pictures import check_values
from sofdata.errors import ContractError, InputError
from sofdata.flow.config import KeptConfig
from sofdata.flow.kept import SUFFIX, gzipped, pack, unpack
from sofdata.shards.sample import ACTIONS, VideoContext, sample_key
from sofdata.shards.schema import KeptRecord
from sofdata.types import ActionTrack, StoredPicture
from sofdata.windows.kept import KeptSteps
from sofdata.windows.shots import SMALL_SIDE
from sofdata.windows.texture import CELLS

TEXTURE, SMALL = "texture.npy.gz", "small.npy.gz"
FRAMES, TIMES = "frames.jpegs", "times.npy"
_HEADER_BYTES = 128  # of a .npy whose shape is short


@dataclass(frozen=True, slots=True, eq=False)
class KeptPiece:
    """Consecutive steps of a video as they are kept, and the frames between which they lead."""

    record: KeptRecord
    steps: KeptSteps
    pictures: Sequence[StoredPicture]

    @property
    def pts_s(self) -> NDArray[np.float64]:
        """Times of the frames."""
        return self.steps.pts_s

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, number: int) -> StoredPicture:
        """A frame as it is stored."""
        return self.pictures[number]


def encode_kept(
    steps: KeptSteps,
    jpegs: Sequence[bytes],
    frame_size: tuple[int, int],
    video: VideoContext,
    part: int,
    config: KeptConfig,
) -> tuple[KeptRecord, dict[str, bytes]]:
    """Steps as a record and members. jpegs: their S + 1 frames. part: number in the video."""
    members = {SMALL: gzipped(steps.small), FRAMES: b"".join(jpegs)}
    flow = {}
    if steps.moves.any():
        packed = pack(steps.flow[steps.moves], config)
        members[SUFFIX], flow = packed.data, packed.meta
        members[TEXTURE] = gzipped(steps.evidence[steps.moves].astype("<f4"))  # exact, see there
    record = KeptRecord(
        key=sample_key(video.ref.id, part),
        source=video.ref.id,
        part=part,
        pts_s=steps.pts_s.tolist(),
        moves=steps.moves.tolist(),
        known=steps.known.tolist(),
        flow=flow,
        jpeg_bytes=[len(each) for each in jpegs],
        estimator=video.estimator,
        video_size=video.video_size,
        frame_size=frame_size,
        fit=video.fit,
    )
    members["json"] = record.to_json()
    return record, members


def decode_kept(key: str, members: Mapping[str, bytes], size: int) -> KeptPiece:
    """Read a sample back and check all of it. size: side of the kept flow, px.

    Raises `InputError` that names the sample and what is wrong.
    """
    try:
        record = KeptRecord.parse(members["json"])
        _check_lengths(record, key, size)
        steps, moves = len(record.moves), np.array(record.moves, np.bool_)
        flow, evidence = np.zeros((steps, size, size, 2), np.float32), np.zeros((steps, *CELLS))
        if moves.any():
            found = unpack(members[SUFFIX], record.flow)
            flow[moves] = _fitting(found, (int(moves.sum()), size, size, 2))
            texture = read_npy_gz(members[TEXTURE], "<f4", (int(moves.sum()), *CELLS))
            evidence[moves] = texture
        small = read_npy_gz(members[SMALL], "|u1", (steps + 1, SMALL_SIDE, SMALL_SIDE, 3))
        known = np.array(record.known, np.bool_)
        pts_s = np.array(record.pts_s, np.float64)
        kept = KeptSteps(pts_s, flow, moves, known, evidence, small)
        return KeptPiece(record, kept, _pictures(record, members[FRAMES]))
    except KeyError as error:
        raise InputError(f"sample {key} lacks its member {error}") from None
    except ValueError as error:
        raise InputError(f"sample {key} does not decode: {brief(error)}") from None
    except (ContractError, InputError) as error:
        raise InputError(f"sample {key} does not decode: {error}") from None


def encode_actions(track: ActionTrack) -> dict[str, bytes]:
    """All actions of a demonstration as members of its first sample."""
    times = np.append(track.times_s, track.tolerance_s)
    return {ACTIONS: _npy(track.values.astype("<f4")), TIMES: _npy(times.astype("<f8"))}


def decode_actions(members: Mapping[str, bytes], dimension: int) -> ActionTrack:
    """What `encode_actions` was given. dimension: numbers in an action. Raises `InputError`."""
    try:
        number = (len(members[TIMES]) - _HEADER_BYTES) // 8 - 1
        times = read_npy(members[TIMES], "<f8", (number + 1,))
        values = read_npy(members[ACTIONS], "<f4", (number, dimension))
        return ActionTrack(np.asarray(values, np.float32), times[:-1], float(times[-1]))
    except KeyError as error:
        raise InputError(f"a demonstration lacks its member {error}") from None
    except (ValueError, ContractError) as error:
        raise InputError(f"the actions of a demonstration cannot be read: {error}") from None


def _check_lengths(record: KeptRecord, key: str, size: int) -> None:
    """Raise `InputError` unless all that a record lists is of as many steps as the rest."""
    steps = len(record.moves)
    lengths = {len(record.known), len(record.pts_s) - 1, len(record.jpeg_bytes) - 1}
    if lengths != {steps}:
        raise InputError(f"its record lists {steps} steps, and others where it lists more of them")
    if record.key != key:
        raise InputError(f"it says that it is {record.key!r:.100}")
    if any(np.diff(record.pts_s) <= 0):
        raise InputError("the times of its frames do not increase")
    check_values(2 * steps * size**2, "kept flow")
    check_values(3 * record.frame_size[0] * record.frame_size[1], "a frame")


def _fitting(flow: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if flow.shape != shape:
        raise InputError(f"its flow is {list(flow.shape)}, and should be {list(shape)}")
    return flow


def _pictures(record: KeptRecord, data: bytes) -> list[StoredPicture]:
    ends = list(itertools.accumulate(record.jpeg_bytes))
    if min(record.jpeg_bytes) < 1 or ends[-1] != len(data):
        raise InputError(f"{FRAMES} has {len(data)} bytes, its record says {ends[-1]}")
    starts = [0, *ends[:-1]]
    height, width = record.frame_size
    return [
        StoredPicture(data[start:end], height, width)
        for start, end in zip(starts, ends, strict=True)
    ]


def _npy(values: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()
