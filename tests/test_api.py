"""What `import sofdata` gives."""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
import pickle
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import pytest

import sofdata
from sofdata.api import functions as api
from sofdata.errors import ConfigError
from sofdata.storage import lock
from sofdata.ui import console
from tests.helpers import hashes

FUNCTIONS = ("estimate", "ingest", "load", "load_policy", "train", "verify")


def test_importing_sofdata_imports_nothing_heavy() -> None:
    code = "import sofdata, sys; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "ray", "numpy", "pyarrow", "pydantic", "av", "typer", "rich", "yaml"}
    assert not heavy & set(printed.stdout.split())


def test_every_public_name_is_there_and_is_listed() -> None:
    for name in sofdata.__all__:
        assert getattr(sofdata, name) is not None
        assert name in dir(sofdata)
    assert sorted(sofdata.__all__) == sofdata.__all__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ingset'"):
        _ = sofdata.ingset  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_it_takes_gives_and_raises(name: str) -> None:
    text = getattr(api, name).__doc__
    positions = [text.index(f"    {part}:\n") for part in ("Args", "Returns", "Raises", "Example")]
    assert positions == sorted(positions)
    for parameter in inspect.signature(getattr(api, name)).parameters:
        assert parameter in text[positions[0] : positions[1]], parameter


@pytest.mark.parametrize("name", ["ingest", "train"])
def test_functions_that_share_a_name_with_a_package_can_be_called_at_any_time(name: str) -> None:
    package: ModuleType = importlib.import_module(f"sofdata.{name}.run")
    assert package.__name__ == f"sofdata.{name}.run"
    found = getattr(sofdata, name)
    assert inspect.signature(found) == inspect.signature(getattr(api, name))
    assert found.run is package
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        found(no_such_argument=1)


@pytest.mark.parametrize("name", ["ingest", "train"])
def test_such_a_function_is_explained_by_help_and_can_be_sent_to_a_process(name: str) -> None:
    found, function = getattr(sofdata, name), getattr(api, name)
    printed = pydoc.render_doc(found, renderer=pydoc._PlainTextDoc())  # type: ignore[attr-defined]
    first = inspect.getdoc(function).splitlines()[0]  # type: ignore[union-attr]
    assert f"sofdata.{name} - {first}" in printed
    assert f"sofdata.{name}{inspect.signature(function)}" in printed
    assert pickle.loads(pickle.dumps(found)) is found
    assert copy.deepcopy(found) is found


def test_every_engine_of_the_settings_is_one_for_a_type_checker() -> None:
    from sofdata.ingest.config import RunConfig

    given = eval(api.ingest.__annotations__["engine"], {"Literal": Literal})
    assert {*get_args(get_args(given)[0])} == {
        *get_args(RunConfig.model_fields["engine"].annotation)
    }


def test_ingest_makes_the_dataset_of_the_command(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    seen: list[object] = []
    summary = sofdata.ingest(corpus, tmp_path / "dest", engine="inline", on_event=seen.append)
    assert hashes(tmp_path / "dest") == hashes(dataset)
    assert summary.units_run == len([event for event in seen if "UnitDone" in type(event).__name__])
    again = sofdata.ingest(corpus, tmp_path / "dest", engine="inline")
    assert (again.units_run, again.units_resumed) == (0, summary.units_run)
    assert again.dataset == summary.dataset
    verdict = sofdata.verify(tmp_path / "dest")
    assert verdict.whole
    assert repr(verdict).startswith("Verdict(whole: 9 videos,")


@pytest.mark.parametrize(
    "settings",
    [
        {"flow.size": 64, "windows.static_px": 1e-5, "video.fit": "crop"},
        ["flow.size=64", "windows.static_px=0.00001", "video.fit=crop"],
    ],
)
def test_settings_are_a_mapping_or_the_texts_of_the_command(
    settings: api.Settings, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no_such_corpus"):
        sofdata.ingest(corpus, tmp_path / "dest", settings=settings, corpus="no_such_corpus")
    from sofdata.ingest.config import load_config

    config = load_config(None, api.overrides(settings))
    assert (config.flow.size, config.windows.static_px, config.video.fit) == (64, 1e-5, "crop")


def test_a_setting_that_there_is_not_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="step_s"):
        sofdata.ingest(corpus, tmp_path / "dest", settings={"flow.step": 0.1})
    for wrong in ("flow.step_s=0.1", b"flow.step_s=0.1", None, 5, [("flow.step_s", 0.1)]):
        with pytest.raises(ConfigError, match="a mapping or a list"):
            sofdata.ingest(corpus, tmp_path / "dest", settings=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'flow.step_s' is .*, which YAML cannot hold"):
        sofdata.ingest(corpus, tmp_path / "dest", settings={"flow.step_s": object()})


def test_an_empty_place_is_not_taken_for_the_current_folder(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source is empty"):
        sofdata.ingest("", tmp_path)
    with pytest.raises(ConfigError, match="dest is empty"):
        sofdata.ingest(corpus, " ")
    with pytest.raises(ConfigError, match="dest is empty"):
        sofdata.verify("")
    with pytest.raises(ConfigError, match="folder is empty"):
        sofdata.load_policy("")


def test_a_name_that_needs_an_extra_says_which() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from sofdata import Loader, ingest\n"
        "try:\n    from sofdata import Policy\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "sofdata.Policy needs torch: pip install 'sofdata[train]'\n"


def test_train_says_what_data_a_stage_lacks(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --demos"):
        sofdata.train(data=dataset, out=tmp_path, what="decoder")
    with pytest.raises(ConfigError, match="no stage 'vae'"):
        sofdata.train(data=dataset, out=tmp_path, what="vae")  # type: ignore[arg-type]


def test_a_policy_that_there_is_not_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sofdata train skill"):
        sofdata.load_policy(tmp_path)


def test_a_script_needs_no_guard_with_worker_processes(dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sofdata\n"
        f"loader = sofdata.load({str(dataset)!r}, batch_size=4, workers=2)\n"
        "print(sum(len(batch) for batch in loader))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


def test_the_library_logs_and_the_command_prints_what_is_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("sofdata")
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    before = list(logger.handlers)
    lock._say("a lease [of another] is waited for")
    assert capsys.readouterr().err == ""
    assert caplog.messages == ["a lease [of another] is waited for"]
    try:
        console.show_log()
        console.show_log()
        lock._say("a lease [of another] is waited for")
        assert capsys.readouterr().err == "a lease [of another] is waited for\n"
    finally:
        logger.handlers = before


def test_notes_of_a_corpus_are_logged(
    tmp_path: Path, corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = shutil.copytree(corpus, tmp_path / "source")
    (source / "labels" / "train.json").unlink()
    summary = sofdata.ingest(source, tmp_path / "dest", engine="inline")
    assert summary.dataset.notes
    assert caplog.messages == [f"{source}: {note}" for note in summary.dataset.notes]
