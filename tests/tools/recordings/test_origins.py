"""Origins by their definition, row by row, against those found for all rows at once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plant_models.recording import Recording
from tests.helpers.pressed import broken_recording, recording_of
from tools.recordings.origins import SUBSETS, Origins, find_origins


def _start(r: Recording, k: int) -> int:
    running = r.running()
    while (
        running[k]
        and k > 0
        and running[k - 1]
        and r.batch[k - 1] == r.batch[k]
        and abs(r.time[k] - r.time[k - 1] - 10.0) < 0.5
    ):
        k -= 1
    return k


def _target(r: Recording, k: int) -> int:
    force, running = r.channels["main_force"], r.running()
    for j in range(k + 1, r.size):
        if abs(r.time[j] - r.time[k] - 60.0) < 0.5 and r.batch[j] == r.batch[k]:
            return j if running[j] and force[j] > 0.0 else -1
    return -1


def _changed(values: np.ndarray, start: int, k: int) -> bool:
    held, seen = np.nan, []
    for j in range(start, k + 1):
        held = values[j] if np.isfinite(values[j]) else held
        seen.append(held)
    return any(abs(b - a) > 1e-9 for a, b in pairwise(seen[-13:]))


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 160))
def test_every_row_is_what_the_definitions_make_of_it(seed: int, rows: int) -> None:
    r = broken_recording(seed, rows)
    found = find_origins(r)
    force, fill = r.channels["main_force"], r.channels["fill_depth"]
    for k in range(rows):
        start, target = _start(r, k), _target(r, k)
        read = any(force[j] > 0.0 for j in range(start, k + 1))
        origin = bool(r.running()[k] and target >= 0 and read)
        first = max(start, k - 12)
        net = bool(abs(fill[k] - fill[first]) > 0.05e-3 + 1e-9)
        thickness = _changed(r.channels["thickness"], start, k)
        speed = _changed(r.channels["tablet_rate"], start, k)
        assert found.start[k] == start
        assert found.target[k] == target
        assert found.all[k] == origin
        assert found.scored[k] == (origin and k - start >= 12)
        assert found.restart[k] == (origin and r.time[k] - r.time[start] < 299.5)
        assert found.subsets["thickness"][k] == thickness
        assert found.subsets["speed"][k] == speed
        assert found.subsets["fill"][k] == net
        assert found.subsets["changed"][k] == (thickness or speed or net)


def _steady(n: int = 40) -> Origins:
    return find_origins(recording_of(np.full(n, 6e3)))


def test_a_steady_series_is_scored_from_the_thirteenth_row_to_the_seventh_last() -> None:
    found = _steady()
    assert np.flatnonzero(found.all).tolist() == list(range(34))
    assert np.flatnonzero(found.scored).tolist() == list(range(12, 34))
    assert np.flatnonzero(found.restart).tolist() == list(range(30))
    assert not any(found.subsets[name].any() for name in SUBSETS)


def test_a_force_of_zero_is_neither_a_target_nor_a_reading() -> None:
    force = np.full(40, 6e3)
    force[[0, 20]] = 0.0
    found = find_origins(recording_of(force))
    assert not found.all[0]
    assert not found.all[14]
    assert np.isnan(found.truth()[14])
    assert found.all[[1, 13, 15, 20]].all()


def test_a_target_behind_a_stop_counts_if_the_press_runs_again() -> None:
    rate = np.full(40, 30.0)
    rate[22:25] = 0.0
    found = find_origins(recording_of(np.full(40, 6e3), tablet_rate=rate))
    assert found.scored[[20, 21]].all()
    assert not found.all[16:19].any()
    assert found.start[30] == 25


def test_net_movement_of_exactly_the_limit_is_not_more_than_it() -> None:
    fill = np.full(60, 6e-3)
    fill[20:] += 0.05e-3
    fill[40:] += 0.06e-3
    found = find_origins(recording_of(np.full(60, 6e3), fill_depth=fill))
    assert np.flatnonzero(found.subsets["fill"]).tolist() == list(range(40, 52))


def test_a_recording_without_rows_has_no_origins() -> None:
    empty = recording_of(np.empty(0))
    assert find_origins(replace(empty, batch=())).all.size == 0
