"""Serving a dataset until the user ends it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection
from urllib.parse import urlsplit

from sofdata.errors import ContractError, Interrupted
from sofdata.storage.tree import Tree
from sofdata.view.film import Source
from sofdata.view.server import ViewServer
from sofdata.view.site import Site


def serve(
    dest: Tree,
    source: str | None,
    port: int,
    started: Callable[[str, str], None],
) -> None:
    """Show a dataset in the browser until this process is interrupted.

    source: where the corpus is now, None for where the last run found it. port: 0 for any that is
    free. started: called with the address, and why no frames of videos are shown, or "".

    Raises `ConfigError` for what is no complete dataset, for a source that is given and is not
    there, and for a port that cannot be had.
    """
    corpus = Source.of(dest, source)
    site = Site(dest, corpus)
    try:
        with ViewServer(site, port) as server:
            started(server.address, corpus.why)
            with suppress(Interrupted):  # how it is meant to end
                server.serve_forever()
    finally:
        site.close()


def first_page(dest: Tree) -> str:
    """What a browser gets first, as HTML: asked for over the loopback, as a browser does.

    Raises as `serve`.
    """
    site = Site(dest, Source.of(dest, None))
    try:
        with ViewServer(site) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                page = _get(server.address)
            finally:
                server.shutdown()
                thread.join()
        return page.decode()
    finally:
        site.close()


def _get(address: str) -> bytes:
    """What this process serves at one of its own addresses.

    urllib would ask the proxy of the environment, which cannot reach this machine's loopback.
    """
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        page = answer.read()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise ContractError(f"the page of a dataset gives {answer.status}: {page[:200]!r}")
    return page


def open_browser(address: str) -> bool:
    """Open an address in the user's browser; False where there is no desktop to do that on.

    Without a desktop, a browser for terminals would take over the one of this command.
    """
    has_desktop = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not has_desktop:
        return False
    import webbrowser

    with suppress(webbrowser.Error):
        return webbrowser.open(address)
    return False
