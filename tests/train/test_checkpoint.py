"""`sofdata.train.checkpoint`: whole or not there, and nothing but weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sofdata.errors import InputError
from sofdata.models.files import load_file, save_file
from sofdata.train.checkpoint import LATEST, load_checkpoint, save_checkpoint


def test_the_newest_checkpoint_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none") is None
    for step in (3, 6, 9):
        save_checkpoint(tmp_path, step, {"weights": torch.full((2,), float(step)), "step": step})
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["weights"].tolist() == [9.0, 9.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        LATEST,
        "step-00000006.pt",
        "step-00000009.pt",
    ]


def test_a_file_that_is_not_listed_does_not_count(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, {"step": 3})
    (tmp_path / "step-00000006.pt").write_bytes(b"half of a checkp")
    state = load_checkpoint(tmp_path)
    assert state == {"step": 3}


def test_a_damaged_checkpoint_is_refused_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, {"weights": torch.zeros(100)})
    path = tmp_path / "step-00000003.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=LATEST):
        load_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


def test_nothing_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="more than weights"):
        load_file(tmp_path / "evil.pt")
    assert "this ran" not in capsys.readouterr().out


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    save_file(tmp_path / "a.pt", {"weights": torch.zeros(1000)})
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        load_file(tmp_path / "a.pt")
