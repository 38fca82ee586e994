"""A long video is worked on by all workers of its node, to the same bytes, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from sofdata.ingest.engines.batches import batches
from sofdata.ingest.events import Event, SplitOpened, VideoDone
from sofdata.ingest.splitting.split import VideoSplit
from sofdata.system.fault_points import VARIABLE
from tests.faults.inject import Fault, fired, write_spec
from tests.helpers import hashes, sofdata
from tests.long_films import write_film

SETTINGS = [
    *("--set", "flow.size=64"),
    *("--set", "windows.size=32"),
    *("--set", "video.chunk_frames=8"),
    *("--set", "run.split.from_s=5"),
    *("--set", "run.split.part_s=2"),
]
FILM = "closed_GOPs,_B-frames.mp4"
# Until another worker has started, and has come to its first part.
WAITING = Fault("a video is split", "await help")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one film."""
    folder = tmp_path_factory.mktemp("film")
    assert write_film(folder, "closed GOPs, B-frames").name == FILM
    return folder


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of its dataset, made in one go."""
    dest = tmp_path_factory.mktemp("whole") / "d"
    done = sofdata("ingest", film, dest, "--engine", "inline", *SETTINGS)
    assert done.returncode == 0, done.stderr
    return hashes(dest)


class Run:
    """An ingest of the film whose steps are counted, and go wrong as `faults` say."""

    def __init__(self, film: Path, folder: Path, engine: str, workers: int, *faults: Fault) -> None:
        self.temporary = folder / "t"
        self.temporary.mkdir()
        spec = folder / "spec"
        self._trace = folder / "trace"
        self.arguments = (film, folder / "d", "--engine", engine, "--workers", workers, *SETTINGS)
        self.environment = {
            **os.environ,
            VARIABLE: write_spec(spec, faults, self._trace),
            "TMPDIR": str(self.temporary),
            "RAY_TMPDIR": tempfile.gettempdir(),  # its sockets need a short path
        }
        self._spec = spec
        self._dest = folder / "d"

    def to_its_end(self, *more: Any) -> dict[str, str]:
        done = sofdata("ingest", *self.arguments, *more, env=self.environment)
        assert done.returncode == 0, done.stderr
        return hashes(self._dest)

    def begin(self) -> subprocess.Popen[str]:
        """Start it in a process group of its own."""
        command = [sys.executable, "-m", "sofdata", "ingest", *map(str, self.arguments)]
        return subprocess.Popen(
            command,
            text=True,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=self.environment,
        )

    @property
    def fired(self) -> int:
        return fired(self._spec)

    @property
    def steps(self) -> Counter[str]:
        return Counter(self._trace.read_text().splitlines())

    @property
    def left(self) -> list[str]:
        return [name for name in os.listdir(self.temporary) if name.startswith("sofdata-tmp-")]


@pytest.mark.parametrize(("engine", "workers"), [("processes", 2), ("processes", 3), ("ray", 2)])
def test_workers_without_a_unit_help_with_a_long_video(
    film: Path, whole: dict[str, str], tmp_path: Path, engine: str, workers: int
) -> None:
    run = Run(film, tmp_path, engine, workers, WAITING)
    assert run.to_its_end() == whole
    assert run.steps["a part is joined"] > 0
    assert run.steps[f"decode {FILM}"] == 1
    assert not run.left


def test_alone_a_worker_decodes_a_long_video_in_one_go(
    film: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    run = Run(film, tmp_path, "processes", 1)
    assert run.to_its_end() == whole
    assert run.steps["a video is split"] == 1
    assert run.steps[f"decode a part of {FILM}"] == 0


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_the_part_of_a_worker_that_is_killed_is_done_again(
    film: Path, whole: dict[str, str], tmp_path: Path, engine: str
) -> None:
    run = Run(film, tmp_path, engine, 2, WAITING, Fault("a part is claimed", "kill"))
    assert run.to_its_end() == whole
    assert run.fired == 2
    assert run.steps[f"decode {FILM}"] == 1, "the worker that has the video goes on"


def test_a_worker_that_is_killed_as_it_joins_parts_costs_its_unit_a_try(
    film: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    run = Run(film, tmp_path, "processes", 2, WAITING, Fault("a part is joined", "kill", nth=2))
    assert run.to_its_end() == whole
    assert run.fired == 2
    assert run.steps[f"decode {FILM}"] == 2


@pytest.mark.parametrize("action", ["segv", "exit", "hang", "ENOSPC"])
def test_a_part_whose_decoder_fails_makes_the_video_be_decoded_in_one_go(
    film: Path, whole: dict[str, str], tmp_path: Path, action: str
) -> None:
    failure = Fault(f"decode a part of {FILM}", action)
    run = Run(film, tmp_path, "processes", 2, WAITING, failure)
    assert run.to_its_end("--set", "run.limits.floor_s=3") == whole
    assert run.fired == 2
    assert run.steps["a video is split"] == 1
    assert run.steps["a part is claimed"] > 0


def test_an_interrupted_run_leaves_no_parts_behind(film: Path, tmp_path: Path) -> None:
    run = Run(film, tmp_path, "processes", 2, WAITING, Fault("a part is joined", "hang"))
    process = run.begin()
    while run.fired < 2:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    assert run.left
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not run.left


def test_a_video_that_others_may_help_with_is_announced_at_once() -> None:
    opened = SplitOpened(cast(VideoSplit, None))
    events: list[Event] = [VideoDone("u", "a", "done"), opened, VideoDone("u", "b", "done")]
    assert [len(batch) for batch in batches(events, every_s=1000)] == [1, 1, 1]
