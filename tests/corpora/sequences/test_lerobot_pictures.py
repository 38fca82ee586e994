"""LeRobot datasets that keep pictures: in their rows, in folders, beside videos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest
from tests.lerobot_pictures import (
    DATA_V3,
    LENGTHS,
    ROWS,
    Keeping,
    first_number,
    write_pictures,
)
from tests.lerobots import TOP, WRIST, edit_info
from tests.sequences import samples, wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
KINDS: list[Mapping[str, Keeping]] = [
    ROWS,
    {TOP: "files", WRIST: "both"},
    {TOP: "rows", WRIST: "video"},
]


def listing(root: Path, with_actions: bool = False) -> Listing:
    tree = Tree(str(root))
    return LeRobot().demonstrations(tree) if with_actions else LeRobot().listing(tree)


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def rejects(dest: Path) -> dict[str, tuple[str, str]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(dest / "videos.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["detail"]) for row in rows if row["status"] != "done"}


def wanted(keeping: Mapping[str, Keeping], version: str) -> dict[str, int]:
    """The number that is shown at 0 s of each video's own clock."""
    found = {}
    for camera, how in keeping.items():
        for episode in range(len(LENGTHS)):
            first = first_number(camera, episode)
            if how == "video" and version == "v3.0":  # one clock for all
                first -= sum(LENGTHS[:episode])
            found[f"{camera}/episode-{episode:06d}"] = first
    return found


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("keeping", KINDS, ids=["rows", "files", "mixed"])
def test_pictures_become_windows_with_texts_and_actions(
    tmp_path: Path, version: str, keeping: Mapping[str, Keeping]
) -> None:
    root = write_pictures(tmp_path / "s", keeping, version=version)
    ingest(root, tmp_path / "d", *SETTINGS, "with_actions=true", "with_state=true")
    assert not rejects(tmp_path / "d")
    assert not wrong_frames(tmp_path / "d", 10, wanted(keeping, version))
    seen = set()
    for sample in samples(tmp_path / "d"):
        record = sample.record
        camera, _, number = record.source.rpartition("/episode-")
        episode = int(number)
        start = record.pts_s[0]
        if keeping[camera] == "video" and version == "v3.0":
            start -= sum(LENGTHS[:episode]) / 10
        at = round(10 * start)
        assert sample.actions is not None
        rows = [[100 * episode + t, -t, t, episode] for t in range(at, at + 4)]
        assert np.array_equal(sample.actions, np.array(rows, np.float32))
        assert record.text == f"task {episode % 2}"
        seen.add(record.source)
    assert seen == set(wanted(keeping, version))
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_the_same_bytes_whatever_decodes_and_from_a_store(tmp_path: Path) -> None:
    import fsspec

    root = write_pictures(tmp_path / "s", {TOP: "rows", WRIST: "files"})
    files = fsspec.filesystem("memory")
    files.put(f"{root}/", "/robot/", recursive=True)
    try:
        ingest(root, tmp_path / "here", *SETTINGS)
        ingest(root, tmp_path / "apart", *SETTINGS, "run.isolate=true")
        ingest("memory://robot", tmp_path / "away", *SETTINGS)
        small = ("run.temporary_mib=0.001", "run.isolate=true")
        ingest("memory://robot", tmp_path / "ranges", *SETTINGS, *small)
    finally:
        files.rm("/robot", recursive=True)
    for other in ("apart", "away", "ranges"):
        assert hashes(tmp_path / "here") == hashes(tmp_path / other), other


def test_a_listing_says_where_pictures_are(tmp_path: Path) -> None:
    found = entries(write_pictures(tmp_path, {TOP: "rows", WRIST: "both"}))
    entry = found[f"{TOP}/episode-000001"]
    assert parse(entry.uri).file == DATA_V3
    assert parse(entry.uri).sequence == f"parquet:{TOP}?episode=1&fps=10.0&rows=20"
    assert entry.span_s is None  # the rows say when its pictures were taken
    assert entry.labels == {"camera": TOP, "episode": "1"}
    assert parse(found[f"{WRIST}/episode-000001"].uri).file == DATA_V3  # rows count before files


def test_pictures_in_folders_and_none_in_rows(tmp_path: Path) -> None:
    """As where the column was left out of the tables; a camera of depth is counted apart."""

    def without(episode: int, columns: dict[str, Any]) -> None:
        del columns[TOP]

    root = write_pictures(tmp_path, {TOP: "files"}, version="v2.1", change=without)
    other = root / "images/observation.images.top_depth/episode_000000"
    other.mkdir(parents=True)
    for at in range(3):
        (other / f"frame_{at:06d}.png").write_bytes(b"x")
    edit_info(
        root,
        lambda info: info["features"].update(
            {other.parent.name: {"dtype": "image", "shape": [8, 8, 1], "names": None}}
        ),
    )
    spare = root / f"images/{TOP}/episode_000077"
    spare.mkdir()
    (spare / "frame_000000.png").write_bytes(b"x")
    found = listing(root)
    uri = f"images/{TOP}/episode_000002/"
    assert parse(entries(root)[f"{TOP}/episode-000002"].uri).file == uri
    assert found.ignored == {"depth picture": 3, "picture of no episode": 1}
    assert "top_depth shows depth and is left out" in " ".join(found.notes)


def test_pictures_that_are_in_the_rows_and_in_folders_are_counted(tmp_path: Path) -> None:
    found = listing(write_pictures(tmp_path, {TOP: "both"}))
    assert found.ignored == {"picture that is in the rows, too": sum(LENGTHS)}


@pytest.mark.parametrize("at", [0, 5])
def test_a_folder_that_lacks_pictures_is_told_and_keeps_its_clock(tmp_path: Path, at: int) -> None:
    root = write_pictures(tmp_path / "s", {TOP: "files"}, version="v2.1")
    (root / f"images/{TOP}/episode_000000/frame_{at:06d}.png").unlink()
    ingest(root, tmp_path / "d", *SETTINGS, "with_actions=true")
    assert not wrong_frames(tmp_path / "d", 10, wanted({TOP: "files"}, "v2.1"))
    for sample in samples(tmp_path / "d"):
        episode = int(sample.record.source[-6:])
        assert sample.actions is not None
        assert sample.actions[0, 0] == 100 * episode + round(10 * sample.record.pts_s[0])


# What is wrong


def broken(tmp_path: Path, change: Any, **options: Any) -> dict[str, tuple[str, str]]:
    root = write_pictures(tmp_path / "s", {TOP: "rows"}, change=change, **options)
    ingest(root, tmp_path / "d", *SETTINGS, "run.isolate=true", "run.allow_set_aside=1")
    assert verify(Tree(str(tmp_path / "d"))).whole
    return {id[-1]: why for id, why in rejects(tmp_path / "d").items()}


def test_pictures_that_are_named_by_paths_alone_are_not_looked_for(tmp_path: Path) -> None:
    def name(episode: int, columns: dict[str, Any]) -> None:
        for row in columns[TOP]:
            row.update(bytes=None, path="../../../../etc/passwd")

    found = broken(tmp_path, name)
    assert {reason for reason, _ in found.values()} == {"no_file"}
    assert "its pictures lie in files of their own" in found["0"][1]


def test_two_rates_are_an_error_of_their_episode(tmp_path: Path) -> None:
    def faster(episode: int, columns: dict[str, Any]) -> None:
        if episode == 1:
            columns["timestamp"] = columns["timestamp"] / 2

    found = broken(tmp_path, faster)
    assert found.keys() == {"1"}
    assert found["1"][0] == "no_times"
    assert "0.05 s apart, and the dataset tells of 10 a second" in found["1"][1]


def test_a_missing_and_a_damaged_picture_cost_themselves(tmp_path: Path) -> None:
    def spoil(episode: int, columns: dict[str, Any]) -> None:
        if episode == 1:
            columns[TOP][6]["bytes"] = None
            columns[TOP][12]["bytes"] = columns[TOP][12]["bytes"][:40]

    assert not broken(tmp_path, spoil)
    assert not wrong_frames(tmp_path / "d", 10, wanted({TOP: "rows"}, "v3.0"))
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    salvaged = {row["id"][-1]: row["salvaged"] for row in rows}
    assert "2 pictures cannot be read" in salvaged["1"]
    assert salvaged["0"] == ""


def test_a_file_of_rows_that_is_cut_off_is_a_reject(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "s", {TOP: "rows"}, version="v2.1")
    path = root / "data/chunk-000/episode_000001.parquet"
    path.write_bytes(path.read_bytes()[:-2000])
    (root / "data/chunk-000/episode_000002.parquet").unlink()
    ingest(root, tmp_path / "d", *SETTINGS, "run.isolate=true")
    found = {id[-1]: why for id, why in rejects(tmp_path / "d").items()}
    assert (found["1"][0], found["2"][0]) == ("damaged", "no_file")
    assert "no readable Parquet" in found["1"][1]


def test_a_column_of_another_type_is_a_reject(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "s", {TOP: "rows"})
    edit_info(root, lambda info: info["features"]["action"].update(dtype="image"))
    edit_info(root, lambda info: info["features"].update(none={"dtype": "image"}))
    ingest(root, tmp_path / "d", *SETTINGS)
    found = rejects(tmp_path / "d")
    assert found["action/episode-000000"][0] == "damaged"
    assert "which are no encoded pictures" in found["action/episode-000000"][1]
    assert "it has no column 'none'" in found["none/episode-000000"][1]
    assert not [id for id in found if id.startswith(TOP)]


def test_rows_without_timestamps_count_by_frame_index(tmp_path: Path) -> None:
    def without(episode: int, columns: dict[str, Any]) -> None:
        del columns["timestamp"]

    assert not broken(tmp_path, without)
    assert not wrong_frames(tmp_path / "d", 10, wanted({TOP: "rows"}, "v3.0"))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_pictures_of_a_slower_or_later_clock_are_all_there(tmp_path: Path, version: str) -> None:
    """Up to a tenth slower than the dataset says, and not from 0 s on."""

    def late(episode: int, columns: dict[str, Any]) -> None:
        columns["timestamp"] = (columns["timestamp"] * 1.08 + 3).astype(np.float32)

    assert not broken(tmp_path, late, version=version)
    for sample in samples(tmp_path / "d"):
        first = 60 * int(sample.record.source[-1])
        for rgb, time_s in ((sample.first, 0), (sample.last, -1)):
            at = round((sample.record.pts_s[time_s] - 3) / 0.108)
            assert read(rgb).number == first + at
    for episode, length in enumerate(LENGTHS):
        mine = [
            one.record for one in samples(tmp_path / "d") if int(one.record.source[-1]) == episode
        ]
        last_s = max(record.pts_s[-1] for record in mine)
        assert last_s == pytest.approx(3 + 0.108 * (length - 1), abs=1e-5)


def test_more_pictures_in_a_folder_than_there_are_rows_are_told(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "s", {TOP: "files"}, version="v2.1")
    for at in (14, 15):
        last = root / f"images/{TOP}/episode_000000/frame_000013.png"
        last.with_name(f"frame_{at:06d}.png").write_bytes(last.read_bytes())
    ingest(root, tmp_path / "d", *SETTINGS)
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    salvaged = {row["id"][-1]: row["salvaged"] for row in rows}
    told = "2 pictures lie outside of the numbers that there should be"
    assert salvaged == {"0": told, "1": "", "2": ""}


def test_fewer_rows_than_the_table_of_episodes_tells_of_are_told(tmp_path: Path) -> None:
    def short(episode: int, columns: dict[str, Any]) -> None:
        if episode == 0:
            for name in columns:
                columns[name] = columns[name][:-3]

    assert not broken(tmp_path, short)
    import pyarrow.parquet as pq

    row = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()[0]
    assert "3 of 14 rows are missing" in row["salvaged"]
