"""Which address gives what: pages, pictures and the two files that belong to all pages.

Nothing of an address becomes the name of a file but that of a file of skills, which is checked to
be one: rows are numbers, videos are looked up in tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib import resources
from threading import Lock

from sofdata.errors import ConfigError, InputError, StorageError, TransientError
from sofdata.pictures.colour import wheel_legend
from sofdata.storage.tree import Tree
from sofdata.ui.text import printable
from sofdata.view.account import account_page
from sofdata.view.answers import Answer, NotThere, html, image
from sofdata.view.aside import aside_page
from sofdata.view.cards import whole_number
from sofdata.view.codes import code_page, skills_page
from sofdata.view.film import NoFrames, Source
from sofdata.view.opened import Opened, stamp_of
from sofdata.view.pictures import coloured, playing, png, strip
from sofdata.view.shelf import Shelf
from sofdata.view.windows import video_page, window_page, windows_page

Given = Mapping[str, str]
Page = Callable[[Opened, Shelf, Given], Answer]

PAGES: dict[str, Page] = {
    "": windows_page,
    "window": window_page,
    "video": video_page,
    "skills": skills_page,
    "code": code_page,
    "aside": aside_page,
    "account": account_page,
}
STATIC = {
    "static/view.css": "text/css; charset=utf-8",
    "static/view.js": "text/javascript; charset=utf-8",
}
_WHEEL_PX = 128


class Site:
    """Answers for one dataset. Where that has changed on its disk, it is opened again.

    Raises as `Opened` where it is made.
    """

    def __init__(self, tree: Tree, source: Source) -> None:
        self._tree, self._source = tree, source
        self._lock = Lock()
        self._opened = Opened(tree)
        self._shelf = Shelf(self._opened, source)

    def close(self) -> None:
        """End what reads and decodes."""
        self._shelf.close()
        self._opened.close()

    def answer(self, path: str, given: Given) -> Answer:
        """What stands at an address. Never raises for what is asked for."""
        try:
            if path in STATIC:
                return Answer(STATIC[path], _static(path))
            if path in PAGES:
                return PAGES[path](*self._current(), given)
            if path in PICTURES:  # of what a page has shown: not looked whether it is still so
                return image(PICTURES[path](self._opened, self._shelf, given))
            return _wrong(f"there is no page {printable(path[:80])!r}", HTTPStatus.NOT_FOUND)
        except (NotThere, NoFrames) as error:
            return _wrong(str(error), HTTPStatus.NOT_FOUND)
        except ConfigError as error:
            return _wrong(str(error), HTTPStatus.BAD_REQUEST)
        except (InputError, StorageError, TransientError, OSError) as error:
            return _wrong(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)

    def _current(self) -> tuple[Opened, Shelf]:
        with self._lock:
            if stamp_of(self._tree) != self._opened.stamp:
                opened = Opened(self._tree)
                self.close()
                self._opened, self._shelf = opened, Shelf(opened, self._source)
            return self._opened, self._shelf


def _wrong(text: str, status: HTTPStatus) -> Answer:
    return html("wrong.html.j2", {"what": printable(text), "title": status.phrase}, status)


def _first(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    return opened.member(whole_number(given, "row"), "first.jpg")


def _last(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    return opened.member(whole_number(given, "row"), "last.jpg")


def _flow(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    sample = opened.sample(whole_number(given, "row"))
    return playing(sample.flow, sample.record.pts_s)


def _strip(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    return strip(opened.sample(whole_number(given, "row")).flow)


def _frames(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    return shelf.frames(opened, whole_number(given, "row"))


def _code(opened: Opened, shelf: Shelf, given: Given) -> bytes:
    skills, unread = shelf.skills_of(opened, given.get("file", ""))
    if skills is None:
        raise NotThere(unread or "the dataset has no skills")
    return png(coloured(shelf.tile(opened, skills, whole_number(given, "code"))))


@cache
def _wheel_png() -> bytes:
    return png(wheel_legend(_WHEEL_PX))


PICTURES: dict[str, Callable[[Opened, Shelf, Given], bytes]] = {
    "picture/first": _first,
    "picture/last": _last,
    "picture/flow": _flow,
    "picture/strip": _strip,
    "picture/frames": _frames,
    "picture/code": _code,
    "picture/wheel": lambda opened, shelf, given: _wheel_png(),
}


@cache
def _static(path: str) -> bytes:
    return resources.files("sofdata.view").joinpath(path).read_bytes()
