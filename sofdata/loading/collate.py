"""The stored samples of a batch to one padded `Batch`, each decoded right into its place in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError
from sofdata.loading.catalog import Geometry
from sofdata.loading.numbers import number_of
from sofdata.loading.reader import Stored, naming_sample
from sofdata.loading.sharing import own_worker
from sofdata.loading.slots import Slot, Slots
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.types import SCHEMA_VERSION, ActionBatch, Batch, StateBatch


@dataclass(frozen=True, slots=True, eq=False)
class Collated:
    """A batch on its way to the training process.

    block: the memory that holds its large arrays, or where that lies in the slots.
    lengths: int64 [B]; real steps of each window. actions: of each window, float32 [N,A].
    columns: float64 [B] by name.
    """

    keys: tuple[str, ...]
    block: NDArray[np.uint8] | Slot
    lengths: NDArray[np.int64]
    text_ids: NDArray[np.int64]
    actions: tuple[NDArray[np.float32], ...]
    columns: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Large:
    """The large arrays of a batch, as views of one block of memory.

    flow: float32 [B,L,2,h,w]; first, last: uint8 [B,3,H,W].
    """

    flow: NDArray[np.float32]
    first: NDArray[np.uint8]
    last: NDArray[np.uint8]

    @classmethod
    def within(cls, block: NDArray[np.uint8], number: int, geometry: Geometry) -> Large:
        """Divide a block for so many windows."""
        flow_shape, frame_shape = _shapes(number, geometry)
        flow_end = 4 * math.prod(flow_shape)
        first_end = flow_end + math.prod(frame_shape)
        last_end = first_end + math.prod(frame_shape)
        return cls(
            flow=block[:flow_end].view(np.float32).reshape(flow_shape),
            first=block[flow_end:first_end].reshape(frame_shape),
            last=block[first_end:last_end].reshape(frame_shape),
        )

    @staticmethod
    def size_bytes(number: int, geometry: Geometry) -> int:
        """Bytes of a block for so many windows."""
        flow_shape, frame_shape = _shapes(number, geometry)
        return 4 * math.prod(flow_shape) + 2 * math.prod(frame_shape)


class Collate:
    """Makes batches in which every window has `geometry.steps` steps, whatever it is beside.

    The shapes so do not depend on which windows meet in a batch, on how many ranks there are, or
    on what was consumed before a resume.

    slots: where worker processes put the large arrays; None if there are none.
    columns: of the index, that batches have beside these; see `sofdata.loading.numbers`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        geometry: Geometry,
        slots: Slots | None,
        columns: Sequence[str] = (),
    ) -> None:
        self._texts = texts
        self._geometry = geometry
        self._slots = slots
        self._columns = tuple(columns)

    def __call__(self, stored: Sequence[Stored]) -> Collated:
        """Raises `InputError` that names a sample that does not decode or fit its dataset."""
        number = len(stored)
        place, block = self._block(number)
        large = Large.within(block, number, self._geometry)
        lengths, texts = np.zeros(number, np.int64), np.zeros(number, np.int64)
        actions = []
        columns = {name: np.full(number, np.nan) for name in self._columns}
        for row, sample in enumerate(stored):
            with naming_sample(sample.key, sample.shard):
                decoded = decode_sample(sample.key, sample.members, large.flow[row])
                self._check(decoded)
                texts[row] = self._text_id(decoded.record.text)
            lengths[row] = len(decoded.flow)
            large.flow[row, len(decoded.flow) :] = 0.0
            large.first[row] = decoded.first.transpose(2, 0, 1)
            large.last[row] = decoded.last.transpose(2, 0, 1)
            for name, values in columns.items():
                values[row] = number_of(decoded.record, len(decoded.flow), name)
            if decoded.actions is not None:
                actions.append(decoded.actions)
        keys = tuple(sample.key for sample in stored)
        return Collated(keys, place or block, lengths, texts, tuple(actions), columns)

    def to_batch(self, collated: Collated) -> Batch:
        """The batch as tensors, in memory of this process alone."""
        import torch

        number, block = len(collated.keys), collated.block
        if isinstance(block, Slot):
            assert self._slots is not None
            block = self._slots.take(block, Large.size_bytes(number, self._geometry))
        large = Large.within(block, number, self._geometry)
        batch = Batch(
            flow=torch.from_numpy(large.flow),
            first=torch.from_numpy(large.first),
            last=torch.from_numpy(large.last),
            mask=torch.from_numpy(np.arange(self._geometry.steps) < collated.lengths[:, None]),
            text_ids=torch.from_numpy(collated.text_ids),
            keys=collated.keys,
            columns={name: torch.from_numpy(each) for name, each in collated.columns.items()},
        )
        return self._with_actions(batch, collated.actions) if collated.actions else batch

    def _block(self, number: int) -> tuple[Slot | None, NDArray[np.uint8]]:
        if self._slots is not None and (worker := own_worker()) is not None:
            return self._slots.claim(worker[0])
        # One block, since numpy takes huge pages for large ones, which are far faster to map.
        size = Large.size_bytes(number, self._geometry)
        try:
            return None, np.empty(size, np.uint8)
        except MemoryError:
            raise ConfigError(
                f"a batch of {number} windows takes {size >> 20} MiB, which are not to be had: "
                "take a smaller batch"
            ) from None

    def _text_id(self, text: str) -> int:
        try:
            return self._texts.index(text)
        except ValueError:
            raise InputError(f"it has a text that the index does not list: {text!r}") from None

    def _check(self, sample: DecodedSample) -> None:
        geometry, record = self._geometry, sample.record
        steps, *flow_px = sample.flow.shape[:3]
        found = (flow_px, list(sample.first.shape[:2]), list(sample.last.shape[:2]))
        wanted = ([geometry.flow_px] * 2, *([[geometry.frame_px] * 2] * 2))
        if found != wanted or not 0 < steps <= geometry.steps:
            raise InputError(
                f"it has {steps} steps of flow of {flow_px} px, and frames of {found[1]} and "
                f"{found[2]} px; its dataset has up to {geometry.steps} steps of "
                f"{geometry.flow_px} px and frames of {geometry.frame_px} px"
            )
        if record.schema_version != SCHEMA_VERSION:
            raise InputError(f"its schema version is {record.schema_version}, not {SCHEMA_VERSION}")
        dimension = 0 if sample.actions is None else sample.actions.shape[1]
        if dimension != geometry.dimension:
            raise InputError(
                f"its actions have dimension {dimension}, those of its dataset "
                f"{geometry.dimension} (0: none)"
            )

    def _with_actions(self, batch: Batch, stored: Sequence[NDArray[np.float32]]) -> ActionBatch:
        import torch

        longest = max(self._geometry.actions, *map(len, stored))
        actions = np.zeros((len(stored), longest, self._geometry.dimension), np.float32)
        mask = np.zeros(actions.shape[:2], np.bool_)
        for row, each in enumerate(stored):
            actions[row, : len(each)] = each
            mask[row, : len(each)] = True
        values: dict[str, Any] = {each.name: getattr(batch, each.name) for each in fields(Batch)}
        values["action_mask"] = torch.from_numpy(mask)
        own = self._geometry.dimension - self._geometry.state
        if not self._geometry.state:
            return ActionBatch(**values, actions=torch.from_numpy(actions))
        parts = (np.ascontiguousarray(part) for part in (actions[..., :own], actions[..., own:]))
        taken, states = map(torch.from_numpy, parts)
        return StateBatch(**values, actions=taken, states=states)


def _shapes(number: int, geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of flow and of each frame for so many windows."""
    flow = (number, geometry.steps, 2, geometry.flow_px, geometry.flow_px)
    return flow, (number, 3, geometry.frame_px, geometry.frame_px)
