"""The action decoder: an observation and a skill to a chunk of actions.

The last of the three models of SOF (arXiv 2512.20052), and the only one that needs actions: it
learns from a few labelled demonstrations how this robot carries out the skills that the skill model
learned from video without actions. The paper publishes no architecture; this one is ours.

    condition "skill": image ─► P observation tokens ─┐
                       skill ─► n codes ──────────────┼─► N queries ─► heads ─► N actions
                       text ──► task, if wanted ──────┘
    condition "flow":  skill ─► flow, by the skill model ─► CNN ─► over time ─► heads ─► N actions
    condition "flow+image": image and text as above, and that flow step by step in place of codes
    condition "motion": the flow that was seen, of the window and around it ─► CNN ─► over time ─►
                       added to image and text ─► heads ─► N actions
    condition "none":  image and text as above ─► N queries ─► heads ─► N actions

A second camera's image, if wanted, gives as many observation tokens more, by an encoder of its own.
In place of the queries, or beside them, a network may read all tokens laid flat (`head`).

About 0.6 M parameters at the default width, besides an image encoder that is tuned or fresh.
Equation numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sofdata.config.earlier import completed, identity
from sofdata.errors import ConfigError, ContractError
from sofdata.models.action.config import DecoderConfig, gripper_dimension
from sofdata.models.action.drawn import DrawnSkills
from sofdata.models.action.layers import (
    FlatReader,
    FlowReader,
    Heads,
    MotionReader,
    SumReader,
    TokenReader,
    draw_offsets,
    shift,
    step_features,
)
from sofdata.models.action.seen import SeenBatch
from sofdata.models.action.space import NO_STATE, ActionSpace, StateSpace, state_of
from sofdata.models.common.gaussian import noise_of
from sofdata.models.common.text import TextEncoder
from sofdata.models.skill.conditioned import SkillConditioned, present
from sofdata.models.skill.image_encoder import ImageEncoder
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import Actions, Batch, Skill

NO_SECOND = (
    "decoder.model.second_camera reads a second camera's image, and none is given: in the "
    "benchmark demonstrations have it with 'sofdata bench collect --set second_camera=true'; a "
    "policy is given it as `second`"
)
UNREAD_SECOND = (
    "a second camera's image is given, and this decoder was made without "
    "decoder.model.second_camera and would not read it: leave it out"
)


class ActionDecoder(SkillConditioned):
    """Decodes a skill into actions.

    Everything that leaves `act` is in the units of the demonstrations; inside, actions are in
    standard deviations from their mean, and the gripper is a logit for the higher of its values.
    """

    def __init__(
        self,
        config: DecoderConfig,
        skill: SkillVAE,
        space: ActionSpace,
        texts: tuple[str, ...] = (),
        state: StateSpace | None = None,
    ) -> None:
        """texts: what `Batch.text_ids` point to; needed where config.task is set. state: of the
        demonstrations; needed where config.state is.

        Raises `ConfigError` where that is missing.
        """
        only_flow = config.condition == "flow"
        super().__init__(skill, "frozen" if only_flow else config.encoder)
        self.second_encoder: ImageEncoder | None = None
        if config.second_camera and config.encoder != "frozen":
            self.second_encoder = ImageEncoder(skill, fresh=config.encoder == "fresh")
        self.config = config
        self.space = space
        self.texts = texts
        self.text: TextEncoder | None = None
        if config.task and not only_flow:
            self.text = TextEncoder(config.task, config.text_width, texts)
        if config.state and state is None:
            raise ConfigError(NO_STATE)
        self.state = state if config.state else None
        self.gripper = gripper_dimension(config.gripper, space)
        self.switch = self.gripper  # the gripper's dimension, if it takes only two values
        if self.gripper is not None and not space.values[self.gripper]:
            self.switch = None
        # Number and width of the tokens of a skill: its codes, or the steps of its flow.
        conditioning = {"skill": (skill.tokens, skill.code_dim)}
        self.steps: nn.Module | None = None
        if config.condition == "flow+image":
            self.steps = step_features(config.width)
            conditioning["flow+image"] = (skill.shape.steps, config.width)
        self._decoded: dict[str, Tensor] = {}  # flow of remembered skills, by the windows' keys
        self.drawn: DrawnSkills | None = None  # skills as a prior draws them, to train on as well
        self.reader: nn.Module
        if only_flow:
            self.reader = FlowReader(space.chunk, width=config.width, layers=config.layers)
        else:
            self.reader = self._reader(conditioning.get(config.condition))
        self.heads = Heads(config.width, space.size, self.gripper)
        self._keep_scale()

    def _reader(self, skill: tuple[int, int] | None) -> nn.Module:
        """What reads image and task, and a skill of so many tokens of such a width."""
        config, (places, channels) = self.config, self.skill.observation_shape
        seen = ((1 + config.history + config.second_camera) * places, channels)
        told = (self.text.width if self.text else 0) + (len(self.state) if self.state else 0)
        task = told or None
        if config.condition == "motion":
            sizes = {"width": config.width, "layers": config.layers, "context": config.context}
            steps = self.skill.shape.steps
            return MotionReader(self.space.chunk, seen, steps, task=task, **sizes)
        parts: list[nn.Module] = []
        if config.head != "flat":
            sizes = {"width": config.width, "layers": config.layers, "heads": config.heads}
            parts.append(TokenReader(self.space.chunk, seen, skill, task=task, **sizes))
        if config.head != "tokens":
            sizes = {"width": config.width, "head_width": config.head_width}
            parts.append(FlatReader(self.space.chunk, seen, skill, task=task, **sizes))
        return parts[0] if len(parts) == 1 else SumReader(*parts)

    def _keep_scale(self) -> None:
        """The action space as buffers, which move with the module; they are saved in the spec."""
        low, high = self.space.vector("low"), self.space.vector("high")
        margin = self.config.clip_margin * (high - low)
        regressed = torch.ones(self.space.size, dtype=torch.bool)
        pair: tuple[float, ...] = (0.0, 0.0)
        if self.switch is not None:
            regressed[self.switch] = False
            pair = self.space.values[self.switch]
        scale = {"mean": self.space.vector("mean"), "std": self.space.vector("std")}
        scale |= {"least": low - margin, "most": high + margin}
        scale |= {"regressed": regressed, "pair": torch.tensor(pair)}
        for name, value in scale.items():
            self.register_buffer(f"_{name}", value, persistent=False)

    def forward(
        self,
        image: Tensor,
        codes: Tensor,
        *,
        offsets: Tensor | None = None,
        task: Tensor | None = None,
        seen: Tensor | None = None,
        flow: Tensor | None = None,
        second: Tensor | None = None,
        second_offsets: Tensor | None = None,
    ) -> Tensor:
        """image uint8 [B,3,H,W] and codes [B,n,D] to normalised actions float32 [B,N,A] (Eq. 22).

        With a history, images are [B,1+H,3,H,W]: see `sofdata.models.action.seen`.

        offsets: int64 [B,2], the px that the view of each sample is moved by, or None.
        second: uint8 [B,3,H,W], what a second camera shows at the same time, where the decoder was
            made with config.second_camera. second_offsets: of its view, as `offsets`.
        seen: bool [B], False for a sample whose image is hidden, or None.
        task: float32 [B,E], as `told` gives it; ignored where the decoder is told nothing.
        flow: what the skill model decodes, [B,L,2,h,w], where it is known already; with condition
            "motion" what was seen, [B,L+2c,2,h,w]. Both over the dataset's 99th percentile.

        Raises `ConfigError` where a second image is missing, or given and not read.
        """
        self._check_second(second)
        conditioning = self.conditioning(image, codes, offsets, flow)
        if self.config.condition == "flow":
            actions: Tensor = self.heads(self.reader(conditioning)).float()
            return actions
        view = image if offsets is None else _shifted(image, offsets)
        if second is not None and second_offsets is not None:
            second = _shifted(second, second_offsets)
        observation = self.observe(view, second)
        if seen is not None:
            observation = observation * seen[:, None, None]
        return self.read(observation, conditioning, task)

    def observe(self, image: Tensor, second: Tensor | None = None) -> Tensor:
        """uint8 [B,3,H,W] to the observation [B,P,C]; with a history, [B,1+H,3,H,W] to
        [B,(1+H)*P,C]. A second camera's image uint8 [B,3,H,W] adds P tokens behind these
        (Eq. 41).

        Raises `ContractError` for as many images as the decoder was not made for, and `ConfigError`
        where the second is missing, or given and not read.
        """
        self._check_second(second)
        observation = self._of_first(image)
        if second is None:
            return observation
        if second.ndim != 4 or len(second) != len(observation):
            raise ContractError(
                f"a second camera's images are [{len(observation)}, 3, H, W], got "
                f"{list(second.shape)}"
            )
        if self.second_encoder is not None:
            beside: Tensor = self.second_encoder(second)
        else:
            beside = super().observe(second)  # frozen: the skill model's own
        return torch.cat([observation, beside], 1)

    def _of_first(self, image: Tensor) -> Tensor:
        """The tokens of the first camera's images."""
        number = 1 + self.config.history
        if number == 1:
            return super().observe(image)
        if image.ndim != 5 or image.shape[1] != number:
            raise ContractError(
                f"a decoder with history={self.config.history} needs images "
                f"[B, {number}, 3, H, W], got {list(image.shape)}"
            )
        observation = super().observe(image.flatten(0, 1))  # [B * (1 + H), P, C]
        return observation.unflatten(0, (-1, number)).flatten(1, 2)  # [B, (1 + H) * P, C]

    def _check_second(self, second: Tensor | None) -> None:
        if second is None and self.config.second_camera:
            raise ConfigError(NO_SECOND)
        if second is not None and not self.config.second_camera:
            raise ConfigError(UNREAD_SECOND)

    def second_of(self, batch: Batch) -> Tensor | None:
        """What a second camera shows at each window's first frame, uint8 [B,3,H,W]; None where the
        decoder reads none.

        Raises `ConfigError` where the batch has none and it is read, or has it and it is not.
        """
        second = None
        if isinstance(batch, SeenBatch) and batch.second.shape[1]:
            second = batch.second[:, 0]
        self._check_second(second)
        return second

    def images(self, batch: Batch) -> Tensor:
        """What `forward` and `act` need of a batch: its first frames, and those before them."""
        if not self.config.history:
            return batch.first
        if not isinstance(batch, SeenBatch):
            raise ConfigError(
                f"decoder.model.history is {self.config.history}, and these windows have no "
                "earlier frames: they can be had in the benchmark alone"
            )
        return batch.images

    def read(self, observation: Tensor, conditioning: Tensor, task: Tensor | None = None) -> Tensor:
        """As `forward`, from an observation [B,P,C] and the result of `conditioning`, for use with
        many skills at one image; not for condition "flow"."""
        if self.config.image_dropout == 1 and self.config.condition != "none":
            observation = torch.zeros_like(observation)
        features = self.reader(observation, conditioning, task)  # [B, N, width]
        actions: Tensor = self.heads(features).float()  # Eq. 22
        return actions

    def conditioning(
        self,
        image: Tensor,
        codes: Tensor,
        offsets: Tensor | None = None,
        flow: Tensor | None = None,
    ) -> Tensor:
        """The skill as the reader takes it: codes [B,n,D], flow over its 99th percentile
        [B,L,2,h,w] for "flow" and "motion", or features of its steps [B,L,width] for
        "flow+image"."""
        if not self._reads_flow:
            return codes
        if flow is None and self.config.condition == "motion":
            raise ContractError("a decoder with condition 'motion' needs the flow that was seen")
        flow = self._flow(present(image), codes) if flow is None else flow
        if offsets is not None:
            scale = flow.shape[-1] / image.shape[-1]
            maps = flow.flatten(1, 2)  # [B, L * 2, h, w]
            flow = shift(maps, (offsets * scale).round().long()).view_as(flow)
        if self.steps is None:
            return flow
        features: Tensor = self.steps(flow.flatten(0, 1))  # [B * L, width]
        return features.unflatten(0, flow.shape[:2])

    @property
    def _reads_flow(self) -> bool:
        return self.config.condition in ("flow", "flow+image", "motion")

    def told(self, texts: Sequence[str] | None, state: Tensor | None = None) -> Tensor | None:
        """What the decoder is told beside images, [B,E+S]: the task, and the robot's own state
        float32 [B,S], as far as it reads them; None where it reads neither.

        Raises `ConfigError` where it reads a state and is given none, or another.
        """
        parts = [] if self.text is None or texts is None else [self.text(texts)]
        if self.state is not None:
            if state is None:
                raise ConfigError(
                    f"this decoder reads the robot's own state, {len(self.state)} numbers: give it"
                )
            device = parts[0].device if parts else state.device
            parts.append(self.state.normalised(state.to(device)))
        return torch.cat(parts, 1) if parts else None

    def state_of(self, batch: Batch) -> Tensor | None:
        """The state at each window's first frame; None where the decoder reads none."""
        return None if self.state is None else state_of(batch)

    def texts_of(self, batch: Batch) -> list[str]:
        """The text of each window; "" where the decoder has no task input."""
        if self.text is None:
            return [""] * len(batch.keys)
        return [self.texts[index] for index in batch.text_ids.tolist()]

    @torch.no_grad()
    def _flow(self, image: Tensor, codes: Tensor) -> Tensor:
        """The skill model's decoded flow, [B,L,2,h,w], over the dataset's 99th percentile."""
        return self.skill.decode(codes, image) / self._unit_px

    @property
    def _unit_px(self) -> float:
        return max(self.skill.shape.p99_px, 1e-3)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # strings are not for a compiler
    def _known_flow(
        self, batch: Batch, codes: Tensor, names: Sequence[str] | None = None
    ) -> Tensor | None:
        """The flow of a batch's skills, decoded once where they are remembered and never change;
        what was seen, with condition "motion"; None where `forward` is to decode it.

        names: of the skills, by default the windows' keys.
        """
        if self.config.condition == "motion":
            return batch.flow / self._unit_px
        remembered = self.known is not None and self.known.of(batch.keys) is not None
        if not remembered or not self._reads_flow or self.config.code_noise:
            return None
        names = batch.keys if names is None else names
        if any(name not in self._decoded for name in names):
            self._decoded.update(zip(names, self._flow(batch.first, codes), strict=True))
        return torch.stack([self._decoded[name] for name in names])

    @torch.no_grad()
    def skill_of(self, batch: Batch) -> Skill:
        """The skills of a batch's windows, from their true flow; of n = 0 codes if not wanted."""
        if self.config.condition in ("none", "motion"):
            size = len(batch.keys)
            return Skill(batch.flow.new_zeros(size, 0, 1), batch.text_ids.new_zeros(size, 0))
        return self.windows_skill(batch)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over samples of the mean loss of each one's real actions, each times its weight, if
        it has one (Eq. 23); and its parts.

        Windows with more than N actions, which only data not measured can hold, are cut to N.
        Shifts of a second camera's image are drawn apart from those of the first: a shift stands
        for a camera that was put up a little elsewhere, which of two cameras one may be and the
        other not, and px of the two mean nothing to each other. One draw for both would let the
        decoder go by how two views lie to each other to the px, which no shift ever changed.

        Raises `ConfigError` for a batch without actions, or with others than the decoder's, and
        without a second camera's images where they are read, or with them where they are not.
        """
        demonstrations = self.space.check(batch)
        second = self.second_of(batch)
        offsets = self._offsets(batch.keys, step)
        second_offsets = None
        if second is not None:
            second_offsets = self._offsets([f"{key} second" for key in batch.keys], step)
        names, codes, task = self._given(batch, step)
        flow = self._known_flow(batch, codes, names)
        seen = self._seen(batch, step)
        output = self(
            self.images(batch),
            codes,
            offsets=offsets,
            task=task,
            seen=seen,
            flow=flow,
            second=second,
            second_offsets=second_offsets,
        )
        number = min(output.shape[1], demonstrations.actions.shape[1])
        mask = demonstrations.action_mask[:, :number]
        parts = self._parts(output[:, :number], demonstrations.actions[:, :number])
        if isinstance(batch, SeenBatch):
            parts = {k: values * batch.weights[:, :number] for k, values in parts.items()}
        losses = {name: _mean_of_means(values, mask) for name, values in parts.items()}
        total = losses["action_loss"]
        if "gripper_loss" in losses:
            total = total + self.config.gripper_weight * losses["gripper_loss"]
        return total, {name: value.detach() for name, value in losses.items()}

    def _offsets(self, names: Sequence[str], step: int) -> Tensor | None:
        """The px that views are moved by in this step of training; None: by none."""
        if not self.training or not self.config.shift_px:
            return None
        return draw_offsets(names, step, self.config.shift_px)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # strings are not for a compiler
    def _given(self, batch: Batch, step: int) -> tuple[Sequence[str], Tensor, Tensor | None]:
        """Names of the skills, their codes, and what is told beside; in training some skills are as
        a prior draws them, or with noise, both by sample and step."""
        codes, names = self.skill_of(batch).codes, list(batch.keys)
        if self.training and self.drawn is not None and codes.numel():
            codes, names = self.drawn.mixed(batch.keys, codes, step)
        if self.training and self.config.code_noise and codes.numel():
            noise = noise_of(batch.keys, step, tuple(codes.shape[1:])).to(codes.device)
            codes = codes + self.config.code_noise * noise
        return names, codes, self.told(self.texts_of(batch), self.state_of(batch))

    def _seen(self, batch: Batch, step: int) -> Tensor | None:
        """bool [B]: whether a sample's image is visible in this step of training; None: all are."""
        share = self.config.image_dropout
        if not self.training or not share or self.config.condition in ("flow", "none"):
            return None
        draw = noise_of([f"{key} seen" for key in batch.keys], step, (1,))[:, 0]
        normal = torch.distributions.Normal(0.0, 1.0)
        return (normal.cdf(draw) >= share).to(batch.first.device)

    def _parts(self, output: Tensor, actions: Tensor) -> dict[str, Tensor]:
        """The losses of each action, [B,N] each: output and true actions are [B,N,A]."""
        regressed = self.get_buffer("_regressed")
        target = self.normalise(actions)
        if self.config.loss == "l1":
            losses = functional.l1_loss(output, target, reduction="none")
        else:
            losses = functional.huber_loss(
                output, target, reduction="none", delta=self.config.huber_delta
            )
        # [B, N, A] -> [B, N]
        parts = {"action_loss": (losses * regressed).sum(dim=2) / regressed.sum().clamp(min=1)}
        if self.switch is not None:
            high = actions[..., self.switch] > self.get_buffer("_pair").mean()
            logits = output[..., self.switch]
            parts["gripper_loss"] = functional.binary_cross_entropy_with_logits(
                logits, high.float(), reduction="none"
            )
        return parts

    def normalise(self, actions: Tensor) -> Tensor:
        """Actions [..., A] in their own units to standard deviations from the mean."""
        return (actions - self.get_buffer("_mean")) / self.get_buffer("_std")

    def denormalise(self, actions: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return actions * self.get_buffer("_std") + self.get_buffer("_mean")

    @torch.no_grad()
    def act(
        self,
        image: Tensor,
        skill: Skill,
        texts: Sequence[str] | None = None,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Actions:
        """The chunk of actions that carries out a skill from here on.

        image: uint8 [B,3,H,W], with a history [B,1+H,3,H,W]. skill: [B,n,D] codes, which
        condition "none" ignores.
        texts: of the task, one each, where the decoder was trained with tasks.
        state: float32 [B,S], the robot's own, where the decoder was trained with it.
        second: uint8 [B,3,H,W], the second camera's images, where the decoder was trained with it.
        Returns float32 [B,N,A] in the units of the demonstrations, clipped to their range and a
        margin, the gripper at one of its two values. The same on every call, and for a sample
        whatever the others of the batch.

        Raises `ConfigError` where state or second image are missing, or the second is not read.
        """
        task = self.told(texts, state)
        return self.finish(self(image, skill.codes, task=task, second=second))

    @torch.no_grad()
    def named(self, batch: Batch, images: Tensor | None = None) -> Tensor:
        """Normalised actions float32 [B,N,A] of what happens in a batch's windows, read off their
        true skills, or with condition "motion" off what was seen.

        images: what the decoder sees, by default `images` of the batch.
        """
        images = self.images(batch) if images is None else images
        task = self.told(self.texts_of(batch), self.state_of(batch))
        codes = self.skill_of(batch).codes
        flow, second = self._known_flow(batch, codes), self.second_of(batch)
        output: Tensor = self(images, codes, task=task, flow=flow, second=second)
        return output

    def finish(self, output: Tensor) -> Actions:
        """Normalised actions float32 [B,N,A], as `forward` gives them, to actions to carry out."""
        values = self.denormalise(output)
        values = values.clamp(self.get_buffer("_least"), self.get_buffer("_most"))
        if self.switch is not None:
            low, high = self.get_buffer("_pair")
            values[..., self.switch] = torch.where(output[..., self.switch] > 0, high, low)
        return Actions(values)

    def spec(self) -> dict[str, Any]:
        """What rebuilds this decoder, with its `state_dict` and the skill model."""
        config = identity(self.config)
        state = {"state": asdict(self.state)} if self.state else {}
        return {"config": config, "space": asdict(self.space), "texts": list(self.texts), **state}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], skill: SkillVAE) -> Self:
        """A decoder of the same build, with weights that are loaded afterwards."""
        space, texts = ActionSpace.parse(spec["space"]), tuple(spec.get("texts", ()))
        config = DecoderConfig.parse(completed(DecoderConfig, spec["config"]))
        state = StateSpace.parse(spec["state"]) if "state" in spec else None
        return cls(config, skill, space, texts, state)


def _shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Images [B,3,H,W] or [B,T,3,H,W], the view of each sample moved by (dy, dx) px."""
    if images.ndim == 4:
        return shift(images, offsets)
    return shift(images.flatten(1, 2), offsets).view_as(images)


def _mean_of_means(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over samples of each one's mean over real actions; 0 for one without any."""
    return ((values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()
