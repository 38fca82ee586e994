"""Where the files of a dataset lie, relative to its root."""

DATASET = "dataset.json"
PLAN = "plan.parquet"
INDEX = "index.parquet"
REJECTS = "rejects.parquet"
VIDEOS = "videos.parquet"
WIDS = "shards/index.json"
SHARDS = "shards"
FLOW = "flow"  # shards of the flow of whole videos, where it is kept
LEDGER = "ledger"
RUNS = "runs"
QUARANTINE = "quarantine"
COPIES = "copies.parquet"  # what `sofdata dedup` found; may be deleted at any time
SPLIT = "split.json"  # which files are held out, where that was decided
FILES = "files.parquet"  # what the files of the source looked like; may be deleted at any time


# A generation that is being written beside the one that stands; see `sofdata.ingest.generation`.
NEXT = "next"
NEXT_DATASET = f"{NEXT}/{DATASET}"
NEXT_PLAN = f"{NEXT}/{PLAN}"
NEXT_LEDGER = f"{NEXT}/ledger"
NEXT_EARLIER = f"{NEXT}/earlier"
NEXT_AGAIN = f"{NEXT}/again.json"

_WINDOWS, _KEPT = "sof-", "flow-"  # how the names of shards begin


def shard_name(ordinal: int, unit: str, sha256: str) -> str:
    """File name of a unit's shard, in whose order the units stand.

    It holds a part of the content's hash, so that what is written never takes the place of
    another result of the same unit.
    """
    return f"{_WINDOWS}{ordinal >> 31:08x}-{unit}-{sha256[:8]}.tar"


def kept_name(ordinal: int, unit: str, sha256: str) -> str:
    """File name of what a unit keeps of the flow of its videos; as `shard_name`."""
    return f"{_KEPT}{shard_name(ordinal, unit, sha256).removeprefix(_WINDOWS)}"


def unit_of(shard: str) -> str:
    """Id of the unit of a shard, from its name; in earlier versions that held no hash."""
    parts = shard.rsplit("/", 1)[-1].removesuffix(".tar").split("-")
    return parts[2] if len(parts) > 2 else ""


def is_shard_name(name: str) -> bool:
    """Whether a file has the name of a shard, of this or an earlier version."""
    return name.startswith(_WINDOWS) and name.endswith(".tar")


def is_kept_name(name: str) -> bool:
    """Whether a file has the name of a shard of kept flow."""
    return name.startswith(_KEPT) and name.endswith(".tar")


def ledger_name(unit: str) -> str:
    """File name of a unit's commit record."""
    return f"{unit}.json"
