"""MCAP recordings: each topic of pictures is a sequence, named by the topic.

https://mcap.dev/spec. Messages are those of `sofdata.video.sequences.messages`; which clock counts
says `sofdata.video.sequences.clocks`.

Options of the place: `clock`, "stamp", "log" or "publish", where one is asked for. For rows the
name is the topic of the pictures, too, since the rows are put on their clock; `actions` is the
topic of the rows, and `rows` how many messages the listing counted.

Options of a look: `actions`, a topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows, damaged
from sofdata.video.sequences.mcaps.index import Fetcher, index_topics
from sofdata.video.sequences.mcaps.look import told
from sofdata.video.sequences.mcaps.recording import Recording
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.recorded import RecordedPictures
from sofdata.video.sequences.topics import TopicMessages, rows_beside


def open_sequence(source: Source, place: SequencePlace) -> RecordedPictures:
    """The pictures of a topic. Raises as `RecordedPictures`, and where there is no such topic."""
    recording = Recording(source)
    try:
        (found,) = _messages(recording, [place.name])
        if found.kind.use != "picture":
            raise damaged(f"{recording.name}: '{place.name}' is no topic of pictures")
        return found.pictures(place, recording.close)
    except BaseException:
        recording.close()
        raise


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """The numbers of another topic, on the clock of the pictures. Raises as `rows_beside`."""
    recording = Recording(source)
    try:
        pictures, actions = _messages(recording, [place.name, place.get("actions")])
        return rows_beside(pictures, actions, place, recording.name)
    finally:
        recording.close()


def _messages(recording: Recording, topics: Sequence[str]) -> list[TopicMessages]:
    found = index_topics(recording, topics)
    return [
        TopicMessages(one.kind, one.times, Fetcher(recording, one.places), one.damage)
        for one in map(found.__getitem__, topics)
    ]


def look(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a file holds: topics of pictures, texts, and the actions of a topic that is asked for.

    Reads a few chunks where the summary is whole, else all of the file.
    """
    recording = Recording(source)
    try:
        return told(recording, str(options.get("actions", "")))
    finally:
        recording.close()
