"""What every corpus adapter gives: a `Listing` of the videos of a source, none of them opened.

Adding a corpus is one module with a class of this shape, and one line in `registry.CORPORA`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    uri: path relative to the corpus's root, or an absolute path or URL.
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

    entries: the videos, each id once.
    ignored: number of files that are no video and no part of the corpus, by suffix.
    notes: sentences about the corpus that its user should see.
    actions: what the actions of its demonstrations are, None unless they were asked for.
    """

    entries: tuple[Entry, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    actions: ActionSpec | None = None

    @classmethod
    def of(
        cls,
        entries: Iterable[Entry],
        ignored: Mapping[str, int],
        notes: Iterable[str] = (),
        actions: ActionSpec | None = None,
    ) -> Listing:
        """Keep the first entry of each id, and say which ids came again."""
        first: dict[str, Entry] = {}
        again: list[str] = []
        for entry in entries:
            if first.setdefault(entry.id, entry) is not entry:
                again.append(entry.id)
        extra = [counted(again, "id came again; its first place counts")] if again else []
        return cls(tuple(first.values()), dict(sorted(ignored.items())), (*notes, *extra), actions)


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
    """A note that counts ids and shows the first few: '4 x id came again: 1, 7, 9, ...'."""
    shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} x {what}: {shown}"
