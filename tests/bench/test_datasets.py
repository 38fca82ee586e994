"""Choices of data: datasets of one's own videos, compared on equal terms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.results.table import comparable, export, grouped, read_results, summary, table
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.data import ingest_config
from sofdata.bench.study.datasets import choices_of, misfits
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.run import WorkDone, run
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.run import execute, prepare
from sofdata.report.benchmark import write_benchmark
from sofdata.scenes.pushing import write_pushing_corpus
from sofdata.storage.tree import Tree
from tests.bench.conftest import tiny
from tests.helpers import sofdata

QUICK = tuple(f"{kind}.optim.steps=3" for kind in ("skill", "planner", "decoder"))
QUICK = (*QUICK, "evaluation.max_steps=6", "evaluation.strips=0", "more_arms=[]")
FPS = 10.0


def ingested(source: Path, dest: Path, **changes: Any) -> Path:
    """Videos as the benchmark's settings cut them, but for some changes of `windows` and `flow`."""
    values = ingest_config(tiny(), FPS).model_dump(mode="json")
    for section, key in (name.split("__") for name in changes):
        values[section][key] = changes[f"{section}__{key}"]
    prepared = prepare(Tree(str(source)), Tree(str(dest)), IngestConfig.parse(values), "auto")
    execute(prepared, lambda event: None)
    return dest


@pytest.fixture(scope="module")
def places(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The collected videos in two datasets: as the benchmark cuts them, and at another stride."""
    root = tmp_path_factory.mktemp("choices")
    every = ingested(collected / "videos", root / "every")
    return every, ingested(collected / "videos", root / "fourth", windows__stride=4)


@pytest.fixture(scope="module")
def compared(
    collected: Path, places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path], list[str]]:
    """A run over both: its folder, its cells, and what was made."""
    out, made = tmp_path_factory.mktemp("compared"), list[WorkDone]()
    paths = run(of(*places), collected, out, "test", workers=1, follow=made.append)
    return out, paths, [each.what for each in made]


def of(*places: Path | str, more: tuple[str, ...] = ()) -> BenchConfig:
    listed = json.dumps([str(place) for place in places])
    return tiny("arms=[bc, sof]", f"video_datasets={listed}", *QUICK, *more)


def test_each_choice_has_cells_of_its_own_and_arms_without_videos_are_measured_once(
    compared: tuple[Path, list[Path], list[str]],
) -> None:
    out, paths, made = compared
    results = read_results(paths)
    named = [(each["cell"]["arm"], each["cell"].get("dataset")) for each in results]
    assert named == [("bc", None), ("sof", "every"), ("sof", "fourth")]
    assert len({each["data_sha256"] for each in results}) == 1
    assert results[1]["dataset_sha256"] != results[2]["dataset_sha256"]
    assert made[:2] == [
        "skills of 3 videos of every, seed 0",
        "skills of 3 videos of fourth, seed 0",
    ]
    assert made[3] == "sof, K=1, seed 0, 3 videos, videos of every"
    splits = [json.loads(p.read_text()) for p in out.glob("models/*/skill/split.json")]
    assert all(len(split["train"]["videos"]) == 6 for split in splits)


def test_nothing_collected_but_the_demonstrations_is_ingested(
    compared: tuple[Path, list[Path], list[str]],
) -> None:
    out, _, _ = compared
    assert [path.name for path in out.glob("data/*/*") if path.is_dir()] == ["demos"]


def test_a_dataset_cut_as_collected_videos_are_gives_what_those_give(
    compared: tuple[Path, list[Path], list[str]], collected: Path, tmp_path: Path
) -> None:
    _, paths, _ = compared
    plain = run(tiny("arms=[bc, sof]", *QUICK), collected, tmp_path, "test", workers=1)
    ours, theirs = read_results(paths[:2]), read_results(plain)
    assert ours[0]["hash"] == theirs[0]["hash"]
    assert ours[1]["hash"] != theirs[1]["hash"]
    assert ours[1]["episodes"] == theirs[1]["episodes"]
    assert ours[1]["chunk_error"] == theirs[1]["chunk_error"]


def test_the_same_command_again_makes_nothing(
    compared: tuple[Path, list[Path], list[str]], collected: Path, places: tuple[Path, Path]
) -> None:
    out, paths, _ = compared
    made: list[WorkDone] = []
    again = run(of(*places), collected, out, "test", workers=1, follow=made.append)
    assert again == paths
    assert not made


def test_tables_and_pages_name_the_choices_and_how_far_each_is_ahead(
    compared: tuple[Path, list[Path], list[str]], tmp_path: Path
) -> None:
    out, paths, _ = compared
    text = table(read_results(paths))
    assert "### Choices of videos" in text
    assert "| pushing | sof | 1 | 3 of every | 1 |" in text
    assert "| arm | K | videos | ahead of every | ahead of fourth | ahead of bc |" in text
    assert "| sof | 1 | 3 of every |  | " in text
    page, markdown = write_benchmark([str(out)], tmp_path)
    assert "sof, K=1, 3 videos of fourth" in Path(page).read_text()
    assert "pushing: choices of videos" in Path(page).read_text()
    assert "| ahead of every | ahead of fourth |" in Path(markdown).read_text()
    rows = summary(read_results(paths))["results"]
    assert [row["dataset"] for row in rows] == ["", "every", "fourth"]
    names = [path.name for path, _ in export(out, tmp_path / "kept")]
    assert names == ["pushing.json", "pushing-datasets.json"]


def test_of_a_dataset_that_was_replaced_the_latest_content_is_shown(
    compared: tuple[Path, list[Path], list[str]], tmp_path: Path
) -> None:
    _, paths, _ = compared
    (tmp_path / "cells").mkdir()
    for number, result in enumerate(read_results(paths)):
        (tmp_path / "cells" / f"a{number}.json").write_text(json.dumps(result))
    newer = read_results(paths)[1] | {"hash": "newer", "dataset_sha256": "other"}
    (tmp_path / "cells" / "z.json").write_text(json.dumps(newer))
    _, (results, left_out) = comparable([str(tmp_path)])
    found = grouped(results)
    assert left_out == 1
    assert [cells[0]["hash"] for group, cells in found.items() if group.dataset == "every"] == [
        "newer"
    ]


def test_choices_are_no_hyper_parameter(places: tuple[Path, Path]) -> None:
    assert chosen_hash(of(*places)) == chosen_hash(tiny(*QUICK))


def test_choices_have_the_names_that_they_are_given_or_those_of_their_folders() -> None:
    named = choices_of(of("there/every", "s3://bucket/a/", "of=elsewhere/a"))
    assert [(choice.name, choice.place) for choice in named] == [
        ("every", "there/every"),
        ("a", "s3://bucket/a/"),
        ("of", "elsewhere/a"),
    ]
    with pytest.raises(ConfigError, match=r"two choices of videos are named 'a': .*NAME=PATH"):
        choices_of(of("one/a", "two/a"))
    with pytest.raises(ConfigError, match="'/' gives no name"):
        choices_of(of("/"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"windows": {"size": 64}}, "windows.size is 64, and the benchmark has 32"),
        ({"windows": {"length": 4}}, "windows.length is 4, and the benchmark has 8"),
        ({"flow": {"size": 128}}, "flow.size is 128, and the benchmark has 64"),
        ({"flow": {"step_s": 0.2}}, "flow.step_s is 0.2, and the benchmark has 0.1"),
        (
            {"windows": {"camera": "subtract"}},
            "windows.camera is subtract, and the benchmark has off",
        ),
    ],
)
def test_a_skill_of_videos_that_were_cut_otherwise_would_be_another_thing(
    change: dict[str, dict[str, Any]], said: str
) -> None:
    ours = ingest_config(tiny(), FPS)
    values = ours.model_dump(mode="json")
    changed = {section: values[section] | keys for section, keys in change.items()}
    theirs = IngestConfig.parse(values | changed)
    assert list(misfits(theirs, ours, FPS)) == [said]
    finer = {"dis": {"finest_scale": 2}, "step_s": 0.1001}
    fit = IngestConfig.parse(values | {"flow": values["flow"] | finer})
    assert not list(misfits(fit, ours, FPS))


def test_videos_that_do_not_fit_the_demonstrations_are_refused(
    collected: Path, tmp_path: Path
) -> None:
    write_pushing_corpus(tmp_path / "few", 2, seed=1)
    dataset = ingested(tmp_path / "few", tmp_path / "other", windows__size=64)
    with pytest.raises(ConfigError, match=r"size is 64, .*--set ingest\.windows\.size=\.\.\."):
        run(of(dataset), collected, tmp_path / "out", "test", workers=1)


def test_where_numbers_of_windows_count_their_stride_must_be_the_same(
    places: tuple[Path, Path], collected: Path, tmp_path: Path
) -> None:
    overlapping = of(*places, more=("naming.overlap=true",))
    with pytest.raises(ConfigError, match=r"fourth were cut otherwise: windows\.stride is 4"):
        run(overlapping, collected, tmp_path, "test", workers=1)


def test_a_task_without_videos_is_refused_and_the_texts_that_there_are_named(
    collected: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    write_pushing_corpus(few, 1, seed=1)
    dataset = ingested(few, tmp_path / "one")
    with pytest.raises(ConfigError, match=r"has the text 'push the disc to the .* there are 'push"):
        run(of(dataset), collected, tmp_path / "out", "test", workers=1)


def test_fewer_videos_than_wanted_are_refused(
    places: tuple[Path, Path], collected: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"videos of 'push .* and .*every has 4"):
        run(of(*places, more=("videos=9",)), collected, tmp_path, "test", workers=1)


def test_what_is_no_dataset_is_refused(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no complete dataset at"):
        run(of(tmp_path), collected, tmp_path / "out", "test", workers=1)


def test_the_option_may_be_repeated_and_does_not_go_with_another_collection(
    places: tuple[Path, Path], collected: Path, tmp_path: Path
) -> None:
    every, fourth = map(str, places)
    common = ("bench", "run", "--data", str(collected), "--out", str(tmp_path), "--preset", "smoke")
    refused = sofdata(*common, "--videos", every, "--videos-data", str(collected))
    assert refused.returncode == 2
    assert "video_datasets are learned from in place of" in " ".join(refused.stderr.split())
    wanted = ("--videos", every, "--videos", f"thin={fourth}", "--set", "videos=3")
    tasks = "tasks=[push-left, push-right]"
    few = [part for setting in (*QUICK, tasks, "arms=[sof]") for part in ("--set", setting)]
    done = sofdata(*common, *wanted, *few, "--workers", "1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "| pushing | sof | 1 | 3 of thin | 1 |" in done.stdout
