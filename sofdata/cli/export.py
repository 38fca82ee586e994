"""`sofdata export`: a thin layer, as those in `sofdata.cli.app`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sofdata.cli.options import GIVEN, WHOLE_URL, Dataset, Json, LastSource, NoLock, Quiet, examples
from sofdata.errors import ConfigError
from sofdata.ui.console import (
    EXIT_QUARANTINED,
    counting,
    labelled,
    note,
    print_json,
    say,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from sofdata.export.push import PushPlan
    from sofdata.export.record import ExportRecord
    from sofdata.storage.tree import Tree

EXPORT_EXAMPLES = examples(
    "sofdata export dataset exported --to lerobot",
    "sofdata export dataset exported --to lerobot --of videos --source clips",
    "sofdata export dataset folder --to hf --license cc-by-4.0 --push me/windows --yes",
)


class To(StrEnum):
    """The formats."""

    lerobot = "lerobot"
    hf = "hf"


class Of(StrEnum):
    """What a row is."""

    windows = "windows"
    videos = "videos"


class Action(StrEnum):
    """What the column `action` holds."""

    auto = "auto"
    actions = "actions"
    skill = "skill"
    flow = "flow"


_ACTS: dict[Action, Literal["actions", "skill", "flow"] | None] = {
    Action.auto: None,
    Action.actions: "actions",
    Action.skill: "skill",
    Action.flow: "flow",
}


def export(
    dest: Dataset,
    out: Annotated[
        str,
        typer.Argument(help="Where the export goes: a path or an fsspec URL.", callback=WHOLE_URL),
    ],
    to: Annotated[To, typer.Option("--to", help="lerobot (format v3.0), or hf.")],
    of: Annotated[
        Of,
        typer.Option(
            help="lerobot: a row a window with its first frame, or a row a sampled frame of the "
            "videos, which are decoded again."
        ),
    ] = Of.windows,
    action: Annotated[
        Action,
        typer.Option(
            help="lerobot: what 'action' holds: actions of demonstrations, the skill, statistics "
            "of the flow, or the first of these that there is."
        ),
    ] = Action.auto,
    skills: Annotated[
        str, typer.Option(help="lerobot: which file of skills/; default: the only one.")
    ] = "",
    source: LastSource = None,
    licence: Annotated[
        str, typer.Option("--license", help="To be stated in the card, such as cc-by-4.0.")
    ] = "",
    push: Annotated[
        str | None,
        typer.Option(
            help="Also send it to this dataset repository of the Hugging Face Hub, OWNER/NAME.",
            callback=GIVEN,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="The repository may be seen by everybody.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Push without asking.")] = False,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Write a dataset in the format of others, and share it.

    \b
    lerobot  episodes with pictures, skill tokens and statistics of the flow, on
             which lerobot trains
    hf       shards and tables in a folder that datasets.load_dataset reads

    The same command again resumes an export or a push that was stopped. What is
    left out, and why, stands in export.json and in the card, README.md; if that
    is anything, the exit code is 1.
    """
    from sofdata.export.run import ExportSettings
    from sofdata.export.run import export as run
    from sofdata.storage.tree import Tree

    if public and push is None:
        raise ConfigError("--public says who may see what --push sends: add --push OWNER/NAME")
    if push is not None:
        _check_push(push, yes, Tree(out))
    settings = ExportSettings(to.value, of.value, _ACTS[action], skills, licence)
    tree = Tree(out)
    with counting(stderr(), "exporting", quiet) as follow:
        record, worked = run(
            Tree(dest),
            tree,
            settings,
            source=source,
            on_progress=follow,
            lock="none" if no_lock else "auto",
        )
    url = _push(tree, push, public, yes, quiet) if push is not None else None
    if json_:
        print_json({"out": tree.name, "worked": worked, "pushed": url, **record.model_dump()})
    else:
        _print(tree, record, worked, url)
    if record.left_out:
        raise typer.Exit(EXIT_QUARANTINED)


def _check_push(repo: str, yes: bool, out: Tree) -> None:
    """What would stop a push, before an export of hours."""
    from sofdata.export.push import check_push

    check_push(repo)
    if not out.is_local:
        raise ConfigError("--push needs an export on this machine: give a local folder")
    if not yes and not sys.stdin.isatty():
        raise ConfigError("--push sends data away, and nobody is there to be asked: add --yes")


def _push(out: Tree, repo: str, public: bool, yes: bool, quiet: bool) -> str | None:
    """Ask, and send; None where it was refused."""
    from sofdata.export.push import plan_push, push

    plan = plan_push(out, repo, public)
    say(stderr(), _described(plan))
    if not yes and plan.state != "done" and not typer.confirm("Send it?", err=True):
        say(stderr(), "not sent")
        return None
    return push(plan, quiet or not stderr().is_terminal)


def _described(plan: PushPlan) -> str:
    who = "private" if plan.private else "public: everybody can see it"
    what = {"new": "", "resume": ", an earlier push goes on", "done": ", which has it all already"}
    return (
        f"push: {len(plan.files)} files, {plan.size_bytes / 2**20:.1f} MiB to {plan.url} "
        f"({who}){what[plan.state]}"
    )


def _print(out: Tree, record: ExportRecord, worked: bool, url: str | None) -> None:
    console = stdout()
    if not worked:
        say(stderr(), "nothing to do: the export is complete")
    for name, number in record.account.items():
        labelled(console, f"{name.replace('_', ' '):18} ", f"{number:,}")
    for each in record.left_out:
        left = f"{each.video}: {each.windows} windows, {each.reason}: {each.detail}"
        note(console, f"left out: {left}")
    for text in record.notes:
        note(console, text)
    say(console, f"export: {out.name}")
    if url:
        say(console, f"pushed: {url}")
