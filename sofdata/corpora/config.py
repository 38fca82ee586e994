"""How the columns of a table of videos are read: the section `manifest` of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section

_FIELD = re.compile(r"\{([^{}]+)\}")


class ManifestConfig(Section):
    """A table of videos. Left alone, a column counts by its name; see docs/corpora.md.

    Where a table is named, or how it names its files, the source is read as a manifest whatever
    else it looks like.
    """

    table: str | None = Field(
        None,
        description="The table in a source that is a folder: a name, in any folder, or a path; '*' "
        "and '?' stand for what they do in file names, and of several tables all are read. "
        "Default: manifest.csv, or another suffix, at the top.",
    )
    uri: str | None = Field(
        None,
        description="What names a row's file: a column, or a pattern of columns such as "
        "'videos/{page_dir}/{videoid}.mp4'. The suffix may be missing where `find` looks for it.",
    )
    find: Literal["path", "anywhere"] = Field(
        "path",
        description="'path': the file lies where `uri` says, below `root`. 'anywhere': in any "
        "folder below `root`; a path then means the end of one. Where `uri` is a pattern or `find` "
        "is 'anywhere', files are found without their suffix too, and a row without a file is no "
        "input but is counted.",
    )
    root: str | None = Field(
        None,
        description="The folder in which the files lie, relative to the source, a path or a URL; "
        "default: the source, or the folder of a table that is the source itself.",
    )
    id: str | None = Field(
        None, description="The column of a stable name; default: id, or else what names the file."
    )
    text: str | None = Field(
        None,
        description="The column of what is done; default: text or caption. '': none of them.",
    )
    start: str | None = Field(
        None, description="The column at which to begin, s; default: start_s. '': the whole video."
    )
    end: str | None = Field(
        None, description="The column at which to end, s; default: end_s. '': the whole video."
    )

    @field_validator("uri", mode="before")
    @classmethod
    def _one_column_in_braces(cls, uri: Any) -> Any:
        """To YAML, "{column}" alone is an object."""
        alone = isinstance(uri, dict) and list(uri.values()) == [None]
        return f"{{{next(iter(uri))}}}" if alone else uri

    @field_validator("uri")
    @classmethod
    def _is_a_pattern(cls, uri: str | None) -> str | None:
        if uri is not None and (not uri.strip() or set("{}") & set("".join(pieces_of(uri)[::2]))):
            raise ValueError("expected a column, or a pattern with columns in braces")
        return uri

    @property
    def searches(self) -> bool:
        """Whether the files of the rows are looked for among those that are there."""
        return self.find == "anywhere" or "{" in (self.uri or "")

    @property
    def decides(self) -> bool:
        """Whether it makes a manifest of a source that would else be taken for something else."""
        return self.table is not None or self.uri is not None


class SequenceConfig(Section):
    """Pictures that are in no video file, where they do not say themselves when they were taken;
    and which camera's pictures are read, where there are several."""

    fps: float | None = Field(
        None,
        gt=0,
        lt=10_000,
        description="Pictures a second, for sources that state no times and no rate: folders of "
        "numbered pictures, datasets of TFDS (RLDS), most HDF5 and Zarr files. Null: such a source "
        "is an error that says so. Times that a source does state count all the same.",
    )
    times: str | None = Field(
        None,
        description="What holds the time of each picture, in place of `fps`. Folders: the name of "
        "a text file in each, with a time in each line, in `unit`. HDF5 and Zarr: the name of a "
        "dataset, in the group of the pictures or above it. TFDS: the whole name of a feature of "
        "the steps.",
    )
    unit: Literal["s", "ms", "us", "ns"] = Field(
        "s", description="What the `times` of folders of pictures are in."
    )
    range: Literal["0..255", "0..1", "-1..1"] | None = Field(
        None,
        description="Between which numbers the pictures of Zarr stores lie that are floats. Where "
        "the first of them show it (above 2 it can only be 0..255) that counts. Null: pictures of "
        "which it is not sure are rejects, `other_range`.",
    )
    turn: Literal["flip", "rotate"] | None = Field(
        None,
        description="What makes the pictures upright. 'flip': their rows go from bottom to top, as "
        "MuJoCo and OpenGL give them (LIBERO). 'rotate': half a turn, as of a camera that was "
        "mounted upside down. Null: they are taken as they are.",
    )
    channels: Literal["rgb", "bgr"] = Field(
        "rgb",
        description="'bgr': red and blue are exchanged, as where arrays of RGB were encoded by "
        "OpenCV, which takes BGR (compressed pictures of ALOHA).",
    )
    clock: Literal["stamp", "log", "publish"] | None = Field(
        None,
        description="Which times of the messages in MCAP files and bags count: the stamps in them, "
        "or when they were logged or published. Null: the stamps of a topic where all are set and "
        "none goes back, else those of the log.",
    )
    actions: str | None = Field(
        None,
        description="The topic of MCAP files and bags that holds the actions, such as /cmd_vel, "
        "for `--with-actions`; nothing else in a recording says which it is.",
    )
    camera: Annotated[str | None, Earlier(None)] = Field(
        None,
        description="The one camera of a LeRobot dataset that is read, by the name of its feature, "
        "such as observation.images.top; what is kept of the others is counted as ignored. Null: "
        "every camera of an episode is a video.",
    )

    @property
    def shown(self) -> dict[str, str | None]:
        """Options of a `SequencePlace`, which `SequenceStream` heeds for every format."""
        return {"turn": self.turn, "channels": None if self.channels == "rgb" else self.channels}


def pieces_of(uri: str) -> tuple[str, ...]:
    """A pattern as text, column, text, ..., text. A column alone stands between two empty texts."""
    return tuple(_FIELD.split(uri)) if {"{", "}"} & set(uri) else ("", uri, "")
