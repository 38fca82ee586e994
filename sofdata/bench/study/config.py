"""The settings of the benchmark: what is trained, how it acts, and what is compared.

All values are ours. Presets lie in `pipelines/bench/`. What decides a cell's result is in its hash;
which cells are wanted (`arms`, `demos`, `seeds`, ...) is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sofdata.bench.baselines.lapa_config import LapaStage
from sofdata.bench.baselines.tracks_config import TracksStage
from sofdata.bench.study.arms import ARMS, known_arm
from sofdata.config.earlier import Earlier
from sofdata.config.recipes import BENCH_RECIPES, load_section
from sofdata.config.section import Section
from sofdata.ingest.config import IngestConfig
from sofdata.models.skill.eyes import EyesConfig, check_image_px
from sofdata.train.config import DecoderStage, PlannerStage, SkillStage

ArmName = Annotated[str, AfterValidator(known_arm)]
Purpose = Literal["validation", "test"]
Labels = Literal["demos", "play"]
Number = Annotated[int, Field(ge=1)]


class ActingConfig(Section):
    """How arms with skills choose actions. The same for all of them."""

    samples: Number = Field(16, description="Skills drawn from the prior for each chunk.")
    temperature: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Of these draws; 0 takes the mode of each point in turn, once."
    )
    combine: Literal["mean", "medoid", "likeliest"] = Field(
        "mean",
        description="Which actions are carried out: the mean of what the drawn skills decode to, "
        "which is the expected action; the drawn chunk nearest to all others; or that of the "
        "skill that the prior finds likeliest.",
    )


class NamingConfig(Section):
    """How actions of videos are named, for arms that clone them."""

    condition: Annotated[Literal["skill", "motion"], Earlier("skill")] = Field(
        "skill",
        description="What sof+clone names actions by: 'skill': the true skill of a window, read as "
        "the decoders of other arms read it; 'motion': the flow that was seen, which is known of a "
        "video, and finer than what skills keep of it.",
    )
    context: Annotated[int, Field(ge=0, le=64), Earlier(0)] = Field(
        0, description="With 'motion': steps of flow before and after a window that are read too."
    )
    overlap: Annotated[bool, Earlier(False)] = Field(
        False,
        description="Whether an action that lies in several windows gets the mean of what they "
        "name. For all arms that clone.",
    )
    members: Annotated[int, Field(ge=1, le=16), Earlier(1)] = Field(
        1,
        description="Decoders that name actions together, each trained from a seed of its own; the "
        "mean of theirs counts. For all arms that clone.",
    )
    trust: Annotated[float, Field(ge=0), Earlier(0.0)] = Field(
        0.0,
        description="How much a clone goes by the agreement of the `members`: an action counts "
        "1 / (1 + (trust x spread)^2) in its loss, where spread is their standard deviation, in "
        "standard deviations of the actions; 0: all count alike. At 5 one that they name with a "
        "spread of 0.2 counts half.",
    )

    told: Annotated[tuple[int, ...] | None, Earlier(None)] = Field(
        None,
        description="Dimensions of an action, from 0 or from the end, -1, that a decoder names "
        "which is told the task; one that is not names the others, so that it reads them off "
        "motion alone, and not off where the few demonstrations of a task went. null: one names "
        "all. For all arms that clone; it needs skill_task=true.",
    )

    updates: Annotated[int | None, Field(ge=1), Earlier(None)] = Field(
        None,
        description="At most so many updates of the decoders that name actions, where "
        "decoder.optim would give them more; null: as many as that says. For all arms that clone.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.context and self.condition != "motion":
            raise ValueError(f"context {self.context} is read with condition=motion alone")
        if self.trust and self.members < 2:
            raise ValueError("trust goes by how far members differ: give members=2 or more")
        return self


class DrawnConfig(Section):
    """Action decoders that are trained on skills as the prior draws them, for arms that draw."""

    share: Annotated[float, Field(ge=0, le=1), Earlier(0.0)] = Field(
        0.0,
        description="Share of the samples of a step whose skill is one that the prior draws for "
        "the window's image and task, at acting.temperature, in place of the true one; the actions "
        "stay those of the demonstration. 0: true skills alone.",
    )
    number: Annotated[int, Field(ge=1, le=256), Earlier(8)] = Field(
        8, description="Draws for each window, made once, of which each step takes one."
    )


class JointConfig(Section):
    """The skill model trained jointly with the labels, as in CLAM (arXiv 2505.04999)."""

    weight: Annotated[float, Field(ge=0), Earlier(0.0)] = Field(
        0.0,
        description="Weight, in the loss of the skill model, of the error of a small head that "
        "reads the actions of labelled windows off their codes; the head is thrown away. 0: the "
        "skill model sees no label. Above 0 it is another one for each K.",
    )
    batch_size: Annotated[int, Field(ge=1), Earlier(32)] = Field(
        32, description="Labelled windows a step, beside those of the videos."
    )


class EvaluationConfig(Section):
    """How success is measured."""

    episodes: Number = Field(20, description="Episodes a task, the same for every arm.")
    at_once: Number = Field(
        2,
        description="Simulators of each task that run side by side, so that the networks see a "
        "larger batch.",
    )
    execute: Number = Field(
        8, description="Actions executed before the next image is observed, at most a chunk."
    )
    ensemble: Annotated[float | None, Earlier(None)] = Field(
        None,
        ge=-10,
        le=10,
        description="Average the chunks of all looks that reach a step, as ACT (arXiv 2304.13705) "
        "does: the m of weights exp(-m i), i from 0 for the oldest chunk; ACT's is 0.01. A gripper "
        "with two values is voted on. Only where execute is less than a chunk. null: the actions "
        "of the latest look alone.",
    )
    max_steps: int | None = Field(
        None, ge=1, description="Steps after which an episode has failed; default: the task's."
    )
    strips: int = Field(1, ge=0, description="Episodes a task that are drawn for the report.")


class BenchConfig(Section):
    """Everything that `sofdata bench run` needs besides its data."""

    suite: str = Field(
        "metaworld",
        description="metaworld, scene, pushing, libero-..., or module:Class of your own.",
    )
    tasks: tuple[str, ...] = Field((), description="Names of its tasks; (): all of them.")
    step_frames: Number = Field(
        2,
        description="Control steps that a step of flow spans; sets ingest.flow.step_s by the "
        "suite's frame rate.",
    )
    ingest: IngestConfig = Field(
        IngestConfig.parse(
            {
                "flow": {"quality": "earlier"},  # what the frozen settings were chosen with
                "windows": {"length": 4, "stride": 1, "size": 32, "static_px": 0, "min_texture": 0},
            }
        ),
        description="How videos and demonstrations become windows, as for 'sofdata ingest'.",
    )
    skill: SkillStage = SkillStage()
    planner: PlannerStage = PlannerStage()
    decoder: DecoderStage = DecoderStage()
    lapa: LapaStage = LapaStage()
    tracks: TracksStage = TracksStage()
    acting: ActingConfig = ActingConfig()
    naming: NamingConfig = NamingConfig()
    drawn: DrawnConfig = DrawnConfig()
    joint: JointConfig = JointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    skill_encoder: Literal["frozen", "tuned"] = Field(
        "tuned", description="The image encoder of decoders that are conditioned on a skill."
    )
    bc_encoder: Literal["frozen", "tuned"] = Field(
        "tuned", description="What bc+encoder does with the skill model's image encoder."
    )
    skill_task: bool = Field(
        False,
        description="Whether decoders that are conditioned on a skill are given the task, too.",
    )
    compute_updates: Number = Field(
        8000,
        description="Updates of bc+compute: as many as take the CPU time of the whole sof arm. "
        "Cells report both times.",
    )
    clone_updates: Number = Field(
        2500,
        description="Updates of the policy that sof+clone and lapa+clone learn from the videos, "
        "labelled with actions by their action decoder.",
    )
    finetune_updates: Annotated[int, Field(ge=0), Earlier(0)] = Field(
        0,
        description="Updates that such a policy then gets on the demonstrations alone, at most "
        "decoder.optim.epochs passes over them: named actions err, and those do not. Where tasks "
        "are held out, these are of the others, and it may forget what it knew. 0: none.",
    )
    arms: tuple[ArmName, ...] = Field(
        (
            "bc",
            "bc+encoder",
            "bc+compute",
            "lapa",
            "sof-shuffled",
            "sof-novideo",
            "sof",
            "sof+clone",
            "lapa+clone",
            "bc-50",
        ),
        description="What is compared at the first of `demos`.",
    )
    more_arms: tuple[ArmName, ...] = Field(
        ("bc", "sof", "sof+clone"), description="What is compared at the others of `demos`."
    )
    demos: tuple[Number, ...] = Field(
        (1, 3, 10), description="K: demonstrations with actions, for each task."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), description="Training seeds.")
    videos: int = Field(50, ge=0, description="Videos without actions, for each task.")
    curve: tuple[Number, ...] = Field(
        (10, 25),
        description="Fewer videos that `curve_arms` are measured with, at the first of `demos`.",
    )
    curve_arms: tuple[ArmName, ...] = Field(
        ("sof", "sof+clone"), description="Those of `arms` that are measured with fewer videos."
    )

    held_out: tuple[str, ...] = Field(
        (),
        description="Tasks that have videos and a text, and no demonstration that any arm may "
        "read: actions are learned from the other tasks. Cells try these tasks. (): none, or with "
        "`folds` all in turn.",
    )
    folds: Literal["auto"] | Number | tuple[tuple[str, ...], ...] | None = Field(
        None,
        description="How `held_out` is dealt out, each task held out once: so many folds; 'auto': "
        "as few as give at most three tasks each; or lists of tasks. null: all at once.",
    )
    reference_arms: tuple[ArmName, ...] = Field(
        (), description="With held-out tasks: what is measured with demonstrations of all as well."
    )
    try_labelled: bool = Field(
        False, description="Try the tasks that are not held out, too, and report them beside."
    )
    labels: Labels = Field(
        "demos",
        description="What actions are learned from: demonstrations of the tasks, or undirected "
        "play of the robot, of no task. With play, `demos` is no matter, and only arms that learn "
        "tasks from videos take part.",
    )
    play_minutes: Number = Field(
        20, description="Minutes of play, at the suite's frames/s, where labels come from it."
    )
    videos_from: str = Field(
        "",
        description="Another collection's folder, local, whose videos are learned from in place "
        "of those beside the demonstrations: of another look, for instance.",
    )

    video_datasets: tuple[str, ...] = Field(
        (),
        description="Datasets of videos that 'sofdata ingest' made, PATH or NAME=PATH, each "
        "learned from in turn in place of the collected videos: which choice of data makes the "
        "better policy?",
    )
    counted: Literal["all", "room"] = Field(
        "all",
        description="Which tasks count in the mean of a suite: all; or (room) those in which, on "
        "validation, bc-50 reaches 0.5 and leads bc at the smallest K by 0.15. 'sofdata bench "
        "freeze' records which; the others are reported beside.",
    )
    exploratory: bool = Field(
        False, description="Run on test seeds with settings that are not frozen, to explore."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.demos or not self.seeds or not self.arms:
            raise ValueError("arms, demos and seeds must each name at least one")
        for name in ("tasks", "arms", "demos", "seeds", "held_out", "reference_arms"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} {list(values)} has one twice")
        if any(number >= self.videos for number in self.curve):
            raise ValueError(f"curve {list(self.curve)} must be fewer than videos {self.videos}")
        if self.ingest.with_actions:
            raise ValueError("with_actions is set for the demonstrations alone, by the benchmark")
        if self.decoder.model.history and self.ingest.windows.stride != 1:
            raise ValueError(
                "decoder.model.history needs ingest.windows.stride=1: the frames before a window "
                "are those with which earlier windows begin"
            )
        check_image_px(self.skill.model.image_px, self.ingest.flow.size)
        for name, model in (("lapa", self.lapa.model), ("tracks", self.tracks.model)):
            if any(getattr(model, key) != old for key, old in EyesConfig()):
                raise ValueError(f"{name} sees as skill.model.eyes and .image_px say: set those")
        return self

    @model_validator(mode="after")
    def _check_datasets(self) -> Self:
        if self.video_datasets and (self.videos_from or not self.videos):
            raise ValueError(
                "video_datasets are learned from in place of collected videos: leave videos_from "
                "out, and let videos be at least 1"
            )
        return self

    @model_validator(mode="after")
    def _check_naming(self) -> Self:
        if self.naming.told is not None and not self.skill_task:
            raise ValueError(
                "naming.told says what is named by a decoder that is told the task, and with "
                "skill_task=false none is: leave it out"
            )
        if self.finetune_updates and self.labels == "play":
            raise ValueError(
                "finetune_updates needs demonstrations of tasks, and play shows none: leave it out"
            )
        windows = self.ingest.windows
        placed = windows.cut == "fixed" and not windows.trim and not windows.shots
        if (self.naming.context or self.naming.overlap) and not placed:
            raise ValueError(
                "naming.context and naming.overlap go by the numbers of windows, which say when "
                "they begin only where a video has no cuts: set ingest.windows.shots=false, "
                "ingest.windows.cut=fixed and ingest.windows.trim=false"
            )
        return self

    @model_validator(mode="after")
    def _check_cut(self) -> Self:
        """Windows that differ in length say nothing of the actions after their end, and their
        numbers do not say when they begin."""
        windows = self.ingest.windows
        if windows.cut == "fixed":
            return self
        with_cut, most = f"ingest.windows.cut={windows.cut}", windows.shortest * self.step_frames
        if self.evaluation.execute > most:
            raise ValueError(
                f"with {with_cut} the shortest window has {most} actions (shortest x step_frames), "
                f"and what a decoder gives beyond is not learned: set evaluation.execute={most}, "
                f"not {self.evaluation.execute}"
            )
        wrong = {
            "evaluation.ensemble": self.evaluation.ensemble is not None,
            "decoder.model.history": self.decoder.model.history,
            "naming.context": self.naming.context,
            "naming.overlap": self.naming.overlap,
            "lapa.model.reads=frames": self.lapa.model.reads == "frames",
        }
        if refused := [key for key, is_set in wrong.items() if is_set]:
            raise ValueError(
                f"{', '.join(refused)} goes by windows of one length that begin a stride apart: "
                f"leave it out with {with_cut}"
            )
        return self

    @model_validator(mode="after")
    def _check_second_camera(self) -> Self:
        windows = self.ingest.windows
        if self.decoder.model.second_camera and (windows.cut != "fixed" or windows.trim):
            raise ValueError(
                "decoder.model.second_camera needs windows that begin at the same times whatever a "
                "camera shows: set ingest.windows.cut=fixed and ingest.windows.trim=false"
            )
        return self

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if not isinstance(self.folds, tuple):
            return self
        held_out = [name for fold in self.folds for name in fold]
        if self.held_out:
            raise ValueError("give tasks in held_out or as lists in folds, not in both")
        if not all(self.folds) or len(set(held_out)) < len(held_out):
            raise ValueError(
                f"folds {[list(each) for each in self.folds]}: each needs a task, and "
                "no task may be in two"
            )
        return self

    @model_validator(mode="after")
    def _check_play(self) -> Self:
        if self.labels != "play":
            return self
        if self.held_out or self.folds is not None:
            raise ValueError(
                "labels=play has no demonstration of any task: leave held_out and folds out"
            )
        if self.skill_task:
            raise ValueError("labels=play needs skill_task=false: play shows no task")
        if self.drawn.share:
            raise ValueError(
                "drawn.share asks the prior for a window's task, and play shows none: leave it at 0"
            )
        named = (*self.arms, *(self.curve_arms if self.curve else ()))
        if unfit := [name for name in named if not ARMS[name].plays]:
            fit = ", ".join(arm.name for arm in ARMS.values() if arm.plays)
            raise ValueError(
                f"{', '.join(unfit)} would learn the task from labels, and play has none: with "
                f"labels=play there are {fit}"
            )
        return self


def load_bench_config(preset: str | None, overrides: Iterable[str] = ()) -> BenchConfig:
    """Read a preset and apply overrides such as `evaluation.episodes=5`.

    Where they name another suite and no tasks, tasks of the preset's suite are left out.

    Raises `ConfigError` for what does not exist, does not parse or does not fit.
    """
    given = list(overrides)
    named = {key.strip(): text.strip() for key, _, text in (each.partition("=") for each in given)}
    if "suite" in named and "tasks" not in named:
        preset_suite = load_section(BenchConfig, preset, (), BENCH_RECIPES).suite
        given += ["tasks=[]"] * (named["suite"] != preset_suite)
    return load_section(BenchConfig, preset, given, BENCH_RECIPES)
