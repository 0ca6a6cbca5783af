"""The moving-horizon estimator as claims, on data that the twin itself made.

With model and noise right, what is left to be wrong is the estimator. Coverage and bias are from
seeded draws of start, parameters, walks and noise; bounds follow from the number of draws.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import lru_cache
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from controller.data import Array
from controller.estimation.mhe import (
    Arrival,
    MheProblem,
    MheSolution,
    block_starts,
    solve,
)
from controller.estimation.window import MEASURED, Window, selection
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.variables import Structure
from tests.controller.reference_mhe import Reference
from tests.controller.twin_data import (
    COUNT,
    LAB,
    Run,
    TwinLine,
    at,
    estimator,
    gaussian,
    nominal_inputs,
    prior,
)

SAMPLES, DRAWS = 36, 120
STRUCTURES = [Structure.CASCADE, Structure.REMOTE]


def _guess(samples: int) -> Array:
    return np.zeros((len(PARAMETERS), samples))


def _solve(problem: MheProblem, window: Window, first: Arrival, steps: int = 4) -> MheSolution:
    return solve(problem, window, first, first.x, _guess(window.size), steps)


def _end(problem: MheProblem, s: MheSolution) -> Array:
    return np.concatenate((s.x[problem.free, -1], s.p[:COUNT, -1]))


def _sd(s: MheSolution) -> Array:
    return np.asarray(np.sqrt(np.diag(s.cov)))


@pytest.mark.parametrize(
    ("structure", "heavy"),
    [(Structure.CASCADE, False), (Structure.CASCADE, True), (Structure.REMOTE, True)],
)
def test_the_window_is_the_solution_of_its_least_squares_problem(
    structure: Structure, heavy: bool
) -> None:
    """Everything in one window, against scipy on the same problem, to 1e-6 of the prior."""
    e = estimator(structure)
    problem = replace(e.problem if heavy else gaussian(e.problem), blocks=5)
    first, samples = prior(e), 14
    data = TwinLine(e, problem, first, seed=2, lab_every=6, drop=0.1).run(samples).window
    data = data.place(9, "level", float(data.values[at("level"), 9]) + 0.08, 1.0)
    ours = _solve(problem, data, first, steps=80)
    reference = Reference(problem, data, first)
    found = least_squares(
        reference.residuals,
        np.zeros(reference.size),
        jac="3-point",
        loss=reference.loss if heavy else "linear",
        method="trf",
        xtol=1e-10,
        ftol=None,
        gtol=1e-10,
    )
    start = (found.x * reference.scale())[: reference.head]
    mine = np.concatenate(
        (ours.x0[problem.free] - first.x[problem.free], ours.p[:COUNT, 0] - first.p[:COUNT])
    )
    size = np.sqrt(np.diag(first.cov))
    np.testing.assert_allclose(mine / size, start / size, atol=1e-6)


# --- Monte Carlo ---


@lru_cache(maxsize=4)
def _draws(structure: Structure, configured: bool) -> tuple[Array, Array]:
    """Errors over SD ``(draws, unknowns)`` and the mean SD, of free states and parameters."""
    e = estimator(structure)
    problem, first = e.problem if configured else gaussian(e.problem), prior(e)
    z, sd = [], []
    for seed in range(DRAWS):
        run = TwinLine(e, problem, first, seed=seed).run(SAMPLES)
        s = _solve(problem, run.window, first)
        z.append((_end(problem, s) - run.truth(problem.free)) / _sd(s))
        sd.append(_sd(s))
    return np.array(z), np.mean(sd, axis=0)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_with_gaussian_noise_the_estimate_is_unbiased(structure: Structure) -> None:
    z, _ = _draws(structure, configured=False)
    assert np.max(np.abs(z.mean(axis=0))) < 4.0 / sqrt(DRAWS)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_with_gaussian_noise_95_percent_intervals_cover_95_percent(structure: Structure) -> None:
    """Of single unknowns within four standard errors, of all together within 2 %."""
    z, _ = _draws(structure, configured=False)
    covered = (np.abs(z) < 1.96).mean(axis=0)
    error = sqrt(0.95 * 0.05 / DRAWS)
    assert np.min(covered) > 0.95 - 4.0 * error
    assert 0.93 < covered.mean() < 0.97


def test_the_configured_losses_cost_little_where_the_noise_is_gaussian() -> None:
    """Unbiased, coverage 90 to 98 %, intervals at most a tenth wider."""
    z, sd = _draws(Structure.CASCADE, configured=True)
    _, plain = _draws(Structure.CASCADE, configured=False)
    assert np.max(np.abs(z.mean(axis=0))) < 4.0 / sqrt(DRAWS)
    assert 0.90 < (np.abs(z) < 1.96).mean() < 0.98
    assert np.max(sd / plain) < 1.1


# --- robustness ---

GROSS = {"level": 0.25, "potency": 0.15, "pre_to_main": 0.10, "press": 0.10, "lab_weight": 0.05}


@pytest.mark.parametrize("column", sorted(GROSS))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_gross_error_moves_the_estimate_by_a_fraction_of_its_uncertainty(
    column: str, sign: float
) -> None:
    """Ten and more standard deviations off, in the middle of the window.

    With quadratic losses the same error moves it several times as far.
    """
    e = estimator()
    first, index = prior(e), 23
    moved = []
    for problem in (e.problem, gaussian(e.problem)):
        data = TwinLine(e, problem, first, seed=4).run(SAMPLES).window
        value = float(data.values[at(column), index]) + sign * GROSS[column]
        clean, hit = (
            _solve(problem, w, first, 8) for w in (data, data.place(index, column, value, 1.0))
        )
        moved.append(np.max(np.abs(_end(problem, hit) - _end(problem, clean)) / _sd(clean)))
    assert moved[0] < 0.35
    assert moved[0] < 0.5 * moved[1]


def test_a_real_jump_is_not_taken_for_gross_errors() -> None:
    """Bulk density by 5 % in the middle of the window: what many samples say is believed."""
    e = estimator()
    problem, first = e.problem, prior(e, 0.1)
    jumps = np.zeros((len(PARAMETERS), SAMPLES))
    jumps[at("specific_volume"), 18] = 0.05
    errors = []
    for seed in range(10):
        run = TwinLine(e, problem, first, seed=seed).run(SAMPLES, jumps=jumps)
        s = _solve(problem, run.window, first, 8)
        volume = at("specific_volume")
        errors.append(float(s.p[volume, -1] - run.p[volume, -1]))
    assert abs(np.mean(errors)) < 0.005
    assert np.max(np.abs(errors)) < 0.015


# --- missing data, bounds ---


@pytest.mark.parametrize(
    ("blind", "wider"),
    [
        (("level",), "chute.content"),
        (("potency",), "potency_bias"),
        (("pre_to_main",), "pressure_scale"),
        (LAB, "strength"),
    ],
)
def test_what_is_not_measured_is_known_less(blind: tuple[str, ...], wider: str) -> None:
    """And nothing is known better without it."""
    e = estimator()
    problem, first = gaussian(e.problem), prior(e)
    full = TwinLine(e, problem, first, seed=9, spread=False).run(SAMPLES).window
    weights = full.weights.copy()
    weights[[at(name) for name in blind]] = 0.0
    less = replace(full, weights=weights)
    a, b = _sd(_solve(problem, full, first)), _sd(_solve(problem, less, first))
    assert np.all(b > a * (1.0 - 1e-3))
    names = [e.twin.state_names[i] for i in problem.free] + list(PARAMETERS)
    assert b[names.index(wider)] > 1.2 * a[names.index(wider)]


def test_a_window_without_any_measurement_is_the_prior_carried_on() -> None:
    e = estimator()
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=1, drop=1.0, spread=False).run(12).window
    s = _solve(problem, data, first)
    assert s.finite
    np.testing.assert_allclose(s.p, 0.0, atol=1e-9)
    np.testing.assert_allclose(s.x0[problem.free], first.x[problem.free], rtol=1e-6)
    constant = problem.free.size + at("compliance")
    assert _sd(s)[constant] == pytest.approx(np.sqrt(first.cov[constant, constant]), rel=1e-4)


def test_bounds_hold_whatever_the_instruments_say() -> None:
    """A level that is ten times too high, and strengths that no bound allows."""
    e = estimator()
    problem, first = gaussian(e.problem), prior(e)
    t = problem.tuning
    data = TwinLine(e, problem, first, seed=1, lab_every=4).run(24).window
    values = data.values.copy()
    values[at("level")] *= 10.0
    values[at("lab_strength")] -= 5.0
    values[at("potency")] += 3.0
    s = _solve(problem, replace(data, values=values), first, 8)
    start = s.p[:COUNT, 0]
    slack = 1e-9
    assert np.all(start >= t.lo[:COUNT] - slack)
    assert np.all(start <= t.hi[:COUNT] + slack)
    assert s.p[at("strength"), 0] == pytest.approx(t.lo[at("strength")], abs=1e-6)
    assert s.p[at("potency_bias"), 0] == pytest.approx(t.hi[at("potency_bias")], abs=1e-6)
    assert np.all(s.x0[problem.free] > 0.0)


# --- arithmetic ---


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_same_window_twice_gives_the_same_bits_and_survives_pickling(
    structure: Structure,
) -> None:
    e = estimator(structure)
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=11).run(SAMPLES).window
    a, b = _solve(problem, data, first), _solve(problem, data, first)
    c = pickle.loads(pickle.dumps(a))
    for name in ("x0", "p", "x", "cov", "robust", "normalised"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(getattr(a, name), getattr(c, name))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).values, data.values)


def test_more_steps_change_nothing_once_two_have_nearly_converged() -> None:
    """Two steps from the last solution, as in a cycle, against thirty."""
    e = estimator()
    problem, first = e.problem, prior(e)
    run = TwinLine(e, problem, first, seed=12).run(SAMPLES)
    before = replace(
        run.window,
        **{
            n: getattr(run.window, n)[..., :-1]
            for n in ("times", "inputs", "values", "weights", "boost", "moved")
        },
    )
    last = _solve(problem, before, first, 30)
    guess = np.column_stack((last.p, last.p[:, -1]))
    few = solve(problem, run.window, first, last.x0, guess, 2)
    many = solve(problem, run.window, first, last.x0, guess, 30)
    assert np.max(np.abs(_end(problem, few) - _end(problem, many)) / _sd(many)) < 0.1


@pytest.mark.parametrize("where", ["values", "inputs", "guess"])
def test_numbers_that_are_none_never_raise(where: str) -> None:
    """And are owned up to."""
    e = estimator()
    problem, first = e.problem, prior(e)
    data = TwinLine(e, problem, first, seed=13).run(20).window
    guess = _guess(20)
    if where == "guess":
        guess[0, 5] = np.nan
    else:
        spoilt = getattr(data, where).copy()
        spoilt[0, 5] = np.nan
        data = replace(data, **{where: spoilt})
    s = solve(problem, data, first, first.x, guess, 3)
    assert not s.finite
    assert np.all(np.isfinite(s.cov))


def test_a_missing_value_is_never_looked_at() -> None:
    window = Window.empty()
    values = np.full(len(MEASURED), np.nan)
    v = nominal_inputs(Structure.CASCADE, 1)[:, 0]
    window = window.append(5.0, v, values, np.zeros(len(MEASURED)), 1.0, 0.0)
    assert np.all(np.isfinite(window.values))


@given(st.integers(1, 600), st.integers(1, 60))
def test_blocks_cover_the_window_and_grow_backwards(size: int, blocks: int) -> None:
    starts = block_starts(size, blocks)
    assert starts[0] == 0
    assert 1 <= starts.size <= blocks
    assert np.all(np.diff(starts) > 0)
    assert starts[-1] < size
    lengths = np.diff(np.append(starts, size))
    if starts.size > 2:
        assert np.all(lengths[1:-1] >= lengths[2:] - 1)
    if size <= blocks:
        assert starts.size == size


def test_columns_pick_the_outputs_that_they_name() -> None:
    y = np.arange(1.0, len(OUTPUTS) + 1.0)
    by_name = dict(zip(OUTPUTS, y, strict=True))
    for cascade in (True, False):
        seen = dict(zip(MEASURED, selection(cascade) @ y, strict=True))
        assert seen["level"] == by_name["level"]
        assert seen["press"] == by_name["log_fill_depth" if cascade else "log_main_force"]
        assert seen["potency"] == by_name["potency_measured"]
        assert seen["lab_thickness"] == by_name["thickness"]


def test_a_run_of_the_twin_is_what_the_solution_rolls_out() -> None:
    """The helper and the estimator mean the same by states, stages and parameters."""
    e = estimator()
    problem, first = gaussian(e.problem, 1e-6), prior(e, 1e-6)
    run: Run = TwinLine(e, problem, first, seed=14, spread=False).run(10)
    s = _solve(problem, run.window, first, 2)
    np.testing.assert_allclose(s.x[:2, -1], run.x[:2, -1], rtol=1e-6)
    np.testing.assert_allclose(s.x[problem.free, -1], run.x[problem.free, -1], rtol=1e-6)
