"""How the three models are trained. The SOF paper publishes no schedule: all defaults are ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.earlier import Earlier
from sofdata.config.recipes import TRAIN_RECIPES, load_section
from sofdata.config.section import Section, Seed
from sofdata.errors import ConfigError
from sofdata.models.action.config import DecoderConfig
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.skill.config import SkillConfig

StageName = Literal["skill", "planner", "decoder"]
What = Literal["skill", "planner", "decoder", "all"]
STAGES: tuple[StageName, ...] = ("skill", "planner", "decoder")


class DataConfig(Section):
    """Which windows a stage learns from, and how they are read."""

    batch_size: int = Field(32, ge=1, description="Windows a step, over all workers together.")
    held_out: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the files that are kept from training and measured on: the nearest "
        "number there is, chosen by a hash of their names. All spans of a file, cameras of an "
        "episode and clips of a recording are on one side.",
    )
    held_out_list: str = Field(
        "",
        description="A list of what is held out instead: a name a line of a video (its id) or a "
        "file (its uri), a JSON list of them, or the split.json of another training.",
    )
    held_out_where: str = Field(
        "",
        description="A filter that holds for what is held out instead: labels.split == "
        "'validation'",
    )
    stored_split: Annotated[bool, Earlier(True)] = Field(
        True,
        description="Hold out what the split says that is stored with the datasets (sofdata "
        "split), where they have one and neither held_out_list nor held_out_where is given; "
        "held_out then decides nothing.",
    )
    where: str = Field(
        "", description="Only windows for which this holds, by columns of the index: mean_px > 0.5"
    )
    buffer_shards: int = Field(8, ge=1, description="Shards whose windows are mixed at a time.")
    loaders: int = Field(
        1,
        ge=0,
        le=256,
        description="Processes that read and decode ahead; 0: a thread of this process.",
    )


class OptimConfig(Section):
    """AdamW with a linear warm-up and a cosine down to a share of the rate."""

    steps: int = Field(1500, ge=1, description="Updates of the weights, at most.")
    epochs: float | None = Field(
        None,
        gt=0,
        description="Passes over the training windows, at most; null: no bound. A small dataset is "
        "learnt by heart by as many steps as a large one needs.",
    )
    lr: float = Field(2e-3, gt=0, description="The highest learning rate.")
    lr_end_share: float = Field(0.02, ge=0, le=1, description="What is left of it at the end.")
    warmup_steps: int = Field(100, ge=0, description="Steps until the highest rate.")
    weight_decay: float = Field(0.01, ge=0, description="Of matrices; never of biases and norms.")
    clip_norm: float = Field(1.0, gt=0, description="Longer gradients are cut to this norm.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one update.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the running mean of the weights, which is then what is measured and "
        "saved; 0: none.",
    )

    def bounded(self, batches: int) -> OptimConfig:
        """The same with `steps` that keep within `epochs` of so many batches each."""
        if self.epochs is None:
            return self
        most = max(1, math.ceil(self.epochs * batches / self.accumulate))
        return self.model_copy(update={"steps": min(self.steps, most)})


class StageRun(Section):
    """How often a stage measures, shows and saves."""

    log_every: int = Field(20, ge=1, description="Steps between two lines of metrics.jsonl.")
    evaluate_every: int = Field(250, ge=1, description="Steps between two measurements.")
    pictures: bool = Field(True, description="Draw pictures at every measurement.")
    checkpoint_every: int = Field(250, ge=1, description="Steps between two checkpoints.")
    max_bad_steps: int = Field(
        20, ge=0, description="Steps that may be skipped for values that are not finite."
    )


class SkillStage(Section):
    """The skill VAE."""

    model: SkillConfig = SkillConfig()
    data: DataConfig = DataConfig(batch_size=16)
    optim: OptimConfig = OptimConfig(steps=7000, warmup_steps=200)
    run: StageRun = StageRun(evaluate_every=1000, checkpoint_every=500)


class PlannerStage(Section):
    """The planner: prior and latent dynamics."""

    model: PlannerConfig = PlannerConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig(steps=1000, epochs=24, lr=1.5e-3)
    run: StageRun = StageRun()


class DecoderStage(Section):
    """The action decoder."""

    model: DecoderConfig = DecoderConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig(steps=800, lr=5e-4)
    run: StageRun = StageRun()


class MachineConfig(Section):
    """Where training runs. `workers` changes results by rounding only, all else by precision."""

    seed: Seed = Field(0, description="Of the weights, the order of windows and all noise.")
    device: str = Field("auto", description="auto: CUDA if there is any; or cpu, cuda, cuda:1.")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of torch on a CPU; default: one for each core but one, which the "
        "loader needs: torch waits busily, and is many times slower where it has to share.",
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: matrix products in bfloat16, by autocast."
    )
    compile: bool = Field(False, description="torch.compile the loss.")
    channels_last: bool = Field(False, description="Keep pictures channels-last, for CUDA.")
    deterministic: bool = Field(
        True, description="Only algorithms that give the same bits each time, where torch has any."
    )
    workers: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Workers of Ray Train, one GPU each where there are GPUs; 0: this process.",
    )
    address: str | None = Field(None, description="A running Ray cluster; default: start one here.")


class TrainConfig(Section):
    """Everything that `sofdata train` needs to know besides its data and where its output goes."""

    skill: SkillStage = SkillStage()
    planner: PlannerStage = PlannerStage()
    decoder: DecoderStage = DecoderStage()
    machine: MachineConfig = MachineConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.decoder.model.history:
            raise ValueError(
                f"decoder.model.history is {self.decoder.model.history}: 'sofdata train' reads "
                "windows one by one, without those before them; leave it at 0"
            )
        if self.decoder.model.second_camera:
            raise ValueError(
                "decoder.model.second_camera is true: 'sofdata train' reads windows of one camera, "
                "and a second one's images can be had in the benchmark alone; set it to false"
            )
        return self


AnyStage = SkillStage | PlannerStage | DecoderStage


def load_train_config(recipe: str | None, overrides: Iterable[str] = ()) -> TrainConfig:
    """Read a recipe and apply overrides such as `skill.optim.steps=500`.

    Raises `ConfigError` for what does not exist, does not parse or does not fit.
    """
    return load_section(TrainConfig, recipe, overrides, TRAIN_RECIPES)


def stages_of(what: str, data: Sequence[str], demos: Sequence[str]) -> tuple[StageName, ...]:
    """The stages to train: one, or all for which there is data.

    what: the name of a stage, or "all", which without demonstrations leaves out the decoder.

    Raises `ConfigError` for another name, and where a stage has no data.
    """
    if what not in (*STAGES, "all"):
        raise ConfigError(f"there is no stage '{what}': give {', '.join(STAGES)} or all")
    stages = tuple(stage for stage in STAGES if what in (stage, "all"))
    if what == "all" and not demos:
        stages = tuple(stage for stage in stages if stage != "decoder")
    for stage in stages:
        if not (demos if stage == "decoder" else data):
            option = "--demos" if stage == "decoder" else "--data"
            raise ConfigError(f"'sofdata train {what}' needs {option}: a dataset of ingest")
    return stages
