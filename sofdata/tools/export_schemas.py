"""Writes `schemas/`: JSON Schemas of what is stored as JSON, and the columns of the tables.

Also `docs/training-settings.md`, every setting of `sofdata train`. Needs the train extra.

`make schemas` calls it; a test fails when what it would write differs from what lies there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from sofdata.config.recipes import carried
from sofdata.ingest.config import IngestConfig
from sofdata.shards.copies import copies_schema
from sofdata.shards.schema import (
    DatasetRecord,
    LedgerRecord,
    SampleRecord,
    files_schema,
    index_schema,
    plan_schema,
    rejects_schema,
    videos_schema,
)
from sofdata.windows.quality import QUALITY_FIELDS

MODELS: dict[str, type[BaseModel]] = {
    "config": IngestConfig,
    "dataset": DatasetRecord,
    "ledger": LedgerRecord,
    "sample": SampleRecord,
}
TABLES: dict[str, Callable[[], pa.Schema]] = {
    "plan": plan_schema,
    "plan_with_actions": lambda: plan_schema(with_actions=True),
    "plan_annotated": lambda: plan_schema(annotated=True),
    "plan_several": lambda: plan_schema(several=True),
    "copies": copies_schema,
    "files": files_schema,
    "index": index_schema,
    "index_with_quality": lambda: index_schema(tuple(QUALITY_FIELDS)),
    "rejects": rejects_schema,
    "videos": videos_schema,
}


def exported() -> dict[str, str]:
    """The files of `schemas/`, by name."""
    from sofdata.train.config import TrainConfig

    files = {}
    models: dict[str, type[BaseModel]] = {**MODELS, "train": TrainConfig}
    for name, model in models.items():
        schema = model.model_json_schema(mode="serialization")
        files[f"{name}.schema.json"] = json.dumps(schema, indent=2, sort_keys=True) + "\n"
    for name, columns in TABLES.items():
        files[f"{name}.arrow.json"] = json.dumps(_describe(columns()), indent=2) + "\n"
    return files


def _describe(schema: pa.Schema) -> list[dict[str, object]]:
    return [
        {"name": field.name, "type": str(field.type), "nullable": field.nullable}
        for field in schema
    ]


def settings_page() -> str:
    """Every setting of `sofdata train`, as Markdown."""
    from sofdata.train.config import TrainConfig

    head = (
        "# Settings of `sofdata train`\n\nGiven in a recipe or by `--set KEY=VALUE`. Made by "
        "`make schemas` from the code; [models.md](models.md) explains what they act upon.\n"
    )
    rows = [f"| `{key}` | {default} | {about} |" for key, default, about in _settings(TrainConfig)]
    return "\n".join([head, "| setting | default | |", "|---|---|---|", *rows]) + "\n"


def _settings(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            inner = type(default)
            for key, _, about in _settings(inner, f"{prefix}{name}."):
                value: Any = default
                for part in key.removeprefix(f"{prefix}{name}.").split("."):
                    value = getattr(value, part)
                yield key, f"`{json.dumps(value)}`", about
        else:
            about = (field.description or "").replace("|", "\\|")
            yield f"{prefix}{name}", f"`{json.dumps(default)}`", about


def main() -> None:
    """Write all files."""
    folder: Path = carried("schemas")
    folder.mkdir(exist_ok=True)
    for name, text in exported().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    page = folder.parent / "docs" / "training-settings.md"
    page.write_text(settings_page(), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
