"""Train and held-out data, as people come to mix them: spans, cameras, copies, lists, filters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.verify import verify
from sofdata.loading.loader import Loader
from sofdata.loading.split import HeldOut, Side, Sides
from sofdata.shards.layout import SPLIT
from sofdata.shards.parquet import write_table
from sofdata.storage.tree import Tree
from sofdata.train.config import load_train_config
from sofdata.train.run import train_stage
from sofdata.train.stage import StageJob
from tests.helpers import ingest, sofdata
from tests.lerobots import TOP, WRIST, jumping_texture
from tests.train.conftest import TINY
from tests.videos import moving_square, write_video

SMALL = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
FILES, SPANS = 6, 3
NAMES = [f"clips/{number}.mp4" for number in range(FILES)]


@pytest.fixture(scope="session")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three spans of each of six files, of which the first lies there twice; and their labels."""
    folder = tmp_path_factory.mktemp("spans")
    (folder / "source" / "clips").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        film = moving_square(46) + np.uint8(3 * number)
        write_video(folder / "source" / name, film, fps=10)
    shutil.copy(folder / "source" / NAMES[0], folder / "source" / "clips" / "copy.mp4")
    rows = [
        {
            "id": f"{Path(name).stem}-{span}",
            "uri": name,
            "start_s": 1.5 * span,
            "end_s": 1.5 * span + 1.5,
            "text": f"don't drop thing {number}",
            "split": "validation" if number in (1, 4) else "train",
            "class": f'say "{number}"',
        }
        for number, name in enumerate(NAMES)
        for span in range(SPANS)
    ]
    rows.append(rows[0] | {"id": "copied", "uri": "clips/copy.mp4", "start_s": 1.0, "end_s": 4.0})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "source" / "manifest.jsonl").write_text(lines)
    ingest(folder / "source", folder / "dest", *SMALL)
    return folder / "dest"


@pytest.fixture(scope="session")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes of two cameras; each camera has all of them in two files."""
    folder = tmp_path_factory.mktemp("cameras")
    writer = LeRobotWriter(
        folder / "source", fps=20, action_names=("dx", "dy"), episodes_per_file=3
    )
    for number in range(6):
        films = {
            name: jumping_texture(30, 2 * number + k)[0] for k, name in enumerate((TOP, WRIST))
        }
        writer.add(Episode(films, np.zeros((30, 2), np.float32), f"task {number}"))
    writer.finish()
    ingest(folder / "source", folder / "dest", *SMALL)
    return folder / "dest"


def loader(dataset: Path, side: Side, how: Any, **more: Any) -> Loader:
    return Loader(dataset, batch_size=1, shuffle=False, split=(side, how), **more)


def videos(dataset: Path, side: Side, how: Any, **more: Any) -> set[str]:
    """Ids of the videos on a side, as its batches come."""
    index = pq.read_table(dataset / "index.parquet").to_pylist()
    source = {row["key"]: row["source"] for row in index}
    return {source[key] for batch in loader(dataset, side, how, **more) for key in batch.keys}


def files(names: Iterable[str]) -> set[str]:
    return {"0" if name == "copied" else name.split("-")[0] for name in names}


def episodes(names: Iterable[str]) -> set[str]:
    return {name.rsplit("/", 1)[1] for name in names}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_spans_of_one_file_and_its_copy_are_never_on_both_sides(spans: Path, share: float) -> None:
    train, kept = videos(spans, "train", share), videos(spans, "held_out", share)
    assert len(train | kept) == FILES * SPANS + 1
    assert files(train).isdisjoint(files(kept))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_cameras_of_one_episode_are_never_on_both_sides(cameras: Path, share: float) -> None:
    train, kept = videos(cameras, "train", share), videos(cameras, "held_out", share)
    assert len(train | kept) == 12
    assert episodes(train).isdisjoint(episodes(kept))
    assert len(episodes(kept)) == round(share * 6)


@pytest.mark.parametrize(("share", "number"), [(0.01, 1), (1 / 3, 2), (0.5, 3), (0.99, 5)])
def test_the_share_is_exact(spans: Path, share: float, number: int) -> None:
    assert len(files(videos(spans, "held_out", share))) == number


def test_a_filter_of_the_windows_changes_no_side(spans: Path) -> None:
    for where in ("", "window > 1", "labels.split == 'train'"):
        assert files(videos(spans, "train", 0.5, where=where)).isdisjoint(
            files(videos(spans, "held_out", 0.5))
        )


def test_a_list_of_files_is_what_is_held_out(spans: Path, tmp_path: Path) -> None:
    listed = tmp_path / "validation.txt"
    listed.write_text("clips/2.mp4\r\n\nclips/5.mp4\n")
    assert files(videos(spans, "held_out", listed)) == {"2", "5"}
    assert files(videos(spans, "train", str(listed))) == {"0", "1", "3", "4"}


def test_a_list_of_ids_in_json_is_what_is_held_out(spans: Path, tmp_path: Path) -> None:
    listed = tmp_path / "validation.json"
    listed.write_text(json.dumps([f"2-{span}" for span in range(SPANS)]))
    assert videos(spans, "held_out", listed) == {"2-0", "2-1", "2-2"}


def test_a_list_that_holds_out_one_span_of_a_file_is_refused(spans: Path, tmp_path: Path) -> None:
    listed = tmp_path / "validation.txt"
    listed.write_text("2-1\n")
    with pytest.raises(ConfigError, match=r"divides 1 files .*'clips/2\.mp4', .* 2-0, 2-1, 2-2"):
        loader(spans, "train", listed)


def test_a_list_that_names_a_file_and_not_its_copy_is_refused(spans: Path, tmp_path: Path) -> None:
    listed = tmp_path / "validation.txt"
    listed.write_text("clips/copy.mp4\n")
    with pytest.raises(ConfigError, match="the videos 0-0, 0-1, 0-2"):
        loader(spans, "train", listed)


def test_a_list_that_names_one_camera_of_an_episode_is_refused(
    cameras: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "validation.txt"
    listed.write_text(f"{TOP}/episode-000002\n")
    with pytest.raises(ConfigError, match=f"{WRIST}/episode-000002.* all cameras"):
        loader(cameras, "train", listed)
    listed.write_text("episode 2\n")
    assert episodes(videos(cameras, "held_out", listed)) == {"episode-000002"}


def test_unknown_names_in_a_list_are_named(spans: Path, tmp_path: Path) -> None:
    listed = tmp_path / "validation.txt"
    listed.write_text("clips/2.mp4\nclips/02.mp4\nnone\n")
    with pytest.raises(ConfigError, match=r"2 of the 3 names .*: clips/02\.mp4, none"):
        loader(spans, "held_out", listed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"\n\n", "lists nothing"),
        (b"\xff\xfe", "not text in UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(
    spans: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        loader(spans, "train", str(tmp_path / "list.txt"))


def test_the_official_split_can_be_what_is_held_out(spans: Path) -> None:
    how = HeldOut(where="labels.split == 'validation'")
    assert files(videos(spans, "held_out", how)) == {"1", "4"}
    assert files(videos(spans, "train", how)) == {"0", "2", "3", "5"}


def test_a_filter_that_divides_a_file_cannot_be_what_is_held_out(spans: Path) -> None:
    with pytest.raises(ConfigError, match="'window > 1' divides 6 files"):
        loader(spans, "train", HeldOut(where="window > 1"))


def test_a_side_with_nothing_on_it_is_refused(spans: Path) -> None:
    with pytest.raises(ConfigError, match="side 'train'"):
        loader(spans, "train", HeldOut(where="motion > -1"))


def test_labels_select_windows_whatever_quotes_they_hold(spans: Path) -> None:
    for where, wanted in (
        ("labels.split == 'validation'", {"1", "4"}),
        ("""labels['class'] == 'say "3"'""", {"3"}),
        (r'labels["class"] == "say \"3\""', {"3"}),
        ('text == "don\'t drop thing 2"', {"2"}),
    ):
        found = Loader(spans, batch_size=1, where=where)
        keys = {key for batch in found for key in batch.keys}
        assert {key.split("_")[0].split("-")[0] for key in keys} - {"copied"} == wanted


def test_a_label_that_there_is_not_is_told_with_those_that_there_are(spans: Path) -> None:
    with pytest.raises(ConfigError, match=r"'spilt'.*did you mean 'split'.*class, split"):
        Loader(spans, batch_size=1, where="labels.spilt == 'train'")


@pytest.fixture
def older(spans: Path, tmp_path: Path) -> Path:
    """A dataset as it was before there were labels in its ledger, index and videos."""
    copy = Path(shutil.copytree(spans, tmp_path / "older"))
    for name in ("index.parquet", "videos.parquet"):
        table = pq.read_table(copy / name).drop_columns("labels")
        write_table(Tree(str(copy)), name, table.schema, table.to_pylist())
    for path in (copy / "ledger").glob("*.json"):
        record = json.loads(path.read_text())
        for video in record["videos"]:
            del video["labels"]
        path.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")))
    return copy


def test_an_older_dataset_opens_is_whole_and_is_split_alike(older: Path, spans: Path) -> None:
    assert verify(Tree(str(older))).whole
    assert videos(older, "held_out", 0.3) == videos(spans, "held_out", 0.3)


def test_labels_of_an_older_dataset_are_those_of_its_plan(older: Path) -> None:
    how = HeldOut(where="labels.split == 'validation'")
    assert files(videos(older, "held_out", how)) == {"1", "4"}


def test_without_a_plan_a_dataset_opens_and_only_what_needs_it_is_refused(older: Path) -> None:
    (older / "plan.parquet").unlink()
    assert len(Loader(older, batch_size=1, where="motion > 0")) > 0
    with pytest.raises(ConfigError, match=r"lacks plan\.parquet, which says the labels"):
        Loader(older, batch_size=1, where="labels.split == 'train'")
    with pytest.raises(ConfigError, match=r"lacks plan\.parquet, which says the file"):
        loader(older, "train", 0.5)


def test_windows_of_a_video_that_is_not_planned_cannot_be_split(
    spans: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(spans, tmp_path / "copy"))
    plan = pq.read_table(copy / "plan.parquet")
    write_table(Tree(str(copy)), "plan.parquet", plan.schema, plan.to_pylist()[1:])
    with pytest.raises(InputError, match="which is not in plan"):
        loader(copy, "train", 0.5)


# Training

BRIEF = (*TINY, "skill.optim.steps=4", "skill.run.checkpoint_every=2", "skill.data.batch_size=4")


def train(dataset: Path, out: Path, *settings: str) -> Path:
    """Train the skill model; returns its folder."""
    config = load_train_config(None, [*BRIEF, *settings])
    train_stage(StageJob("skill", config, (str(dataset),), str(out), {}), lambda progress: None)
    return out / "skill"


def stored(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / SPLIT).read_text())
    return value


def test_a_training_stores_both_sides_and_how_they_were_decided(
    spans: Path, tmp_path: Path
) -> None:
    split = stored(train(spans, tmp_path, "skill.data.held_out=0.34"))
    assert (len(split["held_out"]), len(split["train"])) == (2, 4)
    assert {*split["held_out"], *split["train"]} == {*NAMES}
    assert split["how"] == "0.34 of the files, by their hash"
    assert split["windows"]["held_out"] == loader(spans, "held_out", 0.34).rows


def test_a_resumed_training_keeps_the_sides_that_it_began_with(
    spans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(spans, tmp_path)
    before = (folder / SPLIT).read_bytes()
    (folder / "done.json").unlink()
    # As another version might decide:
    monkeypatch.setattr(
        "sofdata.loading.split.held_out", lambda names, share: np.arange(len(names)) < 3
    )
    train(spans, tmp_path)
    assert (folder / SPLIT).read_bytes() == before


def test_a_resumed_training_does_not_go_on_with_other_sides(spans: Path, tmp_path: Path) -> None:
    folder = train(spans, tmp_path)
    (folder / "done.json").unlink()
    split = stored(folder)
    sides = Sides("by hand", tuple(split["held_out"]), tuple(split["train"]))
    (folder / SPLIT).write_bytes(sides.to_json(training=split["training"]))
    with pytest.raises(ConfigError, match=r"checkpoints of another training: .*split"):
        train(spans, tmp_path)
    (folder / SPLIT).write_text((folder / SPLIT).read_text().replace("clips/1.mp4", "clips/9.mp4"))
    with pytest.raises(ConfigError, match="damaged or was changed by hand"):
        train(spans, tmp_path)


def test_another_training_can_hold_out_what_an_earlier_one_did(spans: Path, tmp_path: Path) -> None:
    first = train(spans, tmp_path / "first", "skill.data.held_out=0.5")
    listed = f"skill.data.held_out_list={first / SPLIT}"
    second = train(spans, tmp_path / "second", listed)
    assert stored(second)["held_out"] == stored(first)["held_out"]
    assert stored(second)["how"].startswith("what ")


def test_a_wrong_list_ends_the_command_in_one_line_before_any_training(
    spans: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("clip/1.mp4\n")
    settings = [f"--set=skill.data.held_out_list={listed}", *(f"--set={each}" for each in TINY)]
    done = sofdata("train", "skill", "--data", spans, "--out", tmp_path / "out", *settings)
    assert done.returncode == 2
    assert "no video and no file of" in done.stderr
    assert "clip/1.mp4" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def loose(cameras: Path, tmp_path: Path) -> Path:
    """The files of `cameras` again, as a folder of videos of which nobody knows the episodes."""
    for path in sorted((cameras.parent / "source").rglob("*.mp4")):
        name = "-".join(path.relative_to(cameras.parent / "source").parts)
        (tmp_path / "source").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "source" / name)
    ingest(tmp_path / "source", tmp_path / "dest", *SMALL)
    return tmp_path / "dest"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_corpus_joined_with_a_folder_of_its_files_has_none_of_them_on_both_sides(
    cameras: Path, loose: Path, share: float
) -> None:
    contents = {}
    for dataset in (cameras, loose):
        for row in pq.read_table(dataset / "plan.parquet").to_pylist():
            contents[row["id"]] = row["fingerprint"]
    source = {
        row["key"]: row["source"]
        for dataset in (cameras, loose)
        for row in pq.read_table(dataset / "index.parquet").to_pylist()
    }
    found: dict[str, set[str]] = {}
    for side in ("train", "held_out"):
        both = Loader([cameras, loose], batch_size=1, split=(side, share))
        found[side] = {contents[source[key]] for batch in both for key in batch.keys}
    assert found["train"]
    assert found["held_out"]
    assert found["train"].isdisjoint(found["held_out"])


def test_episodes_that_lie_in_one_file_one_after_the_other_are_divided(cameras: Path) -> None:
    sides = loader(cameras, "train", 0.5).sides
    assert sides is not None
    assert {*sides.train, *sides.held_out} == {f"episode {number}" for number in range(6)}


@pytest.mark.parametrize(
    ("dataset", "setting", "message"),
    [
        ("nowhere", "machine.threads=1", "no complete dataset"),
        ("", "skill.data.where=motion > 1e6", "selects none"),
        ("", "skill.data.held_out_list=nowhere.txt", "cannot be read"),
        ("", "skill.data.batch_size=1000000", "smaller batch"),
        ("", "machine.device=cuda:99", "machine.device"),
    ],
)
def test_a_restart_that_cannot_begin_leaves_the_earlier_training_as_it_is(
    spans: Path, tmp_path: Path, dataset: str, setting: str, message: str
) -> None:
    folder = tmp_path / "out" / "skill"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"weeks of computing")
    data = str(tmp_path / dataset) if dataset else str(spans)
    config = load_train_config(None, [*BRIEF, setting])
    job = StageJob("skill", config, (data,), str(tmp_path / "out"), {})
    with pytest.raises(ConfigError, match=message):
        train_stage(job, lambda progress: None, restart=True)
    assert (folder / "model.pt").read_bytes() == b"weeks of computing"


def test_a_restart_throws_the_earlier_training_away(spans: Path, tmp_path: Path) -> None:
    folder = train(spans, tmp_path)
    (folder / "note.txt").write_text("of the earlier one")
    config = load_train_config(None, [*BRIEF, "machine.seed=1"])
    job = StageJob("skill", config, (str(spans),), str(tmp_path), {})
    train_stage(job, lambda progress: None, restart=True)
    assert (folder / "model.pt").exists()
    assert not (folder / "note.txt").exists()


def test_labels_that_would_take_gigabytes_are_refused_unread(spans: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(spans, dataset)
    record = json.loads((dataset / "dataset.json").read_text())
    # A corpus whose labels name recordings; of others they are not looked at.
    (dataset / "dataset.json").write_text(json.dumps(record | {"corpus": "kinetics"}))
    plan = pq.read_table(dataset / "plan.parquet")
    bomb = '{"a": [' + "[], " * 500_000 + "[]]}"
    place = plan.schema.get_field_index("labels")
    column = pa.array([bomb] * plan.num_rows, pa.string())
    pq.write_table(
        plan.set_column(place, plan.schema.field(place), column), dataset / "plan.parquet"
    )
    with pytest.raises(InputError, match=r"plan.parquet of .* is damaged: .* are no labels"):
        loader(dataset, "train", 0.5)
