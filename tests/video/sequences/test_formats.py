"""The allow-list of formats: what is named there exists, and what it needs is said."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from sofdata.errors import ContractError, DecodeError
from sofdata.video.sequences import formats
from sofdata.video.sequences.formats import FORMATS, SequenceFormat, open_sequence
from sofdata.video.sequences.place import SequencePlace


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_module_that_reads_it(name: str) -> None:
    module = importlib.import_module(FORMATS[name].module)
    assert {"look", "open_sequence", "read_rows"} & {*vars(module)}
    assert bool(FORMATS[name].needs) == bool(FORMATS[name].extra)


def test_no_other_module_is_imported() -> None:
    with pytest.raises(ContractError, match="no format 'os'"):
        open_sequence("x", SequencePlace.of("os"))


def test_a_package_that_a_machine_lacks_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = SequenceFormat("sofdata.video.sequences.frames", ("no_such_package",), "hdf5")
    monkeypatch.setitem(formats.FORMATS, "frames", lacking)
    with pytest.raises(DecodeError, match=r"needs no_such_package: pip install 'sofdata\[hdf5\]'"):
        open_sequence(f"{tmp_path}/", SequencePlace.of("frames", "*.jpg", fps=1.0))
