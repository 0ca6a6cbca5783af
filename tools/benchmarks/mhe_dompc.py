"""The estimators' reference problem in do-mpc's MHE as it is shipped.

All settings are do-mpc's defaults (collocation, IPOPT with MUMPS and its output); the horizon is
the same window as ours, and is given its readings and inputs by ``set_y_fun`` and ``set_tvp_fun``.
The same twin, states, parameters, bounds, standard deviations and prior; parameters that walk are
states with process noise, as is the powder in the chute; constant ones are ``p_est``. All numbers
are in units of their standard deviations. What differs, because the interface has it so:

* losses are squares (``set_default_objective``), there is no robust one;
* process noise is free in every sample;
* the arrival cost keeps the prior's covariance, state and parameters apart, and moves its mean;
* the twin is discretised by collocation.

Collocation points before the first stage, which nothing depends on, are pinned as in
`tools.benchmarks.nmpc_dompc`.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.estimation.window import MEASURED, Window, selection
from controller.twin.core import INPUTS, OUTPUTS, PARAMETERS
from tools.benchmarks.mhe_problem import EstimationCase

__all__ = ["DoMpcMhe"]

_CONTENT = 1  # place of the chute's content among the states
_FIXED_SD = 1e-4  # of states that our estimator takes as given, relative to their scale


class DoMpcMhe:
    """do-mpc's MHE in the loop."""

    def __init__(self, case: EstimationCase) -> None:
        self._case, t = case, case.problem.tuning
        self._walking = list(case.problem.walking)
        self._constant = [i for i in range(len(PARAMETERS) - 1) if i not in self._walking]
        self._unit = case.line.scale.copy()
        self._unit[_CONTENT] = t.inflow
        self._others = [i for i in range(self._unit.size) if i != _CONTENT]
        sd = np.sqrt(np.diag(case.prior.cov))[case.problem.free.size :]
        self._p_unit = np.append(sd, 1.0)
        self._p_unit[self._walking] = t.walk[self._walking]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of do-mpc and CasADi: features that are not used
            import do_mpc  # slow to import

            model = self._model(do_mpc.model.Model("continuous"))
            self.mhe = do_mpc.estimator.MHE(model, ["constant"])
            self._configure()
            self.mhe.setup()
        self.last = case.prior.x, case.prior.p
        for i in range(self.mhe.settings.collocation_deg + 1):
            self.mhe.lb_opt_x["_x", 0, i] = 0.0
            self.mhe.ub_opt_x["_x", 0, i] = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of do-mpc, as text where they are not plain."""
        plain = (bool, int, float, str)
        settings = asdict(self.mhe.settings)
        return {k: v if isinstance(v, plain) else str(v) for k, v in settings.items()}

    @property
    def status(self) -> str:
        """What the solver said last."""
        return str(self.mhe.solver_stats["return_status"])

    @property
    def iterations(self) -> int:
        """Of the solver, last."""
        return int(self.mhe.solver_stats["iter_count"])

    def begin(self, window: Window) -> None:
        """Solve the full window before the loop, from the prior."""
        prior, mhe = self._case.prior, self.mhe
        mhe.x0 = np.concatenate(
            (
                prior.x[[_CONTENT]] / self._unit[_CONTENT],
                prior.x[self._others] / self._unit[self._others],
                prior.p[self._walking] / self._p_unit[self._walking],
            )
        )
        mhe.p_est0 = prior.p[self._constant] / self._p_unit[self._constant]
        mhe.set_initial_guess()
        self.estimate(window)

    def estimate(self, window: Window) -> tuple[Array, Array]:
        """State (nx,) and parameters (np,) at the end of a window one sample later."""
        sigma, n = self._case.problem.tuning.sigma, window.size
        usual = np.asarray(self._outputs_at(self._case.prior.x, window.inputs[:, -1])).ravel()
        y = np.where(window.weights > 0.0, window.values, usual[:, None]) / sigma[:, None]
        for k in range(n):
            self._y["y_meas", k] = y[:, k]
            self._tvp["_tvp", k, "inputs"] = window.inputs[:, k]
            self._tvp["_tvp", k, "weight"] = window.weights[:, k]
            self._tvp["_tvp", k, "calm"] = [1.0] + [1.0 / window.boost[k]] * len(self._walking)
        now = np.asarray(self.mhe.make_step(y[:, -1:])).ravel()
        x, p = np.zeros(self._unit.size), np.zeros(len(PARAMETERS))
        x[_CONTENT], count = now[0] * self._unit[_CONTENT], len(self._others)
        x[self._others] = now[1 : 1 + count] * self._unit[self._others]
        p[self._walking] = now[1 + count :] * self._p_unit[self._walking]
        constant = np.asarray(self.mhe.p_est0.cat).ravel()
        p[self._constant] = constant * self._p_unit[self._constant]
        self.last = x, p
        return x, p

    def _model(self, model: Any) -> Any:
        case, twin, t = self._case, self._case.line.twin, self._case.problem.tuning
        content = model.set_variable("_x", "content")
        rest = model.set_variable("_x", "rest", (len(self._others), 1))
        walking = model.set_variable("_x", "walking", (len(self._walking), 1))
        constant = model.set_variable("_p", "constant", (len(self._constant), 1))
        inputs = model.set_variable("_tvp", "inputs", (len(INPUTS), 1))
        model.set_variable("_tvp", "weight", (len(MEASURED), 1))
        model.set_variable("_tvp", "calm", (1 + len(self._walking), 1))
        x: list[Any] = [None] * self._unit.size
        x[_CONTENT] = content * self._unit[_CONTENT]
        for i, z in zip(self._others, ca.vertsplit(rest), strict=True):
            x[i] = z * self._unit[i]
        p: list[Any] = [0.0] * len(PARAMETERS)  # inflow: process noise on the content
        for places, column in ((self._walking, walking), (self._constant, constant)):
            for i, q in zip(places, ca.vertsplit(column), strict=True):
                p[i] = q * self._p_unit[i]
        v = ca.vertsplit(inputs)
        rates = twin.rates(x, p, v)
        model.set_rhs("content", rates[_CONTENT] / self._unit[_CONTENT], process_noise=True)
        model.set_rhs("rest", ca.vertcat(*(rates[i] / self._unit[i] for i in self._others)))
        model.set_rhs("walking", ca.DM.zeros(len(self._walking)), process_noise=True)
        named = twin.outputs(x, p, v)
        pick = selection(case.problem.cascade)
        y = ca.DM(pick) @ ca.vertcat(*(named[name] for name in OUTPUTS))
        model.set_meas("y", y / t.sigma, meas_noise=True)
        model.setup()
        xx, vv = ca.SX.sym("x", self._unit.size), ca.SX.sym("v", len(INPUTS))
        plain = twin.outputs(ca.vertsplit(xx), [0.0] * len(PARAMETERS), ca.vertsplit(vv))
        self._outputs_at = ca.Function(
            "usual", [xx, vv], [ca.DM(pick) @ ca.vertcat(*(plain[name] for name in OUTPUTS))]
        )
        return model

    def _configure(self) -> None:
        mhe, case, t = self.mhe, self._case, self._case.problem.tuning
        mhe.settings.n_horizon, mhe.settings.t_step = case.window, case.line.step
        mhe.settings.meas_from_data = False
        mhe.scaling["_x", "content"] = case.line.scale[_CONTENT] / self._unit[_CONTENT]
        free = list(case.problem.free)
        cov = np.zeros((self._unit.size,) * 2)
        cov[np.diag_indices_from(cov)] = (_FIXED_SD * case.line.scale) ** 2
        cov[np.ix_(free, free)] = case.prior.cov[: len(free), : len(free)]
        cov /= np.outer(self._unit, self._unit)
        order = [_CONTENT, *self._others]
        by_p = case.prior.cov[len(free) :, len(free) :] / np.outer(
            self._p_unit[:-1], self._p_unit[:-1]
        )
        walking, constant = self._walking, self._constant
        size = self._unit.size
        p_x = np.zeros((size + len(walking),) * 2)
        p_x[:size, :size] = np.linalg.inv(cov[np.ix_(order, order)])
        p_x[size:, size:] = np.linalg.inv(by_p[np.ix_(walking, walking)])
        mhe.set_default_objective(
            P_x=p_x,
            P_v=ca.diag(mhe.model.tvp["weight"]),
            P_p=np.linalg.inv(by_p[np.ix_(constant, constant)]),
            P_w=ca.diag(case.line.step**2 * mhe.model.tvp["calm"]),
        )
        mhe.bounds["lower", "_x", "content"] = 1e-6 / self._unit[_CONTENT]
        lower = np.full(size, -np.inf)  # shares of a lot overshoot along the chute
        lower[free] = 1e-6 / self._unit[free]
        mhe.bounds["lower", "_x", "rest"] = lower[self._others]
        for name, limit in (("lower", t.lo), ("upper", t.hi)):
            bound = limit / self._p_unit
            mhe.bounds[name, "_x", "walking"] = bound[walking]
            mhe.bounds[name, "_p_est", "constant"] = bound[constant]
        self._y, self._tvp = mhe.get_y_template(), mhe.get_tvp_template()
        mhe.set_y_fun(lambda _: self._y)
        mhe.set_tvp_fun(lambda _: self._tvp)
