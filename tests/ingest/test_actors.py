"""What a worker checks of its node before it works."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.config import load_config
from sofdata.errors import ConfigError
from sofdata.ingest.actors import Place, _check_sees, _check_versions
from sofdata.ingest.finish import provenance
from sofdata.storage import Tree

PLACE = Place("id", "10.0.0.7")


def test_a_node_with_another_library_is_named() -> None:
    ours = provenance(load_config(None))
    _check_versions(ours, ours, PLACE)
    theirs = {**ours, "packages": {**ours["packages"], "av": "1.0"}}
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 has av 1\.0, the driver"):
        _check_versions(ours, theirs, PLACE)


def test_what_only_one_of_two_nodes_has_does_not_matter() -> None:
    ours = provenance(load_config(None))
    packages = {name: v for name, v in ours["packages"].items() if name not in ("torch", "decord")}
    _check_versions(ours, {**ours, "packages": packages}, PLACE)


def test_a_node_without_the_folder_is_named(tmp_path: Path) -> None:
    _check_sees(Tree(str(tmp_path)), "", PLACE)
    _check_sees(Tree("s3://somewhere"), "", PLACE)
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 has no .*/gone"):
        _check_sees(Tree(str(tmp_path / "gone")), "", PLACE)
