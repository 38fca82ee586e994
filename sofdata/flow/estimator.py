"""Flow estimators by name: what they promise, which there are, and making one from the config."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.flow import learned, weights, zoo
from sofdata.flow.batch import resolve_batch
from sofdata.flow.config import DisConfig, FlowConfig
from sofdata.flow.dis import Dis, coarsest_octave, side_with_octave
from sofdata.flow.farneback import Farneback
from sofdata.flow.opencv import load_cv2
from sofdata.system.extras import is_installed
from sofdata.system.nearest import did_you_mean


class Estimator(Protocol):
    """Estimates flow between pairs of frames. Keeps nothing from one call to the next."""

    @property
    def name(self) -> str:
        """As in `flow.estimator`: "dis", "ptlflow:raft"."""

    @property
    def version(self) -> str:
        """The libraries that compute, with their versions."""

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the weights; None for an estimator that has none."""

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow of each pair: RGB uint8 [N,H,W,3] twice to float32 [N,H,W,2].

        (dx, dy) in px of this resolution: the point at (x, y) of the first frame lies at
        (x + dx, y + dy) in the second. Raises `FlowError` for a pair that cannot be estimated and
        `ContractError` for arrays of another shape or type.
        """


@dataclass(frozen=True, slots=True)
class Classical:
    """An estimator without weights, which runs on a CPU.

    note: what `sofdata flows` says of it. make: called with the resolved configuration.
    """

    note: str
    make: Callable[[FlowConfig], Estimator]


# By the name that `flow.estimator` takes. To add one, write its module and put it here.
CLASSICAL: dict[str, Classical] = {
    "dis": Classical(
        "dense inverse search; the default on a CPU", lambda config: Dis(config.dis_settings())
    ),
    "farneback": Classical("polynomial expansion; for comparison", lambda config: Farneback()),
}


@dataclass(frozen=True, slots=True)
class EstimatorStatus:
    """An estimator, and whether it can run here as things stand.

    note: what it is, or what it lacks.
    """

    name: str
    kind: Literal["classical", "learned"]
    runs_here: bool
    note: str


def make_estimator(config: FlowConfig) -> Estimator:
    """The estimator that `config` asks for, ready to run.

    Raises `ConfigError` as `resolve` does, and for a model that cannot be built or fails on frames
    of `flow.size`. A learned model takes seconds to load.
    """
    config = resolve(config)
    if config.estimator in CLASSICAL:
        return CLASSICAL[config.estimator].make(config)
    return learned.Learned(config)


def resolve(config: FlowConfig, runs_here: bool = True) -> FlowConfig:
    """Replace every "auto" by what it stands for on this machine, and check that it can run.

    runs_here: False where other machines will compute, and it is not known whether they have a GPU;
        "auto" stands for what is right on this machine all the same.

    Resolving twice changes nothing. Weights that have a name are fetched if they are not here; the
    path of a checkpoint becomes absolute. Raises `ConfigError` for an unknown estimator, naming
    the nearest, and for a library, device or weights that are not to be had.
    """
    if config.estimator == "auto":
        config = _choose(config)
    _check_name(config.estimator)
    if config.estimator in CLASSICAL:
        return _resolve_classical(config)
    return _resolve_learned(config, runs_here)


def available() -> list[EstimatorStatus]:
    """All estimators; the learned ones are listed only where ptlflow is installed."""
    rows = [_classical_status(name, each.note) for name, each in CLASSICAL.items()]
    try:
        models = zoo.model_names()
    except ConfigError as error:
        return [*rows, EstimatorStatus(learned.PREFIX + "MODEL", "learned", False, str(error))]
    return rows + [_learned_status(model) for model in models]


def _choose(config: FlowConfig) -> FlowConfig:
    """DIS, or the learned model where there is a CUDA device and ptlflow, or CUDA is asked for."""
    learns = config.device == "cuda" or (
        config.device == "auto" and zoo.installed() and _has_cuda()
    )
    if not learns:
        return config.model_copy(update={"estimator": "dis", "device": "cpu"})
    update: dict[str, Any] = {"estimator": learned.AUTO_MODEL, "device": "cuda"}
    if config.checkpoint is None:
        update["checkpoint"] = learned.AUTO_CHECKPOINT
    if config.model_size is None:
        update["model_size"] = learned.AUTO_SIZE
    return config.model_copy(update=update)


def _check_name(name: str) -> None:
    known = list(CLASSICAL)
    if name not in known and (name.startswith(learned.PREFIX) or zoo.installed()):
        known += [learned.PREFIX + model for model in zoo.model_names()]
    if name in known:
        return
    hint = did_you_mean(name, [*known, "auto"]) or "."
    raise ConfigError(
        f"flow.estimator '{name}' is unknown{hint} `sofdata flows` lists what there is"
    )


def _resolve_classical(config: FlowConfig) -> FlowConfig:
    load_cv2()
    if config.device == "cuda":
        raise ConfigError(
            f"flow.device is cuda, but '{config.estimator}' runs on a CPU only: use flow.device="
            "auto, or a ptlflow model"
        )
    update: dict[str, Any] = {"device": "cpu"}
    if config.estimator == "dis":
        _check_octaves(config)
        update["dis"] = DisConfig(**asdict(config.dis_settings()))
    return resolve_batch(config.model_copy(update=update), runs_here=False)


def _check_octaves(config: FlowConfig) -> None:
    """Refuse a finest octave that frames of `flow.size` do not have: OpenCV may crash on it."""
    dis = config.dis_settings()
    most = coarsest_octave(config.size, config.size, dis.patch_size)
    if dis.finest_scale > most:
        least_px = side_with_octave(dis.finest_scale, dis.patch_size)
        raise ConfigError(
            f"flow.dis.finest_scale is {dis.finest_scale} (flow.quality {config.quality}), and "
            f"frames of flow.size {config.size} px have no octave beyond {max(most, 0)}: take "
            f"flow.size {least_px} or more, or a finer octave"
        )


def _resolve_learned(config: FlowConfig, runs_here: bool) -> FlowConfig:
    update: dict[str, Any] = {}
    if config.device == "auto":
        update["device"] = "cuda" if _has_cuda() else "cpu"
    elif config.device == "cuda" and runs_here and not _has_cuda():
        raise ConfigError("flow.device is cuda, but torch finds no CUDA device on this machine")
    if config.checkpoint != weights.RANDOM:
        urls = zoo.checkpoint_urls(config.estimator.removeprefix(learned.PREFIX))
        path = weights.locate(config.estimator, config.checkpoint, urls)
        # Workers have another working directory, so that a path must be absolute; a name is kept,
        # since each machine has its own cache.
        if config.checkpoint not in urls:
            update["checkpoint"] = str(path)
        found = weights.sha256(path)
        if config.weights_sha256 not in (None, found):
            raise ConfigError(
                f"{path} has the sha256 {found}, not {config.weights_sha256} as flow.weights_sha256"
                " says; other weights give other flow"
            )
        update["weights_sha256"] = found
    return resolve_batch(config.model_copy(update=update), runs_here)


def _has_cuda() -> bool:
    """Whether torch can use a GPU. Without NVIDIA's driver the slow import of torch is saved."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    if not is_installed("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _classical_status(name: str, note: str) -> EstimatorStatus:
    try:
        load_cv2()
    except ConfigError as error:
        return EstimatorStatus(name, "classical", False, str(error))
    return EstimatorStatus(name, "classical", True, note)


def _learned_status(model: str) -> EstimatorStatus:
    urls = zoo.checkpoint_urls(model)
    cached = [name for name, url in urls.items() if weights.cache_path(url).is_file()]
    if model in zoo.TROUBLE:
        note = zoo.TROUBLE[model]
    elif cached:
        note = f"weights here: {', '.join(cached)}"
    elif urls:
        note = f"needs weights, fetched on first use: {', '.join(urls)}"
    else:
        note = "needs weights of your own: ptlflow publishes none"
    if model in zoo.HINTS:
        note += f"; {zoo.HINTS[model]}"
    runs = bool(cached) and model not in zoo.TROUBLE
    return EstimatorStatus(learned.PREFIX + model, "learned", runs, note)
