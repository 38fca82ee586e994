"""Folders, tars and zips of numbered pictures.

    P01/rgb_frames/P01_01/frame_0000000001.jpg    EPIC-KITCHENS, or P01_01.tar as it is loaded down
    raw/traj_group0/traj0/images0/im_0.jpg        BridgeData V2 raw, with lang.txt in traj0
    20bn-jester-v1/34870/00001.jpg                Jester and Something-Something by 20BN
    clip/frame-000000.color.png                   and any other name with a number in it

Pictures of one folder whose names differ in a number alone are a sequence; of several kinds of
names (cam0_001.jpg, cam1_001.jpg) each is one. Their times come from `sequences.fps` or
`sequences.times`; EPIC-KITCHENS' own table says its rates. Texts: see `texts`. Files that Python
would have to run, as Bridge's policy_out.pkl, are not opened.

A source is taken for this by itself only if it looks like films: see `frames_looks`. Of what is
found then nothing is read before its user has said the rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sofdata.corpora import epic
from sofdata.corpora.base import Ignored, Listing, counted, suffix
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.found import LONE, VIDEO, Found, look_through
from sofdata.corpora.sequences.frames_looks import looks_like_frames
from sofdata.corpora.sequences.names import is_photo, recording_and_camera
from sofdata.corpora.sequences.numbered import (
    ARCHIVES,
    NumberedPictures,
    in_archives,
    in_folders,
)
from sofdata.corpora.sequences.texts import Texts, read_texts
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import NO_STAMP, Item
from sofdata.types import Annotations
from sofdata.video.sequences.place import SequencePlace

_UNPACK = "is compressed as a whole, which is not read; unpack what holds pictures, as by tar xf"


@dataclass(frozen=True)
class FrameFolders:
    """Every folder of numbered pictures is a video; its id is its path."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "frames"
    summary = (
        "folders, tars, zips of numbered pictures: EPIC's rgb_frames, Bridge raw; sequences.fps"
    )
    example = "sofdata ingest rgb_frames DEST --set sequences.fps=60"
    formats = ("frames", "tar", "zip")
    settings = ("fps", "times", "unit")

    def configured(self, config: SequenceConfig) -> FrameFolders:
        """With the rate of the pictures, or the name of the files of their times."""
        return self if config == self.config else FrameFolders(config)

    def detect(self, tree: Tree) -> str:
        return looks_like_frames(tree)

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where no sequence is there, and where nothing says its times."""
        if not tree.is_file():
            return self._list(tree, look_through(tree, self.config.times))
        name = tree.root.rpartition("/")[2]
        if suffix(name) not in ARCHIVES:
            raise ConfigError(
                f"{tree.name} is no {' or '.join(ARCHIVES)} of numbered pictures: unpack it, and "
                "give the folder"
            )
        return self._list(tree.parent(), Found(archives=[Item(name, tree.size(""))]))

    def _list(self, tree: Tree, found: Found) -> Listing:
        unread: list[Entry] = []
        notes: list[str] = []
        times = self.config.times
        in_all = [*in_folders(found, times), *in_archives(tree, found, times, unread, notes)]
        kinds = _films(found, in_all, notes)
        if not kinds and not unread:
            raise ConfigError(_nothing(tree, found))
        texts = read_texts(tree, found.texts, ({each.path, each.recording} for each in kinds))
        self._check_times(tree, kinds, texts)
        entries = [*(self._entry(each, texts) for each in kinds), *unread]
        for rel in texts.spare:
            found.ignored[suffix(rel)] += 1
        notes += [*_notes(found, texts, kinds), *self._unheeded(texts, kinds)]
        used = {f"{each.folder}/{times}".lstrip("/") for each in kinds if each.timed}
        _count_spare(found, used)
        tables = [*texts.tables, *(found.times & used)]
        return Listing.of(entries, found.ignored, notes, tables=tables, unused=texts.unused())

    def _check_times(self, tree: Tree, kinds: list[NumberedPictures], texts: Texts) -> None:
        if self.config.fps or self.config.times:
            return
        if any(each.name not in texts.rates for each in kinds):
            raise ConfigError(
                f"the pictures in {tree.name} do not say when they were taken: give their rate, as "
                "by --set sequences.fps=30, or the name of a file beside them that has their "
                "times, as by --set sequences.times=times.txt"
            )

    def _entry(self, each: NumberedPictures, texts: Texts) -> Entry:
        recording, camera = recording_and_camera(each.path)
        if not each.alone:
            camera = "/".join(filter(None, (camera, each.pattern)))
        id = each.path if each.alone and each.path else f"{each.path}/{each.pattern}".strip("/")
        labels = {"folder": each.path, "recording": recording or ".", "camera": camera}
        place, problem, detail = self._place(each, texts)
        stretches = texts.stretches.get(each.name, ())
        return Entry(
            id,
            each.where(place).uri,
            each.archive.size_bytes if each.archive else 0,
            span_s=None if problem else self._span_s(each, place),
            text=texts.of((each.path, recording), recording.rpartition("/")[2]),
            labels={key: value for key, value in labels.items() if value},
            problem=problem,
            detail=detail,
            annotations=Annotations(stretches),
            stamp=each.archive.stamp if each.archive else NO_STAMP,
        )

    def _place(self, each: NumberedPictures, texts: Texts) -> tuple[SequencePlace, str, str]:
        """The words for a sequence, and what is wrong with its times."""
        config, rate = self.config, texts.rates.get(each.name)
        inside = f"{each.folder}/{each.pattern}".lstrip("/") if each.archive else each.pattern
        given: dict[str, str | float | None] = {}
        problem = ""
        if each.timed:
            given |= {"times": config.times, "unit": config.unit if config.unit != "s" else None}
        elif rate or config.fps:
            is_epic = rate or each.name in texts.stretches  # which counts from 1
            given |= {"fps": rate or config.fps}
            given |= {"first": min(1, each.numbers.least) if is_epic else None}
        else:
            problem = "no_times"
        detail = f"there is no {config.times} beside its pictures" if problem else ""
        return SequencePlace.of(each.format, inside, **given), problem, detail

    def _unheeded(self, texts: Texts, kinds: Iterable[NumberedPictures]) -> Iterator[str]:
        """A note on a rate that is not used, since the authors' table has others."""
        rates = {each.name: texts.rates[each.name] for each in kinds if each.name in texts.rates}
        other = [f"{name} ({fps:g})" for name, fps in rates.items() if fps != self.config.fps]
        if other and self.config.fps:
            what = f"video has its rate from {epic.INFO}, and not from sequences.fps; for pictures "
            yield counted(other, f"{what}that you made at another rate, take that table away")

    def _span_s(self, each: NumberedPictures, place: SequencePlace) -> tuple[float, float] | None:
        """The time of one of several sequences in an archive, to weigh it as a part of that."""
        if not each.shared or not place.get("fps"):
            return None
        begin = each.numbers.least - place.number("first", each.numbers.least)
        start, end = begin - 0.5, begin + each.numbers.reach - 0.5
        return start / place.number("fps"), end / place.number("fps")


def _films(found: Found, kinds: list[NumberedPictures], notes: list[str]) -> list[NumberedPictures]:
    """The sequences without albums of photos; where there are only such, they are meant."""
    films = [each for each in kinds if not is_photo(each.pattern)]
    if not films or len(films) == len(kinds):
        return kinds
    photos = [each for each in kinds if is_photo(each.pattern)]
    for each in photos:
        inside = f" in a {each.format}" if each.archive else ""
        found.ignored[f"photo{inside}"] += each.numbers.count
    what = "folder has photos by their names, which are left out; as a source of its own it is read"
    notes.append(counted([each.path or "." for each in photos], what))
    return films


def _nothing(tree: Tree, found: Found) -> str:
    """What to say of a source without a sequence."""
    what = f"{tree.name} holds no two pictures that differ in a number alone, nor archives of such"
    if found.packed:
        return f"{what}; {counted(found.packed, f'archive {_UNPACK}')}"
    if lone := found.ignored[LONE]:
        what += f": of {lone} pictures the last number in the name comes once; rename them"
    return what


def _notes(found: Found, texts: Texts, kinds: Iterable[NumberedPictures]) -> Iterator[str]:
    """What there is to say of a source."""
    for kind, (count, example) in sorted(found.left_out.items()):
        yield f"{count} pictures show {kind} by their names and are left out, as {example}"
    if found.ignored[VIDEO]:
        yield f"{found.ignored[VIDEO]} videos lie beside the pictures; --corpus folder reads those"
    if found.packed:
        yield counted(found.packed, f"archive {_UNPACK}")
    if texts.silent:
        yield counted(texts.silent, "text cannot be read; the pictures are used without")
    odd = [each.path or each.pattern for each in kinds if each.numbers.count != each.numbers.reach]
    if odd:
        yield counted(odd, "sequence has fewer or more pictures than numbers from first to last")


def _count_spare(found: Found, used: set[str]) -> None:
    ignored: Ignored = found.ignored
    for rel in found.times - used:
        ignored[suffix(rel) or "no suffix"] += 1
