"""`--with-actions`: every window gets the actions taken in it; other datasets stay as they are."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from rich.console import Console

from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.engines.inline import run_inline
from sofdata.ingest.mode import Mode
from sofdata.ingest.replay import replay
from sofdata.ingest.run import prepare
from sofdata.ingest.verify import verify
from sofdata.loading.loader import Loader
from sofdata.shards.layout import unit_of
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import TarWriter, hash_file, read_samples
from sofdata.storage.tree import Tree
from sofdata.types import ActionBatch
from tests.helpers import hashes, ingest, sofdata
from tests.lerobots import DATA, TOP, edit_table, write_jumping

ACTIONS = "with_actions=true"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes at 20 frames/s whose picture moves by the action of each frame."""
    return write_jumping(tmp_path_factory.mktemp("jumping"))


@pytest.fixture(scope="module")
def demonstrations(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That source, ingested with its actions. Tests must not write to it."""
    dest = tmp_path_factory.mktemp("demonstrations") / "dest"
    ingest(source, dest, ACTIONS)
    return dest


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    """A copy of the source to spoil."""
    return Path(shutil.copytree(source, tmp_path / "copy"))


def samples(dest: Path) -> Iterator[tuple[DecodedSample, dict[str, bytes]]]:
    for shard in sorted((dest / "shards").glob("*.tar")):
        with shard.open("rb") as stream:
            for key, _, members in read_samples(stream, shard.name):
                yield decode_sample(key, members), members


def rejects(dest: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(dest / "rejects.parquet").read().to_pylist()
    return rows


def moved_px(sample: DecodedSample) -> NDArray[np.float64]:
    """How far the picture moved in each step, px of the video: the median of the flow [L,2]."""
    scale = sample.record.video_size[0] / sample.flow.shape[1]
    inner = sample.flow[:, 8:-8, 8:-8] * scale
    return np.asarray(np.median(inner, axis=(1, 2)), np.float64)


def acted_px(sample: DecodedSample, actions: NDArray[np.float32]) -> NDArray[np.float64]:
    """The sum of the actions of each step [L,2], which is how far the picture has to move."""
    assert sample.record.actions is not None
    times_s = np.array(sample.record.actions.times_s)
    step = np.searchsorted(np.array(sample.record.pts_s) - 0.025, times_s, side="right") - 1
    total = np.zeros((len(sample.flow), 2))
    np.add.at(total, step, actions)
    return total


def test_the_actions_of_a_window_are_what_moved_its_picture(
    source: Path, demonstrations: Path
) -> None:
    """Every step of every window has known flow: the sum of the whole px of its actions.

    The jumps are random, so that actions of another episode, another span or another frame
    would not do: that is tried with those of a neighbouring episode and of a frame later.
    """
    rows = pq.ParquetFile(source / DATA).read().to_pylist()
    actions = {
        episode: np.array([row["action"] for row in rows if row["episode_index"] == episode])
        for episode in (0, 1)
    }
    errors: dict[str, list[float]] = {"own": [], "neighbour's": [], "a frame later": []}
    for sample, _ in samples(demonstrations):
        record = sample.record
        assert sample.actions is not None
        length = round((record.end_s - record.start_s) * 20)  # all frames of the video but the last
        assert (str(sample.actions.dtype), sample.actions.shape) == ("float32", (length, 2))
        moved = moved_px(sample)
        tries = {"own": sample.actions}
        if (episode := int(record.labels["episode"])) in actions:
            first = round(record.start_s * 20) - 40 * episode
            tries["neighbour's"] = actions[1 - episode][first : first + length]
            tries["a frame later"] = actions[episode][first + 1 : first + 1 + length]
        for name, tried in tries.items():
            if len(tried) == length:
                wrong = moved - acted_px(sample, tried)
                errors[name].append(float(np.abs(wrong).max()))
    assert len(errors["own"]) > 8
    assert max(errors["own"]) < 0.7, errors
    assert min(errors["neighbour's"]) > 1.5, errors
    assert min(errors["a frame later"]) > 1.5, errors


def test_the_dataset_tells_what_its_actions_are_and_is_whole(demonstrations: Path) -> None:
    stored = json.loads((demonstrations / "dataset.json").read_text())
    assert stored["actions"] == {"names": ["dx", "dy"], "dimension": 2, "fps": 20.0}
    assert stored["config"]["with_actions"] is True
    assert verify(Tree(str(demonstrations))).findings == ()
    for sample, members in samples(demonstrations):
        record = sample.record.actions
        assert record is not None
        assert (record.names, record.dimension) == (["dx", "dy"], 2)
        assert sample.record.start_s <= record.times_s[0] + 1e-6
        assert record.times_s[-1] < sample.record.end_s
        stock = np.load(io.BytesIO(members["actions.npy"]), allow_pickle=False)
        assert (stock.dtype, stock.shape) == (np.dtype("<f4"), (len(record.times_s), 2))


def test_windows_are_the_same_with_and_without_actions(
    source: Path, demonstrations: Path, tmp_path: Path
) -> None:
    ingest(source, tmp_path / "d")
    bare = {sample.record.key: (sample, members) for sample, members in samples(tmp_path / "d")}
    assert len(bare) > 8
    for sample, members in samples(demonstrations):
        without, bare_members = bare.pop(sample.record.key)
        assert members.keys() - bare_members.keys() == {"actions.npy"}
        assert all(members[name] == bare_members[name] for name in bare_members if name != "json")
        assert without.actions is None
        assert sample.record.model_copy(update={"actions": None}) == without.record
    assert not bare


def test_short_windows_at_the_end_of_an_episode_hold_the_actions_up_to_it(
    source: Path, demonstrations: Path, tmp_path: Path
) -> None:
    ingest(source, tmp_path / "masked", ACTIONS, "windows.tail=mask", "windows.stride=1")
    assert verify(Tree(str(tmp_path / "masked"))).findings == ()
    found, whole = dict[str, list[int]](), dict[str, float]()
    for sample, _ in samples(tmp_path / "masked"):
        record = sample.record
        found.setdefault(record.source, []).append(len(sample.flow))
        whole[record.source] = record.end_s  # the last window ends with the episode
        assert sample.actions is not None
        assert len(sample.actions) == round((record.end_s - record.start_s) * 20)
        assert np.abs(moved_px(sample) - acted_px(sample, sample.actions)).max() < 0.7
    assert found
    for lengths in found.values():  # down to one step
        assert lengths == [8] * (len(lengths) - 7) + [7, 6, 5, 4, 3, 2, 1]
    ends = {sample.record.source: sample.record.end_s for sample, _ in samples(demonstrations)}
    assert whole == ends


def test_short_windows_are_padded_and_masked_in_a_batch(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "masked", ACTIONS, "windows.tail=mask", "windows.stride=1")
    batch = next(iter(Loader(str(tmp_path / "masked"), batch_size=64, shuffle=False)))
    assert isinstance(batch, ActionBatch)
    steps, actions = batch.mask.sum(1), batch.action_mask.sum(1)
    assert set(steps.tolist()) == set(range(1, 9))
    assert ((actions >= 2 * steps) & (actions <= 3 * steps + 1)).all()  # of two or three frames
    assert not batch.flow[~batch.mask].any()
    assert not batch.actions[~batch.action_mask].any()


def test_nothing_tells_of_actions_where_they_were_not_asked_for(copy: Path, tmp_path: Path) -> None:
    ingest(copy, tmp_path / "before")
    shutil.rmtree(copy / "data")
    ingest(copy, tmp_path / "after")
    after = tmp_path / "after"
    found = [hashes(tmp_path / name) for name in ("before", "after")]
    records = [
        json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("before", "after")
    ]
    for each, record in zip(found, records, strict=True):
        del each["dataset.json"], record["counts"]["label_files"]  # some of them are gone
    assert found[0] == found[1]
    assert records[0] == records[1]
    told = [name for name in hashes(after) if b"actions" in (after / name).read_bytes()]
    assert told == []


def test_with_actions_is_another_dataset_than_without(
    source: Path, demonstrations: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="with_actions is False, there True"):
        ingest(source, demonstrations)
    ingest(source, tmp_path / "d", "flow.estimator=farneback")
    with pytest.raises(ConfigError, match="with_actions is True, there False"):
        ingest(source, tmp_path / "d", "flow.estimator=farneback", ACTIONS)


def test_a_run_is_resumed_to_the_same_bytes_by_a_worker_that_knows_the_job_from_a_pickle(
    source: Path, demonstrations: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    shutil.copytree(demonstrations, dest)
    for record in sorted((dest / "ledger").iterdir())[:2]:
        record.unlink()
    config = load_config(None, ["run.engine=inline", ACTIONS])
    prepared = prepare(Tree(str(source)), Tree(str(dest)), config, "auto")
    assert len(prepared.waiting) == 2
    units, job = pickle.loads(pickle.dumps((prepared.waiting, prepared.job)))
    assert len(list(run_inline(units, job))) > 2
    assert ingest(source, dest, ACTIONS).units_run == 0
    assert hashes(dest) == hashes(demonstrations)


def test_actions_that_changed_are_a_source_that_changed(copy: Path, tmp_path: Path) -> None:
    dest = tmp_path / "d"
    ingest(copy, dest, ACTIONS)
    edit_table(copy, DATA, lambda rows: rows[3].update(action=[9.0, 9.0]))
    with pytest.raises(ConfigError, match="2 changed"):
        ingest(copy, dest, ACTIONS)
    config = load_config(None, ["run.engine=inline", ACTIONS])
    prepared = prepare(Tree(str(copy)), Tree(str(dest)), config, "auto", mode=Mode.UPDATE)
    waiting = {video.id[-14:] for unit in prepared.waiting for video in unit.videos}
    assert waiting >= {"episode-000000", "episode-000001"}, "their actions lie in that table"


def test_windows_without_whole_actions_are_rejected_and_counted(copy: Path, tmp_path: Path) -> None:
    """Episode 0 has a gap of meaning, and the actions of episode 2 were taken at another time."""
    edit_table(copy, DATA, lambda rows: rows[30].update(action=[1.0, float("nan")]))
    late = DATA.replace("file-000", "file-001")
    edit_table(
        copy,
        late,
        lambda rows: [
            row.update(timestamp=row["timestamp"] + 50) for row in rows if row["episode_index"] == 2
        ],
    )
    ingest(copy, tmp_path / "d", ACTIONS)
    assert verify(Tree(str(tmp_path / "d"))).findings == ()
    found = rejects(tmp_path / "d")
    for row in (row for row in found if row["reason"] == "nan_actions"):
        assert row["video"] == f"{TOP}/episode-000000"
        assert row["start_s"] <= 1.5 < row["end_s"]
    reasons = {(row["kind"], row["video"][-1], row["reason"]) for row in found}
    assert reasons == {
        ("window", "0", "nan_actions"),
        ("window", "2", "no_actions"),
        ("video", "2", "no_actions"),
    }
    kept = {sample.record.source[-1] for sample, _ in samples(tmp_path / "d")}
    assert kept == {"0", "1", "3"}


def test_an_episode_whose_actions_cannot_be_read_is_quarantined_alone(
    copy: Path, tmp_path: Path
) -> None:
    edit_table(copy, DATA, lambda rows: rows.pop(5))
    ingest(copy, tmp_path / "d", ACTIONS)
    (row,) = rejects(tmp_path / "d")
    assert (row["status"], row["reason"]) == ("quarantined", "action_error")
    assert "39 rows, where the metadata tells of 40" in row["detail"]
    assert str(copy) not in row["detail"]
    dest = Tree(str(tmp_path / "d"))
    record = replay(dest, row["video"], None, Console(width=200))
    assert record is not None
    assert record.reason == "action_error"
    assert replay(dest, f"{TOP}/episode-000001", None, Console(width=200)).status == "done"  # type: ignore[union-attr]


def test_a_corpus_without_actions_refuses_them(corpus: Path, tmp_path: Path) -> None:
    for name in ("ssv2", "folder"):
        with pytest.raises(ConfigError, match=f"'{name}' holds no actions.*lerobot"):
            ingest(corpus, tmp_path / "d", ACTIONS, corpus=name)
    assert not (tmp_path / "d").exists()


def _rewrite(dest: Path, change: Any) -> None:
    """Write a shard anew with its first sample's members changed, and the record's sums with it."""
    shard = sorted((dest / "shards").glob("*.tar"))[0]
    with shard.open("rb") as stream:
        found = [(key, members) for key, _, members in read_samples(stream, shard.name)]
    change(found[0][1])
    shard.unlink()
    writer = TarWriter(str(shard))
    for key, members in found:
        writer.add(key, members)
    writer.finish()
    assert tarfile.is_tarfile(shard)
    ledger = dest / "ledger" / f"{unit_of(shard.name)}.json"
    record = json.loads(ledger.read_text())
    sha256, md5 = hash_file(str(shard))
    record["shard"] |= {"size_bytes": shard.stat().st_size, "sha256": sha256, "md5": md5}
    ledger.write_text(json.dumps(record))


def _npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=False)
    return buffer.getvalue()


def _edit(members: dict[str, bytes], **changes: Any) -> None:
    record = json.loads(members["json"])
    record["actions"].update(changes)
    members["json"] = json.dumps(record).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: members.pop("actions.npy"), "lacks its member 'actions.npy'"),
        (lambda members: members.update({"actions.npy": b"junk"}), "does not decode"),
        (lambda members: members.update({"actions.npy": _npy([[1.0]])}), "its record says [24, 2]"),
        (
            lambda members: members.update(
                {"actions.npy": _npy(np.full((24, 2), np.nan, np.float32))}
            ),
            "must hold finite numbers",
        ),
        (lambda members: _edit(members, names=["dy", "dx"]), "not those of the dataset"),
        (
            lambda members: _edit(members, times_s=[9.0 + t / 20 for t in range(24)]),
            "not taken in its window",
        ),
    ],
)
def test_verify_finds_actions_that_are_wrong(
    demonstrations: Path, tmp_path: Path, change: Any, message: str
) -> None:
    shutil.copytree(demonstrations, tmp_path / "d")
    _rewrite(tmp_path / "d", change)
    found = verify(Tree(str(tmp_path / "d"))).findings
    assert any(message in finding.what for finding in found), found


def test_the_command_line_takes_actions_when_asked(tmp_path: Path) -> None:
    write_jumping(tmp_path / "source", episodes=1, length=24)
    arguments = ("--engine", "inline", "--with-actions", "--quiet", "--json")
    done = sofdata("ingest", tmp_path / "source", tmp_path / "d", *arguments)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["corpus"], told["actions"]["dimension"]) == ("lerobot", 2)
    shown = sofdata("inspect", tmp_path / "d", "--sheet", tmp_path / "sheet.png")
    assert "actions: dx, dy; 20 a second" in shown.stdout
