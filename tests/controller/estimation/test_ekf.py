"""The extended Kalman filter: the window's equal where both are exact, its inferior where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from controller.data import CV, Array, Validated
from controller.estimation.ekf import EkfEstimator, filter_window
from controller.estimation.estimator import LineEstimator
from controller.estimation.mhe import MheProblem, solve
from controller.estimation.window import MEASURED, Window
from controller.twin.core import PARAMETERS
from plant_models.variables import Structure
from tests.controller.estimation.ekf_kit import SMALL, linear_gaussian
from tests.controller.kit import LINE, controller_config
from tests.controller.line_data import LAB_DELAY, NIR_DELAY, Line
from tests.controller.twin_data import COUNT, PERIOD, TwinLine, at, estimator, prior

SAMPLES = 24
BACK = LAB_DELAY + 12  # samples that a late value may lie back


@lru_cache(maxsize=2)
def ekf(gate: float = np.inf) -> EkfEstimator:
    config = controller_config().estimation.model_copy(update={"window_samples": BACK})
    return EkfEstimator(LINE, Structure.CASCADE, config, PERIOD, None, gate)


def _end(problem: MheProblem, x: Array, p: Array) -> Array:
    return np.concatenate((x[problem.free, -1], p[:COUNT, -1]))


@pytest.mark.parametrize("structure", [Structure.CASCADE, Structure.REMOTE])
@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_filter_and_window_agree_where_all_is_linear_and_gaussian(
    structure: Structure, drop: float
) -> None:
    """Same means to 1e-4 standard deviations, same covariances; lots, moves and gaps included."""
    problem, first = linear_gaussian(structure, SAMPLES)
    e = estimator(structure)
    data = TwinLine(e, problem, first, seed=4, drop=drop).run(SAMPLES).window
    boost, moved = data.boost.copy(), data.moved.copy()
    boost[8:14], moved[10] = 4.0, 3e-6 * SMALL
    data = replace(data, boost=boost, moved=moved)
    window = solve(problem, data, first, first.x, np.zeros((len(PARAMETERS), SAMPLES)), 4)
    filtered = filter_window(problem, e.one_stage, data, first)
    sd = np.sqrt(np.diag(window.cov))
    off = _end(problem, filtered.x, filtered.p) - _end(problem, window.x, window.p)
    np.testing.assert_allclose(off / sd, 0.0, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(filtered.cov)) / sd, 1.0, atol=1e-4)


def test_innovations_are_white_and_of_the_size_that_the_filter_says() -> None:
    e = estimator(Structure.CASCADE)
    problem, first = linear_gaussian(Structure.CASCADE, SAMPLES)
    rows = []
    for seed in range(12):
        data = TwinLine(e, problem, first, seed=seed).run(SAMPLES).window
        rows.append(filter_window(problem, e.one_stage, data, first).normalised[:4])
    found = np.array(rows)
    assert np.mean(found**2) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(found[:, :, 1:] * found[:, :, :-1])) < 0.1


def _follow(e: EkfEstimator, line: Line, cycles: int) -> list[Array]:
    state, ends = e.initial(), []
    for _ in range(cycles):
        state = e.update(state, line.cycle(), 1)
        assert state.solution is not None
        ends.append(np.append(state.solution.x[:, -1], state.solution.p[:, -1]))
    return ends


def test_a_moved_window_changes_nothing() -> None:
    """What leaves it lives on in the belief before it: as good as filtering all from the start."""
    short, line = ekf(), Line(estimator(), 3)
    long = EkfEstimator(
        LINE,
        Structure.CASCADE,
        short.config.model_copy(update={"window_samples": 600}),
        PERIOD,
        None,
    )
    cycles = BACK + 60
    a = _follow(short, line, cycles)
    b = _follow(long, Line(estimator(), 3), cycles)
    np.testing.assert_allclose(a[-1], b[-1], rtol=1e-7, atol=1e-12)


def test_late_values_count_where_they_belong() -> None:
    """A spectrum that is there in time, and late: the same end once both are in."""
    e = ekf()
    problem, first = e.problem, prior(estimator())
    data = TwinLine(estimator(), problem, first, seed=6).run(SAMPLES).window
    in_time = filter_window(problem, e.one_stage, data, first)
    row, k = MEASURED.index("potency"), SAMPLES - 1 - NIR_DELAY
    value = float(data.values[row, k])
    weights = data.weights.copy()
    weights[row, k] = 0.0
    without = replace(data, weights=weights)
    late = without.place(k, "potency", value, 1.0)
    again = filter_window(problem, e.one_stage, late, first)
    np.testing.assert_array_equal(again.x, in_time.x)
    assert not np.array_equal(filter_window(problem, e.one_stage, without, first).x, again.x)


def _spoilt(data: Window, error: float) -> Window:
    values = data.values.copy()
    values[at("press"), -1] += error
    return replace(data, values=values)


def test_the_gate_limits_what_a_gross_error_does() -> None:
    e, first = ekf(), prior(estimator())
    data = TwinLine(estimator(), e.problem, first, seed=7).run(SAMPLES).window

    def moved(gate: float) -> float:
        wrong, right = (
            filter_window(e.problem, e.one_stage, d, first, gate).p[at("specific_volume"), -1]
            for d in (_spoilt(data, 0.3), data)
        )
        return float(abs(wrong - right))

    assert moved(3.0) < 0.15 * moved(np.inf)


def test_numbers_that_are_none_leave_the_last_estimate() -> None:
    e, line = ekf(), Line(estimator(), 2)
    state = e.initial()
    for _ in range(6):
        state = e.update(state, line.cycle(), 1)
    line.spoil = {"Line/Chute/Level/PV": float("inf")}
    after = e.update(state, line.cycle(), 1)
    assert after.solution is not None
    assert np.all(np.isfinite(after.solution.x[:, -1]))


def test_bounds_hold() -> None:
    e, first = ekf(), prior(estimator())
    data = TwinLine(estimator(), e.problem, first, seed=8).run(SAMPLES).window
    values = data.values.copy()
    values[at("press")] += 3.0
    found = filter_window(e.problem, e.one_stage, replace(data, values=values), first)
    t = e.problem.tuning
    assert np.all(found.p[:COUNT] >= t.lo[:COUNT, None] - 1e-15)
    assert np.all(found.p[:COUNT] <= t.hi[:COUNT, None] + 1e-15)
    assert np.all(found.x[e.problem.free] > 0.0)


# --- against the moving horizon, on a line that is the twin ---

SETTLED, AFTER, SEEDS = 130, 120, (1, 2)
RESULT = 75  # cycles after which the first sample taken since is known
Change = Callable[[int, Line, Validated], Validated]


def _errors(e: LineEstimator, seed: int, change: Change) -> Array:
    """Errors of ln weight and ln strength, ``(AFTER, 2)``; ``change`` knows the cycle."""
    line, state, rows = Line(estimator(), seed), e.initial(), []
    line.p[at("specific_volume")], line.p[at("pressure_scale")] = 0.03, -0.06
    for k in range(-SETTLED, AFTER):
        seen = change(k, line, line.cycle())
        state = e.update(state, seen, 2)
        estimate = e.estimate(state, seen.time)
        assert estimate is not None
        found = [estimate.quality[cv].mean for cv in (CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH)]
        rows.append(np.log(found) - [line.truth["log_weight"], line.truth["log_strength"]])
    return np.array(rows)[SETTLED:]


def _rmse(e: LineEstimator, change: Change, first: int = 0) -> Array:
    """Of ln weight and ln strength over all `SEEDS`, from cycle ``first`` on."""
    every = np.vstack([_errors(e, seed, change)[first:] for seed in SEEDS])
    return np.asarray(np.sqrt(np.mean(every**2, axis=0)))


def _wrong_sample(k: int, line: Line, seen: Validated) -> Validated:
    """The second sample: a tester a quarter off its scale."""
    if not seen.samples or seen.samples[0].number != 2:
        return seen
    wrong = tuple(replace(s, forces=tuple(1.25 * f for f in s.forces)) for s in seen.samples)
    return replace(seen, samples=wrong)


def _unannounced_lot(k: int, line: Line, seen: Validated) -> Validated:
    if k == 0:
        line.p[at("specific_volume")] += 0.06
        line.p[at("pressure_scale")] += 0.15
    return seen


def test_after_a_gross_error_the_window_is_better_than_the_textbooks_filter() -> None:
    """A wrong at-line sample; measured, strength: 1.2 % RMSE against 12.4 %, with a gate 1.6 %."""
    window, plain, gated = (_rmse(e, _wrong_sample) for e in (estimator(), ekf(), ekf(3.0)))
    assert window[1] < 0.3 * plain[1]
    assert window[1] < gated[1]


def test_after_a_jump_that_nobody_announced_the_window_is_better_than_any_filter() -> None:
    """Measured, weight once a sample has shown it: 0.11 % RMSE; filters 1.4 %, gated 1.9 %."""
    window, plain, gated = (
        _rmse(e, _unannounced_lot, RESULT) for e in (estimator(), ekf(), ekf(3.0))
    )
    assert window[0] < 0.3 * plain[0]
    assert window[0] < 0.3 * gated[0]
