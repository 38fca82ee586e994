"""When the steps of an episode were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import TimedText
from tests import rlds_files as made
from tests.corpora.sequences.rlds.listings import demonstrated, listed
from tests.helpers import ingest
from tests.sequences import encoded, samples


def test_stated_times_count_more_than_a_rate(tmp_path: Path) -> None:
    features = made.steps_of(
        observation=made.dictionary(image=made.image()), timestamp=made.tensor(dtype="float64")
    )
    times = np.array([*np.arange(10) / 20, *(2 + np.arange(10) / 20)])
    record = {
        **made.flags(20),
        "steps/observation/image": [encoded(number) for number in range(20)],
        "steps/timestamp": times + 5,
    }
    made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
    ingest(tmp_path / "s", tmp_path / "d", "windows.length=4", "flow.step_s=0.05", "flow.size=96")
    ends = sorted((s.record.start_s, s.record.end_s) for s in samples(tmp_path / "d"))
    assert ends[0] == pytest.approx((0, 0.2))
    assert not [one for one in ends if one[0] < 1 < one[1]]
    (note,) = [note for note in listed(tmp_path / "s", None).notes if "timestamp" in note]
    assert "20 steps a second" in note


def test_times_that_do_not_increase(tmp_path: Path) -> None:
    """A feature that was never filled is no clock: a rate counts, if there is one."""
    features = made.steps_of(image=made.image(), timestamp=made.tensor())
    record = {
        **made.flags(4),
        "steps/image": [encoded(n) for n in range(4)],
        "steps/timestamp": np.zeros(4),
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path, fps=None).entries
    assert entry.problem == "no_times"
    assert "sequences.fps" in entry.detail
    listing = listed(tmp_path, fps=8)
    assert listing.entries[0].span_s == pytest.approx((0, 0.5))
    assert any("times that are no use" in note for note in listing.notes)


def test_times_that_go_back(tmp_path: Path) -> None:
    features = made.steps_of(image=made.image(), timestamp=made.tensor())
    record = {
        **made.flags(4),
        "steps/image": [encoded(n) for n in range(4)],
        "steps/timestamp": np.array([0.0, -5, -4, -3]),
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path, fps=None).entries
    assert entry.problem == "no_times"


def test_a_rate_is_needed(source: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequences\.fps=5"):
        listed(source, fps=None)


def test_a_feature_of_times_that_is_none(source: Path) -> None:
    with pytest.raises(ConfigError, match="no such feature"):
        listed(source, times="steps/clock")


def test_a_feature_of_times_that_the_user_names(tmp_path: Path) -> None:
    features = made.steps_of(image=made.image(), clock_s=made.tensor())
    record = {
        **made.flags(4),
        "steps/image": [encoded(n) for n in range(4)],
        "steps/clock_s": np.arange(4) / 2,
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path, fps=None, times="steps/clock_s").entries
    assert entry.span_s == (0, 2)


def timed(times: Sequence[float], name: str = "timestamp", dtype: str = "float64") -> Any:
    """Features and a record of as many steps: pictures, an action, and these times."""
    count = len(times)
    features = made.steps_of(
        image=made.image(),
        action=made.tensor(1),
        language_instruction=made.text(),
        **{name: made.tensor(dtype=dtype)},
    )
    record = {
        **made.flags(count),
        "steps/image": [encoded(number) for number in range(count)],
        "steps/action": np.arange(float(count)),
        "steps/language_instruction": ["open it"] * count,
        f"steps/{name}": np.array(times),
    }
    return features, record


def test_floats_that_can_be_no_seconds_want_their_unit_or_a_rate(tmp_path: Path) -> None:
    for name in ("timestamp", "timestamp_ms"):
        features, record = timed([0.0, 100, 200, 300], name)
        made.write_dataset(tmp_path / name, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path / "timestamp", fps=None).entries
    assert entry.problem == "no_times"
    assert "unit that is known" in entry.detail
    (entry,) = listed(tmp_path / "timestamp_ms", fps=None).entries
    assert entry.span_s == (0, 0.4)


def test_texts_change_at_times_that_go_back(tmp_path: Path) -> None:
    """The time of a step that goes back is that of the one before; it has no picture."""
    features, record = timed([0.0, 0.5, 1, -3, 1.5, 2, 2.5])
    record["steps/language_instruction"] = ["open it"] * 3 + ["close it"] * 4
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    (entry,) = listed(tmp_path, fps=None).entries
    assert entry.span_s == (0.0, 3.0)
    assert entry.annotations.texts == (
        TimedText(0.0, 1.0, "open it"),
        TimedText(1.0, 3.0, "close it"),
    )


def test_what_has_no_time_of_its_own_has_no_action(tmp_path: Path) -> None:
    features, record = timed([0.0, 0.1, 0.1, 0.2, 0.3])
    made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
    listing = demonstrated(tmp_path / "s", fps=None)
    (entry,) = listing.entries
    assert entry.actions is not None
    assert listing.actions is not None
    track = Rlds().read_actions(Tree(str(tmp_path / "s")), entry.actions, listing.actions)
    assert track.values[:, 0].tolist() == [0, 1, 3]
    assert track.times_s.tolist() == pytest.approx([0, 0.1, 0.2])


def test_each_episode_of_a_record_may_have_a_clock_of_its_own(tmp_path: Path) -> None:
    features, record = timed([*np.arange(6) / 10, *np.arange(4) / 10])
    record["steps/is_first"] = np.isin(np.arange(10), [0, 6]).astype(int)
    record["steps/language_instruction"] = ["open it"] * 8 + ["close it"] * 2
    made.write_dataset(tmp_path / "s", {"train": [[record]]}, features)
    listing = demonstrated(tmp_path / "s", fps=None)
    first, second = listing.entries
    assert [entry.span_s for entry in (first, second)] == [(0, 0.6), (0, 0.4)]
    assert second.annotations.texts == (
        TimedText(0.0, 0.2, "open it"),
        TimedText(0.2, 0.4, "close it"),
    )
    assert second.actions is not None
    assert listing.actions is not None
    track = Rlds().read_actions(Tree(str(tmp_path / "s")), second.actions, listing.actions)
    assert track.values[:, 0].tolist() == [6, 7, 8]
    assert track.times_s.tolist() == pytest.approx([0, 0.1, 0.2])
