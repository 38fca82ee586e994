"""`dataset.json` of a dataset: read and checked, or marked as not complete."""

from __future__ import annotations

from pydantic import ValidationError

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import COUNTED_PLACES, SHOWN_PLACES, brief
from sofdata.errors import ConfigError, InputError
from sofdata.shards.layout import DATASET
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree


def read_dataset(dest: Tree) -> DatasetRecord | None:
    """`dataset.json` of a destination; None if there is none.

    Raises `ConfigError` if it is not a record of sofdata.
    """
    try:
        return DatasetRecord.parse(read_small(dest, DATASET, DatasetRecord.MOST_BYTES))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise ConfigError(f"{dest.name} lies in a file; a dataset is a folder") from None
    except ValidationError as error:
        few = error.error_count() <= COUNTED_PLACES
        found = error.errors(include_url=False, include_input=False) if few else []
        places = [".".join(str(part)[:60] for part in each["loc"]) for each in found]
        where = ", ".join(places[:SHOWN_PLACES]) + ", ..." * (len(places) > SHOWN_PLACES)
        raise _unfit(dest, where or "all") from None
    except (ValueError, InputError) as error:
        raise _unfit(dest, brief(error) if isinstance(error, ValueError) else str(error)) from None


def complete_dataset(dest: Tree) -> DatasetRecord:
    """What `dataset.json` says. Raises `ConfigError` where there is none, or the ingest has not
    ended, and as `read_dataset`."""
    dataset = read_dataset(dest)
    if dataset is None:
        raise ConfigError(f"{dest.name} holds no dataset.json: it is no dataset of sofdata")
    if not dataset.complete:
        raise ConfigError(f"the ingest into {dest.name} is not complete; run it again to resume")
    return dataset


def mark_incomplete(dest: Tree) -> None:
    """Note in `dataset.json` that the ingest is to be run again."""
    dataset = read_dataset(dest)
    if dataset is not None and dataset.complete:
        dest.write(DATASET, dataset.model_copy(update={"complete": False}).to_json())


def _unfit(dest: Tree, where: str) -> ConfigError:
    return ConfigError(
        f"{DATASET} in {dest.name} does not fit schema version 1 (wrong: {where}). If it is "
        "damaged, remove it: the same ingest writes it again and keeps the units that it finds"
    )
