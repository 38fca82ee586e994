"""Bags of ROS 1 and ROS 2: every topic of pictures of every bag is a video.

    run.bag, 2019/run_0.bag, ...       ROS 1; also .bag.active, of a recording that was stopped
    run/metadata.yaml, run/run_0.db3   ROS 2: the folder is one recording, in one file or several;
                                       run_0.mcap, and run_0.db3.zstd or run_0.mcap.zstd, too
    lone.db3, lone.mcap                a file of ROS 2 without metadata.yaml beside it, each alone

What `rosbag reindex` keeps of a bag that it mended (run.orig.bag) is the same recording again, and
is left out and counted. Other files in the folder of a bag of ROS 2 are parts of that one input.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sofdata.corpora.base import count_ignored, counted, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.sequences.topics import Sources, TopicCorpus
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item

METADATA = "metadata.yaml"
ORIGINAL = ".orig.bag"
REINDEXED = "bag as it was before rosbag reindex"
LOOKED_AT = 2000  # items of a source, to tell what it is
_ONE = (".bag", ".bag.active")
_TWO = (".db3", ".db3.zstd", ".mcap", ".mcap.zstd")


@dataclass(frozen=True)
class RosBags(TopicCorpus):
    """Every topic of pictures of every bag is a video; its id is the bag and the topic."""

    name = "rosbag"
    summary = "bags of ROS 1 (.bag) and ROS 2 (metadata.yaml, .db3, .mcap); --with-actions: a topic"
    example = "sofdata ingest bags DEST --with-actions --set sequences.actions=/cmd_vel"
    format = "rosbag"
    kind = "bags of ROS"

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            name = tree.root.rsplit("/", 1)[-1]
            is_one = _is_part(name) and not name.endswith(".mcap")
            return "a bag of ROS" if is_one else ""
        items = {item.rel for item in itertools.islice(tree.walk(), LOOKED_AT)}
        visible = sorted(rel for rel in items if _is_part(rel))
        if one := next((rel for rel in visible if not rel.endswith(".mcap")), ""):
            return f"bag of ROS: {one}"
        one = next((rel for rel in visible if _beside(rel, METADATA) in items), "")
        return f"bag of ROS: {_beside(one, METADATA)}" if one else ""

    def sources(self, tree: Tree) -> Sources:
        """The bags of a source, or the one that it is."""
        if tree.is_file():
            return Sources.alone(tree)
        found, videos = Sources(tree), []
        items = list(tree.walk())
        folders = _bag_folders(items)
        sizes = {item.rel: item.size_bytes for item in items}
        for item in sorted(items, key=lambda item: item.rel):
            is_plain = not item.problem and not is_hidden(item.rel)
            if is_plain and _folder(item.rel) in folders and not _is_of_ros_1(item.rel):
                continue
            if _is_reindexed(item.rel, sizes):
                found.ignored[REINDEXED] += 1
            elif _is_part(item.rel):
                found.take(_finished(item, sizes))
            elif not (is_plain and any(folder in folders for folder in _above(item.rel))):
                videos += [item.rel] if suffix(item.rel) in VIDEO_SUFFIXES else []
                count_ignored(found.ignored, item)
        for folder in sorted(folders):
            found.take(Item(folder or ".", 0, where=Location(f"{folder or '.'}/")))
        if videos:
            what = "video file beside bags is not read; ingest those with --corpus folder"
            found.notes.append(counted(videos, what))
        return found


def _bag_folders(items: Iterable[Item]) -> set[str]:
    """The folders of bags of ROS 2: those that hold metadata.yaml and a file of a bag."""
    described = set(_folders(items, lambda name: name == METADATA))
    return described & set(_folders(items, lambda name: name.endswith(_TWO)))


def _folders(items: Iterable[Item], is_wanted: Callable[[str], bool]) -> Iterator[str]:
    for item in items:
        folder, _, name = item.rel.rpartition("/")
        if not item.problem and not is_hidden(item.rel) and is_wanted(name):
            yield folder


def _is_part(rel: str) -> bool:
    """Whether a file is a bag, or one of the files of a bag, by its name."""
    return (_is_of_ros_1(rel) or rel.endswith(_TWO)) and not is_hidden(rel)


def _is_of_ros_1(rel: str) -> bool:
    return rel.lower().endswith(_ONE)


def _finished(item: Item, sizes: Mapping[str, int]) -> Item:
    """A file by itself; with its problem where messages lie in another one beside it.

    On this machine the reader sees that, too; of a remote file it gets that one alone.
    """
    from sofdata.video.sequences.bags.db3 import UNFINISHED, unfinished

    end = next((end for end in UNFINISHED if sizes.get(f"{item.rel}{end}")), "")
    if not end or item.problem:
        return item
    return replace(item, problem="unfinished", detail=unfinished(item.rel, end))


def _is_reindexed(rel: str, names: Container[str]) -> bool:
    return rel.endswith(ORIGINAL) and f"{rel.removesuffix(ORIGINAL)}.bag" in names


def _folder(rel: str) -> str:
    return rel.rpartition("/")[0]


def _above(rel: str) -> Iterator[str]:
    """The folders that a file lies in, at whatever depth."""
    while rel:
        rel = _folder(rel)
        yield rel


def _beside(rel: str, name: str) -> str:
    folder = _folder(rel)
    return f"{folder}/{name}" if folder else name
