"""Learned flow: any model of ptlflow (https://ptlflow.readthedocs.io) that runs on two frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, ContractError, FlowError
from sofdata.flow import weights, zoo
from sofdata.flow.config import FlowConfig
from sofdata.flow.pairs import check_flow, check_pairs

if TYPE_CHECKING:
    import torch

PREFIX = "ptlflow:"

# What `auto` takes on CUDA. ptlflow's documentation gives NeuFlow v2 12 ms for a pair of 500 x 1000
# px on an RTX 3090 in half precision, against 28 ms for SEA-RAFT and GMFlow and 85 ms for RAFT, and
# "mixed" names the checkpoint trained on several data sets. We have not measured it ourselves.
AUTO_MODEL = PREFIX + "neuflow2"
AUTO_CHECKPOINT = "mixed"
AUTO_SIZE = (384, 384)  # these models learn on frames several times larger than ours

# Below this many px the correlation pyramids of RAFT and its kin shrink to one cell and give NaN.
MIN_SIDE = 128


class Learned:
    """A ptlflow model with its weights, ready on its device.

    The same calls give the same bytes on the same machine. The same pair within another batch may
    differ in the last bits, as torch picks its kernels by the shape of the batch.
    """

    def __init__(self, config: FlowConfig) -> None:
        """Load the model of a resolved config and try it on one pair.

        Raises `ConfigError` when the model cannot be built, its weights cannot be had or do not
        fit, or when it fails on frames of `config.size`.
        """
        import torch

        if config.batch_pairs == "auto":
            raise ContractError("flow.batch_pairs is auto: the config is not resolved")
        self.name = config.estimator
        self._config = config
        self._batch = config.batch_pairs
        self._device = torch.device(config.device)
        if config.device == "cpu":
            torch.set_num_threads(1)  # more were up to 130 times slower on busy cores
        else:
            torch.backends.cudnn.benchmark = False  # choosing kernels by time is not repeatable
            torch.backends.cudnn.deterministic = True
        ptlflow = zoo.load_ptlflow()
        self.version = f"ptlflow {ptlflow.__version__}, torch {torch.__version__}"
        self._model, self.weights_sha256 = _load(config)
        self._model.to(self._device)
        self._try()

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow from `first` to `second`; see `sofdata.flow.estimator.Estimator`."""
        check_pairs(first, second)
        flow = np.empty((*first.shape[:3], 2), np.float32)
        for start in range(0, len(first), self._batch):
            part = slice(start, start + self._batch)
            flow[part] = self._estimate_batch(first[part], second[part])
        return check_flow(flow, self.name)

    def _estimate_batch(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        import torch

        bgr = np.ascontiguousarray(np.stack([first, second], axis=1)[..., ::-1])
        try:
            with torch.inference_mode():
                pairs = torch.from_numpy(bgr).to(self._device).permute(0, 1, 4, 2, 3)
                flow = self._run(pairs.float() / 255)  # [B, 2, H, W]
                return np.asarray(flow.permute(0, 2, 3, 1).cpu().numpy())
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{self.name} ran out of memory on {len(first)} pairs: lower flow.batch_pairs"
            ) from error
        except Exception as error:  # models fail with any class of exception
            raise FlowError(
                f"{self.name} failed on {len(first)} pairs of {first.shape[2]}x{first.shape[1]} "
                f"px: {type(error).__name__}: {error}"
            ) from error

    def _run(self, pairs: torch.Tensor) -> torch.Tensor:
        """Images [B, 2, 3, H, W], BGR in 0..1, to flow [B, 2, H, W] in px at H x W."""
        import torch
        from ptlflow.utils.utils import InputPadder

        size = (pairs.shape[-2], pairs.shape[-1])
        height, width = self._config.model_size or size
        images = _resize(pairs.flatten(0, 1), (height, width)).view(-1, 2, 3, height, width)
        # Each model pads to its own stride; only the least size is left to us.
        padded = (max(height, MIN_SIDE), max(width, MIN_SIDE))
        padder = InputPadder(images.shape, stride=1, size=padded)
        dtype = getattr(torch, self._config.dtype)
        with torch.autocast(self._device.type, dtype=dtype, enabled=dtype != torch.float32):
            output = self._model({"images": padder.fill(images)})["flows"]  # [B, 1, 2, h, w]
        flow = _resize(padder.unfill(output)[:, 0].float(), size)
        scale = flow.new_tensor([size[1] / width, size[0] / height])
        return flow * scale[:, None, None]

    def _try(self) -> None:
        """Run one pair of noise, so that a model that cannot work says so before any video."""
        side = self._config.size
        noise = np.random.default_rng(0).integers(0, 256, (2, 1, side, side, 3), np.uint8)
        try:
            with zoo.quiet():
                self.estimate(noise[0], noise[1])
        except FlowError as error:
            model = self.name.removeprefix(PREFIX)
            known = zoo.TROUBLE.get(model) or zoo.HINTS.get(model)
            raise ConfigError(f"{error}" + (f" ({known})" if known else "")) from error


def _load(config: FlowConfig) -> tuple[Any, str]:
    """The model with its weights on the CPU, and the hash of the weights."""
    model_name = config.estimator.removeprefix(PREFIX)
    model = zoo.build(model_name, config.model_args)
    if config.checkpoint == weights.RANDOM:
        return model, weights.state_sha256(model.state_dict())
    path = weights.locate(config.estimator, config.checkpoint, zoo.checkpoint_urls(model_name))
    state, extra = weights.load(path)
    for name, value in extra.items():
        model.add_extra_param(name, value)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(
            f"{path} does not fit {config.estimator} with flow.model_args {config.model_args}: "
            f"{str(error)[:500]}"
        ) from error
    return model, weights.sha256(path)


def _resize(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize [B, C, h, w] to `size`, averaging where it shrinks; the same tensor if it fits."""
    from torch.nn import functional

    if tuple(images.shape[-2:]) == size:
        return images
    return functional.interpolate(images, size, mode="bilinear", antialias=True)
