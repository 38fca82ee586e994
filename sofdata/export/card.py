"""The card of an export, README.md: YAML that the Hub and `datasets` read, and a page for people.

Names of videos, texts and labels are data of strangers: what goes into the card is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from sofdata.errors import ConfigError
from sofdata.export.features import RowPlan
from sofdata.export.record import ExportRecord, LeftOut
from sofdata.shards.schema import DatasetRecord
from sofdata.ui.text import printable

SHOWN = 20
MOST_LICENCE = 64
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGEST = "1M<n<10M"
# What of a corpus' terms is known, by the names of `sofdata corpora`.
TERMS = {
    "ssv2": "Something-Something V2: the licence is accepted at Qualcomm's developer site.",
    "ego4d": "Ego4D: the licence agreement is signed at https://ego4ddataset.com.",
    "panda70m": "Panda-70M: the licence is in the repository of Snap Research; it allows "
    "non-commercial research.",
    "lerobot": "A LeRobot dataset: its page at https://huggingface.co/datasets states its licence.",
}


def check_licence(licence: str) -> str:
    """A licence as the Hub knows it, such as `cc-by-4.0`, or "". Raises `ConfigError`."""
    if len(licence) > MOST_LICENCE or not all(each.isalnum() or each in ".-+" for each in licence):
        raise ConfigError(
            f"--license {licence!r:.80} should be an identifier such as cc-by-4.0, mit or other"
        )
    return licence.lower()


def lerobot_card(
    dataset: DatasetRecord, record: ExportRecord, plan: RowPlan, fps: int, licence: str
) -> str:
    """The card of an export to LeRobot."""
    configs = [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    front = _front(licence, ["LeRobot"], record.account["frames"], configs)
    what = "a window of optical flow with its first frame"
    if plan.form == "videos":
        what = "a frame of the video, as it was sampled for the flow"
    act = {
        "actions": "the actions of the demonstration, one after the other: those of the row's "
        "window"
        if plan.form == "windows"
        else "the actions of the demonstration from this frame to the next, one after the other",
        "skill": "the skill of the row's window, as the model encoded it",
        "flow": "statistics of the flow that follows",
    }[plan.act]
    rows = {
        "observation.images.video": "the frame",
        "observation.state": "statistics of the flow since the row before, px a step; zeros in the "
        "first row of an episode. No state of a robot",
        "action": act,
        "flow.ahead": "statistics of the flow of the row's window"
        if plan.form == "windows"
        else "statistics of the flow from this frame to the next; zeros in the last row",
        "flow.window": "of the row's window: share of pixels that move, and what is known of the "
        "camera's motion",
        "window.number, window.step": "which window of its video it is, and which step of it",
        "time_s": "the true time in the video, s; timestamp counts rows at the nominal rate",
    }
    if plan.skills is not None:
        rows[f"skill.{plan.skills.column}"] = "the skill of the row's window"
    if plan.action_names:
        rows["given_actions"] = "how many actions of the row are real; the others repeat the last"
    account = record.account
    parts = [
        f"# {_text(record.dataset)}, as a LeRobot dataset",
        f"Made by sofdata {record.sofdata} from {account['windows_exported']:,} windows of optical "
        f"flow. {account['episodes']:,} episodes, {account['frames']:,} rows at {fps} a second. A "
        f"row is {what}. An episode is a stretch of a video that its windows cover without a gap; "
        "`meta/episodes` says of which video and from when to when.",
        _table(("column", "what it holds"), rows.items()),
        *_account(dataset, record),
        *_terms(dataset, licence),
        "## Use",
        "```python\nfrom lerobot.datasets import LeRobotDataset\n\n"
        'dataset = LeRobotDataset("local/name", root="FOLDER", video_backend="pyav")\n```',
    ]
    return front + "\n\n".join(parts) + "\n"


def hf_card(
    dataset: DatasetRecord,
    record: ExportRecord,
    configs: Sequence[Mapping[str, Any]],
    infos: Sequence[Mapping[str, Any]],
    licence: str,
) -> str:
    """The card of a folder that `datasets.load_dataset` reads."""
    front = _front(licence, ["webdataset"], record.account["windows"], configs, infos)
    config = dataset.config
    steps, size = config["windows"]["length"], config["windows"]["size"]
    parts = [
        f"# {_text(record.dataset)}: windows of optical flow",
        f"{record.account['windows']:,} windows of up to {steps} steps at {size} x {size} px, by "
        f"{_text(dataset.provenance['estimator'])}, from {dataset.counts.done:,} videos. Made by "
        f"sofdata {record.sofdata}.",
        _table(
            ("config", "what a row is"),
            [(each["config_name"], _ROWS[each["config_name"].split("-")[0]]) for each in configs],
        ),
        "A sample of `shards` has `first.jpg` and `last.jpg` (the frames before and after), "
        "`flow.jpg` or `flow.npy` (the flow; `json` says how it is coded) and `json` (times, text, "
        "motion). The folder is a dataset of sofdata as well: `sofdata verify FOLDER` proves it "
        "whole, and its documentation of the format tells how flow is read without sofdata.",
        *_account(dataset, record),
        *_terms(dataset, licence),
        "## Use",
        '```python\nimport datasets\n\nwindows = datasets.load_dataset("FOLDER", "shards")\n'
        'index = datasets.load_dataset("FOLDER", "index")\n```',
    ]
    return front + "\n\n".join(parts) + "\n"


_ROWS = {
    "shards": "a window: frames, flow, times",
    "index": "a window: where it lies, its times, text, motion and the codec's error",
    "videos": "a video, and how it ended",
    "rejects": "a video or window that was set aside, and why",
    "skills": "a window's skill, as a model encoded it",
}


def _front(
    licence: str,
    tags: Iterable[str],
    rows: int,
    configs: Sequence[Mapping[str, Any]],
    infos: Sequence[Mapping[str, Any]] = (),
) -> str:
    values: dict[str, Any] = {"license": licence} if licence else {}
    values |= {
        "task_categories": ["robotics"],
        "tags": [*tags, "sofdata", "optical-flow"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), _LARGEST)],
        "configs": [dict(each) for each in configs],
    }
    if infos:
        values["dataset_info"] = [dict(each) for each in infos]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _account(dataset: DatasetRecord, record: ExportRecord) -> list[str]:
    """What of the source is not in here, and why."""
    counts, parts = dataset.counts, ["## What is left out"]
    if record.left_out:
        number = sum(each.windows for each in record.left_out)
        parts.append(f"By the export, {number:,} windows:")
        parts.append(_left_out(record.left_out))
    for what, total, reasons in (
        ("videos", counts.rejected + counts.quarantined, counts.reasons),
        ("candidate windows", counts.windows_rejected, counts.window_reasons),
    ):
        if total:
            why = ", ".join(f"{name} {each:,}" for name, each in sorted(reasons.items()))
            parts.append(f"When the dataset was made, {total:,} {what}: {why}.")
    if len(parts) == 1:
        parts.append("Nothing.")
    hidden = counts.reasons.get("redacted", 0) + counts.window_reasons.get("redacted", 0)
    if hidden:
        parts.append(
            "What the source redacts is in no frame and no flow of this; the counts above say how "
            "much that was."
        )
    notes = [*record.notes, *dataset.notes]
    if notes:
        parts.append("\n".join(f"- {_text(each)}" for each in notes))
    return parts


def _left_out(rows: Sequence[LeftOut]) -> str:
    shown = [(each.video, each.windows, each.reason, each.detail) for each in rows[:SHOWN]]
    table = _table(("video", "windows", "reason", "detail"), shown)
    more = len(rows) - SHOWN
    return f"{table}\n\n{more} more in export.json" if more > 0 else table


def _terms(dataset: DatasetRecord, licence: str) -> list[str]:
    said = f"Stated by who exported it: {licence}." if licence else "None was stated."
    terms = TERMS.get(dataset.corpus, "The terms of the videos hold for what is made of them, too.")
    return [
        "## Licence",
        f"{said} First and last frames are pictures of the source videos (corpus "
        f"{_text(dataset.corpus)}). {terms}",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(map(_text, row))} |" for row in rows])


def _text(value: Any) -> str:
    """Any text as one line of Markdown that means itself."""
    shown = html.escape(printable(str(value)), quote=False).replace("\n", " ")
    return "".join(f"\\{each}" if each in "\\`*[]|#" else each for each in shown)
