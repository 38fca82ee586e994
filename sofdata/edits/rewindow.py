"""`rewindow`: other windows of the flow that a dataset keeps, without decoding or flow.

What windows are made of, and where it comes from here:

    kept, in `flow/`         flow of every step but those over gaps and what is redacted; frames as
                             JPEG, their times; frames reduced for shot changes; texture; actions
    kept, in the ledger      what became of the video: decoder, frames, what was lost, how far it
                             reaches; videos that were refused, rejected unseen or quarantined
    kept, in the plan        texts and labels, redacted stretches, spans, fingerprints
    computed again           shot changes, breaks, camera, magnitudes, windows, filters, codec
    fixed when it was kept   all that decides frames and flow: `video`, `flow`, `images`,
                             `manifest`, `with_actions`; another value of these is refused
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from sofdata.config.overrides import apply, once
from sofdata.edits.derive import Derivation, parents_libraries, with_plan
from sofdata.edits.origins import OriginTable, Places
from sofdata.edits.parents import NEW, Parent, lineage_of
from sofdata.edits.recutting import Recuts
from sofdata.errors import ConfigError
from sofdata.flow.config import KeptConfig
from sofdata.ingest.account import kept_size
from sofdata.ingest.config import IngestConfig, stored_config
from sofdata.ingest.libraries import libraries_digest, used_libraries
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.segments import segment_notes
from sofdata.ingest.units import Units, cut
from sofdata.shards.layout import VIDEOS
from sofdata.shards.parquet import read_table
from sofdata.shards.schema import Counts
from sofdata.storage.tree import Tree

CHOSEN = ("windows", "codec", "units", "quality")  # the sections that a dataset is rewound by


def rewound(parent: Parent, dest: Tree, settings: Iterable[str]) -> Derivation:
    """What is to be made of the kept flow of a dataset.

    settings: KEY=VALUE of `windows`, `codec` and `units`, over those of the dataset; and
        `quality.columns`, of which some of the dataset's may be left out.

    Raises `ConfigError` for a dataset that keeps no flow, and for settings that its flow, or its
    frames, are already the result of.
    """
    settings = list(settings)
    kept = _check_keeps(parent)
    config = _config(parent, settings)
    _check_size(parent, config)
    _check_quality(parent, config)
    content, digest = config.content(), config.digest()
    table = parent.plan.table
    notes = [*parent.record.notes, *segment_notes(table, config)]
    plan = IngestPlan(table, Units(table, lambda: cut(table, config.units, digest)))
    command = shlex.join(
        ["sofdata", "rewindow", parent.name, NEW, *(p for s in settings for p in ("--set", s))]
    )
    changed = {section: content[section] for section in CHOSEN if section in content}
    lineage = lineage_of("rewindow", command, {**changed, "kept": kept}, [parent])
    listed = parent.record.counts
    changes = {
        "config": content,
        "config_sha256": digest,
        "lineage": lineage,
        "kept": None,
        "notes": list(dict.fromkeys(notes)),
        "flow": {},
        "counts": Counts(
            ignored_files=listed.ignored_files,
            label_files=listed.label_files,
            unused_rows=listed.unused_rows,
        ),
    }
    own = used_libraries(config)
    alike = libraries_digest(used_libraries(stored_config(parent.record.config)))
    return Derivation(
        dest=dest,
        parents=(parent,),
        plan=plan,
        record=with_plan(parent.record.model_copy(update=changes), plan),
        maker=Recuts(parent.tree, parent.record, digest, alike),
        origins=OriginTable((parent,), Places.of(parent.plan)),
        libraries={**parents_libraries([parent]), libraries_digest(own): own},
    )


def _check_keeps(parent: Parent) -> dict[str, Any]:
    """What the flow of a dataset was kept with. Raises `ConfigError` if not all of it was."""
    kept, made = parent.record.kept, parent.record.lineage
    if kept is None and made:
        names = ", ".join(each.name for each in made[-1].parents)
        raise ConfigError(
            f"{parent.name} keeps no flow to make other windows of: it was made by 'sofdata "
            f"{made[-1].operation}', which takes none along. If what it was made of keeps it "
            f"({names}), rewindow that and repeat the command"
        )
    if kept is None:
        raise ConfigError(
            f"{parent.name} keeps no flow to make other windows of: ingest its videos once more, "
            "into another place, with --set flow.keep=true"
        )
    frames = read_table(parent.tree, VIDEOS, ["frames"])["frames"].to_pylist()
    if (seen := sum(number > 0 for number in frames)) > kept.videos:
        raise ConfigError(
            f"{parent.name} keeps the flow of {kept.videos} of {seen} videos: some of it comes "
            "from a dataset that kept none. Ingest its videos once more, into another place"
        )
    return kept.model_dump(mode="json", include={"codec", "size", "error_mean_px", "error_max_px"})


def _config(parent: Parent, settings: list[str]) -> IngestConfig:
    """The dataset's configuration with other windows. Raises `ConfigError`."""
    theirs = stored_config(parent.record.config)
    flow = theirs.flow.model_copy(update={"keep": False, "kept": KeptConfig()})
    values = theirs.model_copy(update={"flow": flow}).model_dump(mode="json", exclude={"run"})
    for setting in once(settings):
        apply(values, setting, IngestConfig)
    config = IngestConfig.parse(values)
    fixed = sorted(filter(lambda key: key.split(".")[0] not in CHOSEN, map(_key, settings)))
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)}: {parent.name} keeps flow and frames as they were made with its "
            f"own settings, of which no others can be made: rewindow takes keys of "
            f"{', '.join(CHOSEN)}. For all others ingest its videos again"
        )
    return config


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _check_quality(parent: Parent, config: IngestConfig) -> None:
    """Raise `ConfigError` for columns that were not computed when there were frames."""
    theirs, asked = stored_config(parent.record.config).quality, config.quality
    same = (asked.dark, asked.bright) == (theirs.dark, theirs.bright)
    if asked.columns and not ({*asked.columns} <= {*theirs.columns} and same):
        known = ",".join(theirs.columns)
        raise ConfigError(
            f"quality columns are computed of frames, once: {parent.name} has "
            f"{known or 'none'}, with dark {theirs.dark} and bright {theirs.bright}, of which any "
            "may be left out (--set quality.columns=[]). For others ingest its videos again"
        )


def _check_size(parent: Parent, config: IngestConfig) -> None:
    size = kept_size(parent.record.config)
    if config.windows.size > size:
        raise ConfigError(
            f"windows.size is {config.windows.size}, and {parent.name} keeps flow at {size} px: "
            "take at most that, or ingest its videos again with a larger flow.kept.size"
        )
