"""The dry run: what it says, that it writes nothing, and what it says where it can say nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pytest

import sofdata.ingest.estimate.estimate as module
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.estimate.estimate import Estimate, NoEstimate, estimate
from sofdata.ingest.estimate.meter import Meter
from sofdata.ingest.mode import Mode
from sofdata.ingest.run import Prepared, prepare
from sofdata.report.estimate import estimate_summary
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef
from tests.helpers import ingest, sofdata
from tests.videos import cut_off, moving_square, write_video

SMALL = ("flow.size=64", "windows.size=32", "flow.estimator=farneback")
OPTIONS = [word for setting in SMALL for word in ("--set", setting)]


def prepared(source: Path, dest: Path, *settings: str, mode: Mode = Mode.RESUME) -> Prepared:
    config = load_config(None, ["run.engine=inline", *settings])
    return prepare(Tree(str(source)), Tree(str(dest)), config, "auto", mode=mode, dry_run=True)


def priced(source: Path, dest: Path, *settings: str, sample: int = 20) -> Estimate:
    found = estimate(prepared(source, dest, *settings), sample)
    assert isinstance(found, Estimate)
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of this process and of those that it starts are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes at 8 frames a second, in a folder of its own."""
    folder = tmp_path_factory.mktemp("film")
    write_video(folder / "long.mp4", moving_square(960), 8, options={"g": "16"})
    return folder


@pytest.mark.parametrize("isolated", [True, False])
def test_a_header_without_a_length_states_none_in_either_kind_of_process(
    tmp_path: Path, isolated: bool
) -> None:
    live = {"live": "1"}
    (tmp_path / "films").mkdir()
    film = tmp_path / "films" / "a.webm"
    write_video(film, moving_square(24), 8, codec="libvpx-vp9", muxing=live)
    job = prepared(film.parent, tmp_path / "d").job
    with closing(Meter(job, isolated)) as meter:
        header = meter.header(VideoRef("a.webm", "a.webm", film.stat().st_size, ""))
    assert header is not None
    assert (header.fps, header.duration_s) == (8.0, 0.0)


def test_a_sample_of_all_gives_windows_exactly_and_writes_nothing(
    corpus: Path, dataset: Path, tmp_path: Path, temporary: Path
) -> None:
    found = priced(corpus, tmp_path / "d")
    counts = json.loads((dataset / "dataset.json").read_text())["counts"]
    windows = counts["windows"]
    assert (found.windows.low, found.windows.value, found.windows.high) == (windows,) * 3
    assert found.videos == 9
    assert found.seconds.value == pytest.approx(9 * 2.5, rel=0.15)
    assert found.bytes.value == pytest.approx(counts["bytes"], abs=6000 * counts["shards"])
    assert found.cpu_hours.value > 0
    assert found.sample.reasons == {"static": 1}
    assert found.sample.unusable == pytest.approx(1 / 9)
    assert not (tmp_path / "d").exists()
    assert list(temporary.iterdir()) == []


def test_a_smaller_sample_has_a_range_and_the_same_seed_gives_the_same_sample(
    corpus: Path, tmp_path: Path
) -> None:
    first, again = (priced(corpus, tmp_path / "d", *SMALL, sample=4) for _ in range(2))
    ids = [[video.ref.id for video in each.sample.videos] for each in (first, again)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 4
    assert first.windows == again.windows
    assert first.windows.low is not None
    assert first.windows.high is not None
    assert first.windows.low < first.windows.value < first.windows.high
    other = estimate(prepared(corpus, tmp_path / "d", *SMALL), 4, seed=1)
    assert isinstance(other, Estimate)
    assert ids[0] != [video.ref.id for video in other.sample.videos]


def test_processes_measure_what_this_process_does(corpus: Path, tmp_path: Path) -> None:
    apart = priced(corpus, tmp_path / "d", *SMALL, "run.engine=processes", "run.workers=2")
    here = priced(corpus, tmp_path / "d", *SMALL)
    assert apart.windows == here.windows
    assert apart.bytes == here.bytes
    assert apart.sample.processes == min(2, len(os.sched_getaffinity(0)))
    assert sum(video.took.values["decoding_s"] for video in apart.sample.videos) > 0
    assert apart.wall is not None
    assert apart.wall.workers == 2
    assert apart.wall.start_up_s > 0
    assert apart.wall.total.value > apart.wall.work.value


def test_what_is_committed_is_no_work(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    before = sorted(path.name for path in (tmp_path / "d").rglob("*"))
    records = sorted((tmp_path / "d" / "ledger").iterdir())[:2]
    left = [video["id"] for each in records for video in json.loads(each.read_text())["videos"]]
    for record in records:
        record.unlink()
    found = priced(corpus, tmp_path / "d")
    assert sorted(video.ref.id for video in found.sample.videos) == sorted(left)
    assert found.videos == len(left)
    names = {record.name for record in records}
    assert sorted(path.name for path in (tmp_path / "d").rglob("*")) == [
        name for name in before if name not in names
    ]


def test_an_estimate_is_printed_in_three_lines(corpus: Path, tmp_path: Path) -> None:
    found = priced(corpus, tmp_path / "d")
    printed = repr(found)
    assert printed.count("\n") < 3
    many, windows = len(found.sample.videos), found.windows.value
    assert printed.startswith(f"Estimate(sample=Sample({many} videos, seed 0), videos={many}")
    assert f"windows=Figure({windows:.4g}, {windows:.4g} to {windows:.4g})" in printed


def test_nothing_to_do_is_said(corpus: Path, dataset: Path) -> None:
    found = estimate(prepared(corpus, dataset))
    assert isinstance(found, NoEstimate)
    assert found.why == "no video is left to work on"
    done = sofdata("ingest", corpus, dataset, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no estimate: no video is left to work on\n"


def test_videos_that_an_update_takes_over_are_no_work(tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "d"
    source.mkdir()
    one_unit = ("units.min_units=1", *SMALL)
    for number in range(3):
        write_clip(source / f"{number}.webm", number, seconds=1.5)
    ingest(source, dest, *one_unit)
    write_clip(source / "new.webm", 3, seconds=1.5)
    update = prepared(source, dest, *one_unit, mode=Mode.UPDATE)
    found = estimate(update)
    assert isinstance(found, Estimate)
    assert (found.videos, found.carried) == (1, 3)
    assert [video.ref.id for video in found.sample.videos] == ["new.webm"]
    assert any("3 videos are taken over" in text for text in estimate_summary(found)["notes"])


def test_a_long_video_is_measured_on_spans_and_estimated_within_a_range(
    film: Path, tmp_path: Path
) -> None:
    found = priced(film, tmp_path / "d", *SMALL)
    assert not found.sample.videos[0].took.whole
    measured_s = sum(part.record.covered_s for part in found.sample.videos[0].parts)
    assert 18.0 < measured_s < 20.5
    assert found.seconds.value == pytest.approx(120.0, abs=0.5)
    windows = ingest(film, tmp_path / "d", *SMALL).dataset.counts.windows
    assert found.windows.value == pytest.approx(windows, rel=0.1)


def test_spans_of_a_table_are_what_counts(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copyfile(film / "long.mp4", source / "long.mp4")
    rows = [f"long,{at},{at + 4}" for at in range(0, 40, 10)]
    (source / "clips.csv").write_text("\n".join(["file,start_s,end_s", *rows]) + "\n")
    table = ("manifest.table=clips.csv", "manifest.uri={file}.mp4")
    found = priced(source, tmp_path / "d", *SMALL, *table)
    assert found.videos == 4
    assert found.seconds.value == pytest.approx(16.0)
    assert found.seconds.low == found.seconds.high


def test_of_a_remote_source_it_is_said_how_much_is_fetched(corpus: Path, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    clips = sorted(corpus.rglob("*.webm"))[:3]
    for clip in clips:
        files.pipe_file(f"/remote/{clip.name}", clip.read_bytes())
    config = load_config(None, ["run.engine=inline", *SMALL])
    source = Tree("memory://remote")
    remote = prepare(source, Tree(str(tmp_path / "d")), config, "folder", dry_run=True)
    found = estimate(remote)
    assert isinstance(found, Estimate)
    assert found.fetched_bytes == sum(clip.stat().st_size for clip in clips)
    here = tmp_path / "here"
    here.mkdir()
    for clip in clips:
        shutil.copyfile(clip, here / clip.name)
    local = priced(here, tmp_path / "d", *SMALL)
    assert local.fetched_bytes == 0
    assert (found.windows, found.seconds) == (local.windows, local.seconds)


def test_a_sample_without_a_good_video_gives_no_figure(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        cut_off(film / "long.mp4", 0.2 + 0.1 * number, source / f"{number}.mp4")
    found = estimate(prepared(source, tmp_path / "d", *SMALL))
    assert isinstance(found, NoEstimate)
    assert "all 3 videos left to work on cannot be used (decode_error 3)" in found.why
    assert "--sample" not in found.why  # there are no others
    fewer = estimate(prepared(source, tmp_path / "d", *SMALL), sample=2)
    assert isinstance(fewer, NoEstimate)
    assert "all 2 videos of the sample cannot be used (decode_error 2)" in fewer.why
    assert "take a larger sample (--sample)" in fewer.why
    summary = estimate_summary(found)
    assert set(summary) == {"why", "sample"}
    assert [video["ended"] for video in summary["sample"]["videos"]] == ["decode_error"] * 3


def test_videos_without_a_window_have_a_price_where_no_other_is_left(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_clip(source / "still.webm", 7, seconds=2)
    found = priced(source, tmp_path / "d")
    assert found.sample.reasons == {"static": 1}
    assert (found.windows.value, found.windows.high) == (0, 0)
    assert found.cpu_hours.value > 0


def test_bad_videos_are_part_of_the_sample_and_their_share_is_printed(
    film: Path, corpus: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    cut_off(film / "long.mp4", 0.2, source / "bad.mp4")
    clips = sorted(corpus.rglob("*.webm"))[:3]
    for clip in clips:
        shutil.copyfile(clip, source / clip.name)
    done = sofdata("ingest", source, tmp_path / "d", "--engine", "inline", "--dry-run", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "not usable: decode_error 1, about 25% of all videos" in done.stdout


def test_flow_that_is_for_gpus_elsewhere_is_counted_in_pairs(corpus: Path, tmp_path: Path) -> None:
    found = estimate(_on_cuda(prepared(corpus, tmp_path / "d", *SMALL)), 3)
    assert isinstance(found, Estimate)
    assert found.gpu_hours is None
    assert found.pairs is not None
    assert found.pairs.value > 9 * 5
    summary = estimate_summary(found)
    assert summary["gpu_hours"] is None
    assert summary["flow_pairs"]["value"] == found.pairs.value
    assert any("there is none here" in text for text in summary["notes"])
    with_flow = priced(corpus, tmp_path / "d", *SMALL, sample=3)
    assert with_flow.pairs is None


def test_gpu_hours_are_the_time_that_flow_takes_where_a_gpu_is_here(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is here: the estimator runs on the CPU, and its clock is read all the same."""
    plain = prepared(corpus, tmp_path / "d", *SMALL)
    monkeypatch.setattr(module, "_gpus", lambda config: 1)
    monkeypatch.setattr(
        module, "_measuring_job", lambda job, folder, gpus: replace(plain.job, dest=Tree(folder))
    )
    found = estimate(_on_cuda(plain))
    assert isinstance(found, Estimate)
    in_flow_s = sum(video.took.values["in_flow_s"] for video in found.sample.videos)
    assert found.gpu_hours is not None
    assert found.gpu_hours.value == pytest.approx(in_flow_s / 3600)
    assert found.cpu_hours.value < sum(video.cpu_s for video in found.sample.videos) / 3600


def _on_cuda(found: Prepared) -> Prepared:
    config = found.job.config
    flow = config.flow.model_copy(update={"device": "cuda"})
    return replace(found, job=replace(found.job, config=config.model_copy(update={"flow": flow})))


def test_json_holds_the_figures_with_their_ranges_and_the_sample(
    corpus: Path, tmp_path: Path
) -> None:
    command = ("ingest", corpus, tmp_path / "d", "--engine", "inline", *OPTIONS)
    done = sofdata(*command, "--dry-run", "--json", "--sample", "3", "--seed", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["dry_run"] is True
    assert found["videos"] == 9
    price = found["estimate"]
    for name in ("hours_of_video", "windows", "dataset_bytes", "cpu_hours"):
        assert set(price[name]) == {"value", "low", "high"}
        assert price[name]["low"] <= price[name]["value"] <= price[name]["high"]
    assert price["gpu_hours"] is price["flow_pairs"] is price["on_cluster_s"] is None
    assert price["fetched_bytes"] == 0
    wall = price["wall"]
    parts = wall["planning_s"] + wall["start_up_s"] + wall["work"]["value"] + wall["finishing_s"]
    assert wall["total"]["value"] == pytest.approx(parts)
    assert wall["workers"] == 1
    sample = price["sample"]
    assert (sample["seed"], sample["headers"], sample["processes"]) == (2, 9, 1)
    assert len(sample["videos"]) == 3
    for video in sample["videos"]:
        assert video["weight"] >= 1
        assert video["spans_s"] is None
        assert video["ended"] in ("done", "static")
    assert not (tmp_path / "d").exists()


def test_without_a_sample_there_are_counts_only(corpus: Path, tmp_path: Path) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d", "--dry-run", "--sample", "0", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["estimate"] is None
    assert found["units"] == len({*range(found["units"])}) > 0


def test_the_options_of_a_sample_are_for_a_dry_run_only(corpus: Path, tmp_path: Path) -> None:
    for option in ("--sample", "--seed"):
        done = sofdata("ingest", corpus, tmp_path / "d", option, "3")
        assert done.returncode == 2
        assert "add --dry-run" in done.stderr
    assert not (tmp_path / "d").exists()


def test_the_table_names_every_figure(corpus: Path, tmp_path: Path) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--dry-run", "--sample", "3", *OPTIONS)
    done = sofdata(*words, "--engine", "processes", "--workers", "64")
    assert done.returncode == 0, done.stderr
    for name in ("hours of video", "windows", "bytes of the dataset", "CPU hours"):
        assert name in done.stdout
    assert "wall time, 64 workers" in done.stdout
    assert "measured on 3 videos, chosen by seed 0" in done.stdout
    assert "which 64 workers would share" in done.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_dry_run_leaves_nothing(
    corpus: Path, tmp_path: Path, temporary: Path, sent: signal.Signals
) -> None:
    command = [sys.executable, "-m", "sofdata", "ingest", str(corpus), str(tmp_path / "d")]
    command += ["--dry-run", "--engine", "processes", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _wait_for(lambda: any(temporary.rglob("shard.tar")))
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"committed" not in said
    assert not (tmp_path / "d").exists()
    _wait_for(lambda: not any(child.is_running() for child in children))
    assert [path for path in temporary.iterdir() if path.is_dir()] == []


def _wait_for(what: Any, most_s: float = 60.0) -> None:
    until_s = time.monotonic() + most_s
    while not what():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_a_process_that_dies_ends_the_dry_run_with_its_reason(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.ingest.estimate.crew.PROGRAM", "raise SystemExit('out of order')")
    with pytest.raises(Exception, match=r"could not be measured: .*exit code 1.*out of order"):
        estimate(prepared(corpus, tmp_path / "d", "run.engine=processes", "run.workers=1"))


def test_what_keeps_workers_from_starting_is_said_as_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sofdata.ingest.estimate.meter as m\n"
        "from sofdata.errors import ConfigError\n"
        "def refuse(self): raise ConfigError('no such model')\n"
        "m.Meter.start = refuse\n"
        "from sofdata.ingest.estimate.worker import main; main()"
    )
    monkeypatch.setattr("sofdata.ingest.estimate.crew.PROGRAM", program)
    with pytest.raises(ConfigError, match="no such model"):
        estimate(prepared(corpus, tmp_path / "d", "run.engine=processes", "run.workers=1"))
