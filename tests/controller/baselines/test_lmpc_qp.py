"""Target and plan: no offset, hard limits, and an answer whatever comes in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.baselines.lmpc_qp import LinearProblem, LinearSolution
from controller.data import Array
from controller.optimisation.problem import TRACKED
from controller.twin.core import MOVES, OUTPUTS
from tests.controller.baselines.lmpc_kit import brain, disturbed, move_inputs, problem

ROWS = [OUTPUTS.index(n) for n in TRACKED]


def _steady(z: Array, u: Array) -> tuple[Array, float]:
    """Outputs and fill rate of the chute [kg/stage] where ``u`` is held until all has settled."""
    model, v = brain().model, move_inputs(u)
    z = z.copy()
    for _ in range(2000):
        before = z[model.content]
        z = model.f @ z + model.g @ (v - model.v0)
    return model.outputs(z, v)[ROWS], float(z[model.content] - before)


@pytest.mark.parametrize(
    "disturbances",
    [
        {"strength": 0.08},
        {"pressure_scale": 0.05, "specific_volume": -0.04},
        {"feed_span": 0.003, "potency_span": 0.004, "inflow": 2e-5},
    ],
)
def test_the_target_meets_every_set_point_in_spite_of_disturbances(
    disturbances: dict[str, float],
) -> None:
    z = disturbed(brain().model, **disturbances)
    found = brain().planner.solve(problem(z))
    y, filling = _steady(z, found.target_moves)
    wanted = problem(z).references
    np.testing.assert_allclose(y[:4], wanted[:4], rtol=1e-6)
    assert abs(filling) < 1e-9


def test_the_closed_loop_settles_without_offset() -> None:
    """Feedback of the linear plant's own state; disturbances constant and known, as by a filter."""
    b = brain()
    model, z = b.model, disturbed(b.model, strength=-0.06, pressure_scale=0.04, feed_span=0.004)
    u = model.u0
    for _ in range(400):
        found = b.planner.solve(problem(z, u))
        assert found.ok
        u = found.moves[0]
        z = model.f @ z + model.g @ (move_inputs(u) - model.v0)
    y = model.outputs(z, move_inputs(u))[ROWS]
    # the level's error ends last: it is the only one that is cheap
    np.testing.assert_allclose(y[:4], problem(z).references[:4], rtol=1e-5)
    assert y[4] == pytest.approx(0.5, abs=2e-3)


def test_a_target_out_of_reach_is_approached_as_far_as_the_range_goes() -> None:
    z = disturbed(brain().model, strength=-1.5)
    found = brain().planner.solve(problem(z))
    assert found.ok
    force = MOVES.index("press")
    assert found.target_moves[force] == pytest.approx(problem(z).hi[force], rel=1e-9)
    assert found.target_outputs[TRACKED.index("log_weight")] == pytest.approx(
        problem(z).references[TRACKED.index("log_weight")], abs=0.02
    )


def _violation(p: LinearProblem, found: LinearSolution) -> float:
    steps = np.diff(found.moves, axis=0, prepend=p.previous[None, :])
    gaps = brain().planner.grid.gaps[:, None]
    rate = np.max(np.abs(steps) / (p.rate * gaps)) - 1.0
    outside = np.max(np.maximum(found.moves - p.hi, p.lo - found.moves) / p.rate)
    return float(max(rate, outside))


@given(seed=st.integers(0, 10_000), size=st.floats(0.0, 0.3))
def test_no_plan_leaves_range_or_rate(seed: int, size: float) -> None:
    rng, b = np.random.default_rng(seed), brain()
    model, limits = b.model, b._limits
    z = np.append(
        size * model.x0 * rng.standard_normal(model.nx),
        0.3 * size * rng.standard_normal(model.size - model.nx),
    )
    previous = rng.uniform(limits.lo, limits.hi)
    p = problem(z, previous)
    found = b.planner.solve(p)
    assert _violation(p, found) <= 1e-9
    assert np.all(np.isfinite(found.moves))


def test_a_set_point_outside_its_range_comes_back_at_its_rate() -> None:
    b = brain()
    previous = b.model.u0.copy()
    previous[0] = b._limits.hi[0] + 3.5 * b._limits.rate[0]
    found = b.planner.solve(problem(disturbed(b.model), previous))
    first = (found.moves[0, 0] - previous[0]) / b._limits.rate[0]
    assert first == pytest.approx(-1.0)
    assert found.moves[4, 0] <= b._limits.hi[0] * (1.0 + 1e-12)


def test_a_variable_that_is_not_ours_stays_where_it_is() -> None:
    p = problem(disturbed(brain().model, strength=0.1))
    force = MOVES.index("press")
    lo, hi = p.lo.copy(), p.hi.copy()
    lo[force] = hi[force] = p.previous[force]
    found = brain().planner.solve(replace(p, lo=lo, hi=hi))
    np.testing.assert_array_equal(found.moves[:, force], p.previous[force])
    assert found.ok


def test_numbers_that_broke_down_hold_the_set_points() -> None:
    z = disturbed(brain().model, strength=float("nan"))
    p = problem(z)
    found = brain().planner.solve(p)
    assert not found.ok
    np.testing.assert_array_equal(found.moves, np.tile(p.previous, (found.moves.shape[0], 1)))


def test_the_chute_is_kept_out_of_its_zone_limits() -> None:
    b = brain()
    z = np.zeros(b.model.size)
    z[b.model.content] = -0.15  # level 0.25, below the zone
    found = b.planner.solve(problem(z))
    level = found.planned[:, b.planner.rows.index("level")]
    assert level[0] < 0.30 < level[40]
