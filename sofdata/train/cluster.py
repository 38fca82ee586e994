"""The same training on several workers, by Ray Train.

Each worker runs `run_stage` with its rank; torch's DistributedDataParallel averages gradients.
Results differ from those of one worker by the rounding of sums alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import ConfigError, ContractError, SofdataError
from sofdata.train.loop import OnProgress, TrainingProgress
from sofdata.train.ranks import Ranks
from sofdata.train.stage import StageJob, run_stage


def run_on_ray(job: StageJob, digest: str, on_progress: OnProgress) -> None:
    """Train a stage on `machine.workers` workers of Ray Train, and wait for it.

    `job.out` must be a folder that all of them see. Raises what a worker raised.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from sofdata.ingest.engines.cluster import ray_session

    machine = job.config.machine
    _check_batch(job)
    on_gpu = machine.device != "cpu" and torch.cuda.is_available()
    with ray_session(machine.address, machine.workers):
        board = ray.remote(num_cpus=0)(_Board).remote()
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": job, "digest": digest, "board": board},
            scaling_config=ScalingConfig(num_workers=machine.workers, use_gpu=on_gpu),
            run_config=RunConfig(
                name=f"{job.name}-{digest[:8]}",
                storage_path=str((Path(job.out) / "ray").absolute()),
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        stop = _poll_in_thread(board, on_progress)
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the training
            failure = ray.get(board.error.remote())
            if failure is not None:
                raise failure from None
            raise ContractError(f"training {job.name} on Ray failed: {error}") from None
        finally:
            stop()


class _Board:
    """Actor: the first worker posts its progress here, and any worker the error that ends it."""

    def __init__(self) -> None:
        self._progress: list[dict[str, Any]] = []
        self._error: SofdataError | None = None

    def post(self, progress: dict[str, Any]) -> None:
        self._progress.append(progress)

    def take(self) -> list[dict[str, Any]]:
        taken, self._progress = self._progress, []
        return taken

    def fail(self, error: SofdataError) -> None:
        self._error = self._error or error

    def error(self) -> SofdataError | None:
        return self._error


def _worker(config: dict[str, Any]) -> None:
    import ray
    from ray import train
    from ray.train.torch import get_device

    context, board = train.get_context(), config["board"]
    world = context.get_world_size()
    ranks = Ranks(context.get_world_rank(), world, get_device())
    try:
        run_stage(
            config["job"], config["digest"], ranks, lambda done: board.post.remote(asdict(done))
        )
    except SofdataError as error:
        ray.get(board.fail.remote(error))
        raise


def _poll_in_thread(board: Any, on_progress: OnProgress) -> Callable[[], None]:
    """Pass on the progress that is posted until the function that is returned is called."""
    import threading

    import ray

    ended = threading.Event()

    def pass_on() -> None:
        for progress in ray.get(board.take.remote()):
            on_progress(TrainingProgress(**progress))

    def watch() -> None:
        while not ended.wait(1.0):
            pass_on()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def stop() -> None:
        ended.set()
        thread.join()
        pass_on()

    return stop


def _check_batch(job: StageJob) -> None:
    workers, size = job.config.machine.workers, job.stage.data.batch_size
    if size % workers:
        raise ConfigError(
            f"{job.name}.data.batch_size is {size}, which {workers} workers cannot share evenly"
        )
