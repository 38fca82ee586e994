"""`Entry`: one video that a corpus holds or names, before anything of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sofdata.storage.walk import NO_STAMP, Stamp
from sofdata.types import ActionRef, Annotations

_NO_ANNOTATIONS = Annotations()  # made once: it is that of nearly all of millions


@dataclass(frozen=True, slots=True)
class Entry:
    """One video that a corpus holds or names.

    id: stable, and independent of where the corpus lies.
    uri: where it lies, as `sofdata.storage.uris` writes it: `Item.uri` of a file that was found.
    size_bytes: size of the file, 0 where it cannot be known.
    span_s: (start, end) in seconds to use, or None for the whole video.
    text: what the corpus says is done in it, "" where it says nothing.
    labels: any further fields of the corpus.
    actions: where its actions lie, None unless they were asked for.
    annotations: what the corpus says of stretches of it: texts, what must not be seen, which eye.
    problem: "", or why the video cannot be used, known before it is opened: "no_file", ...
    detail: the problem in words for a person.
    fingerprint: of its file, as `Tree.fingerprint` takes it, "" where it has to be read for that.
    stamp: of its file, as the walk found it: what shows that it is as it was without reading it.
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
    annotations: Annotations = _NO_ANNOTATIONS
    fingerprint: str = ""
    stamp: Stamp = field(default=NO_STAMP, compare=False)  # says when, not what
