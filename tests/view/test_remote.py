"""A dataset in an object store is shown like one on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.loading.index import Index
from sofdata.storage.tree import Tree
from sofdata.view.film import Source
from sofdata.view.movie import write_movie
from sofdata.view.site import Site
from tests.helpers import ingest
from tests.s3 import S3Server

pytestmark = pytest.mark.slow


def test_pages_pictures_and_films_of_a_dataset_in_a_bucket(
    s3_env: S3Server, corpus: Path, tmp_path: Path
) -> None:
    url = f"{s3_env.make_bucket('viewed')}/dataset"
    ingest(corpus, url)
    tree = Tree(url)
    site = Site(tree, Source.of(tree, None))
    pages = ("", "aside", "account", "skills")
    assert [site.answer(page, {}).status for page in pages] == [200] * len(pages)
    for picture in ("first", "flow", "frames"):
        assert site.answer(f"picture/{picture}", {"row": "2"}).status == 200
    site.close()
    video = str(Index(tree).row(["source"], 0)["source"])
    assert write_movie(tree, video, str(tmp_path / "a.mp4")).windows >= 1


def test_a_store_is_asked_for_frames_only_where_the_user_names_it(
    s3_env: S3Server, corpus: Path, tmp_path: Path
) -> None:
    url = f"{s3_env.make_bucket('filmed')}/corpus"
    client = s3_env.client()
    for path in corpus.rglob("*"):
        if path.is_file():
            client.put_file(str(path), f"{url}/{path.relative_to(corpus).as_posix()}")
    ingest(url, tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    site = Site(tree, Source.of(tree, None))
    assert b"is in a store" in site.answer("picture/frames", {"row": "0"}).body
    site.close()
    site = Site(tree, Source.of(tree, url))
    assert site.answer("picture/frames", {"row": "0"}).status == 200
    site.close()
