"""The corpus of TFDS datasets: RLDS episodes, read without TensorFlow.

Every camera of every episode is a video. Pictures of the whole listing stay unread: of a shard only
lengths, texts, flags and times are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sofdata.corpora.base import Ignored, Listing, counted, is_hidden, suffix
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds import builders as folders
from sofdata.corpora.sequences.rlds.actions import ACTIONS, find_actions, find_state
from sofdata.corpora.sequences.rlds.builders import Shard
from sofdata.corpora.sequences.rlds.episodes import (
    FORMAT,
    Tally,
    Wanted,
    entries_of,
    rate_of,
    wrong_entry,
)
from sofdata.corpora.sequences.rlds.features import FEATURES, read_features
from sofdata.corpora.sequences.rlds.layout import layout_of
from sofdata.corpora.sequences.rlds.looked import Found, Reason, found_in
from sofdata.corpora.sequences.rlds.notes import notes_of, told_last
from sofdata.corpora.sequences.rlds.source import (
    Sorted,
    check_found,
    is_of_tfds,
    name_of,
    sort_files,
)
from sofdata.corpora.sequences.tracks import read_track
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack

LOOKED_AT = 2000  # items of a source, to tell what it is
NO_EPISODES, NO_PICTURES = "shard without episodes", "dataset without pictures"


@dataclass(frozen=True)
class Rlds:
    """Every camera of every episode is a video; its text is its instruction."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "rlds"
    summary = "TFDS folders of RLDS episodes (Open X-Embodiment, Bridge, DROID); --with-actions"
    example = "sofdata ingest bridge_dataset/1.0.0 DEST --set sequences.fps=5"
    formats = (FORMAT,)
    settings = ("fps", "times")

    def configured(self, config: SequenceConfig) -> Rlds:
        """With the rate of the steps."""
        return Rlds(config)

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            name = tree.root.rsplit("/", 1)[-1]
            return f"a TFRecord file: {name}" if folders.RECORDS.fullmatch(name) else ""
        seen = [item.rel for item in itertools.islice(tree.walk(), LOOKED_AT)]
        seen = [rel for rel in seen if not is_hidden(rel)]
        found = folders.find_folders(seen)
        of_tfds = next((rel for rel in seen if is_of_tfds(rel, found)), "")
        if of_tfds:
            return f"TFDS: {of_tfds}"
        records = next((rel for rel in seen if folders.RECORDS.fullmatch(name_of(rel))), "")
        has_videos = any(suffix(rel) in VIDEO_SUFFIXES for rel in seen)
        return f"a TFRecord file: {records}" if records and not has_videos else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where features.json is missing or wrong, or no times are known."""
        return _list(tree, self.config, with_actions=False)

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        return _list(tree, self.config, with_actions=True, with_state=with_state)

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)


def _list(
    tree: Tree, config: SequenceConfig, with_actions: bool, with_state: bool = False
) -> Listing:
    if tree.is_file():
        raise ConfigError(
            f"{tree.name} is one shard of a dataset, and does not say what it holds: give the "
            f"folder in which it lies beside {FEATURES}"
        )
    require("google_crc32c", FORMAT, "reading TFRecord files")
    files = sort_files(tree)
    check_found(tree, files)
    wanted = list(_wanted(tree, files, config))
    _check_times(tree, wanted, config)
    if with_actions:
        wanted = [_with_actions(each, with_state) for each in wanted]
        _check_actions(tree, wanted, with_state)
    notes = notes_of(files, wanted)
    tally = Tally()
    looked = _looked(tree, files, wanted, notes)
    spec = None
    if with_actions:
        spec, looked = _spec_of(looked, tree)
    entries = itertools.chain(
        files.rejects,
        _entries(looked, spec, tally, files.ignored),
        told_last(tally, spec, notes),
    )
    return Listing.of(entries, files.ignored, notes, actions=spec, tables=files.tables)


# What of it is wanted


def _wanted(tree: Tree, found: Sorted, config: SequenceConfig) -> Iterator[Wanted]:
    """What is taken of each dataset; of one without pictures the shards are counted."""
    for folder, shards in sorted(found.shards.items()):
        builder = found.builders[folder]
        layout = layout_of(read_features(tree, builder.path(FEATURES)), config.times)
        if layout.cameras:
            yield Wanted(builder, layout, config)
        else:
            found.ignored[NO_PICTURES] += len(shards)


def _check_times(tree: Tree, wanted: list[Wanted], config: SequenceConfig) -> None:
    if not wanted:
        raise ConfigError(
            f"no {FEATURES} in {tree.name} tells of a list of pictures, such as "
            "steps/observation/image: Image features, or uint8 tensors of height x width x 3"
        )
    lacking = [each.builder.title for each in wanted if not each.layout.times]
    if config.times and lacking:
        raise ConfigError(
            f"sequences.times={config.times}: {lacking[0]} in {tree.name} has no such feature of "
            "one number a step; give its whole name, as steps/observation/timestamp"
        )
    if config.fps is None and len(lacking) == len(wanted):
        several = "; give each dataset for itself if their rates differ" if len(wanted) > 1 else ""
        raise ConfigError(
            f"the steps in {tree.name} do not say when they were: give their rate as its makers "
            f"state it, as by --set sequences.fps=5{several}"
        )


def _with_actions(wanted: Wanted, with_state: bool) -> Wanted:
    found = {}
    for group in dict.fromkeys(camera.group for camera in wanted.layout.cameras):
        actions = find_actions(wanted.layout, group)
        state = find_state(wanted.layout, group) if with_state and actions else None
        if actions and state:
            columns, names = actions.columns + state.columns, actions.names + state.names
            actions = replace(actions, columns=columns, names=names)
        if actions and (state or not with_state):
            found[group] = actions
    return replace(wanted, actions=found)


def _check_actions(tree: Tree, wanted: list[Wanted], with_state: bool) -> None:
    if any(each.actions for each in wanted):
        return
    if with_state and any(
        find_actions(each.layout, c.group) for each in wanted for c in each.layout.cameras
    ):
        raise ConfigError(
            f"no {FEATURES} in {tree.name} has observation/state of numbers beside the actions, "
            "which with_state wants: leave that out"
        )
    raise ConfigError(
        f"no {FEATURES} in {tree.name} has actions that are numbers ({', '.join(ACTIONS)}): leave "
        "out --with-actions to use the pictures alone"
    )


# What the shards hold

_Looked = tuple[Wanted, Shard, list[Found], Reason | None]


def _looked(tree: Tree, files: Sorted, wanted: list[Wanted], notes: list[str]) -> Iterator[_Looked]:
    """Every shard with what it holds, in order."""
    from sofdata.corpora.sequences.looking import NotRead, looks

    for each in wanted:
        shards = sorted(files.shards[each.builder.folder], key=lambda shard: shard.item.rel)
        places = [shard.item.place for shard in shards]
        other = []
        for shard, look in zip(
            shards, looks(tree, places, FORMAT, each.layout.options), strict=True
        ):
            found: list[Found] = []
            wrong: Reason | None = None
            if isinstance(look, NotRead):
                wrong = (look.reason, look.detail)
            else:
                try:
                    found, wrong = found_in(look)
                except ValueError as error:
                    wrong = ("damaged", str(error))
            if not wrong and shard.records not in (None, len(found)):
                other.append(f"{shard.item.rel} has {len(found)}, not {shard.records}")
            yield each, shard, found, wrong
        if other:
            notes.append(counted(other, f"shard has not as many records as {folders.INFO} says"))


def _entries(
    looked: Iterable[_Looked], spec: ActionSpec | None, tally: Tally, ignored: Ignored
) -> Iterator[Entry]:
    for wanted, shard, records, wrong in looked:
        any_entry = False
        for number, found in enumerate(records):
            for entry in entries_of(replace(wanted, spec=spec), shard, number, found, tally):
                any_entry = True
                yield entry
        if wrong:
            id = f"{shard.item.rel}/rest" if records else shard.item.rel
            told = f"of {shard.records} records" if shard.records is not None else "records"
            detail = f"{wrong[1]}; {len(records)} {told} come before that" if records else wrong[1]
            yield wrong_entry(shard.item, id, (wrong[0], detail))
        elif not any_entry:
            ignored[NO_EPISODES] += 1


def _spec_of(looked: Iterator[_Looked], tree: Tree) -> tuple[ActionSpec, Iterator[_Looked]]:
    """The actions of the first episode that has any: all others have to be alike."""
    before: list[_Looked] = []
    for each in looked:
        before.append(each)
        wanted, _, records, _ = each
        for found, (group, actions) in itertools.product(records, wanted.actions.items()):
            rate = rate_of(wanted, found, group)
            if rate is not None and group in found.steps and found.steps[group].count:
                return ActionSpec(actions.names, float(f"{rate:.4g}")), itertools.chain(
                    before, looked
                )
    raise ConfigError(f"no episode in {tree.name} has actions and a rate: see it without actions")
