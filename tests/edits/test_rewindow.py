"""`sofdata rewindow`: windows of kept flow are those that an ingest would have made."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata import load
from sofdata.errors import ConfigError, StorageError
from sofdata.ingest.config import load_config
from sofdata.ingest.mode import Mode
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.scenes import moving_texture
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from sofdata.system import fault_points
from tests.edits.rewound import (
    COMPACT,
    EXACT,
    FAST,
    all_but_record,
    ingested,
    rewind,
    shard_files,
    write_kinds,
)
from tests.ego4ds import write_ego4d
from tests.helpers import hashes, ingest, sofdata
from tests.lerobots import write_jumping
from tests.videos import write_video

CHANGES = {
    "nothing": (),
    "longer": ("windows.length=6", "windows.stride=5", "windows.tail=mask"),
    "by motion": ("windows.cut=motion", "windows.length=12", "windows.trim=true"),
    "no shots": ("windows.shots=false",),
    "other shots": ("windows.shot_threshold=0.2",),
    "filters": ("windows.static_px=0", "windows.min_texture=0", "windows.min_steps=1"),
    "camera": ("windows.camera=subtract", "windows.camera_fit=ransac"),
    "codec": ("codec.name=float16",),
    "motion": ("windows.cut=motion", "windows.shortest=2", "windows.trim=true"),
    "gradual": ("windows.gradual_s=1", "windows.shot_threshold=0.5"),
    "units": ("units.min_units=1", "windows.active_px=0.1"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kinds(tmp_path_factory.mktemp("kinds") / "videos")


@pytest.fixture(scope="module")
def exact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with exact flow. Tests must not write to it."""
    return ingested(source, tmp_path_factory.mktemp("exact") / "dest", *EXACT)


@pytest.fixture(scope="module")
def compact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with flow in the default codec. Tests must not write to it."""
    return ingested(source, tmp_path_factory.mktemp("compact") / "dest", *COMPACT)


@pytest.mark.parametrize("change", CHANGES)
def test_of_exact_flow_the_dataset_is_that_of_an_ingest_to_the_byte(
    change: str, source: Path, exact: Path, tmp_path: Path
) -> None:
    rewind(exact, tmp_path / "rewound", *CHANGES[change])
    ingested(source, tmp_path / "direct", *CHANGES[change])
    assert all_but_record(tmp_path / "rewound") == all_but_record(tmp_path / "direct")
    found, wanted = record(tmp_path / "rewound"), record(tmp_path / "direct")
    assert found.model_copy(update={"lineage": None}) == wanted
    assert verify(Tree(str(tmp_path / "rewound"))).whole


def test_flow_kept_at_its_own_size_gives_any_smaller_one_to_the_byte(
    source: Path, tmp_path: Path
) -> None:
    ingested(source, tmp_path / "kept", *EXACT, "flow.kept.size=32")
    rewind(tmp_path / "kept", tmp_path / "rewound", "windows.size=24")
    ingested(source, tmp_path / "direct", "windows.size=24")
    assert all_but_record(tmp_path / "rewound") == all_but_record(tmp_path / "direct")


def test_of_compact_flow_windows_differ_by_no_more_than_its_error(
    source: Path, compact: Path, tmp_path: Path
) -> None:
    settings = ("codec.name=float16", "windows.length=6")
    rewind(compact, tmp_path / "rewound", *settings)
    ingested(source, tmp_path / "direct", *settings)
    kept = record(compact).kept
    assert kept is not None
    assert 0 < kept.error_mean_px < kept.error_max_px <= np.hypot(1 / 256, 1 / 256) + 1e-6
    pairs = list(zip(samples(tmp_path / "rewound"), samples(tmp_path / "direct"), strict=True))
    assert len(pairs) > 10
    for (key, mine, members), (other, theirs, others) in pairs:
        assert key == other
        off = mine.flow - theirs.flow
        rounding = 2.0**-10 * np.abs(theirs.flow).max()  # of float16, once on either side
        assert np.hypot(off[..., 0], off[..., 1]).max() <= kept.error_max_px + rounding
        assert members["first.jpg"] == others["first.jpg"]
        assert members["last.jpg"] == others["last.jpg"]
        assert mine.record.pts_s == theirs.record.pts_s


def test_every_video_and_window_stays_accounted_for(
    source: Path, compact: Path, tmp_path: Path
) -> None:
    counts = rewind(compact, tmp_path / "new", "windows.length=6").dataset.counts
    parent = record(compact).counts
    assert counts.videos == parent.videos == 7
    assert counts.done + counts.rejected + counts.quarantined == 7
    assert counts.quarantined == parent.quarantined
    reasons = {"static", "too_short", "empty"} & counts.reasons.keys()
    assert reasons == {"static", "too_short", "empty"} & parent.reasons.keys()
    assert len(reasons) >= 2
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "new/videos.parquet").to_pylist()}
    before = {row["id"]: row for row in pq.read_table(compact / "videos.parquet").to_pylist()}
    for name in ("decoder", "tries", "frames", "covered_s", "missing_s", "decode_errors"):
        assert {id: row[name] for id, row in rows.items()} == {
            id: row[name] for id, row in before.items()
        }
    assert rows["broken.mp4"]["detail"] == before["broken.mp4"]["detail"]


def test_what_is_told_of_a_quarantined_video_comes_along(tmp_path: Path) -> None:
    source = write_kinds(tmp_path / "videos")
    data = (source / "moves.mp4").read_bytes()
    (source / "broken.mp4").write_bytes(data[: len(data) // 2])  # its index is lost
    ingested(source, tmp_path / "dest", *COMPACT)
    notes = list((tmp_path / "dest" / "quarantine").iterdir())
    assert len(notes) == record(tmp_path / "dest").counts.quarantined == 1
    rewind(tmp_path / "dest", tmp_path / "new")
    (note,) = (tmp_path / "new" / "quarantine").iterdir()
    assert json.loads(note.read_text()) == json.loads(notes[0].read_text())
    assert verify(Tree(str(tmp_path / "new"))).whole


def test_texts_and_redacted_stretches_are_those_of_an_ingest(tmp_path: Path) -> None:
    root = write_ego4d(tmp_path / "ego4d")
    ingested(root, tmp_path / "kept", *EXACT)
    for number, change in enumerate((("windows.texts=cut",), ("windows.texts=only",))):
        rewind(tmp_path / "kept", tmp_path / f"rewound-{number}", *change)
        ingested(root, tmp_path / f"direct-{number}", *change)
        wanted = all_but_record(tmp_path / f"direct-{number}")
        assert all_but_record(tmp_path / f"rewound-{number}") == wanted


def test_texts_that_broke_windows_can_be_joined_again(tmp_path: Path) -> None:
    root = write_ego4d(tmp_path / "ego4d")
    ingested(root, tmp_path / "kept", *EXACT, "windows.texts=cut")
    rewind(tmp_path / "kept", tmp_path / "rewound", "windows.texts=label")
    ingested(root, tmp_path / "direct")
    assert all_but_record(tmp_path / "rewound") == all_but_record(tmp_path / "direct")


def test_demonstrations_keep_their_actions(tmp_path: Path) -> None:
    source = write_jumping(tmp_path / "jumping")
    ingested(source, tmp_path / "kept", *EXACT, "with_actions=true")
    shutil.rmtree(source)
    change = ("windows.length=3", "windows.stride=3")
    rewind(tmp_path / "kept", tmp_path / "rewound", *change)
    ingested(write_jumping(tmp_path / "jumping"), tmp_path / "direct", "with_actions=true", *change)
    assert all_but_record(tmp_path / "rewound") == all_but_record(tmp_path / "direct")
    assert record(tmp_path / "rewound").actions == record(tmp_path / "kept").actions


def test_no_video_is_needed_and_the_parent_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    videos = Path(shutil.copytree(source, tmp_path / "videos"))
    dest = ingested(videos, tmp_path / "dest", *COMPACT)
    before = hashes(dest)
    shutil.rmtree(videos)
    rewind(dest, tmp_path / "new", "windows.length=3")
    assert hashes(dest) == before
    assert len(list(load(str(tmp_path / "new"), batch_size=4))) > 1


def test_the_lineage_names_the_parent_the_settings_and_the_error(
    compact: Path, tmp_path: Path
) -> None:
    dataset = rewind(compact, tmp_path / "new", "windows.length=6").dataset
    assert dataset.lineage is not None
    (step,) = dataset.lineage
    assert step.operation == "rewindow"
    assert step.command == f"sofdata rewindow {compact} NEW --set windows.length=6"
    assert step.parents[0].name == str(compact)
    assert step.settings["windows"]["length"] == 6
    assert step.settings["kept"]["codec"] == "fixed"
    assert step.settings["kept"]["error_max_px"] > 0
    assert dataset.kept is None


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_worker_processes_make_the_same_bytes(engine: str, compact: Path, tmp_path: Path) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
        done = sofdata(
            *("rewindow", compact, tmp_path / "many", "--engine", "ray", "--workers", 2, "--quiet")
        )
        assert done.returncode == 0, done.stderr
    else:
        rewind(compact, tmp_path / "many", engine=engine, workers=2)
    rewind(compact, tmp_path / "one")
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one")


@pytest.mark.parametrize(
    ("point", "times"),
    [("edit: video cut again", 2), ("commit: record written", 2), ("finish: tables made", 1)],
)
def test_an_interrupted_command_goes_on_to_the_same_bytes(
    point: str, times: int, compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewind(compact, tmp_path / "whole", "windows.length=3")
    left = [times]

    def reached(name: str) -> None:
        left[0] -= name == point
        if name == point and left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(fault_points, "_inject", reached)
    with pytest.raises(KeyboardInterrupt):
        rewind(compact, tmp_path / "cut", "windows.length=3")
    monkeypatch.undo()
    rewind(compact, tmp_path / "cut", "windows.length=3")
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")
    assert rewind(compact, tmp_path / "cut", "windows.length=3").units_run == 0


def test_a_dataset_without_kept_flow_is_refused_and_told_how_to_get_it(
    source: Path, tmp_path: Path
) -> None:
    dest = ingested(source, tmp_path / "dest")
    with pytest.raises(ConfigError, match=r"keeps no flow .* with --set flow\.keep=true"):
        rewind(dest, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_dataset_made_of_another_names_the_one_that_keeps_the_flow(
    compact: Path, tmp_path: Path
) -> None:
    rewind(compact, tmp_path / "one")
    with pytest.raises(ConfigError, match="made by 'sofdata rewindow', which takes none") as raised:
        rewind(tmp_path / "one", tmp_path / "two")
    assert str(compact) in str(raised.value)


@pytest.mark.parametrize(
    "setting",
    [
        *("flow.size=64", "flow.keep=true", "video.fit=crop", "images.jpeg_quality=50"),
        *("with_actions=true", "run.workers=2"),
    ],
)
def test_settings_that_frames_and_flow_are_the_result_of_are_refused(
    setting: str, compact: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="takes keys of windows, codec, units, quality"):
        rewind(compact, tmp_path / "new", setting)


def test_an_appended_dataset_keeps_the_flow_of_both_parts(source: Path, tmp_path: Path) -> None:
    dest = ingested(source, tmp_path / "dest", *COMPACT)
    more = tmp_path / "more"
    more.mkdir()
    frames = np.stack(list(moving_texture(1, 2, 30, (48, 48), 7)))
    write_video(more / "more.mp4", frames, 10)
    done = sofdata("append", more, dest, "--engine", "inline", "--quiet")
    assert done.returncode == 0, done.stderr
    assert verify(Tree(str(dest))).whole
    rewind(dest, tmp_path / "new", "windows.length=3")
    assert record(tmp_path / "new").counts.videos == 8
    assert verify(Tree(str(tmp_path / "new"))).whole


def test_a_selection_takes_no_kept_flow_along(compact: Path, tmp_path: Path) -> None:
    done = sofdata("select", compact, tmp_path / "some", "--where", "window == 0", "--quiet")
    assert done.returncode == 0, done.stderr
    assert verify(Tree(str(tmp_path / "some"))).whole
    assert record(tmp_path / "some").kept is None
    with pytest.raises(ConfigError, match="made by 'sofdata select', which takes none along"):
        rewind(tmp_path / "some", tmp_path / "new")
    rewind(compact, tmp_path / "longer", "windows.length=6")
    done = sofdata("select", tmp_path / "longer", tmp_path / "part", "--where", "window == 0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("columns", ["all", "exposure,camera", "[]"])
def test_quality_columns_are_those_of_an_ingest_and_some_may_be_left_out(
    columns: str, source: Path, tmp_path: Path
) -> None:
    ingested(source, tmp_path / "kept", *EXACT, "quality.columns=all")
    change = ("windows.length=6", "windows.shots=false", f"quality.columns={columns}")
    rewind(tmp_path / "kept", tmp_path / "rewound", *change)
    ingested(source, tmp_path / "direct", *change)
    assert all_but_record(tmp_path / "rewound") == all_but_record(tmp_path / "direct")


def test_quality_columns_that_were_not_computed_are_refused(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "kept", *COMPACT, "quality.columns=blur")
    for wrong in ("quality.columns=blur,camera", "quality.dark=20"):
        with pytest.raises(ConfigError, match=r"has blur, with dark 16 .* may be left out"):
            rewind(tmp_path / "kept", tmp_path / "new", wrong)


def test_windows_larger_than_what_is_kept_are_refused(compact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keeps flow at 16 px"):
        rewind(compact, tmp_path / "new", "windows.size=32")


def test_other_windows_at_the_same_place_are_refused(compact: Path, tmp_path: Path) -> None:
    rewind(compact, tmp_path / "new", "windows.length=3")
    with pytest.raises(ConfigError, match="holds another dataset"):
        rewind(compact, tmp_path / "new", "windows.length=5")


@pytest.mark.parametrize("damage", ["a bit", "gone"])
def test_damaged_flow_is_told_and_nothing_is_completed(
    damage: str, compact: Path, tmp_path: Path
) -> None:
    dest = Path(shutil.copytree(compact, tmp_path / "dest"))
    shard = shard_files(dest, ["flow"])[0]
    if damage == "gone":
        shard.unlink()
    else:
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    with pytest.raises(StorageError, match="'sofdata verify' says what is wrong there"):
        rewind(dest, tmp_path / "new")
    found = read_dataset(Tree(str(tmp_path / "new")))
    assert found is None or not found.complete


def test_an_ingest_into_a_rewound_dataset_is_refused(
    source: Path, compact: Path, tmp_path: Path
) -> None:
    rewind(compact, tmp_path / "new")
    with pytest.raises(ConfigError, match="rewindow"):
        ingest(source, tmp_path / "new", *FAST)


def test_an_update_of_the_parent_is_noticed(source: Path, tmp_path: Path) -> None:
    videos = Path(shutil.copytree(source, tmp_path / "videos"))
    dest = ingested(videos, tmp_path / "dest", *COMPACT)
    rewind(dest, tmp_path / "new")
    shutil.copyfile(videos / "cut.mp4", videos / "more.mp4")
    config = load_config(None, ["run.engine=inline", *FAST, *COMPACT])
    tree = Tree(str(dest))
    execute(prepare(Tree(str(videos)), tree, config, "auto", mode=Mode.UPDATE), lambda event: None)
    with pytest.raises(ConfigError, match="before they were changed"):
        rewind(dest, tmp_path / "new")
    rewind(dest, tmp_path / "newer")
    assert record(tmp_path / "newer").counts.videos == 8


def test_an_object_store_holds_parent_and_result(
    source: Path, compact: Path, tmp_path: Path
) -> None:
    ingest(source, "memory://kept", *FAST, *COMPACT)
    rewind("memory://kept", "memory://rewound", "windows.length=3")
    rewind(compact, tmp_path / "new", "windows.length=3")
    stored = {item.rel for item in Tree("memory://rewound").walk("shards")}
    assert stored == {path.name for path in (tmp_path / "new" / "shards").iterdir()}
    assert verify(Tree("memory://rewound")).whole


def test_what_is_kept_is_shown(compact: Path, exact: Path) -> None:
    for dest in (compact, exact):
        kept = record(dest).kept
        assert kept is not None
        shown = sofdata("inspect", dest)
        wanted = f"kept flow: {kept.steps} steps at 16 px in {kept.bytes / (1 << 20):.1f} MiB"
        assert wanted in shown.stdout
        assert f"largest {kept.error_max_px:.4f} px" in " ".join(shown.stdout.split())


def test_the_command_prints_what_it_has_made(compact: Path, tmp_path: Path) -> None:
    done = sofdata(
        *("rewindow", compact, tmp_path / "new", "--set", "windows.length=3", "--engine", "inline")
    )
    assert done.returncode == 0, done.stderr
    assert "made by sofdata rewindow" in done.stdout
    refused = sofdata("rewindow", compact, tmp_path / "other", "--set", "windows.lenght=3")
    assert refused.returncode == 2
    assert "windows.length" in refused.stderr


def record(dest: Path) -> DatasetRecord:
    found = read_dataset(Tree(str(dest)))
    assert found is not None
    return found


def samples(dest: Path) -> Iterator[tuple[str, DecodedSample, dict[str, bytes]]]:
    for shard in shard_files(dest, ["shards"]):
        with shard.open("rb") as stream:
            for key, _, members in read_samples(stream, shard.name):
                yield key, decode_sample(key, members), members


def test_kept_flow_is_read_without_sofdata(compact: Path) -> None:
    """As docs/format.md says it is."""
    import gzip

    with tarfile.open(max(shard_files(compact, ["flow"]), key=lambda p: p.stat().st_size)) as tar:
        members = {each.name: tar.extractfile(each) for each in tar}
        name = next(each for each in members if each.endswith(".json"))
        said = json.load(members[name])  # type: ignore[arg-type]
        packed = members[name.replace("json", "flow.npy.gz")].read()  # type: ignore[union-attr]
        low, high = np.load(io.BytesIO(gzip.decompress(packed))).astype(np.uint16)
        zigzag = low + 256 * high
        steps = (zigzag >> 1).astype(np.int16) ^ -(zigzag & 1).astype(np.int16)
        levels = np.cumsum(steps, axis=-1, dtype=np.int16)  # [M, 2, h, w]
        flow_px = levels * said["flow"]["step_px"]
    assert flow_px.shape == (sum(said["moves"]), 2, 16, 16)
    assert 0.5 < np.abs(flow_px).mean() < 3


def test_quality_columns_of_other_windows_are_those_of_an_ingest(
    source: Path, tmp_path: Path
) -> None:
    judged = "quality.columns=all"
    dest = ingested(source, tmp_path / "d", *EXACT, judged)
    new = ("windows.length=6", "windows.shots=false", "windows.static_px=0")
    rewind(dest, tmp_path / "new", *new)
    ingested(source, tmp_path / "wanted", judged, *new)
    assert all_but_record(tmp_path / "new") == all_but_record(tmp_path / "wanted")
    rows = pq.read_table(tmp_path / "new" / "index.parquet")
    assert rows.num_rows
    assert not rows["blur"].null_count
    assert rows["consistency"].to_numpy().min() < 0.95  # over the change of shots
    assert verify(Tree(str(tmp_path / "new"))).findings == ()
