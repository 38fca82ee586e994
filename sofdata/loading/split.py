"""Which windows are learned from and which are kept for measuring, by whole files.

A file, or all cameras of an episode, all clips of a recording, are on one side
(`sofdata.loading.planned.files_of`): what is measured on was never seen. `Sides` say where each is,
and are stored with what was trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog
from sofdata.loading.files import Files
from sofdata.loading.planned import named
from sofdata.loading.where import columns_of, select
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest

Side = Literal["train", "held_out"]
SIDES: tuple[Side, ...] = ("train", "held_out")
SHOWN = 3
FORMAT = 1
TRAIN_AGAIN = (
    "Train into another folder, or from the start (--restart); a split.json may be given as a list "
    "of what to hold out"
)
RESTORE = "restore it, or train from the start (--restart)"
_FIRST_BYTES = 8  # of a hash, which hardly ever leave open which of two is lower


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is to be kept from training.

    share: so many of the files, the nearest number there is, by a hash of their names.
    listed: a file that lists what, instead: see `read_list`.
    where: a filter that holds for what, instead: "labels.split == 'validation'".
    """

    share: float = 0.1
    listed: str = ""
    where: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(
                f"split is ('train', share) or ('held_out', share) with a share between 0 and 1, "
                f"got {self.share}"
            )
        if self.listed and self.where:
            raise ConfigError(
                f"what is held out is said twice, by the list {self.listed} and by the filter "
                f"{self.where!r}: give one of them"
            )

    def columns(self, known: Sequence[str]) -> list[str]:
        """The columns of the index that this needs."""
        return columns_of(self.where, known) if self.where else []

    def __str__(self) -> str:
        if self.listed:
            return f"what {Tree(self.listed).name} lists"
        return f"{self.where!r}" if self.where else f"{self.share:g} of the files, by their hash"


@dataclass(frozen=True, eq=False)
class Sides:
    """Where each file of some datasets is. train, held_out: names of files, sorted.

    how: in which way that was decided, in words.
    """

    how: str
    train: Sequence[str] = field(repr=False)
    held_out: Sequence[str] = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """Of both sides, whatever decided them."""
        return json_digest([list(self.train), list(self.held_out)])

    def on(
        self, side: Side, files: Files, name: str, advice: str = TRAIN_AGAIN
    ) -> NDArray[np.bool_]:
        """Which of the windows whose files these are is on a side, bool [windows].

        Raises `ConfigError` where files are on none: they came after the split was made.
        name: of the datasets, and advice: what to do, for that message.
        """
        learned, kept = files.names.among(self.train), files.names.among(self.held_out)
        nowhere = files.names.values.filter(~(learned | kept))
        if len(nowhere):
            raise ConfigError(
                f"{len(nowhere)} files of {name} are on no side of the split that was made before "
                f"({_few(nowhere.to_pylist())}): the dataset has changed since. {advice}"
            )
        return (learned if side == "train" else kept)[files.file]

    def to_json(self, **more: Any) -> bytes:
        """As it is stored. more: what else is to be said beside it."""
        value = {"format": FORMAT, "how": self.how, "sha256": self.sha256, **more}
        value |= {"held_out": list(self.held_out), "train": list(self.train)}
        return (json.dumps(value, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, name: str, advice: str = RESTORE) -> Sides:
        """What was stored. Raises `ConfigError` where it is damaged or was changed by hand."""
        try:
            value = json.loads(data)
            sides = cls(str(value["how"]), tuple(value["train"]), tuple(value["held_out"]))
            whole = sides.sha256 == value["sha256"]
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise ConfigError(
                f"{name} is damaged or was changed by hand, and says which files a training has "
                f"seen: {advice}"
            )
        return sides


def divide(catalog: Catalog, files: Files, how: HeldOut) -> Sides:
    """Decide where each file of a catalog is.

    All its windows count, whatever a training selects of them: stages that select other windows
    hold out the same files.

    Raises `ConfigError` for a list or a filter that names what is not there, or that divides a
    file, and where a side would be empty.
    """
    if how.listed:
        kept = divided(catalog, files, _in_list(catalog, files, how.listed), str(how))
    elif how.where:
        columns = how.columns(catalog.column_names)
        chosen = select(catalog.tables(columns), how.where)
        kept = divided(catalog, files, chosen, str(how))
    else:
        kept = held_out(files.names, how.share)
    sides = Sides(str(how), files.names.those(~kept), files.names.those(kept))
    if not sides.held_out or not sides.train:
        empty = "held_out" if sides.train else "train"
        raise ConfigError(
            f"no window of {catalog.name} is left on the side '{empty}', with {how} held out: "
            "files are never divided, so take another share, or more videos"
        )
    return sides


def held_out(files: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Which files are kept from training, the nearest number to a share of them: bool [files].

    Those whose names have the lowest hashes: a larger share holds out what a smaller one does. Of
    two files and more, at least one is on each side.
    """
    number = max(1, min(int(share * len(files) + 0.5), len(files) - 1))
    kept = np.zeros(len(files), np.bool_)
    if len(files) > 1:
        kept[by_hash(files)[:number]] = True
    return kept


def read_list(path: str) -> list[str]:
    """The names in a list: a line each, or a JSON list, or the held-out side of a `split.json`.

    Raises `ConfigError` where there is no such file, or nothing in it.
    """
    folder, _, name = path.rpartition("/")
    try:
        data = Tree(folder or ("/" if path.startswith("/") else ".")).read(name)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"the list of what to hold out, {path}, cannot be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path} is no list of what to hold out: it is not text in UTF-8"
        ) from None
    names = _names(text, path)
    if not names:
        raise ConfigError(f"{path} lists nothing to hold out")
    return names


def _names(text: str, path: str) -> list[str]:
    if not path.endswith(".json"):
        lines = (line.removesuffix("\r") for line in text.split("\n"))
        return list(dict.fromkeys(line for line in lines if line.strip()))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no JSON: {error}") from None
    if isinstance(found, dict):
        found = list(Sides.from_json(text.encode(), path).held_out)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{path} should hold a list of texts, the names of what to hold out")
    return list(dict.fromkeys(found))


def _in_list(catalog: Catalog, files: Files, path: str) -> NDArray[np.bool_]:
    """Which windows are of a video, a file or a recording that a list names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = read_list(path)
    known, videos = {name for name in names if name in files.names}, set[str]()
    for tree in catalog.trees:
        called = named(tree, names)
        known |= called.keys()
        videos |= {id for each in called.values() for id in each}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"{len(unknown)} of the {len(names)} names in {path} are no video and no file of "
            f"{catalog.name}: {_few(unknown)}"
        )
    by_video = pc.is_in(files.ids, value_set=pa.array(sorted(videos), pa.string())).to_numpy()
    found: NDArray[np.bool_] = by_video[files.video]
    found |= files.names.among(names)[files.file]
    return found


def divided(
    catalog: Catalog, files: Files, chosen: NDArray[np.bool_], how: str
) -> NDArray[np.bool_]:
    """The files of which all windows are chosen, bool [files].

    Raises `ConfigError` where it is some of them.
    """
    kept = files.with_any(chosen)
    both = np.flatnonzero(kept & files.with_any(~chosen))
    if len(both):
        videos = files.ids.take(np.unique(files.video[files.file == both[0]])).to_pylist()
        raise ConfigError(
            f"{how} divides {len(both)} files of {catalog.name}, such as "
            f"'{files.names[int(both[0])]}', of which "
            f"there are the videos {_few(videos)}: what is held out must be all of a file, and all "
            "cameras or clips of what it shows"
        )
    return kept


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def by_hash(names: Sequence[str]) -> NDArray[np.int64]:
    """Places of names in the order of their hashes, evenly spread and the same on every machine."""
    firsts = np.empty(len(names), np.uint64)
    for place, name in enumerate(names):
        firsts[place] = int.from_bytes(_hash(name)[:_FIRST_BYTES], "big")
    order = np.argsort(firsts, kind="stable")
    if (np.diff(firsts[order]) == 0).any():
        digests = [_hash(name) for name in names]
        order = np.array(sorted(range(len(names)), key=digests.__getitem__))
    return order


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
