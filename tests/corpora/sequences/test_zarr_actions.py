"""The actions of Zarr stores go with their windows, and only where they are asked for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.sequences import zarr as corpus_of_zarr
from sofdata.errors import ActionError, ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec
from tests.corpora.sequences.test_zarr import (
    FPS,
    SETTINGS,
    _one_reader,
    listed,
    problems,
    remote,
    source,
)
from tests.helpers import ingest
from tests.sequences import samples, wrong_frames
from tests.zarrs import actions, pictures, put, replay_buffer, store, umi_zip

__all__ = ["_one_reader", "remote", "source"]


@pytest.mark.parametrize("isolate", ["true", "false"])
def test_actions_are_those_of_the_windows(tmp_path: Path, isolate: str) -> None:
    replay_buffer(tmp_path / "s.zarr", (9, 7))
    settings = (FPS, *SETTINGS, "with_actions=true", f"run.isolate={isolate}")
    ingest(tmp_path / "s.zarr", tmp_path / "d", *settings)
    found = list(samples(tmp_path / "d"))
    assert {each.record.source for each in found} == {
        "data/img/episode-000000",
        "data/img/episode-000001",
    }
    for each in found:
        begin = 9 * int(each.record.source[-1]) + round(10 * each.record.start_s)
        rows = actions(16)[begin : begin + 4]
        assert each.actions is not None
        assert each.actions.tolist() == rows.tolist()
    assert (
        wrong_frames(
            tmp_path / "d", 10, {"data/img/episode-000000": 0, "data/img/episode-000001": 9}
        )
        == []
    )


def test_a_missing_chunk_of_actions_costs_its_windows(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "s.zarr", (20,))
    os.remove(tmp_path / "s.zarr/data/action/1.0")  # of rows 7 to 13
    ingest(tmp_path / "s.zarr", tmp_path / "d", FPS, *SETTINGS, "with_actions=true")
    spans = sorted((each.record.start_s, each.record.end_s) for each in samples(tmp_path / "d"))
    assert spans
    assert all(end <= 0.71 or start >= 1.39 for start, end in spans)


def test_umi_has_no_actions_and_that_is_said(tmp_path: Path) -> None:
    umi_zip(tmp_path / "a.zarr.zip", (9,))
    with pytest.raises(ConfigError, match=r"UMI's keep poses .* which are states"):
        listed(tmp_path, with_actions=True)


def test_other_actions_than_most_have_are_rejects(tmp_path: Path) -> None:
    for name in ("a", "b"):
        replay_buffer(tmp_path / f"{name}.zarr", (9,))
    with store(tmp_path / "c.zarr") as root:
        put(root, "img", pictures(range(9)))
        put(root, "action", np.ones((9, 7), np.float32))
    with store(tmp_path / "d.zarr") as root:
        put(root, "img", pictures(range(9)))
    with store(tmp_path / "e.zarr") as root:
        put(root, "img", pictures(range(9)))
        put(root, "action", actions(9))
        put(root, "timestamp", np.arange(9) / 30)
    listing = listed(tmp_path, with_actions=True)
    assert listing.actions == ActionSpec(("action_0", "action_1"), 10.0)
    assert problems(listing) == {
        "a.zarr/data/img/episode-000000": "",
        "b.zarr/data/img/episode-000000": "",
        "c.zarr/img": "other_actions",
        "d.zarr/img": "no_actions_file",
        "e.zarr/img": "other_actions",
    }


def test_actions_of_another_number_of_rows_are_none(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "a.zarr", (9,))
    replay_buffer(tmp_path / "b.zarr", (9,))
    array = tmp_path / "b.zarr/data/action/.zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"shape": [18, 2]}))
    listing = listed(tmp_path, with_actions=True)
    assert problems(listing)["b.zarr/data/img/episode-000000"] == "no_actions_file"
    assert any("has 18 rows, where pictures have 9" in note for note in listing.notes)


def test_the_state_comes_only_when_it_is_asked_for(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "a.zarr", (9, 5))
    plain = listed(tmp_path, with_actions=True)
    listing = listed(tmp_path, with_actions=True, with_state=True)
    names = ("observation.state.state_0", "observation.state.state_1")
    assert plain.actions == ActionSpec(("action_0", "action_1"), 10.0)
    assert listing.actions == ActionSpec(("action_0", "action_1", *names), 10.0)
    ref = listing.entries[1].actions
    assert ref is not None
    tree = Tree(str(tmp_path))
    track = corpus_of_zarr.ZarrStores().read_actions(tree, ref, listing.actions)
    assert track.values.tolist() == np.hstack([actions(14), actions(14) * 10])[9:].tolist()
    assert track.times_s.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_state_that_is_not_there_cannot_be_asked_for(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "img", pictures(range(9)))
        put(root, "action", actions(9))
    with pytest.raises(ConfigError, match="with_state"):
        listed(tmp_path, with_actions=True, with_state=True)


def test_remote_actions_are_read_without_the_pictures(
    source: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(source / "deep")
    fetched: list[str] = []
    download = Tree.download

    def counted(tree: Tree, where: Any, *rest: Any) -> None:
        fetched.append(where.file)
        download(tree, where, *rest)

    tree = Tree(remote)
    listing = listed(remote, with_actions=True)
    (ref,) = {entry.actions for entry in listing.entries if entry.id.startswith("a.zarr")} - {
        listing.entries[0].actions
    }
    assert ref is not None
    assert listing.actions is not None
    monkeypatch.setattr(Tree, "download", counted)
    track = corpus_of_zarr.ZarrStores().read_actions(tree, ref, listing.actions)
    assert track.values.tolist() == actions(16)[9:].tolist()
    assert fetched
    assert all("/data/action/" in rel for rel in fetched)


def test_actions_that_are_gone_since_the_plan_are_an_error(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "a.zarr", (9,))
    spec = ActionSpec(("action_0", "action_1"), 10.0)
    listing = listed(tmp_path, with_actions=True)
    known = listing.entries[0].actions
    assert known is not None
    (tmp_path / "a.zarr/data/action/.zarray").unlink()
    with pytest.raises(ActionError, match="there is no array 'data/action'"):
        corpus_of_zarr.ZarrStores().read_actions(Tree(str(tmp_path)), known, spec)
