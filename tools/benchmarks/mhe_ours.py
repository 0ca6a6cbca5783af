"""Our moving-horizon estimator in the loop of the speed benchmark, as the controller deploys it."""

from __future__ import annotations

from typing import Any

import numpy as np

from controller.data import Array
from controller.estimation.arrival import advance
from controller.estimation.mhe import Arrival, MheSolution, solve
from controller.estimation.window import Window
from tools.benchmarks.mhe_problem import FILL_STEPS, EstimationCase

__all__ = ["OurMhe"]


class OurMhe:
    """Window, arrival cost and solution from sample to sample."""

    def __init__(self, case: EstimationCase) -> None:
        self._case = case
        self._steps = case.line.config.estimation.steps
        self._arrival: Arrival = case.prior
        self._window: Window | None = None
        self._solution: MheSolution | None = None
        case.estimator  # noqa: B018  compiled now, not at the first sample
        self.status = ""
        self.settings: dict[str, Any] = {
            "samples": case.window,
            "blocks": case.problem.blocks,
            "steps": self._steps,
        }

    def begin(self, window: Window) -> None:
        """Take in the full window before the loop."""
        p = np.repeat(self._arrival.p[:, None], window.size, axis=1)
        self._window = window
        self._solution = solve(
            self._case.problem, window, self._arrival, self._arrival.x, p, FILL_STEPS
        )

    def estimate(self, window: Window) -> tuple[Array, Array]:
        """State (nx,) and parameters (np,) at the end of a window one sample later."""
        last, before = self._solution, self._window
        if last is None or before is None:
            raise RuntimeError("estimate: the window before the loop is missing; call begin first")
        problem = self._case.problem
        self._arrival = advance(
            problem, self._case.estimator.one_stage, self._arrival, before, last
        )
        p = np.column_stack((last.p[:, 1:], last.p[:, -1]))
        found = solve(problem, window, self._arrival, last.x[:, 0].copy(), p, self._steps)
        self._window, self._solution = window, found
        self.status = "finite" if found.finite else "not finite"
        return found.x[:, -1], found.p[:, -1]
