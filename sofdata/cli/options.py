"""Arguments and options that several commands share, and the examples in their help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sofdata.cli.complete import (
    corpora,
    engines,
    folds,
    ingest_recipes,
    ingest_settings,
    presets,
    suites,
    tasks,
    train_recipes,
)
from sofdata.errors import ConfigError


def examples(*commands: str) -> str:
    """The end of a command's help: whole commands to copy.

    Each is a paragraph of its own, the only break of lines that every version of typer keeps.
    """
    return "\n\n".join(("Examples:", *commands))


def _each(check: Callable[[str, str], str]) -> Callable[[typer.CallbackParam, Any], Any]:
    """A callback that looks at a value, or at each of several, and names it in errors."""

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = param.opts[0] if param.opts[0].startswith("-") else str(param.name).upper()
        if isinstance(value, str):
            return check(_stated(value, name), name)
        if isinstance(value, Sequence):
            return [check(_stated(each, name), name) for each in value]
        return value

    return callback


def _stated(value: str, name: str) -> str:
    """Refuses an empty place, which a variable that is not set leaves."""
    if not value.strip():
        raise ConfigError(f"{name} is empty; give a path or a URL ('.' is this folder)")
    if name.lower().lstrip("-") != "source" and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ConfigError(f"{name} is no Unicode, and tables cannot be stored there: rename it")
    return value


def _checked(name: str) -> Callable[[str, str], str]:
    """A function of `storage.local_paths`, which costs as much to import as all of the help."""

    def check(value: str, option: str) -> str:
        from sofdata.storage import local_paths

        found: str = getattr(local_paths, name)(value, option)
        return found

    return check


# What is checked of a value before the command starts: that it is given, that it is on this
# machine, that no file is in a folder's place, that a URL is whole.
GIVEN = _each(lambda value, _: value)
LOCAL = _each(_checked("local_path"))
LOCAL_FOLDER = _each(_checked("local_folder"))
WHOLE_URL = _each(_checked("whole_url"))

# Places

Dataset = Annotated[
    str, typer.Argument(help="The dataset: a path or an fsspec URL.", callback=WHOLE_URL)
]
LastSource = Annotated[
    str | None,
    typer.Option(
        "--source", help="Where the corpus is now; default: as in the last run.", callback=GIVEN
    ),
]
BenchOut = Annotated[
    str,
    typer.Option(help="Local folder of data, models, cells and strips.", callback=LOCAL_FOLDER),
]

# Settings

_SETTING = "Change a setting, as KEY=VALUE; may be repeated."
_RECIPE = "A YAML file, or a name that 'sofdata recipes' lists."
Set = Annotated[list[str] | None, typer.Option("--set", help=_SETTING)]
IngestSet = Annotated[
    list[str] | None, typer.Option("--set", help=_SETTING, autocompletion=ingest_settings)
]
IngestRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help=_RECIPE, callback=GIVEN, autocompletion=ingest_recipes),
]
TrainRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help=_RECIPE, callback=GIVEN, autocompletion=train_recipes),
]
Preset = Annotated[str, typer.Option(help=_RECIPE, callback=GIVEN, autocompletion=presets)]
RunPreset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help=f"{_RECIPE} Default: standard, or scene for that suite; transfer, or "
        "scene-transfer, where tasks are held out.",
        callback=GIVEN,
        autocompletion=presets,
    ),
]
CorpusName = Annotated[
    str,
    typer.Option(
        help="What the source is: auto, or a name that 'sofdata corpora' lists.",
        autocompletion=corpora,
    ),
]
HeldOut = Annotated[
    list[str] | None,
    typer.Option(
        "--held-out",
        help="A task of which no demonstration is read, only its videos; may be repeated, or "
        "several with commas between.",
        autocompletion=tasks,
    ),
]
Folds = Annotated[
    str | None,
    typer.Option(
        "--folds",
        help="Hold out tasks in turn: in so many groups, or auto for groups of at most three. "
        "Those of --held-out, or of the preset, or all.",
        autocompletion=folds,
    ),
]
VideosData = Annotated[
    str | None,
    typer.Option(
        "--videos-data",
        help="Another collection, OUT/SUITE, whose videos are learned from in place of those of "
        "--data.",
        callback=LOCAL_FOLDER,
    ),
]
VideoDatasets = Annotated[
    list[str] | None,
    typer.Option(
        "--videos",
        help="A dataset of 'sofdata ingest' whose videos are learned from in place of those of "
        "--data; repeated, each in turn: which choice of data is better? PATH or NAME=PATH.",
        metavar="DATASET",
    ),
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Where robots act: metaworld, scene, pushing, ...; default: that of the preset "
        "if one is named, else that of the collection.",
        autocompletion=suites,
    ),
]

# How it is run

Engine = Annotated[
    str | None,
    typer.Option(
        help="auto (default: by the amount of work), ray, processes or inline.",
        autocompletion=engines,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, help="Worker processes; default: one for each core."),
]
NoLock = Annotated[
    bool,
    typer.Option(
        "--no-lock",
        help="Take no lock, where the file system has none: you are sure that nothing else writes "
        "there.",
    ),
]

# What is shown

OtherLibraries = Annotated[
    bool,
    typer.Option(
        "--other-libraries",
        help="Continue although the dataset was made with other libraries, and record it.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Rows = Annotated[int, typer.Option(min=1, max=200, help="Number of windows to show.")]
Where = Annotated[
    str,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only windows for which this holds: motion > 0.5 and text != '' (docs/loading.md).",
        show_default=False,
    ),
]
Validation = Annotated[
    bool,
    typer.Option("--validation", help="Of validation seeds, by which settings are chosen."),
]
