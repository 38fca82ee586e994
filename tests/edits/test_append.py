from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sofdata.edits.split import SplitBy, split
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.loading.split import HeldOut
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from sofdata.system import fault_points
from tests.edits.rewound import rewind
from tests.edits.tiny import append_tiny, ingest_tiny, merge_tiny, select_tiny, write_tiny
from tests.helpers import hashes, sofdata


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A folder with videos `v` ingested into `dataset`, and others in `more`."""
    write_tiny(tmp_path / "v" / "a", range(12))
    write_tiny(tmp_path / "more", range(10, 16))
    write_tiny(tmp_path / "more" / "a", [20], "003.mp4")
    (tmp_path / "more" / "note.pdf").write_bytes(b"a note")
    ingest_tiny(tmp_path / "v", tmp_path / "dataset")
    return tmp_path


def test_an_appended_corpus_is_as_one_ingested_and_merged_to_the_byte(grown: Path) -> None:
    shutil.copytree(grown / "dataset", grown / "one")
    ingest_tiny(grown / "more", grown / "apart" / "more")
    merge_tiny(grown / "merged", grown / "one", grown / "apart" / "more")
    append_tiny(grown / "more", grown / "dataset")
    of_places = ("plan.parquet", "dataset.json")  # these name where videos and parents lie
    merged, appended = hashes(grown / "merged"), hashes(grown / "dataset")
    assert merged.keys() == appended.keys()
    assert [n for n in merged if merged[n] != appended[n] and n not in of_places] == []
    assert verify(Tree(str(grown / "dataset"))).whole


def test_only_new_videos_are_decoded(grown: Path) -> None:
    summary = append_tiny(grown / "more", grown / "dataset")
    assert summary.frames == 6 * 5  # 010 and 011 are there already
    assert summary.dataset.counts.reasons["duplicate"] == 2
    assert summary.dataset.counts.ignored_files == {".pdf": 1}


def test_the_same_append_again_does_nothing(grown: Path) -> None:
    append_tiny(grown / "more", grown / "dataset")
    before = hashes(grown / "dataset")
    assert append_tiny(grown / "more", grown / "dataset").units_run == 0
    assert hashes(grown / "dataset") == before


def test_the_lineage_says_what_was_appended_to_what(grown: Path) -> None:
    before = read_dataset(Tree(str(grown / "dataset")))
    dataset = append_tiny(grown / "more", grown / "dataset").dataset
    assert dataset.lineage is not None
    (step,) = dataset.lineage
    assert step.command == f"sofdata append {grown / 'more'} NEW"
    assert before is not None
    assert (step.parents[0].windows, step.parents[0].videos) == (before.counts.windows, 12)
    assert step.settings["part"] == "folder:more"


def test_an_interrupted_append_leaves_the_dataset_and_goes_on_to_the_same_bytes(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(grown / "dataset", grown / "copy")

    def stop(name: str) -> None:
        if name == "commit: record written":
            raise KeyboardInterrupt

    monkeypatch.setattr(fault_points, "_inject", stop)
    with pytest.raises(KeyboardInterrupt):
        append_tiny(grown / "more", grown / "dataset")
    monkeypatch.undo()
    assert verify(Tree(str(grown / "dataset"))).whole  # as it was, with more beside it
    append_tiny(grown / "more", grown / "dataset")
    append_tiny(grown / "more", grown / "copy")
    cut, whole = hashes(grown / "dataset"), hashes(grown / "copy")
    assert {n: h for n, h in cut.items() if n != "dataset.json"} == {
        n: h for n, h in whole.items() if n != "dataset.json"
    }


def test_a_corpus_that_has_grown_is_refused_and_then_updated(grown: Path) -> None:
    append_tiny(grown / "more", grown / "dataset")
    write_tiny(grown / "more", [30], "new.mp4")
    with pytest.raises(ConfigError, match=r"1 new \(new.mp4\). '--update' takes in"):
        append_tiny(grown / "more", grown / "dataset")
    dataset = append_tiny(grown / "more", grown / "dataset", update=True).dataset
    assert dataset.counts.videos == 12 + 7 + 1
    assert verify(Tree(str(grown / "dataset"))).whole


def test_the_first_corpus_is_updated_too(grown: Path) -> None:
    append_tiny(grown / "more", grown / "dataset")
    write_tiny(grown / "v" / "a", [31], "new.mp4")
    dataset = append_tiny(grown / "v", grown / "dataset", update=True).dataset
    assert dataset.counts.videos == 12 + 7 + 1
    assert verify(Tree(str(grown / "dataset"))).whole


def test_an_ingest_that_would_lose_the_others_is_refused(grown: Path) -> None:
    append_tiny(grown / "more", grown / "dataset")
    with pytest.raises(ConfigError, match="holds several corpora"):
        ingest_tiny(grown / "v", grown / "dataset")


def test_the_first_corpus_is_not_appended_again(grown: Path) -> None:
    shutil.copytree(grown / "v", grown / "copy")
    before = hashes(grown / "dataset")
    with pytest.raises(ConfigError, match=r"is what .* was made from"):
        append_tiny(grown / "v", grown / "dataset")
    with pytest.raises(ConfigError, match=r"all 12 videos of .*copy are in"):
        append_tiny(grown / "copy", grown / "dataset")
    assert hashes(grown / "dataset") == before


def test_two_parts_of_one_name_are_refused(grown: Path) -> None:
    append_tiny(grown / "more", grown / "dataset")
    write_tiny(grown / "elsewhere" / "more", range(40, 42))
    with pytest.raises(ConfigError, match="give this one a name of its own"):
        append_tiny(grown / "elsewhere" / "more", grown / "dataset")
    append_tiny(grown / "elsewhere" / "more", grown / "dataset", name="third")
    assert verify(Tree(str(grown / "dataset"))).videos == 12 + 7 + 2


def test_a_dataset_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_tiny(tmp_path / "v", range(2))
    with pytest.raises(ConfigError, match="makes a dataset of a first corpus"):
        append_tiny(tmp_path / "v", tmp_path / "nothing")


def test_where_no_log_says_where_the_first_lies_its_place_is_asked_for(grown: Path) -> None:
    shutil.rmtree(grown / "dataset" / "runs")
    with pytest.raises(ConfigError, match="give its place"):
        append_tiny(grown / "more", grown / "dataset")


def _selected(grown: Path, new: Path) -> None:
    select_tiny(grown / "dataset", new, "motion > 1.2")


def _merged(grown: Path, new: Path) -> None:
    write_tiny(grown / "others", range(40, 43))
    ingest_tiny(grown / "others", grown / "second")
    merge_tiny(new, grown / "dataset", grown / "second")


def _rewound(grown: Path, new: Path) -> None:
    ingest_tiny(grown / "v", grown / "kept", "flow.keep=true")
    rewind(grown / "kept", new, "windows.length=3", "windows.camera=subtract")


@pytest.mark.parametrize("derive", [_selected, _merged, _rewound])
def test_a_dataset_made_of_others_is_not_appended_to_but_merged_with_an_ingest_like_it(
    grown: Path, derive: Callable[[Path, Path], None]
) -> None:
    dest, apart, new = (grown / name for name in ("derived", "apart", "new"))
    derive(grown, dest)
    before = hashes(dest)
    for update in (False, True):
        with pytest.raises(ConfigError, match="made of other datasets") as refused:
            append_tiny(grown / "more", dest, update=update)
    assert hashes(dest) == before
    ingest, merge = re.findall("'sofdata (.*?)'", str(refused.value))
    assert shlex.split(ingest)[:3] == ["ingest", str(grown / "more"), "APART"]
    assert shlex.split(merge) == ["merge", str(dest), "APART", "NEW"]
    config = load_config(shlex.split(ingest)[-1], ["run.engine=inline"])
    ready = prepare(Tree(str(grown / "more")), Tree(str(apart)), config, "auto")
    added = execute(ready, lambda event: None).dataset.counts
    made, old = merge_tiny(new, dest, apart).dataset.counts, read_dataset(Tree(str(dest)))
    assert old is not None
    assert made.videos == old.counts.videos + added.videos
    assert made.reasons["duplicate"] == 2  # that are in both
    assert verify(Tree(str(new))).whole


def test_flow_by_weights_is_appended_to_by_an_ingest_that_is_given_them(grown: Path) -> None:
    record = json.loads((grown / "dataset" / "dataset.json").read_text())
    record["config"]["flow"] |= {"estimator": "ptlflow:raft", "weights_sha256": "ab" * 32}
    (grown / "dataset" / "dataset.json").write_text(json.dumps(record))
    before = hashes(grown / "dataset")
    with pytest.raises(ConfigError, match=r"flow\.checkpoint=PATH', then 'sofdata merge") as no:
        append_tiny(grown / "more", grown / "dataset")
    assert "ab" * 32 in str(no.value)
    assert hashes(grown / "dataset") == before


def test_commands_that_are_named_in_place_of_append_keep_what_is_held_out(grown: Path) -> None:
    split(Tree(str(grown / "dataset")), SplitBy("file", HeldOut(0.3)))
    _selected(grown, grown / "part one")
    refused = sofdata("append", grown / "more", grown / "part one")
    assert refused.returncode == 2
    line = " ".join(refused.stderr.split())
    for name in ("APART", "NEW"):
        line = line.replace(name, str(grown / name))
    commands = [*re.findall(r"'(sofdata ingest .*json')'|'(sofdata split \S+)'", line)]
    commands += [*re.findall(r"then '(sofdata merge .*)'", line)]
    found = [shlex.split("".join(each)) for each in commands]
    assert [words[1] for words in found] == ["ingest", "split", "merge"]
    for words in found:
        done = sofdata(*words[1:])
        assert done.returncode == 0, done.stderr
    assert (grown / "NEW" / "split.json").exists()
    assert verify(Tree(str(grown / "NEW"))).whole
