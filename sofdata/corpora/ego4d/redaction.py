"""What of Ego4D must not be seen, wherever its files lie and whatever corpus they are taken for.

Redacted intervals stand in ego4d.json alone, and files are moved: into folders of classes, into a
folder of resized copies, behind links. So whatever an adapter lists, each file is asked for an
ego4d.json in its folder or in any above it, and where there is one, it decides: the uid that the
file is named by says what is hidden, and a file that it does not know cannot be used.
"""

from __future__ import annotations

import functools
import itertools
import os
import posixpath
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sofdata.corpora.base import Listing, counted
from sofdata.corpora.ego4d.metadata import METADATA, UID, Video, joined, read_metadata
from sofdata.corpora.entries import Entries
from sofdata.corpora.entry import Entry
from sofdata.errors import ConfigError, StorageError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, is_plain, parse
from sofdata.storage.urls import public_url
from sofdata.types import Annotations, Eye, merged

# Folders that Ego4D's own command line downloads; all of them at the full frame rate.
OFFICIAL = ("video_540ss", "full_scale", "clips_540ss", "clips")
MARGIN_S = 0.05  # hidden beside each redacted interval, for times that are rounded; ours
# In any other folder frames may have been resampled, to 1/s at the least: each then shows what was
# seen up to half a second before or after its time. Ours.
RESAMPLED_S = 0.5
_AT_ONCE = 16
LOOKED_AT_ONE_BY_ONE = 100  # files of a folder
_ON_DISK = ("file://", "local://")
_HOST = {"hf": 3}  # parts of a URL's path that are no folders; elsewhere one, the bucket or host


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where a file lies: as it is named, or where a link leads. `folder`: a path or a URL."""

    folder: str
    stem: str


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """What the ego4d.json files at and above a file say of it.

    roots: their folders, the nearest first.
    root, place: the first that knows the file, and where it lies there.
    video: what they say together, None where none knows its name.
    """

    roots: tuple[str, ...]
    root: str
    place: FilePlace
    video: Video | None

    @property
    def problem(self) -> str:
        """Why the file cannot be used, or ""."""
        if self.video is None:
            return "no_metadata"
        return "bad_redaction" if self.video.hidden_s is None else ""

    @property
    def detail(self) -> str:
        """The problem in words."""
        if self.video is not None:
            return f"{METADATA} does not give its redacted_intervals as start_sec and end_sec"
        detail = f"{METADATA} does not name it, so that nobody can tell what of it is redacted"
        path = f"{self.place.folder.rpartition('/')[2]}/{self.place.stem}"
        if UID.search(path) and not UID.fullmatch(self.place.stem):
            return f"{detail}; it seems to be a part of a video, and of which stretch is not known"
        return detail

    @property
    def annotations(self) -> Annotations:
        """What is hidden, and the eye to use; without narrations."""
        assert self.video is not None
        assert self.video.hidden_s is not None
        official = self.place.folder.rsplit("/", 1)[-1] in OFFICIAL
        margin_s = MARGIN_S if official else RESAMPLED_S
        hidden = [(start - margin_s, end + margin_s) for start, end in self.video.hidden_s]
        eye: Eye = "left" if self.video.stereo else ""
        return Annotations((), merged(hidden), eye, self.video.duration_s if hidden else None)


class Redaction:
    """The ego4d.json files at and above the files of a source, each read once.

    base: the folder that the uris of the files are relative to.
    """

    def __init__(self, base: Tree) -> None:
        self.base = base
        self._has: dict[str, bool] = {}
        self._roots: dict[str, list[str]] = {}
        self._ways: dict[str, list[str]] = {}
        self._known: dict[str, dict[str, Video]] = {}

    def look(self, uris: Iterable[str]) -> None:
        """Ask stores for all ego4d.json that may be asked for, many at once: each is a request."""
        remote = (uri for uri in uris if not self._is_on_disk(parse(uri)))
        folders = {place.folder for uri in remote for place in self._places(uri)}
        wanted = sorted({each for folder in folders for each in _upward(folder)} - self._has.keys())
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            self._has.update(zip(wanted, threads.map(self._holds, wanted), strict=True))

    def roots(self, uri: str = "") -> tuple[str, ...]:
        """Folders with an ego4d.json at or above a file, or above the base; the nearest first."""
        places = self._places(uri) if uri else [FilePlace(each, "") for each in self._folders("")]
        return tuple(dict.fromkeys(root for place in places for root in self._above(place.folder)))

    def of(self, uri: str) -> FileMetadata | None:
        """What is known of a file; None where there is no ego4d.json.

        Raises `ConfigError` for one that is malformed.
        """
        places = self._places(uri)
        above = [(place, root) for place in places for root in self._above(place.folder)]
        if not above:
            return None
        knowing = [(place, root) for place, root in above if place.stem in self.known(root)]
        video: Video | None = None
        for place, root in knowing:
            video = joined(video, self.known(root)[place.stem])
        place, root = (knowing or above)[0]
        return FileMetadata(tuple(dict.fromkeys(root for _, root in above)), root, place, video)

    def concerns(self, uris: Iterable[str]) -> bool:
        """Whether there is an ego4d.json at or above any file: `of` is not None for it.

        Files of a folder are asked for together: there may be millions, and in most sources none
        has one above it.
        """
        odd = set[str]()
        for folder, group in itertools.groupby(uris, lambda uri: uri.rpartition("/")[0]):
            names = list(group)
            if not self.base.is_local or not all(map(is_plain, names)):
                odd.update(names)
                continue
            path = f"{self.base.root}/{folder}" if folder else self.base.root
            if any(self._above(each) for each in self._folders(path)):
                return True
            odd.update(_links(self.base.root, path, names))
        return any(self.of(uri) for uri in odd)

    def known(self, root: str) -> dict[str, Video]:
        """The videos and clips of the ego4d.json in a folder. Raises `ConfigError`."""
        key = root if "://" in root else os.path.realpath(os.path.join(root, METADATA))
        if key not in self._known:
            self._known[key] = read_metadata(self.tree(root), METADATA)
        return self._known[key]

    def between(self, root: str) -> list[str]:
        """The base and the folders above it, as far as one that holds an ego4d.json."""
        ways = [each for way in self._folders("") for each in _upward(way)]
        return [each for each in ways if f"{each}/".startswith(f"{root.rstrip('/')}/")]

    def tree(self, folder: str) -> Tree:
        """A folder that `roots` or `between` gave."""
        return Tree(folder, self.base.options)

    def _above(self, folder: str) -> list[str]:
        if folder not in self._roots:
            for each in _upward(folder):
                if each not in self._has:
                    self._has[each] = self._holds(each)
            self._roots[folder] = [each for each in _upward(folder) if self._has[each]]
        return self._roots[folder]

    def _holds(self, folder: str) -> bool:
        """Whether an ego4d.json lies in a folder; also one that is a link to nothing."""
        if "://" not in folder:
            return os.path.lexists(os.path.join(folder, METADATA))
        try:  # a web server may answer with a page for whatever is not there
            tree = self.tree(folder)
            return tree.is_file(METADATA) if folder.startswith("http") else tree.exists(METADATA)
        except (ConfigError, StorageError):  # nothing there may be read
            return False

    def _places(self, uri: str) -> list[FilePlace]:
        """Where a file lies: as it is named and, where links lead elsewhere, there."""
        where = parse(uri)
        if not self._is_on_disk(where):
            url = _url(self.base, where)
            return [_place(url)] if self._is_asked(url) else []
        path = where.file
        if where.elsewhere and path.startswith(_ON_DISK):
            path = path.partition("://")[2]
        path = path if path.startswith("/") else f"{self.base.root}/{path}"
        path = path.rstrip("/")  # of a folder of pictures
        folder, _, name = path.rpartition("/")
        stem = _stem(name)
        places = [FilePlace(each, stem) for each in self._folders(folder or "/")]
        if os.path.islink(path):
            ways = [*_ways(os.path.abspath(path)), os.path.realpath(path)]
            places += [_place(way) for way in ways]
        return places

    def _is_on_disk(self, where: Location) -> bool:
        if where.elsewhere and "://" in where.file:
            return where.file.startswith(_ON_DISK)
        return self.base.is_local

    def _is_asked(self, url: str) -> bool:
        """Web servers are asked only for the source itself, and for files that are named by a uid.

        A table of web video names files on thousands of hosts.
        """
        own = url.startswith(f"{self.base.url.rstrip('/')}/")
        return own or not url.startswith(("http://", "https://")) or bool(UID.search(url))

    def _folders(self, folder: str) -> list[str]:
        """A folder, "" for the base, as it is named and wherever links in its path lead."""
        if not self.base.is_local and not folder:
            return [self.base.url.rstrip("/")]
        folder = folder or self.base.root
        if folder not in self._ways:
            real = [os.path.realpath(folder)]  # not what comes of 'link/..' by its letters alone
            self._ways[folder] = list(dict.fromkeys(_ways(os.path.abspath(folder)) + real))
        return self._ways[folder]


def apply_redaction(tree: Tree, listing: Listing) -> Listing:
    """A listing of any corpus, from which nothing that Ego4D redacts can be seen.

    Files in a tree with an ego4d.json get what is hidden of them, or are rejected. Raises
    `ConfigError` where such files are there and none of them is known by its name: then the
    metadata and the videos do not belong together.
    """
    redaction = Redaction(tree.parent() if tree.is_file() else tree)
    entries = Entries.of(listing.entries)
    redaction.look(entries.distinct("uri"))
    if not listing.linked and not redaction.concerns(entries.distinct("uri")):
        return listing
    found = [_by_all_paths(redaction, listing, entry.uri) for entry in listing.entries]
    inside = [(entry, each) for entry, each in zip(listing.entries, found, strict=True) if each]
    if not inside:
        return listing
    usable = [(entry.uri, each[0]) for entry, each in inside if not entry.problem]
    refuse_unknown_files(usable)
    kept = [
        functools.reduce(_kept, each, entry)
        for entry, each in zip(listing.entries, found, strict=True)
    ]
    known = [uri for uri, each in usable if each.video]
    what = f"input lies below an {METADATA}: what that redacts is not used"
    hint = f"give the folder of {METADATA} as the source for its narrations"
    notes = (*listing.notes, f"{counted(known, what)}; {hint}") if known else listing.notes
    return replace(listing, entries=tuple(kept), notes=notes)


def _by_all_paths(redaction: Redaction, listing: Listing, uri: str) -> list[FileMetadata]:
    """What is known of a file at its path, and at those by which links in the source lead to it."""
    found = [each for path in listing.paths_to(uri) if (each := redaction.of(path))]
    return [each for each in found if each.video] or found[:1]


def refuse_unknown_files(found: Sequence[tuple[str, FileMetadata]]) -> None:
    """Raise `ConfigError` where the files (uri and what is known of it) are all unknown by name."""
    if not found or any(each.video for _, each in found):
        return
    uri, root = found[0][0], public_url(found[0][1].roots[0])
    raise ConfigError(
        f"{METADATA} lies in {root}, above what is to be read (files: {len(found)}, such as"
        f" {uri}), and knows none of them by name: what of them is redacted is not known. If"
        f" they are videos of Ego4D, name them by their uids and give {root} as the source; if"
        f" not, move them, or {METADATA}, elsewhere"
    )


def _kept(entry: Entry, found: FileMetadata | None) -> Entry:
    if found is None or entry.problem:
        return entry
    if found.problem:
        return replace(entry, span_s=None, actions=None, problem=found.problem, detail=found.detail)
    own, redacted = entry.annotations, found.annotations
    hidden = merged((*own.hidden_s, *redacted.hidden_s))
    both = Annotations(own.texts, hidden, own.eye or redacted.eye, redacted.lasts_s)
    return replace(entry, annotations=both)


def _url(base: Tree, where: Location) -> str:
    """The URL of a file of a store, which may be given as one, or as an absolute path there."""
    protocol, _, root = base.url.partition("://")
    path = where.file
    if not where.elsewhere:
        return f"{protocol}://{root.rstrip('/')}/{path}"
    if "://" in path:
        protocol, _, path = path.partition("://")
    elif not path.startswith("/"):
        path = f"{root.rstrip('/')}/{path}"
    if ".." in path.split("/"):
        path = posixpath.normpath(path)
    return f"{protocol}://{path.lstrip('/')}"


def _links(root: str, folder: str, uris: Sequence[str]) -> list[str]:
    """Which of the files of a folder are links: of many by one look at all that is there."""
    if len(uris) < LOOKED_AT_ONE_BY_ONE:
        return [uri for uri in uris if os.path.islink(f"{root}/{uri}")]
    try:
        with os.scandir(folder) as entries:
            links = {entry.name for entry in entries if entry.is_symlink()}
    except OSError:  # nothing there may be listed
        return list(uris)
    return [uri for uri in uris if uri.rpartition("/")[2] in links] if links else []


def _place(path: str) -> FilePlace:
    folder, _, name = path.rstrip("/").rpartition("/")
    return FilePlace(folder or "/", _stem(name))


def _stem(name: str) -> str:
    """What a file is called without its suffix, as uids are written."""
    return (name.rpartition(".")[0] or name).lower()


def _ways(path: str) -> list[str]:
    """An absolute path, and what it becomes as the links in it are followed, one at a time."""
    ways = [path]
    while (after := _followed(ways[-1])) and after not in ways:
        ways.append(after)
    return ways


def _followed(path: str) -> str:
    """A path without the first link in it, "" where there is none."""
    parts = path.split("/")
    for number in range(1, len(parts) + 1):
        head = "/".join(parts[:number])
        if head and os.path.islink(head):
            target = os.path.join(os.path.dirname(head), os.readlink(head), *parts[number:])
            return os.path.normpath(target)
    return ""


def _upward(folder: str) -> list[str]:
    """A folder and all above it, as far as the root, the bucket or the host."""
    protocol, remote, path = folder.partition("://")
    path = path if remote else folder
    parts = path.split("/")
    least = _HOST.get(protocol, 1)
    if remote:
        return ["/".join((f"{protocol}:/", *parts[:n])) for n in range(len(parts), least - 1, -1)]
    return ["/".join(parts[:n]) or "/" for n in range(len(parts), 0, -1)]
