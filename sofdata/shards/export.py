"""Writes `schemas/`: JSON Schemas of what is stored as JSON, and the columns of the tables.

`make schemas` calls it; a test fails when what it would write differs from what lies there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from sofdata.config import IngestConfig, carried
from sofdata.shards.schema import (
    DatasetRecord,
    LedgerRecord,
    SampleRecord,
    index_schema,
    plan_schema,
    rejects_schema,
    videos_schema,
)

MODELS: dict[str, type[BaseModel]] = {
    "config": IngestConfig,
    "dataset": DatasetRecord,
    "ledger": LedgerRecord,
    "sample": SampleRecord,
}
TABLES = {
    "plan": plan_schema,
    "index": index_schema,
    "rejects": rejects_schema,
    "videos": videos_schema,
}


def exported() -> dict[str, str]:
    """The files of `schemas/`, by name."""
    files = {}
    for name, model in MODELS.items():
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


def main() -> None:
    """Write all files."""
    folder: Path = carried("schemas")
    folder.mkdir(exist_ok=True)
    for name, text in exported().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
