"""Exports to LeRobot: the written rules of its format, the account, and what a stop leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError, InputError
from sofdata.export import lerobot
from sofdata.export.run import ExportSettings, export
from sofdata.export.skills import SKILLS
from sofdata.storage.tree import Tree
from tests.export.conftest import write_skills
from tests.helpers import hashes, ingest

CAMERA = "observation.images.video"


def run(dest: Path, out: Path, **settings: Any) -> Any:
    """Export to LeRobot; the record."""
    source = settings.pop("source", None)
    found, _ = export(
        Tree(str(dest)), Tree(str(out)), ExportSettings("lerobot", **settings), source=source
    )
    return found


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("data/*/*.parquet")) for row in read(path)]


def episodes(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("meta/episodes/*/*.parquet")) for row in read(path)]


def read(path: Path) -> list[dict[str, Any]]:
    return list(pq.ParquetFile(path).read().to_pylist())


def index(dest: Path) -> list[dict[str, Any]]:
    return list(pq.ParquetFile(dest / "index.parquet").read().to_pylist())


@pytest.fixture(scope="module")
def by_window(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "windows"
    run(encoded, out)
    return out


@pytest.fixture(scope="module")
def by_frame(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "videos"
    run(encoded, out, of="videos")
    return out


@pytest.fixture(params=["by_window", "by_frame"])
def exported(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


# The format


def test_info_says_what_is_there(exported: Path) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["total_episodes"] == len(episodes(exported))
    assert info["total_frames"] == len(rows(exported))
    assert info["splits"] == {"train": f"0:{info['total_episodes']}"}
    assert isinstance(info["fps"], int)
    tasks = pq.ParquetFile(exported / "meta/tasks.parquet").read()
    assert info["total_tasks"] == tasks.num_rows
    assert tasks.column_names == ["task_index", "task"]


def test_columns_have_the_types_and_widths_that_info_declares(exported: Path) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    for path in exported.glob("data/*/*.parquet"):
        schema = pq.ParquetFile(path).schema_arrow
        assert {*schema.names} == {*info["features"]} - {CAMERA}
        for name in schema.names:
            told, kind = info["features"][name], schema.field(name).type
            if told["shape"] == [1]:
                assert kind == pa.type_for_alias(told["dtype"]), name
            else:
                assert kind == pa.list_(pa.type_for_alias(told["dtype"]), told["shape"][0]), name
                assert len(told["names"]) == told["shape"][0]


def test_indices_run_on_over_all_files_and_timestamps_follow_the_rate(exported: Path) -> None:
    fps = json.loads((exported / "meta/info.json").read_text())["fps"]
    found = rows(exported)
    assert [row["index"] for row in found] == [*range(len(found))]
    start = 0
    for number, episode in enumerate(episodes(exported)):
        assert episode["episode_index"] == number
        assert (episode["dataset_from_index"], episode["dataset_to_index"]) == (
            start,
            start + episode["length"],
        )
        own = found[start : start + episode["length"]]
        assert {row["episode_index"] for row in own} == {number}
        assert [row["frame_index"] for row in own] == [*range(len(own))]
        times = [row["timestamp"] for row in own]
        np.testing.assert_allclose(times, np.arange(len(own)) / fps, atol=1e-6)
        start += len(own)
    assert start == len(found)


def test_the_video_holds_a_frame_a_row_at_the_seconds_that_the_episode_names(
    exported: Path,
) -> None:
    fps = json.loads((exported / "meta/info.json").read_text())["fps"]
    for episode in episodes(exported):
        chunk, file = (episode[f"videos/{CAMERA}/{each}_index"] for each in ("chunk", "file"))
        path = exported / f"videos/{CAMERA}/chunk-{chunk:03d}/file-{file:03d}.mp4"
        with av.open(str(path)) as film:
            times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
        first, end = (episode[f"videos/{CAMERA}/{each}_timestamp"] for each in ("from", "to"))
        own = [time for time in times if first - 1e-6 <= time < end - 1e-6]
        assert len(own) == episode["length"]
        np.testing.assert_allclose(own, first + np.arange(len(own)) / fps, atol=1e-4)


def test_statistics_are_those_of_the_rows(exported: Path) -> None:
    stats = json.loads((exported / "meta/stats.json").read_text())
    found = rows(exported)
    for name in ("action", "observation.state", "time_s", "skill.tokens"):
        values = np.array([row[name] for row in found], np.float64).reshape(len(found), -1)
        np.testing.assert_allclose(stats[name]["mean"], values.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(stats[name]["std"], values.std(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(stats[name]["min"], values.min(0), rtol=1e-6)
        np.testing.assert_allclose(stats[name]["max"], values.max(0), rtol=1e-6)
        assert stats[name]["count"] == [len(found)]
    assert np.shape(stats[CAMERA]["mean"]) == (3, 1, 1)
    assert 0 < stats[CAMERA]["mean"][0][0][0] < 1


# What the rows are


def test_every_window_is_a_row_with_its_time_text_and_tokens(
    encoded: Path, by_window: Path
) -> None:
    tasks = {row["task_index"]: row["task"] for row in read(by_window / "meta/tasks.parquet")}
    (file,) = (encoded / SKILLS).iterdir()
    tokens = [row["tokens"] for row in read(file)]
    found, listed = rows(by_window), index(encoded)
    assert len(found) == len(listed)
    for row, window, token in zip(found, listed, tokens, strict=True):
        assert row["time_s"] == pytest.approx(window["start_s"], abs=1e-5)
        assert tasks[row["task_index"]] == window["text"]
        assert row["window.number"] == window["window"]
        assert row["skill.tokens"] == token
        assert row["flow.ahead"][4] == pytest.approx(window["max_px"], rel=0.1)  # of a codec


def test_the_action_of_tokens_are_their_digits_spread_evenly(by_window: Path) -> None:
    levels = (8, 5, 5, 5)
    row = rows(by_window)[0]
    expected = []
    for token in row["skill.tokens"]:
        for level in levels:
            expected.append(2 * (token % level) / (level - 1) - 1)
            token //= level
    np.testing.assert_allclose(row["action"], expected, rtol=1e-6)


def test_frames_of_the_videos_come_with_their_true_times(encoded: Path, by_frame: Path) -> None:
    found = episodes(by_frame)
    listed = index(encoded)
    for episode in found:
        own = [each for each in listed if each["source"] == episode["source"]]
        assert episode["source_from_s"] in [each["start_s"] for each in own]
        assert episode["source_to_s"] in [each["end_s"] for each in own]
    assert sum(row["window.step"] == 0 for row in rows(by_frame)) == len(listed)


def test_an_export_of_frames_is_ingested_to_the_same_windows(
    encoded: Path, by_frame: Path, tmp_path: Path
) -> None:
    ingest(by_frame, tmp_path / "again", corpus="lerobot")
    ours, theirs = index(encoded), index(tmp_path / "again")
    table = {each["episode_index"]: each for each in episodes(by_frame)}
    moved = []
    for window in theirs:
        episode = table[int(window["source"].rpartition("-")[2])]
        start_s = window["start_s"] - episode[f"videos/{CAMERA}/from_timestamp"]
        moved.append(
            (
                episode["source"],
                round(start_s + episode["source_from_s"], 2),
                window["steps"],
                window["text"],
            )
        )
    assert sorted(moved) == sorted(
        (each["source"], round(each["start_s"], 2), each["steps"], each["text"]) for each in ours
    )
    mean = [float(np.mean([each["mean_px"] for each in index_])) for index_ in (ours, theirs)]
    assert mean[1] == pytest.approx(mean[0], rel=0.1)  # H.264 came between


def test_actions_of_demonstrations_are_those_of_the_source(jumping: Path, tmp_path: Path) -> None:
    run(jumping, tmp_path / "out", of="videos")
    source = jumping.parent / "videos"
    given = {row["index"]: row["action"] for row in rows(source)}
    told = {each["episode_index"]: each for each in episodes(source)}
    for episode in episodes(tmp_path / "out"):
        theirs = told[int(episode["source"].rpartition("-")[2])]
        first = theirs["dataset_from_index"]
        start_s = theirs["videos/observation.images.top/from_timestamp"]
        own = [
            row
            for row in rows(tmp_path / "out")
            if row["episode_index"] == episode["episode_index"]
        ]
        for row in own[:-1]:
            at = first + round((row["time_s"] - start_s) * 20)
            real = np.reshape(row["action"], (-1, 2))[: row["given_actions"]].tolist()
            assert real == [given[at + number] for number in range(len(real))]
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["features"]["action"]["names"] == ["dx_0", "dy_0", "dx_1", "dy_1", "dx_2", "dy_2"]


# What is left out


def test_every_window_is_exported_or_left_out_with_the_reason(
    encoded: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(encoded_source(encoded), source)
    videos = sorted({each["source"] for each in index(encoded)})
    (gone,) = source.rglob(f"{videos[0]}.webm")
    gone.unlink()
    (changed,) = source.rglob(f"{videos[1]}.webm")
    changed.write_bytes(changed.read_bytes() + b"more")
    record = run(encoded, tmp_path / "out", of="videos", source=str(source))
    reasons = {each.video: each.reason for each in record.left_out}
    assert reasons == {videos[0]: "missing", videos[1]: "changed"}
    left = sum(each.windows for each in record.left_out)
    assert left == sum(each["source"] in videos[:2] for each in index(encoded))
    assert record.account["windows_exported"] + left == record.account["windows"]
    assert "missing" in (tmp_path / "out/README.md").read_text()
    assert {each["source"] for each in episodes(tmp_path / "out")} == {*videos[2:]}


def encoded_source(encoded: Path) -> str:
    (run,) = (encoded / "runs").iterdir()
    return str(json.loads(run.read_text())["source"])


def test_where_all_sources_are_gone_nothing_is_finished(encoded: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing of .* can be exported"):
        run(encoded, tmp_path / "out", of="videos", source=str(tmp_path / "empty"))
    assert not (tmp_path / "out/meta/info.json").exists()


# Settings


def test_without_skills_the_action_is_the_flow_and_that_is_told(
    dataset: Path, tmp_path: Path
) -> None:
    record = run(dataset, tmp_path / "out")
    assert any("no skill tokens" in note for note in record.notes)
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["features"]["action"]["names"][0] == "ahead_dx_px"
    assert not any(name.startswith("skill") for name in info["features"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"action": "actions"}, "made without --with-actions"),
        ({"action": "skill"}, "there are no skills"),
        ({"skills": "other"}, "has no skills 'other'"),
        ({"licence": "all rights / reserved"}, "should be an identifier"),
    ],
)
def test_settings_that_do_not_fit_stop_before_anything_is_written(
    dataset: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(dataset, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_of_several_models_skills_one_has_to_be_named(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "ds")
    write_skills(tmp_path / "ds", "one")
    write_skills(tmp_path / "ds", "two", bottleneck="kl")
    with pytest.raises(ConfigError, match="say which, --skills one or two"):
        run(tmp_path / "ds", tmp_path / "out")
    run(tmp_path / "ds", tmp_path / "out", skills="two")
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["features"]["skill.codes"]["dtype"] == "float32"
    assert info["features"]["action"]["shape"] == info["features"]["skill.codes"]["shape"]


def test_skills_of_other_windows_are_refused(encoded: Path, tmp_path: Path) -> None:
    shutil.copytree(encoded, tmp_path / "ds")
    (file,) = (tmp_path / "ds" / SKILLS).iterdir()
    table = pq.ParquetFile(file).read()
    pq.write_table(table.slice(1), file)
    with pytest.raises(ConfigError, match="run 'sofdata encode' again"):
        run(tmp_path / "ds", tmp_path / "out")


# A stop, and what is there already


def test_an_export_that_was_stopped_goes_on_to_the_same_bytes(
    encoded: Path, by_window: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "windows", []

    def stop(name: str) -> None:
        calls.append(name)
        if len(calls) in (2, 4):
            raise KeyboardInterrupt

    monkeypatch.setattr(lerobot, "fault_point", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(encoded, out)
        assert not json.loads((out / "export.json").read_text())["complete"]
        assert not (out / "meta/info.json").exists()
    run(encoded, out)
    assert hashes(out) == hashes(by_window)


def test_a_finished_export_is_left_as_it_is(encoded: Path, by_window: Path) -> None:
    before = hashes(by_window)
    found, worked = export(Tree(str(encoded)), Tree(str(by_window)), ExportSettings("lerobot"))
    assert (found.complete, worked) == (True, False)
    assert hashes(by_window) == before


def test_a_folder_of_something_else_is_refused(
    encoded: Path, by_window: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes.txt and no export.json"):
        run(encoded, tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"other data or settings .*of: "):
        run(encoded, by_window, of="videos")
    with pytest.raises(ConfigError, match="holds an export to lerobot"):
        export(Tree(str(encoded)), Tree(str(by_window)), ExportSettings("hf"))
    with pytest.raises(ConfigError, match="lie in each other"):
        run(encoded, encoded / "export")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_it_is_written_to_a_store(encoded: Path, by_window: Path) -> None:
    out = Tree("memory://exported/windows")
    export(Tree(str(encoded)), out, ExportSettings("lerobot"))
    for path in by_window.rglob("*.parquet"):
        rel = path.relative_to(by_window).as_posix()
        assert out.read(rel) == path.read_bytes()
    assert out.exists("meta/info.json")
