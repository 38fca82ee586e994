"""`sofdata export`: a dataset in another's format, begun, resumed or found to be done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sofdata.errors import ConfigError
from sofdata.export.card import check_licence
from sofdata.export.features import Act, Form
from sofdata.export.hf import HfJob, export_hf
from sofdata.export.lerobot import LeRobotJob, export_lerobot, plan_rows
from sofdata.export.record import (
    ExportRecord,
    Format,
    begin,
    complete_dataset,
    digest_of,
    name_of,
)
from sofdata.export.skills import Skills, choose_skills
from sofdata.loading.index import Index
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is exported, and how.

    of: a row a window, or a row a frame of the videos; action: what `action` holds, None for the
    best that there is; skills: the name of a file of skills, "" for the only one. These three are
    of LeRobot's format alone. licence: stated in the card, "" to state none.
    """

    to: Format
    of: Form = "windows"
    action: Act | None = None
    skills: str = ""
    licence: str = ""


def export(
    dest: Tree,
    out: Tree,
    settings: ExportSettings,
    *,
    source: str | None = None,
    on_progress: OnProgress = lambda done, total: None,
    lock: Choice = "auto",
) -> tuple[ExportRecord, bool]:
    """Export a dataset; returns the record of it, and whether there was anything to do.

    source: where the corpus lies now, for `of="videos"`; None for where the last run found it.
    on_progress: called with how much is done, and of how much.

    Stopped at any moment, the same call goes on. Raises `ConfigError` for a destination that holds
    something else, for settings that do not fit the dataset, and where another command is at work
    there; `InputError` where the dataset is damaged.
    """
    dataset = complete_dataset(dest)
    check_apart(dest, out)
    licence = check_licence(settings.licence)
    if settings.to == "hf" and (settings.of, settings.action, settings.skills) != (
        "windows",
        None,
        "",
    ):
        raise ConfigError("--of, --action and --skills are settings of --to lerobot")
    with ExitStack() as stack:
        stack.enter_context(only_driver(out, "export", lock))
        wanted = ExportRecord(
            format=settings.to,
            complete=False,
            dataset=name_of(dest),
            identity={"dataset_sha256": digest_of(dest), "licence": licence},
        )
        if settings.to == "hf":
            return _to_hf(dest, out, dataset, wanted, on_progress, licence)
        skills: Skills | None = None
        if path := choose_skills(dest, settings.skills):
            skills = stack.enter_context(Skills.open(dest, path))
        return _to_lerobot(
            dest, out, dataset, wanted, on_progress, settings, skills, source, licence
        )


def check_apart(dest: Tree, out: Tree) -> None:
    """Refuse to export into a file, or a dataset into itself. Raises `ConfigError`."""
    if out.is_local and out.is_file():
        raise ConfigError(f"{out.name} is a file; an export is a folder")
    inner, outer = (f"{each.root.rstrip('/')}/" for each in (out, dest))
    if (dest.is_local, dest.url.split("://")[0] if not dest.is_local else "") == (
        out.is_local,
        out.url.split("://")[0] if not out.is_local else "",
    ) and (inner.startswith(outer) or outer.startswith(inner)):
        raise ConfigError(
            f"{out.name} and the dataset {dest.name} lie in each other: choose another"
        )


def _to_hf(
    dest: Tree,
    out: Tree,
    dataset: DatasetRecord,
    wanted: ExportRecord,
    on_progress: OnProgress,
    licence: str,
) -> tuple[ExportRecord, bool]:
    record = begin(out, wanted)
    if record.complete:
        return record, False
    return export_hf(HfJob(dest, out, dataset), record, on_progress, licence), True


def _to_lerobot(
    dest: Tree,
    out: Tree,
    dataset: DatasetRecord,
    wanted: ExportRecord,
    on_progress: OnProgress,
    settings: ExportSettings,
    skills: Skills | None,
    source: str | None,
    licence: str,
) -> tuple[ExportRecord, bool]:
    index = Index(dest)
    if skills is not None and skills.rows != index.num_rows:
        raise ConfigError(
            f"the skills are of {skills.rows} windows, and {dest.name} has {index.num_rows}: run "
            "'sofdata encode' again"
        )
    plan, fps, distance_s = plan_rows(dataset, index, settings.of, settings.action, skills)
    told: dict[str, Any] = {"of": plan.form, "action": plan.act, "fps": fps}
    told["skills"] = skills.model_sha256 if skills else ""
    record = begin(out, wanted.model_copy(update={"identity": {**wanted.identity, **told}}))
    if record.complete:
        return record, False
    job = LeRobotJob(dest, out, dataset, index, plan, fps, distance_s, source)
    return export_lerobot(job, record, on_progress, licence), True
