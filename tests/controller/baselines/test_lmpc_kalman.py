"""The filter: exact with late values, best for Gaussian noise, not drawn off by gross errors."""

from dataclasses import replace

import numpy as np
import pytest

from controller.baselines.kalman import Belief, FilterNoise, KalmanFilter, KalmanState
from controller.baselines.lmpc_model import DISTURBANCES, LinearTwin
from controller.data import Array
from controller.estimation.window import MEASURED, Window, selection
from tests.controller.baselines.lmpc_kit import brain, disturbed

SAMPLES, DELAY = 90, 2
LATE = 24  # samples until the laboratory answers


def _noise(model: LinearTwin, gate: float = 1e6) -> FilterNoise:
    walk = np.zeros(model.size)
    for name, sd in (("specific_volume", 8e-4), ("pressure_scale", 5e-4), ("potency_bias", 3e-4)):
        walk[model.nx + DISTURBANCES.index(name)] = sd**2
    walk[model.content] = 4e-4**2
    sigma = np.array([0.01, 0.008, 0.006, 0.02, 0.004, 0.013, 4e-6])
    play = model.nx + DISTURBANCES.index("thickness_offset")
    return FilterNoise(sigma=sigma, walk=walk, lot=np.zeros(model.size), play=play, gate=gate)


def _prior(model: LinearTwin) -> Belief:
    sd = np.zeros(model.size)
    sd[model.content] = 0.02
    for name in ("specific_volume", "pressure_scale", "strength", "potency_bias"):
        sd[model.nx + DISTURBANCES.index(name)] = 0.05
    return Belief(np.zeros(model.size), np.diag(sd**2))


def _data(model: LinearTwin, seed: int) -> tuple[Window, Array]:
    """A window of the linear line and the truth of ``z`` after each sample; lab every 20th."""
    rng, noise, prior = np.random.default_rng(seed), _noise(model), _prior(model)
    z = np.sqrt(np.diag(prior.cov)) * rng.standard_normal(model.size)
    pick = selection(True)
    window, truth = Window.empty(), []
    for k in range(SAMPLES):
        z = model.f @ z + np.sqrt(noise.walk) * rng.standard_normal(model.size)
        values = pick @ model.outputs(z, model.v0) + noise.sigma * rng.standard_normal(7)
        weights = np.ones(7)
        if k % 20:
            weights[4:] = 0.0
        window = window.append(5.0 * (k + 1), model.v0, values, weights, 0.0, 0.0)
        truth.append(z)
    return window, np.array(truth)


def _in_order(f: KalmanFilter, window: Window) -> Belief:
    belief = _prior(f.model)
    for k in range(window.size):
        belief, _ = f.sample(belief, window, k)
    return belief


def _as_it_came(f: KalmanFilter, window: Window, delay: int, late: int) -> KalmanState:
    """The same data, spectra ``delay`` samples late, the laboratory ``late``."""
    state = f.begin(_prior(f.model))
    spectra, lab = MEASURED.index("potency"), slice(4, 7)
    dropped = 0
    for k in range(window.size):
        weights = window.weights[:, k].copy()
        weights[spectra] = 0.0
        weights[lab] = 0.0
        now = state.window.append(
            window.times[k], window.inputs[:, k], window.values[:, k], weights, 0.0, 0.0
        )
        oldest = now.size - 1
        for row, lag in [(spectra, delay), *[(r, late) for r in range(4, 7)]]:
            at = k - lag - dropped
            if at >= 0 and window.weights[row, k - lag] > 0.0:
                now = now.place(at, MEASURED[row], window.values[row, k - lag], 1.0)
                oldest = min(oldest, at)
        state = f.advance(state, now, oldest)
        dropped = k + 1 - state.window.size
    return state


@pytest.mark.parametrize("history", [40, 200])
def test_late_values_give_what_values_in_time_would_have_given(history: int) -> None:
    model = brain().model
    f = KalmanFilter(model, _noise(model), True, DELAY, history)
    window, _ = _data(model, 1)
    state = _as_it_came(f, window, DELAY, LATE)
    seen = replace(window, weights=window.weights.copy())
    seen.weights[MEASURED.index("potency"), -DELAY:] = 0.0  # not there yet
    seen.weights[4:, -LATE:] = 0.0
    wanted = _in_order(f, seen)
    scale = np.sqrt(np.diag(wanted.cov)) + 1e-12
    np.testing.assert_allclose(state.now.mean / scale, wanted.mean / scale, atol=1e-6)
    np.testing.assert_allclose(state.now.cov, wanted.cov, rtol=1e-6, atol=1e-16)


def test_the_filter_is_the_least_squares_solution() -> None:
    """Against the batch problem in all states and noises at once."""
    model = brain().model
    f = KalmanFilter(model, _noise(model), True, DELAY, 200)
    window, _ = _data(model, 2)
    n = 25
    prior, noise, pick = _prior(model), _noise(model), selection(True)
    h = pick @ model.h
    free = np.flatnonzero(np.diag(prior.cov) > 0.0)
    walking = np.flatnonzero(noise.walk > 0.0)
    size = free.size + n * walking.size
    sens = np.zeros((model.size, size))
    sens[free, np.arange(free.size)] = np.sqrt(np.diag(prior.cov)[free])
    rows, res = [np.eye(size)], [np.zeros(size)]
    for k in range(n):
        sens = model.f @ sens
        at = free.size + k * walking.size + np.arange(walking.size)
        sens[walking, at] += np.sqrt(noise.walk[walking])
        used = window.weights[:, k] > 0.0
        sigma = noise.sigma[used]
        rows.append(h[used] @ sens / sigma[:, None])
        res.append((window.values[used, k] - (pick @ model.y0)[used]) / sigma)
    best, *_ = np.linalg.lstsq(np.vstack(rows), np.concatenate(res), rcond=None)
    belief = prior
    for k in range(n):
        belief, _ = f.sample(belief, window, k)
    scale = np.sqrt(np.diag(belief.cov)) + 1e-12
    np.testing.assert_allclose(belief.mean / scale, sens @ best / scale, atol=1e-5)


def test_errors_are_as_large_as_the_filter_says() -> None:
    """Normalised errors squared over twenty lines: chi-square, mean 1."""
    model = brain().model
    f = KalmanFilter(model, _noise(model), True, DELAY, 200)
    ratios = []
    for seed in range(20):
        window, truth = _data(model, 100 + seed)
        belief = _in_order(f, window)
        at = [model.nx + DISTURBANCES.index(n) for n in ("specific_volume", "potency_bias")]
        error = belief.mean[at] - truth[-1][at]
        ratios.append(error**2 / np.diag(belief.cov)[at])
    assert 0.6 < float(np.mean(ratios)) < 1.5


def test_a_gross_error_moves_the_estimate_no_further_than_the_gate_lets_it() -> None:
    model = brain().model
    window, _ = _data(model, 3)
    column = MEASURED.index("press")
    at = model.nx + DISTURBANCES.index("specific_volume")

    def moved(error: float, gate: float) -> float:
        f = KalmanFilter(model, _noise(model, gate), True, DELAY, 200)
        spoilt = replace(window, values=window.values.copy())
        spoilt.values[column, -1] += error
        return float(_in_order(f, spoilt).mean[at] - _in_order(f, window).mean[at])

    assert moved(0.2, 1e6) > 10.0 * abs(moved(0.2, 3.0))
    assert abs(moved(0.2, 3.0)) > 0.0


def test_nothing_measured_widens_what_is_believed() -> None:
    model = brain().model
    f = KalmanFilter(model, _noise(model), True, DELAY, 200)
    window, _ = _data(model, 4)
    belief = _in_order(f, window)
    blind = replace(window, weights=np.zeros_like(window.weights))
    after, surprise = f.sample(belief, blind, 0)
    at = model.nx + DISTURBANCES.index("specific_volume")
    assert after.cov[at, at] > belief.cov[at, at]
    assert not np.any(surprise)


def test_the_operating_point_is_where_the_filter_stays_without_surprises() -> None:
    model = brain().model
    f = KalmanFilter(model, _noise(model), True, DELAY, 200)
    values = selection(True) @ model.outputs(disturbed(model), model.v0)
    window = Window.empty()
    for k in range(30):
        window = window.append(5.0 * (k + 1), model.v0, values, np.ones(7), 0.0, 0.0)
    np.testing.assert_allclose(_in_order(f, window).mean, 0.0, atol=1e-9)
