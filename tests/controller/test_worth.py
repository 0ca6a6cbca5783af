"""The worth of a roll-out and its gradient agree with the roll-out that has all Jacobians."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from controller.optimisation.problem import TRACKED, stage_moves, tracking
from controller.twin.core import MOVES, OUTPUTS
from controller.twin.worth import Worth
from plant_models.variables import Structure
from tests.controller.ocp_kit import SHORT, fast_of, problem, twin_of


@cache
def worth_of(structure: Structure) -> Worth:
    return Worth(twin_of(structure), SHORT.stages, TRACKED, None)


@pytest.mark.parametrize("structure", [Structure.CASCADE, Structure.REMOTE])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outputs_worth_and_gradient_are_those_of_the_condensed_problem(
    structure: Structure, seed: int
) -> None:
    p, fast = problem(seed, structure=structure), fast_of(structure=structure)
    rng = np.random.default_rng(seed)
    shape = (len(p.grid.nodes), len(MOVES))
    moves = p.feasible(p.previous + 0.5 * p.rate * rng.normal(size=shape))
    out = fast.predict(p, moves)
    w = np.vstack((stage_moves(p, moves), p.known))
    y, cost, slope = worth_of(structure)(p.x0, p.p, w, p.references, 1.0 / p.weights.tracked)
    assert y == pytest.approx(out.y, rel=1e-12)
    assert cost == pytest.approx(tracking(p, out.y), rel=1e-12)
    rows = [OUTPUTS.index(n) for n in TRACKED]
    error = (out.y[rows] - p.references[:, None]) / p.weights.tracked[:, None] ** 2
    jac = fast.sensitivities(out, rows)
    expected = 2.0 / p.grid.stages * np.einsum("rj,jrz->z", error, jac)
    found = (slope @ p.grid.interpolation).T.ravel()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.max(np.abs(expected)))


def test_what_is_not_finite_comes_out_as_such() -> None:
    p = problem(1)
    w = np.vstack((stage_moves(p, p.hold()), p.known))
    broken = p.p.copy()
    broken[0] = np.nan
    y, cost, slope = worth_of(Structure.CASCADE)(
        p.x0, broken, w, p.references, 1.0 / p.weights.tracked
    )
    assert not np.isfinite(cost)
    assert not np.isfinite(y).all()
    assert not np.isfinite(slope).all()


def test_the_compiled_one_is_the_same(tmp_path: Path) -> None:
    p = problem(2)
    w = np.vstack((stage_moves(p, p.hold()), p.known))
    fast = Worth(twin_of(), SHORT.stages, TRACKED, tmp_path)
    plain = worth_of(Structure.CASCADE)
    args = (p.x0, p.p, w, p.references, 1.0 / p.weights.tracked)
    (y, cost, slope), (y2, cost2, slope2) = fast(*args), plain(*args)
    assert y == pytest.approx(y2, rel=1e-12)
    assert cost == pytest.approx(cost2, rel=1e-12)
    assert slope == pytest.approx(slope2, rel=1e-9, abs=1e-9 * np.max(np.abs(slope2)))
