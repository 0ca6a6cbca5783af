"""Playing in process: which rows, what is kept, what a comparison over the link lets through."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.cycle_data import initial_state
from controller.records.state_file import load_state, resumed
from hil.recorded import RecordedPlant
from tests.helpers.playing import played
from tests.helpers.pressed import recording_of
from tools.demo.recorded import PreparedRecording, tail_rows
from tools.demo.recorded_cycles import only_batches, play_in_process
from tools.demo.recorded_result import plain
from tools.recordings.thoughts import TOLERANCE, Thoughts, compare

SAVED_BEFORE = 300


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "press.state"


@pytest.fixture(scope="module")
def thoughts(prepared: PreparedRecording, state_file: Path) -> Thoughts:
    told: list[int] = []
    found = play_in_process(
        prepared.scored,
        prepared.monitor.line,
        prepared.setup,
        save_before=SAVED_BEFORE,
        state_file=state_file,
        tick=told.append,
    )
    assert told[-1] == prepared.scored.size and told == sorted(told)
    return found


def changed(thoughts: Thoughts, name: str, factor: float) -> Thoughts:
    return replace(thoughts, **{name: getattr(thoughts, name) * factor})


def test_a_running_press_is_forecast_and_a_standing_one_is_not(
    prepared: PreparedRecording, thoughts: Thoughts
) -> None:
    running = prepared.scored.running()
    known = np.isfinite(thoughts.mean[:, -1])
    assert not known[~running].any()
    assert known[running].mean() > 0.95
    assert thoughts.times.tolist() == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert np.nanmedian(thoughts.mean) == pytest.approx(7000.0, rel=0.1)
    assert (thoughts.half[known] > 0.0).all()
    weight, half = thoughts.weight[known].T
    assert np.median(weight) == pytest.approx(prepared.loaded.tooling.weight, rel=0.1)
    assert (half > 0.0).all() and (half < 0.2 * weight).mean() > 0.9


def test_going_on_from_the_saved_memory_thinks_the_same(
    prepared: PreparedRecording, thoughts: Thoughts, state_file: Path
) -> None:
    setup, scored = prepared.setup, prepared.scored
    state = resumed(initial_state(setup, epoch=7), load_state(state_file, setup))
    plant = RecordedPlant(prepared.monitor.line, scored, first_row=SAVED_BEFORE)
    rest = scored.size - SAVED_BEFORE
    records = [output.record for output in played(plant, setup, state, rest)]
    again = Thoughts.of(records, thoughts.last(rest).time, thoughts.times)
    found = compare(thoughts.last(rest), again)
    assert found.agrees and found.largest_relative == 0.0
    assert found.forecasts > 100 and found.rows == rest
    assert found.numbers > 18 * found.forecasts


@pytest.mark.parametrize("name", ["free", "mean", "half", "volume", "fill", "force", "weight"])
def test_the_comparison_sees_a_difference_anywhere(name: str, thoughts: Thoughts) -> None:
    assert compare(thoughts, changed(thoughts, name, 1.0 + 0.1 * TOLERANCE)).agrees
    apart = compare(thoughts, changed(thoughts, name, 1.0 + 10.0 * TOLERANCE))
    assert not apart.agrees
    assert apart.largest_relative == pytest.approx(10.0 * TOLERANCE, rel=1e-3)
    assert (apart.largest_N > 0.0) == (name in ("free", "mean", "half"))


def test_the_comparison_sees_what_is_missing_on_one_side(thoughts: Thoughts) -> None:
    nothing = Thoughts.empty(thoughts.time, thoughts.times)
    for a, b in ((thoughts, nothing), (nothing, thoughts)):
        found = compare(a, b)
        assert not found.agrees and found.unmatched > 0 and found.forecasts == 0
    assert compare(nothing, nothing).agrees


def test_a_row_read_twice_counts_once_and_rows_of_others_not_at_all(
    prepared: PreparedRecording, thoughts: Thoughts
) -> None:
    plant = RecordedPlant(prepared.monitor.line, prepared.scored)
    setup = prepared.setup
    records = [o.record for o in played(plant, setup, initial_state(setup, 1), 120)]
    blank = [replace(r, estimate=None, forecast=None) for r in records]
    mixed = [r for pair in zip(records, blank, strict=True) for r in pair]
    made = Thoughts.of(mixed, thoughts.time[:100], thoughts.times)
    np.testing.assert_array_equal(made.mean, thoughts.mean[:100])


# Which rows


def series(*batches: str) -> object:
    n = len(batches)
    return recording_of(np.full(n, 6e3), batch=batches, fill_depth=np.arange(n) * 1e-3)


def test_only_the_rows_of_the_wanted_batches_are_kept_in_their_order() -> None:
    kept = only_batches(series("A", "B", "A", "C"), ("B", "A"))
    assert kept.batch == ("A", "B", "A")
    assert kept.channels["fill_depth"].tolist() == [0.0, 1e-3, 2e-3]
    assert kept.time.tolist() == [1e9, 1e9 + 10.0, 1e9 + 20.0]


def test_the_last_minutes_are_rows_of_scored_batches_only() -> None:
    rows = series(*["A"] * 20, *["B"] * 30)
    assert tail_rows(rows, ("B",), 2.0) == (12, "")
    few, note = tail_rows(rows, ("B",), 60.0)
    assert few == 30 and "360 rows" in note and "30" in note
    torn = series(*["A"] * 20, *["B"] * 10, "A", *["B"] * 5)
    few, note = tail_rows(torn, ("B",), 2.0)
    assert few == 5 and "12 rows" in note


def test_a_file_that_ends_with_a_fitted_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="batch A belongs to the first half"):
        tail_rows(series("A", "A", "B", "B", "A"), ("B",), 1.0)


def test_json_knows_no_nan() -> None:
    found = plain({1: (np.float64("nan"), np.float64(2.0)), "a": np.array([1.0, np.inf])})
    assert found == {"1": [None, 2.0], "a": [1.0, None]}
