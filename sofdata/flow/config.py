"""How flow is estimated. The SOF paper leaves these values unpublished: the defaults are ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sofdata.config.section import Section

Side = Annotated[int, Field(ge=32, le=4096)]


class DisConfig(Section):
    """Dense Inverse Search of Kroeger et al. 2016 (arXiv 1603.03590), as OpenCV builds it.

    OpenCV's presets stop one octave or more above the frame's own resolution and so blur small
    motion. These defaults go down to it; `benchmarks/flow_accuracy.py` compares them with others.
    """

    preset: Literal["ultrafast", "fast", "medium"] = Field(
        "medium",
        description="OpenCV preset that gives all that is not listed below. Default ours.",
    )
    finest_scale: int = Field(
        0,
        ge=0,
        le=8,
        description="Octave at which the search ends; 0 is full resolution, 1 half. Presets end "
        "at 1 (medium) or 2. Default ours.",
    )
    patch_size: int = Field(
        8, ge=4, le=16, description="Side of the patches that are matched, px. OpenCV's default."
    )
    patch_stride: int = Field(
        3,
        ge=1,
        le=16,
        description="Distance between neighbouring patches, px; 4 is a quarter to a third faster, "
        "and blurs small moving parts. Default of the medium preset.",
    )
    gradient_descent_iterations: int = Field(
        16,
        ge=1,
        le=256,
        description="Search steps a patch; the medium preset takes 25, to much the same result. "
        "Default ours.",
    )
    variational_refinement_iterations: int = Field(
        5, ge=0, le=256, description="Rounds that smooth the flow at each scale. OpenCV's default."
    )
    variational_refinement_alpha: float = Field(
        30.0,
        ge=0,
        description="Weight of smoothness in those rounds; OpenCV takes 20, which is less accurate "
        "in plain areas. Default ours.",
    )
    mean_normalization: bool = Field(
        True,
        description="Compare patches less their mean brightness. Off is a little more accurate "
        "under constant light and wrong by many px as soon as exposure shifts. OpenCV's default.",
    )

    @model_validator(mode="after")
    def _patches_must_cover_the_frame(self) -> DisConfig:
        if self.patch_stride > self.patch_size:
            raise ValueError(
                f"patch_stride {self.patch_stride} leaves gaps between patches of "
                f"{self.patch_size} px: it must not be larger"
            )
        return self


class FlowConfig(Section):
    """Which frames are compared, and by which estimator."""

    estimator: str = Field(
        "auto",
        description="'dis', 'farneback', 'ptlflow:MODEL', or 'auto': DIS on a CPU; where there is "
        "a CUDA device and ptlflow is installed, the model that sofdata.flow.learned names. "
        "`sofdata flows` lists them all. Default ours.",
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
    dis: DisConfig = Field(DisConfig(), description="Parameters of the estimator 'dis'.")
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

    @model_validator(mode="after")
    def _a_step_must_not_be_a_gap(self) -> FlowConfig:
        if self.max_step_s is not None and self.max_step_s < self.step_s:
            raise ValueError(
                f"max_step_s {self.max_step_s} is below step_s {self.step_s}: every step would "
                "be a gap"
            )
        return self
