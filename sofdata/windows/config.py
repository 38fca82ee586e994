"""How a video's flow is cut into windows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sofdata.bounded.pictures import MOST_VALUES
from sofdata.config.earlier import Earlier, without_earlier
from sofdata.config.section import Section

CameraMode = Literal["record", "subtract", "off"]
CameraFit = Literal["consensus", "ransac"]
TextMode = Literal["label", "cut", "only"]
TailMode = Literal["drop", "mask"]
CutMode = Literal["fixed", "motion", "text"]


class WindowConfig(Section):
    """Windows and what is rejected. The SOF paper publishes none of this: the defaults are ours."""

    cut: Annotated[CutMode, Earlier("fixed")] = Field(
        "fixed",
        description="Where windows are cut. 'fixed': every stride steps, length steps long. "
        "'motion': where motion changes, as sofdata.windows.change scores it, and at the highest "
        "score where it does not change for length steps. 'text': at the segments that the corpus "
        "annotates (narrations, action segments), and evenly within those of more than length "
        "steps; a corpus that annotates none is refused. With 'motion' and 'text' windows follow "
        "on each other (but see tail) and have shortest to length steps; batches pad and mask "
        "them. 'fixed' is as "
        "in datasets made before there was this key. Default ours.",
    )
    length: Annotated[int, Field(ge=1, le=512)] = Field(
        8,
        description="Steps of flow in a window, at most; 8 are about a second. 16 suit cut=motion "
        "better. Default ours.",
    )
    shortest: Annotated[int, Earlier(3), Field(ge=1)] = Field(
        3,
        description="Fewest steps in a window of cut=motion or text; at most half of length. A "
        "stretch that has fewer itself is one window. Default ours.",
    )
    change: Annotated[float, Earlier(0.3), Field(gt=0, le=1)] = Field(
        0.3,
        description="Least score of a change of motion that ends a window of cut=motion: about 0.5 "
        "where motion begins, ends or turns by a right angle, 1 where it turns back or dies down "
        "and comes up again. Default ours.",
    )
    stride: Annotated[int, Field(ge=1)] = Field(
        4,
        description="Steps from the start of a window to that of the next, with cut=fixed or "
        "tail=mask; at most length, so that every step lies in a window. Default ours: half a "
        "window.",
    )
    min_steps: Annotated[int, Field(ge=1)] = Field(
        2,
        description="Fewest steps that a stretch between two cuts must have. One shorter than "
        "length gives a single short window, a shorter one is rejected as too_short. Default ours.",
    )
    tail: TailMode = Field(
        "drop",
        description="Windows at the end of a stretch. 'drop': none begins in its last length - 1 "
        "steps; the last window is moved back so that it ends with the stretch. 'mask': windows "
        "begin at every multiple of stride up to the stretch's last step, and those that would "
        "reach past its end are short, down to one step, with as many fewer actions; batches pad "
        "and mask them. A policy then also learns how an episode ends. With cut=motion or text, "
        "'mask' adds to each window the rests of it that begin at multiples of stride in it and "
        "have shortest steps: what is left of a skill, seen from the midst of it. 'drop' is as in "
        "datasets made before there was this key. Default ours.",
    )
    size: Annotated[int, Field(ge=8, le=1024)] = Field(
        64, description="Side in px at which flow is stored, vectors scaled with it. Default ours."
    )
    static_px: Annotated[float, Field(ge=0)] = Field(
        0.15,
        description="A window is rejected as static when the 99th percentile of its stored flow's "
        "magnitude lies below this many px a step at size; 0 keeps all. Default ours: a little "
        "above what codec noise gave in still scenes at 64 px.",
    )
    min_texture: Annotated[float, Field(ge=0, le=1)] = Field(
        0.4,
        description="A window that moves is rejected as no_texture when in none of 8 x 8 cells of "
        "the frame the gradients of moving pixels agree with those that the flow leads to, as "
        "sofdata.windows.texture measures it, to this degree: 1 for the same picture, 0.1 to 0.3 "
        "for noise; 0 keeps all. Default ours, from synthetic videos of known motion.",
    )
    trim: Annotated[bool, Earlier(False)] = Field(
        False,
        description="Trim what is idle: the steps at both ends of a stretch in which the 99th "
        "percentile of flow is below static_px, and parts of trim_inside such steps within it. "
        "Each is set aside once, as idle; 'sofdata trims' lists them. Default ours.",
    )
    trim_margin: Annotated[int, Earlier(1), Field(ge=0)] = Field(
        1, description="Idle steps that stay beside what moves, with trim. Default ours."
    )
    trim_inside: Annotated[int, Earlier(64), Field(ge=1)] = Field(
        64,
        description="With trim, so many idle steps within a stretch are trimmed, too, and part it "
        "in two; 64 are about 8 s. As many are held in memory. Default ours.",
    )
    active_px: Annotated[float, Field(gt=0)] = Field(
        0.5,
        description="A pixel counts towards active_share when its flow is larger than this many px "
        "a step at size. Default ours.",
    )
    shots: bool = Field(
        True, description="Look for shot changes, so that no window spans one. Default ours."
    )
    shot_threshold: Annotated[float, Field(gt=0)] = Field(
        0.85,
        description="Least difference of two frames, as sofdata.windows.shots scores it, that is "
        "a shot change: 0 for identical frames, about 1 and more across cuts. Default ours.",
    )
    gradual_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.0,
        description="Longest gradual change between shots (dissolve, fade, wipe) that is looked "
        "for, s; 3 finds most. Its steps are one rejected window, gradual, and no other window "
        "spans them. 0: none is looked for, as in datasets made before there was this key. Default "
        "ours.",
    )
    texts: TextMode = Field(
        "label",
        description="What a corpus that tells when something is done (narrations, action segments) "
        "does to windows: 'label' gives each window the text that covers most of it; 'cut' also "
        "begins windows anew where the text changes; 'only' also rejects windows without a text, "
        "as no_text. Default ours.",
    )
    camera: CameraMode = Field(
        "record",
        description="Camera motion of each step, an affine map that most of its flow follows: "
        "'record' it in the window's statistics, also 'subtract' it from the stored flow, or "
        "'off'. Default ours.",
    )
    camera_fit: CameraFit = Field(
        "consensus",
        description="How that map is found: 'consensus' of a grid of points, over which the "
        "statistics are means as well; or OpenCV's 'ransac', at about six times the cost and no "
        "less error, as in datasets made before there was this key. Default ours.",
    )
    camera_inlier_px: Annotated[float, Field(gt=0)] = Field(
        0.5,
        description="A point of the flow follows the camera when the affine map explains it to "
        "within this many px at size. Default ours.",
    )

    def content(self) -> dict[str, Any]:
        """What decides a dataset's bytes: without the keys that change nothing, as in datasets made
        before there were such keys."""
        left_out = {"shortest", "change"} if self.cut == "fixed" else set()
        if self.cut == "text":
            left_out.add("change")
        if not self.has_stride:
            left_out.add("stride")
        if not self.trim:
            left_out |= {"trim_margin", "trim_inside"}
        if self.texts == "label":
            left_out.add("texts")
        if self.tail == "drop":
            left_out.add("tail")
        if not self.gradual_s:
            left_out.add("gradual_s")
        if not self.min_texture:
            left_out.add("min_texture")
        if self.camera == "off" or self.camera_fit == "ransac":
            left_out.add("camera_fit")
        return without_earlier(type(self), self.model_dump(mode="json", exclude=left_out))

    @property
    def has_stride(self) -> bool:
        """Whether windows begin at multiples of `stride`."""
        return self.cut == "fixed" or self.tail == "mask"

    @model_validator(mode="after")
    def _check_cut(self) -> Self:
        if self.cut != "fixed" and self.length < 2 * self.shortest:
            raise ValueError(
                f"cut={self.cut} needs a length of at least twice shortest, {2 * self.shortest}, "
                f"and it is {self.length}: a longer part is divided into windows of shortest steps "
                "or more"
            )
        if self.trim and not self.static_px:
            raise ValueError("trim goes by static_px, which must be above 0")
        if self.trim and self.trim_inside < 2 * self.trim_margin + 1:
            raise ValueError(
                f"trim_inside must be more than twice trim_margin, {self.trim_margin}, and it is "
                f"{self.trim_inside}"
            )
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.has_stride and self.stride > self.length:
            raise ValueError(
                f"stride {self.stride} is larger than length {self.length}: the steps between "
                "windows would be lost"
            )
        if self.min_steps > self.length:
            raise ValueError(f"min_steps {self.min_steps} is larger than length {self.length}")
        if (values := 2 * self.length * self.size**2) > MOST_VALUES:
            raise ValueError(
                f"length {self.length} and size {self.size} give a window {values} values of flow, "
                f"more than the {MOST_VALUES} that are read"
            )
        return self
