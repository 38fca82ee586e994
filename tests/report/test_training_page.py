"""The page of a training, and what a policy says of its actions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sofdata
from sofdata.errors import ConfigError
from sofdata.models.saved import load
from sofdata.report.training import write_training_page
from sofdata.scenes.pushing import write_pushing_demonstrations
from tests.helpers import ingest
from tests.train.conftest import TINY, WINDOWS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Skill model and decoder, trained for a few steps."""
    folder = tmp_path_factory.mktemp("models")
    write_pushing_demonstrations(folder / "episodes", episodes_per_task=2, seed=5)
    ingest(folder / "episodes", folder / "demos", *WINDOWS, "with_actions=true")
    out = folder / "<out>"
    for what, data, demos in (("skill", folder / "demos", ()), ("decoder", (), folder / "demos")):
        trained = sofdata.train(data=data, demos=demos, out=out, what=what, settings=TINY)  # type: ignore[arg-type]
        (stage,) = trained.stages
        assert stage.verdict
    return out


def test_the_page_holds_verdict_metrics_and_curves_in_one_file(models: Path) -> None:
    page = (models / "train_report.html").read_text()
    assert "&lt;out&gt;: what was trained" in page  # escaped, as the name of the folder is data
    assert page.count('class="verdict') >= 2
    assert "flow_energy_explained" in page
    assert "data:image/png;base64," in page
    assert 'src="skill' not in page
    assert page.count('class="wide plot"') == 2  # the curves of both
    assert "Actions: " in page
    done = json.loads((models / "decoder/done.json").read_text())
    assert f"{done['actions']['fps']:g} a second" in page


def test_pictures_say_what_they_show_and_are_no_plots(models: Path, tmp_path: Path) -> None:
    out = shutil.copytree(models, tmp_path / "out")
    (out / "skill/pictures").mkdir(exist_ok=True)
    shutil.copy(out / "skill/curves.png", out / "skill/pictures/reconstructions-000012.png")
    page = write_training_page(out).read_text()
    assert "above as it is and below as it comes back from the codes" in page
    assert page.count('class="wide"') == 1


def test_the_verdict_stands_in_the_report_in_markdown_too(models: Path) -> None:
    report = (models / "train_report.md").read_text()
    assert "**doubtful**: " in report or "**wrong**: " in report or "**fine**: " in report


def test_a_folder_without_a_trained_stage_gives_a_page_that_says_so(tmp_path: Path) -> None:
    assert "No stage has ended yet." in write_training_page(tmp_path).read_text()


def test_a_policy_names_its_actions_and_their_rate(models: Path) -> None:
    record = json.loads((models.parent / "demos/dataset.json").read_text())["actions"]
    policy = sofdata.load_policy(models)
    assert policy.actions.names == tuple(record["names"])
    assert policy.actions.fps == record["fps"]
    assert f"({', '.join(record['names'])} at {record['fps']:g} a second)" in repr(policy)


def test_a_decoder_of_an_earlier_version_has_no_names_and_says_what_to_do(models: Path) -> None:
    policy = load(models)
    spec = policy.decoder.spec()
    del spec["space"]["names"], spec["space"]["fps"]
    policy._decoder = type(policy.decoder).from_spec(spec, policy.skill)
    assert "a second" not in repr(policy)
    with pytest.raises(ConfigError, match="train it again"):
        _ = policy.actions
