"""Users, passwords, keys and signatures are shown and stored nowhere, however they are given."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.audit import seen
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError, SofdataError
from sofdata.loading.loader import Loader
from sofdata.report.dataset import write_report
from sofdata.scenes import write_clip
from sofdata.storage.secrets import public_message
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_text, public_url
from sofdata.system.processes import decoding_environment
from tests.helpers import ingest, sofdata
from tests.ingest.test_http_source import Ranges, serving

SECRET = "S3cr3t/m4rk+er"  # with a slash and a plus, as keys of S3 have them
PLAIN = "s3cr3tm4rker"
SETTINGS = ("windows.length=4", "flow.size=64", "windows.size=32")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"s3://key:{SECRET}@bucket/a/b.mp4", "s3://bucket/a/b.mp4"),
        (f"s3://key:{PLAIN}@bucket", "s3://bucket"),
        (f"S3://{PLAIN}@bucket/a", "S3://bucket/a"),
        (f"https://user:{SECRET}@host:80/a?b#c", "https://host:80/a"),
        (f"HTTPS://u:{PLAIN}@ho.st/a", "HTTPS://ho.st/a"),
        (f"s3://b/a.mp4?X-Amz-Signature={PLAIN}&X-Amz-Date=1", "s3://b/a.mp4"),
        (f"gs://b/a.mp4?x=1&X-Goog-Signature={PLAIN}", "gs://b/a.mp4"),
        (f"abfs://cont@acc.dfs.core.windows.net/a?sv=1&sig={PLAIN}", None),
        (f"simplecache::http://u:{PLAIN}@host/a?b", "simplecache::http://host/a"),
        ("http://host:8080/a@b.mp4", "http://host:8080/a@b.mp4"),
        ("hf://datasets/u/r@main/a.mp4", "hf://datasets/u/r@main/a.mp4"),
        ("s3://bucket/take#1?/user@host.mp4", "s3://bucket/take#1?/user@host.mp4"),
        ("s3://arn:aws:s3:eu-1:123456789012:accesspoint/n/k@x", None),
        ("clips/a:b@c.mp4", "clips/a:b@c.mp4"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret_and_a_name_as_it_is(
    url: str, shown: str | None
) -> None:
    if shown is None:
        shown = url.partition("?")[0]
    assert public_url(url) == shown
    assert Tree(url).name == shown
    assert public_text(f"cannot read '{url}', sorry").count(shown) == 1
    assert PLAIN not in public_text(f"cannot read '{url}', sorry")


def take_from(url: str, folder: Path) -> None:
    ingest(url, folder / "d")


def write_to(url: str, folder: Path) -> None:
    (folder / "a.mp4").write_bytes(b"x")
    ingest(folder / "a.mp4", url)


def load_it(url: str, folder: Path) -> None:
    Loader(url, batch_size=1)


GIVEN = [f"s3://AKIAKEY:{SECRET}@bucket/data", f"s3://{PLAIN}@bucket/data"]
GIVEN += [f"gs://user:{PLAIN}@bucket/data", f"http://user:{SECRET}@127.0.0.1:9/data"]


@pytest.mark.parametrize("url", GIVEN)
@pytest.mark.parametrize("use", [take_from, write_to, load_it])
def test_a_key_in_a_url_is_refused_before_any_request_and_shown_in_no_error(
    url: str, use: Callable[[str, Path], object], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        use(url, tmp_path)
    assert "@" not in str(error.value)
    for secret in ("AKIAKEY", "S3cr3t", "m4rk+er", PLAIN):
        assert secret not in repr(error.value) + str(error.value.__context__ or "")


@pytest.mark.parametrize("words", ["ingest URL OUT", "verify URL", "report URL"])
def test_the_command_line_says_what_to_do_about_it_and_not_what_it_was(
    words: str, tmp_path: Path
) -> None:
    given = {"URL": f"s3://AKIAKEY:{SECRET}@bucket/data", "OUT": tmp_path / "out"}
    done = sofdata(*(given.get(word, word) for word in words.split()))
    assert done.returncode == 2
    assert "s3://bucket/data was given with a user or a key" in done.stderr
    assert "S3cr3t" not in done.stdout + done.stderr
    assert "AKIAKEY" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"https://host/a.mp4?X-Amz-Signature={PLAIN}",
        f"https://host/a.mp4?token={PLAIN}",
        f"s3://bucket/a.mp4?X-Amz-Credential=a&X-Amz-Signature={PLAIN}",
    ],
)
def test_a_presigned_source_is_refused_without_its_signature(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given with a query") as error:
        ingest(url, tmp_path / "d")
    assert PLAIN not in str(error.value)


@pytest.mark.parametrize("url", [f"https://h/a?sig={PLAIN}", f"s3://b/a?X-Amz-Signature={PLAIN}"])
def test_a_manifest_with_presigned_urls_is_refused_without_their_signatures(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "manifest.csv").write_text(f"uri\n{url}\n")
    tree = Tree(str(tmp_path))
    with pytest.raises(ConfigError, match="may be secret") as error:
        find_corpus(tree, "manifest")[0].listing(tree)
    assert PLAIN not in str(error.value)


def test_what_other_libraries_say_is_told_without_the_urls_that_they_print() -> None:
    import aiohttp
    import botocore.exceptions

    url = f"https://b.s3.amazonaws.com/k?X-Amz-Signature={PLAIN}"
    errors = [
        botocore.exceptions.EndpointConnectionError(endpoint_url=url),
        aiohttp.InvalidURL(f"http://u:{PLAIN}@h/a"),
        OSError(f"[Errno 5] while reading {url}: reset"),
        FileNotFoundError(f"HTTPS://u:{PLAIN}@h/a"),
    ]
    for error in errors:
        assert PLAIN not in public_message(error)


# A web server that wants a user and a password, which a URL is the way to give


class Guarded(Ranges):
    """Serves who knows the password."""

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"user:{PLAIN}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {wanted}":
            super().do_GET()
        else:
            self.send_error(401)

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def guarded(folder: Path, password: str) -> Iterator[str]:
    with serving(Guarded, folder) as url:
        yield url.replace("http://", f"http://user:{password}@")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "www" / "videos"
    folder.mkdir(parents=True)
    write_clip(folder / "a.webm", 1, seconds=1.2)
    (folder / "broken.webm").write_bytes((folder / "a.webm").read_bytes()[:300])
    return folder


def everything(folder: Path) -> str:
    """All that the files of a dataset say, unpacked."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(path).to_pylist(), default=str))
        elif path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
    return "\n".join(texts)


def test_a_password_of_a_web_server_stands_nowhere_in_the_dataset_or_its_page(
    videos: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    with guarded(videos.parent, PLAIN) as url:
        summary = ingest(url, dest, *SETTINGS, corpus="folder")
    assert (summary.dataset.counts.done, summary.dataset.counts.quarantined) == (1, 1)
    write_report(Tree(str(dest)), summary.dataset, 2, str(tmp_path / "page.html"))
    stored = everything(dest) + (tmp_path / "page.html").read_text()
    assert PLAIN not in stored
    assert "user:" not in stored


def test_a_wrong_password_is_refused_without_being_shown(videos: Path, tmp_path: Path) -> None:
    with guarded(videos.parent, "wr0ngpassw0rd") as url:
        done = sofdata("ingest", url, tmp_path / "d", "--engine", "inline")
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert "wr0ngpassw0rd" not in done.stdout + done.stderr


# The process that decodes


@pytest.mark.parametrize(
    "engine", ["alone", "processes", pytest.param("ray", marks=pytest.mark.slow)]
)
def test_the_decoding_process_gets_known_variables_and_no_other(
    engine: str, videos: Path, tmp_path: Path
) -> None:
    odd = {"MY_PIN": "1234", "AWS_PROFILE": "x", "DATABASE_URL": "x", "LC_ALL": "C.UTF-8"}
    peek = {"SOFDATA_FAULTS": f"tests.clumsy.peek:{tmp_path / 'seen.json'}"}
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
    words: list[object] = ["ingest", videos / "a.webm", tmp_path / "d", "--engine", engine]
    if engine == "alone":
        ingest(videos / "a.webm", tmp_path / "d", *SETTINGS)
        words = ["replay", tmp_path / "d", "a.webm"]
    done = sofdata(*words, env={**os.environ, **odd, **peek, **paths})
    assert done.returncode == 0, done.stderr
    found = set(json.loads((tmp_path / "seen.json").read_text()))
    assert {"PATH", "LC_ALL", "OMP_NUM_THREADS"} <= found
    assert not {"MY_PIN", "AWS_PROFILE", "DATABASE_URL"} & found
    assert not [name for name in found if name.startswith(("AWS_", "RAY_"))]


def test_so_does_that_of_an_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def start(*_: Any, **options: Any) -> None:
        given.update(options["env"])
        raise OSError("no more processes")

    monkeypatch.setenv("MY_PIN", "1234")
    monkeypatch.setattr("subprocess.Popen", start)
    with pytest.raises((OSError, SofdataError)):
        seen.look("a.mp4", [], ingest_config())
    assert "MY_PIN" not in given
    assert "PATH" in given


def ingest_config() -> Any:
    from sofdata.ingest.config import load_config

    return load_config(None, [])


@pytest.mark.parametrize("name", ["PYTHON_TOKEN", "OMP_SECRET", "LC_PASSWORD", "HF_HOME", "PGPASS"])
def test_a_variable_of_a_secret_name_is_passed_on_for_no_reason(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert name not in decoding_environment()
