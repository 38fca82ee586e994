"""How the pictures of a source are shown, where the user says that they do not lie as they seem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entries import Entries
from sofdata.corpora.entry import Entry
from sofdata.errors import ConfigError
from sofdata.storage.uris import parse
from sofdata.video.sequences.place import SequencePlace


def shown_as(listing: Listing, config: SequenceConfig) -> Listing:
    """The same with `sequences.turn` and `sequences.channels` in the place of each sequence.

    Raises `ConfigError` where they are set and there is none; videos beside them get a note.
    """
    options = {name: value for name, value in config.shown.items() if value is not None}
    if not options:
        return listing
    names = " and ".join(f"sequences.{name}" for name in options)
    used = [entry for entry in listing.entries if not entry.problem]
    videos = sum(not parse(entry.uri).sequence for entry in used)
    if used and videos == len(used):
        raise ConfigError(
            f"{names} is set, but all that was found are video files, whose pictures are shown as "
            "they say themselves; leave it out"
        )
    notes = listing.notes
    if videos:
        notes = (*notes, f"{names} means nothing for {videos} video files beside the pictures")
    entries = Entries.of(_shown(each, options) for each in listing.entries)
    return replace(listing, entries=entries, notes=notes)


def _shown(entry: Entry, options: Mapping[str, str]) -> Entry:
    where = parse(entry.uri)
    if not where.sequence:
        return entry
    place = SequencePlace.parse(where.sequence)
    held = SequencePlace.of(place.format, place.name, **{**dict(place.options), **options})
    return replace(entry, uri=replace(where, sequence=held.text).uri)
