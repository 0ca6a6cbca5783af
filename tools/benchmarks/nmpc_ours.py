"""The real-time solver in the loop, as the controller deploys it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from controller.data import Array
from controller.optimisation.chain import ChainState, SolverChain
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import Grid, OcpProblem
from tools.benchmarks.nmpc_problem import Case

__all__ = ["Ours", "no_scenarios"]

_DEADLINE_S = 60.0  # wall time decides nothing here


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
        self.grid = grid
        self._chain = SolverChain(
            FastSolver(case.twin, grid, cache), None, case.config.optimisation
        )
        self._state = ChainState()
        self.status, self.iterations = "", 0
        self.settings: dict[str, Any] = {
            "stages": grid.stages,
            "nodes": list(grid.nodes),
            "steps": case.config.optimisation.steps,
        }

    def decide(self, problem: OcpProblem) -> Array:
        """Set points of the coming stage, by the solver chain."""
        outcome = self._chain.solve(problem, self._state, _DEADLINE_S, None)
        self._state = outcome.state
        self.status, self.iterations = outcome.reached_by.value, outcome.steps
        return np.asarray(outcome.moves[0])


def no_scenarios() -> str:
    """Why plans for several scenarios are not measured; empty when they are."""
    return "there is no solver for scenarios yet"
