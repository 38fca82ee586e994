"""In a real browser: no data runs, nothing is asked of elsewhere, and pages fit 400 px."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sofdata.view.server import ViewServer
from sofdata.view.site import Site
from tests.chromium import Browser, chromium

PAGES = ("", "window?row=0", "skills", "aside", "account")
# Tables and lists that are wider than what shows of them, as they would be in a box that scrolls.
CUT_OFF = """[...document.querySelectorAll('main table, main ul')]
  .filter(each => each.scrollWidth > each.parentElement.clientWidth + 1)
  .map(each => each.className)"""


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with ViewServer(site) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.address
        made.shutdown()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as made:
        yield made


@pytest.mark.slow
def test_pages_fit_run_no_data_and_ask_nothing_of_elsewhere(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    for width, dark in ((1200, False), (400, True)):
        browser.look(width, dark=dark)
        for page in PAGES:
            browser.open(address + page)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), page
            assert browser.run(CUT_OFF) == [], page
            assert "taken" not in browser.run("document.title")
            browser.picture(tmp_path / "page.png")
            with Image.open(tmp_path / "page.png") as picture:
                corner = np.asarray(picture.convert("L"))[-4:, -4:].mean()
            assert (corner < 60) == dark
    assert browser.errors == []
    assert all(each.startswith((address, f"blob:{address[:10]}")) for each in browser.requests)


@pytest.mark.slow
def test_the_player_shows_the_frames_beside_the_flow(browser: Browser, address: str) -> None:
    browser.look(1200)
    browser.open(address + "window?row=0")
    browser.until("document.querySelector('.player').dataset.ready")
    assert browser.run("document.querySelector('.player').dataset.ready") == "frames"
    browser.run("document.querySelector('.play').click()")
    assert browser.run("document.querySelector('.play').textContent") == "Play"
    move = "s = document.querySelector('.step'); s.value = {}; s.dispatchEvent(new Event('input'))"
    drawn = "document.querySelector('.{}').toDataURL()"
    seen = []
    for step in (0, 7):
        browser.run(move.format(step))
        assert f"step {step + 1} of 8" in browser.run("document.querySelector('.time').textContent")
        seen.append([browser.run(drawn.format(name)) for name in ("frame", "flow")])
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]
    assert "frame at" in browser.run("document.querySelector('.which').textContent")
    assert browser.errors == []
