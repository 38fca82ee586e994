"""The main job in this process: what comes out, that it adds up, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata import load
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.mode import Mode
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.scenes import moving_texture, write_clip, write_video
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest


def table(dest: Path, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(dest / f"{name}.parquet").to_pylist()
    return rows


def test_the_dataset_is_whole_and_accounts_for_every_video(corpus: Path, dataset: Path) -> None:
    verdict = verify(Tree(str(dataset)))
    assert verdict.findings == ()
    counts = json.loads((dataset / "dataset.json").read_text())["counts"]
    assert counts["videos"] == len(list(corpus.rglob("*.webm"))) == len(table(dataset, "videos"))
    assert counts["videos"] == counts["done"] + counts["rejected"] + counts["quarantined"]
    assert counts["windows"] == len(table(dataset, "index")) > 0
    assert (
        sum(row["kind"] == "window" for row in table(dataset, "rejects"))
        == (counts["windows_rejected"])
    )


def test_the_still_clip_is_rejected_as_static_and_the_cut_clip_is_split(dataset: Path) -> None:
    videos = {str(row["id"]): row for row in table(dataset, "videos")}
    assert (videos["10008"]["status"], videos["10008"]["reason"]) == ("rejected", "static")
    cuts = {row["cut"] for row in table(dataset, "index") if row["source"] == "10006"}
    assert "shot" in cuts


def test_windows_carry_text_and_labels_of_the_corpus(corpus: Path, dataset: Path) -> None:
    labels = {
        entry["id"]: entry["label"]
        for split in ("train", "validation")
        for entry in json.loads((corpus / "labels" / f"{split}.json").read_text())
    }
    for row in table(dataset, "index"):
        assert row["text"] == labels.get(str(row["source"]), "")


def test_ingesting_twice_gives_the_same_bytes(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    ingest(corpus, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(dataset)


def test_the_same_command_again_has_nothing_to_do(corpus: Path, dataset: Path) -> None:
    config = load_config(None, ["run.engine=inline"])
    prepared = prepare(Tree(str(corpus)), Tree(str(dataset)), config, "auto", dry_run=True)
    assert prepared.complete is not None
    assert prepared.waiting == ()


def test_only_units_without_a_record_are_run_again(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "dest")
    for record in sorted((tmp_path / "dest" / "ledger").iterdir())[:2]:
        record.unlink()
    summary = ingest(corpus, tmp_path / "dest")
    assert summary.units_run == 2
    assert hashes(tmp_path / "dest") == hashes(dataset)


def test_another_configuration_over_the_same_dataset_is_refused(
    corpus: Path, dataset: Path
) -> None:
    with pytest.raises(ConfigError, match=r"flow\.step_s is 0\.2, there 0\.13"):
        ingest(corpus, dataset, "flow.step_s=0.2")


def test_a_source_that_changed_is_refused(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "source")
    clips = sorted((tmp_path / "source").rglob("*.webm"))
    clips[0].write_bytes(clips[0].read_bytes() + b"\0")
    clips[1].rename(clips[1].with_name("99999.webm"))
    with pytest.raises(ConfigError, match=r"1 new \(99999\), 2 changed"):
        ingest(tmp_path / "source", dataset)


def test_a_folder_with_other_files_is_no_destination(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="holds other files"):
        ingest(corpus, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        ingest(corpus, tmp_path / "thesis.tex")
    with pytest.raises(ConfigError, match="lies inside"):
        ingest(corpus, corpus / "out")
    assert not (corpus / "out").exists()


def test_a_dry_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    config = load_config(None, [])
    prepared = prepare(Tree(str(corpus)), Tree(str(tmp_path / "d")), config, "auto", dry_run=True)
    assert prepared.plan.videos == 9
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("codec", ["q8", "float16"])
def test_a_texture_moved_by_3_and_minus_2_px_has_that_flow_after_the_whole_path(
    tmp_path: Path, codec: str
) -> None:
    """Video at the working size, so that px of the video are px of the flow before reduction."""
    (tmp_path / "source").mkdir()
    frames = moving_texture(3.0, -2.0, frames=20, size=(128, 128), seed=1)
    write_video(tmp_path / "source" / "t.mkv", frames, fps=8.0, codec="ffv1")
    ingest(tmp_path / "source", tmp_path / "d", "windows.size=128", f"codec.name={codec}")
    inner = slice(16, -16)  # what enters at the border has no counterpart
    for batch in load(str(tmp_path / "d"), batch_size=4):
        flow = batch.flow[:, :, :, inner, inner].numpy()
        median = np.median(flow, axis=(-1, -2))
        assert np.abs(median - np.array([3.0, -2.0])).max() < 0.1
        assert np.abs(flow.mean(axis=(-1, -2)) - np.array([3.0, -2.0])).max() < 0.1


def test_chunking_does_not_change_the_windows(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    """The chunk length is part of the configuration, so names differ; the samples do not."""
    ingest(corpus, tmp_path / "d", "video.chunk_frames=5")
    assert table(tmp_path / "d", "index") != []
    mine = [{**row, "shard": ""} for row in table(tmp_path / "d", "index")]
    theirs = [{**row, "shard": ""} for row in table(dataset, "index")]
    assert mine == theirs


def test_update_takes_in_what_changed_and_keeps_all_other_shards(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    shutil.copytree(corpus, source)
    shutil.copytree(dataset, dest)
    clips = sorted(source.rglob("*.webm"))
    shutil.copyfile(clips[3], clips[0])  # changed
    shutil.copyfile(clips[4], clips[0].with_name("99999.webm"))  # new
    clips[1].unlink()  # gone: its label is left, so it is refused as no_file
    tree = Tree(str(dest))
    config = load_config(None, ["run.engine=inline"])
    prepared = prepare(Tree(str(source)), tree, config, "auto", mode=Mode.UPDATE)
    touched = {video.id for unit in prepared.waiting for video in unit.videos}
    assert {"10001", "99999"} <= touched
    assert len(touched) < 8
    assert json.loads((dest / "dataset.json").read_text())["complete"], "until it is replaced"
    summary = execute(prepared, lambda event: None)
    assert summary.taken_over == len(touched) - 2, "what stood is not computed again"
    assert verify(tree).findings == ()
    fresh = tmp_path / "fresh"
    ingest(source, fresh)
    assert hashes(dest) == hashes(fresh)
    rows = {row["id"]: row for row in table(dest, "videos")}
    assert rows["99999"]["status"] == "done"
    assert rows["10002"]["reason"] == "no_file"
    before, after = hashes(dataset), hashes(dest)
    kept = [name for name in before if name.startswith("shards/sof") and name in after]
    assert kept
    assert all(before[name] == after[name] for name in kept)
    assert ingest(source, dest).units_run == 0


def test_a_second_driver_is_refused_and_a_dead_one_leaves_no_lock(
    corpus: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    with only_driver(Tree(str(dest)), "repair"), ThreadPoolExecutor() as other:
        refused = other.submit(ingest, corpus, dest).exception()
    assert isinstance(refused, ConfigError)
    assert "a repair by" in str(refused)
    dest.mkdir(exist_ok=True)
    (dest / ".lock").write_text('{"pid": 1}')  # as a killed driver would leave it
    ingest(corpus, dest)
    assert not (dest / ".lock").exists()


def test_a_driver_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    """As the child of a command that was killed a moment ago."""
    holds = (
        "import sys, time\n"
        "from sofdata.storage.lock import only_driver\n"
        "from sofdata.storage.tree import Tree\n"
        "with only_driver(Tree(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    time.sleep(0.5)\n"
    )
    words = [sys.executable, "-c", holds, str(tmp_path / "d")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with only_driver(Tree(str(tmp_path / "d"))):
            pass
    assert other.returncode == 0


def test_quarantined_videos_are_tried_again_when_asked(tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "d"
    source.mkdir()
    write_clip(source / "a.webm", 0, seconds=2.0)
    (source / "b.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    ingest(source, dest)
    before = hashes(dest)
    config = load_config(None, ["run.engine=inline"])
    prepared = prepare(Tree(str(source)), Tree(str(dest)), config, "auto", mode=Mode.RETRY)
    assert [[video.id for video in unit.videos] for unit in prepared.waiting] == [["b.mp4"]]
    execute(prepared, lambda event: None)
    assert hashes(dest) == before


def test_a_single_file_is_a_corpus_of_one_wherever_it_lies(corpus: Path, tmp_path: Path) -> None:
    clip = next(corpus.rglob("10001.webm"))
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        shutil.copyfile(clip, tmp_path / place / "clip.webm")
        ingest(tmp_path / place / "clip.webm", tmp_path / f"{place}-dataset")
    assert hashes(tmp_path / "one-dataset") == hashes(tmp_path / "two-dataset")
    assert table(tmp_path / "one-dataset", "index") != []


def test_a_complete_dataset_that_has_lost_a_shard_is_not_passed_off_as_done(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    next((tmp_path / "d" / "shards").glob("*.tar")).unlink()
    with pytest.raises(ConfigError, match="verify --repair"):
        ingest(corpus, tmp_path / "d")


def test_any_file_system_of_fsspec_will_do(corpus: Path, dataset: Path) -> None:
    source = Tree("memory://source")
    for path in (path for path in corpus.rglob("*") if path.is_file()):
        source.write(path.relative_to(corpus).as_posix(), path.read_bytes())
    summary = ingest("memory://source", "memory://dest")
    assert verify(Tree("memory://dest")).findings == ()
    stored = json.loads((dataset / "dataset.json").read_text())
    assert json.loads(summary.dataset.to_json()) == stored
    shard = sorted(path.name for path in (dataset / "shards").iterdir())[1]
    assert (
        Tree("memory://dest").read(f"shards/{shard}") == (dataset / "shards" / shard).read_bytes()
    )
    with pytest.raises(ConfigError, match="not shared by processes"):
        ingest("memory://source", "memory://other", "run.engine=ray")
