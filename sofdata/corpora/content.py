"""Is a file a video? Its suffix decides where it is unambiguous, and else its first bytes.

Names cannot be trusted to name the right container, so nothing here picks a decoder. Which
containers there are stands in `sofdata.video.formats`.
"""

from __future__ import annotations

from sofdata.corpora.base import OTHER_SUFFIXES, suffix
from sofdata.storage.folder import Where
from sofdata.storage.tree import Tree
from sofdata.storage.walk import CLOSED, LINKED_FOLDER, Item
from sofdata.video.formats import BARE_SUFFIXES, HEAD_BYTES, SUFFIXES, container

__all__ = [
    "HEAD_BYTES",
    "OTHER_SUFFIXES",
    "PLAIN_SUFFIXES",
    "VIDEO_SUFFIXES",
    "bare_stream",
    "container",
    "is_meant_as_video",
    "is_other_folder",
    "is_video",
]

VIDEO_SUFFIXES = SUFFIXES
# Of these the name alone says that a readable file is an input.
PLAIN_SUFFIXES = frozenset(SUFFIXES) - BARE_SUFFIXES.keys()


def is_video(tree: Tree, where: Where, size_bytes: int) -> bool:
    """Whether a readable file is meant as a video. Opens it only where the suffix leaves doubt."""
    end = suffix(where if isinstance(where, str) else where.file)
    if end in VIDEO_SUFFIXES:
        return True
    if end in OTHER_SUFFIXES or size_bytes == 0:
        return False
    try:
        with tree.open(where) as handle:
            return bool(container(handle.read(HEAD_BYTES)))
    except OSError:  # it vanished or went bad since it was listed; by its name it is no video
        return False


def is_meant_as_video(tree: Tree, item: Item) -> bool:
    """Whether an item of a walk is meant as a video; one that cannot be read, by its name."""
    if item.problem:
        return suffix(item.rel) in VIDEO_SUFFIXES and not is_other_folder(item)
    return is_video(tree, item.place, item.size_bytes)


def is_other_folder(item: Item) -> bool:
    """Whether an item is a folder that cannot be entered, or one whose files come elsewhere."""
    return item.problem in CLOSED or item.problem == LINKED_FOLDER


def bare_stream(tree: Tree, where: Where) -> str:
    """Why a file is a bare stream of one codec, which cannot be used, in words; else "".

    Its name decides, unless it holds a container after all.
    """
    name = where if isinstance(where, str) else where.file
    codec = BARE_SUFFIXES.get(suffix(name), "")
    if not codec or is_video(tree, where, 1):
        return ""
    return (
        f"a bare {codec} stream holds no times of its frames; put it into a container, as by "
        "'ffmpeg -r FPS -i FILE -c copy FILE.mp4'"
    )
