"""The real-time solver in the loop, as the controller deploys it, and its plan for scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from controller.data import Array
from controller.optimisation.caution import Caution
from controller.optimisation.chain import ChainState, SolverChain
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import Grid, OcpProblem
from controller.optimisation.scenarios import ScenarioSolver
from tools.benchmarks.mhe_problem import EstimationCase
from tools.benchmarks.nmpc_problem import Case

__all__ = ["SCENARIOS", "Ours", "OursWithScenarios"]

SCENARIOS = 8
_DEADLINE_S = 60.0  # wall time decides nothing here
_SEED = 1


class Ours:
    """Fast solver with the configured steps, warm start and chain, without the reference's rung.

    Parameters
    ----------
    case
        What to solve.
    grid
        Stages and nodes.
    cache
        Folder for compiled models; ``None`` compiles nothing.
    """

    def __init__(self, case: Case, grid: Grid, cache: Path | None) -> None:
        self._begin(case, FastSolver(case.twin, grid, cache))

    def _begin(self, case: Case, solver: FastSolver) -> None:
        self.grid, self._solver = solver.grid, solver
        self._solved: OcpProblem | None = None
        self._prepared: Array | None = None
        self._chain = SolverChain(solver, None, case.config.optimisation)
        self._state = ChainState()
        self.status, self.iterations = "", 0
        self.settings: dict[str, Any] = {
            "stages": self.grid.stages,
            "nodes": list(self.grid.nodes),
            "steps": case.config.optimisation.steps,
        }

    def decide(self, problem: OcpProblem) -> Array:
        """Set points of the coming stage, by the solver chain."""
        outcome = self._chain.solve(problem, self._state, _DEADLINE_S, None, self._prepared)
        self._state, self._solved = outcome.state, problem
        self.status, self.iterations = outcome.reached_by.value, outcome.steps
        return np.asarray(outcome.moves[0])

    def prepare(self) -> None:
        """Sensitivities of the next first step, as the controller has them before it reads."""
        if self._solved is not None and self._state.moves is not None:
            self._prepared = self._solver.prepare(self._solved, self._state.moves)


class OursWithScenarios(Ours):
    """The same with one plan for the estimate and `SCENARIOS` draws from its covariance.

    The covariance is that of our estimator on its own reference window, the same in every step;
    drawing is part of the step.

    Parameters
    ----------
    case, grid, cache
        As for `Ours`.
    """

    def __init__(self, case: Case, grid: Grid, cache: Path | None) -> None:
        solver = ScenarioSolver(case.twin, grid, cache)
        self._begin(case, solver)
        config = case.config.optimisation.model_copy(
            update={"scenarios": SCENARIOS, "back_off": False}
        )
        estimation = EstimationCase(cache)
        self._covariance = estimation.covariance(_SEED)
        self._caution = Caution(solver, estimation.problem.free, config)
        self.settings["scenarios"] = SCENARIOS

    def decide(self, problem: OcpProblem) -> Array:
        """Set points of the coming stage, good for all draws."""
        last = self._state.moves
        about = problem.hold() if last is None else problem.grid.shifted(last)
        cautious, _ = self._caution.applied(problem, about, self._covariance, 1.0)
        return super().decide(cautious)
