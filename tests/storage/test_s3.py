"""`sofdata.storage.s3` on a real server: whole files or none, one winner, nothing left."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sofdata.errors import ConfigError, StorageError, TransientError
from sofdata.storage import s3
from sofdata.storage.folder import PIECE
from sofdata.storage.remote import open_store
from sofdata.storage.s3 import MIB, THRESHOLD, S3Store
from sofdata.storage.tree import Tree
from sofdata.storage.uris import named
from sofdata.system import fault_points as faults
from tests.s3 import SECRET_KEY, S3Server

BUCKET = "objects"
AtStep = Callable[[str, Callable[[], None]], None]


@pytest.fixture(scope="module", autouse=True)
def bucket(s3: S3Server) -> None:
    s3.make_bucket(BUCKET)


@pytest.fixture
def tree(s3_env: S3Server, request: pytest.FixtureRequest) -> Tree:
    return Tree(f"s3://{BUCKET}/{request.node.name}")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts."""
    monkeypatch.setattr(s3, "PART_BYTES", 5 * MIB)
    monkeypatch.setenv(THRESHOLD, "5")
    path = tmp_path / "large"
    path.write_bytes(os.urandom(12 * MIB))
    return path


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """Have something happen once, when a step is reached for the first time."""

    def arrange(step: str, action: Callable[[], None]) -> None:
        waiting, lock = [action], threading.Lock()

        def inject(reached: str) -> None:
            with lock:
                due = waiting.pop() if waiting and reached == step else None
            if due:
                due()

        monkeypatch.setattr(faults, "_inject", inject)

    return arrange


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_file_goes_and_comes_in_parts(tree: Tree, large: Path, s3_env: S3Server) -> None:
    tree.put(str(large), "shards/a.tar", sha256(large))
    info = s3_env.client().info(tree.path("shards/a.tar"))
    assert info["ETag"].strip('"').endswith("-3")  # S3's sign for three parts
    assert tree.holds("shards/a.tar", sha256(large))
    assert not tree.holds("shards/a.tar", "0" * 64)
    assert large.stat().st_size > PIECE
    copy = large.with_name("copy")
    tree.download("shards/a.tar", str(copy))
    assert copy.read_bytes() == large.read_bytes()
    assert not tree.unfinished()


def refuse() -> None:
    raise PermissionError("Access Denied")


def stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["upload: begun", "upload: part sent", "upload: parts sent"])
@pytest.mark.parametrize(
    ("error", "raised"), [(refuse, PermissionError), (stop, KeyboardInterrupt)]
)
def test_an_upload_that_fails_is_aborted(
    tree: Tree,
    large: Path,
    at_step: AtStep,
    step: str,
    error: Callable[[], None],
    raised: type[BaseException],
) -> None:
    at_step(step, error)
    with pytest.raises(raised):
        tree.put(str(large), "shards/a.tar")
    assert not tree.unfinished()
    assert not tree.exists("shards/a.tar")


def test_an_upload_that_another_driver_aborts_begins_again(
    tree: Tree, large: Path, at_step: AtStep
) -> None:
    at_step("upload: part sent", Tree(tree.url).clear_scratch)
    tree.put(str(large), "shards/a.tar", sha256(large))
    assert hashlib.sha256(tree.read("shards/a.tar")).hexdigest() == sha256(large)
    assert not tree.unfinished()


def test_an_upload_needs_its_local_file_only_to_begin(
    tree: Tree, large: Path, at_step: AtStep
) -> None:
    digest = sha256(large)
    at_step("upload: begun", large.unlink)
    tree.put(str(large), "shards/a.tar", digest)
    assert hashlib.sha256(tree.read("shards/a.tar")).hexdigest() == digest
    with pytest.raises(StorageError, match="cannot read"):
        tree.put(str(large), "shards/a.tar", digest)
    assert not tree.unfinished()


def test_what_a_killed_process_has_left_is_found_and_aborted_but_not_next_door(
    tree: Tree, s3_env: S3Server
) -> None:
    client, root = s3_env.client(), tree.root.removeprefix(f"{BUCKET}/")
    for key in (f"{root}/shards/a.tar", f"{root}-beside/shards/a.tar"):
        client.call_s3("create_multipart_upload", Bucket=BUCKET, Key=key)
    assert tree.unfinished() == ["shards/a.tar"]
    tree.clear_scratch()
    assert s3_env.unfinished(BUCKET) == [f"{root}-beside/shards/a.tar"]
    Tree(f"{tree.url}-beside").clear_scratch()
    assert not s3_env.unfinished(BUCKET)


def test_a_threshold_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THRESHOLD, "16 MiB")
    with pytest.raises(ConfigError, match=f"{THRESHOLD} is '16 MiB', where a number"):
        s3.multipart_from()


def test_of_eight_who_create_a_file_one_wins_and_its_bytes_stand(tree: Tree) -> None:
    trees = [Tree(tree.url) for _ in range(8)]
    assert all(tree._files for tree in trees)  # connected, so that all begin at once
    start = threading.Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        return trees[number].create("ledger/a.json", f"driver {number}".encode())

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(attempt, range(8)))
    assert sum(won) == 1
    assert tree.read("ledger/a.json") == f"driver {won.index(True)}".encode()


def client_error(code: str, status: int, **more: str) -> OSError:
    """What s3fs makes of an answer of a store."""
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answer: dict[str, Any] = {"Error": {"Code": code, "Message": code, **more}}
    answer["ResponseMetadata"] = {"HTTPStatusCode": status}
    error: OSError = translate_boto_error(ClientError(answer, "PutObject"))
    return error


class Scripted:
    """An S3 client that answers with what it was given, in order; only to imitate other stores."""

    def __init__(self, *answers: OSError | None) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def split_path(self, path: str) -> tuple[str, str, None]:
        return "bucket", path, None

    def call_s3(self, method: str, **arguments: Any) -> dict[str, Any]:
        self.requests.append(arguments)
        answer = self.answers.pop(0)
        if answer:
            raise answer
        return {}


@pytest.mark.parametrize(
    "refusal",
    [
        client_error("PreconditionFailed", 412, Condition="If-None-Match"),
        client_error("PreconditionFailed", 412),
        client_error("412", 412),
    ],
)
def test_a_lost_race_is_seen_in_the_dialect_of_each_store(refusal: OSError) -> None:
    fs = Scripted(refusal)
    assert S3Store(fs, open_store("memory://x", {}).call).create("a", b"1") is False


def test_a_store_that_knows_no_conditions_is_written_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fs = Scripted(client_error("NotImplemented", 501), None)
    assert S3Store(fs, open_store("memory://x", {}).call).create("a", b"1") is True
    assert ["IfNoneMatch" in request for request in fs.requests] == [True, False]


@pytest.mark.parametrize(
    ("error", "tries", "raised"),
    [
        (client_error("InternalError", 500), 5, TransientError),
        (client_error("SlowDown", 503), 5, TransientError),
        (client_error("RequestTimeout", 400), 5, TransientError),
        (client_error("BadDigest", 400), 5, TransientError),
        (client_error("ConditionalRequestConflict", 409), 5, TransientError),
        (client_error("TooManyRequests", 429), 5, TransientError),
        (ConnectionResetError("reset by peer"), 5, TransientError),
        (TimeoutError("timed out"), 5, TransientError),
        (client_error("InvalidArgument", 400), 1, StorageError),
        (client_error("KeyTooLongError", 400), 1, StorageError),
        (client_error("NotImplemented", 501), 1, StorageError),
        (client_error("SignatureDoesNotMatch", 403), 1, StorageError),
        (client_error("ExpiredToken", 400), 1, StorageError),
        (client_error("NoSuchKey", 404), 1, FileNotFoundError),
    ],
)
def test_only_what_may_work_the_next_time_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: OSError, tries: int, raised: type[Exception]
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(raised):
        open_store("memory://x", {}).call("write a", fail)
    assert len(calls) == tries


def test_a_wrong_secret_is_told_without_it(s3_env: S3Server) -> None:
    wrong = "wr0ng-S3CR3T-value"
    tree = Tree(f"s3://{BUCKET}/d", {"secret": wrong, "key": "test-access-key"})
    for attempt in (tree.exists, tree.is_file, lambda: list(tree.walk()), lambda: tree.read("a")):
        with pytest.raises(StorageError, match="check the credentials") as error:
            attempt()
        assert wrong not in str(error.value)
        assert SECRET_KEY not in str(error.value)


def test_a_store_that_repeats_a_secret_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-marker")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    store = open_store("memory://x", {"client_kwargs": {"aws_secret_access_key": "s3cr3t-marker"}})

    def fail() -> None:
        raise OSError("the signature of s3cr3t-marker and t0ken-marker does not match")

    with pytest.raises(TransientError) as error:
        store.call("read a", fail)
    assert "marker" not in str(error.value)
    assert "does not match" in str(error.value)


def test_no_credentials_at_all_is_told(
    s3_env: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    tree = Tree(f"s3://{BUCKET}/d", {"client_kwargs": {"region_name": "us-east-1"}})
    with pytest.raises(StorageError, match="check the credentials"):
        tree.exists()


def test_a_bucket_that_does_not_exist_is_told(s3_env: S3Server) -> None:
    with pytest.raises(ConfigError, match="no such bucket"):
        Tree("s3://no-such-bucket-here/d").check_bucket()
    assert not Tree("s3://no-such-bucket-here/d").exists()


def test_a_store_that_cannot_be_reached_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    tree = Tree(
        f"s3://{BUCKET}/d",
        {"endpoint_url": "http://127.0.0.1:9", "key": "a", "secret": SECRET_KEY},
    )
    with pytest.raises(TransientError, match="in 5 tries") as error:
        tree.read("a")
    assert SECRET_KEY not in str(error.value)


def test_ranges_are_read_alone_and_end_with_the_file(tree: Tree) -> None:
    tree.write("a", bytes(range(100)))
    assert tree.read_range("a", 10, 13) == bytes([10, 11, 12])
    assert tree.read_range("a", 98, 200) == bytes([98, 99])
    assert tree.read_range("a", 100, 200) == b""
    assert tree.read_range(named(f"{tree.url}/a"), 0, 2) == bytes([0, 1])
    with pytest.raises(FileNotFoundError):
        tree.read_range("b", 0, 1)
    tree.write("empty", b"")
    assert tree.read("empty") == b""


def test_a_fingerprint_reads_samples_only_and_is_that_of_a_local_file(
    tree: Tree, tmp_path: Path
) -> None:
    local, path = Tree(str(tmp_path)), tmp_path / "v.mp4"
    fs = open_store(tree.url, {}).fs  # the one instance that fsspec keeps
    actual = fs.cat_file
    for size in (0, 1000, 3 << 16, 1 << 20):
        path.write_bytes(os.urandom(size))
        tree.put(str(path), "v.mp4")
        read: list[int] = []

        def count(*args: Any, _read: list[int] = read, **limits: Any) -> bytes:
            data: bytes = actual(*args, **limits)
            _read.append(len(data))
            return data

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fs, "cat_file", count)
            assert tree.fingerprint("v.mp4", size) == local.fingerprint("v.mp4", size)
        assert sum(read) == min(size, 3 << 16)
