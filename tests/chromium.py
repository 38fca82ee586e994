"""A headless Chromium of this machine, told what to do over the DevTools pipe.

Debian's package `chromium` has it; where there is none, tests that need it are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 120.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with one page; skips where none is installed. profile: a folder of its own."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    to_it, ours = os.pipe()
    back, theirs = os.pipe()
    # Commands come from file descriptor 3, answers go to 4.
    command = [
        *(program, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--no-sandbox", "--no-proxy-server", f"--user-data-dir={profile}"),
        *("--remote-debugging-pipe", "about:blank"),
    ]
    shell = ["bash", "-c", f'exec "$0" "$@" 3<&{to_it} 4>&{theirs}', *command]
    process = subprocess.Popen(
        shell,
        pass_fds=(to_it, theirs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_it)
    os.close(theirs)
    try:
        yield Browser(ours, back)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)
        os.close(back)


class Browser:
    """One page. errors: what its scripts raised, and what its policy refused."""

    def __init__(self, ours: int, back: int) -> None:
        self._ours, self._back = ours, back
        self._left, self._number, self._session = b"", 0, ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = next(
            each
            for each in self._call("Target.getTargets")["targetInfos"]
            if each["type"] == "page"
        )
        found = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def look(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Make the window this large, and the user one who likes it dark or light."""
        metrics = {"deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Go there, and wait until all is loaded."""
        self._call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        options = {"returnByValue": True, "awaitPromise": True}
        found = self._call("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for an expression to be true."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.run(f"!!({condition})"):
            if time.monotonic() > end_s:
                raise AssertionError(f"it never came to be: {condition}")
            time.sleep(0.05)

    def picture(self, path: Path, whole: bool = True) -> None:
        """A picture of the page, all of it or what the window shows, as a PNG."""
        found = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._ours, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(given["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append(given["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])

    def _receive(self) -> dict[str, Any]:
        end_s = time.monotonic() + PATIENCE_S
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._back], [], [], max(0, end_s - time.monotonic()))
            data = os.read(self._back, 1 << 20) if ready else b""
            if not data:
                raise AssertionError("the browser has ended, or does not answer")
            self._left += data
        message, self._left = self._left.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found
