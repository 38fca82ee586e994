"""What a worker checks of its node before it works."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.engines.actors import Place, _check_sees
from sofdata.storage.tree import Tree

PLACE = Place("id", "10.0.0.7")


def test_a_node_without_the_folder_is_named(tmp_path: Path) -> None:
    _check_sees(Tree(str(tmp_path)), "", PLACE)
    _check_sees(Tree("s3://somewhere"), "", PLACE)
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 has no .*/gone"):
        _check_sees(Tree(str(tmp_path / "gone")), "", PLACE)
