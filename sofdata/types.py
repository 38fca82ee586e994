"""The values that pass between the stages, in the order in which data flows.

    corpus ─► VideoRef ─► Frames ─► FlowClip ─► SkillWindow ─► Shard ─► Batch

Each is frozen and checks dtype, rank and matching lengths where it is made, so that a stage may
trust what it receives. A value that does not fit raises `ContractError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION = 1


def _expect(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    """Check an array's dtype and shape; None in `shape` allows any length."""
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = "[" + ", ".join("any" if n is None else str(n) for n in shape) + "]"
        raise ContractError(
            f"{name} must be {np.dtype(dtype).name} {wanted}, got {array.dtype} {list(array.shape)}"
        )


def _expect_increasing(name: str, seconds: NDArray[np.float64]) -> None:
    if np.any(np.diff(seconds) <= 0):
        raise ContractError(f"{name} must increase, got {seconds.tolist()}")


@dataclass(frozen=True, slots=True, eq=False)
class VideoRef:
    """A video of a corpus, known but not opened.

    id: stable within the corpus and independent of where the corpus lies (a relative path, or the
        corpus's own id).
    uri: where to read it: relative to the corpus's root, or an absolute path or fsspec URL.
    size_bytes: size of the file.
    fingerprint: hash of the content (see `sofdata.storage.Tree.fingerprint`).
    span_s: (start, end) in seconds of presentation time to use, or None for the whole video.
    text: what the corpus says is done in it, "" where it says nothing.
    labels: any further fields of the corpus (template, split, ...).
    """

    id: str
    uri: str
    size_bytes: int
    fingerprint: str
    span_s: tuple[float, float] | None = None
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or not self.uri:
            raise ContractError(f"a video needs an id and a uri, got {self.id!r} and {self.uri!r}")
        if self.span_s is not None and not self.span_s[0] < self.span_s[1]:
            raise ContractError(f"{self.id}: span {self.span_s} must start before it ends")


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Consecutive sampled frames: rgb uint8 [T,H,W,3] and their presentation times [T] in s."""

    rgb: NDArray[np.uint8]
    pts_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        _expect("Frames.rgb", self.rgb, np.uint8, (None, None, None, 3))
        _expect("Frames.pts_s", self.pts_s, np.float64, (len(self.rgb),))
        _expect_increasing("Frames.pts_s", self.pts_s)

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True, slots=True, eq=False)
class FlowClip:
    """Flow between consecutive frames.

    flow: float32 [S,H,W,2]; (dx, dy) in px a step at this resolution: the point at (x, y) of a
        frame lies at (x + dx, y + dy) in the next one.
    dt_s: float64 [S]; seconds from each frame to the next.
    """

    flow: NDArray[np.float32]
    dt_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        _expect("FlowClip.flow", self.flow, np.float32, (None, None, None, 2))
        _expect("FlowClip.dt_s", self.dt_s, np.float64, (len(self.flow),))

    def __len__(self) -> int:
        return len(self.flow)


@dataclass(frozen=True, slots=True, eq=False)
class SkillWindow:
    """A stretch of one video that may hold one skill: L steps of flow between L + 1 frames.

    index: number of the window within its video, counting rejected candidates too.
    flow: float32 [L,h,w,2]; (dx, dy) in px a step at h x w.
    pts_s: float64 [L+1]; presentation times of the frames, increasing.
    first, last: uint8 [H,W,3]; the frames at both ends.
    cut: why the stretch that this window was cut from begins: "start", "shot" or "gap".
    motion: statistics of the flow, in px a step at h x w (see `sofdata.windows.motion`).
    """

    index: int
    flow: NDArray[np.float32]
    pts_s: NDArray[np.float64]
    first: NDArray[np.uint8]
    last: NDArray[np.uint8]
    cut: str
    motion: Mapping[str, float]

    def __post_init__(self) -> None:
        _expect("SkillWindow.flow", self.flow, np.float32, (None, None, None, 2))
        _expect("SkillWindow.pts_s", self.pts_s, np.float64, (len(self.flow) + 1,))
        _expect_increasing("SkillWindow.pts_s", self.pts_s)
        _expect("SkillWindow.first", self.first, np.uint8, (None, None, 3))
        _expect("SkillWindow.last", self.last, np.uint8, self.first.shape)

    def __len__(self) -> int:
        return len(self.flow)

    @property
    def start_s(self) -> float:
        return float(self.pts_s[0])

    @property
    def end_s(self) -> float:
        return float(self.pts_s[-1])


@dataclass(frozen=True, slots=True, eq=False)
class RejectedWindow:
    """A candidate window that is not kept, and why: "static", "too_short", ...

    index: number of the window within its video, counting kept ones too.
    """

    index: int
    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A committed tar of samples: name within the dataset, number of samples, size and sha256."""

    name: str
    samples: int
    size_bytes: int
    sha256: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Decoded samples, padded to the longest window, as torch tensors.

    flow: float32 [B,L,2,h,w]; (dx, dy) in px a step, zero where `mask` is False.
    first: uint8 [B,3,H,W]; the first frame of each window.
    mask: bool [B,L]; True where a step is real.
    text_ids: int64 [B]; index into the loader's `texts`.
    keys: the B keys of the samples.
    """

    flow: torch.Tensor
    first: torch.Tensor
    mask: torch.Tensor
    text_ids: torch.Tensor
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        size, steps = self.mask.shape
        if self.flow.ndim != 5 or tuple(self.flow.shape[:3]) != (size, steps, 2):
            raise ContractError(
                f"Batch.flow must be [{size}, {steps}, 2, h, w], got {list(self.flow.shape)}"
            )
        lengths = {"first": len(self.first), "text_ids": len(self.text_ids), "keys": len(self.keys)}
        for name, length in lengths.items():
            if length != size:
                raise ContractError(f"Batch.{name} has {length} entries for {size} samples")
