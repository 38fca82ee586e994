"""The corpus of TFDS datasets: RLDS episodes, read without TensorFlow.

Every camera of every episode is a video. Pictures of the whole listing stay unread: of a shard only
lengths, texts, flags and times are.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sofdata.corpora.base import (
    Ignored,
    Listing,
    count_ignored,
    counted,
    is_hidden,
    suffix,
    unread_entry,
)
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds import builders as folders
from sofdata.corpora.sequences.rlds.actions import ACTIONS, find_actions, find_state, read_track
from sofdata.corpora.sequences.rlds.builders import Builder, Shard
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
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack

LOOKED_AT = 2000  # items of a source, to tell what it is
NO_EPISODES, OLDER, UNFINISHED = "shard without episodes", "older version", "unfinished dataset"
NO_PICTURES, NO_FEATURES = "dataset without pictures", "no_features_file"
_TABLES = (".json", ".txt", ".md", ".html", ".csv")
_CONVERT = "tfds convert_format --out_file_format=tfrecord"


@dataclass(frozen=True)
class Rlds:
    """Every camera of every episode is a video; its text is its instruction."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "rlds"
    summary = "TFDS folders of RLDS episodes (Open X-Embodiment, Bridge, DROID); --with-actions"
    example = "sofdata ingest bridge_dataset/1.0.0 DEST --set sequences.fps=5"

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
        of_tfds = next((rel for rel in seen if _is_of_tfds(rel, found)), "")
        if of_tfds:
            return f"TFDS: {of_tfds}"
        records = next((rel for rel in seen if folders.RECORDS.fullmatch(_name(rel))), "")
        has_videos = any(suffix(rel) in VIDEO_SUFFIXES for rel in seen)
        return f"a TFRecord file: {records}" if records and not has_videos else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where features.json is missing or wrong, or no times are known."""
        return _list(tree, self.config, with_actions=False)

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        return _list(tree, self.config, with_actions=True, with_state=with_state)

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)


@dataclass(slots=True)
class _Sorted:
    """The files of a source by what they are. shards: by folder. rejects: known before any look."""

    builders: dict[str, Builder] = field(default_factory=dict)
    shards: dict[str, list[Shard]] = field(default_factory=lambda: defaultdict(list))
    tables: list[str] = field(default_factory=list)
    rejects: list[Entry] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    orphans: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    older: dict[str, str] = field(default_factory=dict)


def _list(
    tree: Tree, config: SequenceConfig, with_actions: bool, with_state: bool = False
) -> Listing:
    if tree.is_file():
        raise ConfigError(
            f"{tree.name} is one shard of a dataset, and does not say what it holds: give the "
            f"folder in which it lies beside {FEATURES}"
        )
    require("google_crc32c", FORMAT, "reading TFRecord files")
    if config.times:
        raise ConfigError("sequences.times is for folders of pictures; here give sequences.fps")
    sorted_ = _sort(tree)
    _check_found(tree, sorted_)
    wanted = list(_wanted(tree, sorted_, config))
    _check_times(tree, wanted, config)
    if with_actions:
        wanted = [_with_actions(each, with_state) for each in wanted]
        _check_actions(tree, wanted, with_state)
    notes = _notes(sorted_, wanted)
    tally = Tally()
    looked = _looked(tree, sorted_, wanted, notes)
    spec = None
    if with_actions:
        spec, looked = _spec_of(looked, tree)
    entries = itertools.chain(
        sorted_.rejects, _entries(looked, spec, tally, sorted_.ignored), _told(tally, spec, notes)
    )
    return Listing.of(entries, sorted_.ignored, notes, actions=spec, tables=sorted_.tables)


# What lies in the source


def _sort(tree: Tree) -> _Sorted:
    found = _Sorted()
    items: list[Item] = []
    for item in tree.walk():
        unfinished = any(each.startswith(folders.INCOMPLETE) for each in item.rel.split("/")[:-1])
        if unfinished and not is_hidden(item.rel):
            found.ignored[UNFINISHED] += 1
        elif is_hidden(item.rel):
            count_ignored(found.ignored, item)
        else:
            items.append(item)
    rels = {item.rel for item in items if not item.problem}
    places = folders.find_folders(rels)
    found.older = dict(places.older)
    for folder in places.used:
        has_info = f"{folder}/{folders.INFO}".lstrip("/") in rels
        found.builders[folder] = folders.read_builder(tree, folder, has_info)
    for item in items:
        _put(item, places, found)
    return found


def _put(item: Item, places: folders.Folders, found: _Sorted) -> None:
    """Put a file where it belongs."""
    folder = places.of(item.rel)
    builder = found.builders.get(folder) if folder is not None else None
    name = _name(item.rel)
    if folder is not None and builder is None:
        found.ignored[OLDER] += 1
    elif builder.holds(item.rel) if builder else folders.RECORDS.fullmatch(name):
        if item.problem:
            found.rejects.append(unread_entry(item))
        elif builder:
            found.shards[builder.folder].append(builder.shard(item))
        else:
            found.orphans.append(item.rel)
            detail = f"no {FEATURES} lies beside it or above, which tells what it holds"
            found.rejects.append(_reject(item, NO_FEATURES, detail))
    elif builder and folders.OTHER_FORMATS.fullmatch(name):
        found.others.append(item.rel)
        detail = f"TFDS has other formats of files, which are not read: {_CONVERT} makes TFRecord"
        found.rejects.append(_reject(item, "other_format", detail))
    elif builder and not item.problem and suffix(item.rel) in _TABLES:
        found.tables.append(item.rel)
    else:
        count_ignored(found.ignored, item)


def _reject(item: Item, problem: str, detail: str) -> Entry:
    return wrong_entry(Shard(item, "", None, None, None), item.rel, (problem, detail))


def _check_found(tree: Tree, found: _Sorted) -> None:
    """Raise `ConfigError` where no shard can be read."""
    if any(found.shards.values()):
        return
    if found.orphans:
        raise ConfigError(
            f"{found.orphans[0]} in {tree.name} holds records, and no {FEATURES} lies beside it, in"
            " which TFDS tells what they are: fetch it from where the dataset came from"
        )
    if found.others:
        raise ConfigError(
            f"{found.others[0]} in {tree.name} is a file of TFDS, but no TFRecord: convert the "
            f"dataset, as by {_CONVERT}"
        )
    where = f"beside {FEATURES}" if found.builders else "in it"
    raise ConfigError(f"{tree.name} holds no shard {where}, DATASET-SPLIT.tfrecord-00000-of-00001")


def _is_of_tfds(rel: str, found: folders.Folders) -> bool:
    """Whether a file can only be that of a dataset beside its features.json."""
    folder = found.of(rel)
    name = _name(rel)
    return folder is not None and (name == folders.INFO or bool(folders.RECORDS.fullmatch(name)))


def _name(rel: str) -> str:
    return rel.rpartition("/")[2]


# What of it is wanted


def _wanted(tree: Tree, found: _Sorted, config: SequenceConfig) -> Iterator[Wanted]:
    """What is taken of each dataset; of one without pictures the shards are counted."""
    for folder, shards in sorted(found.shards.items()):
        builder = found.builders[folder]
        layout = layout_of(read_features(tree, builder.path(FEATURES)))
        if layout.cameras:
            yield Wanted(builder, layout, config.fps)
        else:
            found.ignored[NO_PICTURES] += len(shards)


def _check_times(tree: Tree, wanted: list[Wanted], config: SequenceConfig) -> None:
    if not wanted:
        raise ConfigError(
            f"no {FEATURES} in {tree.name} tells of a list of pictures, such as "
            "steps/observation/image: Image features, or uint8 tensors of height x width x 3"
        )
    if config.fps is None and not any(each.layout.times for each in wanted):
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


def _looked(
    tree: Tree, sorted_: _Sorted, wanted: list[Wanted], notes: list[str]
) -> Iterator[_Looked]:
    """Every shard with what it holds, in order."""
    from sofdata.corpora.sequences.looking import NotRead, looks

    for each in wanted:
        shards = sorted(sorted_.shards[each.builder.folder], key=lambda shard: shard.item.rel)
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
            yield wrong_entry(shard, id, (wrong[0], detail))
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


# What is told


def _notes(found: _Sorted, wanted: list[Wanted]) -> list[str]:
    notes = []
    if found.older:
        pairs = [f"{old or '.'} (used: {new})" for old, new in sorted(found.older.items())]
        notes.append(counted(pairs, "version of a dataset that a newer one replaces; left out"))
    if found.ignored[UNFINISHED]:
        notes.append(f"{found.ignored[UNFINISHED]} files lie in folders that TFDS has not finished")
    for each in wanted:
        title = each.builder.title
        notes += _missing(each.builder, found.shards[each.builder.folder])
        for why, names in each.layout.left_out.items():
            notes.append(f"{title}: {counted(names, f'feature left out, {why}')}")
        for actions in each.actions.values():
            joined = ", ".join(column.short_name for column in actions.columns)
            notes.append(f"{title}: actions are {joined}, without that of the last step")
            if actions.left_out:
                notes.append(f"{title}: left out of them: {', '.join(actions.left_out)}")
    return notes


def _missing(builder: Builder, shards: list[Shard]) -> Iterator[str]:
    """On shards that should be there by the names of the others, or by dataset_info.json."""
    by_split: dict[tuple[str, int | None], int] = defaultdict(int)
    for shard in shards:
        by_split[shard.split, shard.of] += 1
    for (split, of), count in sorted(by_split.items(), key=str):
        if of and count < of:
            yield f"{builder.title}: {count} of the {of} shards of '{split}' are here"
    here = {split for split, _ in by_split}
    gone = [split for split, lengths in builder.lengths.items() if lengths and split not in here]
    if gone:
        yield f"{builder.title}: no shard is here of {', '.join(gone)}"


def _told(tally: Tally, spec: ActionSpec | None, notes: list[str]) -> Iterator[Entry]:
    """No entry; adds what is known once all of them were made to the notes."""
    for name, rates in tally.timed.items():
        usual = sorted(rates)[len(rates) // 2]
        notes.append(f"times are those of {name}, in seconds: {usual:.4g} steps a second as a rule")
    if tally.blank:
        notes.append(counted(tally.blank, "camera shows nothing, as has_CAMERA says; left out"))
    if tally.several:
        notes.append(
            counted(tally.several, "record holds several episodes by its flags; cut apart")
        )
    if spec and tally.unmarked:
        notes.append(
            f"{tally.unmarked} x camera of an episode whose last step is not marked by is_last: "
            "its last action is kept"
        )
    yield from ()
