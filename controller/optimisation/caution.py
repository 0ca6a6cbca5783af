"""What the estimate does not know, put into the problem: zones that keep off, draws to plan for.

Both start from the spread of the outputs under the last plan (`controller.optimisation.backoff`).
Trouble with the covariance is a verdict; the problem then stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from controller.config import OptimisationConfig
from controller.data import Array
from controller.optimisation.backoff import (
    Factor,
    back_off,
    factor_of,
    output_spread,
    standard_deviations,
)
from controller.optimisation.draws import sigma_points
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import TRACKED, OcpProblem
from controller.twin.core import OUTPUTS

__all__ = ["Caution"]


class Caution:
    """Puts an estimate's uncertainty into problems, as configured.

    Parameters
    ----------
    solver
        Predicts; its buffers are used.
    free
        Indices of the estimator's free states, in the order of its covariance.
    config
        ``back_off``, ``back_off_deviations`` and ``scenarios`` count.
    """

    def __init__(
        self, solver: FastSolver, free: NDArray[np.int_], config: OptimisationConfig
    ) -> None:
        self._solver, self._free, self._config = solver, free, config

    def applied(
        self, problem: OcpProblem, moves: Array, covariance: Array, inflation: float
    ) -> tuple[OcpProblem, tuple[str, ...]]:
        """``problem`` with margins and draws, and what there is to say about them.

        Parameters
        ----------
        problem, moves
            Problem, and the node values (nodes, nu) about which the spread is taken.
        covariance
            Of [free states, parameters but the last] at the problem's start.
        inflation
            Factor on it.
        """
        if not self._config.back_off and not self._config.scenarios:
            return problem, ()
        factor = factor_of(covariance, self._free, problem.x0.size, problem.p.size, inflation)
        if factor is None:
            return problem, ("uncertainty: left out, the estimate's covariance is none",)
        return self.put(problem, moves, factor)

    def put(
        self, problem: OcpProblem, moves: Array, factor: Factor
    ) -> tuple[OcpProblem, tuple[str, ...]]:
        """`applied` for a covariance whose square root is known."""
        c, names = self._config, (*TRACKED, *(z.output for z in problem.zones))
        out = self._solver.predict(problem, problem.feasible(moves))
        spread = output_spread(out, factor, [OUTPUTS.index(n) for n in names])
        if not np.all(np.isfinite(spread)):
            return problem, ("uncertainty: left out, the outputs' spread is not finite",)
        zones = problem.zones
        verdicts: tuple[str, ...] = ()
        if c.back_off:
            deviations = standard_deviations(spread[:, len(TRACKED) :])
            wanted = dict(zip(TRACKED, problem.references.tolist(), strict=True))
            zones, verdicts = back_off(zones, deviations, c.back_off_deviations, wanted)
        drawn = None
        if c.scenarios:
            sizes = np.append(problem.weights.tracked, [z.scale for z in problem.zones])
            drawn = sigma_points(problem, factor, spread / sizes[:, None], c.scenarios)
        return replace(problem, zones=zones, draws=drawn), verdicts
