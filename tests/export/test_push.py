"""Pushing an export to a stand-in of the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.export import push as pushing
from sofdata.export.push import batches, plan_push
from sofdata.export.run import ExportSettings, export
from sofdata.storage.tree import Tree
from tests.export.hub import TOKEN, Hub, Repo, running
from tests.helpers import sofdata

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow  # each push is a process of its own


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def out(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push") / "exported"
    export(Tree(str(encoded)), Tree(str(folder)), ExportSettings("lerobot"))
    return folder


def push(
    hub: Hub, encoded: Path, out: Path, *options: str, to: str = "lerobot", **changed: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **hub.environment, "HF_HOME": str(out.parent / "hf"), **changed}
    done = sofdata(
        *("export", encoded, out, "--to", to, *options),
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_all_files_arrive_in_a_private_repository_the_record_last_and_with_a_tag(
    hub: Hub, encoded: Path, out: Path
) -> None:
    done = push(hub, encoded, out, "--push", "me/windows", "--yes")
    assert done.returncode == 0, done.stderr
    repo = hub.repos["me/windows"]
    files = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }
    assert repo.private
    assert {rel: data for rel, data in repo.files.items() if rel != ".gitattributes"} == files
    assert repo.commits[0] == ["export.json"]
    assert repo.commits[-1] == ["README.md", "export.json", "meta/info.json"]
    assert repo.tags == ["v3.0"]
    assert f"pushed: {hub.url}/datasets/me/windows" in done.stdout
    uploads = hub.uploads
    again = push(hub, encoded, out, "--push", "me/windows", "--yes")
    assert again.returncode == 0
    assert "which has it all already" in again.stderr
    assert hub.uploads == uploads


def test_a_folder_of_the_hub_loads_when_all_of_it_is_there(
    hub: Hub, encoded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "folder"
    done = push(hub, encoded, out, "--push", "me/folder", "--yes", "--license", "mit", to="hf")
    assert done.returncode == 0, done.stderr
    repo = hub.repos["me/folder"]
    assert repo.commits[-1] == ["README.md", "dataset.json", "export.json"]
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        rel for rel in repo.files if rel != ".gitattributes"
    }
    assert repo.tags == []


def test_a_push_that_failed_goes_on_and_sends_nothing_twice(
    hub: Hub, encoded: Path, out: Path
) -> None:
    hub.fails_after = 1
    failed = push(hub, encoded, out, "--push", "me/windows", "--yes")
    assert failed.returncode == 3
    assert "Run the same command again to go on" in failed.stderr
    repo, uploads = hub.repos["me/windows"], hub.uploads
    assert not json.loads(repo.files["export.json"])["complete"]
    assert "meta/info.json" not in repo.files
    hub.fails_after = None
    assert push(hub, encoded, out, "--push", "me/windows", "--yes").returncode == 0
    assert hub.uploads == uploads
    assert json.loads(repo.files["export.json"])["complete"]


@pytest.mark.parametrize(
    ("options", "changed", "message"),
    [
        (("--push", "me/windows"), {}, "add --yes"),
        (("--push", "windows", "--yes"), {}, "named OWNER/NAME"),
        (("--push", "me/a--b", "--yes"), {}, "no name for the Hub"),
        (("--push", "me/windows", "--yes"), {"HF_TOKEN": ""}, "needs a token"),
        (("--push", "me/windows", "--yes"), {"HF_TOKEN": "hf_other"}, "refuses the repository"),
        (("--public",), {}, "add --push OWNER/NAME"),
        (("--push", "me/open", "--yes"), {}, "is public: say --public"),
        (("--push", "me/foreign", "--yes"), {}, "holds data.csv and no export.json"),
    ],
)
def test_what_must_not_be_sent_is_not(
    hub: Hub, encoded: Path, out: Path, options: Any, changed: dict[str, str], message: str
) -> None:
    hub.repos["me/open"] = Repo(private=False)
    hub.repos["me/foreign"] = Repo(private=True, files={"data.csv": b"1"})
    done = push(hub, encoded, out, *options, **changed)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "me/windows" not in hub.repos
    assert not any(repo.commits for repo in hub.repos.values())


def test_what_a_killed_export_left_under_way_stays_here(hub: Hub, encoded: Path, out: Path) -> None:
    left = out / ".scratch" / "unit-q" / "half.tar"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    done = push(hub, encoded, out, "--push", "me/windows", "--yes")
    shutil.rmtree(out / ".scratch", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    assert not [name for name in hub.repos["me/windows"].files if "scratch" in name]


def test_many_files_arrive_in_commits_that_the_hub_takes_and_none_twice(
    hub: Hub, encoded: Path, out: Path, tmp_path: Path
) -> None:
    many = shutil.copytree(out, tmp_path / "many")
    (many / "more").mkdir()
    for number in range(230):
        (many / "more" / f"{number:03}.txt").write_text(f"{number}")
    hub.fails_after = 2
    assert push(hub, encoded, many, "--push", "me/windows", "--yes").returncode == 3
    repo = hub.repos["me/windows"]
    begun, first = repo.commits
    hub.fails_after = None
    done = push(hub, encoded, many, "--push", "me/windows", "--yes")
    assert done.returncode == 0, done.stderr
    assert begun == ["export.json"]
    assert len(first) == 100
    later = [rel for commit in repo.commits[2:] for rel in commit]
    assert not {*first} & {*later}
    assert {*first, *later} == {
        path.relative_to(many).as_posix() for path in many.rglob("*") if path.is_file()
    }


def test_an_account_that_may_commit_no_more_this_hour_is_told_when_to_go_on(
    hub: Hub, encoded: Path, out: Path
) -> None:
    hub.fails_after, hub.fails_with = 1, 429
    failed = push(hub, encoded, out, "--push", "me/windows", "--yes")
    assert failed.returncode == 3
    assert "Run the same command later" in failed.stderr


def test_a_card_that_the_hub_refuses_is_known_before_anything_is_sent(
    hub: Hub, encoded: Path, out: Path, tmp_path: Path
) -> None:
    wrong = shutil.copytree(out, tmp_path / "wrong")
    card = (wrong / "README.md").read_text()
    (wrong / "README.md").write_text(card.replace("---\n", "---\nlicense: mine\n", 1))
    done = push(hub, encoded, wrong, "--push", "me/windows", "--yes")
    assert done.returncode == 2
    assert 'not take README.md of this export: "license" must be one of' in done.stderr
    assert not hub.repos


@pytest.mark.parametrize(
    ("files", "sizes"), [(0, []), (100, [100]), (101, [100, 1]), (25_000, [250] * 100)]
)
def test_commits_are_small_and_few(files: int, sizes: list[int]) -> None:
    assert [len(part) for part in batches([str(number) for number in range(files)])] == sizes


def test_a_folder_of_more_files_than_the_hub_takes_is_refused(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "FOLDER_ENTRIES", 6)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    wanted = r"6 files in data/chunk-000, and the Hub takes fewer than 6"
    with pytest.raises(ConfigError, match=wanted):
        plan_push(Tree(str(out)), "me/windows", public=False)


def test_a_public_repository_is_made_where_that_is_said(hub: Hub, encoded: Path, out: Path) -> None:
    done = push(hub, encoded, out, "--push", "me/open", "--public", "--yes")
    assert done.returncode == 0, done.stderr
    assert not hub.repos["me/open"].private
    assert "public: everybody can see it" in done.stderr


def test_a_hub_that_is_not_there_ends_the_command_and_leaves_the_export(
    hub: Hub, encoded: Path, out: Path
) -> None:
    done = push(
        hub, encoded, out, "--push", "me/windows", "--yes", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 3, done.stderr
    assert "the Hub failed over me/windows" in done.stderr
    assert (out / "meta/info.json").exists()
