"""The solver chain: fast, reference within the deadline, last plan shifted, hold.

Each rung is tried only when the one before failed, and the plan says which one made it. An error
raised by a solver is a failure like any other: it becomes a verdict, and the log has its trace. So
is a solver that does not return in its time: it is left alone until it does (`watch`). After
repeated failures the warm start is dropped, so that a bad trajectory does not breed the next one.
Time goes on whatever happens: a plan is looked at from where the plant is now, also when cycles
were lost on the way (`ChainState.later`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.brain import Forced
from controller.config import OptimisationConfig
from controller.data import Array, ReachedBy
from controller.optimisation.fast import FastSolver, Solution
from controller.optimisation.problem import Grid, OcpProblem
from controller.optimisation.watch import Watch

__all__ = ["ChainState", "Outcome", "Reference", "SolverChain"]

_log = logging.getLogger(__name__)
_SETTLED = ("no descent", "converged")  # nothing better was found than the guess
_NO_HURRY_S = 3600.0  # a replay takes its time [s]
# Shares of the deadline: when the fast solver begins no further step, when it is given up, and what
# the reference may use of the rest before it is.
_LAST_STEP, _FAST_SHARE, _REFERENCE_SHARE = 0.5, 0.7, 0.95
_LEAST_WAIT_S = 0.1  # for a solver that keeps its own deadline to say so [s]
_NO_ANSWER = "TimeoutError"

# A robust solver: problem, guess, seconds left -> solution.
Reference = Callable[[OcpProblem, Array, float], Solution]


@dataclass(frozen=True, slots=True)
class ChainState:
    """Node values of the last plan, how often in a row the fast solver failed, the plan's age."""

    moves: Array | None = None
    failures: int = 0
    age: int = 0

    def later(self, grid: Grid, cycles: int) -> ChainState:
        """The state as it is after ``cycles`` in which nothing was planned."""
        if cycles <= 0 or self.moves is None:
            return self
        if cycles >= grid.nodes[-1]:  # nothing of the plan lies ahead
            return ChainState(None, self.failures, self.age + cycles)
        return ChainState(grid.shifted(self.moves, cycles), self.failures, self.age + cycles)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chain settled for."""

    state: ChainState
    moves: Array
    reached_by: ReachedBy
    steps: int
    verdicts: tuple[str, ...]
    cost: float


class SolverChain:
    """The chain over one fast solver and an optional reference."""

    def __init__(
        self, fast: FastSolver, reference: Reference | None, config: OptimisationConfig
    ) -> None:
        self.fast, self.reference, self.config = fast, reference, config
        self._watch = {name: Watch[Solution](name) for name in ("fast", "reference")}

    @staticmethod
    def unanswered(verdicts: tuple[str, ...]) -> bool:
        """Whether the fast solver did not return: its buffers are not to be touched then."""
        return any(v.startswith(f"fast: {_NO_ANSWER}") for v in verdicts)

    @property
    def busy(self) -> bool:
        """Whether the fast solver is still at a problem that it was given up on."""
        return self._watch["fast"].busy

    def solve(
        self,
        problem: OcpProblem,
        state: ChainState,
        deadline_s: float,
        forced: Forced | None,
        prepared: Array | None = None,
    ) -> Outcome:
        """Plan for ``problem``; ``forced`` repeats what a recorded cycle did.

        ``prepared`` are sensitivities along the last plan (`FastSolver.prepare`).
        """
        began = time.perf_counter()
        warm = state.moves is not None and state.failures < self.config.drop_warm_start_after
        guess = (
            problem.grid.shifted(state.moves)
            if warm and state.moves is not None
            else problem.hold()
        )
        verdicts: list[str] = []
        if forced is None or forced.reached_by is ReachedBy.FAST:
            steps = self.config.steps if forced is None else forced.optimiser_steps
            deadline = None if forced is not None else began + _LAST_STEP * deadline_s
            found = self._attempt(
                "fast",
                lambda: self.fast.solve(
                    problem, guess, steps, deadline, prepared if warm else None
                ),
                None if forced is not None else _FAST_SHARE * deadline_s,
                verdicts,
            )
            settled = forced is not None or (found and found.verdict.startswith(_SETTLED))
            if found is not None and (found.steps > 0 or settled):
                return _outcome(found, ReachedBy.FAST, verdicts)
        failures, reference = state.failures + 1, self.reference
        if reference is not None and (forced is None or forced.reached_by is ReachedBy.REFERENCE):
            left = deadline_s - (time.perf_counter() - began)
            own = _REFERENCE_SHARE * left if forced is None else _NO_HURRY_S
            found = self._attempt(
                "reference",
                lambda: reference(problem, guess, own),
                None if forced is not None else left,
                verdicts,
            )
            if found is not None:
                return _outcome(found, ReachedBy.REFERENCE, verdicts, failures)
        age = state.age + 1
        shift = forced is None or forced.reached_by is ReachedBy.SHIFTED
        if shift and state.moves is not None and age <= self.config.shifted_plan_max_cycles:
            moves = problem.feasible(problem.grid.shifted(state.moves))
            verdicts.append(f"shifted: {age} cycles old")
            return Outcome(
                ChainState(moves, failures, age),
                moves,
                ReachedBy.SHIFTED,
                0,
                tuple(verdicts),
                float("inf"),
            )
        hold = problem.hold()
        verdicts.append("hold")
        return Outcome(
            ChainState(None, failures, age), hold, ReachedBy.HOLD, 0, tuple(verdicts), float("inf")
        )

    def _attempt(
        self,
        rung: str,
        solve: Callable[[], Solution],
        seconds: float | None,
        verdicts: list[str],
    ) -> Solution | None:
        """What ``solve`` found, if it is any good; ``verdicts`` grows by what was said about it.

        ``seconds`` is how long it is waited for; None for ever, in this thread.
        """
        try:
            if seconds is None:
                found = solve()
            else:
                found = self._watch[rung].call(solve, max(seconds, _LEAST_WAIT_S))
        except TimeoutError as error:
            _log.error("the %s solver: %s", rung, error)
            verdicts.append(f"{rung}: {_NO_ANSWER}: {error}")
            return None
        except Exception as error:  # whatever it is, the next rung must have its turn
            _log.exception("the %s solver broke down", rung)
            verdicts.append(f"{rung}: {type(error).__name__}: {error}")
            return None
        verdicts.append(f"{rung}: {found.verdict}")
        return found if found.ok else None


def _outcome(found: Solution, by: ReachedBy, verdicts: list[str], failures: int = 0) -> Outcome:
    state = ChainState(found.moves, failures, 0)
    return Outcome(state, found.moves, by, found.steps, tuple(verdicts), found.cost)
