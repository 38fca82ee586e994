"""What a resume asks of an object store: a listing, and nothing of files with the same ETag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.files import KnownFiles
from sofdata.ingest.run import Prepared, prepare
from sofdata.storage.tree import Tree
from tests.s3 import S3Server

VIDEOS = 30


@pytest.fixture
def asked(s3_env: S3Server) -> Iterator[list[tuple[str, str]]]:
    """The requests for what lies in the source: what is asked, and of which key."""
    from s3fs import S3FileSystem

    found: list[tuple[str, str]] = []
    whole = S3FileSystem._call_s3

    async def note(fs: Any, method: str, *more: Any, **arguments: Any) -> Any:
        key = str(arguments.get("Key", arguments.get("Prefix", "")))
        if key.startswith("source/"):
            found.append((method, key))
        return await whole(fs, method, *more, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3FileSystem, "_call_s3", note)
        yield found


@pytest.fixture
def bucket(s3_env: S3Server) -> str:
    url = s3_env.make_bucket("resumes")
    for number in range(VIDEOS):
        Tree(url).write(f"source/{number:02}.mp4", f"{number:02}".encode() * 500)
    return url


def planned(bucket: str, *settings: str) -> Prepared:
    config = load_config(None, ("run.engine=inline", *settings))
    return prepare(Tree(f"{bucket}/source"), Tree(f"{bucket}/dataset"), config, "folder")


def test_a_resume_of_a_bucket_is_one_listing_and_reads_what_has_another_etag(
    bucket: str, asked: list[tuple[str, str]]
) -> None:
    plan = planned(bucket).plan
    first = Counter(method for method, _ in asked)
    assert first["get_object"] == VIDEOS  # of small files one range each
    assert first["head_object"] <= 3  # whether the source is there; none a file
    known = KnownFiles.load(Tree(f"{bucket}/dataset")).table
    assert len(known) == VIDEOS  # though just written: an ETag differs between contents
    assert all(known["etag"].to_pylist())

    asked.clear()
    assert planned(bucket).plan.stored() == plan.stored()
    again = Counter(method for method, _ in asked)
    assert not again["get_object"]
    assert again["head_object"] <= 3
    assert again["list_objects_v2"] <= 8  # of which one lists the files

    Tree(bucket).write("source/07.mp4", b"77" * 500)
    asked.clear()
    with pytest.raises(ConfigError, match=r"1 changed \(07.mp4\)"):
        planned(bucket)
    assert [key for method, key in asked if method == "get_object"] == ["source/07.mp4"]
