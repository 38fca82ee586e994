"""What is done in folders of pictures, where a file says it.

    traj0/lang.txt, or caption, text, task, instruction, with .txt or .json: in the folder of the
                        pictures, or of the recording whose cameras have folders of their own
    clip_12.txt, .json  beside the folder clip_12 or the tar clip_12.tar
    jester-v1-train.csv, something-something-v1-train.csv      ID;label of the folder ID
    labels/train.json of Something-Something V2, and what else `sofdata.corpora.ssv2` reads
    EPIC_100_train.csv, EPIC_100_video_info.csv      stretches and rates: see `sofdata.corpora.epic`

Of JSON the field is that of video2dataset's captions. BridgeData V2 writes what each annotator says
on a line of lang.txt, and how sure it is behind "confidence:"; the first line counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sofdata.corpora import epic, sidecars, ssv2
from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

THREADS = 16
LANGUAGE = "lang.txt"
NO_FOLDER = "label of no folder"
_NAMES = tuple(
    f"{name}{end}"
    for name in ("lang", "caption", "text", "task", "instruction")
    for end in sidecars.SUFFIXES
)
_OF_20BN = re.compile(r"(20bn-)?(jester|something-something)-v1-(train|validation|test)\.csv")
_ID = re.compile(r"[0-9]{1,18}")
_CONFIDENCE = re.compile(r"confidence\s*:.*", re.IGNORECASE)


@dataclass(slots=True)
class Texts:
    """Texts of recordings.

    by_path: of folders and tars, by the path of the file that says it. by_id: of folders by their
    name. stretches, rates: of EPIC-KITCHENS, by video.
    tables: the files that were used. silent: those that cannot be read. spare: the others.
    """

    by_path: dict[str, str] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    stretches: Mapping[str, tuple[TimedText, ...]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def of(self, folders: Iterable[str], name: str) -> str:
        """The text of a recording, "" for none. folders: where it may be; name: its own."""
        for path in candidates(folders):
            if self.by_path.get(path):
                return self.by_path[path]
        self.used.add(name)
        return self.by_id.get(name, "")

    def unused(self) -> dict[str, int]:
        """How many labels are of no folder that is here; asked once all folders were."""
        return {NO_FOLDER: len(self.by_id.keys() - self.used)}


def is_text(name: str) -> bool:
    """Whether a file may say what is done in pictures, by its name."""
    return name.endswith((*sidecars.SUFFIXES, ".csv"))


def candidates(folders: Iterable[str]) -> list[str]:
    """Where the text of pictures in one of these folders, or tars without suffix, may be.

    folders: "" for the source itself.
    """
    places = [*folders]
    inside = [f"{place}/{name}".lstrip("/") for place in places for name in _NAMES]
    beside = [f"{place}{end}" for place in places if place for end in sidecars.SUFFIXES]
    return [*inside, *beside]


def read_texts(tree: Tree, files: Mapping[str, int], wanted: Iterable[Iterable[str]]) -> Texts:
    """Read the texts that concern anything.

    files: their bytes by path. wanted: of each recording its folders.

    Raises `ConfigError` for a label file of a corpus that is malformed.
    """
    found = Texts()
    found.by_id, tables = ssv2.texts_by_clip(tree)
    for rel in files:
        if _OF_20BN.fullmatch(rel.rpartition("/")[2]):
            found.by_id |= _labels(tree, rel)
            tables.append(rel)
    if epic_tables := epic.tables_of(tree):
        found.stretches, found.rates = epic.texts_by_video(tree), epic.rates_by_video(tree)
        tables += epic_tables
    paths = dict.fromkeys(
        path for folders in wanted for path in candidates(folders) if path in files
    )
    with ThreadPoolExecutor(THREADS) as threads:
        texts = threads.map(lambda path: _text(tree, path, files[path]), paths)
        for path, text in zip(paths, texts, strict=True):
            if text is None:
                found.silent.append(path)
            else:
                found.by_path[path] = text
    found.tables = [*tables, *paths]
    taken = set(found.tables)
    found.spare = [rel for rel in files if rel not in taken]
    return found


def _text(tree: Tree, rel: str, size_bytes: int) -> str | None:
    """What a file says, None where it cannot be read."""
    try:
        if size_bytes > sidecars.MAX_TEXT:
            return None
        data = tree.read(rel)
        if rel.endswith(".json"):
            return sidecars.caption(sidecars.parse_json(data))
        return _words(data.decode("utf-8-sig"), rel.rpartition("/")[2])
    except (ValueError, RecursionError, OSError):
        return None


def _words(text: str, name: str) -> str:
    if name != LANGUAGE:
        return sidecars.clean(text)
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not _CONFIDENCE.fullmatch(line))
    return sidecars.clean(next(said, ""))


def _labels(tree: Tree, rel: str) -> dict[str, str]:
    """ID;label, a line each and without a heading; of the test sets the ID alone."""
    found = {}
    for number, line in enumerate(tree.read(rel).decode("utf-8-sig", "replace").splitlines(), 1):
        id, _, label = line.strip().partition(";")
        if id and not _ID.fullmatch(id):
            raise jsonfile.wrong(tree, rel, f"line {number}: {line[:40]!r} should be like 12;label")
        if label:
            found[id] = jsonfile.clean(label)
    return found
