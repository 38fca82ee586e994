"""task_info/task_N.json of AgiBot World: what each episode is about, and what is done when.

A list of episodes: episode_id, task_name, init_scene_text, and label_info.action_config with
start_frame, end_frame, action_text and skill. Frames are those of the videos, 30 a second.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

FPS = 30.0  # of all videos and rows, as AgiBot World's documentation has it


@dataclass(frozen=True, slots=True)
class About:
    """What is said of an episode. last_frame: at which the last of its texts ends."""

    name: str = ""
    scene: str = ""
    skills: tuple[str, ...] = ()
    texts: tuple[TimedText, ...] = ()
    last_frame: int = 0


def read_tasks(tree: Tree, rel: str, wanted: Container[str]) -> tuple[dict[str, About], int]:
    """What is said of the wanted episodes by number, and how many others there are.

    Raises `ConfigError` for a malformed file. Memory is that of one episode, and of what is wanted.
    """
    found: dict[str, About] = {}
    others = 0
    for place, record in jsonfile.records(tree, rel):
        number = record.get("episode_id")
        if isinstance(number, bool) or not isinstance(number, int | float | str):
            what = f"{place} needs an 'episode_id', found {number!r:.60}"
            raise jsonfile.wrong(tree, rel, what)
        episode = str(int(number)) if isinstance(number, float) else str(number)
        if episode in found:
            raise jsonfile.wrong(tree, rel, f"{place}: episode {episode} is there twice")
        if episode in wanted:
            found[episode] = _about(tree, rel, place, record)
        else:
            others += 1
    return found, others


def _about(tree: Tree, rel: str, place: str, record: dict[str, Any]) -> About:
    info = record.get("label_info") or {}
    config = (info.get("action_config") if isinstance(info, dict) else info) or []
    if not isinstance(config, list):
        raise jsonfile.wrong(tree, rel, f"{place}: 'action_config' should be a list")
    texts, last, skills = [], 0, []
    for each in config:
        start, end = (_frame(tree, rel, place, each, key) for key in ("start_frame", "end_frame"))
        last = max(last, end)
        text, skill = _said(each.get("action_text")), _said(each.get("skill"))
        skills += [skill] if skill else []
        if text and start < end:  # one without any length says nothing
            texts.append(TimedText(start / FPS, end / FPS, text))
    return About(
        name=_said(record.get("task_name")),
        scene=_said(record.get("init_scene_text")),
        skills=tuple(dict.fromkeys(skills)),
        texts=tuple(sorted(texts, key=lambda each: (each.start_s, each.end_s))),
        last_frame=last,
    )


def _frame(tree: Tree, rel: str, place: str, record: Any, key: str) -> int:
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1e9:
        what = f"{place}: an action needs '{key}', the number of a frame, found {value!r:.60}"
        raise jsonfile.wrong(tree, rel, what)
    return value


def _said(value: Any) -> str:
    return " ".join(jsonfile.clean(value).split()) if isinstance(value, str) else ""
