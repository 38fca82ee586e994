"""The entries of a shard: every camera of every episode is a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds.actions import ActionColumns
from sofdata.corpora.sequences.rlds.builders import Builder, Shard
from sofdata.corpora.sequences.rlds.layout import HAS, MARKS, Camera, Layout
from sofdata.corpora.sequences.rlds.looked import Found, Reason, Steps
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.types import ActionRef, ActionSpec, Annotations, TimedText
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.rlds.steps import Part

FORMAT = "rlds"
_SAME_RATE = 0.1  # relative difference of rates that jitter makes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is taken of a dataset, and what its user says. actions: by the list they are in."""

    builder: Builder
    layout: Layout
    config: SequenceConfig
    actions: dict[str, ActionColumns] = field(default_factory=dict)
    spec: ActionSpec | None = None


@dataclass(slots=True)
class Tally:
    """What is told in notes.

    blank: cameras that show nothing, by has_CAMERA of their episode. several: records of several
    episodes. timed: rates by the feature of the times. untimed: episodes whose times are no use.
    unmarked: cameras of episodes without `is_last`.
    """

    blank: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    timed: dict[str, list[float]] = field(default_factory=dict)
    untimed: list[str] = field(default_factory=list)
    unmarked: int = 0


def entries_of(
    wanted: Wanted, shard: Shard, number: int, found: Found, tally: Tally
) -> Iterator[Entry]:
    """The entries of a record, one at least unless it has no camera that shows anything.

    number: of the record in its shard.
    """
    name = f"{shard.item.rel}/episode-{number:05d}"
    if found.wrong:
        yield wrong_entry(shard.item, name, found.wrong)
        return
    for group, steps in found.steps.items():
        if len(steps.parts) > 1:
            tally.several.append(name)
        for at, part in enumerate(steps.parts):
            own = f"{name}-{at}" if len(steps.parts) > 1 else name
            episode = _Episode(wanted, shard, own, found, group, steps, at, part, tally)
            yield from episode.entries()


def wrong_entry(item: Item, id: str, reason: Reason) -> Entry:
    """A reject that lies in a file."""
    return Entry(
        id, item.uri, item.size_bytes, problem=reason[0], detail=reason[1], stamp=item.stamp
    )


def rate_of(wanted: Wanted, found: Found, group: str) -> float | None:
    """Steps a second of a record."""
    steps = found.steps.get(group)
    return steps.times.fps if steps and steps.times else wanted.config.fps


@dataclass(frozen=True, slots=True)
class _Episode:
    """One episode, with what is known of it. at: the number of its part in the record."""

    wanted: Wanted
    shard: Shard
    name: str
    found: Found
    group: str
    steps: Steps
    at: int
    part: Part
    tally: Tally

    def entries(self) -> Iterator[Entry]:
        """One for each camera."""
        text, more = self._texts()
        problem = self._problem()
        actions, spec = self.wanted.actions.get(self.group), self.wanted.spec
        if self.steps.times:
            self.tally.timed.setdefault(self.steps.times.name, []).append(self.steps.times.fps)
        elif self.wanted.config.fps and self.wanted.layout.times.get(self.group):
            self.tally.untimed.append(self.name)
        for camera in self.wanted.layout.cameras:
            if camera.group != self.group:
                continue
            if self._is_blank(camera):
                self.tally.blank.append(f"{self.name}/{camera.label}")
                continue
            lacking = self.steps.lacks.get(camera.stored[0])
            why = problem or (("damaged", lacking) if lacking else None)
            labels = self._labels(camera) | more
            entry = self._entry(camera, labels, text, why)
            if spec is not None and not why:
                entry = self._with_actions(entry, actions, spec)
            yield entry

    def _entry(
        self, camera: Camera, labels: dict[str, str], text: str, why: Reason | None
    ) -> Entry:
        item = self.shard.item
        uri = item.uri if why else replace(item.place, sequence=self._place(camera).text).uri
        return Entry(
            id=f"{self.name}/{camera.label}",
            uri=uri,
            size_bytes=item.size_bytes,
            span_s=None if why else (0.0, self._at_s(self.part.end)),
            text=text,
            labels=labels,
            problem=why[0] if why else "",
            detail=why[1] if why else "",
            annotations=Annotations() if why else Annotations(self._stretches()),
            stamp=item.stamp,
        )

    def _problem(self) -> Reason | None:
        """What is wrong with all cameras."""
        if not self.steps.count:
            return "no_frames", "the episode has no step"
        if self._rate is None:
            what = (
                "the steps state no times of a film, which increase, by 1 ms to 5 s as a rule, in a"
                " unit that is known"
            )
            return "no_times", f"{what}; give their rate, as by --set sequences.fps=5"
        return None

    @property
    def _rate(self) -> float | None:
        return self.steps.times.fps if self.steps.times else self.wanted.config.fps

    def _at_s(self, step: int) -> float:
        """When a step is, from the first of the episode on; of the end: when one would follow."""
        times, first, rate = self.steps.times, self.part.first, self._rate
        if rate is None:
            return 0.0
        if times is None:
            return round((step - first) / rate, 6)
        if step == self.part.end:
            return round(times.last_s[self.at] + 1 / rate, 6) if step > first else 0.0
        return round(times.all_s[step], 6) if times.all_s else 0.0  # the first one, of one episode

    def _place(self, camera: Camera) -> SequencePlace:
        raw = {"raw": camera.raw, "coding": camera.coding} if camera.raw else {}
        shown = self.wanted.config.shown
        return SequencePlace.of(FORMAT, camera.name, **self._options(), **raw, **shown)

    def _options(self) -> dict[str, str | float | int | None]:
        times, part = self.steps.times, self.part
        whole = (part.first, part.end) == (0, self.steps.count)
        return {
            "at": self.found.at,
            "bytes": self.found.size,
            "steps": self.steps.count,
            "first": None if whole else part.first,
            "end": None if whole else part.end,
            "fps": None if times else self.wanted.config.fps,
            "times": times.name if times else None,
            "unit": times.unit_s if times else None,
        }

    # What is said of it

    def _labels(self, camera: Camera) -> dict[str, str]:
        builder, name = self.wanted.builder, self.name.rpartition("/")[2]
        number, dash, part = name.removeprefix("episode-").partition("-")
        labels = {
            "recording": f"{self.shard.item.rel} {name}",
            "episode": f"{int(number)}{dash}{part}",
            "camera": camera.label,
            "split": self.shard.split,
            "dataset": builder.name,
            "config": builder.config,
            "version": builder.version,
        }
        for path, value in self.found.alone.items():
            own = path.rpartition("/")[2]
            if own in MARKS and value is not None:
                labels[own] = str(value)
        return {key: value for key, value in labels.items() if value}

    def _is_blank(self, camera: Camera) -> bool:
        own = camera.label.rpartition("/")[2]
        alone = self.found.alone.items()
        return any(path.rpartition("/")[2] == f"{HAS}{own}" and value == 0 for path, value in alone)

    def _texts(self) -> tuple[str, dict[str, str]]:
        """The text of the episode, and others that it has, as labels."""
        found = {name: self._said(name) for name in self.wanted.layout.texts}
        told = [(name, said) for name, said in found.items() if said]
        if not told:
            return "", {}
        text = "; ".join(told[0][1])
        others = {name.rpartition("/")[2]: "; ".join(said) for name, said in told[1:]}
        return text, {name: said for name, said in others.items() if said != text}

    def _said(self, name: str) -> list[str]:
        """What a feature says in this episode, each text once."""
        alone = self.found.alone.get(name)
        if isinstance(alone, str):
            return [alone] if alone else []
        return list(dict.fromkeys(text for *_, text in self._runs(name) if text))

    def _runs(self, name: str) -> list[tuple[int, int, str]]:
        """(first step, end, text) of the stretches in which a text stays the same."""
        runs = self.steps.texts.get(name, ())
        ends = [at for at, _ in runs[1:]] + [self.steps.count]
        stretches = zip(runs, ends, strict=True) if runs else ()
        inside = (
            (max(at, self.part.first), min(end, self.part.end), text)
            for (at, text), end in stretches
        )
        return [each for each in inside if each[0] < each[1]]

    def _stretches(self) -> tuple[TimedText, ...]:
        """What is said when, where it changes within the episode."""
        name = next((name for name in self.wanted.layout.texts if self._said(name)), "")
        if len(self._said(name)) < 2:
            return ()
        spans = (
            (self._at_s(first), self._at_s(end), text) for first, end, text in self._runs(name)
        )
        return tuple(TimedText(*span) for span in spans if span[2] and span[0] < span[1])

    # Actions

    def _with_actions(self, entry: Entry, actions: ActionColumns | None, spec: ActionSpec) -> Entry:
        other = self._other_actions(actions, spec)
        if other or actions is None:
            detail = other or "the dataset has no actions that are numbers"
            none = Annotations()
            return replace(
                entry, problem="other_actions", detail=detail, span_s=None, annotations=none
            )
        last = self.wanted.layout.flag(self.group, "is_last")
        self.tally.unmarked += 0 if self.part.ends_marked else 1
        place = SequencePlace.of(
            FORMAT, "", **self._options(), columns=actions.text, last=last or None
        )
        rows = self._rows()
        where = Location(self.shard.item.rel)
        return replace(entry, actions=ActionRef(where.uri, place.text, 0.0, rows))

    def _rows(self) -> int:
        if self.steps.times:
            return self.steps.times.rows[self.at]
        return self.part.end - self.part.first - (1 if self.part.ends_marked else 0)

    def _other_actions(self, actions: ActionColumns | None, spec: ActionSpec) -> str:
        """Why these actions are not those of the others, "" where they are."""
        names = actions.names if actions else ()
        if actions and names != spec.names:
            own, wanted = (
                f"{len(each)} ({', '.join(each[:3])}, ...)" for each in (names, spec.names)
            )
            return f"its actions are {own}, where the first ones are {wanted}"
        rate = self._rate or 0.0
        if actions and abs(rate - spec.fps) > _SAME_RATE * spec.fps:
            return f"its actions come {rate:g} times a second, where the first come {spec.fps:g}"
        return ""
