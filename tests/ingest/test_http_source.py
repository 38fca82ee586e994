"""Videos on an HTTP server, one that can send ranges and one that cannot."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sofdata.errors import ConfigError, TransientError
from sofdata.scenes import write_clip
from sofdata.storage.fingerprints import SAMPLE_BYTES
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest


class Plain(SimpleHTTPRequestHandler):
    """Python's own server, which sends whole files only and lists folders as HTML."""

    def log_message(self, *_: object) -> None:
        return


class Ranges(Plain):
    """The same with ranges."""

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        start, end = int(asked[1]), min(len(data) - 1, int(asked[2] or len(data) - 1))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end + 1 - start))
        self.end_headers()
        self.wfile.write(data[start : end + 1])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("www") / "videos"
    (folder / "more").mkdir(parents=True)
    write_clip(folder / "a.webm", 1, seconds=2.5)
    write_clip(folder / "more" / "b c.webm", 2, seconds=2.5)
    (folder / "large.txt").write_bytes(bytes(range(256)) * 2048)
    return folder


@contextmanager
def serving(kind: type[Plain], folder: Path) -> Iterator[str]:
    """The URL of the videos in a folder that a server shows for a while."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/videos"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=[Plain, Ranges])
def url(request: pytest.FixtureRequest, videos: Path) -> Iterator[str]:
    with serving(request.param, videos.parent) as url:
        yield url


def test_a_listed_folder_gives_the_bytes_of_a_local_one(
    url: str, videos: Path, tmp_path: Path
) -> None:
    ingest(videos, tmp_path / "local")
    ingest(url, tmp_path / "http")
    assert hashes(tmp_path / "http") == hashes(tmp_path / "local")


def test_ranges_and_fingerprints_are_those_of_a_local_file(url: str, videos: Path) -> None:
    there, here = Tree(url), Tree(str(videos))
    size = here.size("large.txt")
    assert size > 3 * SAMPLE_BYTES
    assert there.size("large.txt") == size
    assert there.read_range("large.txt", 5, 9) == bytes([5, 6, 7, 8])
    assert there.fingerprint("large.txt", size) == here.fingerprint("large.txt", size)


def test_only_a_server_that_sends_ranges_is_said_to_have_them(
    url: str, request: pytest.FixtureRequest
) -> None:
    assert Tree(url).has_ranges("large.txt") == ("Ranges" in request.node.name)


def test_what_is_missing_is_told_without_the_query(url: str) -> None:
    with pytest.raises(FileNotFoundError) as error:
        Tree(url).read(f"{url}/none.webm?token=s3cr3t-marker")
    assert "s3cr3t-marker" not in str(error.value)


class Busy(Plain):
    """Refuses the first requests of each kind for a file."""

    refused: ClassVar[Counter[str]] = Counter()

    def send_head(self) -> Any:
        self.refused[f"{self.command} {self.path}"] += 1
        if self.refused[f"{self.command} {self.path}"] <= 2:
            self.send_error(503)
            return None
        return super().send_head()


def test_a_busy_server_is_asked_again_and_does_not_make_files_vanish(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(Busy, videos.parent) as url:
        tree = Tree(url)
        assert tree.exists("a.webm")
        assert tree.size("large.txt") == (videos / "large.txt").stat().st_size
        assert tree.is_file("more/b%20c.webm")
        assert not tree.exists("none.webm")
    with pytest.raises(TransientError, match=r"could not reach a\.webm"):
        tree.exists("a.webm")  # and a server that is gone is no absence either


def test_http_is_no_destination(url: str, videos: Path) -> None:
    with pytest.raises(ConfigError, match="read only"):
        ingest(videos, url + "-new")


@pytest.mark.parametrize(("there", "extra"), [("gs://bucket/videos", "gcs")])
def test_a_library_that_is_missing_is_named_with_what_installs_it(there: str, extra: str) -> None:
    pytest.importorskip("fsspec")
    try:
        import gcsfs  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=rf"sofdata\[{extra}\]"):
            Tree(there).exists()
    else:
        pytest.skip("gcsfs is installed")
