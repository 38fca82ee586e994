"""An audit finds nothing in a sound dataset, and names video and window of what is wrong."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.audit.run import Audit, audit
from sofdata.errors import ConfigError
from sofdata.shards.sample import DecodedSample
from sofdata.storage.tree import Tree
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.audit.alter import Members, alter, copied, jpeg, rows, set_flow, set_record
from tests.conformance.test_frames import FILMS
from tests.helpers import ingest, sofdata
from tests.videos import write_video

FPS = 30
SIZE = 128


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of texture that moves 2 px a frame to the right and 1 down."""
    folder = tmp_path_factory.mktemp("moving")
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        tiles = rng.integers(30, 220, (40, 60, 3), dtype=np.uint8)
        big = np.kron(tiles, np.ones((8, 8, 1), np.uint8))
        frames = [big[100 - i : 228 - i, 180 - 2 * i : 372 - 2 * i] for i in range(75)]
        write_video(folder / f"{name}.mp4", frames, FPS, options={"crf": "18"})
    return folder


@pytest.fixture(scope="module")
def moving(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """These, ingested. Tests must not write to it."""
    dest = tmp_path_factory.mktemp("audited") / "dest"
    ingest(source, dest)
    return dest


def _audit(dest: Path, **arguments: Any) -> Audit:
    return audit(Tree(str(dest)), **arguments)


def _found(result: Audit) -> set[tuple[str, int | None, str]]:
    return {
        (video.id, finding.window, finding.kind)
        for video in result.videos
        for finding in video.findings
    }


def _window(dest: Path, video: str = "left.mp4", number: int = 1) -> str:
    """The key of a window."""
    return next(
        str(row["key"]) for row in rows(dest) if row["source"] == video and row["window"] == number
    )


def _every_frame(path: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    frames: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
    for chunk in open_video(str(path), VideoConfig(), Sampling(SIZE, 1 / FPS)):
        frames += list(chunk.rgb[bool(frames) :])
    return frames


def test_nothing_is_found_in_a_sound_dataset(moving: Path) -> None:
    result = _audit(moving)
    assert [video.id for video in result.videos] == ["left.mp4", "right.mp4"]
    assert result.findings == 0
    for video in result.videos:
        assert video.compared == video.windows > 2
        assert (video.blind, video.not_compared, video.notes) == (0, "", [])


def test_nothing_is_found_in_a_rendered_corpus(dataset: Path) -> None:
    assert _found(_audit(dataset, videos=4)) == set()


AWKWARD = (
    "AVI H.264 B null frames",
    "AVI packed DivX plain",
    "FLV H.264 variable rate",
    "MKV H.264 projection: mirrored",
    "MOV MJPEG samples of no bytes",
    "MP4 H.264 B SEI: 90 degrees, flip horizontal",
    "MP4 H.264 B edit list of two pieces",
    "MP4 H.264 B wide pixels, crop",
    "MP4 HEVC PQ",
    "MXF H.264 B plain",
    "PS H.264 B plain",
    "PS MPEG-2 two joined by cat",
    "TS H.264 B clock runs over",
    "TS H.264 PAFF fields and frames",
    "TS H.264 intra refresh plain",
)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_nothing_is_found_in_awkward_films(tmp_path: Path, fit: str) -> None:
    films = {" ".join(film.parts): film for film in FILMS}
    (tmp_path / "films").mkdir()
    for number, name in enumerate(AWKWARD):
        film = films[name]
        made = tmp_path / f"{number:02}{film.suffix}"
        film.make(made)
        made.rename(tmp_path / "films" / made.name)
    ingest(tmp_path / "films", tmp_path / "dest", f"video.fit={fit}")
    result = _audit(tmp_path / "dest", videos=0)
    assert len(result.videos) == len(AWKWARD)
    assert _found(result) == set()


def test_spans_of_files_are_compared(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    shutil.copytree(source, folder)
    lines = ["uri,start_s,end_s", "left.mp4,0.31,1.7", "left.mp4,1.0,2.2", "right.mp4,0.5,2.0"]
    (folder / "manifest.csv").write_text("\n".join(lines))
    ingest(folder, tmp_path / "dest")
    result = _audit(tmp_path / "dest", videos=0)
    assert len(result.videos) == 3
    assert _found(result) == set()
    assert all(video.compared for video in result.videos)


def test_videos_in_archives_are_compared(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for number, name in enumerate(("left.mp4", "right.mp4")):
            for suffix, data in (("mp4", (source / name).read_bytes()), ("txt", b"Moving")):
                info = tarfile.TarInfo(f"00000000{number}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    ingest(folder, tmp_path / "dest")
    result = _audit(tmp_path / "dest", videos=0)
    assert len(result.videos) == 2
    assert _found(result) == set()
    assert all(video.compared for video in result.videos)


@pytest.mark.shared
@pytest.mark.slow
def test_nothing_is_found_in_the_shared_clips(shared_clips: Path, tmp_path: Path) -> None:
    ingest(shared_clips, tmp_path / "dest")
    result = _audit(tmp_path / "dest", videos=0)
    assert _found(result) == set()
    assert sum(video.compared for video in result.videos) > 100


@pytest.mark.parametrize("frames", [-1, 1])
def test_a_window_that_is_shifted_by_a_frame_is_named(
    moving: Path, source: Path, tmp_path: Path, frames: int
) -> None:
    """Its pictures are those of a frame earlier or later than its times."""
    dest = copied(moving, tmp_path / "dest")
    every = _every_frame(source / "left.mp4")

    def shift(sample: DecodedSample, members: Members) -> None:
        ends = [round(sample.record.pts_s[end] * FPS) + frames for end in (0, -1)]
        members["first.jpg"], members["last.jpg"] = (jpeg(every[number]) for number in ends)

    alter(dest, _window(dest), shift)
    assert _found(_audit(dest)) == {("left.mp4", 1, "shifted")}


def test_a_window_whose_times_are_shifted_by_a_frame_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")

    def shift(sample: DecodedSample, members: Members) -> None:
        pts_s = [time_s + 1 / FPS for time_s in sample.record.pts_s]
        set_record(members, pts_s=pts_s, start_s=pts_s[0], end_s=pts_s[-1])

    alter(dest, _window(dest, "right.mp4", 2), shift)
    assert _found(_audit(dest)) == {("right.mp4", 2, "shifted")}


def test_a_mirrored_window_is_named(moving: Path, tmp_path: Path) -> None:
    """Pictures and flow fit each other, but not the video."""
    dest = copied(moving, tmp_path / "dest")

    def mirror(sample: DecodedSample, members: Members) -> None:
        members["first.jpg"] = jpeg(sample.first[:, ::-1])
        members["last.jpg"] = jpeg(sample.last[:, ::-1])
        set_flow(members, sample.flow[:, :, ::-1] * np.array([-1, 1], np.float32))

    alter(dest, _window(dest), mirror)
    result = _audit(dest)
    assert _found(result) == {("left.mp4", 1, "orientation"), ("left.mp4", 1, "flow")}
    texts = [finding.text for finding in result.videos[0].findings]
    assert "the first picture is mirrored left to right" in texts
    assert "the flow is of pictures mirrored left to right" in texts


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda p: p[::-1], "mirrored top to bottom"),
        (lambda p: p[::-1, ::-1], "upside down"),
        (lambda p: np.rot90(p), "turned to the left"),
        (lambda p: np.rot90(p, -1), "turned to the right"),
        (lambda p: p.swapaxes(0, 1), "transposed"),
    ],
)
def test_a_picture_that_is_held_otherwise_is_named(
    moving: Path, tmp_path: Path, turn: Any, said: str
) -> None:
    dest = copied(moving, tmp_path / "dest")

    def change(sample: DecodedSample, members: Members) -> None:
        members["last.jpg"] = jpeg(turn(sample.last))

    alter(dest, _window(dest), change)
    (finding,) = _audit(dest, videos=0).videos[0].findings
    assert (finding.window, finding.kind) == (1, "orientation")
    assert finding.text == f"the last picture is {said}"


@pytest.mark.parametrize(
    ("vector", "said"), [((-1, 1), "mirrored left to right"), ((-1, -1), "backward")]
)
def test_flow_in_another_direction_is_named(
    moving: Path, tmp_path: Path, vector: tuple[int, int], said: str
) -> None:
    dest = copied(moving, tmp_path / "dest")

    def change(sample: DecodedSample, members: Members) -> None:
        set_flow(members, sample.flow * np.array(vector, np.float32))

    alter(dest, _window(dest), change)
    (finding,) = _audit(dest).videos[0].findings
    assert (finding.window, finding.kind) == (1, "flow")
    assert said in finding.text


def test_flow_that_is_zero_where_things_move_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")
    alter(dest, _window(dest), lambda sample, members: set_flow(members, 0 * sample.flow))
    assert _found(_audit(dest)) == {("left.mp4", 1, "flow")}


def test_a_step_to_another_frame_than_the_nearest_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")

    def change(sample: DecodedSample, members: Members) -> None:
        pts_s = list(sample.record.pts_s)
        pts_s[3] += 1 / FPS
        set_record(members, pts_s=pts_s)

    alter(dest, _window(dest), change)
    result = _audit(dest)
    assert ("left.mp4", 1, "step") in _found(result)
    assert {kind for *_, kind in _found(result)} <= {"step", "flow"}


def test_a_time_at_which_no_frame_is_shown_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")

    def change(sample: DecodedSample, members: Members) -> None:
        pts_s = list(sample.record.pts_s)
        pts_s[3] += 0.01
        set_record(members, pts_s=pts_s)

    alter(dest, _window(dest), change)
    assert ("left.mp4", 1, "time") in _found(_audit(dest))


def test_one_picture_at_both_ends_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")

    def change(sample: DecodedSample, members: Members) -> None:
        members["last.jpg"] = members["first.jpg"]

    alter(dest, _window(dest), change)
    (finding,) = _audit(dest).videos[0].findings
    assert finding.window == 1
    assert finding.kind in ("repeat", "picture", "shifted")


def test_a_picture_of_another_video_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")
    noise = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    alter(dest, _window(dest), lambda _, members: members.update({"first.jpg": jpeg(noise)}))
    (finding,) = _audit(dest).videos[0].findings
    assert (finding.window, finding.kind) == (1, "picture")


def test_a_text_that_the_plan_does_not_give_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")
    alter(dest, _window(dest), lambda _, members: set_record(members, text="Juggling"))
    assert _found(_audit(dest)) == {("left.mp4", 1, "text")}


def test_a_sample_that_cannot_be_read_is_named(moving: Path, tmp_path: Path) -> None:
    dest = copied(moving, tmp_path / "dest")
    alter(dest, _window(dest), lambda _, members: members.update({"first.jpg": b"no picture"}))
    assert _found(_audit(dest)) == {("left.mp4", 1, "sample")}


def test_a_video_that_is_gone_is_not_compared(moving: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "right.mp4").write_bytes((source / "right.mp4").read_bytes())
    result = _audit(moving, source=str(tmp_path))
    assert result.findings == 0
    assert result.videos[0].not_compared.startswith("the file cannot be had")
    assert result.videos[1].compared > 0


def test_a_video_that_has_changed_is_not_compared(
    moving: Path, source: Path, tmp_path: Path
) -> None:
    for name, video in (("left", "right"), ("right", "right")):
        (tmp_path / f"{name}.mp4").write_bytes((source / f"{video}.mp4").read_bytes())
    result = _audit(moving, source=str(tmp_path))
    assert result.videos[0].not_compared == "the file has changed since the dataset was made"
    assert result.findings == 0


def test_a_source_that_is_not_there_is_an_error(moving: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--source"):
        _audit(moving, source=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="none of 2 videos could be compared; left"):
        _audit(moving, source=str(tmp_path))


def test_what_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no dataset"):
        _audit(tmp_path)


def test_a_seed_chooses_the_videos(dataset: Path) -> None:
    chosen = [
        [video.id for video in _audit(dataset, videos=2, seed=seed).videos] for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(len(ids) == 2 for ids in chosen)


def test_a_decode_that_hangs_is_a_finding_of_its_video(
    moving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = copied(moving, tmp_path / "dest")
    record = json.loads((dest / "dataset.json").read_text())
    record["config"]["run"] = {"limits": {"floor_s": 1.5, "per_second": 0.0}}
    (dest / "dataset.json").write_text(json.dumps(record))
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.audit.hang:left.mp4")
    result = _audit(dest)
    assert _found(result) == {("left.mp4", None, "decode")}
    assert "time limit" in result.videos[0].findings[0].text
    assert result.videos[1].compared > 0


def test_a_decode_that_crashes_is_a_finding_of_its_video(
    moving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.audit.hang:crash:left.mp4")
    result = _audit(moving)
    assert _found(result) == {("left.mp4", None, "decode")}
    assert "crashed" in result.videos[0].findings[0].text


def test_the_command_tells_what_it_found(moving: Path, tmp_path: Path) -> None:
    sound = sofdata("audit", moving)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "agree with a plain decode" in sound.stdout
    dest = copied(moving, tmp_path / "dest")
    key = _window(dest)

    def mirror(sample: DecodedSample, members: Members) -> None:
        members["first.jpg"] = jpeg(sample.first[:, ::-1])

    alter(dest, key, mirror)
    wrong = sofdata("audit", dest, "--videos", 0)
    assert wrong.returncode == 3
    line = f"left.mp4 window 1 ({key}): the first picture is mirrored left to right"
    assert line in wrong.stdout
    done = sofdata("audit", dest, "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert summary["findings"] == 1
    (finding,) = summary["videos"][0]["findings"]
    assert (finding["window"], finding["key"], finding["kind"]) == (1, key, "orientation")


def test_a_wrong_source_is_wrong_usage(moving: Path, tmp_path: Path) -> None:
    done = sofdata("audit", moving, "--source", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("sofdata: ")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_an_audit_that_is_interrupted_says_that_it_says_nothing(
    moving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.audit.hang:left.mp4")  # it would go on for a minute
    command = [sys.executable, "-m", "sofdata", "audit", str(moving)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while not _children(run.pid):  # until it decodes
            assert run.poll() is None
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    first, last = said.splitlines()
    assert first.startswith("sofdata: stopping")
    assert last == "sofdata: interrupted; an unfinished audit proves nothing"
