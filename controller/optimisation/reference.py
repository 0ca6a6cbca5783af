"""Reference solver: the same problem in do-mpc, solved to convergence by IPOPT.

The problem of `controller.optimisation.problem` as a discrete-time do-mpc model, exactly; one step
of the model is one stage. Beside the twin's state ``x`` the model carries

(R1)  s_j = free_j u_j + keep_j s_{j-1}     slope of the set points [rates per stage]
(R2)  m_j = m_{j-1} + s_j                   set point held in stage j [rates from the one in use]
(R3)  e_j = e_{j-1} + first_j a_j           slack of each zone side, one for the whole horizon
(R4)  x_j = F(x_{j-1}, p, [previous + rate m_j; d_j])

``free`` is 1 at the stage after each node (and at stage 0), ``keep`` up to the next one: straight
lines between the nodes, constant after the last. The rate limit is a bound on ``u``, the range one
on ``m``, in both cases per stage; all numbers of an instance are parameters. Outputs are taken
from the state and the set points at the *end* of a stage, that is at the next grid point; so the
horizon has one step more than the problem, in which nothing is decided or counted.

do-mpc's ``make_step`` applies whatever the solver returns and keeps a growing history; neither is
used here: the NLP is set up by do-mpc and solved once per call, and the outcome is checked.

References
----------
[1] F. Fiedler et al., do-mpc: Towards FAIR nonlinear and robust model predictive control, Control
    Engineering Practice 140 (2023) 105676 (the package was read, the paper was not).
[2] A. Waechter & L. T. Biegler, Math. Program. 106 (2006) 25-57 (IPOPT; from memory).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.deadline import Deadline
from controller.optimisation.fast import Solution
from controller.optimisation.problem import (
    TRACKED,
    Grid,
    OcpProblem,
    Zone,
    objective,
    stage_moves,
)
from controller.twin.core import MOVES, OUTPUTS, PARAMETERS, ControlTwin
from plant_models import line as build

__all__ = ["DoMpcReference"]

_NO_LIMIT = 1e3  # a zone side further out than this many scales is none
_FLAGS = ("free", "keep", "first", "counted", "root_gap")
_LEAST_S = 0.05  # less time than this is not worth a start [s]


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a zone: ``sign * y <= sign * limit``, at place ``zone`` of the problem's."""

    zone: int
    sign: float


class DoMpcReference:
    """The problem of one twin, grid and set of zones in do-mpc; not for several threads at once.

    Parameters
    ----------
    twin, grid
        Model and stages.
    zones
        Zones whose sides count; their numbers may change from problem to problem.
    iterations, tolerance
        IPOPT's limits.
    exact_hessian
        Newton's Hessian instead of Gauss's: more than twice the time per solution, for studies.
    """

    def __init__(
        self,
        twin: ControlTwin,
        grid: Grid,
        zones: tuple[Zone, ...],
        *,
        iterations: int = 200,
        tolerance: float = 1e-6,
        exact_hessian: bool = False,
    ) -> None:
        self.grid, self._zones = grid, tuple(z.output for z in zones)
        self._sides = tuple(
            _Side(i, sign)
            for i, z in enumerate(zones)
            for sign, limit in ((1.0, z.hi), (-1.0, z.lo))
            if abs(limit) < _NO_LIMIT * z.scale
        )
        flow, blender = build.nominal_flow(twin.resolved), build.blender_parameters(twin.resolved)
        label = twin.resolved.product.api_percent / 100.0
        self._scale = np.abs(twin.steady(flow, label, 1.0, blender.speed_0))
        self._advance, self._outputs = _functions(twin)
        self._clock = Deadline()
        self._mpc = self._set_up(iterations, tolerance, exact_hessian)
        self._places()
        self._roll = self._advance.mapaccum("reference_path", grid.stages)
        self._measure = self._outputs.map(grid.stages)

    def __call__(self, problem: OcpProblem, guess: Array, seconds_left: float) -> Solution:
        """Solve ``problem`` from ``guess`` (nodes, nu) within ``seconds_left``.

        The solution is ``ok`` only if IPOPT converged; otherwise ``verdict`` says what it said.
        """
        if tuple(z.output for z in problem.zones) != self._zones or problem.grid != self.grid:
            raise ValueError("the reference was set up for another grid or other zones")
        if seconds_left < _LEAST_S:
            return Solution.failed(problem, guess, "no time left")
        start = problem.feasible(guess)
        x, y = self._simulate(problem, start)
        if not np.all(np.isfinite(x)):
            return Solution.failed(problem, guess, "prediction is not finite")
        lower, upper = self._bounds(problem)
        self._clock.until(seconds_left)
        found = self._mpc.S(
            x0=self._first_guess(problem, start, x, y),
            p=self._parameters(problem),
            lbx=lower,
            ubx=upper,
            lbg=self._mpc.nlp_cons_lb,
            ubg=self._mpc.nlp_cons_ub,
        )
        stats = self._mpc.S.stats()
        verdict, steps = str(stats["return_status"]), int(stats["iter_count"])
        if self._clock.late:
            verdict = "deadline"
        held = np.asarray(found["x"]).ravel()[self._held]
        moves = problem.feasible(problem.previous + problem.rate * held)
        if not stats["success"] or not np.all(np.isfinite(moves)):
            return Solution.failed(problem, guess, verdict, steps)
        _, y = self._simulate(problem, moves)
        cost = objective(problem, y, moves)
        return Solution(moves, y, cost, steps, verdict, bool(np.isfinite(cost)))

    def _set_up(self, iterations: int, tolerance: float, exact_hessian: bool) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of do-mpc and CasADi: features that are not used
            import do_mpc  # slow to import, seldom needed

            mpc = do_mpc.controller.MPC(self._model(do_mpc.model.Model("discrete", "MX")))
            squares = self._state_objective(mpc)
            later, constant = mpc.get_tvp_template(), mpc.get_p_template(1)
            mpc.set_tvp_fun(lambda _: later)  # never asked: `_parameters` gives the numbers
            mpc.set_p_fun(lambda _: constant)
            mpc.prepare_nlp()
            constraints = sum(int(c.shape[0]) for c in mpc.nlp_cons)
            self._clock.attach(mpc.opt_x.shape[0], constraints, mpc.opt_p.shape[0])
            options = {
                "print_time": False,
                "iteration_callback": self._clock,
                "error_on_fail": False,
                "show_eval_warnings": False,
                "calc_lam_p": False,
                "ipopt.print_level": 0,
                "ipopt.sb": "yes",
                "ipopt.max_iter": iterations,
                "ipopt.mu_init": 1e-2,
                "ipopt.tol": tolerance,
            }
            if not exact_hessian:
                options["hess_lag"] = self._gauss_newton(mpc, squares)
            mpc.settings.nlpsol_opts = options
            mpc.create_nlp()
        return mpc

    def _model(self, model: Any) -> Any:
        """(R1)-(R4) in a do-mpc model, with every number of an instance as parameter."""
        nu, sides, goals = len(MOVES), len(self._sides), len(TRACKED)
        x = model.set_variable("_x", "x", (self._scale.size, 1))
        held = model.set_variable("_x", "held", (nu, 1))
        slope = model.set_variable("_x", "slope", (nu, 1))
        slack = model.set_variable("_x", "slack", (sides, 1))
        steer = model.set_variable("_u", "steer", (nu, 1))
        allow = model.set_variable("_u", "allow", (sides, 1))
        known = model.set_variable("_tvp", "known", (self._advance.size1_in(2) - nu, 1))
        free, keep, first, *_ = (model.set_variable("_tvp", n) for n in _FLAGS)
        model.set_variable("_tvp", "limit", (sides, 1))
        p = model.set_variable("_p", "p", (len(PARAMETERS), 1))
        previous = model.set_variable("_p", "previous", (nu, 1))
        rate = model.set_variable("_p", "rate", (nu, 1))
        for name, count in (
            ("goal", goals),
            ("tracked", goals),
            ("cost", nu),
            ("price", 2),
            ("size", sides),
        ):
            model.set_variable("_p", name, (count, 1))
        s = free * steer + keep * slope  # (R1)
        m = held + s  # (R2)
        moved = ca.vertcat(previous + rate * m, known)
        model.set_rhs("slope", s)
        model.set_rhs("held", m)
        model.set_rhs("slack", slack + first * allow)  # (R3)
        model.set_rhs("x", self._advance(x * self._scale, p, moved) / self._scale)  # (R4)
        model.setup()
        return model

    def _state_objective(self, mpc: Any) -> Any:
        """(O1) and (O4) by stage; returns the terms that are squared in (O1) as a function."""
        model, n = mpc.model, self.grid.stages
        x, u, given, p = model.x, model.u, model.tvp, model.p
        y = self._outputs(x["x"] * self._scale, p["p"], p["previous"] + p["rate"] * x["held"])
        error = (y[[OUTPUTS.index(name) for name in TRACKED]] - p["goal"]) / p["tracked"]
        squares = ca.vertcat(
            given["counted"] * error / np.sqrt(n),
            given["free"] * given["root_gap"] * u["steer"] / p["cost"],
            given["first"] * ca.sqrt(p["price"][1]) * u["allow"],
        )
        linear = given["first"] * p["price"][0] * ca.sum1(u["allow"])
        for i, side in enumerate(self._sides):
            room = y[OUTPUTS.index(self._zones[side.zone])] - given["limit"][i]
            excess = given["counted"] * side.sign * room / p["size"][i]
            mpc.set_nl_cons(f"side{i}", excess - x["slack"][i], ub=0.0)
        mpc.settings.n_horizon = n + 1
        mpc.settings.t_step = self.grid.step
        mpc.settings.store_lagr_multiplier = False
        mpc.set_objective(mterm=ca.DM(0), lterm=ca.sumsqr(squares) + linear)
        mpc.set_rterm()  # the move terms are in the stage cost
        return ca.Function("squares", model["x", "u", "tvp", "p"], [squares])

    def _gauss_newton(self, mpc: Any, squares: Any) -> Any:
        """Hessian of the sum of squares without the residuals' curvature, for IPOPT."""
        x, p = mpc.opt_x, mpc.opt_p
        rows = [
            squares(x["_x", k, 0, -1], x["_u", k, 0], p["_tvp", k], p["_p", 0])
            for k in range(self.grid.stages + 1)
        ]
        jacobian = ca.jacobian(ca.vertcat(*rows), x.cat)
        weight = ca.MX.sym("lam_f")
        duals = ca.MX.sym("lam_g", sum(int(c.shape[0]) for c in mpc.nlp_cons))
        hessian = ca.triu(2.0 * weight * (jacobian.T @ jacobian))
        return ca.Function(
            "nlp_hess_l",
            [x.cat, p.cat, weight, duals],
            [hessian],
            ["x", "p", "lam_f", "lam_g"],
            ["triu_hess_gamma_x_x"],
        )

    def _places(self) -> None:
        """Where things are in do-mpc's flat vectors, and what never changes in them."""
        n, mpc = self.grid.stages, self._mpc
        where, given = mpc.opt_x.f, mpc.opt_p.f

        def stages(first: int, last: int, *path: Any) -> Array:
            return np.array([where[path[0], k, 0, *path[1:]] for k in range(first, last)])

        self._x = stages(0, n + 2, "_x", -1, "x")
        self._m = stages(0, n + 2, "_x", -1, "held")
        self._s = stages(0, n + 2, "_x", -1, "slope")
        self._e = stages(0, n + 2, "_x", -1, "slack")
        self._steer = stages(0, n + 1, "_u", "steer")
        self._allow = stages(0, n + 1, "_u", "allow")
        self._held = self._m[[node + 1 for node in self.grid.nodes]]
        self._known = np.array([given["_tvp", k, "known"] for k in range(n + 2)])
        self._limit = np.array([given["_tvp", k, "limit"] for k in range(n + 2)])
        flags = np.zeros((n + 2, 5))
        free = [0, *(node + 1 for node in self.grid.nodes[:-1])]
        flags[free, 0] = 1.0
        flags[: self.grid.nodes[-1] + 1, 1] = 1.0
        flags[free, 1] = 0.0
        flags[0, 2] = 1.0
        flags[1 : n + 1, 3] = 1.0
        flags[free, 4] = np.sqrt(self.grid.gaps)
        self._free, self._gaps = np.array(free), self.grid.gaps[:, None]
        self._fixed = np.zeros(mpc.opt_p.shape[0])
        for i, name in enumerate(_FLAGS):
            for k in range(n + 2):
                self._fixed[given["_tvp", k, name]] = flags[k, i]

    def _simulate(self, problem: OcpProblem, moves: Array) -> tuple[Array, Array]:
        """States (nx, N) and outputs (ny, N) under node values ``moves``."""
        held = stage_moves(problem, moves)
        p = np.repeat(problem.p[:, None], self.grid.stages, axis=1)
        x = np.asarray(self._roll(problem.x0, p, np.vstack((held, problem.known))))
        return x, np.asarray(self._measure(x, p, held))

    def _parameters(self, problem: OcpProblem) -> Array:
        """The numbers of an instance, in do-mpc's order."""
        n, given, weights = self.grid.stages, self._mpc.opt_p.f, problem.weights
        out = self._fixed.copy()
        rest = np.zeros(2 * len(MOVES) + len(self._sides))
        later = np.minimum(np.arange(n + 2), n - 1)
        out[self._known] = problem.known.T[later]
        size, _, limit = self._limits(problem)
        out[self._limit] = limit.T[np.clip(np.arange(n + 2) - 1, 0, n - 1)]
        for place, value in (
            (given["_x0"], np.append(problem.x0 / self._scale, rest)),
            (given["_p", 0, "p"], problem.p),
            (given["_p", 0, "previous"], problem.previous),
            (given["_p", 0, "rate"], problem.rate),
            (given["_p", 0, "goal"], problem.references),
            (given["_p", 0, "tracked"], weights.tracked),
            (given["_p", 0, "cost"], weights.moves),
            (given["_p", 0, "price"], (weights.slack_linear, weights.slack_quadratic)),
            (given["_p", 0, "size"], size),
        ):
            out[place] = value
        return out

    def _first_guess(self, problem: OcpProblem, moves: Array, x: Array, y: Array) -> Array:
        """What node values ``moves`` lead to, in do-mpc's order."""
        held = (stage_moves(problem, moves).T - problem.previous) / problem.rate
        nodes = (moves - problem.previous) / problem.rate
        size, sign, limit = self._limits(problem)
        rows = [OUTPUTS.index(self._zones[s.zone]) for s in self._sides]
        excess = (sign[:, None] * (y[rows] - limit)).max(axis=1) / size
        slack = np.maximum(excess, 0.0)
        out = np.zeros(self._mpc.opt_x.shape[0])
        out[self._x] = np.column_stack((problem.x0, x, x[:, -1])).T / self._scale
        out[self._m[1:-1]], out[self._m[-1]] = held, held[-1]
        out[self._s[1:-1]] = np.diff(held, axis=0, prepend=0.0)
        out[self._e[1:]] = slack
        out[self._steer[self._free]] = np.diff(nodes, axis=0, prepend=0.0) / self._gaps
        out[self._allow[0]] = slack
        return out

    def _limits(self, problem: OcpProblem) -> tuple[Array, Array, Array]:
        """Scale and sign of each side, its limit by stage ``(sides, N)``."""
        zones = [problem.zones[s.zone] for s in self._sides]
        sign = np.array([s.sign for s in self._sides])
        limit = np.array(
            [
                np.broadcast_to(z.limits[int(s.sign > 0)], self.grid.stages)
                for z, s in zip(zones, self._sides, strict=True)
            ]
        )
        return np.array([z.scale for z in zones]), sign, limit

    def _bounds(self, problem: OcpProblem) -> tuple[Array, Array]:
        """Rates and ranges; a set point outside its range comes back at the rate limit."""
        count = self._mpc.opt_x.shape[0]
        lower, upper = np.full(count, -np.inf), np.full(count, np.inf)
        for places in (self._steer, self._allow):
            lower[places], upper[places] = 0.0, 0.0
        upper[self._allow[0]] = np.inf
        lo = (problem.lo - problem.previous) / problem.rate
        hi = (problem.hi - problem.previous) / problem.rate
        still = (lo == 0.0) & (hi == 0.0)
        for n, node in enumerate(self.grid.nodes):
            reach, steer, held = node + 1.0, self._steer[self._free[n]], self._held[n]
            down, up = hi <= -reach, lo >= reach  # all the way at the rate limit
            lower[steer] = np.select([still, up, down], [0.0, 1.0, -1.0], -1.0)
            upper[steer] = np.select([still, up, down], [0.0, 1.0, -1.0], 1.0)
            free = ~(still | up | down)
            lower[held[free]], upper[held[free]] = lo[free], hi[free]
        return lower, upper


def _functions(twin: ControlTwin) -> tuple[Any, Any]:
    """``(x, p, [u; d]) -> x`` one stage later; ``(x, p, u) -> y`` at the end of a stage."""
    x = ca.SX.sym("x", twin.path.size)
    p = ca.SX.sym("p", len(PARAMETERS))
    u = ca.SX.sym("u", len(MOVES))
    d = ca.SX.sym("d", 3 * len(twin.resolved.line.feeders) + 3)
    v = ca.vertcat(*twin.stage_inputs(ca.vertsplit(u), ca.vertsplit(d)))
    advance = ca.Function(
        "advance", [x, p, ca.vertcat(u, d)], [twin.advance(x, p, v)], {"jac_penalty": 0.0}
    )
    named = twin.outputs(ca.vertsplit(x), ca.vertsplit(p), ca.vertsplit(v))
    y = ca.vertcat(*(named[n] for n in OUTPUTS))
    if ca.depends_on(y, d):
        raise ValueError("outputs depend on known disturbances: the reference cannot express that")
    return advance, ca.Function("outputs", [x, p, u], [y])
