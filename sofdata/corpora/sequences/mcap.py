"""MCAP recordings of robots (https://mcap.dev), one or many: every topic of pictures is a video.

    run1.mcap, 2024/run2.mcap, ...     any names in any folders
    bag_0.mcap, bag_1.mcap, ...        where the log of one goes on where that of the one before
                                       ended, they are one recording; each file is read alone

Which messages are pictures says `sofdata.video.sequences.messages`; topics of depth, and pictures
of other kinds that are not read, are left out and counted. Texts come from a topic of
std_msgs/String (/instruction, /language_instruction, /task, /task_description, /prompt), or else
from a metadata record with such a key. The actions are those of the topic that `sequences.actions`
names.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from sofdata.corpora.base import count_ignored, is_hidden, suffix
from sofdata.corpora.sequences.topics import Sources, TopicCorpus
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

SUFFIX = ".mcap"
BAG = "metadata.yaml"  # beside MCAP files: a bag of ROS 2, which is a corpus of its own
LOOKED_AT = 2000  # items of a source, to tell what it is


@dataclass(frozen=True)
class McapRecordings(TopicCorpus):
    """Every topic of pictures of every file is a video; its id is the file and the topic."""

    name = "mcap"
    summary = "MCAP recordings: ROS 1 and 2, foxglove; images and video; --with-actions: a topic"
    example = "sofdata ingest recordings DEST"
    format = "mcap"
    kind = "MCAP files"

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            return "an MCAP file" if suffix(tree.root) == SUFFIX else ""
        items = [item for item in itertools.islice(tree.walk(), LOOKED_AT) if _is_mcap(item)]
        bags = {folder for folder in {_folder(item.rel) for item in items} if _is_bag(tree, folder)}
        found = next((item.rel for item in items if _folder(item.rel) not in bags), "")
        return f"MCAP: {found}" if found else ""

    def sources(self, tree: Tree) -> Sources:
        """The files of a source, or the file that it is."""
        if tree.is_file():
            return Sources.alone(tree)
        found = Sources(tree)
        for item in tree.walk():
            if _is_mcap(item):
                found.take(item)
            else:
                count_ignored(found.ignored, item)
        return found


def _is_mcap(item: Item) -> bool:
    return suffix(item.rel) == SUFFIX and not is_hidden(item.rel)


def _folder(rel: str) -> str:
    return rel.rpartition("/")[0]


def _is_bag(tree: Tree, folder: str) -> bool:
    return tree.exists(f"{folder}/{BAG}" if folder else BAG)
