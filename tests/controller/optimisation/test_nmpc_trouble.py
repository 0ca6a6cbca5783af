"""The optimising controller in the cycle: targets in its plans, hung solvers, lost cycles."""

import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from controller.brain import Forced, Step
from controller.config import OptimisationConfig
from controller.data import CV, Array, Mode, ReachedBy, Targets, Validated
from controller.nmpc import NmpcBrain, NmpcState
from controller.optimisation.fast import Solution
from controller.optimisation.problem import OcpProblem
from controller.records.codec import encode
from controller.steady_config import SteadyConfig
from plant_models.signals import MV
from tests.controller.kit import LINE, PERIOD, TABLE, TARGETS, controller_config
from tests.controller.line_data import Line
from tests.controller.ocp_kit import SHORT
from tests.controller.twin_data import estimator

WARM = 30
TIME_S = 60.0


def brain(optimisation: OptimisationConfig = SHORT) -> NmpcBrain:
    return NmpcBrain(
        LINE, TABLE, controller_config().model_copy(update={"optimisation": optimisation}), None
    )


@cache
def readings() -> tuple[Validated, ...]:
    """What is seen of a line in steady running."""
    line = Line(estimator(), seed=4)
    return tuple(line.cycle() for _ in range(WARM + 12))


@cache
def warm() -> tuple[NmpcBrain, NmpcState]:
    """A controller after some minutes in closed loop."""
    b = brain()
    state: Any = b.initial()
    for seen in readings()[:WARM]:
        state = step(b, state, seen).state
    return b, state


def step(
    b: NmpcBrain,
    state: NmpcState,
    seen: Validated,
    targets: Targets = TARGETS,
    deadline_s: float = TIME_S,
    forced: Forced | None = None,
) -> Step:
    return b.step(state, seen, Mode.CLOSED_LOOP, targets, deadline_s, forced)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


# --- targets ---


def test_a_plan_says_where_it_leads_to() -> None:
    b, state = warm()
    plan = step(b, state, readings()[WARM]).plan
    assert plan is not None and plan.target is not None
    points = plan.target.set_points
    for cv in (CV.POTENCY, CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH, CV.THROUGHPUT):
        assert points[cv] == pytest.approx(TARGETS.set_points[cv], rel=1e-4)
    assert points["chute_level"] == 0.5
    assert set(plan.target.moves) == set(b.manipulated)
    assert plan.target.relaxed == ()
    assert not any(v.startswith("target") for v in plan.solver_verdicts)


def test_a_plan_says_what_cannot_be_had() -> None:
    b, state = warm()
    wanted = Targets(set_points={**TARGETS.set_points, CV.TENSILE_STRENGTH: 4.2e6})
    plan = step(b, state, readings()[WARM], wanted).plan
    assert plan is not None and plan.target is not None
    said = [v for v in plan.solver_verdicts if v.startswith("target: tensile_strength")]
    assert len(said) == 1 and "instead of 4.2 MPa" in said[0]
    assert plan.target.set_points[CV.TABLET_WEIGHT] == pytest.approx(200e-6, rel=1e-3)


def test_while_nothing_may_be_moved_there_is_no_target() -> None:
    b, state = warm()
    seen = replace(readings()[WARM], available=dict.fromkeys(readings()[WARM].available, False))
    plan = step(b, state, seen).plan
    assert plan is not None
    assert plan.target is None


def test_economics_move_the_throughput_and_are_part_of_the_state() -> None:
    tuned = SHORT.model_copy(update={"steady": SteadyConfig(economic=True)})
    b = brain(tuned)
    _, state = warm()
    feeds = []
    for seen in readings()[WARM : WARM + 6]:
        state = pickle.loads(pickle.dumps(state))
        out = step(b, state, seen)
        state = out.state
        assert out.plan is not None and out.plan.target is not None
        feeds.append(out.plan.moves[MV.TOTAL_FEED][-1])
    assert out.plan.target.set_points[CV.THROUGHPUT] > 27.0 / 3600.0
    assert feeds[-1] > feeds[0] > 20.0 / 3600.0


# --- solvers that hang ---


def hang(b: NmpcBrain, gate: threading.Event) -> None:
    def solve(
        p: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        assert gate.wait(60.0)
        return Solution.failed(p, guess, "too late")

    b.chain.fast.solve = solve  # type: ignore[method-assign]


def test_a_hung_solver_costs_a_forecast_and_the_last_plan_goes_on(gate: threading.Event) -> None:
    _, state = warm()
    b = brain()
    hang(b, gate)
    began = time.perf_counter()
    out = step(b, state, readings()[WARM], deadline_s=0.5)
    again = step(b, out.state, readings()[WARM + 1], deadline_s=0.5)
    assert time.perf_counter() - began < 10.0
    for one in (out, again):
        assert one.plan is not None
        assert one.plan.reached_by is ReachedBy.SHIFTED
        assert one.forecast is None
        assert one.estimate is not None


def test_it_plans_again_as_soon_as_the_solver_is_back(gate: threading.Event) -> None:
    _, state = warm()
    b = brain()
    hang(b, gate)
    state = step(b, state, readings()[WARM], deadline_s=0.3).state
    gate.set()
    limit = time.perf_counter() + 10.0
    while b.chain.busy:
        assert time.perf_counter() < limit
    del b.chain.fast.solve
    out = step(b, state, readings()[WARM + 1])
    assert out.plan is not None
    assert out.plan.reached_by is ReachedBy.FAST
    assert out.forecast is not None


def test_cycles_with_a_hung_solver_are_replayed_bit_for_bit(gate: threading.Event) -> None:
    careful = SHORT.model_copy(update={"back_off": True})
    _, state = warm()
    b, other = brain(careful), brain(careful)
    hang(b, gate)
    twin = state
    for seen in readings()[WARM : WARM + 5]:
        live = step(b, state, seen, deadline_s=0.3)
        again = step(other, twin, seen, forced=live.taken)
        assert encode((again.plan, again.forecast)) == encode((live.plan, live.forecast))
        state, twin = live.state, again.state


# --- cycles that were lost ---


@pytest.mark.parametrize("lost", [0, 1, 4])
def test_the_plan_is_looked_at_from_where_the_plant_is(lost: int) -> None:
    """Whoever was away for a while does not do now what was meant for then."""
    _, state = warm()
    b, guesses = brain(), []
    solve = b.chain.fast.solve

    def spy(
        p: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        guesses.append(guess)
        return solve(p, guess, steps, deadline)

    b.chain.fast.solve = spy  # type: ignore[method-assign]
    expected = state.chain.moves
    assert expected is not None
    expected = b.factory.grid.shifted(expected, lost) if lost else expected
    expected = b.factory.grid.shifted(expected)
    step(b, state, readings()[WARM + lost])
    assert np.array_equal(guesses[0], expected)


def test_after_a_long_time_it_begins_from_the_set_points_in_use() -> None:
    b, state = warm()
    late = replace(readings()[WARM], time=readings()[WARM].time + 600.0)
    out = step(b, state, late)
    assert out.plan is not None
    assert out.plan.reached_by is ReachedBy.FAST
    assert out.state.planned == late.time
    assert late.time - state.planned > PERIOD * b.factory.grid.nodes[-1]
