"""How flow is estimated. The SOF paper leaves these values unpublished: the defaults are ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sofdata.config.section import Section
from sofdata.flow.quality import DisSettings, Preset, Quality, Region, settled, stated

CPU_PAIRS = 16  # pairs that a learned model is given at a time where there is no GPU to try
Side = Annotated[int, Field(ge=32, le=4096)]
SEARCHED = ("auto", "dis")  # the estimators that flow.quality is about


class DisConfig(Section):
    """Dense Inverse Search of Kroeger et al. 2016 (arXiv 1603.03590), as OpenCV builds it.

    Null, the default of each: what `flow.quality` says. OpenCV's presets stop one octave or more
    above the frame's own resolution and so blur small motion; `fine` and `standard` go down to it.
    """

    preset: Preset | None = Field(
        None, description="OpenCV preset that gives all that is not listed below."
    )
    finest_scale: int | None = Field(
        None,
        ge=0,
        le=8,
        description="Octave at which the search ends; 0 is full resolution, 1 half. Presets end "
        "at 1 (medium) or 2.",
    )
    patch_size: int | None = Field(
        None, ge=4, le=16, description="Side of the patches that are matched, px. OpenCV's: 8."
    )
    patch_stride: int | None = Field(
        None,
        ge=1,
        le=16,
        description="Distance between neighbouring patches, px; 4 is a quarter to a third faster "
        "than 3, and blurs small moving parts. The medium preset's: 3.",
    )
    gradient_descent_iterations: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Search steps a patch; the medium preset takes 25, to much the same result.",
    )
    variational_refinement_iterations: int | None = Field(
        None, ge=0, le=256, description="Rounds that smooth the flow at each scale. OpenCV's: 5."
    )
    variational_refinement_alpha: float | None = Field(
        None,
        ge=0,
        description="Weight of smoothness in those rounds; OpenCV takes 20, which is less accurate "
        "in plain areas.",
    )
    mean_normalization: bool | None = Field(
        None,
        description="Compare patches less their mean brightness. Off is a little more accurate "
        "under constant light and wrong by many px as soon as exposure shifts. OpenCV's: true.",
    )
    smoothing_px: float | None = Field(
        None,
        ge=0,
        le=4,
        description="Standard deviation, px, of the Gaussian that smooths both grey frames before "
        "the search; 0: none. A little helps where motion is large, and against noise.",
    )
    region: Region | None = Field(
        None,
        description="Where a step is searched. 'changed': the coarsest octave in the whole frame, "
        "the finer ones in the box around all that changed between the two frames; outside it flow "
        "is zero. Where the camera moves, the box is the frame. 'whole': everywhere.",
    )
    region_diff: float | None = Field(
        None,
        ge=0,
        le=255,
        description="With region 'changed': a pixel has changed when the grey values of the 8 x 8 "
        "px around it differ between the two frames by more than this on average. Three times "
        "the default loses slow motion in real clips.",
    )
    region_margin_px: int | None = Field(
        None,
        ge=0,
        le=4096,
        description="With region 'changed': the box reaches this far, px, beyond what changed.",
    )


class KeptConfig(Section):
    """How the flow of whole videos is kept (`flow.keep`), for `sofdata rewindow`."""

    size: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        None,
        description="Side in px at which flow is kept, vectors scaled with it; at most flow.size. "
        "Windows made from it later are at most as large. Null: windows.size. Default ours.",
    )
    codec: Literal["fixed", "float32"] = Field(
        "fixed",
        description="fixed: multiples of step_px, about 3 KB a step at 64 px; float32: exact, "
        "about 20 KB, from which windows of the kept size come equal to the byte. Default ours.",
    )
    step_px: Annotated[float, Field(gt=0, le=1)] = Field(
        1 / 128,
        description="fixed: the step between two levels, px, of which no component is off by more "
        "than half. Doubled where flow is so large that 16 bits do not hold it. Default ours: an "
        "eighth of what q8 rounds windows to.",
    )


class FlowConfig(Section):
    """Which frames are compared, and by which estimator."""

    estimator: str = Field(
        "auto",
        description="'dis', 'farneback', 'ptlflow:MODEL', or 'auto': DIS on a CPU; where there is "
        "a CUDA device and ptlflow is installed, the model that sofdata.flow.learned names. "
        "`sofdata flows` lists them all. Default ours.",
    )
    quality: Quality = Field(
        "fine",
        description="What DIS spends on a step: a name for values of the keys of flow.dis, of "
        "which any that are given themselves count instead. 'fine': the least error; 'standard': "
        "a seventh more, for a quarter less time; 'fast': half as much error again, for a quarter "
        "of the time; 'earlier': what was the default before there were names, to go on with a "
        "dataset begun then. Of no effect on other estimators. Default ours.",
    )
    size: Side = Field(
        128, description="Side of the square frame that flow is estimated on, px. Default ours."
    )
    step_s: float = Field(
        0.13,
        ge=1e-4,
        le=3600,
        description="Seconds between the two frames of a step of flow. Default ours.",
    )
    max_step_s: float | None = Field(
        0.5,
        gt=0,
        description="Two sampled frames further apart than this, in seconds, have a gap between "
        "them that no window spans; null: there are no gaps. Default ours.",
    )
    still_diff: float = Field(
        1.0,
        ge=0,
        le=255,
        description="A step is still, and its flow zero without being estimated, when no more "
        "than one in a thousand of its values differs by more than this many grey levels between "
        "the two frames; 0: only identical frames are still. Default ours.",
    )
    dis: DisConfig = Field(
        DisConfig(), description="Parameters of the estimator 'dis', over those of flow.quality."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where a ptlflow model runs; auto: on CUDA if there is a device."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Precision of a ptlflow model; the halves run under torch's autocast and are "
        "meant for CUDA. Flow is float32 in any case. Default ours.",
    )
    batch_pairs: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Pairs that a ptlflow model is given at a time; 'auto': on CUDA the largest "
        "power of two, up to 512, that fits into the free memory of the GPU that the ingest is "
        "planned on, else 16. A dataset names the number, and is resumed with it.",
    )
    checkpoint: str | None = Field(
        None,
        description="Weights of a ptlflow model: one of ptlflow's names for that model, or a path "
        "of a file that torch.load reads with weights_only=True: a state dict, or a dict with "
        "'state_dict'. 'random' is seeded noise, for tests only. Needed for every ptlflow model.",
    )
    weights_sha256: str | None = Field(
        None,
        description="SHA-256 of the checkpoint's file. Filled in when an ingest is planned, so "
        "that a dataset names the weights and not the place where they lay.",
    )
    model_size: tuple[Side, Side] | None = Field(
        None,
        description="Height and width, px, that a ptlflow model sees; the flow is scaled back. "
        "Null: flow.size. Models trained on large frames do poorly on small ones.",
    )
    model_args: dict[str, Any] = Field(
        {},
        description="Arguments for the constructor of the ptlflow model, for example "
        "{attn_splits_list: [1, 4]} of gmflow.",
    )

    keep: bool = Field(
        False,
        description="Keep the flow of whole videos, with their frames and all else that windows "
        "are made of, in shards of its own, so that `sofdata rewindow` makes other windows without "
        "decoding or flow: about 12 KB a step, 90 KB a second of video, at the defaults.",
    )
    kept: KeptConfig = Field(KeptConfig(), description="How it is kept. Of no effect without keep.")

    @model_validator(mode="after")
    def _a_step_must_not_be_a_gap(self) -> FlowConfig:
        if self.max_step_s is not None and self.max_step_s < self.step_s:
            raise ValueError(
                f"max_step_s {self.max_step_s} is below step_s {self.step_s}: every step would "
                "be a gap"
            )
        return self

    @model_validator(mode="after")
    def _a_quality_is_of_dis(self) -> FlowConfig:
        default = FlowConfig.model_fields["quality"].default
        if self.quality != default and self.estimator not in SEARCHED:
            raise ValueError(
                f"quality '{self.quality}' says how DIS searches, and estimator is "
                f"'{self.estimator}': leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _patches_must_cover_the_frame(self) -> FlowConfig:
        dis = self.dis_settings()
        if dis.patch_stride > dis.patch_size:
            raise ValueError(
                f"dis.patch_stride {dis.patch_stride} leaves gaps between patches of "
                f"{dis.patch_size} px: it must not be larger"
            )
        return self

    def dis_settings(self) -> DisSettings:
        """The values that DIS works with: those of `dis` over those that `quality` names.

        For another estimator they mean nothing and are those of `earlier`, as all datasets of such
        an estimator have them.
        """
        quality = self.quality if self.estimator in SEARCHED else "earlier"
        return settled(quality, self.dis.model_dump())

    def content(self) -> dict[str, Any]:
        """What decides the flow, with every value of `dis` and without the name that gave them.

        `keep` and `kept` are left out where nothing is kept, as in datasets made before them.
        """
        left_out = {"quality", "dis"} | (set() if self.keep else {"keep", "kept"})
        content = self.model_dump(mode="json", exclude=left_out)
        if self.weights_sha256:
            content["checkpoint"] = None
        if self.batch_pairs == "auto":  # not resolved: what it was before it could be left open
            content["batch_pairs"] = CPU_PAIRS
        return {**content, "dis": stated(self.dis_settings())}
