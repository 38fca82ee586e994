"""The training loop. `fit` trains any `Trainable` model and reads from top to bottom.

Everything random follows from the seed and the number of the step: the order of the windows from
(seed, epoch), all noise from (seed, step, rank). So a checkpoint needs only the position in
training, and a run that is killed and resumed ends with the same bits, on a CPU with as many
threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sofdata.errors import ConfigError, InputError
from sofdata.system.fault_points import fault_point
from sofdata.train.checkpoint import load_checkpoint, save_checkpoint
from sofdata.train.config import AnyStage, MachineConfig, OptimConfig
from sofdata.train.log import TrainLog
from sofdata.train.mean import MeanWeights
from sofdata.train.protocol import Batches, EvaluationOf, Trainable
from sofdata.train.ranks import Ranks
from sofdata.types import ActionBatch, Batch

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The position of a training after a step.

    metrics: means since the last time; held_out: of a measurement made at this step, else empty.
    seconds_left: until all steps are made, None if that is not known.
    """

    stage: str
    step: int
    steps: int
    samples_per_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


OnProgress = Callable[[TrainingProgress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """What `fit` has to know beside the model and its data.

    name: of the stage, as messages give it. stage: its settings. machine: where and how to compute.
    digest: of everything that decides the result; only a checkpoint with the same one is resumed.
    folder: where checkpoints, metrics and pictures go.
    """

    name: str
    stage: AnyStage
    machine: MachineConfig
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of a training: held-out metrics, and over all runs that it took the steps made,
    the seconds up to their last checkpoints, and the steps that were skipped."""

    metrics: dict[str, float]
    steps: int
    seconds: float
    bad_steps: int


@dataclass(slots=True)
class Position:
    """The position of a training: what a checkpoint holds beside weights and moments.

    step: updates made. epoch, batch: of the loader; batches of this epoch that are used up.
    bad_steps: skipped for values that are not finite. seconds: spent in training so far.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    bad_steps: int = 0
    seconds: float = 0.0


def fit(
    model: Trainable,
    fitting: Fitting,
    *,
    data: Batches,
    held_out: Batches,
    evaluation: EvaluationOf,
    ranks: Ranks,
    on_progress: OnProgress,
) -> Fitted:
    """Train a model, or resume from the newest checkpoint in `fitting.folder`.

    data: this rank's share of the training windows. held_out: all held-out windows.
    evaluation: what measures the model on them. ranks: which of the processes this is.
    on_progress: called after some of the steps.
    Afterwards the model holds the weights to use: the running means, where `optim.ema` asks for it.

    Raises `InputError` after more than `run.max_bad_steps` steps that were not finite, and
    `ConfigError` where the folder holds a checkpoint with another digest.
    """
    assert isinstance(model, nn.Module)  # which a protocol cannot ask for
    name, stage, machine, folder = fitting.name, fitting.stage, fitting.machine, fitting.folder
    optim, run, device = stage.optim.bounded(data.batches), stage.run, ranks.device
    model.to(device)
    if machine.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = _optimizer(model, optim)
    mean = MeanWeights(model, optim.ema)
    here = Position()
    if state := load_checkpoint(folder / CHECKPOINTS):
        here = _restore(state, fitting, model, optimizer, mean)
    log = TrainLog(folder, here.step, writes=ranks.first)
    loss_of = ranks.wrap(_LossOf(model), machine.compile)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=machine.precision == "bf16")
    batches = _endless(data, here)
    sums, logged, clock = Sums(), here.step, time.monotonic()
    measured: Measured | None = None
    counted_s = clock

    while here.step < optim.steps:
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(here.step, optim)
        torch.manual_seed(_noise_seed(machine.seed, here.step, ranks.rank))
        optimizer.zero_grad(set_to_none=True)

        # Forward and backward over the batches of one update.
        finite, used = True, list[Batch]()
        for part in range(optim.accumulate):
            used.append(to_device(next(batches), device))
            here.batch += 1
            with autocast:
                loss, metrics = loss_of(used[-1], here.step)
            finite = ranks.all_true(bool(torch.isfinite(loss)))
            if not finite:
                break
            with ranks.no_sync(loss_of, part + 1 < optim.accumulate):
                (loss / optim.accumulate).backward()
            sums.add({"loss": loss.detach(), **metrics})
        if finite:
            norm = nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
            finite = bool(torch.isfinite(norm))  # gradients, unlike losses, are those of all ranks

        # One update, or none: what is not finite is counted and logged, and touches no weight.
        if finite:
            optimizer.step()
            mean.update(model)
        else:
            here.bad_steps += 1
            log.skipped(here.step + 1, suspects(used))
            if here.bad_steps > run.max_bad_steps:
                raise InputError(_too_many(name, here, used))
        here.step += 1
        fault_point(f"{name}: step {here.step}")
        ended = here.step == optim.steps

        # Logs, metrics and pictures.
        if here.step % run.log_every == 0 or ended:
            seconds = time.monotonic() - clock
            rate = (here.step - logged) * optim.accumulate * stage.data.batch_size / seconds
            shown = ranks.mean(sums.take())
            log.trained(here.step, shown | {"lr": learning_rate(here.step - 1, optim)}, rate)
            left_s = (optim.steps - here.step) * seconds / (here.step - logged)
            on_progress(
                TrainingProgress(
                    name,
                    step=here.step,
                    steps=optim.steps,
                    samples_per_s=rate,
                    metrics=shown,
                    seconds_left=left_s,
                )
            )
            logged, clock = here.step, time.monotonic()
        if here.step % run.evaluate_every == 0 or ended:
            if ranks.first:
                measured = measure(model, mean, held_out, evaluation, run.pictures)
                log.held_out(here.step, measured.metrics, measured.pictures)
                on_progress(
                    TrainingProgress(
                        name, step=here.step, steps=optim.steps, held_out=measured.metrics
                    )
                )
            clock = time.monotonic() if logged == here.step else clock

        # What a later run resumes from.
        if here.step % run.checkpoint_every == 0 or ended:
            here.seconds += time.monotonic() - counted_s
            counted_s = time.monotonic()
            if ranks.first:
                whole = _state(model, optimizer, mean, here, fitting.digest)
                save_checkpoint(folder / CHECKPOINTS, here.step, whole)
            fault_point(f"{name}: checkpoint {here.step}")

    if measured is None and ranks.first:  # an earlier run has made all steps
        measured = measure(model, mean, held_out, evaluation, run.pictures)
        log.held_out(here.step, measured.metrics, measured.pictures)
    model.load_state_dict(mean.state(model))
    log.close()
    metrics = measured.metrics if measured else {}
    return Fitted(metrics, here.step, here.seconds, here.bad_steps)


def learning_rate(step: int, optim: OptimConfig) -> float:
    """Linear warm-up, then a cosine from `lr` to `lr * lr_end_share`: Eq. 24 of docs/models.md."""
    if step < optim.warmup_steps:
        return optim.lr * (step + 1) / optim.warmup_steps
    done = (step - optim.warmup_steps) / max(1, optim.steps - optim.warmup_steps)
    share = optim.lr_end_share
    return optim.lr * (share + (1 - share) * (1 + math.cos(math.pi * min(done, 1.0))) / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a model does on held-out windows. pictures: RGB uint8 [H,W,3] by name."""

    metrics: dict[str, float]
    pictures: dict[str, NDArray[np.uint8]]


def measure(
    model: nn.Module, mean: MeanWeights, held_out: Batches, evaluation: EvaluationOf, draws: bool
) -> Measured:
    """Held-out metrics of the weights that would be saved now; and pictures if it `draws`."""
    model.eval()
    device = next(model.parameters()).device
    with mean.in_place(model), torch.no_grad():
        found = evaluation(model)
        for batch in held_out.epoch(0):
            found.add(to_device(batch, device))
        return Measured(found.result(), found.pictures() if draws else {})


def suspects(batches: Iterable[Batch]) -> list[str]:
    """Keys of samples that hold values which are not finite; of all samples if none does."""
    used = list(batches)
    return _not_finite(used) or [key for batch in used for key in batch.keys]


def _not_finite(batches: Iterable[Batch]) -> list[str]:
    found: list[str] = []
    for batch in batches:
        values = [batch.flow, batch.actions] if isinstance(batch, ActionBatch) else [batch.flow]
        whole = [torch.isfinite(value).flatten(1).all(1).tolist() for value in values]
        found += [key for key, *good in zip(batch.keys, *whole, strict=True) if not all(good)]
    return found


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch with its tensors on a device."""
    return batch if device.type == "cpu" else batch.to(device, non_blocking=True)


class Sums:
    """Means of what the steps since the last line of the log have given."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._number = 0

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Add those of one batch; nothing waits for the device here."""
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()
        self._number += 1

    def take(self) -> dict[str, float]:
        """The means; the sums are reset."""
        means = {name: float(value) / self._number for name, value in self._sums.items()}
        self._sums, self._number = {}, 0
        return means


class _LossOf(nn.Module):
    """A model's loss as a forward pass, which is what gets compiled and distributed."""

    def __init__(self, model: Trainable) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, step)


def _optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW; only matrices and kernels decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=(0.9, 0.95), fused=True)


def _endless(data: Batches, here: Position) -> Iterator[Batch]:
    """Batches without end from a position on, whose epoch this keeps up to date."""
    while True:
        if here.batch >= data.batches:
            here.epoch, here.batch = here.epoch + 1, 0
        for batch in data.epoch(here.epoch, here.batch):
            yield batch
            if here.batch >= data.batches:
                break


def _noise_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)


def _state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: MeanWeights,
    here: Position,
    digest: str,
) -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "mean": mean.state(model),
        "optimizer": optimizer.state_dict(),
        "position": asdict(here),
        "digest": digest,
    }


def _restore(
    state: dict[str, Any],
    fitting: Fitting,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: MeanWeights,
) -> Position:
    if state["digest"] != fitting.digest:
        raise ConfigError(
            f"{fitting.folder} holds checkpoints of another training: with other settings, data, "
            "split or skill model. Choose another folder, or start over with --restart"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    mean.restore(state["mean"])
    return Position(**state["position"])


def _too_many(name: str, here: Position, used: list[Batch]) -> str:
    """The message that ends a training: unusable samples, or else weights that have diverged."""
    spoilt = _not_finite(used)
    if spoilt:
        shown = f"{', '.join(spoilt[:3])}{', ...' if len(spoilt) > 3 else ''}"
        why = f"the last one, at step {here.step + 1}, with {shown}; leave such samples out (where)"
    else:
        why = (
            f"the last one at step {here.step + 1}, though its samples are finite: training has "
            f"diverged. Lower {name}.optim.lr and start over with --restart"
        )
    return (
        f"{name}: {here.bad_steps} steps gave values that are not finite, {why}. Checkpoints up to "
        f"then are kept; {name}.run.max_bad_steps sets how many such steps are tolerated"
    )
