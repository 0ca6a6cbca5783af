"""Persistence and the weighted means: by hand, across restarts, and with their constant fitted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.pressed import broken_recording, recording_of
from tools.recordings.opponents import (
    UNFITTED,
    first_value_mean,
    fit_constant,
    persistence,
    rmse,
    weighted_mean,
)
from tools.recordings.origins import find_origins


@given(seed=st.integers(0, 10**6), alpha=st.floats(1e-3, 0.9))
def test_means_and_the_last_value_are_those_of_a_plain_loop(seed: int, alpha: float) -> None:
    r = broken_recording(seed, 150)
    o = find_origins(r)
    last, mean, plain = np.full((3, r.size), np.nan)
    for k in range(r.size):
        if not r.running()[k]:
            continue
        read = o.force[o.start[k] : k + 1]
        read = read[np.isfinite(read)]
        if not read.size:
            continue
        last[k] = read[-1]
        weight = (1.0 - alpha) ** np.arange(read.size)[::-1]
        mean[k] = weight @ read / weight.sum()
        plain[k] = read[0]
        for value in read:
            plain[k] += alpha * (value - plain[k])
    np.testing.assert_array_equal(persistence(o), last)
    np.testing.assert_allclose(weighted_mean(o.force, o, alpha), mean, rtol=1e-9)
    np.testing.assert_allclose(first_value_mean(o.force, o, alpha), plain, rtol=1e-9)


@pytest.mark.parametrize("mean", [weighted_mean, first_value_mean])
def test_nothing_from_before_a_stop_reaches_a_mean_after_it(mean) -> None:
    force = np.r_[np.full(50, 9e3), np.full(50, 5e3)]
    rate = np.full(100, 30.0)
    rate[49] = 0.0
    o = find_origins(recording_of(force, tablet_rate=rate))
    np.testing.assert_allclose(mean(force, o, 0.01)[50:], 5e3, rtol=1e-12)


def test_a_zero_at_the_start_does_not_enter_a_mean() -> None:
    force = np.full(50, 6e3)
    force[0] = 0.0
    o = find_origins(recording_of(force))
    assert np.isnan(weighted_mean(o.force, o, 0.1)[0])
    np.testing.assert_allclose(weighted_mean(o.force, o, 0.1)[1:], 6e3, rtol=1e-12)


def test_the_constant_is_near_the_best_of_a_drifting_level_and_at_the_smallest_miss() -> None:
    """A random walk (sd 10) read with noise (sd 50): the steady Kalman gain is 0.181."""
    rng = np.random.default_rng(3)
    force = 6e3 + np.cumsum(10.0 * rng.standard_normal(20000)) + 50.0 * rng.standard_normal(20000)
    o = find_origins(recording_of(force))
    alpha = fit_constant(weighted_mean, o, np.ones(force.size, dtype=bool))
    assert alpha == pytest.approx(0.181, abs=0.02)

    def miss(a: float) -> float:
        return rmse((o.truth() - weighted_mean(force, o, a))[o.scored])

    assert miss(alpha) <= min(miss(0.97 * alpha), miss(1.03 * alpha)) + 1e-3


def test_what_happens_within_two_minutes_of_a_start_does_not_enter_the_constant() -> None:
    rng = np.random.default_rng(4)
    force = 6e3 + np.cumsum(20.0 * rng.standard_normal(4000)) + 50.0 * rng.standard_normal(4000)
    rate = np.full(force.size, 30.0)
    rate[::100] = 0.0
    o = find_origins(recording_of(force, tablet_rate=rate))
    early = np.flatnonzero(o.all & ~o.scored)
    assert early.size > 300
    spoiled = replace(o, target=o.target.copy())
    spoiled.target[early] = early
    every = np.ones(force.size, dtype=bool)
    assert fit_constant(weighted_mean, spoiled, every) == fit_constant(weighted_mean, o, every)


def test_without_earlier_origins_the_constant_is_not_fitted() -> None:
    o = find_origins(recording_of(np.full(100, 6e3)))
    assert fit_constant(weighted_mean, o, np.zeros(100, dtype=bool)) == UNFITTED


def test_rmse_leaves_out_what_is_missing() -> None:
    assert rmse(np.array([3.0, np.nan, -3.0])) == 3.0
    assert np.isnan(rmse(np.array([np.nan])))
