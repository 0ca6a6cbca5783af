"""The chain of solvers: each rung in its turn, whatever went wrong, and again in a replay."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.brain import Forced
from controller.config import OptimisationConfig
from controller.data import Array, ReachedBy
from controller.optimisation.chain import ChainState, Outcome, SolverChain
from controller.optimisation.fast import FastSolver, Solution
from controller.optimisation.problem import OcpProblem
from tests.controller.ocp_kit import SHORT, fast_of, held, problem, reference_of

TIME_S = 60.0
TROUBLE = (
    np.linalg.LinAlgError("singular matrix"),
    FloatingPointError("overflow"),
    ValueError("operands could not be broadcast"),
    RuntimeError("CasADi: Assertion failed"),
    ZeroDivisionError(),
    KeyError("level"),
)


@dataclass
class Scripted:
    """A solver that does what it is told: improve the guess, fail, or raise."""

    works: bool = True
    error: Exception | None = None
    verdict: str = "converged"
    steps: int = 2
    guesses: list[Array] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def solve(
        self,
        p: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        self.guesses.append(guess)
        if self.error is not None:
            raise self.error
        if not self.works:
            return Solution.failed(p, guess, "QP exit -1")
        taken = min(steps, self.steps)
        moves = p.feasible(guess + 0.5 * taken * p.rate)
        said = self.verdict if taken < steps else "step limit"
        return Solution(moves, np.zeros((1, 1)), 1.0, taken, said, True)

    def refer(self, p: OcpProblem, guess: Array, left: float) -> Solution:
        self.times.append(left)
        return self.solve(p, guess, 50)


def chain(fast: Any, reference: Any = None, config: OptimisationConfig = SHORT) -> SolverChain:
    return SolverChain(cast(FastSolver, fast), reference, config)


def forced(outcome: Outcome) -> Forced:
    """What a record keeps of an outcome."""
    return Forced(estimator_steps=1, optimiser_steps=outcome.steps, reached_by=outcome.reached_by)


def inside(p: OcpProblem, moves: Array) -> bool:
    path = held(p, moves)
    return bool(
        np.all(np.abs(np.diff(path, axis=0)) <= p.rate * (1.0 + 1e-9))
        and np.all(moves >= p.lo - 1e-12)
        and np.all(moves <= p.hi + 1e-12)
    )


def test_the_fast_solver_is_enough_when_it_works() -> None:
    p, reference = problem(1), Scripted()
    out = chain(Scripted(), reference.refer).solve(p, ChainState(None, 2, 1), TIME_S, None)
    assert out.reached_by is ReachedBy.FAST
    assert (out.state.failures, out.state.age) == (0, 0)
    assert reference.guesses == []


def test_the_first_guess_holds_and_later_ones_are_the_last_plan_a_stage_on() -> None:
    p, fast = problem(1), Scripted()
    one = chain(fast).solve(p, ChainState(), TIME_S, None)
    chain(fast).solve(p, one.state, TIME_S, None)
    assert np.array_equal(fast.guesses[0], p.hold())
    assert np.array_equal(fast.guesses[1], p.grid.shifted(one.moves))


def test_when_it_fails_the_reference_has_what_is_left_of_the_time() -> None:
    p, reference = problem(1), Scripted()
    out = chain(Scripted(works=False), reference.refer).solve(p, ChainState(), 5.0, None)
    assert out.reached_by is ReachedBy.REFERENCE
    assert 4.0 < reference.times[0] <= 5.0
    assert out.verdicts == ("fast: QP exit -1", "reference: converged")
    assert out.state == ChainState(out.moves, 1, 0)


def test_a_fast_solver_out_of_time_before_its_first_step_has_failed() -> None:
    p = problem(1)
    out = chain(Scripted(steps=0, verdict="deadline"), Scripted().refer).solve(
        p, ChainState(), TIME_S, None
    )
    assert out.reached_by is ReachedBy.REFERENCE


def test_a_guess_that_cannot_be_bettered_is_a_plan() -> None:
    p = problem(1)
    for verdict in ("no descent", "converged"):
        out = chain(Scripted(steps=0, verdict=verdict)).solve(p, ChainState(), TIME_S, None)
        assert (out.reached_by, out.steps) == (ReachedBy.FAST, 0)


def test_when_both_fail_the_last_plan_is_shifted_and_grows_old_until_it_holds() -> None:
    p, broken = problem(1), Scripted(works=False)
    good = chain(Scripted()).solve(p, ChainState(), TIME_S, None)
    ladder = chain(broken, broken.refer)
    state, before = good.state, good.moves
    for age in range(1, SHORT.shifted_plan_max_cycles + 1):
        out = ladder.solve(p, state, TIME_S, None)
        assert (out.reached_by, out.state.age) == (ReachedBy.SHIFTED, age)
        assert np.array_equal(out.moves, p.feasible(p.grid.shifted(before)))
        state, before = out.state, out.moves
    out = ladder.solve(p, state, TIME_S, None)
    assert out.reached_by is ReachedBy.HOLD
    assert np.array_equal(out.moves, p.hold())
    assert out.state.moves is None
    assert out.verdicts == ("fast: QP exit -1", "reference: QP exit -1", "hold")


def test_without_any_plan_it_holds_at_once() -> None:
    p = problem(1)
    out = chain(Scripted(works=False)).solve(p, ChainState(), TIME_S, None)
    assert out.reached_by is ReachedBy.HOLD
    assert np.array_equal(out.moves, p.hold())


def test_after_repeated_failures_the_warm_start_is_dropped_until_one_succeeds() -> None:
    """Else a trajectory that breaks the solver would break it for ever."""
    config = SHORT.model_copy(update={"shifted_plan_max_cycles": 50})
    p, broken = problem(1), Scripted(works=False)
    state = chain(Scripted()).solve(p, ChainState(), TIME_S, None).state
    for _ in range(config.drop_warm_start_after + 2):
        state = chain(broken, None, config).solve(p, state, TIME_S, None).state
    warm = [not np.array_equal(g, p.hold()) for g in broken.guesses]
    assert warm == [True] * config.drop_warm_start_after + [False] * 2
    fixed = Scripted()
    state = chain(fixed, None, config).solve(p, state, TIME_S, None).state
    chain(fixed, None, config).solve(p, state, TIME_S, None)
    assert np.array_equal(fixed.guesses[0], p.hold())
    assert not np.array_equal(fixed.guesses[1], p.hold())


@pytest.mark.parametrize("error", TROUBLE, ids=lambda e: type(e).__name__)
def test_an_error_in_a_solver_is_a_verdict_in_the_log_and_the_next_rungs_turn(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    p, broken = problem(1), Scripted(error=error)
    with caplog.at_level(logging.ERROR):
        first = chain(broken, Scripted().refer).solve(p, ChainState(), TIME_S, None)
        last = chain(broken, broken.refer).solve(p, first.state, TIME_S, None)
    assert first.reached_by is ReachedBy.REFERENCE
    assert last.reached_by is ReachedBy.SHIFTED
    assert all(type(error).__name__ in v for v in last.verdicts[:2])
    assert len([r for r in caplog.records if r.exc_info]) == 3


def nan_state(p: OcpProblem) -> OcpProblem:
    x0 = p.x0.copy()
    x0[3] = np.nan
    return replace(p, x0=x0)


def test_a_state_that_is_no_number_goes_down_the_real_chain_without_an_exception() -> None:
    p = problem(1)
    ladder = chain(fast_of(), reference_of())
    good = ladder.solve(p, ChainState(), TIME_S, None)
    out = ladder.solve(nan_state(p), good.state, TIME_S, None)
    assert out.reached_by is ReachedBy.SHIFTED
    assert all("not finite" in v for v in out.verdicts[:2])
    assert inside(p, out.moves)
    assert ladder.solve(nan_state(p), ChainState(), TIME_S, None).reached_by is ReachedBy.HOLD


def test_the_real_reference_steps_in_with_a_plan_as_good() -> None:
    """Where the fast one says no, IPOPT finds what the fast one would have converged to."""
    p = problem(1)
    broken = Scripted(works=False)
    out = chain(broken, reference_of()).solve(p, ChainState(), TIME_S, None)
    best = chain(fast_of(), None, SHORT.model_copy(update={"steps": 20})).solve(
        p, ChainState(), TIME_S, None
    )
    assert out.reached_by is ReachedBy.REFERENCE
    assert out.cost == pytest.approx(best.cost, rel=1e-4)


def rungs() -> dict[ReachedBy, tuple[Any, Any, bool]]:
    """Solvers, and whether there is a plan to shift, that lead to each rung."""
    broken = Scripted(works=False)
    return {
        ReachedBy.FAST: (fast_of(), None, True),
        ReachedBy.REFERENCE: (broken, reference_of(), True),
        ReachedBy.SHIFTED: (broken, broken.refer, True),
        ReachedBy.HOLD: (broken, None, False),
    }


@pytest.mark.parametrize("rung", list(rungs()))
def test_a_replay_takes_the_same_rung_and_finds_the_same_plan(rung: ReachedBy) -> None:
    """Whatever the solvers would do today, and however much time there is."""
    fast, reference, planned = rungs()[rung]
    p = problem(2)
    state = ChainState()
    if planned:
        before = fast_of().solve(problem(2), p.hold(), 1)
        state = ChainState(before.moves, 1, 1)
    live = chain(fast, reference).solve(p, state, TIME_S, None)
    assert live.reached_by is rung
    again = chain(fast_of(), reference_of()).solve(p, state, 1e-9, forced(live))
    assert again.reached_by is rung
    assert np.array_equal(again.moves, live.moves)
    assert (again.state.failures, again.state.age) == (live.state.failures, live.state.age)
    assert again.steps == live.steps


@pytest.mark.parametrize("verdict", ["no descent", "converged"])
def test_a_replay_repeats_a_plan_that_took_no_step(verdict: str) -> None:
    p = problem(2)
    live = chain(Scripted(steps=0, verdict=verdict)).solve(p, ChainState(), TIME_S, None)
    again = chain(fast_of()).solve(p, ChainState(), TIME_S, forced(live))
    assert again.reached_by is ReachedBy.FAST
    assert np.array_equal(again.moves, live.moves)


def test_a_replay_repeats_a_solution_that_ran_into_its_deadline() -> None:
    """One step of two was taken; the replay takes one."""
    p = problem(2)
    live = chain(fast_of(), None, SHORT.model_copy(update={"steps": 1})).solve(
        p, ChainState(), TIME_S, None
    )
    again = chain(fast_of()).solve(p, ChainState(), TIME_S, forced(live))
    assert again.steps == live.steps == 1
    assert np.array_equal(again.moves, live.moves)


@given(st.lists(st.sampled_from(["good", "fails", "raises"]), max_size=12), st.integers(0, 50))
@settings(max_examples=40)
def test_whatever_the_solvers_do_there_is_a_plan_inside_the_limits(
    story: list[str], seed: int
) -> None:
    p, state = problem(seed), ChainState()
    behaviour: dict[str, Callable[[], Scripted]] = {
        "good": Scripted,
        "fails": lambda: Scripted(works=False),
        "raises": lambda: Scripted(error=np.linalg.LinAlgError("singular")),
    }
    for cycle in story:
        solver = behaviour[cycle]()
        out = chain(solver, solver.refer).solve(p, state, TIME_S, None)
        assert inside(p, out.moves)
        shifted = out.reached_by is ReachedBy.SHIFTED
        assert not shifted or 1 <= out.state.age <= SHORT.shifted_plan_max_cycles
        assert (out.reached_by is ReachedBy.FAST) == (cycle == "good")
        p, state = replace(p, previous=out.moves[0]), out.state
