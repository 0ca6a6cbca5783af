"""The arrival cost: a short window with it knows what one long window would know, no more, no less.

With quadratic losses and noise so small that the twin is linear, a short moving window and the
whole record in one window are the same problem, so their results must agree to rounding. All
states that can be uncertain are estimated here (`_everything_free`). The configured estimator takes
the lubrication's states as known, which is not exact: the last test bounds what that costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from controller.data import Array
from controller.estimation.arrival import advance, predict
from controller.estimation.estimator import LineEstimator
from controller.estimation.mhe import Arrival, MheProblem, MheSolution, solve
from controller.estimation.window import Window
from controller.twin.core import PARAMETERS
from plant_models.variables import Structure
from tests.controller.twin_data import COUNT, TwinLine, at, estimator, gaussian, prior

SMALL = 1e-4  # of the configured noise and priors: the twin is linear over that
LONG, SHORT = 36, 12


def _everything_free(problem: MheProblem, first: Arrival) -> tuple[MheProblem, Arrival]:
    """All states free that matter and are not 0; extents uncertain by ``SMALL`` revolutions."""
    names = problem.twin.state_names
    free = np.array([i for i, n in enumerate(names) if ".lot" not in n and ".lubricant" not in n])
    place = [int(np.flatnonzero(free == i)[0]) for i in problem.free]
    place += range(free.size, free.size + COUNT)
    cov = np.diag(np.full(free.size + COUNT, SMALL**2))
    cov[np.ix_(place, place)] = first.cov
    return replace(problem, free=free), replace(first, cov=cov)


def _end(problem: MheProblem, s: MheSolution) -> Array:
    return np.concatenate((s.x[problem.free, -1], s.p[:COUNT, -1]))


def _moving(
    e: LineEstimator, problem: MheProblem, first: Arrival, data: Window, samples: int = SHORT
) -> tuple[MheSolution, Arrival]:
    """Estimate ``data`` sample by sample with a window of ``samples``."""
    window, arrival, last = Window.empty(), first, None
    for k in range(data.size):
        window = window.append(
            float(data.times[k]),
            data.inputs[:, k],
            data.values[:, k],
            data.weights[:, k],
            float(data.boost[k]),
            float(data.moved[k]),
        )
        if last is None:
            x0, p = arrival.x, arrival.p[:, None]
        else:
            x0, p = last.x0, np.column_stack((last.p, last.p[:, -1]))
            if window.size > samples:
                arrival = advance(problem, e.one_stage, arrival, window, replace(last, p=p))
                x0, p, window = last.x[:, 0].copy(), p[:, 1:], window.drop_first()
        last = solve(problem, window, arrival, x0, p, 2)
    assert last is not None
    return last, arrival


def _both(
    e: LineEstimator,
    change: Callable[[Window], Window],
    drop: float = 0.0,
    everything: bool = True,
) -> tuple[Array, Array]:
    """Difference of the means in SD, and ratio of the SD, of short window to whole record."""
    problem, first = gaussian(e.problem, SMALL, blocks=LONG), prior(e, SMALL)
    if everything:
        problem, first = _everything_free(problem, first)
    data = change(TwinLine(e, problem, first, seed=3, drop=drop).run(LONG).window)
    guess = np.zeros((len(PARAMETERS), LONG))
    full = solve(problem, data, first, first.x, guess, 4)
    moving, _ = _moving(e, problem, first, data)
    sd = np.sqrt(np.diag(full.cov))
    off = (_end(problem, moving) - _end(problem, full)) / sd
    return off, np.sqrt(np.diag(moving.cov)) / sd


@pytest.mark.parametrize("structure", [Structure.CASCADE, Structure.REMOTE])
@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_a_short_window_with_its_arrival_cost_is_the_whole_record(
    structure: Structure, drop: float
) -> None:
    off, ratio = _both(estimator(structure), lambda w: w, drop)
    np.testing.assert_allclose(off, 0.0, atol=1e-4)
    np.testing.assert_allclose(ratio, 1.0, atol=1e-4)


def test_wider_walks_and_moves_of_the_thickness_count_where_they_happened() -> None:
    """A lot's boost and the play of the drive, in samples that leave the short window."""

    def change(window: Window) -> Window:
        boost, moved = window.boost.copy(), window.moved.copy()
        boost[8:20] = 4.0
        moved[10] = 3e-6 * SMALL
        return replace(window, boost=boost, moved=moved)

    off, ratio = _both(estimator(), change)
    np.testing.assert_allclose(off, 0.0, atol=1e-4)
    np.testing.assert_allclose(ratio, 1.0, atol=1e-4)


def test_both_widen_what_is_known_at_the_end() -> None:
    """Else the test above would show little."""
    e = estimator()
    problem, first = gaussian(e.problem, blocks=LONG), prior(e)
    data = TwinLine(e, problem, first, seed=3).run(LONG).window
    wide = replace(data, boost=np.full(LONG, 4.0), moved=np.full(LONG, 1e-6))
    guess = np.zeros((len(PARAMETERS), LONG))
    narrow, wider = (np.diag(solve(problem, w, first, first.x, guess, 3).cov) for w in (data, wide))
    start = problem.free.size
    volume, play = start + at("specific_volume"), start + at("thickness_offset")
    assert wider[volume] > 1.3 * narrow[volume]
    assert wider[play] > 1.3 * narrow[play]


def test_taking_the_lubrication_as_known_costs_little() -> None:
    """Measured: means within 0.05 SD, SD within 5 % (hold-up, discharge, strength)."""
    off, ratio = _both(estimator(), lambda w: w, everything=False)
    np.testing.assert_allclose(off, 0.0, atol=0.10)
    np.testing.assert_allclose(ratio, 1.0, atol=0.08)


def test_a_gross_error_that_the_window_found_does_not_come_back_with_the_arrival_cost() -> None:
    e = estimator()
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=5, spread=False).run(LONG).window
    spiked = data.place(8, "level", float(data.values[at("level"), 8]) + 0.3, 1.0)
    clean, _ = _moving(e, problem, first, data)
    hit, _ = _moving(e, problem, first, spiked)
    sd = np.sqrt(np.diag(clean.cov))
    assert np.max(np.abs(_end(problem, hit) - _end(problem, clean)) / sd) < 0.2


def test_the_covariance_stays_symmetric_and_positive_over_a_long_run() -> None:
    e = estimator()
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=6, drop=0.3).run(120).window
    _, arrival = _moving(e, problem, first, data)
    np.testing.assert_array_equal(arrival.cov, arrival.cov.T)
    sd = np.sqrt(np.diag(arrival.cov))
    assert np.all(np.isfinite(sd))
    assert np.all(sd > 0.0)
    assert np.linalg.eigvalsh(arrival.cov / np.outer(sd, sd)).min() > -1e-9


def test_a_sample_without_measurements_only_lets_the_covariance_grow() -> None:
    e = estimator()
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=7, drop=1.0, spread=False).run(4).window
    guess = np.zeros((len(PARAMETERS), 4))
    s = solve(problem, data, first, first.x, guess, 1)
    after = advance(problem, e.one_stage, first, data, s)
    walking = [problem.free.size + i for i in problem.walking]
    assert np.all(np.diag(after.cov)[walking] > np.diag(first.cov)[walking])
    content = 1
    assert after.cov[content, content] > first.cov[content, content]
    np.testing.assert_allclose(after.x[problem.free], s.x[problem.free, 0], rtol=1e-9)


def test_the_prediction_of_a_sample_is_the_twins_with_the_spread_of_the_estimate() -> None:
    """Against differences of single roll-outs along draws from the covariance."""
    e = estimator()
    problem, first = e.problem, prior(e, 0.02)
    data = TwinLine(e, problem, first, seed=8, spread=False).run(1)
    v = data.window.inputs[:, 0]
    mean, variance = predict(problem, e.one_stage, first.x, first.p, first.cov, v)
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(first.cov)
    drawn = []
    for _ in range(2000):
        error = root @ rng.standard_normal(root.shape[0])
        x, p = first.x.copy(), first.p.copy()
        x[problem.free] += error[: problem.free.size]
        p[:COUNT] += error[problem.free.size :]
        drawn.append(predict(problem, e.one_stage, x, p, first.cov, v)[0])
    spread = np.std(drawn, axis=0)
    np.testing.assert_allclose(np.mean(drawn, axis=0), mean, atol=float(4e-2 * spread.max()))
    np.testing.assert_allclose(spread, np.sqrt(variance), rtol=0.08)
