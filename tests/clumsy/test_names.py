"""Names are data, in every store: whatever a key or a file is called, it is only called so."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from s3fs import S3FileSystem

from sofdata.corpora.base import Listing
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.plan import load_plan
from sofdata.ingest.verify import verify
from sofdata.loading.loader import Loader
from sofdata.scenes import write_clip
from sofdata.shards.sample import sample_key
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, parse
from tests.helpers import ingest
from tests.ingest.test_http_source import Ranges, serving
from tests.keys import BUCKET, bucket_of, variables
from tests.s3 import S3Server

SETTINGS = ("windows.length=4", "flow.size=64", "windows.size=32")

# Names that mean something to a URL, a path, a shell, FFmpeg, s3fs or an older sofdata. `{secret}`
# is the path of a video of this machine.
ODD = [
    "a://b.mp4",
    "file://{secret}",
    "file:{secret}",
    "local://{secret}",
    "{secret}",
    "s3://odd/elsewhere/x.mp4",
    "memory://elsewhere/x.mp4",
    "http://127.0.0.1:9/x.mp4",
    "simplecache::file://{secret}",
    "plain.mp4#bytes=0-10",
    "plain.mp4#row=0&column=v",
    "plain.mp4#unpacked",
    "plain.mp4#1.mp4",
    "q?x=1&y=2.mp4",
    "plain.mp4?versionId=1.mp4",
    "plain.mp4?versionId=abc",
    "d//e.mp4",
    "d///e.mp4",
    "//two.mp4",
    "up/../../../plain.mp4",
    "here/./plain.mp4",
    "quoted:plain.mp4",
    "quoted:file%3A///x.mp4",
    "100%41.mp4",
    "-rf.mp4",
    "~root.mp4",
    "$HOME.mp4",
    "*.mp4",
    "[a-z]?.mp4",
    "{a,b}.mp4",
    "a\nb.mp4",
    "space .mp4 ",
    "dots.mp4..",
    "C:\\windows\\x.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "concat:plain.mp4|plain.mp4",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.mp4",
    unicodedata.normalize("NFD", "caf\N{LATIN SMALL LETTER E WITH ACUTE}.mp4"),
    "l" * 300 + ".mp4",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "a.webm"
    write_clip(path, 1, seconds=1.2)
    return path.read_bytes()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of this machine that is nobody's business."""
    path = tmp_path_factory.mktemp("private") / "secret.mp4"
    write_clip(path.with_suffix(".webm"), 2, seconds=3.0)
    return path.with_suffix(".webm").rename(path)


@pytest.fixture(scope="module")
def odd(clip: bytes, secret: Path) -> dict[str, bytes]:
    """Names and what the files hold: no two the same."""
    names = ["plain.mp4", *(name.replace("{secret}", str(secret)) for name in ODD)]
    return {name: clip + b"\0" * number for number, name in enumerate(names)}


@pytest.fixture
def s3_source(odd: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bucket_of({f"top/{name}": data for name, data in odd.items()}) as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()  # of another server's
        yield f"s3://{BUCKET}/top"
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def memory_source(odd: dict[str, bytes]) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    for name, data in odd.items():
        memory.pipe_file(f"/names/{name}", data)
    yield "memory://names"
    for path in [path for path in memory.store if path.startswith("/names/")]:
        del memory.store[path]


@pytest.fixture
def source(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def listed(source: Path | str, corpus: str = "auto", *settings: str) -> Listing:
    tree = Tree(str(source))
    adapter, _ = find_corpus(tree, corpus, load_config(None, settings).manifest)
    return list_source(adapter, tree, False)


STORES = pytest.mark.parametrize("source", ["s3_source", "memory_source"], indirect=True)


@STORES
def test_every_key_is_listed_and_read_as_what_it_is(source: str, odd: dict[str, bytes]) -> None:
    tree, listing = Tree(source), listed(source, "folder")
    assert {entry.id for entry in listing.entries} == set(odd)
    for entry in listing.entries:
        where, data = parse(entry.uri), odd[entry.id]
        assert where == Location(entry.id)
        assert tree.size(where) == len(data) == entry.size_bytes, entry.id
        assert tree.read(where) == data, entry.id
        assert tree.read_range(where, 3, 90) == data[3:90], entry.id
        with tree.open(where) as handle:
            assert handle.read() == data, entry.id
        with tree.local_copy(where) as copy:
            assert Path(copy).read_bytes() == data, entry.id


def test_every_video_of_odd_keys_is_done_under_its_own_name_verified_and_loaded(
    s3_source: str, odd: dict[str, bytes], tmp_path: Path
) -> None:
    dest = Tree(str(tmp_path / "d"))
    summary = ingest(s3_source, dest.root, *SETTINGS, corpus="folder")
    assert summary.dataset.counts.done == summary.dataset.counts.videos == len(odd)
    assert verify(dest).whole
    keys = {key for batch in Loader(dest.root, batch_size=8) for key in batch.keys}
    assert {sample_key(name, 0) for name in odd} <= keys
    assert len(keys) == summary.dataset.counts.windows


# Of those, what SeaweedFS, which makes paths of keys, can hold.
KEPT = ["plain.mp4", "x#1.mp4", "v.mp4#bytes=0-10", "v.mp4?versionId=1", "q?x=1.mp4"]
KEPT += ["100%41.mp4", "quoted:plain.mp4", "quoted:a%3A%2F%2Fb.mp4", "a\nb.mp4", " s .mp4 "]
KEPT += ["*[a-z]?.mp4", "-r.mp4"]


@pytest.mark.slow
def test_a_real_server_gives_each_of_its_keys_as_what_it_is(s3_env: S3Server, clip: bytes) -> None:
    files = {name: clip + b"\0" * number for number, name in enumerate(KEPT)}
    client, url = s3_env.client(), s3_env.make_bucket("names")
    for name, data in files.items():
        client.call_s3("put_object", Bucket="names", Key=f"top/{name}", Body=data)
    listing, tree = listed(f"{url}/top", "folder"), Tree(f"{url}/top")
    assert {entry.id for entry in listing.entries} == set(files)
    for entry in listing.entries:
        assert tree.read(parse(entry.uri)) == files[entry.id]
        with tree.local_copy(parse(entry.uri)) as copy:
            assert Path(copy).read_bytes() == files[entry.id]


def test_local_files_of_odd_names_are_done_under_their_own_names(
    clip: bytes, odd: dict[str, bytes], tmp_path: Path
) -> None:
    names = [name for name in odd if len(name) < 255 and ".." not in name.split("/")]
    names = [name for name in names if "//" not in name and name[0] not in "/."]
    names += ["img%03d.mp4", "#bytes=1-2", "a.tar#bytes=512-600", ":memory:.mp4"]
    for name in names:
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip)
    summary = ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, corpus="folder")
    assert summary.dataset.counts.done == len({str(Path(name)) for name in names})
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_a_folder_whose_name_holds_a_question_mark_and_a_number_sign_is_a_source_and_a_destination(
    clip: bytes,
) -> None:
    source, dest = "memory://what?/take#1", "memory://made?/of#2"
    fsspec.filesystem("memory").pipe_file("/what?/take#1/a.mp4", clip)
    ingest(source, dest, *SETTINGS)
    assert verify(Tree(dest)).whole
    assert Tree(source).name == source
    assert len(next(iter(Loader(dest, batch_size=1))).keys) == 1


class Page(Ranges):
    """A page of links that lead anywhere."""

    links: ClassVar[list[str]] = []

    def list_directory(self, path: Any) -> Any:
        text = "".join(f'<a href="{link}">x</a>' for link in self.links).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        return None


def test_a_web_page_cannot_make_a_file_of_this_machine_or_of_another_folder_a_video(
    clip: bytes, secret: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(clip)
    (tmp_path / "above.mp4").write_bytes(clip)
    links = ["a.mp4", f"file://{secret}", "../above.mp4", "/above.mp4", "%2e%2e/above.mp4"]
    kind = type("Linked", (Page,), {"links": [*links, "http://127.0.0.2/b.mp4"]})
    with serving(kind, tmp_path) as url:
        summary = ingest(url, tmp_path / "d", *SETTINGS, corpus="folder")
    assert summary.dataset.counts.done == 1
    plan = load_plan(Tree(str(tmp_path / "d")))
    assert plan
    assert not any(parse(each.uri).elsewhere for each in plan.refused)
    assert [video.id for unit in plan.units for video in unit.videos] == ["a.mp4"]


def test_links_with_a_query_are_rejects_whose_query_is_not_kept(
    clip: bytes, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(clip)
    kind = type("Signed", (Page,), {"links": ["?C=N;O=D", "a.mp4?X-Amz-Signature=s3cr3t"]})
    with serving(kind, tmp_path) as url:
        (entry,) = listed(url, "folder").entries
    assert (entry.id, entry.uri, entry.problem) == ("a.mp4", "a.mp4", "bad_name")
    assert "query" in entry.detail


def test_a_tar_whose_name_looks_like_a_part_of_a_file_gives_its_videos(
    clip: bytes, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    name = "00000.tar#bytes=0-100.tar"
    with tarfile.open(tmp_path / "s" / name, "w") as tar:
        info = tarfile.TarInfo("../k#bytes=0-9.mp4")
        info.size = len(clip)
        tar.addfile(info, io.BytesIO(clip))
    summary = ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, corpus="video2dataset")
    assert summary.dataset.counts.done == 1
    (entry,) = listed(tmp_path / "s", "video2dataset").entries
    where = parse(entry.uri)
    assert (where.file, where.elsewhere) == (name, False)
    assert Tree(str(tmp_path / "s")).read_range(where, 0, len(clip)) == clip


def test_only_a_manifest_names_files_elsewhere_and_its_names_are_names(
    clip: bytes, secret: Path, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    odd = ["a.mp4#bytes=0-10", "a?b.mp4", "a.mp4#unpacked", "quoted:a.mp4"]
    for name in odd:
        (source / name).write_bytes(clip)
    (tmp_path / "beside.mp4").write_bytes(clip)
    fsspec.filesystem("memory").pipe_file("/m/b#bytes=0-9", clip)
    rows = [*odd, str(secret), f"file://{secret}", "../beside.mp4", "memory://m/b#bytes=0-9"]
    (source / "manifest.csv").write_text("uri\n" + "".join(f'"{row}"\n' for row in rows))
    entries = {entry.id: parse(entry.uri) for entry in listed(source).entries}
    assert [entries[name].elsewhere for name in rows] == [False] * 4 + [True] * 4
    summary = ingest(source, tmp_path / "d", *SETTINGS)
    assert summary.dataset.counts.done == len(rows)


def test_a_table_on_a_web_server_cannot_name_files_of_this_machine(
    secret: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "manifest.csv").write_text(f"uri\nfile://{secret}\n")
    with serving(Ranges, tmp_path) as url, pytest.raises(ConfigError, match="of this machine"):
        listed(f"{url}/manifest.csv")


def test_what_ego4d_redacts_is_found_above_keys_that_look_like_urls(clip: bytes) -> None:
    uid = "0a1b2c3d-0000-4000-8000-000000000001"
    record = {"video_uid": uid, "duration_sec": 9.0, "redacted_intervals": [[1.0, 2.0]]}
    record["redacted_intervals"] = [{"start_sec": 1.0, "end_sec": 2.0}]  # as Ego4D writes them
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/e4/ego4d.json", json.dumps({"videos": [record], "clips": []}).encode())
    memory.pipe_file(f"/e4/http://x/{uid}.mp4", clip)
    (entry,) = [each for each in listed("memory://e4", "folder").entries if not each.problem]
    assert entry.id == f"http://x/{uid}.mp4"
    assert entry.annotations.hidden_s


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{secret}'\n",
    "dash": '<?xml version="1.0"?><MPD><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\na=control:file://{secret}\n",
    "rtsp": "rtsptext\n[Reference]\nRef1=file://{secret}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_that_is_named_like_a_video_opens_nothing(
    kind: str, secret: Path, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    text = PLAYLISTS[kind].replace("{secret}", str(secret))
    (tmp_path / "s" / "clip.mp4").write_text(text + " " * 4096)
    counts = ingest(tmp_path / "s", tmp_path / "d", *SETTINGS).dataset.counts
    assert (counts.videos, counts.done, counts.windows) == (1, 0, 0)


def test_uris_of_older_plans_are_read_as_they_were_meant() -> None:
    assert parse("clips/a b.mp4") == Location("clips/a b.mp4")
    assert parse("a.tar#bytes=512-1024") == Location("a.tar", part=(512, 1024))
    assert parse("t.parquet#row=3&column=a%2Fb") == Location("t.parquet", cell=(3, "a/b"))
    packed = Location("d/c-??.zip", part=(0, 9), unpacked=True)
    assert parse("d/c-??.zip#unpacked#bytes=0-9") == packed
    assert parse("/data/a.mp4") == Location("/data/a.mp4", elsewhere=True)
    assert parse("s3://b/a.mp4") == Location("s3://b/a.mp4", elsewhere=True)
    assert parse("quoted:a.mp4") == Location("quoted:a.mp4")
