"""What DIS does under each name of `flow.quality`, and why: chosen by benchmarks/flow_pareto.py.

Error counts where flow is stored (64 px), on synthetic scenes and on real clips against flow of
448 px frames; benchmarks/README.md has the figures. The SOF paper publishes none of these values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Preset = Literal["ultrafast", "fast", "medium"]
Region = Literal["whole", "changed"]
Quality = Literal["fine", "standard", "fast", "earlier"]


@dataclass(frozen=True, slots=True)
class DisSettings:
    """Every value that DIS works with; `sofdata.flow.config.DisConfig` describes each."""

    preset: Preset = "medium"
    finest_scale: int = 0
    patch_size: int = 8
    patch_stride: int = 3
    gradient_descent_iterations: int = 16
    variational_refinement_iterations: int = 4
    variational_refinement_alpha: float = 40.0
    mean_normalization: bool = True
    smoothing_px: float = 0.45
    region: Region = "changed"
    region_diff: float = 1.0
    region_margin_px: int = 8


# What datasets were made with before these keys came: no smoothing, always the whole frame.
BEFORE_REGIONS: dict[str, Any] = {
    "smoothing_px": 0.0,
    "region": "whole",
    "region_diff": DisSettings().region_diff,
    "region_margin_px": DisSettings().region_margin_px,
}

EARLIER = replace(
    DisSettings(),
    variational_refinement_iterations=5,
    variational_refinement_alpha=30.0,
    **BEFORE_REGIONS,
)

# fine: the error of `earlier`, for less. standard: a seventh more error for a quarter less time.
# fast: half as much error again for a quarter of the time, for a first look at a corpus. earlier:
# the default before there were names, to go on with a dataset that was begun then.
QUALITIES: dict[Quality, DisSettings] = {
    "fine": DisSettings(),
    "standard": replace(DisSettings(), patch_stride=4, variational_refinement_iterations=3),
    "fast": replace(
        DisSettings(),
        finest_scale=1,
        patch_stride=4,
        variational_refinement_iterations=2,
    ),
    "earlier": EARLIER,
}
NOTES: dict[Quality, str] = {
    "fine": "the least error; the default",
    "standard": "a seventh more error than fine, a quarter less time",
    "fast": "half as much error again as fine, a quarter of the time",
    "earlier": "what `fine` was before there were names",
}


def settled(quality: Quality, given: dict[str, Any]) -> DisSettings:
    """The values of a name, with those that were given, not None, in their place."""
    return replace(QUALITIES[quality], **{k: v for k, v in given.items() if v is not None})


def stated(settings: DisSettings) -> dict[str, Any]:
    """The values that decide a dataset's bytes: keys that came later only where they change any.

    So what is made with the values of `earlier` equals, to the byte, what was made then.
    """
    values = asdict(settings)
    if settings.region == "whole":
        for key in ("region", "region_diff", "region_margin_px"):  # the last two then mean nothing
            del values[key]
    if not settings.smoothing_px:
        del values["smoothing_px"]
    return values


def name_of(dis: dict[str, Any]) -> Quality | None:
    """The name whose values a dataset's `dis` holds, once completed; None for values of its own."""
    named = (name for name, settings in QUALITIES.items() if asdict(settings) == dis)
    return next(named, None)
