"""The pushing scene: its rules, its expert, and the data that are written of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.corpora.registry import find_corpus
from sofdata.scenes.pushing import (
    SIZE,
    TASKS,
    PushingScene,
    demonstrate,
    write_pushing_corpus,
    write_pushing_demonstrations,
)
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from tests.helpers import ingest

CARRY, PUSH = "carry the disc to the square", "push the disc up"


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_does_every_task_in_a_few_seconds(task: str) -> None:
    scene = PushingScene(1)
    rollouts = [demonstrate(scene, task, episode) for episode in range(12)]
    assert all(rollout.success for rollout in rollouts)
    assert all(10 <= len(rollout.frames) <= 60 for rollout in rollouts)
    assert rollouts[0].frames.shape[1:] == (SIZE, SIZE, 3)


def test_a_task_is_not_done_by_doing_another_or_by_flailing() -> None:
    scene = PushingScene(2)
    for task in TASKS:
        demonstrate(scene, task)
        done = {}
        for other in TASKS:
            scene.task = other
            done[other] = scene.success()
        assert [other for other in TASKS if done[other]] == [task]
    rng = np.random.default_rng(0)
    lucky = 0
    for episode in range(20):
        scene.reset(episode=episode)
        for _ in range(40):
            scene.step([*rng.uniform(-6, 6, 2), rng.choice([-1, 1])])
        lucky += scene.success()
    assert lucky <= 2


def test_the_gripper_moves_by_the_action_and_stays_in_the_picture() -> None:
    scene = PushingScene(3)
    before = scene.state()
    scene.step([1.5, -2.0, -1.0])
    assert scene.state() - before == pytest.approx([1.5, -2.0, 0.0])
    scene.step([100.0, 0.0, -1.0])
    assert scene.state() - before == pytest.approx([7.5, -2.0, 0.0])  # at most 6 px a frame
    for _ in range(40):
        scene.step([6.0, 6.0, -1.0])
    assert scene.state()[:2].max() <= SIZE


def _go_to(scene: PushingScene, place: NDArray[np.float64], gripper: float) -> None:
    """Move the gripper to a place, open (-1) or closed (1) on the way."""
    while np.hypot(*(way := place - scene.gripper)) > 0.1:
        scene.step([*np.clip(way, -4, 4), gripper])


def _close(scene: PushingScene) -> int:
    """Close the gripper where it is; how many frames that takes."""
    frames = 0
    while not scene.closed:
        scene.step([0.0, 0.0, 1.0])
        frames += 1
    return frames


def test_the_jaws_close_and_open_at_the_speed_of_real_ones_and_are_seen_to() -> None:
    scene = PushingScene(3)
    image = scene.reset(PUSH, episode=1)
    wide = scene.gap_px
    gaps, states, changed = [wide], [float(scene.state()[2])], []
    for gripper in [1.0] * 6 + [-1.0] * 6:
        image, last = scene.step([0, 0, gripper]), image
        gaps.append(scene.gap_px)
        states.append(float(scene.state()[2]))
        changed.append(bool((image != last).any()))
    assert np.abs(np.diff(gaps)).max() == pytest.approx(4)  # px a frame
    assert (gaps[6], gaps[-1]) == (2, wide)
    assert states == pytest.approx([1 - 2 * (gap - 2) / (wide - 2) for gap in gaps])
    assert changed == (np.diff(gaps) != 0).tolist()
    assert 4 <= _close(scene) <= 5  # 0.4 to 0.5 s on nothing
    scene.reset(PUSH, episode=1)
    _go_to(scene, scene.disc, -1.0)
    assert _close(scene) == 2  # on the disc


def test_open_it_passes_above_closed_it_pushes_and_closing_on_the_disc_grasps_it() -> None:
    scene = PushingScene(4)
    scene.reset()
    start, aside, down = scene.disc.copy(), np.array([40.0, 0.0]), np.array([0.0, 15.0])
    _go_to(scene, start - aside, -1.0)
    _go_to(scene, start + aside, -1.0)
    assert (scene.disc == start).all()
    _go_to(scene, start, -1.0)
    _close(scene)
    assert scene.held
    _go_to(scene, start + down, 1.0)
    assert scene.disc == pytest.approx(start + down, abs=0.2)
    scene.step([5.0, 0.0, -1.0])
    assert scene.disc == pytest.approx(start + down, abs=0.2)
    _go_to(scene, start + down - aside, -1.0)
    assert _close(scene) > 2  # on nothing
    _go_to(scene, start + down, 1.0)
    assert scene.disc[0] > start[0] + 10  # pushed ahead, since it closed far from the disc


def test_a_carried_disc_counts_only_once_it_is_let_go() -> None:
    scene = PushingScene(5)
    scene.reset(CARRY)
    _go_to(scene, scene.disc, -1.0)
    _close(scene)
    _go_to(scene, scene.square, 1.0)
    assert not scene.success()
    scene.step([0, 0, -1.0])
    assert scene.success()


def test_the_first_picture_tells_nothing_of_the_task() -> None:
    scene = PushingScene(6)
    pictures = [scene.reset(task, episode=3) for task in TASKS]
    assert all((picture == pictures[0]).all() for picture in pictures)
    assert (scene.reset(episode=4) != pictures[0]).any()
    with pytest.raises(ValueError, match="unknown task 'juggle'; known: push"):
        scene.reset("juggle")


def test_everything_follows_from_the_seed() -> None:
    first, again, other = (demonstrate(PushingScene(seed), episode=2) for seed in (7, 7, 8))
    assert (first.frames == again.frames).all()
    assert (first.actions == again.actions).all()
    assert (first.frames[0] != other.frames[0]).any()


def test_the_corpus_of_videos_is_read_with_its_texts(tmp_path: Path) -> None:
    paths = write_pushing_corpus(tmp_path / "a", 6, seed=1)
    again = write_pushing_corpus(tmp_path / "b", 6, seed=1)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    tree = Tree(str(tmp_path / "a"))
    corpus, _ = find_corpus(tree)
    listing = corpus.listing(tree)
    assert (corpus.name, listing.notes) == ("ssv2", ())
    texts = {entry.id: entry.text for entry in listing.entries}
    assert texts == {str(number + 1): TASKS[number % 5] for number in range(6)}


def _flow_and_action(sample: DecodedSample) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Mean flow of what moves in each step [L,2], px of the video, and the moves of the gripper."""
    assert sample.actions is not None
    flow = sample.flow * (SIZE / sample.flow.shape[1])
    moves = np.hypot(flow[..., 0], flow[..., 1]) > 0.8
    mean = [
        step[where].mean(0) if where.any() else np.zeros(2)
        for step, where in zip(flow, moves, strict=True)
    ]
    return np.array(mean), sample.actions[:, :2]


def _agreement(flow: NDArray[np.float64], action: NDArray[np.float32]) -> float:
    """Cosine of the angle between all flow of a window and all actions, 1 for the same way."""
    length = min(len(flow), len(action))
    flow, action = flow[:length], action[:length]
    return float((flow * action).sum() / np.sqrt((flow**2).sum() * (action**2).sum() + 1e-9))


def test_the_flow_of_every_demonstrated_window_goes_the_way_of_its_actions(tmp_path: Path) -> None:
    """And not the way of the actions of the window before or of the next episode."""
    assert write_pushing_demonstrations(tmp_path / "demo", 2, seed=0, episodes_per_file=4) == 10
    ingest(tmp_path / "demo", tmp_path / "d", "with_actions=true")
    found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float32]]]] = {}
    for shard in sorted((tmp_path / "d" / "shards").glob("*.tar")):
        with shard.open("rb") as stream:
            for key, _, members in read_samples(stream, shard.name):
                sample = decode_sample(key, members)
                assert sample.record.text == TASKS[int(sample.record.labels["episode"]) % 5]
                found.setdefault(sample.record.source, []).append(_flow_and_action(sample))
    assert len(found) == 10
    own = [_agreement(*window) for windows in found.values() for window in windows]
    episodes = list(found.values())
    neighbour = [
        _agreement(mine[0], other[1])
        for one, next_one in zip(episodes, [*episodes[1:], episodes[0]], strict=True)
        for mine, other in zip(one, next_one, strict=False)
    ]
    assert len(own) > 30
    assert min(own) > 0.7, own
    assert np.mean(own) > 0.95
    assert np.mean(neighbour) < 0.4, neighbour


def test_demonstrations_tell_of_state_and_task(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_pushing_demonstrations(tmp_path, 1, seed=3)
    info = json.loads((tmp_path / "meta" / "info.json").read_text())
    assert info["features"]["action"]["names"] == ["dx", "dy", "gripper"]
    rows = pq.ParquetFile(tmp_path / "data/chunk-000/file-000.parquet").read().to_pylist()
    moves = np.diff([row["observation.state"][:2] for row in rows[:10]], axis=0)
    np.testing.assert_allclose(moves, [row["action"][:2] for row in rows[:9]], atol=1e-4)
    assert {row["action"][2] for row in rows} == {-1.0, 1.0}
    assert [row["task_index"] for row in rows] == [row["episode_index"] for row in rows]
