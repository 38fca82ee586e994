"""The configuration of an ingest: one section a component, and its digest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sofdata.config import earlier
from sofdata.config.recipes import load_section, overridden
from sofdata.config.section import Section
from sofdata.corpora.config import ManifestConfig, SequenceConfig
from sofdata.errors import ConfigError
from sofdata.flow.codec import LONGEST_SIDE_PX, CodecConfig
from sofdata.flow.config import FlowConfig, KeptConfig
from sofdata.flow.quality import BEFORE_REGIONS
from sofdata.shards.layout import DATASET
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import ImageConfig
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.video.config import VideoConfig
from sofdata.video.limits import LimitConfig
from sofdata.windows.config import WindowConfig
from sofdata.windows.quality import QualityConfig


class UnitConfig(Section):
    """How videos are cut into units. Each unit becomes one shard. Defaults are ours."""

    max_videos: int = Field(64, ge=1, description="A unit holds at most this many videos.")
    max_source_mib: float = Field(
        64.0,
        gt=0,
        description="Files of a unit have at most this many MiB together; a larger one is alone.",
    )
    min_units: int = Field(
        16,
        ge=1,
        description="A small corpus is cut into about this many units, as far as it has videos, so "
        "that several workers have work: the next power of two, less those that stay empty. "
        "Independent of the number of workers.",
    )


class SplitConfig(Section):
    """How a long video is split, so that workers of its node help with it who have no other work.

    Only videos are split that give the same bytes so: H.264, HEVC, VP9 and AV1 in MP4, QuickTime,
    Matroska or WebM, in a file or a copy on the node. Where a part does not come as from the whole
    video (damage, odd times), the video is decoded in one go after all. Defaults are ours.
    """

    from_s: float | None = Field(
        120.0,
        gt=0,
        description="Videos, or spans, of at least this length, s, are split. Null: none is.",
    )
    part_s: float = Field(
        60.0,
        gt=0,
        description="About how long a part is, s. It begins near a key frame, and with a chunk of "
        "video.chunk_frames sampled frames.",
    )
    ahead_mib: float = Field(
        1024.0,
        gt=0,
        description="Room, MiB, for parts of one video that are done before those ahead of them: "
        "temporary files of the node, at the defaults 45 MiB a part. At least one is.",
    )


class RunConfig(Section):
    """How an ingest is run. Nothing here changes a byte of the dataset.

    A video that a limit of memory or time keeps from being decoded is quarantined, and its reason
    is `over_memory` or `over_time`: it is not decoded in part.
    """

    engine: Literal["auto", "ray", "processes", "inline"] = Field(
        "auto",
        description="'ray': worker processes, here or on a cluster. 'processes': the same on this "
        "machine alone, without Ray; what is said of Ray's workers below holds for them, too. "
        "'auto': processes, which start at once; but Ray where address, flow_actors or "
        "flow_resource is given, where flow is on a GPU, or where the work is so long (estimated "
        "from spans and bytes) that Ray's start is at most a fiftieth of it, in each case if it "
        "is installed. 'inline': this process, for debugging. All make the same bytes.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Workers, one core each, over all nodes of Ray or on this machine; never "
        "more than units and parts of long videos. Default: one for each core that is free, also "
        "on nodes that join later.",
    )
    address: str | None = Field(
        None, description="Address of a running Ray cluster; default: start Ray on this machine."
    )
    start_up_s: float = Field(
        300.0,
        gt=0,
        description="A Ray run without any worker for this long, s, stops with a diagnosis: at "
        "its start, or when all nodes are lost. Clusters that scale from nothing need longer.",
    )
    flow_actors: int = Field(
        0,
        ge=0,
        le=1024,
        description="Ray actors that estimate flow for all workers of a node, one GPU each when "
        "flow.device is cuda (then 0 means one for each GPU of the node). 0: each worker "
        "estimates its own flow.",
    )
    flow_nodes: Literal["own", "any"] = Field(
        "own",
        description="'own': workers run beside the flow actors that they use, and pixels never "
        "cross nodes. 'any': workers run on every node and send their frames to the flow actors "
        "of all, so that nodes without GPUs can decode; the network carries about 230 KB a pair "
        "at 128 px, both ways together.",
    )
    flow_resource: str | None = Field(
        None,
        description="The Ray resource that marks the nodes with flow actors; default: GPU when "
        "flow.device is cuda, else none. A flow actor takes three quarters of one.",
    )
    temporary_mib: float = Field(
        8192.0,
        gt=0,
        description="Room, MiB, that one worker takes for copies of remote videos: the one that is "
        "decoded and the next. A larger video is read in ranges (with PyAV; decord copies it).",
    )
    ranges_mib: float = Field(
        32.0,
        ge=0,
        description="A remote video larger than this, MiB, of which only a span is used is read in "
        "ranges instead of being copied, unless that takes more than half of it.",
    )
    isolate: bool = Field(
        True,
        description="Decode each video in a process of its own that can be killed "
        "(not with engine 'inline').",
    )
    limits: LimitConfig = LimitConfig()
    split: SplitConfig = SplitConfig()
    lock: Literal["auto", "none"] = Field(
        "auto",
        description="'auto': only one command at a time writes to a destination, by a lock of its "
        "file system or, in an object store, by a lease. 'none': none is taken, for a file system "
        "without locks of which you are sure that nothing else writes there.",
    )
    checksum: bool = Field(
        False,
        description="Read every file of the source again for its fingerprint. Else a file whose "
        "size and modification time (in an object store, size and ETag) are those that the last "
        "ingest found is taken for the same and not read.",
    )
    stall_s: float = Field(
        14400.0,
        gt=0,
        description="A Ray run in which no video ends for this long, s, stops with a diagnosis. "
        "Must exceed the time that the longest video takes.",
    )
    allow_set_aside: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the videos that may be quarantined before the exit code is 1.",
    )

    def flow_is_elsewhere(self, flow: FlowConfig) -> bool:
        """Whether actors estimate flow rather than the workers themselves."""
        return self.flow_actors > 0 or flow.device == "cuda" or self.flow_resource is not None


class IngestConfig(Section):
    """Everything that an ingest needs to know besides its source and its destination."""

    video: VideoConfig = VideoConfig()
    flow: FlowConfig = FlowConfig()
    windows: WindowConfig = WindowConfig()
    quality: QualityConfig = QualityConfig()
    codec: CodecConfig = CodecConfig()
    images: ImageConfig = ImageConfig()
    units: UnitConfig = UnitConfig()
    manifest: ManifestConfig = ManifestConfig()
    sequences: SequenceConfig = SequenceConfig()
    with_actions: bool = Field(
        False,
        description="Store the actions of demonstrations beside their windows, where the corpus "
        "has any. Never read otherwise. Such a dataset is another than the one without.",
    )
    with_state: bool = Field(
        False,
        description="With with_actions: store what the robot knows of itself (LeRobot's "
        "observation.state) behind the numbers of each action, for policies that read it "
        "(decoder.model.state). Never read otherwise.",
    )
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _a_window_can_be_stored(self) -> Self:
        if self.with_state and not self.with_actions:
            raise ValueError("with_state is stored beside actions: set with_actions as well")
        side = self.windows.length * self.windows.size
        if self.codec.name == "q8" and side > LONGEST_SIDE_PX:
            raise ValueError(
                f"windows.length {self.windows.length} times windows.size {self.windows.size} is "
                f"{side}, and codec.name q8 stores at most {LONGEST_SIDE_PX}: take less of either, "
                "or codec.name float16"
            )
        return self

    @model_validator(mode="after")
    def _flow_is_kept_as_large_as_it_is(self) -> Self:
        if self.flow.keep and (side := self.kept_size) > self.flow.size:
            raise ValueError(
                f"flow.kept.size is {side} (null: windows.size), larger than flow.size "
                f"{self.flow.size}: flow is not kept larger than it was estimated"
            )
        return self

    @property
    def kept_size(self) -> int:
        """Side in px at which flow is kept, where it is."""
        return self.flow.kept.size or self.windows.size

    @property
    def keeps_at(self) -> int | None:
        """`kept_size`; None where no flow is kept."""
        return self.kept_size if self.flow.keep else None

    def content(self) -> dict[str, Any]:
        """What decides the dataset's bytes: all sections but `run`.

        Weights count by their hash, not by the path at which they lie, and DIS by its values, not
        by the name that gives them (see `FlowConfig.content`). `with_actions`, `with_state`,
        `manifest`, `sequences`, `quality` and some of `windows` (see `WindowConfig.content`) are
        left out where they change nothing, as in datasets made before there were such keys (see
        `stored_config`); so is `video.max_pixels` where it is the default, since hardly any video
        has larger frames.
        """
        left_out = {"run"} if self.with_actions else {"run", "with_actions"}
        if not self.with_state:
            left_out.add("with_state")
        if self.manifest == ManifestConfig():
            left_out.add("manifest")
        if self.sequences == SequenceConfig():
            left_out.add("sequences")
        if not self.quality.columns:
            left_out.add("quality")
        content = self.model_dump(mode="json", exclude=left_out)
        if "sequences" in content:
            content["sequences"] = earlier.identity(self.sequences)
        content["flow"] = self.flow.content()
        if self.video.max_pixels == VideoConfig().max_pixels:
            del content["video"]["max_pixels"]
        content["windows"] = self.windows.content()
        return content

    def digest(self) -> str:
        """sha256 of `content`, in hexadecimal."""
        return json_digest(self.content())


def load_config(recipe: str | None, overrides: Iterable[str] = ()) -> IngestConfig:
    """Read a recipe, apply `a.b=c` overrides, and check the result.

    recipe: path of a YAML file, or the name of one that sofdata carries; None for the defaults.
        The `dataset.json` of a dataset, which may lie in a store, is the settings of that one,
        whatever version wrote it.
    overrides: `key=value` with a dotted key. The value of a text is taken as it stands, any other
        is read as YAML.

    Of several values for a key the last one counts. Raises `ConfigError` for a recipe that does not
    exist or does not parse, for an override without "=", and for any key or value that does not
    fit.
    """
    if recipe is None or recipe.rpartition("/")[2] != DATASET:
        return load_section(IngestConfig, recipe, overrides)
    dest = Tree(recipe.rpartition("/")[0] or ".")
    if (record := read_dataset(dest)) is None:
        raise ConfigError(f"cannot read recipe '{recipe}': no such file")
    stored = stored_config(record.config).model_dump(mode="json", exclude={"run"})
    overrides = list(overrides)
    if any(each.partition("=")[0] in ("flow.quality", "flow.estimator") for each in overrides):
        stored["flow"]["dis"] = {}  # which follows from them
    return overridden(IngestConfig, stored, overrides)


def completed(content: dict[str, Any]) -> dict[str, Any]:
    """A dataset's `content` with the keys that were left out of it because they changed nothing.

    They get the values that change nothing, whatever their defaults are now.
    """
    before = {
        "texts": "label",
        "tail": "drop",
        "gradual_s": 0.0,
        "min_texture": 0.0,
        "camera_fit": "ransac",
    }
    windows = earlier.completed(WindowConfig, {**before, **content.get("windows", {})})
    manifest = ManifestConfig().model_dump(mode="json")
    quality = {**QualityConfig().model_dump(mode="json"), "columns": []}
    video = {"max_pixels": VideoConfig().max_pixels, **content.get("video", {})}
    flow = content.get("flow", {})
    dis = {**BEFORE_REGIONS, **flow.get("dis", {})}
    kept = {"keep": False, "kept": KeptConfig().model_dump(mode="json")}
    return {
        "with_actions": False,
        "with_state": False,
        "manifest": manifest,
        "sequences": SequenceConfig().model_dump(mode="json"),
        "quality": quality,
        **content,
        "windows": windows,
        "video": video,
        "flow": {**kept, **flow, "dis": dis},
    }


def stored_config(content: dict[str, Any]) -> IngestConfig:
    """The configuration of a dataset from its `content`; raises `ConfigError` as `parse` does."""
    return IngestConfig.parse(completed(content))
