"""Scenario-robust plans: one for many draws, with the limits and manners of the nominal one."""

import time
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import OptimisationConfig
from controller.optimisation.backoff import output_spread
from controller.optimisation.draws import sigma_points
from controller.optimisation.problem import (
    TRACKED,
    Draws,
    OcpProblem,
    Zone,
    move_cost,
    objective,
    price,
    tracking,
    violations,
)
from controller.optimisation.scenarios import ScenarioSolver
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.variables import Structure
from tests.controller.ocp_kit import MIDDLE, SHORT, factory_of, fast_of, held, problem, twin_of
from tests.controller.uncertain import factor

BOTH = (Structure.CASCADE, Structure.REMOTE)
ROWS = [OUTPUTS.index(n) for n in TRACKED]


@cache
def solver_of(
    config: OptimisationConfig = SHORT, structure: Structure = Structure.CASCADE
) -> ScenarioSolver:
    return ScenarioSolver(twin_of(structure), factory_of(config, structure).grid, None)


def drawn(
    seed: int,
    count: int = 8,
    scale: float = 1.0,
    config: OptimisationConfig = SHORT,
    structure: Structure = Structure.CASCADE,
) -> OcpProblem:
    """A disturbed line with draws of an estimate's covariance."""
    p, f = problem(seed, config, structure), factor(seed, scale)
    out = fast_of(config, structure).predict(p, p.hold())
    spread = output_spread(out, f, ROWS) / p.weights.tracked[:, None]
    return replace(p, draws=sigma_points(p, f, spread, count))


def members(p: OcpProblem) -> list[tuple[float, OcpProblem]]:
    """Weight and problem of the estimate and of each draw."""
    d = p.draws
    assert d is not None
    rows = zip(d.weights, d.x0, d.p, strict=True)
    rest = 1.0 - float(np.sum(d.weights))
    return [(rest, p), *((float(w), replace(p, x0=x, p=q)) for w, x, q in rows)]


def robust_cost(p: OcpProblem, moves: np.ndarray) -> float:
    """(X1), worked out with the predictions of the fast solver."""
    total, slacks = move_cost(p, moves), np.zeros(2 * len(p.zones))
    for weight, member in members(p):
        y = fast_of(_config(p)).predict(member, moves).y
        total += weight * tracking(p, y)
        slacks = np.maximum(slacks, violations(p, y))
    return total + price(p, slacks)


def _config(p: OcpProblem) -> OptimisationConfig:
    return OptimisationConfig(stages=p.grid.stages, nodes=p.grid.nodes)


def test_without_draws_the_plan_is_the_nominal_one() -> None:
    p = problem(3)
    nobody = Draws(np.zeros((0, p.x0.size)), np.zeros((0, p.p.size)), np.zeros(0))
    expected = fast_of().solve(p, p.hold(), 3)
    for same in (p, replace(p, draws=nobody)):
        found = solver_of().solve(same, p.hold(), 3)
        assert np.array_equal(found.moves, expected.moves)
        assert (found.cost, found.steps, found.verdict) == (
            expected.cost,
            expected.steps,
            expected.verdict,
        )


@pytest.mark.parametrize("structure", BOTH)
@pytest.mark.parametrize("seed", range(6))
def test_when_nothing_is_uncertain_the_plan_is_the_nominal_one(
    seed: int, structure: Structure
) -> None:
    p = drawn(seed, scale=0.0, structure=structure)
    solver = solver_of(structure=structure)
    nominal = fast_of(structure=structure).solve(p, p.hold(), 60)
    found = solver.solve(p, p.hold(), 60)
    assert found.cost == pytest.approx(nominal.cost, rel=1e-6)
    assert (found.moves - nominal.moves) / p.rate == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_its_cost_is_the_mean_over_the_draws_with_the_worst_slack(seed: int) -> None:
    p = drawn(seed)
    found = solver_of().solve(p, p.hold(), 2)
    assert found.cost == pytest.approx(robust_cost(p, found.moves), rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_worth_more_than_the_nominal_plan_and_nothing_near_is_worth_more(seed: int) -> None:
    p = drawn(seed, scale=2.0)
    found = solver_of().solve(p, p.hold(), 60)
    assert found.verdict in ("converged", "no descent")
    nominal = fast_of().solve(p, p.hold(), 60)
    assert found.cost <= robust_cost(p, nominal.moves) * (1.0 + 1e-9)
    rng = np.random.default_rng(seed)
    for size in (0.3, 0.03):
        for _ in range(30):
            step = size * p.rate * rng.normal(size=found.moves.shape)
            assert robust_cost(p, p.feasible(found.moves + step)) >= found.cost * (1.0 - 1e-5)


@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(BOTH), st.floats(0.0, 4.0))
@settings(max_examples=40)
def test_no_plan_leaves_a_range_or_moves_faster_than_its_rate(
    seed: int, steps: int, structure: Structure, scale: float
) -> None:
    p = drawn(seed, scale=scale, structure=structure)
    found = solver_of(structure=structure).solve(p, p.hold(), steps)
    path, span = held(p, found.moves), p.hi - p.lo
    assert np.all(np.abs(np.diff(path, axis=0)) <= p.rate * (1.0 + 1e-9))
    assert np.all(path >= p.lo - 1e-9 * span)
    assert np.all(path <= p.hi + 1e-9 * span)


@given(st.integers(0, 10_000), st.sets(st.integers(0, 4), min_size=1, max_size=5))
@settings(max_examples=15)
def test_a_variable_that_is_not_available_stays_put(seed: int, off: set[int]) -> None:
    p = drawn(seed)
    fixed = np.isin(np.arange(5), list(off))
    p = replace(p, lo=np.where(fixed, p.previous, p.lo), hi=np.where(fixed, p.previous, p.hi))
    found = solver_of().solve(p, p.hold(), 3)
    assert found.ok
    assert np.all(found.moves[:, fixed] == p.previous[fixed])


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_more_steps_never_make_a_plan_worse(seed: int) -> None:
    p, solver = drawn(seed), solver_of()
    costs = [robust_cost(p, p.hold())]
    costs += [solver.solve(p, p.hold(), steps).cost for steps in (1, 2, 4)]
    assert all(b <= a * (1.0 + 1e-9) for a, b in pairwise(costs))


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_the_order_of_the_draws_does_not_matter(seed: int) -> None:
    p = drawn(seed)
    d = p.draws
    assert d is not None
    order = np.random.default_rng(seed).permutation(d.weights.size)
    other = replace(p, draws=Draws(d.x0[order], d.p[order], d.weights[order]))
    a, b = (solver_of().solve(q, p.hold(), 3) for q in (p, other))
    assert b.cost == pytest.approx(a.cost, rel=1e-9)
    assert (b.moves - a.moves) / p.rate == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("what", ["x0", "p"])
def test_a_draw_that_breaks_down_is_left_out_and_told(what: str) -> None:
    p = drawn(2)
    d = p.draws
    assert d is not None
    broken = getattr(d, what).copy()
    broken[3, PARAMETERS.index("specific_volume") if what == "p" else 1] = np.nan
    found = solver_of().solve(replace(p, draws=replace(d, **{what: broken})), p.hold(), 3)
    assert found.ok
    assert found.verdict.endswith(", 1 of 8 draws left out")
    keep = np.arange(8) != 3
    rest = d.weights[keep] / (1.0 - d.weights[3])
    without = replace(p, draws=Draws(d.x0[keep], d.p[keep], rest))
    assert found.cost == pytest.approx(solver_of().solve(without, p.hold(), 3).cost, rel=1e-9)


def test_when_every_draw_breaks_down_the_plan_is_the_nominal_one() -> None:
    p = drawn(2)
    d = p.draws
    assert d is not None
    found = solver_of().solve(
        replace(p, draws=replace(d, p=np.full_like(d.p, np.nan))), p.hold(), 60
    )
    assert found.ok
    assert found.verdict.endswith(", 8 of 8 draws left out")
    assert found.cost == pytest.approx(fast_of().solve(p, p.hold(), 60).cost, rel=1e-6)


@pytest.mark.parametrize("place", ["x0", "p", "references"])
def test_an_estimate_that_breaks_down_is_a_verdict(place: str) -> None:
    p = drawn(2)
    broken = getattr(p, place).copy()
    broken[0] = np.nan
    found = solver_of().solve(replace(p, **{place: broken}), p.hold(), 3)
    assert not found.ok
    assert found.steps == 0
    assert np.isfinite(found.moves).all()


def test_after_its_deadline_no_step_begins() -> None:
    p = drawn(4)
    found = solver_of().solve(p, p.hold(), 5, time.perf_counter() - 1.0)
    assert (found.steps, found.verdict) == (0, "deadline")
    assert np.array_equal(found.moves, p.hold())


def test_a_zone_is_kept_for_every_draw_where_that_can_be_paid() -> None:
    """At a dear price; the nominal plan leaves it for some of them."""
    p = drawn(3, scale=2.0, config=MIDDLE)
    zone = Zone("level", 0.2, 0.62, 0.1)
    wish = p.references.copy()
    wish[TRACKED.index("level")] = 0.61
    x0 = p.x0.copy()
    dear = replace(p.weights, slack_linear=300.0)
    p = replace(p, zones=(zone,), weights=dear, references=wish, x0=x0)
    found = solver_of(MIDDLE).solve(p, p.hold(), 60)
    nominal = fast_of(MIDDLE).solve(p, p.hold(), 60)

    def worst(moves: np.ndarray) -> float:
        """Largest violation over the draws in the second half, when there was time to act."""
        row, half = OUTPUTS.index("level"), p.grid.stages // 2
        return max(
            float(np.max(fast_of(MIDDLE).predict(m, moves).y[row, half:])) - zone.hi
            for _, m in members(p)
        )

    assert worst(found.moves) < 1e-3
    assert worst(nominal.moves) > 5e-3
    assert objective(p, nominal.outputs, nominal.moves) <= objective(p, found.outputs, found.moves)
