"""What a shell completes besides commands and options: recipes, corpora, suites, settings.

A shell starts `sofdata` at each press of its tab key, so each function imports what it needs and
nothing else. A failure completes nothing: whatever it printed would land in the user's command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal, get_args, get_origin

from typer import Context

Completer = Callable[[str], list[str]]

COMPLETING = "_SOFDATA_COMPLETE"  # typer's variable: which shell asks
_KEY = "_SOFDATA_COMPLETE_SETTING"  # the setting whose value is completed
_ESTIMATOR = "flow.estimator"


def completer(candidates: Callable[[], Iterable[str]]) -> Completer:
    """Those candidates that begin with what has been typed."""

    def complete(incomplete: str) -> list[str]:
        return _offered(candidates, incomplete)

    complete.__doc__ = candidates.__doc__
    return complete


def _offered(candidates: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    try:
        return [each for each in candidates() if each.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - see the module
        return []


@completer
def ingest_recipes() -> Iterable[str]:
    """Names for `sofdata ingest --recipe`."""
    from sofdata.config.recipes import recipes

    return recipes()


@completer
def train_recipes() -> Iterable[str]:
    """Names for `sofdata train --recipe`."""
    from sofdata.config.recipes import TRAIN_RECIPES, recipes

    return recipes(TRAIN_RECIPES)


@completer
def presets() -> Iterable[str]:
    """Names for `sofdata bench run --preset`."""
    from sofdata.config.recipes import BENCH_RECIPES, recipes

    return recipes(BENCH_RECIPES)


@completer
def corpora() -> Iterable[str]:
    """Names for `sofdata ingest --corpus`."""
    from sofdata.corpora.registry import AUTO, CORPORA

    return [AUTO, *(corpus.name for corpus in CORPORA)]


@completer
def suites() -> Iterable[str]:
    """Names for `sofdata bench collect --suite`."""
    from sofdata.bench.envs.registry import OPTIONAL, SUITES

    return [*SUITES, *OPTIONAL]


def tasks(ctx: Context, incomplete: str) -> list[str]:
    """For `sofdata bench run --held-out`: tasks of the suite that is named before it, or of those
    that need no import of a simulator; after a comma the next one."""
    before, comma, begun = incomplete.rpartition(",")
    found = _offered(lambda: _tasks(ctx.params.get("suite")), begun)
    return [f"{before}{comma}{name}" for name in found if name not in before.split(",")]


@completer
def folds() -> Iterable[str]:
    """For `sofdata bench run --folds`: what is no number."""
    return ["auto"]


@completer
def engines() -> Iterable[str]:
    """Names for `sofdata ingest --engine`."""
    from sofdata.ingest.config import RunConfig

    return _values(RunConfig.model_fields["engine"].annotation)


def ingest_settings(incomplete: str) -> list[str]:
    """For `sofdata ingest --set`: keys with "=", and once that is typed, values of the key."""
    key, equals, _ = incomplete.partition("=")
    if _KEY in os.environ:
        return _offered(lambda: _ingest_values(os.environ[_KEY]), incomplete)
    if equals:
        return _offered(lambda: [f"{key}={value}" for value in _ingest_values(key)], incomplete)
    return _offered(_ingest_keys, incomplete)


def join_words(environment: MutableMapping[str, str]) -> None:
    """Undo for typer that bash takes "=" for a word of its own.

    `--set flow.estimator=d` arrives as `--set`, `flow.estimator`, `=`, `d`, and `--recipe=s` as
    `--recipe`, `=`, `s`; and what is printed replaces the last of these words only.
    """
    if environment.get(COMPLETING) != "complete_bash":
        return
    typed = environment.get("COMP_WORDS", "").split("\n")
    place = int(environment.get("COMP_CWORD", "0"))
    words = [""]
    for word in [*typed, ""][: place + 1]:
        if word == "=" and words[-1].startswith("-"):
            words.append("")
        elif word == "=" or words[-1].endswith("=") or not words[-1]:
            words[-1] += word
        else:
            words.append(word)
    if words[-2:-1] == ["--set"] and "=" in words[-1]:
        environment[_KEY], _, words[-1] = words[-1].partition("=")
    environment["COMP_WORDS"] = "\n".join(words)
    environment["COMP_CWORD"] = str(len(words) - 1)


def _tasks(suite: str | None) -> Iterable[str]:
    from sofdata.bench.envs.registry import SUITES, find_suite

    names = [suite] if suite else SUITES
    return [task.name for name in names for task in find_suite(name).tasks]


def _ingest_keys() -> list[str]:
    """Each setting with "="; of sections only what they hold."""
    from sofdata.config.section import known_keys
    from sofdata.ingest.config import IngestConfig

    keys = known_keys(IngestConfig)
    sections = {key.rpartition(".")[0] for key in keys}
    return [f"{key}=" for key in keys if key not in sections]


def _ingest_values(key: str) -> list[str]:
    """What can be listed of the values of a setting."""
    from sofdata.config.section import field_of
    from sofdata.ingest.config import IngestConfig

    if key == _ESTIMATOR:
        return _estimators()
    field = field_of(IngestConfig, key.split("."))
    return [] if field is None else _values(field.annotation)


def _values(annotation: Any) -> list[str]:
    """The values of a type that can be listed: of words to choose from, and of truth values."""
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [value for each in get_args(annotation) for value in _values(each)]


def _estimators() -> list[str]:
    """Those that need no import of ptlflow, which takes seconds; of its models the prefix only."""
    from sofdata.flow import learned, zoo
    from sofdata.flow.estimator import CLASSICAL

    return ["auto", *CLASSICAL, *([learned.PREFIX] if zoo.installed() else [])]
