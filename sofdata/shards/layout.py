"""Where the files of a dataset lie, relative to its root."""

DATASET = "dataset.json"
PLAN = "plan.parquet"
INDEX = "index.parquet"
REJECTS = "rejects.parquet"
VIDEOS = "videos.parquet"
WIDS = "shards/index.json"
SHARDS = "shards"
LEDGER = "ledger"
RUNS = "runs"
QUARANTINE = "quarantine"


def shard_name(ordinal: int, unit: str) -> str:
    """File name of a unit's shard."""
    return f"sof-{ordinal:06d}-{unit}.tar"


def ledger_name(unit: str) -> str:
    """File name of a unit's commit record."""
    return f"{unit}.json"
