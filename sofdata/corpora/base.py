"""What every corpus adapter gives: a `Listing` of the videos of a source, none of them opened.

Adding a corpus is one module with a class of this shape, and one line in `registry.CORPORA`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from sofdata.storage import Tree
from sofdata.types import ActionRef, ActionSpec, ActionTrack, Annotations

HIDDEN = "hidden"
NO_SUFFIX = "no suffix"
UNREADABLE_FOLDER = "unreadable folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """One video that a corpus holds or names.

    id: stable, and independent of where the corpus lies.
    uri: where it lies, as `sofdata.uris` writes it: `Item.uri` of a file that was found.
    size_bytes: size of the file, 0 where it cannot be known.
    span_s: (start, end) in seconds to use, or None for the whole video.
    text: what the corpus says is done in it, "" where it says nothing.
    labels: any further fields of the corpus.
    actions: where its actions lie, None unless they were asked for.
    annotations: what the corpus says of stretches of it: texts, what must not be seen, which eye.
    problem: "", or why the video cannot be used, known before it is opened: "no_file", ...
    detail: the problem in words for a person.
    fingerprint: of its file, as `Tree.fingerprint` takes it, "" where it has to be read for that.
    """

    id: str
    uri: str
    size_bytes: int
    span_s: tuple[float, float] | None = None
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    detail: str = ""
    actions: ActionRef | None = None
    annotations: Annotations = field(default_factory=Annotations)
    fingerprint: str = ""


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
    """

    entries: tuple[Entry, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    actions: ActionSpec | None = None
    tables: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        entries: Iterable[Entry],
        ignored: Mapping[str, int],
        notes: Iterable[str] = (),
        actions: ActionSpec | None = None,
        tables: Iterable[str] = (),
        unused: Mapping[str, int] | None = None,
    ) -> Listing:
        """Reject all entries of an id but the first, under ids of their own."""
        kept: dict[str, Entry] = {}
        again: list[str] = []
        for entry in entries:
            if entry.id in kept:
                again.append(entry.id)
                entry = _duplicate(entry, kept)
            kept[entry.id] = entry
        extra = [counted(again, "duplicate id; the first is kept")] if again else []
        return cls(
            entries=tuple(kept.values()),
            ignored=_sorted(ignored),
            notes=(*notes, *extra),
            actions=actions,
            tables=tuple(sorted(set(tables))),
            unused=_sorted(unused or {}),
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

    def demonstrations(self, tree: Tree) -> Listing:
        """List the source as `listing` does, with `actions` of the listing and of its entries.

        Raises `ConfigError` where the source holds no actions, or none that can be stored.
        """

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        """The actions of one demonstration. Called in the worker; memory is that of one of them.

        Raises `ActionError` where they cannot be read or do not fit `spec` and `ref`.
        """


def _duplicate(entry: Entry, kept: Mapping[str, Entry]) -> Entry:
    """A later entry of an id that is taken, as a reject."""
    first, number = kept[entry.id], 2
    while (id := f"{entry.id} ({number})") in kept:
        number += 1
    detail = f"the id '{entry.id}' is that of {first.uri} already"
    return replace(entry, id=id, span_s=None, actions=None, problem="duplicate_id", detail=detail)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in sorted(counts.items()) if number}


def suffix(rel: str) -> str:
    """The suffix of a path in lower case with its dot, or ""."""
    stem, dot, end = rel.rsplit("/", 1)[-1].rpartition(".")
    return f".{end.lower()}" if dot and stem else ""


def is_hidden(rel: str) -> bool:
    """True for files such as .DS_Store and ._clip.mp4, and for all below a folder such as .git."""
    return any(part.startswith(".") and part not in {".", ".."} for part in rel.split("/"))


def count_ignored(ignored: Counter[str], rel: str, problem: str = "") -> None:
    """Count a file that is no part of the corpus under its suffix.

    problem: as of `Item`; a folder that cannot be read is counted as such, as it may hold anything.
    """
    if problem == "unreadable_folder":
        ignored[UNREADABLE_FOLDER] += 1
    else:
        ignored[HIDDEN if is_hidden(rel) else suffix(rel) or NO_SUFFIX] += 1


def counted(ids: list[str], what: str) -> str:
    """A note that counts ids and shows the first few: '4 x duplicate id: 1, 7, 9, ...'."""
    shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} x {what}: {shown}"
