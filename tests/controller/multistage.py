"""do-mpc's multi-stage controller on the problem of the scenario solver, solved to convergence.

The scenario tree branches once, at the first stage, into the estimate and its draws, which differ
in their parameters; with ``open_loop`` all branches share one input per stage, and so the blocked
moves and the slacks. What do-mpc's tree cannot say is that the initial states differ too, nor can
it weigh its branches otherwise than alike.
"""

from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.problem import Grid, OcpProblem, Zone
from controller.optimisation.reference import DoMpcReference
from controller.twin.core import ControlTwin


class MultiStage(DoMpcReference):
    """The reference with ``branches`` scenarios, the estimate among them."""

    def __init__(
        self, twin: ControlTwin, grid: Grid, zones: tuple[Zone, ...], branches: int
    ) -> None:
        self._branches = branches
        super().__init__(twin, grid, zones, tolerance=1e-8)

    def _state_objective(self, mpc: Any) -> Any:
        squares = super()._state_objective(mpc)
        mpc.settings.n_robust, mpc.settings.open_loop = 1, True
        template = mpc.get_p_template
        mpc.get_p_template = lambda _: template(self._branches)
        return squares

    def _gauss_newton(self, mpc: Any, squares: Any) -> Any:
        x, p = mpc.opt_x, mpc.opt_p
        rows = [
            squares(x["_x", k, s if k else 0, -1], x["_u", k, 0], p["_tvp", k], p["_p", s])
            for s in range(self._branches)
            for k in range(self.grid.stages + 1)
        ]
        jacobian = ca.jacobian(ca.vertcat(*rows), x.cat)
        weight = ca.MX.sym("lam_f")
        duals = ca.MX.sym("lam_g", sum(int(c.shape[0]) for c in mpc.nlp_cons))
        hessian = ca.triu(2.0 / self._branches * weight * (jacobian.T @ jacobian))
        return ca.Function(
            "nlp_hess_l",
            [x.cat, p.cat, weight, duals],
            [hessian],
            ["x", "p", "lam_f", "lam_g"],
            ["triu_hess_gamma_x_x"],
        )

    def _parameters(self, problem: OcpProblem) -> Array:
        out, given = super()._parameters(problem), self._mpc.opt_p.f
        names = self._mpc.model.p.keys()
        assert problem.draws is not None
        for s in range(1, self._branches):
            for name in names:
                out[given["_p", s, name]] = out[given["_p", 0, name]]
            out[given["_p", s, "p"]] = problem.draws.p[s - 1]
        return out

    def _first_guess(self, problem: OcpProblem, moves: Array, x: Array, y: Array) -> Array:
        out, where = super()._first_guess(problem, moves, x, y), self._mpc.opt_x.f
        for s in range(1, self._branches):
            for k in range(self.grid.stages + 2):
                out[where["_x", k, s, -1]] = out[where["_x", k, 0, -1]]
        return np.asarray(out)
