"""What the server answers, and the errors that become answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from sofdata.report.page import render

KEPT_S = 600  # that a browser may keep a picture


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. is_kept: whether a browser may keep it for a while."""

    kind: str
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    is_kept: bool = False


class NotThere(Exception):
    """There is nothing at this address; says what is missing."""


def html(template: str, values: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """A page from a template of this package."""
    body = render(template, values, "sofdata.view")
    return Answer("text/html; charset=utf-8", body, status)


def image(body: bytes) -> Answer:
    """A PNG or JPEG."""
    kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
    return Answer(kind, body, is_kept=True)


def address(page: str, /, **values: Any) -> str:
    """A page with what it is asked for, relative to the others; empty values are left out."""
    given = {name: value for name, value in values.items() if value not in ("", None)}
    return f"{page}?{urlencode(given)}" if given else page
