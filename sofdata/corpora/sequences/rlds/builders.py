"""The folders of datasets: DATASET/VERSION/ or DATASET/CONFIG/VERSION/, and their shards.

TFDS writes beside each other (core/dataset_info.py, core/naming.py)

    features.json                            the features of a record, see `features`
    dataset_info.json                        name, version, and of each split the number of records
                                             in every shard; and the template of the files' names
    DATASET-SPLIT.tfrecord-00000-of-01024    records; a template may put them elsewhere

and, while it is at work, a folder incomplete.XXXXXX_VERSION. Of several versions of a dataset the
newest counts, as it does to TFDS.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.corpora.sequences.rlds.features import FEATURES
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

INFO = "dataset_info.json"
INCOMPLETE = "incomplete."
RECORDS = re.compile(r".*\.tfrecords?([-_.]\d[\w-]*)?(\.(gz|gzip|zlib|zst|bz2|xz))?", re.IGNORECASE)
# What TFDS can write besides (core/file_adapters.py), by what the names hold.
OTHER_FORMATS = re.compile(r".*\.(array_record|riegeli|parquet)(-\d{5,}-of-\d{5,})?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_DEFAULT = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_VARIABLES = {  # of templates: `naming._VAR_REGEX_MAPPING`; each may come once, as there
    "DATASET": r"(?P<dataset>[A-Za-z]\w*)",
    "SPLIT": r"(?P<split>[\w-]+)",
    "FILEFORMAT": r"(?P<format>\w{1,20})",
    "SHARD_INDEX": r"(?P<index>\d{5,9})",
    "NUM_SHARDS": r"(?P<of>\d{5,9})",
    "SHARD_X_OF_Y": r"(?P<index>\d{5,9})-of-(?P<of>\d{5,9})",
}


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of records. split, index, of: by its name, "" and None where that does not tell.

    records: how many dataset_info.json says it has, None where that does not tell.
    """

    item: Item
    split: str
    index: int | None
    of: int | None
    records: int | None


@dataclass(frozen=True, slots=True)
class Builder:
    """A dataset of one config and version, as a folder.

    patterns: of the names of its shards, below the folder. lengths: records of each shard by split.
    """

    folder: str
    name: str
    config: str
    version: str
    patterns: tuple[re.Pattern[str], ...]
    lengths: Mapping[str, list[int]]

    @property
    def title(self) -> str:
        """For a person."""
        return self.folder or self.name or "the dataset"

    def path(self, name: str) -> str:
        """A file of it, in the source."""
        return f"{self.folder}/{name}" if self.folder else name

    def holds(self, rel: str) -> bool:
        """Whether a file of its folder is a shard by its name."""
        name = rel.rpartition("/")[2]
        return bool(RECORDS.fullmatch(name) or self._told(rel))

    def shard(self, item: Item) -> Shard:
        """A file as a shard."""
        told = self._told(item.rel) or self._told(item.rel.rpartition("/")[2])
        only = next(iter(self.lengths)) if len(self.lengths) == 1 else ""
        split = told.get("split") or only
        lengths = self.lengths.get(split, [])
        index = int(told["index"]) if told.get("index") else None
        records = lengths[index] if index is not None and index < len(lengths) else None
        of = int(told["of"]) if told.get("of") else len(lengths) or None
        return Shard(item, split, index, of, records)

    def _told(self, rel: str) -> dict[str, Any]:
        """What a name tells; nothing where it is not that of a shard."""
        inside = rel.removeprefix(f"{self.folder}/") if self.folder else rel
        found = (each.fullmatch(inside) for each in self.patterns)
        match = next((each for each in found if each), None)
        return {"split": "", **match.groupdict()} if match else {}


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of datasets in a source. older: with a version that a newer one replaces."""

    used: tuple[str, ...]
    older: Mapping[str, str]

    def of(self, rel: str) -> str | None:
        """The folder of the dataset that a file belongs to, the innermost; None for no such."""
        parts = rel.split("/")[:-1]
        heads = ("/".join(parts[:number]) for number in range(len(parts), -1, -1))
        return next((head for head in heads if head in self.used or head in self.older), None)


def find_folders(rels: Iterable[str]) -> Folders:
    """The folders that have a features.json, by all the paths of a source."""
    found = [rel.rpartition("/")[0] for rel in rels if rel.rpartition("/")[2] == FEATURES]
    versions: dict[str, list[str]] = defaultdict(list)
    for folder in found:
        parent, _, name = folder.rpartition("/")
        versions[parent if _VERSION.fullmatch(name) else folder].append(folder)
    older: dict[str, str] = {}
    for folders in versions.values():
        *old, newest = sorted(folders, key=_version_key)
        older |= dict.fromkeys(old, newest)
    return Folders(tuple(sorted(set(found) - older.keys())), older)


def read_builder(tree: Tree, folder: str, has_info: bool) -> Builder:
    """What a dataset says of itself. Raises `ConfigError`."""
    rel = f"{folder}/{INFO}" if folder else INFO
    info = jsonfile.read_json(tree, rel, dict) if has_info else {}
    splits = [split for split in _list(info.get("splits")) if isinstance(split, dict)]
    templates = [str(split.get("filepathTemplate") or _DEFAULT) for split in splits]
    patterns = map(_pattern, dict.fromkeys([*templates, _DEFAULT]))
    return Builder(
        folder=folder,
        name=jsonfile.clean(str(info.get("name") or "")),
        config=jsonfile.clean(str(info.get("configName") or "")),
        version=jsonfile.clean(str(info.get("version") or "") or folder.rpartition("/")[2]),
        patterns=tuple(pattern for pattern in patterns if pattern),
        lengths={str(split.get("name")): _lengths(split) for split in splits},
    )


def _pattern(template: str) -> re.Pattern[str] | None:
    """A template of names as a pattern; None for one that TFDS itself could not read names by."""
    template = template.partition("%")[0]  # what follows tells how the file is opened
    pieces = re.split(r"\{(\w+)\}", template)
    texts = [
        _VARIABLES.get(piece, "") if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
    ]
    if not all(texts[1::2]):
        return None
    try:
        return re.compile("".join(texts))
    except re.error:  # a variable comes twice
        return None


def _lengths(split: Mapping[str, Any]) -> list[int]:
    """Records of each shard of a split; none where they are not told."""
    try:
        return [int(each) for each in _list(split.get("shardLengths"))]
    except (TypeError, ValueError, OverflowError):
        return []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _version_key(folder: str) -> tuple[int, ...]:
    name = folder.rpartition("/")[2]
    return tuple(map(int, name.split("."))) if _VERSION.fullmatch(name) else ()
