"""Mutants follow from their seed."""

from __future__ import annotations

from pathlib import Path

from tests.faults.mutate import MUTATIONS, mutants, write_originals


def test_the_same_seed_gives_the_same_mutants_wherever_one_begins(tmp_path: Path) -> None:
    write_originals(tmp_path / "originals")
    for name in ("all", "tail"):
        (tmp_path / name).mkdir()
    number = 2 * 5 * len(MUTATIONS)
    mutants(tmp_path / "originals", tmp_path / "all", 0, number, seed=7)
    tail = mutants(tmp_path / "originals", tmp_path / "tail", number - 9, 9, seed=7)
    for path in tail:
        assert path.read_bytes() == (tmp_path / "all" / path.name).read_bytes()


def test_nearly_all_mutants_differ_from_their_original(tmp_path: Path) -> None:
    write_originals(tmp_path / "originals")
    (tmp_path / "mutants").mkdir()
    sound = {path.read_bytes() for path in (tmp_path / "originals").iterdir()}
    paths = mutants(tmp_path / "originals", tmp_path / "mutants", 0, 90, seed=7)
    assert sum(path.read_bytes() in sound for path in paths) < 9  # a header set to what it was
