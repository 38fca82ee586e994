"""`split.json` beside each trained stage: what it learned from, and what it was evaluated on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sofdata.bench.study.data import DataPart
from sofdata.errors import ConfigError
from sofdata.storage import atomic

SPLIT = "split.json"


def agreed_split(
    folder: Path, learned: Mapping[DataPart, Sequence[str]], held_out: Sequence[str]
) -> list[str]:
    """Store the split of a stage; returns the demonstrations that it is evaluated on.

    learned: ids of videos or demonstrations. For a stage that was begun before, perhaps for an arm
        with another number of demonstrations, the stored held-out ones are returned.

    Raises `ConfigError` where the stored split has other training data.
    """
    path = folder / SPLIT
    train = {part: sorted(names) for part, names in learned.items()}
    try:
        stored = json.loads(path.read_bytes())
        same, kept = stored["train"] == train, list(map(str, stored["held_out"]))
    except FileNotFoundError:
        value = {"format": 1, "train": train, "held_out": sorted(held_out)}
        text = json.dumps(value, indent=1, sort_keys=True) + "\n"
        atomic.write_text(path, text)
        return sorted(held_out)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ConfigError(
            f"{path} is damaged, or of a training that started with other videos than it "
            f"would resume with: remove {folder}, then rerun the command to train it again"
        )
    return kept
