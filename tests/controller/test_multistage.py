"""The scenario solver, iterated, finds the optimum of do-mpc's multi-stage controller."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from controller.config import OptimisationConfig
from controller.optimisation.problem import OcpProblem
from controller.twin.core import OUTPUTS
from tests.controller.multistage import MultiStage
from tests.controller.ocp_kit import factory_of, fast_of, twin_of
from tests.controller.test_scenarios import drawn, robust_cost, solver_of

TINY = OptimisationConfig(stages=12, nodes=(0, 1, 2, 4, 8))
AMPLE_S = 300.0


@cache
def multi_stage() -> MultiStage:
    """With the estimate and two draws."""
    factory = factory_of(TINY)
    return MultiStage(twin_of(), factory.grid, factory.zones, 3)


def case(seed: int) -> OcpProblem:
    """Two draws, that differ in their parameters only: do-mpc's tree has one initial state."""
    p = drawn(seed, count=2, scale=2.0, config=TINY)
    assert p.draws is not None
    return replace(p, draws=replace(p.draws, x0=np.tile(p.x0, (2, 1))))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_reaches_the_objective_of_the_multi_stage_controller(seed: int) -> None:
    """Which is another than that of the nominal plan: else this would show nothing."""
    p = case(seed)
    best = multi_stage()(p, p.hold(), AMPLE_S)
    assert best.ok, best.verdict
    found = solver_of(TINY).solve(p, p.hold(), 100)
    target = robust_cost(p, best.moves)
    assert found.cost == pytest.approx(target, rel=1e-6)
    nominal = fast_of(TINY).solve(p, p.hold(), 100)
    assert robust_cost(p, nominal.moves) > target * (1.0 + 2e-5)


def test_so_it_does_where_a_zone_binds_for_one_draw_and_not_for_another() -> None:
    p = case(3)
    y = [
        fast_of(TINY).predict(m, p.hold()).y[OUTPUTS.index("level")].copy() for m in (p, *_draws(p))
    ]
    top = sorted(float(np.max(row)) for row in y)
    level = replace(next(z for z in p.zones if z.output == "level"), hi=0.5 * (top[0] + top[-1]))
    zones = tuple(level if z.output == "level" else z for z in p.zones)
    p = replace(p, zones=zones, weights=replace(p.weights, slack_linear=20.0))
    best = multi_stage()(p, p.hold(), AMPLE_S)
    assert best.ok, best.verdict
    found = solver_of(TINY).solve(p, p.hold(), 100)
    assert found.cost == pytest.approx(robust_cost(p, best.moves), rel=1e-6)


def _draws(p: OcpProblem) -> list[OcpProblem]:
    assert p.draws is not None
    return [replace(p, x0=x, p=q) for x, q in zip(p.draws.x0, p.draws.p, strict=True)]
