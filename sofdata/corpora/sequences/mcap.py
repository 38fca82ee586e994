"""MCAP recordings of robots (https://mcap.dev), one or many: every topic of pictures is a video.

    run1.mcap, 2024/run2.mcap, ...     any names in any folders
    bag_0.mcap, bag_1.mcap, ...        where the log of one goes on where that of the one before
                                       ended, they are one recording; each file is read alone

Which messages are pictures says `sofdata.video.sequences.messages`; topics of depth, and pictures
of other kinds that are not read, are left out and counted. Texts come from a topic of
std_msgs/String (/instruction, /language_instruction, /task, /task_description, /prompt), or else
from a metadata record with such a key. The actions are those of the topic that `sequences.actions`
names.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sofdata.corpora.base import Ignored, Listing, count_ignored, counted, is_hidden, suffix
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers.jsonfile import clean
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.corpora.sequences.mcap_looks import NS, Actions, Look, Topic, checked
from sofdata.errors import ActionError, ConfigError, ContractError, InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.formats import FORMATS
from sofdata.video.sequences.isolated import own_reader
from sofdata.video.sequences.place import SequencePlace

SUFFIX = ".mcap"
BAG = "metadata.yaml"  # beside MCAP files: a bag of ROS 2, which is a corpus of its own
LOOKED_AT = 2000  # items of a source, to tell what it is
NO_PICTURES = "mcap without pictures"
GOES_ON_S = 1.0  # from the end of a file to the start of the next one of a recording
MOST_OFF = 1.25  # by how much rates of actions may differ
_NUMBERED = re.compile(r"(.*?)(\d{1,9})" + re.escape(SUFFIX))


@dataclass(frozen=True)
class McapRecordings:
    """Every topic of pictures of every file is a video; its id is the file and the topic."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "mcap"
    summary = "MCAP recordings: ROS 1 and 2, foxglove; images and video; --with-actions: a topic"
    example = "sofdata ingest recordings DEST"

    def configured(self, config: SequenceConfig) -> McapRecordings:
        """With the clock that counts, and the topic of the actions."""
        return McapRecordings(config)

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            return "an MCAP file" if suffix(tree.root) == SUFFIX else ""
        items = [item for item in itertools.islice(tree.walk(), LOOKED_AT) if _is_mcap(item)]
        bags = {folder for folder in {_folder(item.rel) for item in items} if _is_bag(tree, folder)}
        found = next((item.rel for item in items if _folder(item.rel) not in bags), "")
        return f"MCAP: {found}" if found else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where what reads MCAP is not installed."""
        return self._list(tree, "")

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        """Raises `ConfigError` where no topic of actions is named, or none has such a topic."""
        if with_state:
            raise ConfigError(
                f"the state of the robot is not read from MCAP files, as in {tree.name}: leave out "
                "with_state"
            )
        return self._list(tree, self.config.actions or self._refuse(tree))

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        try:
            with tree.local_copy(ref.where) as path:
                rows = own_reader().rows(path, SequencePlace.parse(ref.part))
            if rows.values.shape[1] != spec.dimension:
                what = f"{rows.values.shape[1]} numbers, where {spec.dimension} were listed"
                raise ActionError(f"{ref.uri}: its actions have {what}")
            times_s = np.round(rows.times_s, 9)
            return ActionTrack(rows.values, times_s, spec.tolerance_s)
        except (InputError, ContractError) as error:
            raise ActionError(f"{ref.uri}: {error}") from None
        except OSError as error:
            raise ActionError(f"{ref.uri}: {error.strerror or error}") from None

    def _refuse(self, tree: Tree) -> str:
        """Say which topics may be meant. Raises `ConfigError`."""
        files = [each for each in _look(tree, _Files(tree), "") if isinstance(each.said, Look)]
        topics = sorted({topic for each in files for topic in each.look.numbers})
        found = f"; topics of numbers: {', '.join(topics)}"[:400] if topics else ""
        raise ConfigError(
            f"the recordings in {tree.name} do not say which topic holds the actions: name it, as "
            f"by --set sequences.actions=/cmd_vel{found}"
        )

    def _list(self, tree: Tree, actions: str) -> Listing:
        files = _Files(tree)
        found = list(_look(tree, files, actions))
        names = _recordings(found)
        spec = _spec(tree, found, actions) if actions else None
        entries: list[Entry] = []
        notes = _Notes()
        for each in found:
            if isinstance(each.said, NotRead):
                entries.append(_unread(each))
            elif not each.look.pictures:
                files.ignored[NO_PICTURES] += 1
                notes.take(each)
            else:
                notes.take(each)
                entries += self._entries(each, names[each.item.rel], spec, actions)
        entries += files.unread
        return Listing.of(entries, files.ignored, notes.sentences(), actions=spec)

    def _entries(
        self, file: _File, recording: str, spec: ActionSpec | None, actions: str
    ) -> Iterator[Entry]:
        look = file.look
        for topic in look.pictures:
            place = SequencePlace.of("mcap", topic.topic, clock=self.config.clock)
            name = clean(topic.topic)
            zero_ns = topic.zero_ns(self.config.clock)
            entry = Entry(
                id=f"{file.item.rel}/{name.lstrip('/')}",
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
        self, entry: Entry, file: _File, topic: Topic, spec: ActionSpec, actions: str
    ) -> Entry:
        if entry.problem:
            return entry
        if problem := _difference(file.look.actions, spec, actions):
            return replace(entry, problem=problem[0], detail=problem[1])
        assert file.look.actions is not None
        count = file.look.actions.count
        place = SequencePlace.of(
            "mcap", topic.topic, clock=self.config.clock, actions=actions, rows=count
        )
        return replace(entry, actions=ActionRef(file.item.uri, place.text, 0.0, count))


# Files


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and what a look into it says."""

    item: Item
    said: Look | NotRead

    @property
    def look(self) -> Look:
        assert isinstance(self.said, Look)
        return self.said


class _Files:
    """The files of a source. unread: those that cannot be opened at all, as entries."""

    def __init__(self, tree: Tree) -> None:
        self.ignored = Ignored()
        self.unread: list[Entry] = []
        self.items: list[Item] = []
        if tree.is_file():
            name = tree.root.rsplit("/", 1)[-1]
            self.tree = tree.parent()
            stat = self.tree.stat(Location(name))
            self.items = [Item(name, stat.size_bytes, stamp=stat.stamp)]
            return
        self.tree = tree
        for item in tree.walk():
            if not _is_mcap(item):
                count_ignored(self.ignored, item)
            elif item.problem:
                self.unread.append(
                    Entry(
                        item.rel,
                        item.uri,
                        item.size_bytes,
                        problem=item.problem,
                        detail=item.detail,
                    )
                )
            else:
                self.items.append(item)


def _is_mcap(item: Item) -> bool:
    return suffix(item.rel) == SUFFIX and not is_hidden(item.rel)


def _folder(rel: str) -> str:
    return rel.rpartition("/")[0]


def _is_bag(tree: Tree, folder: str) -> bool:
    return tree.exists(f"{folder}/{BAG}" if folder else BAG)


def _look(tree: Tree, files: _Files, actions: str) -> Iterator[_File]:
    """Look into all files, in order."""
    format = FORMATS["mcap"]
    require(format.needs, format.extra, f"reading the MCAP files in {tree.name}")
    options = {"actions": actions} if actions else {}
    answers = looks(files.tree, [item.place for item in files.items], "mcap", options)
    for item, answer in zip(files.items, answers, strict=True):
        yield _File(item, checked(answer))


def _unread(file: _File) -> Entry:
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
    """Topics that are left out, by why, and files that are damaged."""

    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    damaged: list[str] = field(default_factory=list)

    def take(self, file: _File) -> None:
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
        return notes


# Recordings in several files


def _recordings(files: Sequence[_File]) -> dict[str, str]:
    """The name of the recording of each file: that of the first of its files."""
    series: dict[tuple[str, tuple[str, ...]], list[tuple[int, _File]]] = defaultdict(list)
    names = {}
    for file in files:
        names[file.item.rel] = file.item.rel
        numbered = _NUMBERED.fullmatch(file.item.rel)
        if numbered and isinstance(file.said, Look) and file.look.span_ns:
            topics = tuple(sorted(topic.topic for topic in file.look.topics))
            series[numbered[1], topics].append((int(numbered[2]), file))
    for each in series.values():
        several = [file for _, file in sorted(each, key=lambda pair: pair[0])]
        for before, file in itertools.pairwise(several):
            if _goes_on(before.look, file.look):
                names[file.item.rel] = names[before.item.rel]
    return names


def _goes_on(before: Look, after: Look) -> bool:
    """Whether the log of a file begins where that of another ends."""
    assert before.span_ns is not None
    assert after.span_ns is not None
    gap_s = (after.span_ns[0] - before.span_ns[1]) / NS
    return abs(gap_s) <= GOES_ON_S and after.span_ns[0] >= before.span_ns[0]


# Actions


def _spec(tree: Tree, files: Sequence[_File], topic: str) -> ActionSpec:
    """What most files have of actions. Raises `ConfigError` where none has any."""
    found = [file.look.actions for file in files if isinstance(file.said, Look)]
    usable = [each for each in found if each is not None and each.names and each.fps > 0]
    if not usable:
        why = next((each.why for each in found if each is not None and each.why), "")
        raise ConfigError(
            f"no recording in {tree.name} has actions on the topic '{topic}' that can be read"
            + (f" ({why})" if why else "")
            + ": see sequences.actions, or leave out --with-actions"
        )
    names = Counter(tuple(each.names) for each in usable).most_common(1)[0][0]
    rates = [each.fps for each in usable if tuple(each.names) == names]
    return ActionSpec(tuple(map(clean, names)), round(statistics.median_low(rates), 3))


def _difference(actions: Actions | None, spec: ActionSpec, topic: str) -> tuple[str, str] | None:
    """(problem, detail) of actions that are not those of the others, None where they are."""
    if actions is None or not actions.count:
        return "no_actions_topic", f"it has no messages of the topic '{topic}' that can be read"
    if not actions.names or not actions.fps:
        return "no_actions_topic", clean(f"'{topic}': {actions.why or 'holds too few messages'}")
    if tuple(map(clean, actions.names)) != spec.names:
        own = ", ".join(actions.names)
        return "other_actions", clean(f"its actions are {own:.200}, not {', '.join(spec.names)}")
    if not 1 / MOST_OFF <= actions.fps / spec.fps <= MOST_OFF:
        rates = f"{actions.fps:g} actions a second, where most have {spec.fps:g}"
        return "other_actions", f"it has {rates}"
    return None
