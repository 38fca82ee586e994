"""LeRobot datasets, formats v2.0, v2.1 and v3.0: robots and people at tasks, from several cameras.

`LeRobotDataset` of huggingface/lerobot, src/lerobot/datasets, and its page
https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Only what is named below is read:

    meta/info.json                         codebase_version, fps, paths, features, chunks_size

v3.0 (lerobot 0.4 and later), several episodes in one file; what says v3.1 or so is read alike:

    meta/episodes/chunk-N/file-N.parquet   a row an episode: its tasks, its length, and for each
                                           camera the MP4 and the seconds of it that are its own
    videos/CAMERA/chunk-N/file-N.mp4       the frames of many episodes, one after the other
    data/chunk-N/file-N.parquet            a row a frame, with pictures where they are no video

v2.0 and v2.1, a file an episode:

    meta/episodes.jsonl                    a line an episode: its tasks and its length
    videos/chunk-N/CAMERA/episode_N.mp4
    data/chunk-N/episode_N.parquet         a row a frame

To list them, files of rows are opened only when actions are asked for, and then only episode_index,
timestamp and the actions are read (see `actions`); and for episodes with several tasks, of which
task_index says when each is done (see `tasks`). Pictures in them are read as those of a sequence
(`sofdata.video.sequences.parquets`), those in folders as frames (see `pictures`).

Timestamps run from zero in each episode; in an MP4 of v3.0 the episode begins at its
`from_timestamp`. Those are sums of rounded seconds, which drift from the times of the frames
(huggingface/lerobot, issue 3177), so an episode is taken to reach from half a frame before it to
half a frame before its end: no frame of a neighbour slips in as long as the drift is less than
that. What a dataset says of its codecs is not believed, nor needed. An MP4 may lack frames that
have rows: windows end with the frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sofdata.corpora.base import Ignored, Listing, count_ignored, counted, is_hidden, suffix
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES, is_other_folder
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.actions import (
    ActionLayout,
    check_type,
    find_actions,
    read_track,
    with_the_state,
)
from sofdata.corpora.lerobot.episodes import EpisodeInfo, View, read_episodes
from sofdata.corpora.lerobot.info import INFO, Info, of_camera, read_info
from sofdata.corpora.lerobot.pictures import Pictures
from sofdata.corpora.lerobot.tasks import THREADS, Tasks, texts_by_time
from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, parse
from sofdata.storage.walk import NO_STAMP, Found, Item
from sofdata.types import ActionRef, ActionSpec, ActionTrack, Annotations, TimedText

SPARE = "video of no episode"
_TABLES = {".json", ".jsonl", ".parquet"}  # in meta/, and where the rows are


@dataclass(frozen=True)
class LeRobot:
    """Every camera of every episode is a video; its text is the episode's tasks.

    camera: the one that is read, by the name of its feature; None: all.
    """

    camera: str | None = None

    name = "lerobot"
    summary = "LeRobot datasets v2.0 to v3.0, videos and pictures: meta/info.json; --with-actions"
    example = "sofdata ingest lerobot_dataset DEST --with-actions"
    # Rows state their times; datasets that keep pictures may have them upside down.
    settings = ("camera",)

    def configured(self, config: SequenceConfig) -> LeRobot:
        """With the camera that is chosen: nothing has to be said of its times."""
        return replace(self, camera=config.camera)

    def detect(self, tree: Tree) -> str:
        return f"LeRobot: {INFO}" if tree.exists(INFO) else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for another version, no camera or not the one that was chosen, or a
        table that is wrong."""
        return _list(tree, self._info(tree), None)

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        info = self._info(tree)
        actions = find_actions(tree, info)
        if with_state:
            actions = with_the_state(tree, info, actions)
        listing = _list(tree, info, actions)
        files = sorted({entry.actions.where.file for entry in listing.entries if entry.actions})
        with ThreadPoolExecutor(THREADS) as threads:  # v2 has a file for every episode
            for _ in threads.map(lambda rel: check_type(tree, rel, actions), files):
                pass
        return listing

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)

    def _info(self, tree: Tree) -> Info:
        return of_camera(tree, read_info(tree), self.camera)


def _list(tree: Tree, info: Info, actions: ActionLayout | None) -> Listing:
    pictures = Pictures(tree, info)
    found = Found(pictures.without(tree.walk()))
    tasks = Tasks(tree)
    episodes = list(read_episodes(tree, info, _visible(found), tasks, pictures))
    if not episodes:
        raise jsonfile.wrong(tree, INFO, "its table of episodes is empty")
    texts, undated = _several_tasks(tree, info, episodes, found, tasks)
    first: dict[int, str] = {}
    entries = []
    for episode in episodes:
        # Of episodes with one number the first counts; `_entry` rejects the others.
        before = first.setdefault(episode.number, episode.place)
        own = texts.get((episode.data, episode.number), ())
        entries += [
            _entry(info, camera, episode, first=before, found=found, actions=actions, texts=own)
            for camera in info.cameras
        ]
    tables, ignored, spare = _others(info, found, entries)
    pictures.count(ignored)
    notes = [*info.notes, *(actions.notes if actions else ()), *undated]
    if spare:
        notes.append(counted(spare, "video belongs to no episode; ignored"))
    spec = actions.spec if actions else None
    return Listing.of(entries, ignored, notes, actions=spec, tables=tables, unused=tasks.unused())


def _visible(found: Found) -> Found:
    return Found(item for item in found.values() if not is_hidden(item.rel))


def _several_tasks(
    tree: Tree, info: Info, episodes: Iterable[EpisodeInfo], found: Mapping[str, Item], tasks: Tasks
) -> tuple[dict[tuple[str, int], tuple[TimedText, ...]], list[str]]:
    """What is done when in episodes with several tasks, and a note on those that do not say so."""
    several = [episode for episode in episodes if len(episode.tasks) > 1]
    wanted: dict[str, set[int]] = {}
    for episode in several:
        if episode.data in found:
            wanted.setdefault(episode.data, set()).add(episode.number)
    texts = texts_by_time(tree, wanted, tasks, 1 / info.fps) if wanted else {}
    undated = [str(each.number) for each in several if (each.data, each.number) not in texts]
    what = "episode has several tasks, and its rows do not say when; all of them are its text"
    return texts, [counted(undated, what)] if undated else []


def _others(
    info: Info, found: Found, entries: Iterable[Entry]
) -> tuple[list[str], Ignored, list[str]]:
    """The files that hold no input: labels, what is ignored by why, and videos of no episode."""
    used = {found.real(parse(entry.uri).file) for entry in entries}
    tables, spare = [], []
    ignored = Ignored()
    folders = ("meta/", f"{info.data_path.partition('/')[0]}/")
    for rel, item in found.items():
        if rel in used:
            continue
        kinds = {info.left_out[part] for part in rel.split("/") if part in info.left_out}
        other = is_hidden(rel) or is_other_folder(item)
        is_video = suffix(rel) in VIDEO_SUFFIXES and not other
        if is_video and kinds:
            ignored[f"{min(kinds)} video"] += 1
        elif is_video:
            spare.append(rel)
        elif rel.startswith(folders) and suffix(rel) in _TABLES and not other:
            tables.append(rel)
        else:
            count_ignored(ignored, item)
    ignored[SPARE] += len(spare)
    return tables, ignored, spare


def _entry(
    info: Info,
    camera: str,
    episode: EpisodeInfo,
    *,
    first: str,
    found: Mapping[str, Item],
    actions: ActionLayout | None,
    texts: tuple[TimedText, ...],
) -> Entry:
    """One camera's view of an episode.

    first: the place at which its number came first. texts: on the clock that starts with it.
    """
    view = episode.views[camera]
    id = f"{camera}/episode-{episode.number:06d}"
    size, problem, detail = _state(view, episode, found)
    if first != episode.place:
        id += f" ({episode.place})"
        problem, detail = "duplicate_id", f"{episode.place}: {first} has this number, too"
    start_s, span_s = 0.0, None
    if view.span_s is not None:
        start_s = view.span_s[0]
        span_s = (start_s - info.half_frame_s, view.span_s[1] - info.half_frame_s)
    ref = None
    if actions is not None and not problem:
        ref = ActionRef(
            Location(episode.data).uri, actions.part(episode.number), start_s, episode.rows
        )
        if episode.data not in found:
            what = f"{episode.data} is missing" if episode.data else "no file of its rows is given"
            problem, detail = "no_actions_file", f"{episode.place}: {what}"
    return Entry(
        id=id,
        uri=Location(view.uri, sequence=view.sequence).uri,
        size_bytes=size,
        span_s=None if problem else span_s,
        text="; ".join(episode.tasks),
        labels={"camera": camera, "episode": str(episode.number)},
        problem=problem,
        detail=detail,
        actions=None if problem else ref,
        annotations=Annotations() if problem else _shifted(texts, start_s),
        stamp=item.stamp if (item := found.get(view.uri)) else NO_STAMP,
    )


def _state(view: View, episode: EpisodeInfo, found: Mapping[str, Item]) -> tuple[int, str, str]:
    """Size of the file of a view, and what is wrong with it."""
    if view.problem:
        item = found.get(view.uri)
        return item.size_bytes if item else 0, view.problem, view.detail
    if view.uri.endswith("/"):  # of pictures, which were found
        return 0, "", ""
    item = found.get(view.uri)
    if item is None:
        return 0, "no_file", f"{episode.place} names this file, and it is none"
    if (
        not item.problem
        and view.span_s
        and not -math.inf < view.span_s[0] < view.span_s[1] < math.inf
    ):
        start_s, end_s = view.span_s
        return item.size_bytes, "bad_span", f"{episode.place}: its seconds are {start_s} to {end_s}"
    return item.size_bytes, item.problem, item.detail


def _shifted(texts: tuple[TimedText, ...], start_s: float) -> Annotations:
    """Texts on the clock of a file in which the episode starts at `start_s`."""
    spans = [
        (max(0.0, round(start_s + each.start_s, 6)), round(start_s + each.end_s, 6), each.text)
        for each in texts
    ]
    return Annotations(tuple(TimedText(*span) for span in spans if span[0] < span[1]))
