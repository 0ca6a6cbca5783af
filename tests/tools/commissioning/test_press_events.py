"""Which moves of a recording are taken, and which are the loop's own."""

from dataclasses import replace

import numpy as np
import pytest

from plant_models.recording import Recording
from tests.tools.commissioning.synthetic import CELL, FILL, WALK, Press, recorded
from tools.commissioning.press_events import Kind, Steps, find_steps, tracks

BATCHES = ("b0", "b1", "b2", "b3")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recorded(CELL, 1, wait=5)


def counts(steps: Steps) -> list[int]:
    return np.bincount(steps.kind, minlength=3).tolist()


def test_every_kind_of_move_is_found_and_nothing_else(recording: Recording) -> None:
    steps, _ = find_steps(recording, BATCHES)
    # Five settings by hand make four steps; eight moves on the loop, each waited for.
    assert counts(steps) == [4 * 4, 8 * 4, 8 * 4]
    assert [b for b in BATCHES if b in steps.batch] == list(BATCHES)


def test_means_are_those_of_the_rows_before_and_after(recording: Recording) -> None:
    steps, _ = find_steps(recording, BATCHES)
    answers = steps.only(steps.kind == Kind.ANSWER)
    c = recording.channels
    for i, at in enumerate(answers.at):
        assert c["thickness"][at] != c["thickness"][at - 1]
        before = slice(at - 36, at)
        assert answers.rows[i].tolist() == [36, 36]
        assert answers.fill[i, 0] == pytest.approx(c["fill_depth"][before].mean())
        after = slice(at + 6, at + 42)
        assert answers.force[i, 1] == pytest.approx(c["main_force"][after].mean())
        assert answers.band[i].tolist() == pytest.approx(c["thickness"][[at - 1, at]].tolist())


def test_a_waiting_loop_makes_no_move_of_the_fill_depth(recording: Recording) -> None:
    steps, _ = find_steps(recording, BATCHES)
    waits = steps.only(steps.kind == Kind.WAITING)
    assert np.all(np.diff(waits.fill, axis=1) == 0.0)
    assert np.all(np.diff(waits.band, axis=1) != 0.0)
    # The force answers at once: against the band.
    against = np.diff(waits.force, axis=1)[:, 0] * np.diff(waits.band, axis=1)[:, 0]
    assert np.mean(against < 0.0) > 0.9


def test_settings_by_hand_leave_out_the_first_row_after_a_start(recording: Recording) -> None:
    steps, _ = find_steps(recording, ("b2",))
    hand = steps.only(steps.kind == Kind.HAND)
    assert counts(steps) == [4, 8, 8]
    assert hand.rows[0].tolist() == [4, 4]  # of runs of five
    assert np.all(np.abs(hand.fill - FILL) < 2e-3)


def test_what_nobody_moved_tells_the_powders_walk(recording: Recording) -> None:
    _, quiet = find_steps(recording, BATCHES)
    assert quiet.pairs == 4 * 9  # a move every 15 min leaves room for two windows, 1 min apart
    press = Press(CELL, 5)
    press.produce("b0", 0, rows=6000)
    _, quiet = find_steps(press.recording(), ("b0",))
    assert quiet.pairs > 100
    # Means over 360 s, 420 s apart, of a random walk: its variance over 60 + 2/3 360 s.
    assert quiet.walk_of("b0") == pytest.approx(WALK * np.sqrt(300.0), rel=0.3)
    assert quiet.span == 420.0


def test_missing_rows_and_stops_end_a_run_and_the_move_across_them_is_not_used(
    recording: Recording,
) -> None:
    force = recording.channels["main_force"].copy()
    steps, _ = find_steps(recording, BATCHES)
    at = int(steps.at[steps.kind == Kind.ANSWER][3])
    force[at + 1] = np.nan
    broken = replace(recording, channels={**recording.channels, "main_force": force})
    fewer, _ = find_steps(broken, BATCHES)
    assert counts(fewer) == [16, 31, 31]
    assert at not in fewer.at
    assert len(list(tracks(broken, BATCHES))) == len(list(tracks(recording, BATCHES))) + 1


def test_without_batches_or_without_moves_there_are_no_steps(recording: Recording) -> None:
    none, quiet = find_steps(recording, ())
    assert (none.size, quiet.pairs, none.fill.shape) == (0, 0, (0, 2))
    still = recorded(CELL, 2, batches=2, settings=0, moves=0)
    steps, _ = find_steps(still, still.batches())
    assert steps.size == 0
