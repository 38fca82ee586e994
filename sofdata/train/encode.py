"""Skills of all windows of a dataset, as a Parquet file beside its index.

`skills/NAME.parquet` has a row a window in the order of `index.parquet`, with its key and, for an
FSQ model, `tokens` (n whole numbers), for a KL model `codes` (n * D numbers, point by point). The
file's metadata holds the model's hash, n, D and the size of the codebook.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from sofdata.errors import ConfigError
from sofdata.loading.loader import Loader
from sofdata.models.saved import fingerprint
from sofdata.models.skill.vae import SkillVAE
from sofdata.shards.names import is_file_name
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.train.loop import to_device

if TYPE_CHECKING:
    import pyarrow as pa

SKILLS = "skills"
BATCH = 64
BATCHES_A_GROUP = 1024  # of the file's row groups


def encode(
    tree: Tree,
    model: SkillVAE,
    name: str = "",
    on_progress: Callable[[int, int], None] = lambda done, rows: None,
    choice: Choice = "auto",
) -> str:
    """Encode every window of a dataset; returns the path of the file within it.

    name: of the file, without its suffix; default: the beginning of the model's hash.
    on_progress: called with the number of windows that are encoded, and that of all.
    choice: as of `only_driver`, whose lock keeps the windows unchanged until the file is written.

    Raises `ConfigError` for a dataset of other windows than the model's, for a name that is a path,
    and if another command is at work on the dataset.
    """
    if name and (name.startswith(".") or not is_file_name(f"{name}.parquet.writing-0000")):
        raise ConfigError(
            f"the name {name!r:.80} has to be that of a file in {SKILLS}/, not a path, without "
            "control characters, and not too long"
        )
    with only_driver(tree, "encoding", choice):
        return _encode(tree, model, name, on_progress)


def _encode(tree: Tree, model: SkillVAE, name: str, on_progress: Callable[[int, int], None]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sha256 = fingerprint(model)
    path = f"{SKILLS}/{name or sha256[:16]}.parquet"
    loader = Loader(
        tree.url, batch_size=BATCH, shuffle=False, rank=0, world=1, options=tree.options
    )
    size = loader.geometry
    if (size.steps, size.flow_px) != (model.shape.steps, model.shape.size):
        raise ConfigError(
            f"the model is for windows of {model.shape.steps} steps at {model.shape.size} px, and "
            f"{tree.name} has {size.steps} steps at {size.flow_px} px"
        )
    done = 0
    with tree.scratch() as folder:
        local = os.path.join(folder, "skills.parquet")
        with pq.ParquetWriter(local, _schema(model, sha256)) as writer:
            waiting = []
            for table in _tables(loader, model, sha256):
                waiting.append(table)
                done += table.num_rows
                if len(waiting) == BATCHES_A_GROUP or done == loader.rows:
                    writer.write_table(pa.concat_tables(waiting).combine_chunks())
                    waiting.clear()
                on_progress(done, loader.rows)
        tree.put(local, path)
    return path


@torch.no_grad()
def _tables(loader: Loader, model: SkillVAE, sha256: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    device, schema = next(model.parameters()).device, _schema(model, sha256)
    for batch in loader.epoch(0):
        moved = to_device(batch, device)
        skill = model.encode(moved.flow, moved.first, moved.mask)
        values = skill.tokens if model.codebook_size else skill.codes.flatten(1)
        columns = {schema.names[0]: list(batch.keys), schema.names[1]: values.cpu().tolist()}
        yield pa.Table.from_pydict(columns, schema)


def _schema(model: SkillVAE, sha256: str) -> pa.Schema:
    import pyarrow as pa

    metadata = {
        "sofdata.model_sha256": sha256,
        "sofdata.tokens": str(model.tokens),
        "sofdata.code_dim": str(model.code_dim),
        "sofdata.codebook_size": str(model.codebook_size),
    }
    if model.codebook_size:
        metadata["sofdata.levels"] = json.dumps(model.config.levels)
    values = (
        pa.field("tokens", pa.list_(pa.int32()), nullable=False)
        if model.codebook_size
        else pa.field("codes", pa.list_(pa.float32()), nullable=False)
    )
    return pa.schema([pa.field("key", pa.string(), nullable=False), values], metadata=metadata)
