"""The folder that workers share, and the files in it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sofdata.ingest.splitting.folder import PartFolder, part_folder
from sofdata.ingest.splitting.steps_file import read_steps, write_steps
from sofdata.ingest.stages import StepChunk
from sofdata.types import Frames
from sofdata.video.division import NotAsWhole
from sofdata.windows.steps import Step

SIDE = 8


def chunk(first: int = 0, camera: bool = True) -> StepChunk:
    """Five frames: a step with all there is to it, a break, a still step, and one more break."""
    random = np.random.default_rng(first)
    rgb = random.integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    flow = random.normal(size=(2, SIDE, SIDE, 2)).astype(np.float32)
    evidence = random.normal(size=(5, 8, 8))
    figures = (1 / 3, 0.1, 1e-9) if camera else None
    still = Step(flow[1] * 0, flow[1, ..., 0] * 0, (0.0, 1.0, 0.0) if camera else None, None)
    quality = np.append(random.normal(size=9), np.nan)
    moving = Step(flow[0], np.abs(flow[0, ..., 0]), figures, evidence, quality)
    pts_s = first + np.arange(5) / 7
    return StepChunk(Frames(rgb, pts_s), [moving, None, still, None], ["", "shot", "", "gap"])


def same(a: StepChunk, b: StepChunk) -> bool:
    def arrays(step: Step | None) -> list[object]:
        if step is None:
            return [None]
        seen = None if step.evidence is None else step.evidence.tobytes()
        judged = None if step.quality is None else step.quality.tobytes()
        return [step.flow.tobytes(), step.magnitude.tobytes(), step.camera, seen, judged]

    return (
        a.frames.rgb.tobytes() == b.frames.rgb.tobytes()
        and a.frames.pts_s.tobytes() == b.frames.pts_s.tobytes()
        and a.breaks == b.breaks
        and [arrays(step) for step in a.steps] == [arrays(step) for step in b.steps]
    )


def test_steps_come_back_from_their_file_to_the_bit(tmp_path: Path) -> None:
    breaks_only = StepChunk(Frames(chunk().frames.rgb[:2], np.array([0.0, 1.0])), [None], ["text"])
    chunks = [chunk(), chunk(1, camera=False), breaks_only]
    write_steps(str(tmp_path / "steps"), chunks)
    found = list(read_steps(str(tmp_path / "steps")))
    assert len(found) == len(chunks)
    assert all(map(same, found, chunks))


def test_a_file_that_is_cut_off_is_no_part(tmp_path: Path) -> None:
    write_steps(str(tmp_path / "steps"), [chunk()])
    data = (tmp_path / "steps").read_bytes()
    (tmp_path / "steps").write_bytes(data[:-10])
    with pytest.raises(NotAsWhole, match="damaged"):
        list(read_steps(str(tmp_path / "steps")))


@pytest.fixture
def folder() -> Iterator[PartFolder]:
    with part_folder(parts=4, ahead=2) as made:
        assert made is not None
        yield made


def test_parts_are_claimed_in_order_and_each_once(folder: PartFolder) -> None:
    with folder.next_part() as first, folder.next_part() as second:
        assert (first, second) == (0, 1)
        assert not folder.take(0)
        with folder.next_part() as third:
            assert third is None, "two are ahead"
    with folder.next_part() as again:
        assert again == 0, "nobody has it any more"


def test_a_part_that_is_done_is_read_once_and_makes_room(folder: PartFolder) -> None:
    for number in (0, 1):
        with folder.next_part() as claimed:
            assert claimed == number
            folder.write(number, [chunk(number)])
    with folder.next_part() as claimed:
        assert claimed is None
    assert folder.is_done(0)
    assert [same(one, chunk(0)) for one in folder.read(0)] == [True]
    assert not folder.is_done(0)
    assert not folder.take(0)
    with folder.next_part() as claimed:
        assert claimed == 2
    assert folder.take(2)
    assert folder.take(3)
    assert not folder.has_left()


def test_a_part_of_which_writing_fails_is_free_again(folder: PartFolder) -> None:
    def failing() -> Iterator[StepChunk]:
        yield chunk()
        raise NotAsWhole("no")

    with folder.next_part() as number:
        assert number == 0
        with pytest.raises(NotAsWhole):
            folder.write(number, failing())
    assert not folder.is_done(0)
    assert sorted(os.listdir(folder.path)) == ["0.lock"]


def test_a_folder_is_open_until_it_is_broken_off_or_gone() -> None:
    with part_folder(parts=2, ahead=1) as folder:
        assert folder is not None
        assert folder.is_open()
        folder.break_off("a frame differs")
        assert not folder.is_open()
        assert folder.why_broken() == "a frame differs"
    assert not folder.is_open()
    folder.break_off("too late")


def test_a_folder_that_is_gone_fails_by_name() -> None:
    with part_folder(parts=2, ahead=1) as folder:
        assert folder is not None
    with pytest.raises(NotAsWhole, match="folder of parts"):
        folder.take(0)
    with pytest.raises(NotAsWhole, match="folder of parts"), folder.next_part():
        pass
    with pytest.raises(NotAsWhole, match="folder of parts"):
        folder.write(0, [chunk()])


def hold(path: str, ready: multiprocessing.synchronize.Event) -> None:
    with PartFolder(path, 2, 2).next_part():
        ready.set()
        signal.pause()


def test_the_part_of_a_process_that_is_killed_is_free_again(folder: PartFolder) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(folder.path, ready))
    process.start()
    assert ready.wait(60)
    assert not folder.take(0)
    process.kill()
    process.join()
    assert folder.take(0)


def own(path: str, ready: multiprocessing.synchronize.Event) -> None:
    with part_folder(1, 1) as folder:
        assert folder
        Path(path).write_text(folder.path)
        ready.set()
        signal.pause()


def test_a_folder_whose_owner_is_killed_is_no_longer_open(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=own, args=(str(tmp_path / "path"), ready))
    process.start()
    assert ready.wait(60)
    folder = PartFolder((tmp_path / "path").read_text(), 1, 1)
    assert folder.is_open()
    process.kill()
    process.join()
    assert not folder.is_open()
