"""The server of `sofdata view`: this machine only, GET only, and only for who knows the address.

A page of another site must neither read a dataset nor make this server work:

- It listens on the loopback address alone, and answers only where the `Host` asked for is a name of
  it: a site whose name is made to lead here (DNS rebinding) has another.
- The path begins with a secret that is made anew at each start. Other users of the machine, who can
  connect as well, do not know it.
- No script, style or picture comes from anywhere else, nothing of the data is ever a script, and no
  other page may show this one in a frame (Content-Security-Policy).
"""

from __future__ import annotations

import hmac
import secrets
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from sofdata.errors import ConfigError
from sofdata.view.answers import KEPT_S, Answer
from sofdata.view.site import Site

LOOPBACK = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
TOKEN_BYTES = 16
MOST_FIELDS = 40  # of an address
WAIT_S = 10.0  # for a browser that has connected and says nothing
POLICY = (
    "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ViewServer(ThreadingHTTPServer):
    """Serves one site until it is closed. port: 0 for any that is free.

    Raises `ConfigError` where the port cannot be had.
    """

    daemon_threads = True  # an ended command does not wait for a browser
    block_on_close = False

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            cause = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"port {port} of {LOOPBACK} cannot be used ({cause}): give another one with "
                "--port, or none for any that is free"
            ) from None

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which may ask a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request. Connections are closed after each: on this machine a new one costs nothing."""

    server: ViewServer
    server_version, sys_version = "sofdata", ""
    timeout = WAIT_S
    ALLOWED: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})

    def parse_request(self) -> bool:
        """Also refuse other methods, of which the base class would say that it lacks them."""
        if not super().parse_request():
            return False
        if self.command in self.ALLOWED:
            return True
        self._send(_plain("this server only shows: GET", HTTPStatus.METHOD_NOT_ALLOWED))
        return False

    def do_GET(self) -> None:
        """Answer."""
        self._send(self._answer())

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._send(self._answer())

    def _answer(self) -> Answer:
        if not self._is_for_us():
            text = f"this server answers to {LOOPBACK} and localhost only"
            return _plain(text, HTTPStatus.MISDIRECTED_REQUEST)
        parts = urlsplit(self.path) if self.path.startswith("/") else None
        token, slash, page = parts.path[1:].partition("/") if parts else ("", "", "")
        known = hmac.compare_digest(token.encode(), self.server.token.encode())
        if parts is None or not known or not slash:
            return _plain("open the whole address that was printed", HTTPStatus.NOT_FOUND)
        try:
            fields = parse_qsl(
                parts.query, max_num_fields=MOST_FIELDS, encoding="utf-8", errors="replace"
            )
        except ValueError:
            return _plain("the address has too many fields", HTTPStatus.BAD_REQUEST)
        return self.server.site.answer(page, dict(fields))

    def _is_for_us(self) -> bool:
        """Whether a name of this machine was asked for; the port may be that of a tunnel."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1:
            return False
        name = hosts[0].strip().lower()
        end = name.rfind(":")
        return (name if end <= name.rfind("]") else name[:end]) in NAMES

    def _send(self, answer: Answer) -> None:
        with suppress(ConnectionError, TimeoutError):
            self.send_response(answer.status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            kept = f"private, max-age={KEPT_S}" if answer.is_kept else "no-store"
            self.send_header("Cache-Control", kept)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
                self.send_header("Allow", ", ".join(sorted(self.ALLOWED)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses hold the secret."""


def _plain(text: str, status: HTTPStatus) -> Answer:
    return Answer("text/plain; charset=utf-8", f"{text}\n".encode(), status)
