"""`sofdata.ingest.libraries`: what computes a unit is named, compared, and told of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.flow.opencv import load_cv2
from sofdata.ingest import libraries
from sofdata.ingest.config import load_config
from sofdata.ingest.finish import provenance
from sofdata.ingest.libraries import (
    compare_libraries,
    differences,
    join_digests,
    libraries_digest,
    merged_provenance,
    older_libraries,
    own_digest,
    sets_note,
    split_digests,
    used_libraries,
    with_sets_note,
)
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree


@pytest.fixture
def without_ipp() -> Iterator[None]:
    """This process, computing with OpenCV's own code."""
    ipp: Any = load_cv2().ipp
    if not ipp.useIPP():
        pytest.skip("this OpenCV has no IPP")
    ipp.setUseIPP(False)
    libraries._computed.cache_clear()
    yield
    ipp.setUseIPP(True)
    libraries._computed.cache_clear()


def test_the_same_process_has_the_same_digest_of_16_digits() -> None:
    config = load_config(None, ["flow.estimator=dis"])
    digest = libraries_digest(used_libraries(config))
    assert digest == libraries_digest(used_libraries(config))
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")


def test_what_a_configuration_does_not_use_is_not_named() -> None:
    names = used_libraries(load_config(None, ["flow.estimator=dis"])).keys()
    assert not names & {"decord", "torch", "ptlflow", "pyarrow", "ray"}
    assert names >= {"sofdata", "machine", "numpy", "pillow", "opencv", "av", "ffmpeg"}


def test_decord_is_named_only_where_it_decodes() -> None:
    if find_spec("decord") is None:
        pytest.skip("decord is not installed")
    assert "decord" in used_libraries(load_config(None, ["video.decoder=decord"]))


def test_a_learned_estimator_names_its_libraries_and_its_device() -> None:
    if find_spec("ptlflow") is None:
        pytest.skip("ptlflow is not installed")
    config = load_config(None, ["flow.estimator=ptlflow:raft", "flow.device=cuda"])
    found = used_libraries(config)
    assert found["flow device"] == "cuda"
    assert found.keys() >= {"ptlflow", "torch"}


def test_ipp_switched_off_is_another_digest(without_ipp: None) -> None:
    config = load_config(None, ["flow.estimator=dis"])
    off = used_libraries(config)
    assert off["opencv ipp"] == "off"
    load_cv2().ipp.setUseIPP(True)
    libraries._computed.cache_clear()
    on = used_libraries(config)
    assert on["opencv ipp"] != "off"
    assert on["flow and windows"] != off["flow and windows"]  # DIS gives other flow


def test_settings_of_how_it_runs_change_no_digest() -> None:
    one = used_libraries(load_config(None, ["flow.estimator=dis"]))
    other = ["flow.estimator=dis", "run.engine=inline", "run.limits.memory_mib=512"]
    assert used_libraries(load_config(None, other)) == one


@pytest.mark.parametrize("changed", ["flow.quality=earlier", "windows.camera_fit=ransac"])
def test_flow_and_windows_are_computed_in_the_ways_of_the_dataset(changed: str) -> None:
    now, then = (
        used_libraries(load_config(None, ["flow.estimator=dis", *settings]))
        for settings in ((), (changed,))
    )
    assert {key for key in now if now[key] != then[key]} == {"flow and windows"}


def test_a_finest_octave_that_only_larger_frames_have_is_no_obstacle() -> None:
    settings = ["flow.estimator=dis", "flow.size=1024", "flow.dis.finest_scale=4"]
    assert used_libraries(load_config(None, settings))["flow and windows"]


def test_differences_name_the_entry_and_both_values() -> None:
    own = {"av": "18.1.0", "numpy": "2.4.6"}
    others = [{"av": "17.0.0", "numpy": "2.4.6"}, {"av": "16.0.0"}]
    assert differences(own, others, "out") == ["av is 18.1.0 here, 16.0.0 or 17.0.0 in out"]


def test_a_process_that_is_not_allowed_is_named_with_what_differs() -> None:
    config = load_config(None, ["flow.estimator=dis"])
    own = used_libraries(config)
    theirs = {**own, "av": "1.0"}
    allowed = {libraries_digest(theirs): theirs}
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 computes .* av is .* 1\.0 in the dri"):
        own_digest(config, allowed, "10.0.0.7")
    assert own_digest(config, {**allowed, libraries_digest(own): own}) == libraries_digest(own)


def test_anything_goes_where_nothing_is_asked_for() -> None:
    config = load_config(None, ["flow.estimator=dis"])
    assert own_digest(config, {}) == libraries_digest(used_libraries(config))


def test_digests_of_a_mixed_unit_are_each_told_once() -> None:
    joint = join_digests("b", join_digests("a", "b"))
    assert joint == "a+b"
    assert split_digests(joint) == ["a", "b"]
    assert split_digests("") == [""]


def record(dataset: Path, **changes: Any) -> DatasetRecord:
    found = read_dataset(Tree(str(dataset)))
    assert found is not None
    return found.model_copy(update=changes)


def test_nothing_committed_leaves_nothing_to_differ_from(dataset: Path) -> None:
    other = record(dataset, libraries={"0" * 16: {"av": "1.0"}})
    config = load_config(None, ["flow.estimator=dis"])
    compare_libraries(other, config, "out", committed=False).check(accept=False)
    with pytest.raises(ConfigError, match=r"av is .* here, 1\.0 in out.*--other-libraries"):
        compare_libraries(other, config, "out", committed=True).check(accept=False)


def test_a_choice_allows_what_stands_already_and_this_process(dataset: Path) -> None:
    other = record(dataset, libraries={"0" * 16: {"av": "1.0"}})
    config = load_config(None, ["flow.estimator=dis"])
    compared = compare_libraries(other, config, "out", committed=True)
    own = libraries_digest(used_libraries(config))
    assert compared.allowed(accept=True).keys() == {"0" * 16, own}
    assert compared.allowed(accept=False).keys() == {own}


def test_one_of_several_sets_may_go_on(dataset: Path) -> None:
    config = load_config(None, ["flow.estimator=dis"])
    own = used_libraries(config)
    sets = {"0" * 16: {**own, "av": "1.0"}, libraries_digest(own): own}
    compare_libraries(record(dataset, libraries=sets), config, "out", True).check(accept=False)


def test_an_older_dataset_is_compared_by_its_packages(dataset: Path) -> None:
    config = load_config(None, ["flow.estimator=dis"])
    told = provenance(config)
    same = record(dataset, libraries={}, provenance=told)
    compare_libraries(same, config, "out", True).check(accept=False)
    packages = {**told["packages"], "av": "9.9", "torch": "0.1"}  # torch computes nothing here
    other = record(dataset, libraries={}, provenance={**told, "packages": packages})
    with pytest.raises(ConfigError, match=r"libraries: av is [\d.]+ here, 9\.9 in out\."):
        compare_libraries(other, config, "out", True).check(accept=False)


def test_the_number_of_opencvs_package_is_that_of_opencv() -> None:
    assert older_libraries({"packages": {"opencv-python-headless": "4.13.0.92"}}) == {
        "opencv": "4.13.0"
    }


def test_provenance_tells_all_versions_and_keeps_what_it_knew() -> None:
    before = {"sofdata": "0.1", "python": "3.11.7", "machine": "x86_64", "packages": {"av": "17"}}
    sets = {"a": {"sofdata": "0.1", "av": "17"}, "b": {"sofdata": "0.2", "av": "18"}}
    merged = merged_provenance(before, sets)
    assert (merged["sofdata"], merged["python"]) == ("0.1; 0.2", "3.11.7")
    assert merged["packages"]["av"] == "17; 18"
    assert merged["machine"] == "x86_64"


def test_one_set_merges_to_the_provenance_that_there_was() -> None:
    config = load_config(None, ["flow.estimator=dis"])
    told = provenance(config)
    assert merged_provenance(told, {"a": used_libraries(config)}) == told


def test_the_note_counts_sets_and_names_what_differs() -> None:
    sets = {"a": {"av": "17", "numpy": "2"}, "b": {"av": "18", "numpy": "2"}}
    assert sets_note(sets) == "made under 2 sets of libraries (av 17, 18)"
    assert sets_note({"a": {"av": "17"}}) == ""
    assert sets_note({"": {"av": "17"}, "a": {"av": "17", "numpy": "2"}}) == ""  # as far as known
    assert "2 sets" in sets_note({"": {"av": "16"}, "a": {"av": "17"}})


def test_a_note_replaces_the_one_before() -> None:
    sets = {"a": {"av": "17"}, "b": {"av": "18"}}
    once = with_sets_note(["odd"], sets)
    assert with_sets_note(once, sets) == once
    assert with_sets_note(once, {"a": {"av": "17"}}) == ["odd"]


def test_each_unit_and_the_dataset_name_the_libraries(dataset: Path) -> None:
    found = record(dataset)
    own = used_libraries(load_config(None, ["flow.estimator=dis"]))
    digest = libraries_digest(own)
    assert found.libraries == {digest: own}
    units = [json.loads(path.read_text()) for path in (dataset / "ledger").iterdir()]
    assert {unit["libraries"] for unit in units} == {digest}
