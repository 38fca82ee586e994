"""`replay`: runs one video of a dataset again, in the foreground, and prints what happens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sofdata.errors import ConfigError
from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import stored_config
from sofdata.ingest.engines.decoders import Isolated
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.inputs import Input, Refused
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import Tools, run_through
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_video, shard_in
from sofdata.shards.layout import DATASET, RUNS
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import VideoRecord
from sofdata.storage.tree import Tree
from sofdata.system.nearest import did_you_mean
from sofdata.types import ActionSpec, VideoRef
from sofdata.ui.console import labelled
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def replay(dest: Tree, video: str, source: str | None, console: Console) -> VideoRecord | None:
    """Run one video again and print what happens; the dataset stays as it is.

    video: its id; source: where the corpus lies now, or None for where the last run found it.

    Returns how it ended, None if it was refused before any work. Raises `ConfigError` for a video
    that is not in the plan, or if the source is not known.
    """
    dataset = read_dataset(dest)
    plan = load_plan(dest)
    if dataset is None or plan is None:
        raise ConfigError(f"{dest.name} holds no {DATASET} or no plan: it is no dataset of sofdata")
    ref = _find(plan, video)
    if isinstance(ref, Refused):
        _print(console, "refused before any work", f"{ref.reason}: {ref.detail}")
        return None
    config = stored_config(dataset.config)
    found = dataset.actions
    actions = ActionSpec(tuple(found.names), found.fps) if found else None
    job = UnitJob(Tree(source or last_source(dest)), dest, config, dataset.corpus, actions)
    return _run(ref, job, console)


def _run(ref: VideoRef, job: UnitJob, console: Console) -> VideoRecord:
    _print(console, "video", f"{ref.id} ({ref.size_bytes} bytes) of {job.source.name}")
    decoder = Isolated(job.config)
    began = time.monotonic()
    try:
        with (
            Tree("").scratch() as folder,
            Fetcher(job.source, (ref,), job.config.run) as fetcher,
            shard_in(folder, job.config) as shard,
        ):
            flow = LocalFlow(make_estimator(job.config.flow))
            steps = run_video(ref, job, Tools(fetcher, decoder, flow, shard))
            outcome = run_through(steps)
    finally:
        decoder.close()
    record = outcome.record
    _print(console, "took", f"{time.monotonic() - began:.2f} s, {record.tries} tries")
    _print(console, "decoder", record.decoder)
    _print(console, "frames", f"{record.frames} sampled over {record.covered_s:.2f} s")
    if record.decode_errors or record.salvaged:
        _print(console, "damage", f"{record.decode_errors} decode errors; {record.salvaged}")
    for row in shard.rows:
        what = f"{row.start_s:8.2f} - {row.end_s:.2f} s  {row.steps} steps  p99 {row.p99_px:.2f} px"
        _print(console, f"window {row.window}", what)
    for rejected in shard.rejected:
        what = f"{rejected.start_s:8.2f} - {rejected.end_s:.2f} s  rejected: {rejected.reason}"
        _print(console, f"window {rejected.window}", what)
    ended = f"{record.status} {record.reason}".strip()
    _print(console, "ended", f"{ended}: {record.detail}" if record.detail else ended)
    for line in outcome.stderr.splitlines():
        _print(console, "decoder said", line)
    return record


def _find(plan: IngestPlan, video: str) -> Input:
    found = plan.find(video)
    if found is None:
        hint = did_you_mean(video, plan.table["id"].to_pylist())
        raise ConfigError(f"the plan has no video '{video}'{hint}; videos.parquet lists the ids")
    return found


def last_source(dest: Tree) -> str:
    """Where the corpus lay for the last run. Raises `ConfigError` where no run says so."""
    names = dest.names(RUNS)
    if not names:
        raise ConfigError("no log of a run names the source: give it with --source")
    return str(json.loads(dest.read(f"{RUNS}/{names[-1]}"))["source"])


def _print(console: Console, what: str, detail: str) -> None:
    labelled(console, f"{what:22} ", printable(detail))
