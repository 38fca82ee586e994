"""The files of a source, by what they are to a corpus of TFDS datasets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, count_ignored, is_hidden, suffix, unread_entry
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds import builders
from sofdata.corpora.sequences.rlds.builders import Builder, Folders, Shard
from sofdata.corpora.sequences.rlds.episodes import wrong_entry
from sofdata.corpora.sequences.rlds.features import FEATURES
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

OLDER, UNFINISHED = "older version", "unfinished dataset"
_TABLES = (".json", ".txt", ".md", ".html", ".csv")
_CONVERT = "tfds convert_format --out_file_format=tfrecord"


@dataclass(slots=True)
class Sorted:
    """The files of a source by what they are. builders, shards: by folder.

    rejects: known before any look. orphans: shards that no features.json tells of. others: of
    another format. older: folders of versions, with the newer one that is used in their place.
    """

    builders: dict[str, Builder] = field(default_factory=dict)
    shards: dict[str, list[Shard]] = field(default_factory=lambda: defaultdict(list))
    tables: list[str] = field(default_factory=list)
    rejects: list[Entry] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    orphans: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    older: dict[str, str] = field(default_factory=dict)


def sort_files(tree: Tree) -> Sorted:
    """Put every file of a source where it belongs. Raises `ConfigError` for a wrong table."""
    found = Sorted()
    items: list[Item] = []
    for item in tree.walk():
        unfinished = any(each.startswith(builders.INCOMPLETE) for each in item.rel.split("/")[:-1])
        if unfinished and not is_hidden(item.rel):
            found.ignored[UNFINISHED] += 1
        elif is_hidden(item.rel):
            count_ignored(found.ignored, item)
        else:
            items.append(item)
    rels = {item.rel for item in items if not item.problem}
    places = builders.find_folders(rels)
    found.older = dict(places.older)
    for folder in places.used:
        has_info = f"{folder}/{builders.INFO}".lstrip("/") in rels
        found.builders[folder] = builders.read_builder(tree, folder, has_info)
    for item in items:
        _put(item, places, found)
    return found


def _put(item: Item, places: Folders, found: Sorted) -> None:
    """Put a file where it belongs."""
    folder = places.of(item.rel)
    builder = found.builders.get(folder) if folder is not None else None
    name = name_of(item.rel)
    if folder is not None and builder is None:
        found.ignored[OLDER] += 1
    elif builder and builders.OTHER_FORMATS.fullmatch(name):
        found.others.append(item.rel)
        detail = f"TFDS has other formats of files, which are not read: {_CONVERT} makes TFRecord"
        found.rejects.append(wrong_entry(item, item.rel, ("other_format", detail)))
    elif builder.holds(item.rel) if builder else builders.RECORDS.fullmatch(name):
        if item.problem:
            found.rejects.append(unread_entry(item))
        elif builder:
            found.shards[builder.folder].append(builder.shard(item))
        else:
            found.orphans.append(item.rel)
            detail = f"no {FEATURES} lies beside it or above, which tells what it holds"
            found.rejects.append(wrong_entry(item, item.rel, ("no_features_file", detail)))
    elif builder and not item.problem and suffix(item.rel) in _TABLES:
        found.tables.append(item.rel)
    else:
        count_ignored(found.ignored, item)


def check_found(tree: Tree, found: Sorted) -> None:
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
    lacking = "shard beside it" if found.builders else f"{FEATURES} and no shard"
    older = next(iter(found.older), "")
    instead = f"; give an older version itself, as {older}" if older else ""
    raise ConfigError(
        f"{tree.name} is no dataset of TFDS, or not all of it: there is no {lacking}, such as "
        f"DATASET-SPLIT.tfrecord-00000-of-00001{instead}"
    )


def is_of_tfds(rel: str, found: Folders) -> bool:
    """Whether a file can only be that of a dataset beside its features.json."""
    folder = found.of(rel)
    name = name_of(rel)
    return folder is not None and (name == builders.INFO or bool(builders.RECORDS.fullmatch(name)))


def name_of(rel: str) -> str:
    """The name of a file without its folders."""
    return rel.rpartition("/")[2]
