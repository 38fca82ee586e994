"""What a look into a recording of topics says, checked like any input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sofdata.corpora.readers.jsonfile import clean
from sofdata.corpora.sequences.looking import NotRead
from sofdata.types import Annotations, TimedText

NS = 1e9
SAME_CLOCK_S = 1.0  # between a stamp and the log, if they show the same time
_MOST = 100_000


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Topic(_Model):
    """A topic of pictures. first_ns: time of the log and stamp of its first message."""

    topic: str
    type: str
    count: int
    codec: str
    left_out: str
    why: str
    first_ns: list[int | None] | None = Field(min_length=2, max_length=2)

    def zero_ns(self, clock: str | None) -> int:
        """About when its first picture was taken, on the clock of the log."""
        log_ns, stamp_ns = self.first_ns or (0, None)
        log_ns = log_ns or 0
        near = stamp_ns is not None and abs(log_ns - stamp_ns) < SAME_CLOCK_S * NS
        return stamp_ns if near and stamp_ns is not None and clock in (None, "stamp") else log_ns


class Text(_Model):
    """What was said, and when by the log."""

    log_ns: int
    topic: str
    text: str


class Actions(_Model):
    """The topic of actions. why: what is wrong with the first ones, "" if nothing."""

    type: str
    names: list[str] = Field(max_length=_MOST)
    count: int
    fps: float
    why: str


class Look(_Model):
    """What a file holds. span_ns: from its first to its last message by the log."""

    topics: list[Topic] = Field(max_length=_MOST)
    texts: list[Text] = Field(max_length=_MOST)
    metadata: list[str] = Field(max_length=_MOST)
    numbers: list[str] = Field(max_length=_MOST)
    actions: Actions | None
    damage: list[str]
    span_ns: list[int] | None = Field(min_length=2, max_length=2)

    @property
    def pictures(self) -> list[Topic]:
        """The topics that are used."""
        return [topic for topic in self.topics if not topic.left_out]

    def text(self) -> str:
        """What is done in all of it, "" where that changes or is not said."""
        said = self._said()
        if said:
            return said[0].text if len({each.text for each in said}) == 1 else ""
        return "; ".join(clean(each) for each in self.metadata)

    def annotations(self, zero_ns: int) -> Annotations:
        """What is done when, where that changes, on a clock that shows 0 at `zero_ns`."""
        said = self._said()
        if len({each.text for each in said}) < 2 or self.span_ns is None:
            return Annotations()
        starts = [max(0.0, round((each.log_ns - zero_ns) / NS, 6)) for each in said]
        end_s = max(starts[-1], (self.span_ns[1] - zero_ns) / NS) + 1.0
        spans = zip(starts, [*starts[1:], end_s], said, strict=True)
        return Annotations(
            tuple(TimedText(start, end, each.text) for start, end, each in spans if start < end)
        )

    def _said(self) -> list[Text]:
        """Texts of the topic that speaks first, by time."""
        first = min(self.texts, key=lambda each: each.log_ns, default=None)
        said = [each for each in self.texts if first and each.topic == first.topic]
        cleaned = [each.model_copy(update={"text": clean(each.text)}) for each in said]
        return sorted(cleaned, key=lambda each: each.log_ns)


def checked(answer: object) -> Look | NotRead:
    """An answer as a `Look`, or as what it is for a file that cannot be looked into."""
    if isinstance(answer, NotRead):
        return answer
    try:
        return Look.model_validate(answer)
    except ValidationError as error:
        return NotRead("damaged", f"a look into it gave nonsense ({error.title})")
