"""The reference: the same problem, converged by IPOPT; honest about time and failure."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.algorithms import make_brain
from controller.config import OptimisationConfig
from controller.data import Array
from controller.nmpc import NmpcBrain
from controller.optimisation.fallback import LazyReference, lazy_reference
from controller.optimisation.fast import Solution
from controller.optimisation.problem import OcpProblem, Zone, objective, violations
from controller.optimisation.reference import DoMpcReference
from controller.twin.core import OUTPUTS
from plant_models.variables import Structure
from tests.controller.kit import LINE, TABLE, controller_config
from tests.controller.ocp_kit import (
    LONG,
    MIDDLE,
    SHORT,
    factory_of,
    fast_of,
    held,
    problem,
    reference_of,
    twin_of,
)

AMPLE_S = 120.0


def agree(p: OcpProblem, config: OptimisationConfig, structure: Structure) -> tuple[float, float]:
    """Objective of the converged fast solver, relative to the reference's; and in between."""
    fast, reference = fast_of(config, structure), reference_of(config, structure)
    best = reference(p, p.hold(), AMPLE_S)
    assert best.ok, best.verdict
    found = fast.solve(p, p.hold(), 100)
    assert found.verdict in ("converged", "no descent")
    again = objective(p, fast.predict(p, best.moves).y, best.moves)
    return found.cost / best.cost - 1.0, again / best.cost - 1.0


@pytest.mark.parametrize(
    ("seed", "structure"),
    [*((n, Structure.CASCADE) for n in range(12)), *((n, Structure.REMOTE) for n in range(6))],
)
def test_the_fast_solver_converges_to_the_objective_of_the_reference(
    seed: int, structure: Structure
) -> None:
    """Both find the same plan's worth from the same guess, refills and active zones included."""
    gap, _ = agree(problem(seed, structure=structure), SHORT, structure)
    assert abs(gap) < 1e-4


@pytest.mark.parametrize("seed", [0, 2])
def test_so_it_does_on_a_longer_grid(seed: int) -> None:
    gap, _ = agree(problem(seed, MIDDLE), MIDDLE, Structure.CASCADE)
    assert abs(gap) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 32))
def test_so_it_does_on_the_grid_of_the_controller(seed: int) -> None:
    gap, _ = agree(problem(seed, LONG), LONG, Structure.CASCADE)
    assert abs(gap) < 1e-4


@pytest.mark.parametrize("seed", [0, 4])
def test_so_it_does_with_zones_that_narrow_along_the_horizon(seed: int) -> None:
    p = problem(seed)
    margin = np.linspace(0.0, 0.24, p.grid.stages)
    level = next(z for z in p.zones if z.output == "level")
    p = replace(p, zones=tuple(replace(z, margin=margin) if z is level else z for z in p.zones))
    gap, difference = agree(p, SHORT, Structure.CASCADE)
    assert abs(gap) < 1e-4
    assert abs(difference) < 1e-10
    y = fast_of().predict(p, p.hold()).y
    assert np.any(violations(p, y) > 0.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_solvers_predict_the_same_worth_of_the_same_plan(seed: int) -> None:
    _, difference = agree(problem(seed), SHORT, Structure.CASCADE)
    assert abs(difference) < 1e-10


def test_active_zones_and_refills_are_among_the_cases() -> None:
    """Else the tests above would show less than they say."""
    cases = [problem(seed) for seed in range(12)]
    outside = 0
    for p in cases:
        y = fast_of().solve(p, p.hold(), 100).outputs
        for zone in p.zones:
            row = y[OUTPUTS.index(zone.output)]
            outside += bool(row.max() > zone.hi or row.min() < zone.lo)
    assert outside >= 2
    assert sum(bool(p.known[0, 0]) for p in cases) >= 3


@pytest.mark.slow
def test_exact_curvature_leads_to_the_same_optimum() -> None:
    """IPOPT is given the Hessian of the squares alone; at the solution that makes no difference."""
    exact = DoMpcReference(
        twin_of(), factory_of().grid, factory_of().zones, tolerance=1e-8, exact_hessian=True
    )
    p = problem(1)
    newton, gauss = exact(p, p.hold(), AMPLE_S), reference_of()(p, p.hold(), AMPLE_S)
    assert newton.ok and gauss.ok
    assert gauss.cost == pytest.approx(newton.cost, rel=1e-7)


@given(st.integers(0, 10_000), st.floats(0.0, 0.1))
@settings(max_examples=8)
def test_its_plans_keep_ranges_and_rates_too(seed: int, outside: float) -> None:
    p = problem(seed)
    shift = outside * (p.hi - p.lo) * np.random.default_rng(seed).choice([-1, 0, 1], 5)
    p = replace(p, previous=p.previous + shift)
    found = reference_of()(p, p.hold(), AMPLE_S)
    assert found.ok, found.verdict
    path = held(p, found.moves)
    assert np.all(np.abs(np.diff(path, axis=0)) <= p.rate * (1.0 + 1e-9))
    distance = np.abs(path - np.clip(path, p.lo, p.hi))
    assert np.all(np.diff(distance, axis=0) <= 1e-9 * (p.hi - p.lo))


def test_what_is_not_available_stays_put() -> None:
    p = problem(8)
    off = np.array([False, True, False, True, False])
    p = replace(p, lo=np.where(off, p.previous, p.lo), hi=np.where(off, p.previous, p.hi))
    found = reference_of()(p, p.hold(), AMPLE_S)
    assert found.ok
    assert np.all(found.moves[:, off] == p.previous[off])
    gap, _ = agree(p, SHORT, Structure.CASCADE)
    assert abs(gap) < 1e-4


def test_a_zone_that_cannot_be_kept_is_relaxed() -> None:
    p = problem(3)
    zones = tuple(replace(z, lo=0.9, hi=0.95) if z.output == "level" else z for z in p.zones)
    found = reference_of()(replace(p, zones=zones), p.hold(), AMPLE_S)
    assert found.ok
    assert found.cost > 100.0


def test_the_outcome_depends_on_the_problem_and_not_on_the_one_before() -> None:
    reference, p = reference_of(), problem(5)
    first = reference(p, p.hold(), AMPLE_S)
    reference(problem(6), p.hold(), AMPLE_S)
    second = reference(p, p.hold(), AMPLE_S)
    assert np.array_equal(first.moves, second.moves)
    assert first.steps == second.steps


def test_a_solver_that_did_not_converge_gives_no_solution() -> None:
    """do-mpc itself would hand out whatever IPOPT left."""
    hasty = DoMpcReference(twin_of(), factory_of().grid, factory_of().zones, iterations=2)
    p = problem(2)
    found = hasty(p, p.hold(), AMPLE_S)
    assert not found.ok
    assert found.verdict == "Maximum_Iterations_Exceeded"
    assert found.moves == pytest.approx(p.hold())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x0", "p", "references"])
def test_numbers_that_are_none_are_a_verdict(where: str, value: float) -> None:
    p = problem(2)
    broken = getattr(p, where).copy()
    broken[2] = value
    found = reference_of()(replace(p, **{where: broken}), p.hold(), AMPLE_S)
    assert not found.ok
    assert np.all(np.isfinite(found.moves))


def test_it_stops_at_the_deadline() -> None:
    p, reference = problem(0, MIDDLE), reference_of(MIDDLE)
    whole = reference(p, p.hold(), AMPLE_S)
    began = time.perf_counter()
    found = reference(p, p.hold(), 0.06)
    assert time.perf_counter() - began < 5.0
    assert whole.ok
    assert (found.ok, found.verdict) == (False, "deadline")
    assert found.steps < whole.steps


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_without_time_it_does_not_begin(left: float) -> None:
    p = problem(0)
    found = reference_of()(p, p.hold(), left)
    assert (found.ok, found.steps, found.verdict) == (False, 0, "no time left")


def test_it_refuses_a_problem_it_was_not_set_up_for() -> None:
    p = problem(0)
    other = replace(p, zones=(Zone("level", 0.3, 0.7, 0.1),))
    with pytest.raises(ValueError, match="other zones"):
        reference_of()(other, p.hold(), AMPLE_S)
    with pytest.raises(ValueError, match="another grid"):
        reference_of()(problem(0, MIDDLE), problem(0, MIDDLE).hold(), AMPLE_S)


class Slow:
    """A maker that waits for a signal, and a reference that says it was asked."""

    def __init__(self) -> None:
        self.go, self.made, self.asked = threading.Event(), 0, 0

    def make(self, _: OcpProblem) -> "Slow":
        self.made += 1
        assert self.go.wait(30.0)
        return self

    def __call__(self, p: OcpProblem, guess: Array, left: float) -> Solution:
        self.asked += 1
        assert left > 0.0
        return Solution(p.feasible(guess), np.zeros((1, 1)), 1.0, 7, "fine", True)


@pytest.fixture
def slow() -> Iterator[Slow]:
    maker = Slow()
    yield maker
    maker.go.set()


def test_nothing_is_built_before_it_is_needed(slow: Slow) -> None:
    LazyReference(slow.make)
    assert slow.made == 0


def test_without_time_nothing_is_built(slow: Slow) -> None:
    p = problem(0)
    assert LazyReference(slow.make)(p, p.hold(), -1.0).verdict == "no time left"
    assert slow.made == 0


def test_a_call_waits_for_the_construction_no_longer_than_it_may(slow: Slow) -> None:
    p, lazy = problem(0), LazyReference(slow.make)
    began = time.perf_counter()
    found = lazy(p, p.hold(), 0.2)
    assert 0.15 < time.perf_counter() - began < 5.0
    assert (found.ok, found.verdict, slow.asked) == (False, "being built", 0)
    slow.go.set()
    assert lazy(p, p.hold(), 30.0).verdict == "fine"
    assert (slow.made, slow.asked) == (1, 1)


def test_a_construction_that_failed_is_told_to_every_caller() -> None:
    def make(_: OcpProblem) -> LazyReference:
        raise RuntimeError("no do-mpc here")

    p, lazy = problem(0), LazyReference(make)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no do-mpc here"):
            lazy(p, p.hold(), 30.0)


def test_the_one_of_the_controller_is_do_mpc_on_its_own_twin() -> None:
    p = problem(9)
    found = lazy_reference(twin_of(), 200)(p, p.hold(), AMPLE_S)
    assert found.ok
    assert found.cost == pytest.approx(reference_of()(p, p.hold(), AMPLE_S).cost, rel=1e-4)


def test_the_controller_has_one_and_has_not_built_it_yet() -> None:
    before = {t.name for t in threading.enumerate()}
    brain = make_brain(controller_config("nmpc"), LINE, TABLE, None)
    assert isinstance(brain, NmpcBrain)
    assert isinstance(brain.chain.reference, LazyReference)
    assert "reference" not in {t.name for t in threading.enumerate()} - before
