"""The real-time solver: exact sensitivities, hard limits, soft zones, no surprises."""

import time
from dataclasses import replace
from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.optimisation.problem import Zone, objective
from controller.twin.core import MOVES, OUTPUTS, PARAMETERS
from plant_models.variables import Structure
from tests.controller.kit import LINE
from tests.controller.ocp_kit import LONG, MIDDLE, fast_of, held, problem

BOTH = (Structure.CASCADE, Structure.REMOTE)


def excess(y: np.ndarray, zone: Zone) -> float:
    """How far outside a zone the plan goes, in its scales."""
    row = y[OUTPUTS.index(zone.output)]
    return float(max(np.max(row) - zone.hi, zone.lo - np.min(row), 0.0)) / zone.scale


@pytest.mark.parametrize("structure", BOTH)
@pytest.mark.parametrize("seed", [1, 2])
def test_condensed_sensitivities_are_the_finite_differences_of_the_prediction(
    structure: Structure, seed: int
) -> None:
    p, fast = problem(seed, structure=structure), fast_of(structure=structure)
    rng = np.random.default_rng(seed)
    nodes = (len(p.grid.nodes), len(MOVES))
    moves = p.feasible(p.previous + 0.5 * p.rate * rng.normal(size=nodes))
    rows = list(range(len(OUTPUTS)))
    jac = fast.sensitivities(fast.predict(p, moves), rows).copy()
    rate = np.tile(p.rate, len(p.grid.nodes))
    scale = np.max(np.abs(jac * rate), axis=(0, 2))
    for column in range(moves.size):
        step = np.zeros(moves.size)
        step[column] = 1e-3 * p.rate[column % len(MOVES)]
        up = fast.predict(p, moves + step.reshape(nodes)).y.copy()
        down = fast.predict(p, moves - step.reshape(nodes)).y
        change = (up - down)[rows].T / 2e-3
        exact = jac[:, :, column] * p.rate[column % len(MOVES)]
        assert np.max(np.abs(exact - change) / scale) < 1e-6


@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(BOTH), st.floats(0.0, 0.2))
@settings(max_examples=60)
def test_no_plan_ever_leaves_a_range_or_moves_faster_than_its_rate(
    seed: int, steps: int, structure: Structure, outside: float
) -> None:
    """Nor does one that starts from a set point outside its range: it comes back at the rate."""
    p = problem(seed, structure=structure)
    span = p.hi - p.lo
    shift = outside * span * np.random.default_rng(seed).choice([-1, 0, 1], 5)
    p = replace(p, previous=p.previous + shift)
    found = fast_of(structure=structure).solve(p, p.hold(), steps)
    path = held(p, found.moves)
    assert np.all(np.abs(np.diff(path, axis=0)) <= p.rate * (1.0 + 1e-9))
    beyond = np.maximum(path - p.hi, p.lo - path)
    way_back = np.maximum(np.maximum(p.previous - p.hi, p.lo - p.previous), 0.0)
    allowed = np.maximum(way_back - p.rate * np.arange(len(path))[:, None], 0.0)
    at_nodes = [0, *(n + 1 for n in p.grid.nodes)]
    assert np.all(beyond[at_nodes] <= allowed[at_nodes] + 1e-9 * span)


@given(st.integers(0, 10_000), st.sets(st.integers(0, 4), min_size=1, max_size=5))
@settings(max_examples=30)
def test_a_variable_that_is_not_available_stays_put(seed: int, off: set[int]) -> None:
    p = problem(seed)
    fixed = np.isin(np.arange(5), list(off))
    p = replace(p, lo=np.where(fixed, p.previous, p.lo), hi=np.where(fixed, p.previous, p.hi))
    found = fast_of().solve(p, p.hold(), 3)
    assert found.ok
    assert np.all(found.moves[:, fixed] == p.previous[fixed])
    if not fixed.all():
        assert np.any(found.moves[:, ~fixed] != p.previous[~fixed])


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_more_steps_never_make_a_plan_worse(seed: int) -> None:
    p, fast = problem(seed), fast_of()
    costs = [objective(p, fast.predict(p, p.hold()).y, p.hold())]
    costs += [fast.solve(p, p.hold(), steps).cost for steps in (1, 2, 4)]
    assert all(b <= a * (1.0 + 1e-9) for a, b in pairwise(costs))


@given(st.integers(0, 10_000), st.sampled_from(["level", "thickness", "log_pre_force"]))
@settings(max_examples=20)
def test_a_zone_that_cannot_be_kept_is_relaxed_and_not_a_failure(seed: int, output: str) -> None:
    p, fast = problem(seed, MIDDLE), fast_of(MIDDLE)
    row = OUTPUTS.index(output)
    now = fast.predict(p, p.hold()).y[row, 0]
    scale = next(z.scale for z in p.zones if z.output == output)
    unreachable = Zone(output, float(now) + 30.0 * scale, float(now) + 31.0 * scale, scale)
    p = replace(p, zones=(unreachable,))
    still = fast.predict(p, p.hold()).y
    assert excess(still, unreachable) > 10.0
    worth = objective(p, still, p.hold())
    found = fast.solve(p, p.hold(), 3)
    assert found.ok and found.steps > 0
    assert found.cost < worth


def test_a_zone_that_can_be_kept_is_kept_at_the_price_of_a_set_point() -> None:
    """A heavier tablet of the same strength is thicker; the plan stops where the zone ends."""
    p, fast = problem(None, MIDDLE), fast_of(MIDDLE)
    wish = p.references + np.array([0, log(1.06), 0, 0, 0])
    zone = Zone("thickness", 0.0, 3.36e-3, 0.05e-3)
    dear = replace(p.weights, slack_linear=1e3)
    free = fast.solve(replace(p, references=wish, zones=()), p.hold(), 30)
    kept = fast.solve(replace(p, references=wish, zones=(zone,), weights=dear), p.hold(), 30)
    assert excess(free.outputs, zone) > 2.0
    assert excess(kept.outputs, zone) < 0.01
    assert np.max(kept.outputs[OUTPUTS.index("thickness")]) == pytest.approx(zone.hi, rel=1e-3)


@pytest.mark.parametrize(
    ("where", "place"), [("x0", 2), ("p", 2), ("known", (2, 10)), ("references", 2)]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_give_a_verdict_and_a_plan_inside_the_limits(
    where: str, place: int, value: float
) -> None:
    p = problem(4)
    broken = np.array(getattr(p, where))
    broken[place] = value
    q = replace(p, **{where: broken})
    found = fast_of().solve(q, q.hold(), 2)
    assert not found.ok
    assert "not finite" in found.verdict
    assert found.moves == pytest.approx(p.hold())


def test_a_prediction_far_outside_what_powder_does_is_a_verdict_too() -> None:
    """Logarithms of factors of a hundred: the press equations have no answer there."""
    p = problem(4)
    mad = p.p.copy()
    mad[PARAMETERS.index("compliance")], mad[PARAMETERS.index("pressure_scale")] = 12.0, -60.0
    q = replace(p, p=mad)
    found = fast_of().solve(q, q.hold(), 2)
    path = held(q, found.moves)
    assert np.all(np.isfinite(path))
    assert np.all(np.abs(np.diff(path, axis=0)) <= q.rate * (1.0 + 1e-9))


def test_no_step_begins_after_the_deadline() -> None:
    p = problem(6)
    found = fast_of().solve(p, p.hold(), 5, time.perf_counter() - 1.0)
    assert (found.steps, found.verdict) == (0, "deadline")
    assert found.moves == pytest.approx(p.hold())


def test_at_the_best_plan_it_says_so() -> None:
    p, fast = problem(7), fast_of()
    best = fast.solve(p, p.hold(), 50)
    again = fast.solve(p, best.moves, 50)
    assert again.verdict in ("converged", "no descent")
    assert again.steps <= 1
    assert again.moves == pytest.approx(best.moves, rel=1e-4)


def test_a_line_at_rest_on_its_set_points_is_left_alone() -> None:
    p = problem()
    found = fast_of().solve(p, p.hold(), 5)
    moved = np.abs(found.moves - p.previous) / p.rate
    assert np.max(moved) < 0.5


@pytest.mark.parametrize("level", [0.5, 0.15, 0.08])
@pytest.mark.parametrize("mismatch", [-0.03, -0.2])
def test_a_chute_that_would_run_empty_is_filled_again(level: float, mismatch: float) -> None:
    """As it may be when the loop is closed: the first guess, to hold, empties it within minutes."""
    p, fast = problem(None, LONG), fast_of(LONG)
    x0 = p.x0.copy()
    x0[1] = level * LINE.line.chute.capacity_kg
    share = np.array([1.0 + mismatch, 1.0, 1.0, 1.0, 1.0])
    p = replace(p, x0=x0, previous=p.previous * share)
    row = OUTPUTS.index("level")
    assert fast.predict(p, p.hold()).y[row, -1] < level
    found = fast.solve(p, p.hold(), 2)
    assert found.ok
    assert found.outputs[row, -1] == pytest.approx(0.5, abs=0.1)
    assert np.min(found.outputs[row]) > 0.5 * level
