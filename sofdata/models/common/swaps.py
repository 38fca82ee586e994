"""For each window of a batch another one, to measure what a model does with a wrong condition.

A model that does as well with another window's skill, or another window's task, ignores it.
"""

from __future__ import annotations

from collections.abc import Sequence


def other_windows(keys: Sequence[str]) -> list[int]:
    """For each window the place of another one, of another video if the batch holds any.

    A window's key ends in its number; what stands before names the video.
    """
    videos = [key.rpartition("-")[0] for key in keys]
    size = len(keys)
    found = []
    for place, video in enumerate(videos):
        order = [(place + size // 2 + step) % size for step in range(size)]
        found.append(next((n for n in order if videos[n] != video), order[0]))
    return found


def other_texts(texts: Sequence[str]) -> dict[int, int]:
    """For each window with a text the place of one with another; none where there is no other."""
    size, found = len(texts), {}
    for place, text in enumerate(texts):
        order = [(place + size // 2 + step) % size for step in range(size)]
        other = next((n for n in order if texts[n] and texts[n] != text), None)
        if text and other is not None:
            found[place] = other
    return found
