"""What a dataset has noted for people of a video that is quarantined."""

from __future__ import annotations

import json
from contextlib import suppress

from sofdata.bounded.files import read_small
from sofdata.errors import InputError
from sofdata.shards.layout import QUARANTINE
from sofdata.shards.sample import quarantine_name
from sofdata.shards.schema import VideoRecord
from sofdata.storage.tree import Tree

MOST_NOTE_BYTES = 1 << 20


def take_note(parent: Tree, dest: Tree, video: VideoRecord, id: str) -> None:
    """Copy the note on a video, if it is quarantined and there is one.

    video: as the parent records it. id: that it has in the new dataset.
    """
    if video.status != "quarantined":
        return
    with suppress(FileNotFoundError, InputError, ValueError):
        name = f"{QUARANTINE}/{quarantine_name(video.id)}"
        note = json.loads(read_small(parent, name, MOST_NOTE_BYTES))
        data = json.dumps({**note, "id": id}, indent=1).encode()
        dest.write(f"{QUARANTINE}/{quarantine_name(id)}", data)
