"""do-mpc's moving-horizon estimator as the judge: window, filter and it on one short record."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.estimation.ekf import filter_window
from controller.estimation.mhe import Arrival, MheProblem, solve
from controller.estimation.window import Window, selection
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.variables import Structure
from tests.controller.estimation.ekf_kit import linear_gaussian
from tests.controller.twin_data import COUNT, TwinLine, estimator, nominal_inputs

SAMPLES = 12


class Judge:
    """The window's problem with quadratic losses as a do-mpc model, in standard deviations.

    States are the free ones, the parameters and the parameters one sample before, because do-mpc
    lets a state walk before the reading at its end, and our parameters walk after it.
    """

    def __init__(self, problem: MheProblem, first: Arrival, window: Window) -> None:
        self.problem, self.first, self.window = problem, first, window
        self.sd = np.sqrt(np.diag(first.cov))
        self.nf = problem.free.size
        self.y0 = np.array([v[w > 0.0].mean() for v, w in self._columns()])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of do-mpc and CasADi: features that are not used
            import do_mpc  # slow to import

            self.mhe = do_mpc.estimator.MHE(self._model(do_mpc.model.Model("discrete", "SX")), [])
            self._configure()
            self.mhe.setup()

    def end(self) -> Array:
        """Free states and parameters of the last sample, SI."""
        y = (self.window.values - self.y0[:, None]) / self.problem.tuning.sigma[:, None]
        data, tvp = self.data, self.tvp
        for k in range(self.window.size):
            data["y_meas", k] = np.where(self.window.weights[:, k] > 0.0, y[:, k], 0.0)
            tvp["_tvp", k, "weight"] = np.maximum(self.window.weights[:, k], 1e-9)
        self.mhe.x0 = np.zeros(self.nf + 2 * COUNT)
        self.mhe.set_initial_guess()
        z = np.asarray(self.mhe.make_step(np.zeros((y.shape[0], 1)))).ravel()
        assert self.mhe.solver_stats["success"]
        found = np.concatenate((z[: self.nf], z[-COUNT:])) * self.sd
        return found + np.concatenate((self.first.x[self.problem.free], self.first.p[:COUNT]))

    def _columns(self) -> list[tuple[Array, Array]]:
        return list(zip(self.window.values, self.window.weights, strict=True))

    def _model(self, model: Any) -> Any:
        problem, twin = self.problem, self.problem.twin
        z = model.set_variable("_x", "z", (self.nf, 1))
        p = model.set_variable("_x", "p", (COUNT, 1))
        q = model.set_variable("_x", "q", (COUNT, 1))
        model.set_variable("_tvp", "weight", (self.y0.size, 1))
        v = ca.DM(self.window.inputs[:, 0])
        scale_z, scale_p = ca.DM(self.sd[: self.nf]), ca.DM(self.sd[self.nf :])

        def state(of: Any) -> Any:
            x = [ca.SX(value) for value in self.first.x]
            for i, value in zip(problem.free, ca.vertsplit(of * scale_z), strict=True):
                x[i] = x[i] + value
            return ca.vertcat(*x)

        def parameters(of: Any) -> Any:
            return ca.vertcat(ca.DM(self.first.p[:COUNT]) + of * scale_p, 0.0)

        after = twin.advance(state(z), parameters(p), v)
        free = [int(i) for i in problem.free]
        model.set_rhs("z", (after[free] - ca.DM(self.first.x[free])) / scale_z, process_noise=True)
        model.set_rhs("p", p, process_noise=True)
        model.set_rhs("q", p)
        named = twin.outputs(
            ca.vertsplit(state(z)), ca.vertsplit(parameters(q)), ca.vertsplit(ca.SX(v))
        )
        y = ca.DM(selection(problem.cascade)) @ ca.vertcat(*(named[name] for name in OUTPUTS))
        model.set_meas("y", (y - ca.DM(self.y0)) / ca.DM(problem.tuning.sigma), meas_noise=True)
        model.setup()
        return model

    def _configure(self) -> None:
        mhe, t = self.mhe, self.problem.tuning
        mhe.settings.n_horizon, mhe.settings.t_step = self.window.size, self.problem.twin.step
        mhe.settings.meas_from_data = False
        mhe.settings.supress_ipopt_output()
        mhe.settings.nlpsol_opts.update({"ipopt.tol": 1e-12})
        size = self.nf + 2 * COUNT
        arrival = 1e-9 * np.eye(size)
        own = self.first.cov / np.outer(self.sd, self.sd)
        arrival[: self.nf + COUNT, : self.nf + COUNT] = np.linalg.inv(own)
        noise = np.zeros(self.nf + COUNT)
        content, walking = list(self.problem.free).index(1), self.problem.walking
        noise[content] = t.inflow / self.sd[content]  # powder into the chute in one sample
        noise[self.nf + walking] = t.walk[walking] / self.sd[self.nf + walking]
        weights = 1.0 / np.maximum(noise, 1e-4) ** 2  # what does not walk is held
        mhe.set_default_objective(
            P_x=arrival, P_v=ca.diag(mhe.model.tvp["weight"]), P_w=np.diag(weights)
        )
        self.tvp, self.data = mhe.get_tvp_template(), mhe.get_y_template()
        mhe.set_y_fun(lambda _: self.data)
        mhe.set_tvp_fun(lambda _: self.tvp)


def test_window_filter_and_do_mpc_agree() -> None:
    """Ten parameters, twenty states, noise so small that the twin is linear: to 1 % of an SD."""
    structure = Structure.CASCADE
    e = estimator(structure)
    problem, first = linear_gaussian(structure, SAMPLES)
    still = nominal_inputs(structure, SAMPLES)
    line = TwinLine(e, problem, first, seed=9, lab_every=4)
    data = line.run(SAMPLES, still).window
    judged = Judge(problem, first, data).end()
    window = solve(problem, data, first, first.x, np.zeros((len(PARAMETERS), SAMPLES)), 4)
    filtered = filter_window(problem, e.one_stage, data, first)
    sd = np.sqrt(np.diag(window.cov))
    for x, p in ((window.x, window.p), (filtered.x, filtered.p)):
        ours = np.concatenate((x[problem.free, -1], p[:COUNT, -1]))
        np.testing.assert_allclose((ours - judged) / sd, 0.0, atol=0.01)


def test_without_readings_do_mpc_stays_at_the_prior() -> None:
    structure = Structure.CASCADE
    problem, first = linear_gaussian(structure, SAMPLES)
    data = TwinLine(estimator(structure), problem, first, seed=9, lab_every=4)
    window = data.run(SAMPLES, nominal_inputs(structure, SAMPLES)).window
    blind = Judge(problem, first, window)
    blind.window = replace(window, weights=np.zeros_like(window.weights))
    np.testing.assert_allclose(
        (blind.end()[-COUNT:] - first.p[:COUNT]) / blind.sd[-COUNT:], 0.0, atol=1e-3
    )
