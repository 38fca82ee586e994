"""The rendered corpus, in the layout and style of Something-Something V2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sofdata.scenes.clips import ACTIONS, STILL, plan_clip
from sofdata.scenes.render import FPS, render
from sofdata.video.writer import write_video


def write_ssv2_corpus(
    folder: str | Path, videos: int = 24, seed: int = 0, seconds: float = 4.0
) -> list[Path]:
    """Render a corpus in the layout of Something-Something V2. Returns the clips' paths.

    Two thirds of the clips are the train split; test clips have no label, as in the original.
    """
    root = Path(folder)
    for name in ("labels", "20bn-something-something-v2"):
        (root / name).mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    paths = []
    for index in range(videos):
        clip, id = plan_clip(index, seed, seconds), str(10_001 + index)
        paths.append(root / "20bn-something-something-v2" / f"{id}.webm")
        write_clip(paths[-1], index, seed, seconds)
        split = ("train", "train", "validation", "train", "train", "test")[index % 6]
        words = {"label": clip.label, "template": clip.action.template}
        record = {"id": id, **words, "placeholders": list(clip.things)}
        splits[split].append({"id": id} if split == "test" else record)
    names = [action.template.replace("[something]", "something") for action in (*ACTIONS, STILL)]
    labels = {name: str(number) for number, name in enumerate(names)}
    for name, value in {**splits, "labels": labels}.items():
        (root / "labels" / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
    return paths


def write_clip(path: str | Path, index: int, seed: int = 0, seconds: float = 4.0) -> None:
    """Render and encode the clip of one index: VP9 at 12 frames/s, 427 x 240 px."""
    write_video(path, render(plan_clip(index, seed, seconds)), FPS)
