"""Checks of signals: one reading says why it is refused, a series which of its rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.signal_checks import (
    backward,
    beyond,
    frozen,
    gaps,
    jump,
    late,
    not_newer,
    out_of_range,
    repeated_times,
    repeats,
    same_readings,
    stuck,
)

NAN = math.nan


def _rows(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_age_is_counted_both_ways() -> None:
    assert late(100.0, 95.0, 5.0, 1.0) == ""
    assert late(100.0, 94.0, 5.0, 1.0) == "6 s old"
    assert late(100.0, 103.0, 5.0, 1.0) == "3 s in the future"


def test_a_reading_is_new_when_its_time_moved() -> None:
    assert not_newer(2.0, 1.0) == ""
    assert not_newer(1.0, 1.0) == "no new reading"


@pytest.mark.parametrize("value", [0.9, 3.1, NAN, math.inf, -math.inf])
def test_what_lies_outside_its_range_or_is_no_number_is_refused(value: float) -> None:
    assert out_of_range(value, 1.0, 3.0) == "outside 1..3"
    assert out_of_range(2.0, 1.0, 3.0) == ""


def test_the_nth_same_reading_is_stuck_and_zero_allows_any() -> None:
    count = 1
    for _ in range(3):
        count = same_readings(4.0, 4.0, count)
    assert count == 4
    assert stuck(count, 4) == "frozen for 4 readings"
    assert stuck(count, 5) == stuck(count, 0) == ""
    assert same_readings(4.1, 4.0, count) == 1


def test_a_jump_is_a_spike_from_the_median_or_too_steep() -> None:
    recent = (5.0, 5.2, 5.1)
    assert jump(5.3, 10.0, recent, spike=1.0, rate=0.1) == ""
    assert jump(6.3, 10.0, recent, spike=1.0, rate=1.0) == "spike: 1.2 from the median 5.1"
    assert jump(5.5, 2.0, recent, spike=1.0, rate=0.1) == "slope above 0.1 per second"
    assert jump(500.0, 1.0, (), spike=1.0, rate=0.1) == ""


def test_rows_beyond_a_range_are_marked_and_missing_ones_are_not() -> None:
    marked = beyond(_rows(-1.0, 0.0, NAN, 2.0, 3.0, math.inf), 0.0, 2.0)
    assert marked.tolist() == [True, False, False, False, True, True]
    assert beyond(_rows(math.inf), -math.inf, math.inf).tolist() == [True]


def test_runs_of_the_same_reading_end_at_gaps_and_missing_numbers() -> None:
    values = _rows(1, 1, 1, NAN, 1, 1, 2)
    assert repeats(values).tolist() == [3, 3, 3, 0, 2, 2, 1]
    joined = np.array([False, True, False, True, True, True, True])
    assert repeats(values, joined).tolist() == [2, 2, 1, 0, 2, 2, 1]


def test_only_counted_rows_make_a_run_long_but_all_rows_join_it() -> None:
    counted = np.array([True, True, False, False, True, True])
    assert repeats(_rows(7, 7, 7, 7, 7, 8), None, counted).tolist() == [3, 3, 3, 3, 3, 1]
    marked = frozen(_rows(7, 7, 7, 7, 7, 8), 3, None, counted)
    assert marked.tolist() == [False, True, True, True, True, False]


def test_rows_are_frozen_when_all_their_series_are() -> None:
    table = np.column_stack([_rows(1, 1, 1, 1), _rows(2, 2, 2, 3), _rows(NAN, NAN, NAN, NAN)])
    assert frozen(table, 3).tolist() == [False, True, True, False]
    assert frozen(table, 4).tolist() == [False] * 4


def test_an_empty_series_has_nothing_to_mark() -> None:
    none = np.zeros(0)
    for marked in (frozen(none, 3), repeats(none), backward(none), repeated_times(none)):
        assert marked.tolist() == []
    assert gaps(none, 10.0).tolist() == beyond(none, 0.0, 1.0).tolist() == []


def test_times_that_go_back_repeat_or_leave_a_gap() -> None:
    assert backward(_rows(0, 10, 5, 20)).tolist() == [False, False, True, False]
    assert repeated_times(_rows(0, 10, 10, 20)).tolist() == [False, True, True, False]
    assert gaps(_rows(0, 10, 24, 40), 10.0).tolist() == [False, False, False, True]


@given(st.lists(st.sampled_from([0.0, 1.0, NAN]), max_size=40), st.integers(1, 6))
def test_series_and_readings_agree_on_what_is_frozen(values: list[float], limit: int) -> None:
    """The live check says so from the ``limit``-th reading on, the series for all but the first."""
    marked = frozen(_rows(*values), limit)
    before, count = NAN, 1
    for i, value in enumerate(values):
        count = same_readings(value, before, count)
        before = value
        if not math.isnan(value) and count > 1 and stuck(count, limit):
            assert marked[i]
    lengths = repeats(_rows(*values))
    assert all(lengths[i] >= limit for i in np.flatnonzero(marked))
