"""The reference problem in do-mpc as it is shipped, as far as its interface expresses it.

All settings are do-mpc's defaults: orthogonal collocation (Radau, two points), IPOPT with MUMPS
and its output. Given are the horizon and the step, as they must be, and the scaling of states,
without which SI units would not converge. The model is the twin in continuous time, and beside its
states the set points in use as states, whose slopes are the inputs, the way to bounds on moves in
do-mpc: ranges are bounds on states, rate limits bounds on inputs. Tracking and move terms, the
grid points where they count, parameters and known disturbances are those of
`controller.optimisation.problem`. What differs, because the interface has it so:

* the model is discretised by collocation, not by Runge-Kutta steps;
* a set point runs straight to its new value during a stage instead of jumping at its beginning;
* a soft constraint has one slack per stage, with a linear price: the price is the problem's, its
  quadratic part is left out, and the end of the horizon has none.

do-mpc makes unknowns of the collocation points before the first stage, which no equation and no
term contains. They make the matrix of IPOPT's step singular, and on this problem it then takes
hundreds of iterations with small steps, a step of the loop minutes. So they are pinned, by the
bounds that do-mpc offers (``lb_opt_x``, ``ub_opt_x``), which changes no setting and no result;
`DoMpc` with ``pinned=False`` is do-mpc without that favour.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.problem import TRACKED, Grid, OcpProblem
from controller.twin.core import MOVES, OUTPUTS, PARAMETERS
from tools.benchmarks.nmpc_problem import Case

__all__ = ["DoMpc", "small_mpc"]

_NO_LIMIT = 1e3  # a zone side further out than this many scales is none


class DoMpc:
    """do-mpc's MPC in the loop; a `tools.benchmarks.nmpc_loop.Contestant`.

    Parameters
    ----------
    case
        What to solve.
    pinned
        Pin the unknowns that stand for nothing; see the module.
    limit_s
        Stop the solver after so many seconds: its only other setting.
    """

    def __init__(self, case: Case, pinned: bool = True, limit_s: float | None = None) -> None:
        self.grid: Grid = case.dense
        self._rate = case.factory.rate
        self._began = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of do-mpc and CasADi: features that are not used
            import do_mpc  # slow to import

            self.mpc = do_mpc.controller.MPC(_model(do_mpc.model.Model("continuous"), case))
            self._configure(case)
            if limit_s is not None:
                self.mpc.settings.nlpsol_opts["ipopt.max_wall_time"] = limit_s
            self.mpc.setup()
        if pinned:
            for i in range(self.mpc.settings.collocation_deg + 1):
                self.mpc.lb_opt_x["_x", 0, 0, i] = 0.0
                self.mpc.ub_opt_x["_x", 0, 0, i] = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of do-mpc, as text where they are not plain."""
        plain = (bool, int, float, str)
        settings = asdict(self.mpc.settings)
        return {k: v if isinstance(v, plain) else str(v) for k, v in settings.items()}

    @property
    def status(self) -> str:
        """What the solver said last."""
        return str(self.mpc.solver_stats["return_status"])

    @property
    def iterations(self) -> int:
        """Of the solver, last."""
        return int(self.mpc.solver_stats["iter_count"])

    def decide(self, problem: OcpProblem) -> Array:
        """One ``make_step``; do-mpc hands out whatever its solver returned."""
        x0 = np.concatenate((problem.x0, problem.previous))
        for k in range(self.grid.stages + 1):
            stage = min(k, self.grid.stages - 1)
            self._tvp["_tvp", k, "known"] = problem.known[:, stage]
            self._tvp["_tvp", k, "goal"] = problem.references
        self._p["_p", 0, "p"] = problem.p
        if not self._began:
            self.mpc.x0 = x0
            self.mpc.set_initial_guess()
            self._began = True
        slope = np.asarray(self.mpc.make_step(x0[:, None])).ravel()
        return np.asarray(problem.previous + self._rate * slope)

    @property
    def objective(self) -> float:
        """Value of do-mpc's own objective at the last solution."""
        mpc = self.mpc
        value = ca.Function("value", [mpc.opt_x, mpc.opt_p], [mpc.nlp_obj])
        return float(value(mpc.opt_x_num, mpc.opt_p_num))

    def plan(self, problem: OcpProblem) -> Array:
        """Set points (N, nu) at the ends of the stages, of the last solution."""
        found = self.mpc.opt_x_num
        slopes = [np.asarray(found["_u", k, 0]).ravel() for k in range(self.grid.stages)]
        return np.asarray(problem.previous + self._rate * np.cumsum(slopes, axis=0))

    def _configure(self, case: Case) -> None:
        mpc, model, f = self.mpc, self.mpc.model, case.factory
        mpc.settings.n_horizon, mpc.settings.t_step = case.stages, case.step
        mpc.scaling["_x", "x"] = case.scale
        mpc.scaling["_x", "held"] = f.rate
        y = ca.vertcat(*(model.aux[name] for name in TRACKED))
        tracking = ca.sumsqr((y - model.tvp["goal"]) / f.weights.tracked) / case.stages
        moves = ca.sumsqr(model.u["slope"] / f.weights.moves)
        mpc.set_objective(mterm=tracking, lterm=tracking + moves)
        mpc.set_rterm(slope=0.0)
        mpc.bounds["lower", "_u", "slope"], mpc.bounds["upper", "_u", "slope"] = -1.0, 1.0
        for name in ("lower", "upper"):
            mpc.bounds[name, "_x", "held"] = f.lo if name == "lower" else f.hi
        for zone in f.zones:
            for sign, limit in ((1.0, zone.hi), (-1.0, zone.lo)):
                if abs(limit) < _NO_LIMIT * zone.scale:
                    mpc.set_nl_cons(
                        f"{zone.output}_{'hi' if sign > 0.0 else 'lo'}",
                        sign * (model.aux[zone.output] - limit) / zone.scale,
                        ub=0.0,
                        soft_constraint=True,
                        penalty_term_cons=f.weights.slack_linear,
                    )
        self._tvp, self._p = mpc.get_tvp_template(), mpc.get_p_template(1)
        mpc.set_tvp_fun(lambda _: self._tvp)
        mpc.set_p_fun(lambda _: self._p)


def _model(model: Any, case: Case) -> Any:
    """The twin in continuous time with the set points as states; outputs as expressions."""
    twin = case.twin
    x = model.set_variable("_x", "x", (twin.path.size, 1))
    held = model.set_variable("_x", "held", (len(MOVES), 1))
    slope = model.set_variable("_u", "slope", (len(MOVES), 1))
    known = model.set_variable("_tvp", "known", (case.known(0, 1).shape[0], 1))
    model.set_variable("_tvp", "goal", (len(TRACKED), 1))
    p = model.set_variable("_p", "p", (len(PARAMETERS), 1))
    xx, pp = ca.vertsplit(x), ca.vertsplit(p)
    v = twin.stage_inputs(ca.vertsplit(held), ca.vertsplit(known))
    model.set_rhs("x", ca.vertcat(*twin.rates(xx, pp, v)))
    model.set_rhs("held", case.factory.rate * slope / case.step)
    named = twin.outputs(xx, pp, v)
    for name in OUTPUTS:
        model.set_expression(name, named[name])
    model.setup()
    return model


def small_mpc() -> Any:
    """do-mpc's controller of ``dx/dt = u - x``, set up: the least there is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import do_mpc

        model = do_mpc.model.Model("continuous")
        x, u = model.set_variable("_x", "x"), model.set_variable("_u", "u")
        model.set_rhs("x", u - x)
        model.setup()
        mpc = do_mpc.controller.MPC(model)
        mpc.settings.n_horizon, mpc.settings.t_step = 3, 1.0
        mpc.set_objective(mterm=x**2, lterm=x**2)
        mpc.set_rterm(u=1.0)
        mpc.setup()
    return mpc
