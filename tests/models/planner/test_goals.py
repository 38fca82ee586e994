"""Later frames of videos as goals: which, how many skills ahead, and that they are the sample's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.loading.times import WindowTime
from sofdata.models.planner.goals import GoalsConfig, VideoFrames, draws_of, keep_frames
from sofdata.types import Batch

STEPS = 2
LENGTHS = {"a": 5, "b": 3}  # windows of each video, a skill long, half a skill apart
KEYS = tuple(f"{video}-{row:06d}" for video, rows in LENGTHS.items() for row in range(rows))
TIMES = {
    f"{video}-{row:06d}": WindowTime(video, 0.5 * row, 0.5 * row + 1.0)
    for video, rows in LENGTHS.items()
    for row in range(rows)
}


def batch(keys: tuple[str, ...] = KEYS) -> Batch:
    """Windows whose last frames hold the number of their row, and first frames 200."""
    size = len(keys)
    last = torch.tensor([KEYS.index(key) if key in KEYS else 99 for key in keys])
    return Batch(
        torch.zeros(size, STEPS, 2, 4, 4),
        torch.full((size, 3, 8, 8), 200, dtype=torch.uint8),
        last.to(torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8),
        torch.ones(size, STEPS, dtype=torch.bool),
        torch.zeros(size, dtype=torch.int64),
        keys,
    )


@pytest.fixture
def frames() -> VideoFrames:
    order = torch.randperm(len(KEYS), generator=torch.Generator().manual_seed(0))
    shuffled = tuple(KEYS[int(row)] for row in order)
    return keep_frames([batch(shuffled[:3]), batch(shuffled[3:])], TIMES, 100, 64)


def shown(goals: torch.Tensor) -> list[int]:
    return goals[:, 0, 0, 0].tolist()


def test_windows_are_kept_in_the_order_of_time_whatever_order_they_come_in(
    frames: VideoFrames,
) -> None:
    assert [frames.rows[key] for key in KEYS] == list(range(8))
    assert shown(frames.frames) == list(range(8))
    assert frames.last.tolist() == [4] * 5 + [7] * 3
    assert frames.skill_s == 1.0


def test_a_subgoal_is_so_many_skills_ahead_or_where_the_video_ends(frames: VideoFrames) -> None:
    one, two = frames.ahead(batch(), 1), frames.ahead(batch(), 2)
    assert shown(one.frames) == list(range(8))
    assert one.skills.tolist() == [1.0] * 8
    assert shown(two.frames) == [2, 3, 4, 4, 4, 7, 7, 7]
    assert two.skills.tolist() == [2, 2, 2, 1.5, 1, 2, 1.5, 1]


def test_how_a_video_ends_is_its_last_frame(frames: VideoFrames) -> None:
    ends = frames.ends(batch())
    assert shown(ends.frames) == [4] * 5 + [7] * 3
    assert ends.skills.tolist() == [3, 2.5, 2, 1.5, 1, 2, 1.5, 1]


def test_drawn_goals_are_later_frames_of_the_same_video(frames: VideoFrames) -> None:
    config, seen = GoalsConfig(same=0, others=0), dict[int, set[int]]()
    for step in range(100):
        goals = frames.drawn(batch(), step, config)
        for row, (goal, skills) in enumerate(
            zip(shown(goals.frames), goals.skills.tolist(), strict=True)
        ):
            assert skills == 1 + 0.5 * (goal - row)
            seen.setdefault(row, set()).add(goal)
    assert seen[0] == {0, 1, 2, 3, 4}
    assert seen[6] == {6, 7}


def test_goals_may_be_reached_or_of_any_video(frames: VideoFrames) -> None:
    same = frames.drawn(batch(), 0, GoalsConfig(same=1, others=0))
    assert same.skills.tolist() == [0] * 8
    found = set()
    for step in range(50):
        goals = frames.drawn(batch(), step, GoalsConfig(same=0, others=1))
        found |= set(shown(goals.frames))
        for row, (goal, skills) in enumerate(
            zip(shown(goals.frames), goals.skills.tolist(), strict=True)
        ):
            later = row <= goal <= frames.last[row]
            assert skills == (1 + 0.5 * (goal - row) if later else np.inf)
    assert found == set(range(8))


def test_a_goal_depends_on_sample_and_step_alone(frames: VideoFrames) -> None:
    whole, config = frames.drawn(batch(), 7, GoalsConfig()), GoalsConfig()
    alone = frames.drawn(batch(KEYS[3:4]), 7, config)
    assert torch.equal(alone.frames[0], whole.frames[3])
    assert alone.skills[0] == whole.skills[3]
    assert not np.array_equal(draws_of(KEYS, 1, "goal", 2), draws_of(KEYS, 2, "goal", 2))


def test_of_windows_that_are_not_kept_no_goal_is_known() -> None:
    frames = keep_frames([batch()], TIMES, 6, 64)
    goals = frames.drawn(batch((KEYS[0], KEYS[7], "c-000000")), 0, GoalsConfig())
    assert goals.known.tolist() == [True, False, False]
    assert len(frames.frames) == 6
    with pytest.raises(ConfigError, match="no windows whose later frames"):
        keep_frames([batch(("c-000000",))], TIMES, 6, 64)


def test_large_frames_are_kept_at_the_size_that_models_read() -> None:
    large = batch(KEYS[:2])
    large = Batch(
        large.flow,
        large.first,
        torch.full((2, 3, 128, 128), 7, dtype=torch.uint8),
        large.mask,
        large.text_ids,
        large.keys,
    )
    frames = keep_frames([large], TIMES, 6, 64)
    assert frames.frames.shape == (2, 3, 64, 64)
    assert (frames.frames == 7).all()
