"""What a listing of TFDS datasets tells its user."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sofdata.corpora.base import counted
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds.builders import Builder, Shard
from sofdata.corpora.sequences.rlds.episodes import Tally, Wanted
from sofdata.corpora.sequences.rlds.source import UNFINISHED, Sorted
from sofdata.types import ActionSpec


def notes_of(found: Sorted, wanted: list[Wanted]) -> list[str]:
    notes = []
    if found.older:
        pairs = [f"{old or '.'} (used: {new})" for old, new in sorted(found.older.items())]
        notes.append(counted(pairs, "version of a dataset that a newer one replaces; left out"))
    if found.ignored[UNFINISHED]:
        notes.append(f"{found.ignored[UNFINISHED]} files lie in folders that TFDS has not finished")
    for each in wanted:
        title = each.builder.title
        notes += _missing(each.builder, found.shards[each.builder.folder])
        for why, names in each.layout.left_out.items():
            notes.append(f"{title}: {counted(names, f'feature left out, {why}')}")
        for actions in each.actions.values():
            joined = ", ".join(column.short_name for column in actions.columns)
            notes.append(f"{title}: actions are {joined}, without that of the last step")
            if actions.left_out:
                notes.append(f"{title}: left out of them: {', '.join(actions.left_out)}")
    return notes


def _missing(builder: Builder, shards: list[Shard]) -> Iterator[str]:
    """On shards that should be there by other names or by dataset_info.json, and on copies."""
    by_split: dict[tuple[str, int | None], Counter[int | None]] = defaultdict(Counter)
    for shard in shards:
        by_split[shard.split, shard.of][shard.index] += 1
    for (split, of), numbers in sorted(by_split.items(), key=str):
        unnumbered = numbers.pop(None, 0)
        count = len(numbers) + unnumbered
        if of and count < of:
            yield f"{builder.title}: {count} of the {of} shards of '{split}' are here"
        if twice := sum(times > 1 for times in numbers.values()):
            yield f"{builder.title}: {twice} x shard of '{split}' lies here twice: both are read"
    here = {split for split, _ in by_split}
    gone = [split for split, lengths in builder.lengths.items() if lengths and split not in here]
    if gone:
        yield f"{builder.title}: no shard is here of {', '.join(gone)}"


def told_last(tally: Tally, spec: ActionSpec | None, notes: list[str]) -> Iterator[Entry]:
    """No entry; adds what is known once all of them were made to the notes."""
    for name, rates in tally.timed.items():
        usual = sorted(rates)[len(rates) // 2]
        notes.append(f"times are those of {name}, in seconds: {usual:.4g} steps a second as a rule")
    if tally.untimed:
        notes.append(
            counted(tally.untimed, "episode states times that are no use: sequences.fps counts")
        )
    if tally.blank:
        notes.append(counted(tally.blank, "camera shows nothing, as has_CAMERA says; left out"))
    if tally.several:
        notes.append(
            counted(tally.several, "record holds several episodes by its flags; cut apart")
        )
    if spec and tally.unmarked:
        notes.append(
            f"{tally.unmarked} x camera of an episode whose last step is not marked by is_last: "
            "its last action is kept"
        )
    yield from ()
