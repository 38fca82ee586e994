"""Which actions the recordings of a source have, and which of them have others than most."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from sofdata.corpora.readers.jsonfile import clean
from sofdata.corpora.sequences.topic_files import File
from sofdata.corpora.sequences.topic_looks import Actions, Look
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec

MOST_OFF = 1.25  # by how much rates of actions may differ


def usual_actions(tree: Tree, files: Sequence[File], topic: str) -> ActionSpec:
    """What most files have of actions. Raises `ConfigError` where none has any."""
    found = [file.look.actions for file in files if isinstance(file.said, Look)]
    usable = [each for each in found if each is not None and each.names and each.fps > 0]
    if not usable:
        why = next((each.why for each in found if each is not None and each.why), "")
        raise ConfigError(
            f"no recording in {tree.name} has actions on the topic '{topic}' that can be read"
            + (f" ({why})" if why else "")
            + ": see sequences.actions, or leave out --with-actions"
        )
    names = Counter(tuple(each.names) for each in usable).most_common(1)[0][0]
    rates = [each.fps for each in usable if tuple(each.names) == names]
    return ActionSpec(tuple(map(clean, names)), round(statistics.median_low(rates), 3))


def difference(actions: Actions | None, spec: ActionSpec, topic: str) -> tuple[str, str] | None:
    """(problem, detail) of actions that are not those of the others, None where they are."""
    if actions is None or not actions.count:
        return "no_actions_topic", f"it has no messages of the topic '{topic}' that can be read"
    if not actions.names or not actions.fps:
        return "no_actions_topic", clean(f"'{topic}': {actions.why or 'holds too few messages'}")
    if tuple(map(clean, actions.names)) != spec.names:
        own = ", ".join(actions.names)
        return "other_actions", clean(f"its actions are {own:.200}, not {', '.join(spec.names)}")
    if not 1 / MOST_OFF <= actions.fps / spec.fps <= MOST_OFF:
        rates = f"{actions.fps:g} actions a second, where most have {spec.fps:g}"
        return "other_actions", f"it has {rates}"
    return None
