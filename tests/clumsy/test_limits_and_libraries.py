"""Another library version, another node, tight limits, enormous and slow files: a test a case."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError, Interrupted
from sofdata.flow.estimator import make_estimator
from sofdata.flow.opencv import load_cv2
from sofdata.ingest import libraries
from sofdata.ingest.config import load_config
from sofdata.ingest.engines import inline
from sofdata.ingest.engines.decoders import InProcess, Isolated
from sofdata.ingest.events import Event, UnitDone
from sofdata.ingest.libraries import libraries_digest, used_libraries
from sofdata.ingest.mode import Mode
from sofdata.ingest.run import Summary, execute, prepare
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_unit
from sofdata.ingest.verify import verify
from sofdata.report.dataset import write_report
from sofdata.scenes import write_clip
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.system.extras import is_installed
from tests.helpers import hashes, ingest, sofdata
from tests.large_films import large_header, large_picture, lying_header

ENGINE = "run.engine=inline"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        write_clip(folder / f"{number}.webm", number, seconds=1.5)
    return folder


def run(source: Path, dest: Path, *settings: str, **options: Any) -> Summary:
    config = load_config(None, [ENGINE, *settings])
    prepared = prepare(Tree(str(source)), Tree(str(dest)), config, "auto", **options)
    return execute(prepared, lambda event: None)


def stop_after_one_unit(source: Path, dest: Path) -> None:
    """As if the user had stopped the ingest."""

    def stop(event: Event) -> None:
        if isinstance(event, UnitDone):
            raise Interrupted

    prepared = prepare(Tree(str(source)), Tree(str(dest)), load_config(None, [ENGINE]), "auto")
    with pytest.raises(Interrupted):
        execute(prepared, stop)
    assert len(list((dest / "ledger").iterdir())) == 1


def stored(dest: Path) -> DatasetRecord:
    found = read_dataset(Tree(str(dest)))
    assert found is not None
    return found


def digests(dest: Path) -> list[str]:
    """Of the units, each named once."""
    records = [json.loads(path.read_text()) for path in (dest / "ledger").glob("*.json")]
    return sorted({record.get("libraries", "") for record in records})


def videos(dest: Path) -> dict[str, tuple[str, str]]:
    """How each video has ended."""
    rows = pq.read_table(dest / "videos.parquet").to_pylist()
    return {row["id"]: (row["status"], row["reason"]) for row in rows}


@pytest.fixture
def upgraded() -> Iterator[pytest.MonkeyPatch]:
    """Another version of sofdata, once `upgrade` is called with it."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def upgrade(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(libraries, "__version__", "9.9.9")


# Other libraries


@pytest.fixture
def half(clips: Path, tmp_path: Path) -> Path:
    """A dataset of which one unit is committed."""
    stop_after_one_unit(clips, tmp_path / "half")
    return tmp_path / "half"


def test_a_resume_after_an_upgrade_is_refused_before_any_work_with_both_versions(
    clips: Path, half: Path, upgraded: pytest.MonkeyPatch
) -> None:
    before = hashes(half)
    upgrade(upgraded)
    with pytest.raises(ConfigError) as error:
        run(clips, half)
    assert "sofdata is 9.9.9 here, 0." in str(error.value)
    assert "--other-libraries" in str(error.value)
    assert hashes(half) == before


def test_opencv_with_its_ipp_switched_off_is_refused_by_the_command(
    clips: Path, half: Path
) -> None:
    if used_libraries(load_config(None, ["flow.estimator=dis"]))["opencv ipp"] == "off":
        pytest.skip("this OpenCV has no IPP")
    before = hashes(half)
    environment = {**os.environ, "OPENCV_IPP": "disabled"}
    done = sofdata("ingest", clips, half, "--engine", "inline", env=environment)
    assert done.returncode == 2
    assert "opencv ipp is off here, 20" in done.stderr
    assert "flow and windows is" in done.stderr
    assert "Traceback" not in done.stderr
    assert hashes(half) == before


def test_a_choice_goes_on_and_each_unit_tells_what_computed_it(
    clips: Path, half: Path, upgraded: pytest.MonkeyPatch
) -> None:
    (first,) = digests(half)
    upgrade(upgraded)
    run(clips, half, other_libraries=True)
    second = libraries_digest(used_libraries(load_config(None, ["flow.estimator=dis"])))
    assert digests(half) == sorted([first, second])
    assert stored(half).libraries.keys() == {first, second}
    assert stored(half).libraries[second]["sofdata"] == "9.9.9"


def test_the_choice_stands_in_the_notes_of_the_run(
    clips: Path, half: Path, upgraded: pytest.MonkeyPatch
) -> None:
    upgrade(upgraded)
    run(clips, half, other_libraries=True)
    runs = [json.loads(path.read_text()) for path in sorted((half / "runs").iterdir())]
    assert sorted(each["other_libraries"] for each in runs) == [False, True]
    assert sorted(each["libraries"] for each in runs) == digests(half)


def test_verify_and_the_page_say_that_a_dataset_is_mixed(
    clips: Path, half: Path, upgraded: pytest.MonkeyPatch
) -> None:
    upgrade(upgraded)
    run(clips, half, other_libraries=True)
    verdict = verify(Tree(str(half)))
    assert verdict.whole
    (note,) = verdict.notes
    assert note.startswith("made under 2 sets of libraries (sofdata 0.")
    assert note in stored(half).notes
    write_report(Tree(str(half)), stored(half), 2, None)
    assert "made under 2 sets of libraries" in (half / "report.html").read_text()
    done = sofdata("verify", half, "--fast")
    assert (done.returncode, "note: made under 2 sets" in done.stdout) == (0, True)


def test_provenance_lists_all_versions_instead_of_the_last(
    clips: Path, half: Path, upgraded: pytest.MonkeyPatch
) -> None:
    before = stored(half).provenance
    upgrade(upgraded)
    run(clips, half, other_libraries=True)
    assert stored(half).provenance == {**before, "sofdata": f"{before['sofdata']}; 9.9.9"}


def test_a_choice_once_made_is_not_asked_for_again_by_either(
    clips: Path, half: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(clips, tmp_path / "source")
    stop_after_one_unit(source, tmp_path / "dest")
    upgrade(upgraded)
    run(source, tmp_path / "dest", other_libraries=True)
    upgraded.undo()
    write_clip(source / "3.webm", 3, seconds=1.5)
    run(source, tmp_path / "dest", mode=Mode.UPDATE)
    assert verify(Tree(str(tmp_path / "dest"))).whole


def test_a_complete_dataset_is_left_alone_whatever_the_version(
    clips: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    ingest(clips, tmp_path / "d")
    before = hashes(tmp_path / "d")
    upgrade(upgraded)
    config = load_config(None, [ENGINE])
    prepared = prepare(Tree(str(clips)), Tree(str(tmp_path / "d")), config, "auto")
    assert prepared.complete is not None
    assert hashes(tmp_path / "d") == before


def test_an_update_after_an_upgrade_is_refused_and_touches_nothing(
    clips: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(clips, tmp_path / "source")
    ingest(source, tmp_path / "d")
    write_clip(source / "3.webm", 3, seconds=1.5)
    (source / "0.webm").unlink()
    before = hashes(tmp_path / "d")
    upgrade(upgraded)
    with pytest.raises(ConfigError, match=r"sofdata is 9\.9\.9 here"):
        run(source, tmp_path / "d", mode=Mode.UPDATE)
    assert hashes(tmp_path / "d") == before


def test_an_update_by_choice_keeps_the_records_of_what_was_done_before(
    clips: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(clips, tmp_path / "source")
    ingest(source, tmp_path / "d")
    (first,) = digests(tmp_path / "d")
    write_clip(source / "3.webm", 3, seconds=1.5)
    upgrade(upgraded)
    run(source, tmp_path / "d", mode=Mode.UPDATE, other_libraries=True)
    assert first in {each for joint in digests(tmp_path / "d") for each in joint.split("+")}
    assert len(stored(tmp_path / "d").libraries) == 2
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_a_retry_after_an_upgrade_is_refused_before_a_record_is_touched(
    clips: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(clips, tmp_path / "source")
    data = (source / "0.webm").read_bytes()
    (source / "bad.webm").write_bytes(data[:200] + bytes(2000))
    run(source, tmp_path / "d", "run.allow_set_aside=1")
    assert videos(tmp_path / "d")["bad.webm"][0] == "quarantined"
    before = hashes(tmp_path / "d")
    upgrade(upgraded)
    with pytest.raises(ConfigError, match=r"sofdata is 9\.9\.9 here"):
        run(source, tmp_path / "d", mode=Mode.RETRY)
    assert hashes(tmp_path / "d") == before


def test_a_node_with_other_libraries_commits_nothing(
    clips: Path, tmp_path: Path, upgraded: pytest.MonkeyPatch
) -> None:
    config = load_config(None, [ENGINE])
    prepared = prepare(Tree(str(clips)), Tree(str(tmp_path / "d")), config, "auto")
    job = prepared.job
    upgrade(upgraded)  # as on a node whose image is newer
    flow = LocalFlow(make_estimator(job.config.flow))
    with pytest.raises(ConfigError, match=r"sofdata is 9\.9\.9 here, 0\..* in the driver"):
        list(run_unit(prepared.waiting[0], job, flow, InProcess(job.config)))
    assert not list((tmp_path / "d" / "ledger").glob("*"))
    assert not list((tmp_path / "d" / "shards").glob("*.tar"))


@pytest.fixture
def older(half: Path) -> Path:
    """The same made before records named libraries."""
    for path in (half / "ledger").iterdir():
        record = json.loads(path.read_text())
        del record["libraries"]
        path.write_text(json.dumps(record))
    dataset = json.loads((half / "dataset.json").read_text())
    del dataset["libraries"]
    (half / "dataset.json").write_text(json.dumps(dataset))
    return half


def test_an_older_dataset_goes_on_with_the_versions_that_it_tells_of(
    clips: Path, older: Path
) -> None:
    run(clips, older)
    assert "" in digests(older)
    assert stored(older).libraries.keys() == set(digests(older))
    assert stored(older).notes == []
    assert verify(Tree(str(older))).whole


def test_an_older_dataset_with_another_version_is_refused_by_its_provenance(
    clips: Path, older: Path
) -> None:
    dataset = json.loads((older / "dataset.json").read_text())
    dataset["provenance"]["packages"]["numpy"] = "1.26.4"
    (older / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(ConfigError, match=r"libraries: numpy is .* here, 1\.26\.4 in .*half\."):
        run(clips, older)
    run(clips, older, other_libraries=True)
    assert stored(older).provenance["packages"]["numpy"].startswith("1.26.4; ")
    assert "made under 2 sets of libraries (numpy 1.26.4, " in stored(older).notes[0]


def test_a_digest_that_dataset_json_does_not_explain_is_found(clips: Path, tmp_path: Path) -> None:
    ingest(clips, tmp_path / "d")
    dataset = json.loads((tmp_path / "d" / "dataset.json").read_text())
    dataset["libraries"] = {"0" * 16: {"av": "1"}}
    (tmp_path / "d" / "dataset.json").write_text(json.dumps(dataset))
    (finding,) = verify(Tree(str(tmp_path / "d"))).findings
    assert (finding.where, finding.what) == (
        "dataset.json",
        "its libraries are not those that the ledger names",
    )


# Limits


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The inline engine, decoding in a process of its own as the workers of Ray do."""
    made: list[Isolated] = []

    def opens(config: Any) -> Isolated:
        made.append(Isolated(config))
        return made[-1]

    monkeypatch.setattr(inline, "InProcess", opens)
    yield
    for each in made:
        each.close()


def test_how_it_runs_changes_no_byte(clips: Path, tmp_path: Path, isolated: None) -> None:
    ingest(clips, tmp_path / "a")
    limits = ("run.limits.memory_mib=512", "run.limits.floor_s=30", "run.limits.ceiling_s=500")
    ingest(clips, tmp_path / "b", *limits, "run.temporary_mib=1", "run.stall_s=99")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


@pytest.fixture(scope="module")
def hungry(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, and a film of black pictures that take 61 MiB each."""
    folder = tmp_path_factory.mktemp("hungry")
    shutil.copy(clips / "0.webm", folder / "clip.webm")
    large_picture(folder / "large.mov", 8000, 8000, frames=7)
    return folder


def test_too_little_memory_quarantines_a_video_as_over_memory_and_keeps_nothing_of_it(
    hungry: Path, tmp_path: Path, isolated: None
) -> None:
    run(hungry, tmp_path / "d", "run.limits.memory_mib=256", "run.allow_set_aside=1")
    assert videos(tmp_path / "d") == {
        "clip.webm": ("done", ""),
        "large.mov": ("quarantined", "over_memory"),
    }
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    (row,) = (row for row in rows if row["id"] == "large.mov")
    assert "more than 256 MiB of memory (run.limits.memory_mib)" in row["detail"]
    assert (row["windows"], row["frames"]) == (0, 0)


def test_more_memory_makes_of_it_what_a_machine_without_limits_makes(
    hungry: Path, tmp_path: Path, isolated: None
) -> None:
    run(hungry, tmp_path / "d", "run.limits.memory_mib=256", "run.allow_set_aside=1")
    run(hungry, tmp_path / "d", mode=Mode.RETRY)
    run(hungry, tmp_path / "free")
    assert videos(tmp_path / "d")["large.mov"] == ("rejected", "static")
    assert hashes(tmp_path / "d") == hashes(tmp_path / "free")


def test_a_hang_is_a_timeout_after_the_time_that_is_set_and_costs_that_video_only(
    clips: Path, tmp_path: Path, isolated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.video.slow:hang of 1.webm")
    run(clips, tmp_path / "d", "run.limits.floor_s=2", "run.allow_set_aside=1")
    assert videos(tmp_path / "d") == {
        "0.webm": ("done", ""),
        "1.webm": ("quarantined", "decoder_timeout"),
        "2.webm": ("done", ""),
    }


def test_work_without_end_is_over_time_and_costs_that_video_only(
    clips: Path, tmp_path: Path, isolated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.video.slow:endless of 1.webm")
    limits = ("run.limits.floor_s=30", "run.limits.ceiling_s=5", "run.allow_set_aside=1")
    run(clips, tmp_path / "d", *limits)
    assert videos(tmp_path / "d")["1.webm"] == ("quarantined", "over_time")
    assert videos(tmp_path / "d")["2.webm"] == ("done", "")


def test_a_slow_disk_gives_the_bytes_of_a_fast_one(
    clips: Path, tmp_path: Path, isolated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(clips, tmp_path / "fast")
    monkeypatch.setenv("SOFDATA_FAULTS", "tests.video.slow:0.05 of 1.webm")
    run(clips, tmp_path / "slow", "run.limits.floor_s=2", "run.limits.per_mib=10000")
    assert hashes(tmp_path / "fast") == hashes(tmp_path / "slow")


# Frames that are too large


@pytest.fixture(scope="module")
def enormous(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enormous")
    shutil.copy(clips / "0.webm", folder / "clip.webm")
    large_picture(folder / "picture.mov")
    large_header(folder / "header.mov")
    lying_header(folder / "lying.mkv")
    return folder


ENORMOUS = {
    "clip.webm": ("done", ""),
    "picture.mov": ("rejected", "too_large"),
    "header.mov": ("rejected", "too_large"),
    "lying.mkv": ("rejected", "too_large"),
}


def test_frames_of_a_quarter_gigapixel_are_rejected_with_their_size(
    enormous: Path, tmp_path: Path
) -> None:
    ingest(enormous, tmp_path / "d")
    assert videos(tmp_path / "d") == ENORMOUS
    rows = pq.read_table(tmp_path / "d" / "rejects.parquet").to_pylist()
    details = {row["detail"] for row in rows if row["kind"] == "video"}
    size = "its frames have 16384 x 16384 = 268435456 px; video.max_pixels allows 67108864"
    assert details == {size}


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_process_of_its_own_and_either_decoder_decide_alike(
    enormous: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    if decoder == "decord" and not is_installed("decord"):
        pytest.skip("decord is not installed")
    ingest(enormous, tmp_path / "here", f"video.decoder={decoder}")
    with monkeypatch.context() as patch:
        patch.setattr(inline, "InProcess", Isolated)
        ingest(enormous, tmp_path / "apart", f"video.decoder={decoder}")
    assert videos(tmp_path / "apart") == ENORMOUS
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")


def test_another_bound_is_another_configuration_and_the_usual_one_is_none(
    clips: Path, half: Path
) -> None:
    assert "max_pixels" not in stored(half).config["video"]
    with pytest.raises(ConfigError, match=r"video\.max_pixels is 1000000, there 67108864"):
        run(clips, half, "video.max_pixels=1000000")


def test_ipp_is_what_this_process_really_uses() -> None:
    ipp: Any = load_cv2().ipp
    said = used_libraries(load_config(None, ["flow.estimator=dis"]))["opencv ipp"]
    assert (said != "off") == ipp.useIPP()
