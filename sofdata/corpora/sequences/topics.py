"""Recordings of topics, MCAP and bags: every topic of pictures of every one is a video.

Which messages are pictures says `sofdata.video.sequences.messages`; topics of depth, and pictures
of other kinds that are not read, are left out and counted. Texts come from a topic of
std_msgs/String (/instruction, /language_instruction, /task, /task_description, /prompt). The
actions are those of the topic that `sequences.actions` names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from sofdata.corpora.base import Ignored, Listing, counted
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers.jsonfile import clean
from sofdata.corpora.sequences.looking import NotRead, looks, readable, without_path
from sofdata.corpora.sequences.topic_actions import difference, usual_actions
from sofdata.corpora.sequences.topic_files import File, recordings
from sofdata.corpora.sequences.topic_looks import Look, Topic, checked
from sofdata.errors import ActionError, ConfigError, ContractError, InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.formats import FORMATS
from sofdata.video.sequences.place import SequencePlace


@dataclass(slots=True)
class Sources:
    """What a source holds: the items to look into, those that cannot be read, and all others.

    tree: in which they lie. notes: sentences for the user.
    """

    tree: Tree
    items: list[Item] = field(default_factory=list)
    unread: list[Entry] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def alone(cls, file: Tree) -> Self:
        """One file that is all of the source."""
        name = file.root.rsplit("/", 1)[-1]
        found = cls(file.parent())
        stat = found.tree.stat(Location(name))
        found.take(Item(name, stat.size_bytes, stamp=stat.stamp))
        return found

    def take(self, item: Item) -> None:
        """An item to look into, or an entry that says why it cannot be."""
        if item.problem:
            entry = Entry(item.rel, item.uri, item.size_bytes)
            self.unread.append(replace(entry, problem=item.problem, detail=item.detail))
        else:
            self.items.append(item)


@dataclass(frozen=True)
class TopicCorpus(ABC):
    """Every topic of pictures is a video; its id is the recording and the topic."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    settings = ("clock", "actions")

    @property
    @abstractmethod
    def name(self) -> str:
        """As of `Corpus`."""

    @property
    @abstractmethod
    def format(self) -> str:
        """One of `sofdata.video.sequences.formats.FORMATS`."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What the recordings are, in a word or two for messages, such as "MCAP files"."""

    @abstractmethod
    def sources(self, tree: Tree) -> Sources:
        """What is to be looked into."""

    @property
    def formats(self) -> tuple[str, ...]:
        """As of `FormatCorpus`."""
        return (self.format,)

    def configured(self, config: SequenceConfig) -> Self:
        """With the clock that counts, and the topic of the actions."""
        return replace(self, config=config)

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where what reads them is not installed."""
        return self._list(tree, "")

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        """Raises `ConfigError` where no topic of actions is named, or none has such a topic."""
        if with_state:
            raise ConfigError(
                f"the state of the robot is not read from {self.kind}, as in {tree.name}: leave "
                "out with_state"
            )
        return self._list(tree, self.config.actions or self._refuse(tree))

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        from sofdata.video.sequences.isolated import own_reader

        path = ""
        try:
            with readable(tree, ref.where) as source:
                path = str(source)
                rows = own_reader().rows(source, SequencePlace.parse(ref.part))
            if rows.values.shape[1] != spec.dimension:
                what = f"{rows.values.shape[1]} numbers, where {spec.dimension} were listed"
                raise ActionError(f"its actions have {what}")
            times_s = np.round(rows.times_s, 9)
            return ActionTrack(rows.values, times_s, spec.tolerance_s)
        except (InputError, ContractError) as error:
            raise ActionError(f"{ref.uri}: {without_path(error, path)}") from None
        except OSError as error:
            raise ActionError(f"{ref.uri}: {error.strerror or error}") from None

    def _refuse(self, tree: Tree) -> str:
        """Say which topics may be meant. Raises `ConfigError`."""
        looked = self._look(self.sources(tree), "")
        files = [each for each in looked if isinstance(each.said, Look)]
        topics = sorted({topic for each in files for topic in each.look.numbers})
        found = f"; topics of numbers: {', '.join(topics)}"[:400] if topics else ""
        raise ConfigError(
            f"the recordings in {tree.name} do not say which topic holds the actions: name it, as "
            f"by --set sequences.actions=/cmd_vel{found}"
        )

    def _look(self, sources: Sources, actions: str) -> Iterator[File]:
        """Look into all files, in order."""
        format = FORMATS[self.format]
        require(format.needs, format.extra, f"reading {self.kind}, as in {sources.tree.name},")
        options = {"actions": actions} if actions else {}
        answers = looks(sources.tree, [each.place for each in sources.items], self.format, options)
        for item, answer in zip(sources.items, answers, strict=True):
            yield File(item, checked(answer))

    def _list(self, tree: Tree, actions: str) -> Listing:
        sources = self.sources(tree)
        found = list(self._look(sources, actions))
        names = recordings(found)
        spec = usual_actions(tree, found, actions) if actions else None
        entries: list[Entry] = []
        notes = _Notes(extra=sources.notes)
        for each in found:
            if isinstance(each.said, NotRead):
                entries.append(_unread(each))
            elif not each.look.pictures:
                sources.ignored[f"{self.name} without pictures"] += 1
                notes.take(each)
            else:
                notes.take(each)
                entries += self._entries(each, names[each.item.rel], spec, actions)
        entries += sources.unread
        return Listing.of(entries, sources.ignored, notes.sentences(), actions=spec)

    def _entries(
        self, file: File, recording: str, spec: ActionSpec | None, actions: str
    ) -> Iterator[Entry]:
        look = file.look
        for topic in look.pictures:
            place = SequencePlace.of(
                self.format, topic.topic, clock=self.config.clock, **self.config.shown
            )
            name = clean(topic.topic)
            zero_ns = topic.zero_ns(self.config.clock)
            entry = Entry(
                id=file.id_of(name),
                uri=replace(file.item.place, sequence=place.text).uri,
                size_bytes=file.item.size_bytes,
                text=look.text(),
                labels={"recording": recording, "camera": name},
                problem="" if topic.codec else "damaged",
                detail="" if topic.codec else _why(topic),
                annotations=look.annotations(zero_ns),
                stamp=file.item.stamp,
            )
            yield self._with_actions(entry, file, topic, spec, actions) if spec else entry

    def _with_actions(
        self, entry: Entry, file: File, topic: Topic, spec: ActionSpec, actions: str
    ) -> Entry:
        if entry.problem:
            return entry
        if problem := difference(file.look.actions, spec, actions):
            return replace(entry, problem=problem[0], detail=problem[1])
        assert file.look.actions is not None
        count = file.look.actions.count
        place = SequencePlace.of(
            self.format, topic.topic, clock=self.config.clock, actions=actions, rows=count
        )
        return replace(entry, actions=ActionRef(file.item.uri, place.text, 0.0, count))


def _unread(file: File) -> Entry:
    assert isinstance(file.said, NotRead)
    item = file.item
    return Entry(
        item.rel, item.uri, item.size_bytes, problem=file.said.reason, detail=file.said.detail
    )


def _why(topic: Topic) -> str:
    """Why a topic of pictures cannot be used."""
    what = topic.why or "none of its messages can be read"
    return clean(f"the {topic.count} messages of '{topic.topic}': {what}")


@dataclass(slots=True)
class _Notes:
    """Topics that are left out, by why, and files that are damaged. extra: other sentences."""

    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    damaged: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)

    def take(self, file: File) -> None:
        for topic in file.look.topics:
            if topic.left_out:
                self.left_out[topic.left_out].append(clean(f"{file.item.rel} {topic.topic}"))
        if file.look.damage:
            self.damaged.append(clean(f"{file.item.rel} ({file.look.damage[0]})"))

    def sentences(self) -> list[str]:
        notes = [
            counted(topics, clean(f"topic of {why} is left out"))
            for why, topics in sorted(self.left_out.items())
        ]
        if self.damaged:
            notes.append(counted(self.damaged, "file is damaged; what is whole in it is used"))
        return [*notes, *self.extra]
