"""The description of the optimal control problem: grid, limits, objective, what is fixed."""

from dataclasses import replace
from math import log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data import CV, Targets
from controller.estimation.estimator import THICKNESS
from controller.optimisation.problem import (
    Grid,
    Zone,
    move_terms,
    objective,
    stage_moves,
    violations,
)
from controller.optimisation.setup import moved_tags
from controller.twin.core import INPUTS, OUTPUTS, PARAMETERS
from plant_models.signals import MV
from plant_models.variables import Structure
from tests.controller.ocp_kit import BLENDER, FEED, SHORT, factory_of, held, problem, twin_of

GRID = Grid(12, (0, 1, 3, 7), 5.0)


def nodes() -> st.SearchStrategy[tuple[int, ...]]:
    later = st.lists(st.integers(1, 22), unique=True, max_size=6).map(sorted)
    return later.map(lambda rest: (0, *rest))


def test_between_nodes_a_move_runs_straight_and_after_the_last_it_stays() -> None:
    moves = np.array([[1.0], [2.0], [6.0], [-2.0]])
    share = GRID.interpolation @ moves
    expected = [1, 2, 4, 6, 4, 2, 0, -2, -2, -2, -2, -2]
    assert share.ravel() == pytest.approx(expected)


@given(nodes())
def test_the_weights_of_the_nodes_add_up_to_one_and_each_node_holds_at_its_stage(
    places: tuple[int, ...],
) -> None:
    share = Grid(24, places, 5.0).interpolation
    assert share.sum(axis=1) == pytest.approx(np.ones(24))
    assert share.min() >= 0.0
    assert share[list(places)] == pytest.approx(np.eye(len(places)))


@given(nodes(), st.integers(0, 100))
def test_a_shifted_plan_is_the_old_one_seen_a_stage_later_at_each_node(
    places: tuple[int, ...], seed: int
) -> None:
    grid = Grid(24, places, 5.0)
    moves = np.random.default_rng(seed).normal(size=(len(places), 2))
    before = grid.interpolation @ moves
    after = grid.interpolation @ grid.shifted(moves)
    for n in places:
        assert after[n] == pytest.approx(before[min(n + 1, 23)], abs=1e-12)


def test_a_gap_counts_the_control_periods_since_the_node_before() -> None:
    assert GRID.gaps == pytest.approx([1, 1, 2, 4])


@given(st.integers(0, 10_000), st.floats(0.0, 40.0), st.floats(0.0, 0.3))
def test_moves_made_feasible_keep_ranges_and_rates_and_stay_as_they_are_if_done_again(
    seed: int, size: float, outside: float
) -> None:
    p = problem(seed)
    rng = np.random.default_rng(seed)
    span = p.hi - p.lo
    p = replace(p, previous=p.previous + outside * span * rng.choice([-1, 0, 1], 5))
    wild = p.previous + size * p.rate * rng.normal(size=(len(p.grid.nodes), 5))
    moves = p.feasible(wild)
    path = held(p, moves)
    assert np.all(np.abs(np.diff(path, axis=0)) <= p.rate * (1.0 + 1e-9))
    home = np.clip(path, p.lo, p.hi)
    distance = np.abs(path - home)
    assert np.all(np.diff(distance, axis=0) <= 1e-9 * span)
    inside = (p.previous >= p.lo) & (p.previous <= p.hi)
    assert np.all(distance[:, inside] <= 1e-12 * span[inside])
    assert p.feasible(moves) == pytest.approx(moves, rel=1e-12)


def test_holding_keeps_the_set_points_in_use() -> None:
    p = problem(3)
    assert p.hold() == pytest.approx(np.tile(p.previous, (len(p.grid.nodes), 1)))


def test_holding_outside_a_range_comes_back_at_the_rate_limit() -> None:
    p = problem()
    p = replace(p, previous=p.previous + np.array([0, 0, 0, 10.5 * p.rate[3], 0]))
    p = replace(p, hi=np.where(np.arange(5) == 3, p.previous - 4.5 * p.rate, p.hi))
    path = held(p, p.hold())[:, 3]
    steps = np.round(-np.diff(path) / p.rate[3], 9)
    assert steps[:3] == pytest.approx([1, 1, 1])
    assert path[-1] == pytest.approx(p.hi[3])
    assert np.all(np.diff(path) <= 1e-15)


def test_the_objective_is_the_formula_of_its_docstring() -> None:
    p = problem(5)
    rng = np.random.default_rng(5)
    zone = Zone("level", 0.3, 0.6, 0.1)
    p = replace(p, zones=(zone,))
    y = rng.normal(size=(len(OUTPUTS), p.grid.stages))
    moves = p.feasible(p.previous + p.rate * rng.normal(size=(len(p.grid.nodes), 5)))
    total, last = 0.0, p.previous
    for j in range(p.grid.stages):
        for i, name in enumerate(("potency", "log_weight", "log_strength", "throughput", "level")):
            error = y[OUTPUTS.index(name), j] - p.references[i]
            total += (error / p.weights.tracked[i]) ** 2 / p.grid.stages
    for n, gap in enumerate(p.grid.gaps):
        total += float(np.sum(((moves[n] - last) / (p.weights.moves * p.rate)) ** 2)) / gap
        last = moves[n]
    level = y[OUTPUTS.index("level")]
    for e in (max(level.max() - 0.6, 0.0) / 0.1, max(0.3 - level.min(), 0.0) / 0.1):
        total += p.weights.slack_linear * e + p.weights.slack_quadratic * e**2
    assert objective(p, y, moves) == pytest.approx(total, rel=1e-12)


def test_a_ramp_costs_the_same_whichever_nodes_describe_it() -> None:
    """So the price of a move does not depend on where the grid is fine."""
    p = problem()
    fine = replace(p, grid=Grid(24, (0, 1, 2, 3, 4), 5.0))
    coarse = replace(p, grid=Grid(24, (0, 4), 5.0))
    ramp = p.previous + p.rate * np.arange(1.0, 6.0)[:, None]
    price = [
        float(np.sum(move_terms(q, m) ** 2)) for q, m in ((fine, ramp), (coarse, ramp[[0, 4]]))
    ]
    assert stage_moves(fine, ramp) == pytest.approx(stage_moves(coarse, ramp[[0, 4]]))
    assert price[0] == pytest.approx(price[1])


def seen(**changes: Any) -> Any:
    tags = moved_tags(Structure.CASCADE)
    actual = dict(zip(tags, problem().previous, strict=True))
    actual |= {MV.LUBRICANT_RATIO: 0.01, MV.BLENDER_SPEED: BLENDER}
    available = dict.fromkeys(tags, True) | changes.get("available", {})
    actual |= changes.get("actual", {})
    return SimpleNamespace(actual=actual, available=available, feeder_rates=(1.0, 2.0, 3.0))


def built(validated: Any, parameters: Any = None, machine: float | None = None) -> Any:
    """Problem of a factory whose estimate is the line at rest."""
    p = np.zeros((len(PARAMETERS), 1)) if parameters is None else parameters
    x = twin_of().steady(FEED, 0.1, 0.0, BLENDER)[:, None]
    forecast = SimpleNamespace(frozen=(True,) * 24, flow=(0.5,) * 24, deviation=(0.01,) * 24)
    feeder = SimpleNamespace(forecast=lambda state, rate, stages: forecast)
    estimator: Any = SimpleNamespace(feeders=(feeder,) * 3)
    solution = SimpleNamespace(x=x, p=p)
    inputs = np.zeros(len(INPUTS))
    inputs[THICKNESS] = validated.actual[MV.THICKNESS] if machine is None else machine
    state: Any = SimpleNamespace(
        solution=solution, feeders=(None,) * 3, lot_share=0.25, inputs=inputs
    )
    wanted = {CV.POTENCY: 1.0, CV.TABLET_WEIGHT: 2e-4, CV.TENSILE_STRENGTH: 2e6}
    wanted[CV.THROUGHPUT] = FEED
    return factory_of().build(estimator, state, validated, Targets(set_points=wanted))


def test_a_variable_that_is_not_available_is_fixed_where_it_is() -> None:
    p = built(seen(available={MV.THICKNESS: False}, actual={MV.THICKNESS: 4e-3}))
    index = moved_tags(Structure.CASCADE).index(MV.THICKNESS)
    assert p.lo[index] == p.hi[index] == p.previous[index] == 4e-3
    others = np.arange(5) != index
    assert np.all(p.lo[others] < p.hi[others])


def test_unexplained_powder_is_not_believed_to_go_on() -> None:
    p = np.zeros((len(PARAMETERS), 1))
    p[PARAMETERS.index("inflow")], p[PARAMETERS.index("strength")] = 1e-4, 0.05
    out = built(seen(), p)
    assert out.p[PARAMETERS.index("inflow")] == 0.0
    assert out.p[PARAMETERS.index("strength")] == 0.05
    assert p[PARAMETERS.index("inflow")] == 1e-4


def test_the_machine_stays_where_the_drives_play_left_it() -> None:
    setting = seen().actual[MV.THICKNESS]
    p = np.zeros((len(PARAMETERS), 1))
    p[PARAMETERS.index("thickness_offset")] = 1e-6
    out = built(seen(), p, machine=setting + 3e-6)
    assert out.p[PARAMETERS.index("thickness_offset")] == pytest.approx(4e-6)


def test_what_is_known_of_feeders_lot_and_recipe_reaches_every_stage() -> None:
    p = built(seen())
    column = [1.0, 0.5, 0.01] * 3 + [0.01, 0.25, BLENDER]
    assert p.known == pytest.approx(np.tile(np.array(column)[:, None], (1, SHORT.stages)))


def test_set_points_are_tracked_as_the_outputs_are() -> None:
    p = built(seen())
    assert p.references == pytest.approx([1.0, log(2e-4), log(2e6), FEED, 0.5])


def test_there_is_no_problem_without_an_estimate() -> None:
    state: Any = SimpleNamespace(solution=None)
    with pytest.raises(ValueError, match="no estimate"):
        factory_of().build(SimpleNamespace(), state, seen(), Targets(set_points={}))  # type: ignore[arg-type]


def test_a_margin_counts_by_stage_and_never_beyond_the_middle_of_its_band() -> None:
    p = problem(5)
    margin = np.linspace(0.0, 0.3, p.grid.stages)
    zone = Zone("level", 0.4, 0.6, 0.1, margin)
    lower, upper = zone.limits
    assert lower == pytest.approx(np.minimum(0.4 + margin, 0.5))
    assert upper == pytest.approx(np.maximum(0.6 - margin, 0.5))
    y = np.random.default_rng(6).normal(size=(len(OUTPUTS), p.grid.stages))
    level = y[OUTPUTS.index("level")]
    worst = [max(float(np.max(e)), 0.0) / 0.1 for e in (level - upper, lower - level)]
    assert violations(replace(p, zones=(zone,)), y) == pytest.approx(worst)


def test_a_band_without_margin_has_its_own_limits() -> None:
    assert Zone("level", 0.4, 0.6, 0.1).limits == (0.4, 0.6)
    assert Zone("ejection_force", -1e9, 300.0, 30.0, 50.0).limits == (-1e9 + 50.0, 250.0)
