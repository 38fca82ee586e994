"""Videos with their captions in files beside them, as video2dataset stores them by default.

    00000/000000012.mp4, 000000012.txt, 000000012.json      of clips 000000012_00003.mp4, ...

https://github.com/iejMac/video2dataset, output format "files". The text is the caption; the JSON
holds it too, with the url and much else. A download that failed leaves both without a video.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sofdata.corpora.base import suffix
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

SUFFIXES = (".txt", ".json")
MAX_TEXT = 1 << 20  # bytes of a .txt or .json
NO_VIDEO = "sample without a video"
KEY = re.compile(r"\d+(_\d+)*")
# The first of these that is there is the text; a title comes last, as it describes the whole video.
FIELDS = ("caption", "text", "txt", "prompt", "description", "title")
THREADS = 16


@dataclass(slots=True)
class SidecarSamples:
    """Samples in a folder.

    entries: a video each, with the text beside it. urls: from where they came, as their JSON says.
    tables: the files of text. spare: files that are no text of a sample. unused: as of `Listing`.
    silent: texts that cannot be read.
    """

    entries: list[Entry] = field(default_factory=list)
    urls: set[str] = field(default_factory=set)
    tables: list[str] = field(default_factory=list)
    spare: list[Item] = field(default_factory=list)
    unused: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)


def samples(
    tree: Tree, videos: Sequence[Item], texts: Iterable[Item], with_urls: bool = False
) -> SidecarSamples:
    """The samples of some videos, and what of the files of text belongs to none.

    with_urls: read the JSON of each sample, not only where there is no text. Costs a read of a file
    for each video.
    """
    found = SidecarSamples()
    wanted = {_path(video.rel) for video in videos}
    by_path: dict[str, dict[str, Item]] = {}
    lone: set[str] = set()
    for item in texts:
        path = _path(item.rel)
        if path in wanted and not item.problem:
            by_path.setdefault(path, {})[suffix(item.rel)] = item
            found.tables.append(item.rel)
        elif KEY.fullmatch(path.rsplit("/", 1)[-1]) and path not in wanted and not item.problem:
            lone.add(path)
            found.tables.append(item.rel)
        else:
            found.spare.append(item)
    if lone:
        found.unused[NO_VIDEO] += len(lone)

    def read(video: Item) -> tuple[Entry, str, list[str]]:
        return _sample(tree, video, by_path.get(_path(video.rel), {}), with_urls)

    with ThreadPoolExecutor(THREADS) as threads:
        for entry, url, silent in threads.map(read, videos):
            found.entries.append(entry)
            found.silent += silent
            if url:
                found.urls.add(url)
    return found


def caption(record: dict[str, Any]) -> str:
    """The text that the JSON of a sample holds, "" for none."""
    values = (record.get(name) for name in FIELDS)
    return next((clean(value) for value in values if isinstance(value, str) and value.strip()), "")


def clean(text: str) -> str:
    return jsonfile.clean(text.strip())


def parse_json(data: bytes) -> dict[str, Any]:
    """The JSON of a sample. Raises `ValueError` or `RecursionError` for what is none."""
    record: Any = json.loads(data.decode())
    if not isinstance(record, dict):
        raise ValueError("no object")
    return record


def _path(rel: str) -> str:
    return rel.rpartition(".")[0]


def _sample(
    tree: Tree, video: Item, beside: dict[str, Item], with_urls: bool
) -> tuple[Entry, str, list[str]]:
    """The entry of a video, its url, and those of its files of text that cannot be read."""
    text = url = ""
    silent = []
    for end in SUFFIXES:
        item = beside.get(end)
        if item is None or video.problem or (text and not with_urls):
            continue
        try:
            if item.size_bytes > MAX_TEXT:
                raise ValueError(f"{item.size_bytes} bytes")
            data = tree.read(item.rel)
            if end == ".txt":
                text = clean(data.decode())
            else:
                record = parse_json(data)
                text = text or caption(record)
                url = str(record.get("url") or "")
        except (ValueError, RecursionError, OSError):
            silent.append(item.rel)
    path = _path(video.rel)
    entry = Entry(
        id=path,
        uri=video.uri,
        size_bytes=video.size_bytes,
        text=text,
        labels={"key": path.rsplit("/", 1)[-1]},
        problem=video.problem,
        detail=video.detail,
        stamp=video.stamp,
    )
    return entry, url, silent
