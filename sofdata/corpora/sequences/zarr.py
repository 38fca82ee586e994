"""Zarr stores, versions 2 and 3, as folders and as zips: Diffusion Policy, UMI and others.

A store is a folder whose name ends in .zarr, or that has Zarr's metadata, or a zip that has; any
number of them may lie in a source. Every array of pictures in one is a camera, cut into episodes
where the store says how; `sofdata.video.sequences.zarrs.about` has what is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sofdata.corpora.base import Ignored, Listing, count_ignored, counted
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers.jsonfile import clean
from sofdata.corpora.sequences import zarr_actions
from sofdata.corpora.sequences.looking import NotRead
from sofdata.corpora.sequences.zarr_found import Found
from sofdata.corpora.sequences.zarr_stores import (
    find_stores,
    is_named_zip,
    looks_like,
    store_looks,
)
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SOURCE, Location
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.place import SequencePlace

NO_PICTURES = "Zarr store without pictures"
POSES = "_eef_pos"


@dataclass(slots=True)
class _Store:
    """A store and what a look into it says. rel: its path, "" for a source that is one."""

    rel: str
    where: Location
    videos: list[Found] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    problem: str = ""
    detail: str = ""
    is_store: bool = True


@dataclass(frozen=True)
class ZarrStores:
    """Every array of pictures is a camera, each of its episodes a video."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "zarr"
    summary = "Zarr 2 and 3, folders and zips: Diffusion Policy, UMI; sequences.fps; --with-actions"
    example = "sofdata ingest replay_buffer.zarr DEST --set sequences.fps=10"
    formats = ("zarr",)
    settings = ("fps", "times", "range")

    def configured(self, config: SequenceConfig) -> ZarrStores:
        """With the rate of pictures without timestamps, and the range of those that are floats."""
        return ZarrStores(config)

    def detect(self, tree: Tree) -> str:
        return looks_like(tree)

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where no store says a rate and none is given."""
        return self._list(tree, with_actions=False, with_state=False)

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        return self._list(tree, with_actions=True, with_state=with_state)

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return zarr_actions.read_track(tree, ref, spec)

    def _list(self, tree: Tree, with_actions: bool, with_state: bool) -> Listing:
        require("zarr", "zarr", f"reading the Zarr stores in {tree.name}")
        ignored = Ignored()
        stores = list(_look(tree, ignored, self.config.times))
        if any("imagecodecs" in store.needs for store in stores):
            require("imagecodecs", "umi", f"unpacking the pictures in {tree.name}")
        self._check_times(tree, stores)
        made = [self._entry(store, found) for store in stores for found in store.videos]
        spec = None
        if with_actions:
            spec, made = _with_actions(tree, made, with_state)
        entries = [each.entry for each in made]
        entries += [_whole(store) for store in stores if store.problem]
        for store in stores:
            if not store.problem and not store.videos:
                ignored[NO_PICTURES] += _count(tree, store)
        return Listing.of(entries, ignored, _notes(stores), actions=spec)

    def _check_times(self, tree: Tree, stores: Sequence[_Store]) -> None:
        usable = [found for store in stores for found in store.videos if not found.problem]
        has_rate = self.config.fps is not None and not self.config.times
        if not has_rate and usable and not any(found.times for found in usable):
            named = f" called '{self.config.times}'" if self.config.times else ""
            raise ConfigError(
                f"the Zarr stores in {tree.name} do not say when their pictures were taken: they "
                f"have no timestamps{named} that can be used; give the rate, as by "
                "--set sequences.fps=10 (UMI records 59.94, Diffusion Policy's push-T 10)"
            )

    def _entry(self, store: _Store, found: Found) -> _Made:
        """A video as an entry, or a reject."""
        range_ = found.range or self.config.range
        fps = found.fps or self.config.fps
        problem, detail = found.problem, found.detail
        if not problem and not found.times and (fps is None or self.config.times):
            problem = "no_times"
            named = f"'{self.config.times}'" if self.config.times else "timestamps"
            detail = f"no {named} say when its pictures were taken; sequences.fps gives a rate"
        if not problem and found.is_float and not range_:
            problem = "other_range"
            detail = "its numbers may be of 0..1 or of others; --set sequences.range=0..1 says it"
        number = "" if found.episode is None else f"episode-{found.episode:06d}"
        parts = [store.rel, found.array, number]
        options: dict[str, Any] = {"times": found.times, "unit": found.unit} if found.times else {}
        place = SequencePlace.of(
            "zarr",
            found.array,
            start=found.start,
            end=found.end,
            range=range_ if found.is_float else None,
            **(options or {"fps": self.config.fps}),
            channels="bgr" if found.is_bgr else None,
        )
        lasts_s = found.lasts_s or ((found.end - found.start) / fps if fps else None)
        entry = Entry(
            id="/".join(filter(None, parts)) or "array",
            uri=replace(store.where, sequence=place.text).uri,
            size_bytes=0,
            span_s=None if problem or not lasts_s else (0.0, lasts_s),
            text=clean(found.text),
            labels=_labels(store, found),
            problem=problem,
            detail=detail,
        )
        return _Made(entry, store, found, place, fps or 0.0)


@dataclass(frozen=True, slots=True)
class _Made:
    """An entry and what it was made of."""

    entry: Entry
    store: _Store
    found: Found
    place: SequencePlace
    fps: float


def _labels(store: _Store, found: Found) -> dict[str, str]:
    number = "" if found.episode is None else str(found.episode)
    recording = [store.rel, found.group, f"episode_{number}" if number else ""]
    labels = {
        "recording": " ".join(filter(None, recording)) or "all",
        "camera": found.array.rpartition("/")[2] or "array",
    }
    return labels | ({"episode": number} if number else {})


def _look(tree: Tree, ignored: Ignored, times: str | None) -> Iterator[_Store]:
    """All stores of a source; files that are none are counted. times: as of `SequenceConfig`."""
    there = find_stores(tree)
    for item in there.beside:
        count_ignored(ignored, item)
    places = [
        *(
            _Store(name.rstrip("/") if name != SOURCE else "", Location(name))
            for name in there.folders
        ),
        *(_Store(item.rel, item.place) for item in there.zips),
    ]
    items = {item.rel: item for item in there.zips}
    inside = tree.parent() if tree.is_file() else tree
    said = store_looks(inside, [store.where for store in places], {"times": times})
    for store, answer in zip(places, said, strict=True):
        _fill(store, answer)
        plain = store.rel in items and not is_named_zip(store.rel) and not tree.is_file()
        if plain and (store.problem or not store.is_store):  # a zip of whatever else
            count_ignored(ignored, items[store.rel])
        else:
            yield store


def _fill(store: _Store, answer: Any | NotRead) -> None:
    """Put what a look says into a store; it is checked like any input."""
    if isinstance(answer, NotRead):
        store.problem, store.detail = answer.reason, answer.detail
        return
    try:
        store.videos = [Found.of(each) for each in answer["videos"]]
        store.left_out = {
            str(why): [str(path) for path in paths] for why, paths in answer["left_out"].items()
        }
        store.needs = [str(each) for each in answer["needs"]]
        store.is_store = int(answer["nodes"]) > 0
    except (ArithmeticError, KeyError, TypeError, ValueError, AttributeError) as error:
        store.problem, store.detail = "damaged", f"a look into it gave nonsense ({error!r:.80})"
        return
    if not store.is_store:
        store.problem, store.detail = "damaged", "it holds no metadata of Zarr"


def _whole(store: _Store) -> Entry:
    """A store that cannot be read, as a reject."""
    return Entry(
        store.rel or "store", store.where.uri, 0, problem=store.problem, detail=store.detail
    )


def _count(tree: Tree, store: _Store) -> int:
    """How many files a store has."""
    return sum(1 for _ in tree.walk(store.rel)) if store.where.is_folder else 1


def _notes(stores: Sequence[_Store]) -> list[str]:
    """What is left out of stores, by why."""
    paths: dict[str, list[str]] = {}
    for store in stores:
        for why, theirs in store.left_out.items():
            full = ["/".join(filter(None, [store.rel, path])) or "." for path in theirs]
            paths.setdefault(why, []).extend(full)
        if not store.problem and not store.videos:
            paths.setdefault("is a store without pictures that are read", []).append(
                store.rel or "."
            )
    return [counted(theirs, f"array {why}"[:200]) for why, theirs in sorted(paths.items())]


def _with_actions(
    tree: Tree, made: list[_Made], with_state: bool
) -> tuple[ActionSpec, list[_Made]]:
    """The same with actions; those that have none, or others than most, are rejects."""
    usable = [each for each in made if not each.entry.problem]
    having = [each for each in usable if each.found.actions]
    if not having:
        poses = any(POSES in path for each in made for path, _ in each.found.states)
        raise zarr_actions.no_actions(tree, poses)
    if with_state and not any(each.found.states for each in having):
        raise ConfigError(
            f"the Zarr stores in {tree.name} have no array of the robot's state beside their "
            "actions, which with_state wants: leave that out"
        )
    specs = {
        each.entry.id: zarr_actions.spec_of(each.found, each.fps, with_state) for each in having
    }
    usual = zarr_actions.usual_spec(list(specs.values()))

    def one(each: _Made) -> _Made:
        entry = each.entry
        if entry.problem:
            return each
        if entry.id not in specs:
            what = "there is no array 'action' of as many rows beside its pictures"
            return replace(each, entry=_rejected(entry, "no_actions_file", what))
        if why := zarr_actions.difference(specs[entry.id], usual):
            return replace(each, entry=_rejected(entry, "other_actions", why))
        ref = zarr_actions.ref_of(each.found, each.store.where, each.place, with_state)
        return replace(each, entry=replace(entry, actions=ref))

    return usual, [one(each) for each in made]


def _rejected(entry: Entry, problem: str, detail: str) -> Entry:
    return replace(entry, problem=problem, detail=detail, span_s=None)
