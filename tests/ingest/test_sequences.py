"""Sequences of pictures go the whole way as videos do: plan, decode, windows, resume, verify."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import fsspec
import pytest
from rich.console import Console

from sofdata.audit.run import IN_NO_FILE, audit
from sofdata.audit.table import print_audit
from sofdata.errors import ConfigError
from sofdata.ingest.plan import load_plan
from sofdata.ingest.replay import replay
from sofdata.ingest.verify import verify
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.types import VideoRef
from sofdata.view.film import Projector, Source
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest
from tests.sequences import samples, write_frames, wrong_frames

SETTINGS = ("sequences.fps=10", "windows.length=4", "flow.step_s=0.1", "flow.size=96")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three recordings of numbered pictures, one of which lacks some."""
    root = tmp_path / "source"
    write_frames(root / "a" / "one", range(20))
    write_frames(root / "a" / "two", range(40, 70), kind="PNG", pattern="img{}.png")
    write_frames(root / "b", [*range(12), *range(20, 30)])
    return root


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/pictures/", recursive=True)
    yield "memory://pictures"
    files.rm("/pictures", recursive=True)


def spans(dest: Path) -> dict[str, list[tuple[float, float]]]:
    """The spans of the windows of each video, in s."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in samples(dest):
        record = sample.record
        found.setdefault(record.source, []).append((record.start_s, record.end_s))
    return found


def test_every_folder_of_pictures_is_a_video(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    found = spans(tmp_path / "d")
    assert set(found) == {"a/one", "a/two", "b"}
    assert min(found["a/one"]) == pytest.approx((0.0, 0.4))
    assert not [one for one in found["b"] if one[0] < 1.55 < one[1]]  # where pictures are missing
    assert not wrong_frames(tmp_path / "d", 10, {"a/one": 0, "a/two": 40, "b": 0})
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
    source: Path, remote: str, tmp_path: Path
) -> None:
    ingest(source, tmp_path / "here", *SETTINGS)
    ingest(source, tmp_path / "apart", *SETTINGS, "run.isolate=true")
    ingest(remote, tmp_path / "away", *SETTINGS)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_a_picture_more_makes_another_video(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    write_frames(source / "a" / "one", [20])
    (source / ".DS_Store").write_bytes(b"")
    with pytest.raises(ConfigError, match="update"):
        ingest(source, tmp_path / "d", *SETTINGS)


def test_pictures_that_changed_since_the_plan_are_no_input(source: Path, tmp_path: Path) -> None:
    """A picture that is written over while the ingest goes on is not what the plan saw."""
    one = source / "a" / "one"
    (plan_first,) = [Tree(str(source)).fingerprint(Location("a/one/"), 0)]
    picture = one / "frame_000003.jpg"
    picture.write_bytes(picture.read_bytes() + b"0")
    assert Tree(str(source)).fingerprint(Location("a/one/"), 0) != plan_first


def test_a_rate_is_needed_and_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequences\.fps=30"):
        ingest(source, tmp_path / "d", "windows.length=4")


def test_a_rate_is_of_no_use_to_videos(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"sequences\.\* is set"):
        ingest(tmp_path / "v", tmp_path / "d", "sequences.fps=10")


@pytest.fixture
def dataset(source: Path, tmp_path: Path) -> Path:
    """Of pictures, with the flow of whole recordings."""
    ingest(source, tmp_path / "d", *SETTINGS, "flow.keep=true")
    return tmp_path / "d"


def test_the_frames_of_a_window_are_shown_again(dataset: Path, source: Path) -> None:
    record = read_dataset(Tree(str(dataset)))
    plan = load_plan(Tree(str(dataset)))
    assert record is not None
    assert plan is not None
    ref = plan.find("a/two")
    assert isinstance(ref, VideoRef)
    projector = Projector(record, Source.of(Tree(str(dataset)), None))
    try:
        shown = [read(rgb).number for rgb in projector.at(ref, [0.5, 0.6, 0.7])]
        every = [read(rgb).number for _, rgb in projector.all(ref)]
    finally:
        projector.close()
    assert shown == [45, 46, 47]
    assert every == list(range(40, 70))


def test_an_audit_says_that_it_compares_nothing(dataset: Path) -> None:
    result = audit(Tree(str(dataset)))
    assert [video.not_compared for video in result.videos] == [IN_NO_FILE] * 3
    console = Console(width=200, file=StringIO())
    print_audit(console, result)
    assert "nothing was compared of 3 videos" in console.file.getvalue()  # type: ignore[attr-defined]


def test_one_recording_is_run_again_also_where_flow_is_kept(dataset: Path) -> None:
    record = replay(Tree(str(dataset)), "b", None, Console(file=StringIO()))
    assert record is not None
    assert (record.status, record.frames_lost) == ("done", 8)
