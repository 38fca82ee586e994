"""What every corpus adapter gives: a `Listing` of the videos of a source, none of them opened.

Adding a corpus is one module with a class of this shape, and one line in `registry.CORPORA`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entries import Entries, EntryWriter
from sofdata.corpora.entry import Entry
from sofdata.storage.tree import Tree
from sofdata.storage.walk import CLOSED, DANGLING_LINK, LINKED_FOLDER, UNREADABLE, Item
from sofdata.types import ActionRef, ActionSpec, ActionTrack

HIDDEN = "hidden"
NO_SUFFIX = "no suffix"
_OTHER = """
    .aac .avif .bmp .csv .flac .gif .gz .h5 .hdf5 .heic .htm .html .ini .jpeg .jpg .json .jsonl
    .lock .log .m4a .md .mka .mp3 .npy .npz .oga .opus .parquet .pdf .pkl .png .pt .pth .py .rar
    .safetensors .sh .srt .svg .tar .tfrecord .tgz .tiff .toml .tsv .txt .vtt .wav .webp .wma
    .xlsx .xml .yaml .yml .zip
"""
# Known not to be video, so never opened: a corpus may hold millions of these, and each look at a
# file in an object store is a request. Any other suffix, ".ts" say, is decided by the content.
OTHER_SUFFIXES = frozenset(_OTHER.split())
FOLDER_TWICE = "folder that is here twice"


MAX_PATHS = 256


class Ignored(Counter[str]):
    """How many files are no input, by suffix or by why; see `count_ignored`.

    unread: what may be or hold an input for all that can be seen, which makes it one. twice: paths
    of folders whose files are used by another path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unread: list[Item] = []
        self.twice: list[Item] = []


@dataclass(frozen=True, slots=True)
class Listing:
    """All that was found in a source, so that nothing in it is passed over in silence.

    Every file of the source is the file of an entry, or one of `tables`, or counted in `ignored`;
    every row of a table of labels gives an entry, or says something of one, or is counted in
    `unused`.

    entries: the videos, each id once.
    ignored: number of files that are no input, by suffix, or by why where that says more.
    notes: sentences about the corpus that its user should see.
    actions: what the actions of its demonstrations are, None unless they were asked for.
    tables: files that belong to the corpus and hold no video: labels, metadata, rows of data.
    unused: number of rows of those tables that concern no file here, by what they are.
    linked: paths of folders whose files are used by another path, and that path.
    """

    entries: Sequence[Entry]
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    actions: ActionSpec | None = None
    tables: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    linked: tuple[tuple[str, str], ...] = ()

    def paths_to(self, uri: str) -> Iterator[str]:
        """The uri of a file, and other paths by which links in the source lead to it.

        Through each link once, and `MAX_PATHS` at most: where folders link to each other there may
        be millions.
        """
        paths: dict[str, frozenset[str]] = {uri: frozenset()}  # and the links in each
        waiting = [uri] if self.linked and "://" not in uri and not uri.startswith("/") else []
        for path in waiting:
            for rel, target in self.linked:
                inside = f"{target}/" if target else ""
                other = f"{rel}/{path[len(inside) :]}"
                known = rel in paths[path] or other in paths or len(paths) >= MAX_PATHS
                if path.startswith(inside) and not known:
                    paths[other] = paths[path] | {rel}
                    waiting.append(other)
        yield from paths

    @classmethod
    def of(
        cls,
        entries: Iterable[Entry],
        ignored: Mapping[str, int],
        notes: Iterable[str] = (),
        *,
        actions: ActionSpec | None = None,
        tables: Iterable[str] = (),
        unused: Mapping[str, int] | None = None,
    ) -> Listing:
        """Reject all entries of an id but the first, under ids of their own; and endless texts.

        entries: taken one by one; what else is given may grow meanwhile.
        ignored: where it is `Ignored`, what could not be read of the source becomes entries, too.
        """
        unread = ignored.unread if isinstance(ignored, Ignored) else ()
        twice = ignored.twice if isinstance(ignored, Ignored) else []
        listed = Entries.of(entries)
        packed, duplicates = _once(listed + Entries.of(map(unread_entry, unread)))
        extra = [counted(duplicates, "duplicate id; the first is kept")] if duplicates else []
        if twice:
            what = "folder is here twice by links; its files are used once"
            extra.append(counted([item.rel for item in twice], what))
        return cls(
            entries=packed,
            ignored=_sorted(ignored),
            notes=(*notes, *extra),
            actions=actions,
            tables=tuple(sorted(set(tables))),
            unused=_sorted(unused or {}),
            linked=tuple((item.rel, item.target) for item in twice),
        )


class Corpus(Protocol):
    """A kind of source: how to recognise it and how to list its videos."""

    @property
    def name(self) -> str:
        """The name that `--corpus` takes."""

    @property
    def summary(self) -> str:
        """One line on the layout that it reads."""

    @property
    def example(self) -> str:
        """A command that ingests one."""

    def detect(self, tree: Tree) -> str:
        """Why the source looks like this corpus, or "" where it does not. Reads little."""

    def listing(self, tree: Tree) -> Listing:
        """List the source. Raises `ConfigError` where its layout or a label file is wrong."""


@runtime_checkable
class DemonstrationCorpus(Corpus, Protocol):
    """A corpus that holds actions beside its videos, and gives them only when asked for."""

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        """List the source as `listing` does, with `actions` of the listing and of its entries.

        with_state: let the robot's own state follow the numbers of each action, under names that
            begin as `sofdata.types.STATE_NAME`.

        Raises `ConfigError` where the source holds no actions, or none that can be stored, and no
        such state where it is asked for.
        """

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        """The actions of one demonstration. Called in the worker; memory is that of one of them.

        Raises `ActionError` where they cannot be read or do not fit `spec` and `ref`.
        """


@runtime_checkable
class SequenceCorpus(Corpus, Protocol):
    """A corpus of pictures that are in no video file, whose times the user may have to state."""

    @property
    def settings(self) -> tuple[str, ...]:
        """What it heeds of `SequenceConfig`, beside `turn` and `channels`, which hold for all."""

    def configured(self, config: SequenceConfig) -> SequenceCorpus:
        """The same with what the user says of its pictures."""


@runtime_checkable
class FormatCorpus(Corpus, Protocol):
    """A corpus whose files are read by readers of sequences, which may need optional packages."""

    @property
    def formats(self) -> tuple[str, ...]:
        """Names in `sofdata.video.sequences.formats.FORMATS`."""


@runtime_checkable
class ActionFormatCorpus(Corpus, Protocol):
    """A corpus of videos, whose actions are read by readers of such formats."""

    @property
    def action_formats(self) -> tuple[str, ...]:
        """As `FormatCorpus.formats`."""


def _once(entries: Entries) -> tuple[Entries, list[str]]:
    """Entries of which each id is there once, and the ids that came again."""
    import pyarrow.compute as pc

    if pc.count_distinct(entries.table["id"]).as_py() == len(entries):
        return entries, []
    kept: dict[str, str] = {}
    duplicates: list[str] = []
    writer = EntryWriter()
    for entry in entries:
        if entry.id in kept:
            duplicates.append(entry.id)
            entry = _duplicate(entry, kept)
        kept[entry.id] = entry.uri
        writer.add(entry)
    return writer.finish(), duplicates


def _duplicate(entry: Entry, kept: Mapping[str, str]) -> Entry:
    """A later entry of an id that is taken, as a reject. kept: uris by id."""
    first, number = kept[entry.id], 2
    while (id := f"{entry.id} ({number})") in kept:
        number += 1
    detail = f"the id '{entry.id}' is that of {first} already"
    return replace(entry, id=id, span_s=None, actions=None, problem="duplicate_id", detail=detail)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in sorted(counts.items()) if number}


def suffix(rel: str) -> str:
    """The suffix of a path in lower case with its dot, or ""."""
    stem, dot, end = rel.rpartition(".")
    if not dot or "/" in end or not stem or stem.endswith("/"):
        return ""
    return f".{end.lower()}"


def is_hidden(rel: str) -> bool:
    """True for files such as .DS_Store and ._clip.mp4, and for all below a folder such as .git."""
    if not rel.startswith(".") and "/." not in rel:  # nearly all, of millions
        return False
    return any(part.startswith(".") and part not in {".", ".."} for part in rel.split("/"))


def count_ignored(ignored: Ignored, item: Item) -> None:
    """Count a file that is no part of the corpus under its suffix.

    What cannot be read and may be an input is kept as one: see `may_be_input`.
    """
    if is_hidden(item.rel):
        ignored[HIDDEN] += 1
    elif may_be_input(item):
        ignored.unread.append(item)
    elif item.problem == LINKED_FOLDER:
        ignored[FOLDER_TWICE] += 1
        ignored.twice.append(item)
    else:
        ignored[suffix(item.rel) or NO_SUFFIX] += 1


def may_be_input(item: Item) -> bool:
    """Whether an item that cannot be read may be an input, or a folder of them, in any layout.

    That is a folder that cannot be entered, a path that is too long, and a link to nothing or a
    closed file whose name is not that of another kind of file: a link to a folder on a disk that is
    not there looks so.
    """
    if is_hidden(item.rel):
        return False
    if item.problem in (DANGLING_LINK, UNREADABLE):
        return suffix(item.rel) not in OTHER_SUFFIXES
    return item.problem in CLOSED


def unread_entry(item: Item) -> Entry:
    """What cannot be read, as a reject under its path."""
    return Entry(item.rel, item.rel, item.size_bytes, problem=item.problem, detail=item.detail)


def names_in(tree: Tree, folder: str = "") -> list[str]:
    """The names in a folder; none where it cannot be entered; a walk reports that."""
    try:
        return tree.names(folder)
    except OSError:
        return []


def counted(ids: list[str], what: str) -> str:
    """A note that counts ids and shows the first few: '4 x duplicate id: 1, 7, 9, ...'."""
    shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} x {what}: {shown}"
