"""Folders and tars of numbered pictures.

    P01/rgb_frames/P01_01/frame_0000000001.jpg    EPIC-KITCHENS, or P01_01.tar as it is loaded down
    raw/traj_group0/traj0/images0/im_0.jpg        BridgeData V2 raw, with lang.txt in traj0
    20bn-jester-v1/34870/00001.jpg                Jester and Something-Something by 20BN
    clip/frame-000000.color.png                   and any other name with a number in it

Pictures of one folder whose names differ in a number alone are a sequence; of several kinds of
names (cam0_001.jpg, cam1_001.jpg) each is one. Their times come from `sequences.fps` or
`sequences.times`; EPIC-KITCHENS' own table says its rates. Texts: see `texts`. Files that Python
would have to run, as Bridge's policy_out.pkl, are not opened.

A source is taken for this by itself only if it looks like films, and holds no video: a kind of at
least `SURE` pictures, most numbers of which are there, named as programs name frames and not as
phones name photos. Of what is found then nothing is read before its user has said the rate.
"""

from __future__ import annotations

import itertools
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sofdata.corpora.base import Ignored, Listing, counted, is_hidden, suffix
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.found import IN_TAR, VIDEO, Found, look_through, sequences
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.corpora.sequences.names import is_photo, recording_and_camera, shown
from sofdata.corpora.sequences.texts import Texts, read_texts
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SOURCE, Location
from sofdata.storage.walk import NO_STAMP, Item
from sofdata.types import Annotations
from sofdata.video.sequences.names import Numbers, kind_of
from sofdata.video.sequences.place import SequencePlace

LOOKED_AT = 10_000  # items of a source, to tell what it is
SURE = 8  # pictures of a kind, to take them for a film unasked
DENSE = 0.5  # share of the numbers from the first to the last that have to be there for that
_FIRST = 16  # members of a tar that are looked at
_TARS = 3
OTHER = "file that is no numbered picture"
NO_SEQUENCE = "tar without a sequence of pictures"


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A sequence.

    folder: in the source, or in `tar`. alone: whether it is the only one there. shared: whether
    its tar has others. timed: whether a list of times lies beside it.
    """

    folder: str
    pattern: str
    numbers: Numbers
    alone: bool
    timed: bool
    tar: Item | None = None
    shared: bool = False

    @property
    def path(self) -> str:
        """The folder, as if the tar was one."""
        if self.tar is None:
            return self.folder
        stem = self.tar.rel.removesuffix(".tar")
        own = self.folder.removeprefix(f"{stem.rpartition('/')[2]}/")
        return stem if own in ("", ".", stem.rpartition("/")[2]) else f"{stem}/{own}"


@dataclass(frozen=True)
class FrameFolders:
    """Every folder of numbered pictures is a video; its id is its path."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "frames"
    summary = "folders or tars of numbered pictures: EPIC's rgb_frames, Bridge raw; sequences.fps"
    example = "sofdata ingest rgb_frames DEST --set sequences.fps=60"
    formats = ("frames", "tar")
    settings = ("fps", "times", "unit")

    def configured(self, config: SequenceConfig) -> FrameFolders:
        """With the rate of the pictures, or the name of the files of their times."""
        return self if config == self.config else FrameFolders(config)

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            name = tree.root.rpartition("/")[2]
            found = suffix(name) == ".tar" and frames_in_tar(tree.parent(), name)
            return f"a tar of numbered pictures such as {found}" if found else ""
        return looks_like_frames(tree)

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where neither a rate nor times are given."""
        if tree.is_file():
            name = tree.root.rpartition("/")[2]
            return self._list(tree.parent(), Found(tars=[Item(name, tree.size(""))]))
        return self._list(tree, look_through(tree, self.config.times))

    def _list(self, tree: Tree, found: Found) -> Listing:
        unread: list[Entry] = []
        notes: list[str] = []
        all_kinds = [*self._in_folders(found), *self._in_tars(tree, found, unread, notes)]
        kinds = _films(found, all_kinds, notes)
        texts = read_texts(tree, found.texts, ({each.path, _recording(each)} for each in kinds))
        self._check_times(tree, kinds, texts)
        entries = [*(self._entry(each, texts) for each in kinds), *unread]
        for rel in texts.spare:
            found.ignored[suffix(rel)] += 1
        notes += _notes(found, texts, kinds)
        used = {f"{each.folder}/{self.config.times}".lstrip("/") for each in kinds if each.timed}
        _count_spare(found, used)
        tables = [*texts.tables, *(found.times & used)]
        return Listing.of(entries, found.ignored, notes, tables=tables, unused=texts.unused())

    def _in_folders(self, found: Found) -> Iterator[_Pictures]:
        for folder, kinds in sorted(found.folders.items()):
            timed = f"{folder}/{self.config.times}".lstrip("/") in found.times
            for pattern, numbers in kinds.items():
                yield _Pictures(folder, pattern, numbers, len(kinds) == 1, timed)

    def _in_tars(
        self, tree: Tree, found: Found, unread: list[Entry], notes: list[str]
    ) -> Iterator[_Pictures]:
        """The sequences in tars, whose headers are read; a tar that cannot be read is a reject."""
        options = {"times": self.config.times} if self.config.times else {}
        answers = looks(tree, (item.place for item in found.tars), "tar", options)
        for item, answer in zip(found.tars, answers, strict=True):
            if isinstance(answer, NotRead):
                unread.append(_reject(item, answer.reason, answer.detail))
                continue
            there = _told(answer)
            if there is None:
                unread.append(_reject(item, "damaged", "what it holds cannot be told"))
                continue
            found.ignored[OTHER + IN_TAR] += answer["others"]
            if not answer["whole"]:
                notes.append(f"{item.rel} ends without the mark of a tar's end: it is cut off")
            stem = item.rel.removesuffix(".tar")
            kept = {
                folder: sequences(found, f"{stem}/{folder}", kinds, IN_TAR)
                for folder, kinds in there.items()
            }
            shared = sum(map(len, kept.values())) > 1
            if not any(kept.values()):
                found.ignored[NO_SEQUENCE] += 1
            for folder, kinds in kept.items():
                timed = f"{folder}/{self.config.times}".lstrip("/") in answer["files"]
                for pattern, numbers in kinds.items():
                    alone = len(kinds) == 1
                    yield _Pictures(folder, pattern, numbers, alone, timed, item, shared)

    def _check_times(self, tree: Tree, kinds: list[_Pictures], texts: Texts) -> None:
        if self.config.fps or self.config.times:
            return
        silent = [each for each in kinds if _name(each) not in texts.rates]
        if silent or not kinds:
            raise ConfigError(
                f"the pictures in {tree.name} do not say when they were taken: give their rate, as "
                "by --set sequences.fps=30, or the name of a file beside them that has their "
                "times, as by --set sequences.times=times.txt"
            )

    def _entry(self, each: _Pictures, texts: Texts) -> Entry:
        recording, camera = recording_and_camera(each.path)
        if not each.alone:
            camera = "/".join(filter(None, (camera, each.pattern)))
        id = each.path if each.alone and each.path else f"{each.path}/{each.pattern}".strip("/")
        labels = {"folder": each.path, "recording": recording or ".", "camera": camera}
        place, problem, detail = self._place(each, texts)
        stretches = texts.stretches.get(_name(each), ())
        return Entry(
            id,
            _where(each, place).uri,
            each.tar.size_bytes if each.tar else 0,
            span_s=None if problem else self._span_s(each, place),
            text=texts.of((each.path, recording), recording.rpartition("/")[2]),
            labels={key: value for key, value in labels.items() if value},
            problem=problem,
            detail=detail,
            annotations=Annotations(stretches),
            stamp=each.tar.stamp if each.tar else NO_STAMP,
        )

    def _place(self, each: _Pictures, texts: Texts) -> tuple[SequencePlace, str, str]:
        """The words for a sequence, and what is wrong with its times."""
        config, rate = self.config, texts.rates.get(_name(each))
        inside = f"{each.folder}/{each.pattern}".lstrip("/") if each.tar else each.pattern
        format = "tar" if each.tar else "frames"
        given: dict[str, str | float | None] = {}
        problem = ""
        if each.timed:
            given |= {"times": config.times, "unit": config.unit if config.unit != "s" else None}
        elif rate or config.fps:
            first = 1 if rate or _name(each) in texts.stretches else None  # as EPIC counts
            given |= {"fps": rate or config.fps, "first": first}
        else:
            problem = "no_times"
        detail = f"there is no {config.times} beside its pictures" if problem else ""
        return SequencePlace.of(format, inside, **given), problem, detail

    def _span_s(self, each: _Pictures, place: SequencePlace) -> tuple[float, float] | None:
        """The time of one of several sequences in a tar, so that it is weighed as a part of it."""
        if not each.shared or not place.get("fps"):
            return None
        return -0.5 / place.number("fps"), (each.numbers.reach - 0.5) / place.number("fps")


def looks_like_frames(tree: Tree) -> str:
    """Why the source looks like films in pictures, "" where it does not or holds videos, too."""
    counts: dict[tuple[str, str], Numbers] = defaultdict(Numbers)
    tars: list[str] = []
    for item in itertools.islice(tree.walk(), LOOKED_AT):
        if item.problem or is_hidden(item.rel):
            continue
        if suffix(item.rel) in VIDEO_SUFFIXES:
            return ""
        if suffix(item.rel) == ".tar":
            tars.append(item.rel)
        elif kind := kind_of(item.rel):
            counts[kind.folder, kind.pattern].add(kind.number, 0)
    for (folder, pattern), numbers in counts.items():
        dense = numbers.count >= max(SURE, DENSE * numbers.reach)
        if dense and not is_photo(pattern) and not shown(folder, pattern):
            return f"a folder of numbered pictures: {folder}/{pattern}"
    for rel in tars[:_TARS]:
        if name := frames_in_tar(tree, rel):
            return f"tars of numbered pictures: {name} in {rel}"
    return ""


def frames_in_tar(tree: Tree, rel: str) -> str:
    """The first of several numbered pictures of a kind at the beginning of a tar, or ""."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    with (
        suppress(tarfile.TarError, OSError),  # one that is cut off has some
        tree.open(rel) as handle,
        tarfile.open(fileobj=handle, mode="r:") as tar,
    ):
        for member in itertools.islice(tar, _FIRST):
            if kind := kind_of(member.name):
                kinds[kind.folder, kind.pattern].append(member.name)
    return next((names[0] for (_, pattern), names in kinds.items() if _enough(names, pattern)), "")


def _enough(names: list[str], pattern: str) -> bool:
    return len(names) >= SURE and not is_photo(pattern)


def _films(found: Found, kinds: list[_Pictures], notes: list[str]) -> list[_Pictures]:
    """The sequences without albums of photos; where there are only such, they are meant."""
    films = [each for each in kinds if not is_photo(each.pattern)]
    if not films or len(films) == len(kinds):
        return kinds
    photos = [each for each in kinds if is_photo(each.pattern)]
    for each in photos:
        found.ignored["photo" + (IN_TAR if each.tar else "")] += each.numbers.count
    what = "folder has photos by their names, which are left out; as a source of its own it is read"
    notes.append(counted([each.path or "." for each in photos], what))
    return films


def _name(each: _Pictures) -> str:
    """What a recording is called: P01_01."""
    return each.path.rpartition("/")[2]


def _recording(each: _Pictures) -> str:
    return recording_and_camera(each.path)[0]


def _where(each: _Pictures, place: SequencePlace) -> Location:
    if each.tar:
        return replace(each.tar.place, sequence=place.text)
    return Location(f"{each.folder}/" if each.folder else SOURCE, sequence=place.text)


def _reject(item: Item, problem: str, detail: str) -> Entry:
    id = item.rel.removesuffix(".tar")
    return Entry(id, item.uri, item.size_bytes, problem=problem, detail=detail)


def _told(answer: Any) -> dict[str, dict[str, Numbers]] | None:
    """What a tar is said to hold, by folder and pattern; None where that is malformed."""
    found: dict[str, dict[str, Numbers]] = defaultdict(dict)
    try:
        for folder, pattern, count, least, most in answer["kinds"]:
            if not (isinstance(folder, str) and isinstance(pattern, str)):
                return None
            found[folder][pattern] = Numbers(int(count), 0, int(least), int(most))
        int(answer["others"]), bool(answer["whole"]), list(answer["files"])
    except (KeyError, TypeError, ValueError):
        return None
    return found


def _notes(found: Found, texts: Texts, kinds: Iterable[_Pictures]) -> Iterator[str]:
    """What there is to say of a source."""
    for kind, (count, example) in sorted(found.left_out.items()):
        yield f"{count} pictures show {kind} by their names and are left out, as {example}"
    if found.ignored[VIDEO]:
        yield f"{found.ignored[VIDEO]} videos lie beside the pictures; --corpus folder reads those"
    if texts.silent:
        yield counted(texts.silent, "text cannot be read; the pictures are used without")
    odd = [each.path or each.pattern for each in kinds if each.numbers.count != each.numbers.reach]
    if odd:
        yield counted(odd, "sequence has fewer or more pictures than numbers from first to last")


def _count_spare(found: Found, used: set[str]) -> None:
    ignored: Ignored = found.ignored
    for rel in found.times - used:
        ignored[suffix(rel) or "no suffix"] += 1
