"""What the decoding process says of an HDF5 file, checked like any untrusted input.

The fields are those that `sofdata.video.sequences.hdf5.looking` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.looking import NotRead
from sofdata.storage.walk import Item

Count = Annotated[int, Field(ge=0, lt=2**48)]
Seconds = Annotated[float, Field(ge=0, lt=1e12)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FoundNumbers(_Checked):
    """A dataset of numbers: its path in the recording, its shape [M,...], names of the numbers."""

    name: str
    shape: tuple[Count, ...]
    names: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.shape[0]

    def named(self) -> tuple[str, ...]:
        """A name for each number of a row: its own, or that of the dataset and where it stands."""
        size = prod(self.shape[1:])
        if len(set(self.names)) == len(self.names) == size:
            return self.names
        short = self.name.rpartition("/")[2]
        short = "action" if short == "actions" else short
        return (short,) if size == 1 else tuple(f"{short}_{at}" for at in range(size))


class FoundRecording(_Checked):
    """What is said of a recording; as `sofdata.video.sequences.hdf5.recordings.Recording`."""

    texts: tuple[str, ...]
    env: str
    samples: int
    ends: Count
    actions: FoundNumbers | None
    states: tuple[FoundNumbers, ...]
    other: tuple[str, ...]
    compress: bool


class FoundSequence(_Checked):
    """A sequence of pictures.

    path: of its dataset, or of datasets with "*" for their number. count: of the pictures. steps:
    that with those whose numbers are missing.
    encoded: what they are, "" for pixels. recording: path of its group. camera: which it is there.
    fps, times, unit: what the file says of its times, see
    `sofdata.video.sequences.hdf5.clocks.Stated`. lasts_s: by these, 0 where nothing is said.
    problem, detail: what is wrong with these, or "".
    """

    path: str
    count: Count
    steps: Count
    encoded: str
    recording: str
    camera: str
    fps: Annotated[float, Field(gt=0, lt=1e5)] | None
    times: str
    unit: str
    lasts_s: Seconds
    problem: str
    detail: str

    def clock(self, fps: float | None) -> dict[str, str | float | None]:
        """When its pictures were taken, as options of a place. fps: where no times are stated."""
        return {"times": self.times, "unit": self.unit} if self.times else {"fps": fps}


class FoundFile(_Checked):
    """All that was found in a file.

    recordings: by their paths. problems: (reason, detail) of what cannot be read, by its path.
    filters: names of demonstrations by filter key. left_out: how much is not taken, by what it is.
    convention: robosuite's word on which row of a picture comes first.
    """

    sequences: tuple[FoundSequence, ...]
    recordings: dict[str, FoundRecording]
    problems: dict[str, tuple[str, str]]
    filters: dict[str, tuple[str, ...]]
    left_out: dict[str, Count]
    convention: str

    @property
    def is_libero(self) -> bool:
        """Whether its cameras are called as LIBERO's."""
        return {each.camera for each in self.sequences} >= {"agentview_rgb", "eye_in_hand_rgb"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A sequence of a file that was looked into, and its entry before actions.

    fps: what counts, of the file or the user; None where times do.
    """

    entry: Entry
    item: Item
    file: FoundFile
    sequence: FoundSequence
    fps: float | None

    @property
    def clock(self) -> dict[str, str | float | None]:
        """When its pictures were taken, as options of a place."""
        return self.sequence.clock(self.fps)

    @property
    def recording(self) -> FoundRecording:
        return self.file.recordings[self.sequence.recording]


def checked(said: Any) -> FoundFile | NotRead:
    """What a look gave, if it makes sense."""
    if isinstance(said, NotRead):
        return said
    try:
        found = FoundFile.model_validate(said)
    except ValidationError as error:
        return NotRead("damaged", f"says what makes no sense: {error.errors()[0]['msg']}")
    if any(each.recording not in found.recordings for each in found.sequences):
        return NotRead("damaged", "says nothing of a recording in it")
    return found
