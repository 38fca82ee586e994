"""The values that pass between the stages, in the order in which data flows.

    corpus ─► VideoRef ─► Frames ─► FlowClip ─► SkillWindow ─► a shard
    a shard ─► Batch ─► Skill ─► Plan ─► Actions

Each is frozen, and those of NumPy check dtype, rank and matching lengths where they are made, those
of torch rank and lengths, so that a stage may trust what it receives. A value that does not fit
raises `ContractError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.storage.uris import Location, parse, without_sequence
from sofdata.ui.brief import Brief

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION = 1

Eye = Literal["", "left"]


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


@dataclass(frozen=True, slots=True)
class ActionRef:
    """Where the actions of a demonstration lie, known but not read.

    uri: the file of the corpus, as `sofdata.storage.uris` writes it.
    part: which part of the file is this demonstration's, in the words of the corpus.
    start_s: the presentation time of the video at which the clock of the actions shows zero.
    rows: how many actions the corpus says there are.
    """

    uri: str
    part: str
    start_s: float
    rows: int

    @property
    def where(self) -> Location:
        """The file."""
        return parse(self.uri)


STATE_NAME = (
    "observation.state."  # how the names of the robot's state begin, behind those of actions
)


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the actions of a corpus are: a name for each dimension, and how many come a second.

    Where the robot's state was asked for, its numbers follow, with names that say so.
    """

    names: tuple[str, ...]
    fps: float

    @property
    def dimension(self) -> int:
        return len(self.names)

    @property
    def tolerance_s(self) -> float:
        """Half the time between two actions: by so much the clocks of file and video may differ."""
        return 0.5 / self.fps


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ActionTrack(Brief):
    """All actions of one demonstration.

    values: float32 [M,A]; in the units of the corpus, NaN where one is missing.
    times_s: float64 [M]; when each was taken, on the clock of the video; increasing.
    tolerance_s: by how much that clock and the video's may differ.
    """

    values: NDArray[np.float32]
    times_s: NDArray[np.float64]
    tolerance_s: float

    def __post_init__(self) -> None:
        _expect("ActionTrack.values", self.values, np.float32, (None, None))
        _expect("ActionTrack.times_s", self.times_s, np.float64, (len(self.values),))
        _expect_increasing("ActionTrack.times_s", self.times_s)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class TimedText:
    """What is done in a stretch [start_s, end_s) of a video, on the clock of its frames."""

    start_s: float
    end_s: float
    text: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s < np.inf:
            raise ContractError(
                f"'{self.text[:40]}': {self.start_s} s to {self.end_s} s is no stretch of a video"
            )


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a corpus says of stretches of a video, rather than of all of it.

    texts: what is done when, by start; may overlap.
    hidden_s: stretches [start, end] in s, sorted, apart from each other: no frame may be used whose
        presentation time lies in one (see `merged`).
    eye: "left" where two views stand side by side, of which only the left one is to be used.
    lasts_s: length of the video that `hidden_s` holds for: a file of another length is another part
        of it. None where it is not known.
    """

    texts: tuple[TimedText, ...] = ()
    hidden_s: tuple[tuple[float, float], ...] = ()
    eye: Eye = ""
    lasts_s: float | None = None

    def __post_init__(self) -> None:
        starts = [text.start_s for text in self.texts]
        if starts != sorted(starts):
            raise ContractError(f"texts must be sorted by start, got {starts[:5]}, ...")
        if self.hidden_s != merged(self.hidden_s):
            raise ContractError(f"hidden stretches must be sorted and apart, got {self.hidden_s}")

    def __bool__(self) -> bool:
        return bool(self.texts or self.hidden_s or self.eye)

    def text_at(self, start_s: float, end_s: float) -> str:
        """The text that covers most of a stretch, the first one of equals; "" if none does."""
        best, text = 0.0, ""
        for each in self.texts:
            if each.start_s >= end_s:
                break
            overlap = min(end_s, each.end_s) - max(start_s, each.start_s)
            if overlap > best:
                best, text = overlap, each.text
        return text


def merged(stretches: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Stretches (start, end) sorted, and joined where they touch. Raises `ContractError`."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if not -np.inf < start <= end:
            raise ContractError(f"a stretch must not end before it starts, got {start} to {end}")
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VideoRef(Brief):
    """A video of a corpus, known but not opened.

    id: stable within the corpus and independent of where the corpus lies (a relative path, or the
        corpus's own id).
    uri: where to read it, as `sofdata.storage.uris` writes it.
    size_bytes: size of the file.
    fingerprint: hash of the content (see `sofdata.storage.tree.Tree.fingerprint`).
    span_s: (start, end) in seconds of presentation time to use, or None for the whole video.
    text: what the corpus says is done in it, "" where it says nothing.
    labels: any further fields of the corpus (template, split, ...).
    actions: where its actions lie, None unless they were asked for.
    annotations: what the corpus says of stretches of it.

    >>> video = VideoRef("kitchen/7.mp4", "kitchen/7.mp4", 1 << 20, "3f2a", (2.0, 9.5), "cut bread")
    >>> video.text_at(3.0, 4.0)
    'cut bread'
    """

    id: str
    uri: str
    size_bytes: int
    fingerprint: str
    span_s: tuple[float, float] | None = None
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    actions: ActionRef | None = None
    annotations: Annotations = Annotations()

    def __post_init__(self) -> None:
        if not self.id or not self.uri:
            raise ContractError(f"a video needs an id and a uri, got {self.id!r} and {self.uri!r}")
        if self.span_s is not None and not self.span_s[0] < self.span_s[1]:
            raise ContractError(f"{self.id}: span {self.span_s} must start before it ends")

    @property
    def where(self) -> Location:
        """Where its bytes lie."""
        return parse(self.uri)

    @property
    def file_uri(self) -> str:
        """The uri of its file, which several sequences of pictures may have in common."""
        return without_sequence(self.uri)

    def text_at(self, start_s: float, end_s: float) -> str:
        """What is done from `start_s` to `end_s`: the text of that time, or of the whole video."""
        return self.annotations.text_at(start_s, end_s) or self.text


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frames(Brief):
    """Consecutive sampled frames: rgb uint8 [T,H,W,3] and their presentation times [T] in s.

    >>> Frames(np.zeros((16, 128, 128, 3), np.uint8), np.arange(16) / 10)
    Frames(rgb=uint8 [16,128,128,3], pts_s=float64 [16])
    """

    rgb: NDArray[np.uint8]
    pts_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        _expect("Frames.rgb", self.rgb, np.uint8, (None, None, None, 3))
        _expect("Frames.pts_s", self.pts_s, np.float64, (len(self.rgb),))
        _expect_increasing("Frames.pts_s", self.pts_s)

    def __len__(self) -> int:
        return len(self.rgb)

    def picture(self, number: int) -> NDArray[np.uint8]:
        """A copy of one frame [H,W,3]: a view would keep all of them in memory."""
        frame: NDArray[np.uint8] = self.rgb[number].copy()
        return frame


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StoredPicture(Brief):
    """A frame as it is stored, where nobody needs its pixels: a JPEG of height x width px."""

    jpeg: bytes
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """As that of its pixels, [H, W, 3]."""
        return self.height, self.width, 3


Picture = NDArray[np.uint8] | StoredPicture  # a frame: its pixels [H,W,3], or as it is stored


class Pictures(Protocol):
    """Consecutive sampled frames as windows see them: their times, and pictures to keep."""

    @property
    def pts_s(self) -> NDArray[np.float64]: ...
    def __len__(self) -> int: ...
    def picture(self, number: int) -> Picture: ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FlowClip(Brief):
    """Flow between consecutive frames.

    flow: float32 [S,H,W,2]; (dx, dy) in px a step at this resolution: the point at (x, y) of a
        frame lies at (x + dx, y + dy) in the next one.
    dt_s: float64 [S]; seconds from each frame to the next.

    >>> FlowClip(np.zeros((15, 128, 128, 2), np.float32), np.full(15, 0.1))
    FlowClip(flow=float32 [15,128,128,2], dt_s=float64 [15])
    """

    flow: NDArray[np.float32]
    dt_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        _expect("FlowClip.flow", self.flow, np.float32, (None, None, None, 2))
        _expect("FlowClip.dt_s", self.dt_s, np.float64, (len(self.flow),))

    def __len__(self) -> int:
        return len(self.flow)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SkillWindow(Brief):
    """A stretch of one video that may hold one skill: L steps of flow between L + 1 frames.

    index: number of the window within its video, counting rejected candidates too.
    flow: float32 [L,h,w,2]; (dx, dy) in px a step at h x w.
    pts_s: float64 [L+1]; presentation times of the frames, increasing.
    first, last: uint8 [H,W,3], or stored; the frames at both ends.
    cut: why this window begins where it does: "motion", "length" or "stride" (see
        `sofdata.windows.cuts`), or else why the stretch that it was cut from does: "start", "shot",
        "gap", "redacted", "text", "gradual" or "idle".
    motion: statistics of the flow, in px a step at h x w (see `sofdata.windows.motion`).
    quality: what pictures and flow are worth, of what was asked (see `sofdata.windows.quality`).

    >>> frame = np.zeros((128, 128, 3), np.uint8)
    >>> flow, times_s = np.zeros((8, 64, 64, 2), np.float32), np.arange(9) / 10
    >>> window = SkillWindow(0, flow, times_s, frame, frame, "start", {"mean_px": 0.4})
    >>> len(window), window.end_s
    (8, 0.8)
    """

    index: int
    flow: NDArray[np.float32]
    pts_s: NDArray[np.float64]
    first: Picture
    last: Picture
    cut: str
    motion: Mapping[str, float]
    quality: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        _expect("SkillWindow.flow", self.flow, np.float32, (None, None, None, 2))
        _expect("SkillWindow.pts_s", self.pts_s, np.float64, (len(self.flow) + 1,))
        _expect_increasing("SkillWindow.pts_s", self.pts_s)
        for name, picture in (("first", self.first), ("last", self.last)):
            if not isinstance(picture, StoredPicture):
                _expect(f"SkillWindow.{name}", picture, np.uint8, (None, None, 3))
        if self.last.shape != self.first.shape:
            raise ContractError(
                f"SkillWindow.last must be {list(self.first.shape)}, got {list(self.last.shape)}"
            )

    def __len__(self) -> int:
        return len(self.flow)

    @property
    def start_s(self) -> float:
        return float(self.pts_s[0])

    @property
    def end_s(self) -> float:
        return float(self.pts_s[-1])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ActionWindow(SkillWindow):
    """A window of a demonstration, with the actions that were taken in it.

    actions: float32 [N,A]; finite, in the units of the corpus.
    action_times_s: float64 [N]; when each was taken, on the clock of `pts_s`; increasing.
    """

    actions: NDArray[np.float32]
    action_times_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        SkillWindow.__post_init__(self)
        _expect("ActionWindow.actions", self.actions, np.float32, (None, None))
        _expect(
            "ActionWindow.action_times_s", self.action_times_s, np.float64, (len(self.actions),)
        )
        _expect_increasing("ActionWindow.action_times_s", self.action_times_s)
        if not self.actions.size or not np.isfinite(self.actions).all():
            raise ContractError("ActionWindow.actions must hold finite numbers, and at least one")


@dataclass(frozen=True, slots=True, eq=False)
class RejectedWindow:
    """A candidate window that is not kept, and why: "static", "too_short", ...

    Or a part of a video that no window holds: "redacted", "idle".

    index: number of the window within its video, counting kept ones too.
    """

    index: int
    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Batch(Brief):
    """Decoded samples, padded to the longest window, as torch tensors.

    flow: float32 [B,L,2,h,w]; (dx, dy) in px a step, zero where `mask` is False.
    first: uint8 [B,3,H,W]; the first frame of each window.
    last: uint8 [B,3,H,W]; the last frame of each window.
    mask: bool [B,L]; True where a step is real.
    text_ids: int64 [B]; index into the loader's `texts`.
    keys: the B keys of the samples.
    columns: float64 [B] by name, the columns that `load(..., columns=...)` asks for; NaN where a
        window has no value.

    >>> import sofdata
    >>> batch = next(iter(sofdata.load("dataset", batch_size=2)))
    >>> batch  # at most three lines, of shapes
    Batch(flow=float32 [2,8,2,64,64], first=uint8 [2,3,128,128], last=uint8 [2,3,128,128], ...)
    >>> batch.flow[batch.mask].shape[1:]  # real steps alone
    torch.Size([2, 64, 64])
    """

    flow: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    mask: torch.Tensor
    text_ids: torch.Tensor
    keys: tuple[str, ...]
    columns: Mapping[str, torch.Tensor] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        size, steps = self.mask.shape
        if self.flow.ndim != 5 or tuple(self.flow.shape[:3]) != (size, steps, 2):
            raise ContractError(
                f"Batch.flow must be [{size}, {steps}, 2, h, w], got {list(self.flow.shape)}"
            )
        lengths = {
            "first": len(self.first),
            "last": len(self.last),
            "text_ids": len(self.text_ids),
            "keys": len(self.keys),
            **{f"columns[{name!r}]": len(values) for name, values in self.columns.items()},
        }
        for name, length in lengths.items():
            if length != size:
                raise ContractError(f"Batch.{name} has {length} entries for {size} samples")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def steps(self) -> torch.Tensor:
        """How many steps of each window are real: int64 [B]. They come first."""
        return self.mask.sum(1)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Self:
        """The same batch with its tensors on a device, as `Tensor.to` puts them there.

        This and `pin_memory` are what the loops of others look for (torch's `DataLoader`,
        Lightning, accelerate).
        """
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self, device: Any = None) -> Self:
        """The same batch in memory from which a GPU copies by itself; as it is without a GPU."""
        import torch

        if not torch.accelerator.is_available():
            return self
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """The same with other tensors."""
        import torch

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        changed: dict[str, Any] = {
            name: change(value) for name, value in values.items() if isinstance(value, torch.Tensor)
        }
        changed["columns"] = {name: change(value) for name, value in self.columns.items()}
        return replace(self, **changed)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ActionBatch(Batch):
    """A batch of demonstrations: windows with the actions that were taken in them.

    actions: float32 [B,N,A]; in the units of the demonstrations, zero where `action_mask` is False.
    action_mask: bool [B,N]; True where an action was taken within the window.
    """

    actions: torch.Tensor
    action_mask: torch.Tensor

    def __post_init__(self) -> None:
        Batch.__post_init__(self)
        size, number = self.action_mask.shape
        if size != len(self.keys) or tuple(self.actions.shape[:2]) != (size, number):
            raise ContractError(
                f"ActionBatch.actions must be [{len(self.keys)}, {number}, A], got "
                f"{list(self.actions.shape)}"
            )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StateBatch(ActionBatch):
    """A batch of demonstrations with the robot's own state at each action.

    states: float32 [B,N,S]; in the units of the demonstrations, zero where `action_mask` is False.
    """

    states: torch.Tensor

    def __post_init__(self) -> None:
        ActionBatch.__post_init__(self)
        if tuple(self.states.shape[:2]) != tuple(self.action_mask.shape):
            raise ContractError(
                f"StateBatch.states must be {list(self.action_mask.shape)} and S, got "
                f"{list(self.states.shape)}"
            )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Skill(Brief):
    """What happens in a window, as n points of the skill model's bottleneck.

    codes: float32 [B,n,D]; FSQ: levels scaled to [-1, 1]; KL: the latent z.
    tokens: int64 [B,n]; FSQ: which code of the codebook each point is; KL: [B,0].

    >>> import torch
    >>> Skill(torch.zeros(2, 8, 4), torch.zeros(2, 8, dtype=torch.int64))
    Skill(codes=float32 [2,8,4], tokens=int64 [2,8])
    """

    codes: torch.Tensor
    tokens: torch.Tensor

    def __post_init__(self) -> None:
        if self.codes.ndim != 3 or self.tokens.ndim != 2 or len(self.codes) != len(self.tokens):
            raise ContractError(
                f"Skill needs codes [B,n,D] and tokens [B,n], got {list(self.codes.shape)} and "
                f"{list(self.tokens.shape)}"
            )

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan(Brief):
    """Skills to carry out one after the other; after the first, it is time to plan again.

    codes: float32 [B,K,n,D] and tokens: int64 [B,K,n] (or [B,K,0]) of K skills; see `Skill`.
    score: float32 [B]; what the planner expects of them, higher is better.

    >>> import torch
    >>> plan = Plan(torch.zeros(1, 3, 8, 4), torch.zeros(1, 3, 0, dtype=torch.int64), torch.ones(1))
    >>> plan.first
    Skill(codes=float32 [1,8,4], tokens=int64 [1,0])
    """

    codes: torch.Tensor
    tokens: torch.Tensor
    score: torch.Tensor

    def __post_init__(self) -> None:
        if self.codes.ndim != 4 or self.tokens.shape[:2] != self.codes.shape[:2]:
            raise ContractError(
                f"Plan needs codes [B,K,n,D] and tokens [B,K,n], got {list(self.codes.shape)} and "
                f"{list(self.tokens.shape)}"
            )

    @property
    def first(self) -> Skill:
        """The skill to carry out now."""
        return Skill(self.codes[:, 0], self.tokens[:, 0])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Actions(Brief):
    """A chunk of actions: float32 [B,N,A], in the units of the demonstrations.

    >>> import torch
    >>> Actions(torch.zeros(1, 8, 3))
    Actions(values=float32 [1,8,3])
    """

    values: torch.Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ContractError(f"Actions must be [B,N,A], got {list(self.values.shape)}")
