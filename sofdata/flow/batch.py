"""How many pairs a learned model is given at a time, found by trying on the GPU at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.errors import ConfigError, FlowError, SofdataError
from sofdata.flow.config import CPU_PAIRS, FlowConfig

if TYPE_CHECKING:
    from sofdata.flow.learned import Learned

MOST_PAIRS = 512
PROGRAM = "from sofdata.flow.batch import main; main()"
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

    It is tried in a process of its own: one that has used CUDA keeps some of the GPU's memory for
    as long as it lives, and a driver outlives the workers that need the room. Costs the loading of
    torch and of the model, and a few seconds.

    Raises `ConfigError` if not one pair fits, and for what the process ended with instead.
    """
    answer = _answer(config.model_dump_json(), PROGRAM)
    if "pairs" not in answer:
        raise ConfigError(str(answer["error"]))
    return int(answer["pairs"])


def _answer(config: str, program: str) -> dict[str, Any]:
    """What the process says in its last line. program: what it runs."""
    modules = os.pathsep.join(path or os.getcwd() for path in sys.path)  # as here, and no others
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=config.encode(),
        stdout=subprocess.PIPE,
        check=False,
        env={**os.environ, "PYTHONPATH": modules},
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {
            "error": "the process that looks for the largest batch has ended with exit code "
            f"{done.returncode}: set flow.batch_pairs to a number"
        }
    return answer


def main() -> None:
    """The process that looks: reads a config from its standard input, and prints its answer."""
    try:
        answer: dict[str, Any] = {"pairs": _search(FlowConfig.parse(json.load(sys.stdin)))}
    except SofdataError as error:
        answer = {"error": str(error)}
    print("\n" + json.dumps(answer), flush=True)


def _search(config: FlowConfig) -> int:
    """Raises `ConfigError` as `largest_on_cuda`."""
    import torch

    from sofdata.flow.learned import Learned

    free_bytes, _ = torch.cuda.mem_get_info()
    model = Learned(config.model_copy(update={"batch_pairs": MOST_PAIRS}))
    found = largest(_fits_in(model, config.size))
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
