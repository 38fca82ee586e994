"""`sofdata.ingest.fetch`: why a range could not be had is told, whatever a decoder makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sofdata.errors import DecodeError, InputError
from sofdata.ingest.config import load_config
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.retries import status_of
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef
from sofdata.video.ranges import BLOCK_BYTES, RangeFile, RangesSpent

SIZE = 8 * BLOCK_BYTES
FILM = VideoRef("film", "film.mp4", SIZE, "", span_s=(0.0, 1.0))


def decode(use: Callable[[RangeFile], None]) -> None:
    """Do something with a film that is read in ranges."""
    source = Tree("memory://fetch")
    source.write(FILM.uri, bytes(SIZE))
    run = load_config(None, ["run.ranges_mib=0"]).run
    with Fetcher(source, [FILM], run).video(FILM, "pyav") as (film, _):
        assert isinstance(film, RangeFile)
        use(film)


def swallow(film: RangeFile) -> None:
    try:
        while film.read():
            pass
    except InputError:
        raise DecodeError("the file ends too early") from None


def fail(film: RangeFile) -> None:
    raise DecodeError("no key frame")


def shrink(film: RangeFile) -> None:
    Tree("memory://fetch").write(FILM.uri, b"short")
    film.read()


def test_a_spent_budget_counts_for_more_than_the_error_that_a_decoder_makes_of_it() -> None:
    with pytest.raises(RangesSpent):
        decode(swallow)


def test_a_decoder_s_own_error_stays_as_it_is() -> None:
    with pytest.raises(DecodeError, match="no key frame"):
        decode(fail)


def test_a_file_that_shrinks_while_it_is_read_has_changed() -> None:
    with pytest.raises(InputError, match="shrunk") as error:
        decode(shrink)
    assert status_of(error.value) == ("quarantined", "changed")
