"""Windows as rows: stretches, statistics of flow, which actions stand where."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.export.features import Feature, RowPlan, rows_of
from sofdata.export.rows import Stretch, WindowRow, flow_statistics, joined, stretches
from sofdata.export.timing import rate_of, uneven_rows

STEP_S = 0.125


def window(
    start: int, steps: int = 4, source: str = "a", text: str = "", dx: float = 1.0
) -> WindowRow:
    """A window from a frame on, whose flow in step t of the video is (dx * t, 0)."""
    at = np.arange(start, start + steps)
    flow = np.zeros((steps, 2, 2, 2), np.float32)
    flow[..., 0] = dx * at[:, None, None]
    times_s = np.arange(start * STEP_S, (start + steps) * STEP_S, STEP_S / 2)
    return WindowRow(
        key=f"{source}-{start}",
        source=source,
        number=start,
        text=text,
        pts_s=np.arange(start, start + steps + 1) * STEP_S,
        steps=flow_statistics(flow),
        motion={"active_share": start / 100},
        skill=np.array([start, start + 1]),
        actions=(times_s / STEP_S)[:, None].astype(np.float32),
        action_times_s=times_s,
        first=b"",
    )


def plan(form: str, slots: int = 1) -> RowPlan:
    act = "actions"
    return RowPlan(form, act, None, ("active_share",), ("x",), slots)  # type: ignore[arg-type]


def grouped(windows: list[WindowRow]) -> list[list[int]]:
    return [[each.number for each in stretch.windows] for stretch in stretches(windows)]


def test_windows_that_overlap_or_touch_are_one_stretch_and_a_gap_or_another_video_ends_it() -> None:
    windows = [window(0), window(2), window(6), window(11), window(0, source="b")]
    assert grouped(windows) == [[0, 2, 6], [11], [0]]
    assert grouped([]) == []


def test_statistics_of_a_step_are_mean_vector_and_lengths() -> None:
    flow = np.zeros((1, 1, 2, 2), np.float32)
    flow[0, 0] = [[3, 4], [0, 0]]
    found = flow_statistics(flow)[0]
    np.testing.assert_allclose(found, [1.5, 2, 2.5, 4.95, 5], rtol=1e-5)


def test_statistics_of_several_steps_are_means_and_for_extremes_the_largest() -> None:
    steps = np.array([[1, 2, 3, 4, 5], [3, 2, 1, 0, 9]], np.float32)
    np.testing.assert_array_equal(joined(steps), [2, 2, 2, 4, 9])
    np.testing.assert_array_equal(joined(steps[:0]), np.zeros(5))


def column(stretch: Stretch, chosen: RowPlan, name: str) -> NDArray[np.float64]:
    return np.asarray(rows_of(stretch, chosen).numbers[name])


def test_a_row_a_window_knows_the_flow_before_it_and_that_of_its_own_steps() -> None:
    stretch = Stretch("a", (window(0, text="x"), window(2, text="y"), window(6)))
    rows = rows_of(stretch, plan("windows", slots=8))
    assert rows.times_s.tolist() == [0, 0.25, 0.75]
    assert rows.texts == ("x", "y", "")
    assert column(stretch, plan("windows", 8), "observation.state")[:, 0].tolist() == [0, 0.5, 3.5]
    assert column(stretch, plan("windows", 8), "flow.ahead")[:, 0].tolist() == [1.5, 3.5, 7.5]
    assert rows.numbers["window.number"].tolist() == [0, 2, 6]
    assert rows.numbers["window.step"].tolist() == [0, 0, 0]


def test_a_row_a_frame_knows_the_step_before_it_and_the_one_after_it() -> None:
    stretch = Stretch("a", (window(0), window(2)))
    numbers = rows_of(stretch, plan("videos", slots=2)).numbers
    assert numbers["observation.state"][:, 0].tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert numbers["flow.ahead"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert numbers["window.number"].tolist() == [0, 0, 2, 2, 2, 2, 2]
    assert numbers["window.step"].tolist() == [0, 1, 0, 1, 2, 3, 4]


def test_a_row_a_window_holds_the_actions_of_its_window() -> None:
    stretch = Stretch("a", (window(0), window(2)))
    rows = rows_of(stretch, plan("windows", slots=8))
    assert rows.numbers["action"].tolist() == [
        [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5],
        [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5],
    ]
    assert rows.numbers["given_actions"].tolist() == [8, 8]
    assert rows.beyond == 0


def test_a_row_a_frame_holds_the_actions_up_to_the_next_and_the_last_one_repeats() -> None:
    rows = rows_of(Stretch("a", (window(0, steps=2),)), plan("videos", slots=2))
    assert rows.numbers["action"].tolist() == [[0, 0.5], [1, 1.5], [1.5, 1.5]]
    assert rows.numbers["given_actions"].tolist() == [2, 2, 0]


def test_actions_for_which_a_row_has_no_room_are_counted() -> None:
    rows = rows_of(Stretch("a", (window(0, steps=2),)), plan("videos", slots=1))
    assert rows.numbers["action"].tolist() == [[0], [1], [1.5]]
    assert rows.beyond == 2


def test_one_number_is_a_column_of_numbers_and_several_are_lists_of_one_length() -> None:
    one, two = Feature("int64", ("a",)), Feature("float32", ("a", "b"))
    assert str(one.column(np.array([3, 4])).type) == "int64"
    assert two.column(np.array([[1, 2], [3, 4]])).to_pylist() == [[1, 2], [3, 4]]
    assert str(two.arrow) == "fixed_size_list<item: float>[2]"


def test_rates_are_whole_numbers_and_what_lies_off_them_is_counted() -> None:
    assert [rate_of(each) for each in (0.13, 1 / 6, 0.5, 3.0)] == [8, 6, 2, 1]
    assert uneven_rows(np.array([0, 0.125, 0.25, 0.5]), fps=8) == 1
