"""`append`: another corpus becomes a part of a dataset, as one ingest of both would have made it.

A dataset stays as it is until the next generation is complete, as with an update. The lineage says
of each part where it was read from, so that the same command goes on with it or updates it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sofdata.corpora.recordings import SEVERAL, kind_of
from sofdata.edits.joining import DUPLICATE, RANKS, Part, joined
from sofdata.edits.parents import NEW, described, identity_of
from sofdata.edits.sources import source_of
from sofdata.errors import ConfigError
from sofdata.ingest.config import RunConfig, UnitConfig, stored_config
from sofdata.ingest.destination import APPEND
from sofdata.ingest.engines.choice import check_engine
from sofdata.ingest.generation import Generation
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan, SourceExtras
from sofdata.ingest.run import Summary, execute, prepare, working_on
from sofdata.ingest.units import Units, cut
from sofdata.loading.catalog import open_record
from sofdata.shards.layout import DATASET, SPLIT
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import Counts, DatasetRecord, LineageStep
from sofdata.storage.tree import Tree
from sofdata.system.versions import __version__

if TYPE_CHECKING:
    from sofdata.edits.derive import Follow

COUNTED = ("ignored_files", "label_files", "unused_rows")


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is appended.

    source: where its videos lie. corpus: what it is, as `sofdata ingest --corpus` takes it.
    name: of this part, in front of ids that another part has, too; "" for the end of its place.
    first: where the first corpus of the dataset lies, "" for where a log of its runs says it does.
    """

    source: Tree
    corpus: str = "auto"
    name: str = ""
    first: str = ""

    @property
    def folder(self) -> Tree:
        """The folder that its uris start from."""
        return self.source.parent() if self.source.is_file() else self.source

    def options(self) -> list[str]:
        """As they are given on the command line."""
        given = {"--corpus": self.corpus if self.corpus != "auto" else "", "--name": self.name}
        return [word for key, value in given.items() if value for word in (key, value)]


def append(
    corpus: Corpus, dest: Tree, run: RunConfig, follow: Follow, *, mode: Mode, mix: bool = False
) -> Summary:
    """Ingest a corpus into a dataset that is there, with its settings, as one part more.

    mode: `Mode.UPDATE` takes in what has changed in a corpus that is a part already.
    mix: go on with other libraries than those that the dataset was made with.

    Raises `ConfigError` where there is no complete dataset, or one that was made of others, or all
    of the corpus is in it already.
    """
    stored = read_dataset(dest)
    if stored is None:
        raise ConfigError(
            f"{dest.name} holds no {DATASET}: 'sofdata ingest' makes a dataset of a first corpus"
        )
    _check_source(stored, dest, corpus)
    config = stored_config(stored.config).model_copy(update={"run": run})
    check_engine(config)
    joins = Appended(corpus, dest, config.units, config.digest())
    with working_on(corpus.source, dest, config):
        prepared = prepare(
            corpus.source,
            dest,
            config,
            corpus.corpus,
            mode=mode,
            other_libraries=mix,
            joins=joins,
        )
        if prepared.complete:
            units = len(prepared.plan.units)
            return Summary(prepared.complete, 0, units, frames=0, start_up_s=0.0, work_s=0.0)
        with follow(prepared) as on_event:
            return execute(prepared, on_event)


def _check_source(stored: DatasetRecord, dest: Tree, corpus: Corpus) -> None:
    """Raise `ConfigError` for a dataset that was made of others, and for one with flow by weights,
    with the commands to give instead.

    What the first holds was chosen once; an update of any of its parts would choose nothing, and
    bring back what had been left out. The second does not say where its weights lie.
    """
    made = [step for step in stored.lineage or () if step.operation != APPEND]
    weights = stored.config.get("flow", {}).get("weights_sha256")
    if not made and not weights:
        return
    why = f"has flow by weights (sha256 {weights}) of which it does not say where they lie"
    if made:
        why = f"was made of other datasets ({made[-1].command})"
    chosen = ["--corpus", corpus.corpus] * (corpus.corpus != "auto")
    settings = ["--recipe", f"{dest.name.rstrip('/')}/{DATASET}"]
    settings += ["--set", "flow.checkpoint=PATH"] * bool(weights)
    apart = shlex.join(["sofdata", "ingest", corpus.source.name, "APART", *chosen, *settings])
    both = shlex.join(["sofdata", "merge", dest.name, "APART", NEW])
    split = "'sofdata split APART' (a merge keeps what is held out if both say it), "
    raise ConfigError(
        f"{dest.name} {why}, and is not appended to. "
        "Ingest the corpus apart, with the same settings, and make a new dataset of both: "
        f"'{apart}', {split * dest.exists(SPLIT)}then '{both}'"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Appended:
    """How a corpus becomes a part of a dataset; see `sofdata.ingest.run.Joins`.

    units, config_sha256: the dataset's settings for units, and the digest of all.
    """

    corpus: Corpus
    dest: Tree
    units: UnitConfig
    config_sha256: str

    def knows(self, known: Generation) -> bool:
        """Whether the source is a part already."""
        return self._source in _parts(known.record)

    def plan(self, now: IngestPlan, known: Generation, kind: str) -> IngestPlan:
        """The plan of all parts, in the order in which they came.

        Raises `ConfigError` where it is not known where others lie, or nothing is new.
        """
        import pyarrow.compute as pc

        self._check(known)
        base, sources = self._base(known), self._parts(known, kind)
        table = known.plan.table
        labels = pc.fill_null(table["corpus"], sources[base.name])
        parts = list[Part]()
        for source, label in sources.items():
            name, place = label.partition(":")[2], Tree(source, self.dest.options)
            if source == self._source:
                parts.append(Part.listed(now.table, name, label, self.corpus.folder))
            else:
                rows = table.filter(pc.equal(labels, label))
                parts.append(Part.listed(rows, name, label, place, RANKS["done"]))
        found = joined(parts)
        if not self.knows(known):
            self._check_new(found.table, sources[self._source])
        return IngestPlan(
            found.table,
            Units(found.table, lambda: cut(found.table, self.units, self.config_sha256)),
            SourceExtras(
                now.extras.ignored,
                now.extras.label_files,
                now.extras.unused_rows,
                (*now.extras.notes, *found.notes),
            ),
            now.files,
        )

    def record(self, begun: DatasetRecord, known: Generation) -> DatasetRecord:
        """The record of all parts: accounts are added, and the lineage says what was appended."""
        lineage = [*self._lineage(begun, known)]
        steps = [step.settings for step in lineage if step.operation == APPEND]
        counted = [steps[0]["first"]["counts"], *(step["counts"] for step in steps)]
        labels = [steps[0]["first"]["part"], *(step["part"] for step in steps)]
        changes = {
            "counts": Counts(videos=begun.counts.videos, **_added(counted)),
            "corpus": SEVERAL.join(dict.fromkeys(map(kind_of, labels))),
            "notes": [*dict.fromkeys([*known.record.notes, *begun.notes])],
            "lineage": lineage,
        }
        return begun.model_copy(update=changes)

    @property
    def _source(self) -> str:
        return self.corpus.source.name

    def _check(self, known: Generation) -> None:
        if not known.record.complete and not known.staged:
            raise ConfigError(
                f"the ingest of the first corpus into {self.dest.name} is not complete: run that "
                "again first"
            )
        if not _parts(known.record) and self._base(known).name == self._source:
            raise ConfigError(
                f"{self._source} is what {self.dest.name} was made from: 'sofdata ingest --update' "
                "takes in what has changed in it"
            )

    def _check_new(self, table: Any, label: str) -> None:
        """Raise `ConfigError` if all that is listed is there under another place already."""
        import pyarrow.compute as pc

        own = table.filter(pc.equal(table["corpus"], label))
        if pc.all(pc.equal(own["problem"], DUPLICATE)).as_py():
            raise ConfigError(
                f"all {len(own)} videos of {self._source} are in {self.dest.name} already; nothing "
                "was changed"
            )

    def _parts(self, known: Generation, kind: str) -> dict[str, str]:
        """The sources of all parts, and what they are called. kind: of the one that is appended."""
        base = self._base(known)
        parts = _parts(known.record) or {base.name: _label(known.record.corpus, base)}
        if self._source not in parts:
            label = f"{kind}:{self.corpus.name or _name(self.corpus.source)}"
            if label in parts.values():
                raise ConfigError(
                    f"another part of {self.dest.name} is called {label}: give this one a name of "
                    "its own (--name)"
                )
            parts[self._source] = label
        return parts

    def _base(self, known: Generation) -> Tree:
        """Where the first corpus lies."""
        if parts := _parts(known.record):
            return Tree(next(iter(parts)), self.dest.options)
        if self.corpus.first:
            return Tree(self.corpus.first, self.dest.options)
        if (found := source_of(self.dest)) is None:
            raise ConfigError(
                f"no log of a run says where the first corpus of {self.dest.name} lies, which its "
                "videos are found by from now on: give its place (--first)"
            )
        return found

    def _lineage(self, begun: DatasetRecord, known: Generation) -> Iterator[LineageStep]:
        """The steps that are known, and that of this part where it is new."""
        counts = {name: getattr(begun.counts, name) for name in COUNTED}
        parts = _parts(known.record)
        for at, step in enumerate(known.record.lineage or ()):
            settings = dict(step.settings)
            if settings["source"] == self._source:
                settings["counts"] = counts
            if not at and settings["first"]["source"] == self._source:
                settings["first"] = {**settings["first"], "counts": counts}
            yield step.model_copy(update={"settings": settings})
        if self._source in parts:
            return
        settings = {
            "source": self._source,
            "part": self._parts(known, begun.corpus)[self._source],
            "counts": counts,
        }
        if not parts:
            base = self._base(known)
            settings["first"] = {
                "source": base.name,
                "part": _label(known.record.corpus, base),
                "counts": {name: getattr(known.record.counts, name) for name in COUNTED},
            }
        standing = open_record(self.dest)
        yield LineageStep(
            operation=APPEND,
            command=shlex.join(["sofdata", APPEND, self._source, NEW, *self.corpus.options()]),
            settings=settings,
            parents=[described(self.dest, standing, identity_of(self.dest, standing))],
            sofdata=__version__,
        )


def _parts(record: DatasetRecord) -> dict[str, str]:
    """The source of each part of a dataset of several corpora, and its name, the first first."""
    steps = [step.settings for step in record.lineage or () if step.operation == APPEND]
    if not steps:
        return {}
    first = steps[0]["first"]
    return {first["source"]: first["part"], **{step["source"]: step["part"] for step in steps}}


def _label(kind: str, source: Tree) -> str:
    return f"{kind}:{_name(source)}"


def _name(source: Tree) -> str:
    """The end of a place, without a suffix."""
    return source.name.rstrip("/").rpartition("/")[2].partition(".")[0] or "corpus"


def _added(counted: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"ignored_files": {}, "label_files": 0, "unused_rows": {}}
    for each in counted:
        found["label_files"] += each["label_files"]
        for name in ("ignored_files", "unused_rows"):
            for key, number in each[name].items():
                found[name][key] = found[name].get(key, 0) + number
    for name in ("ignored_files", "unused_rows"):
        found[name] = dict(sorted(found[name].items()))
    return found
