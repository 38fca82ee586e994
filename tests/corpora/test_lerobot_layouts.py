"""LeRobot datasets as they lie on disks: cameras that were off, several tasks, depth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import ActionTrack, TimedText
from tests.helpers import ingest
from tests.lerobots import (
    DATA,
    EPISODES,
    LENGTHS,
    TOP,
    WRIST,
    edit_info,
    edit_table,
    grey_episodes,
    put_lines,
    spoil_column,
    write_grey,
    write_jumping,
    write_v2,
)

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return write_grey(tmp_path / "grey")


def listing(root: Path) -> Listing:
    return LeRobot().listing(Tree(str(root)))


def by_id(found: Listing) -> dict[str, Entry]:
    return {entry.id: entry for entry in found.entries}


def problems(root: Path) -> dict[str, str]:
    return {entry.id: entry.problem for entry in listing(root).entries if entry.problem}


def track(root: Path, id: str) -> ActionTrack:
    found = LeRobot().demonstrations(Tree(str(root)))
    ref = by_id(found)[id].actions
    assert ref is not None
    assert found.actions is not None
    return LeRobot().read_actions(Tree(str(root)), ref, found.actions)


def assert_all_accounted(root: Path) -> None:
    """Every file is that of an entry, or a table, or ignored."""
    found = listing(root)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    inputs = {entry.uri for entry in found.entries} & files
    assert inputs.isdisjoint(found.tables)
    assert len(files) == len(inputs) + len(found.tables) + sum(found.ignored.values())


# A camera that was off


def test_a_camera_missing_in_one_episode_is_one_reject_that_names_its_row(
    shared_cases: Path, tmp_path: Path
) -> None:
    root = shared_cases / "lerobot_missing_camera"
    found = listing(root)
    rejects = [entry for entry in found.entries if entry.problem]
    assert (len(found.entries), len(rejects)) == (8, 1)
    assert rejects[0].id == f"{WRIST}/episode-000002"
    assert rejects[0].problem == "no_file"
    assert rejects[0].detail == (
        f"{EPISODES}, row 3, episode 2: videos/{WRIST}/chunk_index and videos/{WRIST}/file_index "
        "are null"
    )
    assert_all_accounted(root)
    ingest(root, tmp_path / "d", *SETTINGS)
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["id"] for row in videos if row["status"] == "rejected"] == [rejects[0].id]
    assert len(videos) == 8
    assert sum(row["status"] == "done" for row in videos) == 7


def test_numbers_with_a_point_are_those_without(grey: Path) -> None:
    before = listing(grey)
    table = pq.ParquetFile(grey / EPISODES).read()
    for number, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            table = table.set_column(number, field.name, table[field.name].cast("float64"))
    pq.write_table(table, grey / EPISODES)
    assert listing(grey) == before


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize(
    ("columns", "problem", "detail_end"),
    [
        (("chunk_index",), "no_file", "chunk_index is null"),
        (("file_index",), "no_file", "file_index is null"),
        (("from_timestamp",), "bad_span", "from_timestamp is null"),
        (("from_timestamp", "to_timestamp"), "bad_span", "to_timestamp are null"),
    ],
)
def test_whatever_is_null_of_a_camera_costs_its_view_only(
    grey: Path, columns: tuple[str, ...], problem: str, detail_end: str, value: float | None
) -> None:
    schema = pq.ParquetFile(grey / EPISODES).schema_arrow
    nulls = {f"videos/{WRIST}/{name}": value for name in columns}
    if value is not None:  # as pandas keeps what it knows no better
        for name in nulls:
            schema = schema.set(schema.get_field_index(name), pa.field(name, pa.float64()))
    edit_table(grey, EPISODES, lambda rows: rows[1].update(nulls), schema)
    assert problems(grey) == {f"{WRIST}/episode-000001": problem}
    detail = by_id(listing(grey))[f"{WRIST}/episode-000001"].detail
    assert detail.startswith(f"{EPISODES}, row 2, episode 1: ")
    assert detail.endswith(detail_end)


def test_a_table_without_the_columns_of_a_camera_costs_its_rows_only(grey: Path) -> None:
    """As where datasets of other cameras were put together."""
    table = pq.ParquetFile(grey / EPISODES).read()
    wrist = [name for name in table.column_names if name.startswith(f"videos/{WRIST}/")]
    second = EPISODES.replace("file-000", "file-001")
    pq.write_table(table.slice(0, 2), grey / EPISODES)
    pq.write_table(table.slice(2).drop_columns(wrist), grey / second)
    assert problems(grey) == {f"{WRIST}/episode-000002": "no_file"}
    detail = by_id(listing(grey))[f"{WRIST}/episode-000002"].detail
    assert f"{second}, row 1, episode 2: the table lacks videos/{WRIST}/chunk_index" in detail
    assert listing(grey).ignored == {"video of no episode": 1}
    assert_all_accounted(grey)


def test_a_camera_that_no_table_knows_leaves_the_others(grey: Path) -> None:
    edit_info(grey, lambda info: info["features"].update(side={"dtype": "video"}))
    found = problems(grey)
    assert found == {f"side/episode-{number:06d}": "no_file" for number in range(3)}


def test_a_missing_camera_leaves_its_actions_to_the_others(grey: Path) -> None:
    nulls = {f"videos/{WRIST}/chunk_index": None}
    edit_table(grey, EPISODES, lambda rows: rows[0].update(nulls))
    found = by_id(LeRobot().demonstrations(Tree(str(grey))))
    assert found[f"{WRIST}/episode-000000"].actions is None
    assert len(track(grey, f"{TOP}/episode-000000")) == LENGTHS[0]


def test_an_episode_whose_file_of_rows_is_null_is_read_without_actions(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[0].update({"data/file_index": None}))
    assert problems(grey) == {}
    found = by_id(LeRobot().demonstrations(Tree(str(grey))))
    assert found[f"{TOP}/episode-000000"].problem == "no_actions_file"
    assert "row 1, episode 0: no file of its rows" in found[f"{TOP}/episode-000000"].detail
    assert found[f"{TOP}/episode-000001"].problem == ""


def test_in_v2_a_missing_file_of_one_camera_costs_its_view_only(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "v2", grey_episodes())
    (root / f"videos/chunk-000/{WRIST}/episode_000001.mp4").unlink()
    assert problems(root) == {f"{WRIST}/episode-000001": "no_file"}
    assert_all_accounted(root)


@pytest.mark.parametrize("value", [-1, 1.5, "0", True])
def test_what_is_no_number_stops_the_run(grey: Path, value: Any) -> None:
    name = f"videos/{WRIST}/file_index"
    table = pq.ParquetFile(grey / EPISODES).read().drop_columns([name])
    pq.write_table(table.append_column(name, pa.array([value] * 3)), grey / EPISODES)
    with pytest.raises(ConfigError, match=rf"row 1, episode 0: '{name}' is .*a number belongs"):
        listing(grey)


# Several tasks in an episode


def give_tasks(root: Path, rel: str, indices: dict[int, int], number: int = 1) -> None:
    """Let the rows of an episode have another task from the given frames on."""

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["episode_index"] == number:
                row["task_index"] = max(
                    (at, task) for at, task in indices.items() if at <= row["frame_index"]
                )[1]

    edit_table(root, rel, change)


def test_several_tasks_are_texts_by_time_on_the_clock_of_the_file(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[1].update(tasks=["task 0", "task 1"]))
    give_tasks(grey, DATA, {0: 1, 4: 0, 9: 1})
    entry = by_id(listing(grey))[f"{WRIST}/episode-000001"]
    assert entry.annotations.texts == (  # the episode begins 0.7 s into its file
        TimedText(0.7, 1.1, "task 1"),
        TimedText(1.1, 1.6, "task 0"),
        TimedText(1.6, 1.9, "task 1"),
    )
    assert entry.text == "task 0; task 1"
    others = [each for id, each in by_id(listing(grey)).items() if "000001" not in id]
    assert not any(each.annotations for each in others)
    assert listing(grey).notes == ()
    assert listing(grey).unused == {}


def test_in_v2_texts_begin_with_the_file(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "v2", grey_episodes())
    lines = [
        {"episode_index": 0, "length": 7, "tasks": ["task 0", "task 1"]},
        {"episode_index": 1, "length": 12, "tasks": ["task 1"]},
    ]
    put_lines(root / "meta/episodes.jsonl", lines)
    give_tasks(root, "data/chunk-000/episode_000000.parquet", {0: 0, 3: 1}, number=0)
    texts = by_id(listing(root))[f"{TOP}/episode-000000"].annotations.texts
    assert texts == (TimedText(0.0, 0.3, "task 0"), TimedText(0.3, 0.7, "task 1"))


def test_windows_carry_the_task_of_their_time(tmp_path: Path) -> None:
    root = write_jumping(tmp_path / "s", episodes=2)
    edit_table(root, EPISODES, lambda rows: rows[1].update(tasks=["jump about", "go on"]))
    edit_table(
        root,
        "meta/tasks.parquet",
        lambda rows: rows.append({"task_index": 1, "task": "go on"}),
    )
    give_tasks(root, DATA, {0: 0, 20: 1})
    ingest(root, tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    middle_s = 2.0 + 20 / 20  # the episode begins at 2 s
    seen = set()
    for row in rows:
        own = row["source"].endswith("1")
        if own and abs((row["start_s"] + row["end_s"]) / 2 - middle_s) < 0.05:
            continue  # half of each
        later = own and (row["start_s"] + row["end_s"]) / 2 > middle_s
        assert row["text"] == ("go on" if later else "jump about"), row
        seen.add((own, row["text"]))
    assert seen == {(False, "jump about"), (True, "jump about"), (True, "go on")}


def test_rows_are_not_opened_for_episodes_of_one_task(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[2].update(tasks=["task 0", "task 1"]))
    give_tasks(grey, DATA.replace("file-000", "file-001"), {0: 0, 3: 1}, number=2)
    (grey / DATA).write_bytes(b"of other episodes")
    for column in ("action", "index", "frame_index"):
        spoil_column(grey / DATA.replace("file-000", "file-001"), column)
    texts = by_id(listing(grey))[f"{TOP}/episode-000002"].annotations.texts
    assert [text.text for text in texts] == ["task 0", "task 1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: None,  # all rows have the same task, as where tasks are other words for it
        lambda root: (root / DATA).unlink(),
        lambda root: give_tasks(root, DATA, {0: 0, 4: 7}),
        lambda root: edit_table(root, DATA, lambda rows: rows[9].update(timestamp=0.0)),
        lambda root: edit_table(root, DATA, lambda rows: rows[9].update(timestamp=None)),
        lambda root: pq.write_table(
            pq.ParquetFile(root / DATA).read().drop_columns(["task_index"]), root / DATA
        ),
    ],
)
def test_an_episode_that_does_not_say_when_has_all_of_its_tasks_as_text(
    grey: Path, change: Callable[[Path], object]
) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[1].update(tasks=["task 0", "task 1"]))
    change(grey)
    found = listing(grey)
    assert by_id(found)[f"{TOP}/episode-000001"].text == "task 0; task 1"
    assert not any(entry.annotations for entry in found.entries)
    assert "1 x episode has several tasks, and its rows do not say when" in " ".join(found.notes)


def test_rows_without_a_task_have_no_text_of_their_own(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[1].update(tasks=["task 0", "task 1"]))
    give_tasks(grey, DATA, {0: 0, 6: 1})
    edit_table(grey, DATA, lambda rows: [rows[at].update(task_index=None) for at in (9, 10)])
    texts = by_id(listing(grey))[f"{TOP}/episode-000001"].annotations.texts
    assert texts == (
        TimedText(0.7, 0.9, "task 0"),
        TimedText(1.1, 1.3, "task 0"),
        TimedText(1.3, 1.9, "task 1"),
    )


def test_an_episode_longer_than_a_part_of_its_file_has_whole_stretches(tmp_path: Path) -> None:
    write_grey(tmp_path, lengths=(3, 3))
    rows = [
        {"timestamp": t / 10, "episode_index": e, "task_index": int(t >= 4000)}
        for e, length in enumerate((90, 9000))
        for t in range(length)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / DATA)
    change = {"tasks": ["task 0", "task 1"], "length": 9000}
    edit_table(tmp_path, EPISODES, lambda rows: rows[1].update(change))
    texts = by_id(listing(tmp_path))[f"{TOP}/episode-000001"].annotations.texts
    assert [(each.start_s, each.end_s) for each in texts] == [(0.3, 400.3), (400.3, 900.3)]


def test_a_damaged_file_of_rows_that_should_say_when_is_named(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[1].update(tasks=["task 0", "task 1"]))
    (grey / DATA).write_bytes(b"PAR1 nonsense")
    with pytest.raises(ConfigError, match=r"data/chunk-000.*no readable Parquet"):
        listing(grey)


def test_tasks_of_no_episode_are_counted_where_their_table_is_read(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "v2", grey_episodes())
    rows = [{"episode_index": 0, "length": 7, "tasks": [0]}]
    put_lines(root / "meta/episodes.jsonl", rows)
    assert listing(root).unused == {"task of no episode": 1}


# Depth and segmentation


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("observation.images.top_depth", "depth"),
        ("observation.images.depth.left_wrist", "depth"),
        ("observation.images.topDepth", "depth"),
        ("observation.images.cam_seg", "segmentation"),
        ("observation.images.seg_instance_id.left_wrist", "segmentation"),
        ("observation.segmentation.head", "segmentation"),
        ("observation.images.head_semantic", "segmentation"),
        ("observation.images.mask", "segmentation"),
        ("observation.images.depth_camera_rgb", ""),
        ("observation.images.segway", ""),
    ],
)
def test_videos_of_depth_and_segmentation_are_left_out_counted_and_named(
    grey: Path, name: str, kind: str
) -> None:
    """Whatever `is_depth_map` says, which lerobot wrote as false for all before 0.6."""

    def change(info: dict[str, Any]) -> None:
        about = {"is_depth_map": False, "video.is_depth_map": False}
        info["features"][name] = {**info["features"].pop(WRIST), "info": about}

    (grey / f"videos/{WRIST}").rename(grey / f"videos/{name}")
    edit_info(grey, change)
    table = pq.ParquetFile(grey / EPISODES).read()
    renamed = [column.replace(WRIST, name) for column in table.column_names]
    pq.write_table(table.rename_columns(renamed), grey / EPISODES)
    found = listing(grey)
    assert len(found.entries) == (3 if kind else 6)
    assert found.ignored == ({f"{kind} video": 2} if kind else {})
    assert found.notes == ((f"camera {name} shows {kind} and is left out",) if kind else ())
    assert_all_accounted(grey)


def test_a_marked_video_of_depth_is_left_out_whatever_its_name(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "v2", grey_episodes())
    about = {"video_info": {"video.is_depth_map": True}, "info": {"video.codec": "h264"}}
    edit_info(root, lambda info: info["features"][WRIST].update(about))
    found = listing(root)
    assert {entry.labels["camera"] for entry in found.entries} == {TOP}
    assert found.ignored == {"depth video": 3}
    assert_all_accounted(root)


# Versions, and the account of files


@pytest.mark.parametrize("version", ["v3.1", "3.1", "v3.12", "v3.0.1"])
def test_a_later_minor_version_is_read_as_v30_with_a_note(grey: Path, version: str) -> None:
    before = listing(grey)
    edit_info(grey, lambda info: info.update(codebase_version=version))
    found = listing(grey)
    assert found.entries == before.entries
    said = f"v{version.removeprefix('v')}"
    assert found.notes == (f"meta/info.json says {said}, which is read as v3.0",)


@pytest.mark.parametrize("version", ["v4.0", "v2.2", "v3", "v3.x", "v33.0", 3.1])
def test_other_versions_are_refused(grey: Path, version: object) -> None:
    edit_info(grey, lambda info: info.update(codebase_version=version))
    with pytest.raises(ConfigError, match=r"only v2\.0, v2\.1, v3\.0 are read"):
        listing(grey)


def test_every_file_is_an_input_a_table_or_ignored(tmp_path: Path) -> None:
    for root in (write_grey(tmp_path / "v3"), write_v2(tmp_path / "v2", grey_episodes())):
        clip = next(root.glob("videos/**/*.mp4"))
        for place in ("videos/spare.mp4", "extra/other.MP4", "meta/look.mp4", ".cache/x.mp4"):
            (root / place).parent.mkdir(exist_ok=True)
            shutil.copy(clip, root / place)
        for place in ("README.md", ".gitattributes", "meta/modality.json", "meta/notes.txt", "a"):
            (root / place).write_text("{}")
        (root / "images").mkdir()
        (root / "images/frame-000000.png").write_bytes(b"")
        found = listing(root)
        assert found.ignored == {
            ".md": 1,
            ".png": 1,
            ".txt": 1,
            "hidden": 2,
            "no suffix": 1,
            "video of no episode": 3,
        }
        assert "meta/modality.json" in found.tables
        assert "3 x video belongs to no episode" in " ".join(found.notes)
        assert_all_accounted(root)


def test_files_lie_wherever_the_templates_say(grey: Path) -> None:
    for old, new in (("videos", "clips"), ("data", "rows")):
        (grey / old).rename(grey / new)
    edit_info(
        grey,
        lambda info: info.update(
            video_path=info["video_path"].replace("videos", "clips"),
            data_path=info["data_path"].replace("data", "rows"),
        ),
    )
    assert problems(grey) == {}
    assert len(track(grey, f"{TOP}/episode-000000")) == 7
    assert_all_accounted(grey)
    assert listing(grey).ignored == {}
