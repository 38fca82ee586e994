"""`sofdata.shards.writer`: a video's samples get into a shard all together or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import ContractError, InputError
from sofdata.flow.codec import CodecConfig
from sofdata.shards.sample import ImageConfig, Jpegs, Sample, VideoContext, encode_sample
from sofdata.shards.tar import read_sample_at
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.types import RejectedWindow, SkillWindow, VideoRef

MOTION = dict.fromkeys(("mean_px", "p99_px", "max_px", "active_share"), 0.5)
STATIC = RejectedWindow(2, 0.0, 0.375, "static")


def sample(video: str, number: int) -> Sample:
    flow = np.full((3, 16, 16, 2), 1.0 + number, np.float32)
    frame = np.full((32, 32, 3), 90, np.uint8)
    window = SkillWindow(number, flow, np.arange(4) / 8, frame, frame, "", MOTION)
    context = VideoContext(VideoRef(video, video, 1, "f"), "dis", (32, 32), "stretch")
    return encode_sample(window, context, CodecConfig(), Jpegs(ImageConfig()))


def write(shard: ShardWriter, video: str) -> None:
    with shard.video(video) as samples:
        samples.write(sample(video, 0))
        samples.write(sample(video, 1))
        samples.reject(STATIC)


def break_midway(shard: ShardWriter, video: str) -> None:
    with shard.video(video) as samples:
        samples.write(sample(video, 0))
        samples.reject(STATIC)
        raise InputError("midway")


def test_a_row_says_where_its_sample_begins(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path / "s.tar")) as shard:
        write(shard, "a")
        record = shard.commit(Tree(str(tmp_path)), 0, "unit")
    assert record
    assert record.samples == 2
    assert [(row.source, row.window, row.steps) for row in shard.rows] == [("a", 0, 3), ("a", 1, 3)]
    assert [(each.video, each.reason) for each in shard.rejected] == [("a", "static")]
    with (tmp_path / "shards" / record.name).open("rb") as stream:
        for row in shard.rows:
            assert read_sample_at(stream, row.offset, record.name)[0] == row.key


def test_a_video_whose_block_raises_leaves_neither_bytes_nor_rows(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path / "whole.tar")) as shard:
        write(shard, "a")
        write(shard, "c")
        whole, rows = shard.commit(Tree(str(tmp_path / "whole")), 0, "unit"), shard.rows
        sums = shard.sums.record()
    with ShardWriter(str(tmp_path / "broken.tar")) as shard:
        write(shard, "a")
        with pytest.raises(InputError, match="midway"):
            break_midway(shard, "b")
        write(shard, "c")
        assert shard.commit(Tree(str(tmp_path / "broken")), 0, "unit") == whole
    assert (shard.rows, shard.sums.record()) == (rows, sums)
    assert [each.video for each in shard.rejected] == ["a", "c"]


def test_a_copied_sample_keeps_its_bytes(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path / "one.tar")) as shard:
        write(shard, "a")
        rows = shard.rows
    with ShardWriter(str(tmp_path / "two.tar")) as other:
        write(other, "z")
        with other.video("a") as samples:
            original = sample("a", 1)
            samples.copy(rows[1], original.members, original.flow)
        record = other.commit(Tree(str(tmp_path)), 0, "unit")
    assert record
    copied = other.rows[-1]
    assert copied.model_copy(update={"offset": rows[1].offset}) == rows[1]
    with (tmp_path / "shards" / record.name).open("rb") as stream:
        key, members = read_sample_at(stream, copied.offset, record.name)
    assert (key, members) == (rows[1].key, dict(original.members))


def test_a_shard_without_samples_is_not_published(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path / "s.tar")) as shard:
        assert shard.commit(Tree(str(tmp_path / "dest")), 0, "unit") is None
    assert not (tmp_path / "dest").exists()


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9, 0.999])
def test_a_bit_that_flips_before_the_shard_is_read_back_is_found(
    tmp_path: Path, place: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.tar"

    def flip(step: str) -> None:
        if step == "commit: shard finished":
            data = bytearray(path.read_bytes())
            data[int(place * len(data))] ^= 1
            path.write_bytes(data)

    monkeypatch.setattr("sofdata.shards.commit.fault_point", flip)
    with ShardWriter(str(path)) as shard:
        write(shard, "a")
        with pytest.raises(ContractError, match="does not read back"):
            shard.commit(Tree(str(tmp_path / "dest")), 0, "unit")
    assert not (tmp_path / "dest").exists()


def test_a_shard_that_is_cut_off_before_it_is_read_back_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.tar"

    def cut(step: str) -> None:
        if step == "commit: shard finished":
            path.write_bytes(path.read_bytes()[:-512])

    monkeypatch.setattr("sofdata.shards.commit.fault_point", cut)
    with ShardWriter(str(path)) as shard:
        write(shard, "a")
        with pytest.raises(ContractError, match="does not read back"):
            shard.commit(Tree(str(tmp_path / "dest")), 0, "unit")
