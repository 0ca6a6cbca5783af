"""The chain in trouble: each rung forced by making the one before fail, one way after the other."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from controller.brain import Forced
from controller.config import OptimisationConfig
from controller.data import Array, ReachedBy
from controller.optimisation.chain import ChainState, Outcome, SolverChain
from controller.optimisation.fast import FastSolver, Solution
from controller.optimisation.problem import Grid, OcpProblem
from controller.optimisation.reference import DoMpcReference
from tests.controller.ocp_kit import (
    SHORT,
    factory_of,
    fast_of,
    held,
    problem,
    reference_of,
    twin_of,
)

TIME_S = 60.0
FAST, REFERENCE, SHIFTED, HOLD = (
    ReachedBy.FAST,
    ReachedBy.REFERENCE,
    ReachedBy.SHIFTED,
    ReachedBy.HOLD,
)


@dataclass
class Hanging:
    """A solver that does not return until it may, or works if told so."""

    gate: threading.Event
    hangs: bool = True
    calls: int = 0
    threads: list[int] = field(default_factory=list)

    def solve(
        self,
        p: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        self.calls += 1
        self.threads.append(threading.get_ident())
        if self.hangs:
            assert self.gate.wait(60.0)
        moves = p.feasible(guess + 0.5 * p.rate)
        return Solution(moves, np.zeros((1, 1)), 1.0, 1, "converged", True)

    def refer(self, p: OcpProblem, guess: Array, left: float) -> Solution:
        return self.solve(p, guess, 1)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def chain(fast: Any, reference: Any = None, config: OptimisationConfig = SHORT) -> SolverChain:
    return SolverChain(cast(FastSolver, fast), reference, config)


def planned() -> ChainState:
    p = problem(1)
    return ChainState(fast_of().solve(p, p.hold(), 2).moves, 0, 0)


def inside(p: OcpProblem, moves: Array) -> bool:
    steps = np.abs(np.diff(held(p, moves), axis=0))
    return bool(np.all(np.isfinite(moves)) and np.all(steps <= p.rate * (1.0 + 1e-9)))


def forced(outcome: Outcome) -> Forced:
    return Forced(
        estimator_steps=1,
        optimiser_steps=outcome.steps,
        reached_by=outcome.reached_by,
        solver_verdicts=outcome.verdicts,
    )


# --- a solver that hangs ---


def test_a_fast_solver_that_hangs_leaves_the_reference_its_time(gate: threading.Event) -> None:
    p, times = problem(1), []

    def reference(q: OcpProblem, guess: Array, left: float) -> Solution:
        times.append(left)
        return Solution(q.hold(), np.zeros((1, 1)), 1.0, 3, "converged", True)

    ladder = chain(Hanging(gate), reference)
    began = time.perf_counter()
    out = ladder.solve(p, planned(), 1.0, None)
    assert time.perf_counter() - began < 5.0
    assert out.reached_by is REFERENCE
    assert out.verdicts[0].startswith("fast: TimeoutError: no answer within 0.7 s")
    assert 0.0 < times[0] < 0.3
    assert ladder.busy and ladder.unanswered(out.verdicts)


def test_when_both_hang_the_last_plan_goes_on_within_the_deadline(gate: threading.Event) -> None:
    p, hung = problem(1), Hanging(gate)
    state, times = planned(), []
    ladder = chain(hung, hung.refer)
    for age in range(1, SHORT.shifted_plan_max_cycles + 1):
        began = time.perf_counter()
        out = ladder.solve(p, state, 0.4, None)
        times.append(time.perf_counter() - began)
        assert (out.reached_by, out.state.age) == (SHIFTED, age)
        assert inside(p, out.moves)
        state = out.state
    assert max(times) < 5.0
    assert ladder.solve(p, state, 0.4, None).reached_by is HOLD
    assert hung.calls == 2  # each was asked once, and not again while it was at it


def test_it_is_asked_again_once_it_has_returned(gate: threading.Event) -> None:
    p, hung = problem(1), Hanging(gate)
    ladder = chain(hung)
    state = ladder.solve(p, planned(), 0.2, None).state
    busy = ladder.solve(p, state, 0.2, None)
    assert "still busy" in busy.verdicts[0]
    hung.hangs = False
    gate.set()
    limit = time.perf_counter() + 10.0
    while ladder.busy:
        assert time.perf_counter() < limit
    out = ladder.solve(p, busy.state, TIME_S, None)
    assert out.reached_by is FAST
    assert (out.state.failures, out.state.age) == (0, 0)


def test_what_hung_is_replayed_without_asking_anybody(gate: threading.Event) -> None:
    p, hung = problem(1), Hanging(gate)
    live = chain(hung, hung.refer).solve(p, planned(), 0.4, None)
    again = chain(fast_of(), reference_of()).solve(p, planned(), 1e-9, forced(live))
    assert again.reached_by is live.reached_by is SHIFTED
    assert np.array_equal(again.moves, live.moves)
    assert (again.state.failures, again.state.age) == (live.state.failures, live.state.age)


def test_a_replay_runs_in_the_callers_thread(gate: threading.Event) -> None:
    p, solver = problem(1), Hanging(gate, hangs=False)
    live = chain(solver).solve(p, planned(), TIME_S, None)
    chain(solver).solve(p, planned(), 1e-9, forced(live))
    assert solver.threads[0] != threading.get_ident()
    assert solver.threads[1] == threading.get_ident()


# --- the real solvers, broken one way after the other ---


def spoilt(p: OcpProblem, where: str) -> OcpProblem:
    value = getattr(p, where).copy()
    value[2] = np.nan
    return replace(p, **{where: value})


def hasty(p: OcpProblem, guess: Array, left: float) -> Solution:
    """IPOPT with an iteration limit that it cannot keep."""
    solver = DoMpcReference(twin_of(), factory_of().grid, factory_of().zones, iterations=2)
    return solver(p, guess, left)


class Limited:
    """The fast solver, whose quadratic program stops at its own iteration limit (DAQP: -4)."""

    def solve(
        self,
        p: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        return Solution.failed(p, guess, "QP exit -4")


@pytest.mark.parametrize("where", ["x0", "p", "known", "references"])
def test_numbers_that_are_none_end_in_the_last_plan(where: str) -> None:
    p = problem(1)
    out = chain(fast_of(), reference_of()).solve(spoilt(p, where), planned(), TIME_S, None)
    assert out.reached_by is SHIFTED
    assert inside(p, out.moves)


def test_an_iteration_limit_in_both_ends_in_the_last_plan() -> None:
    p = problem(1)
    out = chain(Limited(), hasty).solve(p, planned(), TIME_S, None)
    assert out.reached_by is SHIFTED
    assert out.verdicts[:2] == ("fast: QP exit -4", "reference: Maximum_Iterations_Exceeded")


def test_an_iteration_limit_in_the_fast_one_alone_is_the_references_turn() -> None:
    p = problem(1)
    out = chain(Limited(), reference_of()).solve(p, ChainState(), TIME_S, None)
    assert out.reached_by is REFERENCE


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_start_outside_every_range_is_brought_back_by_the_first_rung(share: float) -> None:
    """Set points in use outside their ranges, from which no feasible plan exists at once."""
    p = problem(1)
    p = replace(p, previous=p.hi + share * (p.hi - p.lo))
    out = chain(fast_of(), reference_of()).solve(p, ChainState(), TIME_S, None)
    assert out.reached_by is FAST
    assert inside(p, out.moves)
    assert np.all(out.moves[-1] < p.previous)


def test_zones_that_contradict_each_other_are_relaxed_and_no_failure() -> None:
    """A level above 0.9, a tablet thinner than it can be, forces below what its weight takes."""
    p = problem(1)
    impossible = {
        "level": (0.9, 0.95),
        "thickness": (1e-3, 1.1e-3),
        "log_pre_force": (-1e3, 1.0),
        "ejection_force": (-1e9, 1.0),
    }
    zones = tuple(
        replace(z, lo=impossible[z.output][0], hi=impossible[z.output][1])
        if z.output in impossible
        else z
        for z in p.zones
    )
    out = chain(fast_of()).solve(replace(p, zones=zones), ChainState(), TIME_S, None)
    assert out.reached_by is FAST
    assert inside(p, out.moves)


# --- time goes on ---


def ramp(grid: Grid) -> Array:
    """Node values that tell at which stage they are: the first move counts the stages."""
    return np.column_stack([np.array(grid.nodes, dtype=float)] * 5)


@pytest.mark.parametrize("cycles", [0, 1, 3, 9])
def test_a_plan_is_looked_at_from_where_the_plant_is(cycles: int) -> None:
    grid = Grid(24, (0, 1, 2, 4, 8, 16), 5.0)
    later = ChainState(ramp(grid), 2, 1).later(grid, cycles)
    assert later.moves is not None
    assert later.moves[0, 0] == pytest.approx(cycles)
    assert later.moves[:, 0] == pytest.approx(np.minimum(np.array(grid.nodes) + cycles, 16))
    assert (later.failures, later.age) == (2, 1 + cycles)


def test_of_a_plan_that_is_over_nothing_is_kept() -> None:
    grid = Grid(24, (0, 1, 2, 4, 8, 16), 5.0)
    assert ChainState(ramp(grid), 2, 1).later(grid, 16) == ChainState(None, 2, 17)
    assert ChainState(None, 2, 1).later(grid, 5) == ChainState(None, 2, 1)


def test_a_plan_that_grew_old_while_cycles_were_lost_is_not_followed_any_more() -> None:
    p, broken = problem(1), Limited()
    state = planned().later(p.grid, SHORT.shifted_plan_max_cycles)
    assert chain(broken).solve(p, state, TIME_S, None).reached_by is HOLD


def test_a_solver_that_fails_over_and_over_recovers_at_once_when_its_guess_was_the_cause() -> None:
    """The failure of another project: warm starts from failures, and a clock that stood still.

    The solver fails whenever it starts from anything but holding the set points in use. The plan
    in the meantime is the last good one, further on each cycle; then the guess is dropped.
    """
    p, reached, firsts = problem(1), [], []

    class Picky:
        def solve(
            self,
            q: OcpProblem,
            guess: Array,
            steps: int,
            deadline: float | None = None,
            prepared: Array | None = None,
        ) -> Solution:
            if np.allclose(guess, q.hold()):
                return fast_of().solve(q, guess, steps, deadline)
            return Solution.failed(q, guess, "QP exit -1")

    state = planned()
    assert state.moves is not None
    expected = p.feasible(state.moves)
    for _ in range(SHORT.drop_warm_start_after + 1):
        out = chain(Picky()).solve(p, state, TIME_S, None)
        reached.append(out.reached_by)
        firsts.append(out.moves[0])
        state = out.state
    assert reached == [SHIFTED] * SHORT.drop_warm_start_after + [FAST]
    wanted = p.grid.interpolation @ expected
    for cycle, first in enumerate(firsts[:-1], start=1):
        step = np.abs(first - wanted[cycle]) / p.rate
        assert np.max(step) < cycle + 1e-6  # as far on as the rates allow from where it stands


STORY: dict[str, Callable[[threading.Event], tuple[Any, Any]]] = {
    "nobody": lambda gate: (Limited(), None),
    "hanging": lambda gate: (Hanging(gate), Hanging(gate).refer),
}


@pytest.mark.parametrize("trouble", STORY)
def test_hold_is_the_last_rung_and_says_so(trouble: str, gate: threading.Event) -> None:
    p = problem(1)
    fast, reference = STORY[trouble](gate)
    out = chain(fast, reference).solve(p, ChainState(), 0.2, None)
    assert out.reached_by is HOLD
    assert out.verdicts[-1] == "hold"
    assert np.array_equal(out.moves, p.hold())
