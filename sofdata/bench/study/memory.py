"""Windows held in memory, for trainings of many epochs over a small dataset.

The benchmark's datasets have some thousand windows, and decoding their frames takes longer than
training on them. Read once, with frames at the size that the models use, they fit in a few hundred
MB. `Loader` reads them; `MemoryLoader` replaces it in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sofdata.bench.baselines.framed import (
    FramedActionBatch,
    FramedBatch,
    FramedSeenBatch,
    places_between,
)
from sofdata.errors import ContractError
from sofdata.loading.catalog import Geometry, open_catalog
from sofdata.loading.loader import Loader
from sofdata.loading.order import Order
from sofdata.loading.quotes import quoted
from sofdata.models.action.seen import SeenBatch
from sofdata.models.skill.eyes import FRAME, check_image_px
from sofdata.storage.tree import Tree
from sofdata.types import ActionBatch, Batch, StateBatch

_AT_ONCE = 256
_SAMPLED = 4_000  # windows that a percentile is taken of
_NAMES = ("flow", "first", "last", "mask", "text_ids")
_OF_ACTIONS = ("actions", "action_mask")
# By whether something is seen beside them, they have actions, and frames between.
_BATCHES: dict[tuple[bool, bool, bool], Callable[..., Batch]] = {
    (False, False, False): Batch,
    (False, False, True): FramedBatch,
    (False, True, False): ActionBatch,
    (False, True, True): FramedActionBatch,
    (True, True, False): SeenBatch,
    (True, True, True): FramedSeenBatch,
}


@dataclass(frozen=True, slots=True, eq=False)
class MemoryWindows:
    """Windows of one dataset.

    batch: all of them; frames uint8 [M,3,px,px], flow in float16 to save memory.
    texts: what `batch.text_ids` point to. p99_px: of all flow of the dataset.
    before: int64 [M,H], the rows whose first frames come before that of each window, the oldest
        first; None without a history.
    state: float32 [M,S], the robot's own at each window's first frame; None: not wanted.
    second: uint8 [M,3,px,px], what a second camera shows at each window's first frame; None: not
        wanted.
    weights: float32 [M,N], how much each action counts in a loss; None: all alike.
    between: int64 [M,L-1], where the frames between first and last lie (see `places_between`), if
        they are wanted.
    """

    batch: Batch
    texts: tuple[str, ...]
    p99_px: float
    geometry: Geometry
    before: Tensor | None = None
    between: Tensor | None = None
    state: Tensor | None = None
    weights: Tensor | None = None
    second: Tensor | None = None

    def __len__(self) -> int:
        return len(self.batch.keys)

    def rows(self, places: Sequence[int] | NDArray[np.int64]) -> Batch:
        """Some of them as a batch, flow in float32."""
        chosen = torch.as_tensor(np.asarray(places, np.int64))
        values: dict[str, Tensor] = {
            name: getattr(self.batch, name)[chosen] for name in _NAMES if name != "flow"
        }
        values["flow"] = self.batch.flow[chosen].float()
        keys = tuple(self.batch.keys[int(place)] for place in places)
        labelled = isinstance(self.batch, ActionBatch)
        if isinstance(self.batch, ActionBatch):
            values |= {name: getattr(self.batch, name)[chosen] for name in _OF_ACTIONS}
            values |= self._beside(chosen, self.batch.action_mask.shape[1])
        if self.between is not None:
            values["between"] = self._frames(chosen)
        return _BATCHES["earlier" in values, labelled, "between" in values](keys=keys, **values)

    def _beside(self, chosen: Tensor, actions: int) -> dict[str, Tensor]:
        """What a `SeenBatch` of some windows has beside them; {} where there is nothing of it."""
        beside = (self.before, self.state, self.weights, self.second)
        if all(each is None for each in beside):
            return {}
        size = len(chosen)
        second = self.batch.first.new_zeros(size, 0, *self.batch.first.shape[1:])
        if self.second is not None:
            second = self.second[chosen][:, None]
        before = torch.zeros(size, 0, dtype=torch.int64)
        if self.before is not None:
            before = self.before[chosen]
        return {
            "earlier": self.batch.first[before],  # [B, H, 3, px, px]
            "state": torch.zeros(size, 0) if self.state is None else self.state[chosen],
            "weights": torch.ones(size, actions) if self.weights is None else self.weights[chosen],
            "second": second,  # [B, V, 3, px, px]
        }

    def images(self, places: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """The first frames of some of them, uint8 [B,3,px,px]; with a history, those before them
        as well: [B,1+H,3,px,px]."""
        chosen = torch.as_tensor(np.asarray(places, np.int64))
        if self.before is None:
            return self.batch.first[chosen]
        return self.batch.first[torch.cat([self.before[chosen], chosen[:, None]], 1)]

    def with_history(self, number: int) -> MemoryWindows:
        """The same with so many frames before each window's first, where earlier windows of the
        same source begin; where there is none, the next later one's is repeated."""
        if not number:
            return self
        keys = [key.rpartition("-") for key in self.batch.keys]
        rows = {(source, int(window)): row for row, (source, _, window) in enumerate(keys)}
        before = torch.empty(len(self), number, dtype=torch.int64)
        for (source, window), row in rows.items():
            seen = row
            for back in range(1, number + 1):
                seen = rows.get((source, window - back), seen)
                before[row, number - back] = seen
        return replace(self, before=before)

    def _frames(self, chosen: Tensor) -> Tensor:
        """The frames between of some windows, uint8 [B,L-1,3,px,px]."""
        assert self.between is not None
        places = self.between[chosen]
        ends = places >= len(self)
        frames = self.batch.first[places % len(self)]
        frames[ends] = self.batch.last[places[ends] - len(self)]
        return frames

    def with_texts(self, texts: tuple[str, ...]) -> MemoryWindows:
        """The same with text ids that point into other `texts`, which must contain theirs."""
        used = {self.texts[index] for index in set(self.batch.text_ids.tolist())}
        missing = used - set(texts)
        if missing:
            raise ContractError(f"texts {sorted(missing)} are not among {list(texts)}")
        places = torch.tensor([texts.index(t) if t in used else -1 for t in self.texts])
        ids = places[self.batch.text_ids]
        return replace(self, batch=replace(self.batch, text_ids=ids), texts=texts)

    def own_p99_px(self) -> float:
        """99th percentile of the magnitude of the flow of these windows, px a step, whatever else
        is in their dataset; of some thousand windows, if there are more."""
        every = -(-len(self) // _SAMPLED)
        flow, mask = self.batch.flow[::every].float(), self.batch.mask[::every]
        magnitude = flow.norm(dim=2)[mask]  # [M, L, 2, h, w] to real steps [N, h, w]
        return float(np.quantile(magnitude.numpy(), 0.99))

    def untold(self) -> MemoryWindows:
        """The same as windows of no task: all of them have the text ""."""
        ids = torch.zeros_like(self.batch.text_ids)
        return replace(self, batch=replace(self.batch, text_ids=ids), texts=("",))

    def with_actions(self, actions: Tensor, per_step: int | None = None) -> MemoryWindows:
        """The same with actions float32 [M,N,A], masked as far as the steps of each window are.

        per_step: how many a step of flow has. None: they are spread evenly over a window of the
        most steps: the middle of action i of N lies at the fraction (i + 0.5) / N of it, and is
        real where that is less than the share of its real steps. Where windows differ in length,
        the longest with actions may be shorter than the longest of these.
        """
        values = {name: getattr(self.batch, name) for name in _NAMES}
        if per_step is None:
            share = self.batch.mask.double().mean(1, keepdim=True)  # [M, 1]
            middles = (torch.arange(actions.shape[1]) + 0.5) / actions.shape[1]
            mask = middles < share  # [M, N]
        else:
            mask = torch.arange(actions.shape[1]) < self.batch.steps[:, None] * per_step
        mask[:, 0] = True  # a window has a step, and so an action
        batch = ActionBatch(
            keys=self.batch.keys, **values, actions=actions * mask[..., None], action_mask=mask
        )
        return replace(self, batch=batch)

    def joined(self, other: MemoryWindows) -> MemoryWindows:
        """These windows followed by those of `other`, of the same texts and sizes; without the
        frames between, and without a state or a second camera's images that not all have."""
        if self.texts != other.texts or type(self.batch) is not type(other.batch):
            raise ContractError("windows of other texts, or without actions, cannot be joined")
        before = self.before
        if before is not None and other.before is not None:
            before = torch.cat([before, other.before + len(self)])
        batch = _joined([self.batch, other.batch])
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = torch.cat([self._counts(), other._counts()])
        return replace(
            self,
            batch=batch,
            before=before,
            between=None,
            weights=weights,
            state=_of_both(self.state, other.state),
            second=_of_both(self.second, other.second),
        )

    def _counts(self) -> Tensor:
        """`weights`, where there are none 1 for each action."""
        assert isinstance(self.batch, ActionBatch)
        return torch.ones(self.batch.action_mask.shape) if self.weights is None else self.weights


def _of_both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else torch.cat([one, other])


def read_windows(
    url: str,
    sources: Sequence[str] | None = None,
    image_px: int = FRAME,
    frames: bool = False,
) -> MemoryWindows:
    """Read the windows of some videos, or of all, in the order of the index.

    sources: ids of videos, as in the index's column `source`. image_px: what the models read; at
        this size frames are kept. frames: whether the frames between are wanted.
    Raises `ConfigError` where the dataset or its windows cannot be read, none is selected, or
    frames are stored smaller.
    """
    where = "" if sources is None else f"source in ({', '.join(map(quoted, sources))},)"
    loader = Loader(url, batch_size=_AT_ONCE, shuffle=False, where=where)
    check_image_px(image_px, loader.geometry.frame_px)
    parts, states = list[Batch](), list[Tensor]()
    for found in loader.epoch(0):
        parts.append(_small(found, image_px))
        if isinstance(found, StateBatch):
            states.append(found.states[:, 0])  # [B, S], at the first frame
    loader.close()
    batch, p99_px = _joined(parts), float(loader.statistics["p99_px"])
    return MemoryWindows(
        batch,
        tuple(loader.texts),
        p99_px,
        loader.geometry,
        between=_between(url, batch) if frames else None,
        state=torch.cat(states) if states else None,
    )


def _between(url: str, batch: Batch) -> Tensor:
    """Where the frames between lie, of windows in the order of the index."""
    known: dict[str, tuple[str, float, float]] = {}
    columns = ["key", "source", "start_s", "end_s"]
    for table in open_catalog([Tree(url)]).tables(columns):
        values = (table[name].to_pylist() for name in columns)
        known |= {key: rest for key, *rest in zip(*values, strict=True)}
    sources, starts, ends = zip(*(known[key] for key in batch.keys), strict=True)
    steps = batch.mask.sum(1).clamp(min=1).numpy()
    most = batch.mask.shape[1]
    return torch.from_numpy(places_between(sources, np.array(starts), np.array(ends), steps, most))


def _joined(parts: Sequence[Batch]) -> Batch:
    kind = ActionBatch if isinstance(parts[0], ActionBatch) else Batch
    names = _NAMES + (_OF_ACTIONS if kind is ActionBatch else ())
    values: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in names
    }
    return kind(keys=tuple(key for part in parts for key in part.keys), **values)


def _small(batch: Batch, px: int) -> Batch:
    return replace(
        batch,
        flow=batch.flow.half(),
        first=small_frames(batch.first, px),
        last=small_frames(batch.last, px),
    )


def small_frames(frames: Tensor, px: int = FRAME) -> Tensor:
    """uint8 [B,3,H,W] of any size to uint8 [B,3,px,px], by means of areas."""
    if frames.shape[-2:] == (px, px):
        return frames
    means = functional.interpolate(frames.float(), (px, px), mode="area")
    return means.round().to(torch.uint8)


class MemoryLoader:
    """Batches of windows in memory: every epoch in another order, which follows from the seed.

    shuffle: False for the order of the windows, with a last batch that may not be full. With it,
        windows are repeated where there are fewer than a batch, so that batches are full.
    """

    def __init__(
        self, windows: MemoryWindows, batch_size: int, *, seed: int = 0, shuffle: bool = True
    ) -> None:
        self._windows, self._size = windows, batch_size
        number = len(windows)
        whole = number * (-(-batch_size // number) if shuffle else 1)
        self._order = Order(np.array([whole]), shuffle, seed, buffer_shards=1)
        self.batches = whole // batch_size if shuffle else -(-whole // batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from batch `start` on."""
        rows = self._rows(number)
        for place in range(start, self.batches):
            yield self._windows.rows(rows[place * self._size : (place + 1) * self._size])

    def _rows(self, epoch: int) -> NDArray[np.int64]:
        return self._order.rows(epoch) % len(self._windows)
