"""How many pairs a learned model is given at a time, found by trying on the GPU at hand."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sofdata.errors import ConfigError, FlowError
from sofdata.flow.config import CPU_PAIRS, FlowConfig

if TYPE_CHECKING:
    from sofdata.flow.learned import Learned

MOST_PAIRS = 512
MEMORY_SHARE = 0.7  # of the GPU's free memory; the rest is for fragments and for other processes


def resolve_batch(config: FlowConfig, runs_here: bool) -> FlowConfig:
    """A config whose `batch_pairs` is a number: as given, or found where it is "auto".

    config: of a learned model, with its device and weights resolved.
    runs_here: False where other machines will compute: nothing can be tried there.

    The number is part of the resolved config, since torch picks its kernels by the shape of a
    batch: other numbers give other last bits.
    """
    if config.batch_pairs != "auto":
        return config
    found = largest_on_cuda(config) if config.device == "cuda" and runs_here else CPU_PAIRS
    return config.model_copy(update={"batch_pairs": found})


def largest_on_cuda(config: FlowConfig) -> int:
    """The largest batch, a power of two, that takes at most 0.7 of the GPU's free memory.

    Costs the loading of the model and a few seconds. Raises `ConfigError` if not one pair fits.
    """
    import torch

    from sofdata.flow.learned import Learned

    free_bytes, _ = torch.cuda.mem_get_info()
    model = Learned(config.model_copy(update={"batch_pairs": MOST_PAIRS}))
    found = largest(_fits_in(model, config.size))
    del model
    gc.collect()  # the model and what it had allocated: workers need the room
    torch.cuda.empty_cache()
    if not found:
        raise ConfigError(
            f"{config.estimator} has no room for one pair on this GPU, of which "
            f"{free_bytes >> 20} MiB are free: lower flow.model_size, or set flow.batch_pairs=1"
        )
    return found


def _fits_in(model: Learned, side: int) -> Callable[[int], bool]:
    """Whether so many pairs at a time leave enough of the GPU's memory, which was free so far."""
    import torch

    room_bytes = MEMORY_SHARE * torch.cuda.mem_get_info()[0]

    def fits(pairs: int) -> bool:
        torch.cuda.reset_peak_memory_stats()
        ran = runs(model, pairs, side)
        return ran and torch.cuda.max_memory_reserved() <= room_bytes

    return fits


def runs(model: Learned, pairs: int, side: int) -> bool:
    """Whether a model gets through a batch of noise [pairs,side,side,3] without lack of memory."""
    noise = np.random.default_rng(0).integers(0, 256, (2, pairs, side, side, 3), np.uint8)
    try:
        model.estimate(noise[0], noise[1])
    except (ConfigError, FlowError):  # which of the two depends on what was short of memory
        return False
    return True


def largest(fits: Callable[[int], bool], most: int = MOST_PAIRS) -> int:
    """The largest power of two, at most `most`, up to which all fit; 0 if not even 1 does."""
    pairs = 0
    while max(1, 2 * pairs) <= most and fits(max(1, 2 * pairs)):
        pairs = max(1, 2 * pairs)
    return pairs
