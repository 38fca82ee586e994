"""`audit`: decodes some of a dataset's videos again by simple means and compares their windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sofdata.audit.compare import AuditFinding, by_rank, check_pictures, check_place, check_times
from sofdata.audit.motion import check_flow
from sofdata.audit.seen import Seen, look
from sofdata.errors import ConfigError, DecodeError, InputError
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.ingest.config import IngestConfig, stored_config
from sofdata.ingest.files import fingerprint
from sofdata.ingest.plan import load_plan
from sofdata.ingest.replay import last_source
from sofdata.loading.index import Index
from sofdata.loading.texts import Distinct, Texts
from sofdata.shards.layout import DATASET, INDEX, SHARDS
from sofdata.shards.names import check_file_names
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.slices import used_values
from sofdata.shards.tar import read_sample_at
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.types import VideoRef

# Of a long video, so many windows are compared picture by picture; of all, the times.
WINDOWS_COMPARED = 100
PICTURES_BYTES = 512 << 20
PICTURES_A_WINDOW = 17  # at most: of nine times, and four beside each end

# A plain decode finds frames by other means than an ingest does. Pictures of a sequence would be
# found by the same code both times, which proves nothing.
IN_NO_FILE = "its pictures are in no video file; only those that are can be compared with a decode"

Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class VideoAudit:
    """The result for one video.

    windows: how many it has. compared: of how many the pictures and the flow were compared.
    blind: of these, how many look the same a frame earlier and later.
    not_compared: why nothing could be compared, "" if it could. notes: what else could not be.
    """

    id: str
    windows: int
    compared: int = 0
    blind: int = 0
    not_compared: str = ""
    notes: list[str] = field(default_factory=list)
    findings: list[AuditFinding] = field(default_factory=list)


@dataclass(slots=True)
class Audit:
    """The audit of a dataset: its source, the number of videos with windows, and those compared."""

    dest: str
    source: str
    videos_with_windows: int
    videos: list[VideoAudit]

    @property
    def findings(self) -> int:
        return sum(len(video.findings) for video in self.videos)


def audit(
    dest: Tree,
    source: str | None = None,
    videos: int = 20,
    seed: int = 0,
    progress: Progress = lambda done, total, video: None,
) -> Audit:
    """Compare the windows of some videos of a dataset with a plain decode of these.

    source: where the corpus is now, None for where the last run found it. videos: how many, 0
    for all. seed: decides which ones.

    Raises `ConfigError` for what is no complete dataset, has no windows, or where the source, or
    every file that was chosen, is not to be found. Takes a few times what decoding takes.
    """
    dataset, plan = read_dataset(dest), load_plan(dest)
    if dataset is None or plan is None:
        raise ConfigError(f"{dest.name} holds no {DATASET} or no plan: it is no dataset of sofdata")
    if not dataset.complete:
        raise ConfigError(f"the ingest into {dest.name} is not complete; run it again to resume")
    config = stored_config(dataset.config)
    tree = Tree(source or last_source(dest))
    if not tree.exists():
        raise ConfigError(f"{tree.name} does not exist; give the corpus with --source")
    index = _index(dest)
    ids = _videos(index)
    chosen = _choose(ids, videos, seed)
    windows = _windows(index, chosen)
    refs = {id: ref for id in chosen if isinstance(ref := plan.find(id), VideoRef)}
    auditor = _Auditor(dest, tree, config)
    result = Audit(dest.name, tree.name, len(ids), [])
    for number, video in enumerate(chosen):
        progress(number, len(chosen), video)
        result.videos.append(auditor.video(refs.get(video), video, windows[video]))
    missing = [video for video in result.videos if video.not_compared not in ("", IN_NO_FILE)]
    if missing and all(video.not_compared for video in result.videos):
        first = missing[0]
        raise ConfigError(
            f"none of {len(result.videos)} videos could be compared; {first.id}: "
            f"{first.not_compared}. Is the corpus at {tree.name}? Give it with --source"
        )
    return result


def _index(dest: Tree) -> Index:
    """The index. Raises `ConfigError` where there is none, or nothing in it."""
    try:
        index = Index(dest)
    except FileNotFoundError:
        raise ConfigError(
            f"{dest.name} lacks {INDEX}; 'sofdata verify --repair' rebuilds it"
        ) from None
    if not index.num_rows:
        raise ConfigError(f"{dest.name} holds no windows: there is nothing to compare")
    return index


def _videos(index: Index) -> Texts:
    """The ids of all videos that have windows. Raises `InputError` for a name of another folder."""
    found, shards = Distinct(), Distinct()
    for _, batch in index.batches(["source", "shard"], encoded=True):
        found.add(used_values(batch["source"])[0])
        shards.add(used_values(batch["shard"])[0])
    check_file_names({*Texts(shards.values())}, index.place)
    return Texts(found.values())


def _windows(index: Index, videos: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the index by video, of these videos."""
    found: dict[str, list[dict[str, Any]]] = {video: [] for video in videos}
    for _, batch in index.batches(["source", "shard", "offset", "key", "window"], encoded=True):
        names, codes = used_values(batch["source"])
        wanted = np.array([name in found for name in names.to_pylist()])
        for row in batch.take(np.flatnonzero(wanted[codes])).to_pylist():
            found[row["source"]].append(row)
    return found


def _choose(ids: Sequence[str], videos: int, seed: int) -> list[str]:
    if not videos or videos >= len(ids):
        return list(ids)
    places = np.random.default_rng(seed).choice(len(ids), videos, replace=False)
    return [ids[place] for place in sorted(places.tolist())]


class _Auditor:
    """Compares one video after the other."""

    def __init__(self, dest: Tree, source: Tree, config: IngestConfig) -> None:
        self._dest = dest
        self._source = source
        self._config = config
        self._estimator, self._lacks = _estimator(config)

    def video(self, ref: VideoRef | None, name: str, rows: list[dict[str, Any]]) -> VideoAudit:
        result = VideoAudit(name, len(rows))
        if ref is None:
            text = "has windows, but the plan does not list it"
            result.findings.append(AuditFinding(None, "", "sample", text))
            return result
        samples = list(self._samples(rows, result))
        for sample in samples:
            longest_s = self._config.flow.max_step_s
            result.findings += check_place(sample.record, ref, longest_s)
        if ref.where.sequence:
            result.not_compared = IN_NO_FILE
            return result
        compared = self._some(samples)
        with ExitStack() as stack:
            try:
                copy = self._source.local_copy(ref.where, ref.size_bytes)
                path = stack.enter_context(copy)
                size = Tree("/").size(local(path))
                if ref.fingerprint != fingerprint(self._source, ref.uri, size, ref.actions, path):
                    result.not_compared = "the file has changed since the dataset was made"
                    return result
            except (InputError, OSError) as error:
                result.not_compared = f"the file cannot be had: {error}"
                return result
            try:
                pts_s = [sample.record.pts_s for sample in compared]
                seen = look(path, pts_s, self._config, ref.annotations.eye)
            except DecodeError as error:
                text = str(error).replace(path, ref.id)
                result.findings.append(AuditFinding(None, "", "decode", text))
                return result
        self._compare(samples, compared, seen, result)
        return result

    def _compare(
        self,
        samples: Sequence[DecodedSample],
        compared: Sequence[DecodedSample],
        seen: Seen,
        result: VideoAudit,
    ) -> None:
        step_s = self._config.flow.step_s
        wrong = set[str]()
        for sample in samples:
            if found := check_times(sample.record, seen, step_s):
                result.findings += found
                wrong.add(sample.record.key)
        if len(compared) < len(samples):
            result.notes.append(f"pictures and flow of {len(compared)} windows of {len(samples)}")
        if seen.is_hdr:
            result.notes.append(
                "high dynamic range: the order of brightness is compared, not brightness itself"
            )
            seen = replace(seen, pictures={n: by_rank(p) for n, p in seen.pictures.items()})
        if self._lacks:
            result.notes.append(self._lacks)
        for sample in compared:
            record = sample.record
            result.compared += 1
            ends = (sample.first, sample.last)
            first, last = (by_rank(end) if seen.is_hdr else end for end in ends)
            found, shift_shows = check_pictures(record, first, last, seen, step_s)
            result.blind += not shift_shows
            result.findings += found
            result.findings += check_flow(record, sample.flow, seen, self._estimator, self._config)
        result.findings.sort(key=lambda each: -1 if each.window is None else each.window)

    def _some(self, samples: list[DecodedSample]) -> list[DecodedSample]:
        """As many windows as fit into memory with their pictures, spread evenly."""
        size = self._config.flow.size
        fits = PICTURES_BYTES // (PICTURES_A_WINDOW * 3 * size * size)
        most = max(1, min(WINDOWS_COMPARED, fits))
        if len(samples) <= most:
            return samples
        places = np.unique(np.linspace(0, len(samples) - 1, most).round().astype(int))
        return [samples[place] for place in places.tolist()]

    def _samples(self, rows: list[dict[str, Any]], result: VideoAudit) -> Iterator[DecodedSample]:
        for row in rows:
            try:
                yield _read(self._dest, row)
            except (InputError, FileNotFoundError) as error:
                text = f"cannot be read: {error}"
                result.findings.append(AuditFinding(row["window"], row["key"], "sample", text))


def _read(dest: Tree, row: dict[str, Any]) -> DecodedSample:
    name = f"{SHARDS}/{row['shard']}"
    with dest.open(name) as stream:
        key, members = read_sample_at(stream, row["offset"], name)
    if key != row["key"]:
        raise InputError(f"at byte {row['offset']} of {name} stands {key}")
    return decode_sample(key, members)


def _estimator(config: IngestConfig) -> tuple[Estimator, str]:
    """The dataset's own estimator, or DIS where that cannot run here; and a note if so."""
    try:
        return make_estimator(config.flow), ""
    except ConfigError:
        plain = {"estimator": "dis", "device": "cpu", "checkpoint": None, "weights_sha256": None}
        flow = config.flow.model_copy(update={**plain, "model_size": None, "model_args": {}})
        note = f"flow against DIS: {config.flow.estimator} cannot run here"
        return make_estimator(flow), note
