"""When the pictures of HDF5 files were taken, and what is done in them, as the files say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.sequences.hdf5 import Hdf5Files
from sofdata.storage.tree import Tree
from tests.corpora.sequences.test_hdf5 import SETTINGS, aloha, tree
from tests.hdf5s import write_aloha
from tests.helpers import ingest
from tests.sequences import samples, wrong_frames

__all__ = ["aloha"]


def test_times_beside_the_pictures_count(aloha: Path, tmp_path: Path) -> None:
    began_ns = 1_760_000_000_000_000_000
    for number in range(2):
        with h5py.File(aloha / f"episode_{number}.hdf5", "a") as file:
            file["observations/timestamps"] = began_ns + np.arange(20) * 100_000_000
    ingest(aloha, tmp_path / "d", *SETTINGS, "sequences.fps=50", "with_actions=true")
    found = [*samples(tmp_path / "d")]
    first = {each.record.source: 100 * int(each.record.labels["episode"]) for each in found}
    assert not wrong_frames(tmp_path / "d", 10, first)
    for sample in found:
        assert sample.record.actions is not None
        assert sample.actions is not None
        steps = np.round(np.array(sample.record.actions.times_s) * 10).astype(int)
        assert (sample.actions[:, 0] == 1000 * steps).all()
    (note,) = Hdf5Files(SequenceConfig(fps=50)).listing(Tree(str(aloha))).notes
    assert "sequences.fps is not heeded" in note


def test_the_user_may_name_the_times(aloha: Path) -> None:
    for number in range(2):
        with h5py.File(aloha / f"episode_{number}.hdf5", "a") as file:
            file["clock/camera"] = np.arange(20) * 0.25
    listing = Hdf5Files(SequenceConfig(times="clock/camera")).listing(Tree(str(aloha)))
    assert {entry.span_s for entry in listing.entries} == {(0.0, 5.0)}
    missing = Hdf5Files(SequenceConfig(times="clock")).listing(Tree(str(aloha)))
    assert {entry.problem for entry in missing.entries} == {"no_times"}


@pytest.mark.parametrize(
    ("times", "unit", "problem", "lasts_s"),
    [
        (np.arange(20) * 0.1, "", "", 2.0),
        (np.arange(20) * 0.1 + 1.7e9, "", "", 2.0),
        (np.arange(20) * 100 + 1_700_000_000_000, "", "", 2.0),
        (np.arange(20) * 100, "", "no_times", None),
        (np.arange(20) * 100, "ms", "", 2.0),
        (np.arange(20) * 100.0, "", "no_times", None),
        (np.zeros(20), "", "no_times", None),
        (np.arange(19) * 0.1, "", "other_length", None),
        (np.arange(20)[:, None] * 0.1, "", "", 2.0),
    ],
)
def test_units_of_times_are_stated_or_plain_or_refused(
    tmp_path: Path, times: Any, unit: str, problem: str, lasts_s: float | None
) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(20))
    with h5py.File(tmp_path / "lab" / "episode_0.hdf5", "a") as file:
        file["timestamp"] = times
        if unit:
            file["timestamp"].attrs["units"] = unit
    listing = Hdf5Files().listing(tree(tmp_path))
    assert {entry.problem for entry in listing.entries} == {problem}
    ends = {entry.span_s[1] if entry.span_s else None for entry in listing.entries}
    assert ends == {lasts_s}


@pytest.mark.parametrize(
    ("unit", "problem", "span_s"),
    [
        ("msec", "", (0.0, 2.0)),
        ("Seconds", "", (0.0, 2000.0)),
        ("minutes", "no_times", None),
        ("frames", "no_times", None),
    ],
)
def test_a_unit_that_is_stated_is_never_another(
    tmp_path: Path, unit: str, problem: str, span_s: tuple[float, float] | None
) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(20))
    with h5py.File(tmp_path / "lab" / "episode_0.hdf5", "a") as file:
        file["timestamp"] = np.arange(20) * 100.0
        file["timestamp"].attrs["units"] = unit
    entry = Hdf5Files().listing(tree(tmp_path)).entries[0]
    assert (entry.problem, entry.span_s) == (problem, span_s)


def test_numbers_of_rows_are_no_times(tmp_path: Path) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(20))
    with h5py.File(tmp_path / "lab" / "episode_0.hdf5", "a") as file:
        file["time"] = np.arange(20.0)
    entry = Hdf5Files().listing(tree(tmp_path)).entries[0]
    assert entry.problem == "no_times"
    assert "steps of 1 in a unit that is not said" in entry.detail


@pytest.mark.parametrize(
    ("times", "unit", "said"),
    [
        (np.array([0, *(1.7e9 + np.arange(19) / 10)]), "", "by 19675.9 days"),
        (np.array([0, *(1.7e9 + np.arange(19) / 10)]), "s", "by 19675.9 days"),
        ((1.7e9 + np.arange(20) * 10).astype(np.float32), "s", "too coarse"),
        ((1e6 + np.arange(20) / 20).astype(np.float32), "", "differ by 0.0625 s or more"),
        (np.array([100, *(np.arange(19) / 10)]), "s", "behind earlier ones, 19 of 20"),
        (np.array([100, *(np.arange(19) / 10)]), "", "do not increase"),
        (np.arange(20) / 1e5, "", "steps of 1e-05 in a unit that is not said"),
        (10**9 + np.arange(20) * 100, "", "steps of 100 in a unit that is not said"),
        (10**9 + np.arange(20) * 100_000, "", "steps of 100000 in a unit that is not said"),
        (np.array([0, 1, np.nan, *np.arange(3.0, 20)]), "", "in a unit that is not said"),
    ],
)
def test_times_that_no_film_can_have_are_told_and_a_rate_settles_them(
    tmp_path: Path, times: Any, unit: str, said: str
) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(20))
    with h5py.File(tmp_path / "lab" / "episode_0.hdf5", "a") as file:
        file["timestamp"] = times
        if unit:
            file["timestamp"].attrs["units"] = unit
    entry = Hdf5Files().listing(tree(tmp_path)).entries[0]
    assert entry.problem == "no_times"
    assert said in entry.detail
    settled = Hdf5Files(SequenceConfig(fps=10)).listing(tree(tmp_path)).entries[0]
    assert (settled.problem, settled.span_s) == ("", (0.0, 2.0))


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_a_stated_unit_counts_whatever_date_the_numbers_would_make(
    tmp_path: Path, unit: str
) -> None:
    step = {"ms": 100, "us": 100_000}[unit]
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(20))
    with h5py.File(tmp_path / "lab" / "episode_0.hdf5", "a") as file:
        file["timestamp"] = 10**9 + np.arange(20) * step
        file["timestamp"].attrs["units"] = unit
    entry = Hdf5Files().listing(tree(tmp_path)).entries[0]
    assert (entry.problem, entry.span_s) == ("", (0.0, 2.0))


# Texts


@pytest.mark.parametrize("place", ["instruction", "observations/language_instruction"])
def test_a_text_may_be_a_dataset_of_any_kind(aloha: Path, place: str) -> None:
    for number, text in enumerate(("open it", np.array([b"open it", b"slowly"]))):
        with h5py.File(aloha / f"episode_{number}.hdf5", "a") as file:
            file[place] = text
    said = Hdf5Files(SequenceConfig(fps=50)).listing(Tree(str(aloha))).entries
    assert [entry.text for entry in said][::2] == ["open it", "open it; slowly"]
