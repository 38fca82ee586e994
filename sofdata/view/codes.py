"""The pages of skills: a map of the codes, and one page a code with the windows that have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sofdata.pictures.colour import flow_to_rgb
from sofdata.ui.text import printable
from sofdata.view.answers import Answer, NotThere, address, html
from sofdata.view.cards import cards, paged, shortened, whole_number
from sofdata.view.codemap import Dot, spread
from sofdata.view.opened import Opened
from sofdata.view.shelf import Shelf
from sofdata.view.skills import Skills

TILES = 60  # of a page
COUNTED = 2000  # windows of a code whose texts are counted
SHOWN_TEXTS = 8
_MAP = 300  # half the side of the map, in units of its drawing
_GREY = (128, 128, 128)
_LARGEST, _SMALLEST = 22.0, 3.0  # radius of a dot, in the same


@dataclass(frozen=True, slots=True)
class Drawn:
    """A dot of the map, ready to be drawn; colour: #rrggbb."""

    x: float
    y: float
    radius: float
    colour: str
    opacity: float
    title: str
    address: str


def skills_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """The map of codes, and the codes by how many windows have them."""
    names = shelf.names(opened)
    skills, unread = shelf.skills_of(opened, given.get("file", ""))
    values: dict[str, Any] = {"unread": unread, "skills": skills, "command": ""}
    values["files"] = [(name, address("skills", file=name)) for name in names]
    if skills is None:
        return html("skills.html.j2", {**shelf.head(opened, "skills"), **values})
    used = np.flatnonzero(skills.uses) if skills.codebook else np.empty(0, np.int64)
    order = used[np.argsort(-skills.uses[used], kind="stable")] if skills.codebook else used
    part, pager = paged(
        len(order), given, lambda page: address("skills", file=skills.name, page=page), TILES
    )
    values |= {
        "dots": _drawn(shelf.map_of(opened, skills), skills),
        "half": _MAP,
        "used": len(used),
        "perplexity": _perplexity(skills),
        "tiles": [_tile(skills, int(code)) for code in order[part]],
        "pager": pager,
    }
    return html("skills.html.j2", {**shelf.head(opened, "skills"), **values})


def code_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """A code: how often it occurs and where in a skill, what is said of its windows, and these."""
    skills, unread = shelf.skills_of(opened, given.get("file", ""))
    if skills is None:
        raise NotThere(unread or "the dataset has no skills: 'sofdata encode' writes them")
    code = whole_number(given, "code")
    if not skills.codebook or code >= skills.codebook:
        raise NotThere(f"the skills of {skills.name} have no code {code}")
    rows = skills.windows_of(code)
    part, pager = paged(
        len(rows), given, lambda page: address("code", file=skills.name, code=code, page=page)
    )
    some = spread(rows, COUNTED).tolist()
    texts = Counter(each["text"] for each in opened.rows(some, ["text"]) if each["text"])
    values = {
        "skills": skills,
        "code": code,
        "tile": _tile(skills, code),
        "share": len(rows) / max(1, opened.windows),
        "places": list(enumerate(skills.places_of(code), 1)),
        "texts": [(shortened(text), number) for text, number in texts.most_common(SHOWN_TEXTS)],
        "counted": len(some),
        "cards": cards(opened, rows[part]),
        "pager": pager,
        "map_address": address("skills", file=skills.name),
    }
    return html("code.html.j2", {**shelf.head(opened, "skills"), **values})


def _perplexity(skills: Skills) -> float:
    """As many codes, used equally often, would be as hard to guess."""
    if not skills.codebook or not skills.values.size:
        return 0.0
    counts = np.bincount(skills.values.ravel(), minlength=skills.codebook)
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _tile(skills: Skills, code: int) -> dict[str, Any]:
    return {
        "code": code,
        "uses": int(skills.uses[code]),
        "address": address("code", file=skills.name, code=code),
        "picture": address("picture/code", file=skills.name, code=code),
    }


def _drawn(dots: list[Dot], skills: Skills) -> list[Drawn]:
    most = max((dot.uses for dot in dots), default=1)
    fastest = max((float(np.hypot(*dot.motion_px)) for dot in dots), default=0.0)
    made = [_one(dot, most, fastest, skills) for dot in dots]
    return sorted(made, key=lambda dot: -dot.radius)


def _one(dot: Dot, most: int, fastest: float, skills: Skills) -> Drawn:
    speed = float(np.hypot(*dot.motion_px))
    red, green, blue = flow_to_rgb(np.array(dot.motion_px), speed).tolist() if speed else _GREY
    reach = _MAP - _LARGEST
    radius = _SMALLEST + (_LARGEST - _SMALLEST) * (dot.uses / most) ** 0.5
    motion = f"moves by ({dot.motion_px[0]:.2f}, {dot.motion_px[1]:.2f}) px a step"
    if skills.codebook:
        title = f"code {dot.number}: {dot.uses} windows, {motion}"
        to = address("code", file=skills.name, code=dot.number)
    else:
        title, to = f"window {dot.number}: {motion}", address("window", row=dot.number)
    return Drawn(
        x=_MAP + reach * dot.across,
        y=_MAP + reach * dot.down,
        radius=radius if skills.codebook else 4.0,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        opacity=0.35 + 0.6 * (speed / fastest if fastest else 0.0),
        title=printable(title),
        address=to,
    )
