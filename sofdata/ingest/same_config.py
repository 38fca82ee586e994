"""The settings that go on with a dataset, where those of a command differ from it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError
from sofdata.flow.config import SEARCHED
from sofdata.flow.quality import name_of
from sofdata.ingest.config import IngestConfig, completed
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree

Setting = tuple[str, Any]  # a dotted key and its value


def check_same_config(stored: DatasetRecord, config: IngestConfig, dest: Tree) -> None:
    """Raise `ConfigError` that names each setting in which the dataset differs from `config`.

    The message ends with the options by which the same command goes on, where there are any.
    """
    theirs = completed(stored.config)
    differences = list(differing_keys(completed(config.content()), theirs))
    if not differences:
        return
    options = " ".join(f"--set {shlex.quote(each)}" for each in settings_of(theirs, config))
    needs = f"the command needs {options}" if options else "use the same one"
    raise ConfigError(
        f"{dest.name} was made with another configuration: {'; '.join(differences)}. "
        f"To go on with it {needs}; or choose another destination"
    )


def settings_of(theirs: dict[str, Any], config: IngestConfig) -> list[str]:
    """What to set over `config` for a dataset's completed content, each as KEY=VALUE.

    Empty where no settings do that, such as for weights that the dataset knows by their hash only.
    """
    settings = list(_settings(theirs, config))
    if "flow.weights_sha256" in dict(settings):  # found when an ingest is planned, not chosen
        return []
    values = config.model_dump(mode="json")
    for key, value in settings:
        _put(values, key.split("."), value)
        if key in ("flow.quality", "flow.estimator"):  # then those of `dis` follow from it
            values["flow"]["dis"] = {}
    try:
        found = completed(IngestConfig.parse(values).content())
    except ConfigError:
        return []
    return [f"{key}={_written(value)}" for key, value in settings] if found == theirs else []


def _settings(theirs: dict[str, Any], config: IngestConfig) -> Iterator[Setting]:
    """The name of its search where that says all of it, and each other value that differs."""
    ours, flow = completed(config.content()), theirs["flow"]
    searched = flow["estimator"] in SEARCHED
    named = name_of(flow["dis"]) if searched else IngestConfig().flow.quality
    renamed = named is not None and named != config.flow.quality
    if renamed:
        yield "flow.quality", named
    follows = renamed or not searched or (named and config.flow.estimator not in SEARCHED)
    hidden = ("flow.dis.",) if follows else ()
    for key, value in _leaves(theirs):
        if not key.startswith(hidden) and value != _value(ours, key.split(".")):
            yield key, value


def _leaves(content: dict[str, Any], prefix: str = "") -> Iterator[Setting]:
    for key, value in sorted(content.items()):
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _value(content: Any, path: list[str]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] = value


def _written(value: Any) -> str:
    """A value as it stands behind `--set KEY=`, which is read as YAML unless it is a text."""
    return value if isinstance(value, str) else json.dumps(value)
