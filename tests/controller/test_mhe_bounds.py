"""Bounds of the estimate: none is left, at any sample, whatever the instruments say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.estimation.mhe import MheProblem, MheSolution, solve
from controller.estimation.window import Window
from controller.twin.core import PARAMETERS
from plant_models.variables import Structure
from tests.controller.twin_data import COUNT, TwinLine, at, estimator, gaussian, prior

BOTH = (Structure.CASCADE, Structure.REMOTE)


def spoilt(problem: MheProblem, structure: Structure, seed: int) -> Window:
    """A window in which up to five columns jump by up to 300 of their standard deviations."""
    rng, e = np.random.default_rng(seed), estimator(structure)
    size = int(rng.integers(3, 60))
    every = int(rng.integers(2, 12))
    data = TwinLine(e, problem, prior(e), seed=seed, lab_every=every).run(size).window
    values = data.values.copy()
    for _ in range(int(rng.integers(1, 6))):
        column, since = int(rng.integers(values.shape[0])), int(rng.integers(size))
        jump = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(0.0, 2.5)
        values[column, since:] += problem.tuning.sigma[column] * jump
    return replace(data, values=values)


def beyond(problem: MheProblem, s: MheSolution) -> float:
    """How far outside its bounds any parameter is at any sample, relative to the bound."""
    lo, hi, p = problem.tuning.lo[:COUNT, None], problem.tuning.hi[:COUNT, None], s.p[:COUNT]
    return float(np.max(np.maximum(p - hi, lo - p) / hi))


@given(st.integers(0, 10_000), st.sampled_from(BOTH), st.booleans(), st.integers(1, 4))
@settings(max_examples=60)
def test_no_estimate_is_outside_its_bounds(
    seed: int, structure: Structure, heavy: bool, steps: int
) -> None:
    """Those at the end of the window are used, and they may have walked there."""
    e = estimator(structure)
    problem, first = e.problem if heavy else gaussian(e.problem), prior(e)
    data = spoilt(problem, structure, seed)
    guess = np.zeros((len(PARAMETERS), data.size))
    s = solve(problem, data, first, first.x, guess, steps)
    assert s.finite
    assert beyond(problem, s) < 1e-3
    assert np.all(s.x0[problem.free] > 0.0)


@pytest.mark.parametrize("structure", BOTH)
def test_what_walks_stops_at_its_bound(structure: Structure) -> None:
    """A spectrometer that goes off by 30 % half way: the bias ends on its bound of 10 %."""
    e = estimator(structure)
    problem, first = gaussian(e.problem), prior(e)
    data = TwinLine(e, problem, first, seed=3).run(48).window
    values = data.values.copy()
    bias = PARAMETERS.index("potency_bias")
    values[at("potency"), 24:] += 0.3
    guess = np.zeros((len(PARAMETERS), data.size))
    s = solve(problem, replace(data, values=values), first, first.x, guess, 6)
    assert s.p[bias, -1] == pytest.approx(problem.tuning.hi[bias], rel=1e-4)
    assert s.p[bias, 0] < s.p[bias, -1]
    assert beyond(problem, s) < 1e-3
