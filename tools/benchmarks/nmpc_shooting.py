"""One multiple-shooting problem for IPOPT and fatrop, ordered stage by stage.

The problem of `controller.optimisation.problem` without blocking. At the end of stage ``k`` the
state is ``z_k = [x_k / scale; m_k; e]``: the twin's state, the set points held during the stage
[rates from those in use], one slack per zone side for the whole horizon; ``s_k`` are the moves:

(S1)  x_k+1 = F(x_k, p, [previous + rate m_k+1; d_k]),  m_k+1 = m_k + s_k,  e_k+1 = e_k
(S2)  min  sum_k>0 |(y_k - r) / s|^2 / N + sum_k |s_k / c|^2 + q1 sum e + q2 |e|^2
(S3)  -1 <= s <= 1, lo <= previous + rate m <= hi, e >= 0;  sign (y_k - limit) / size - e <= 0

``F`` is the twin's Runge-Kutta step. Order of the unknowns is ``z_0, s_0, z_1, ...``, of the rows
``gap_0, path_0, gap_1, ...`` with ``z_k+1`` first in a gap, as fatrop wants it.

References
----------
[1] A. Waechter & L. T. Biegler, Math. Program. 106 (2006) 25-57 (IPOPT; from memory).
[2] L. Vanroye et al., FATROP, IROS 2023, 10036-10043 (from memory).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.problem import TRACKED, Grid, OcpProblem
from controller.twin.core import MOVES, OUTPUTS, PARAMETERS
from tools.benchmarks.nmpc_problem import Case

__all__ = ["FATROP", "IPOPT", "Shooting"]

_QUIET = {"print_time": False, "error_on_fail": False, "show_eval_warnings": False}
# Documented levers only: SX expanded, a barrier that fits a shifted start.
IPOPT: dict[str, Any] = {
    **_QUIET,
    "expand": True,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.mu_init": 1e-3,
}
FATROP: dict[str, Any] = {
    **_QUIET,
    "expand": True,
    "structure_detection": "manual",
    "fatrop.print_level": 0,
    "fatrop.mu_init": 1e-3,
}
_NO_LIMIT = 1e3  # a zone side further out than this many scales is none


class Shooting:
    """The problem for one case and plugin; a `tools.benchmarks.nmpc_loop.Contestant`.

    Parameters
    ----------
    case
        What to solve.
    plugin, options
        Of CasADi's ``nlpsol``.
    """

    def __init__(self, case: Case, plugin: str, options: Mapping[str, Any]) -> None:
        self.grid: Grid = case.dense
        self._rate = case.factory.rate
        self._scale = case.scale
        zones = case.factory.zones
        self._sides = [
            (i, sign)
            for i, z in enumerate(zones)
            for sign, limit in ((1.0, z.hi), (-1.0, z.lo))
            if abs(limit) < _NO_LIMIT * z.scale
        ]
        self._zones = [OUTPUTS.index(z.output) for z in zones]
        self._advance, self._outputs = _functions(case)
        self._all_outputs = self._outputs.map(self.grid.stages)
        self._nx, self._nu, self._ns = self._scale.size, len(MOVES), len(self._sides)
        self._nz = self._nx + self._nu + self._ns
        self.settings = {"plugin": plugin, **options}
        self._build(plugin, dict(options))
        self._last: Array | None = None
        self.status, self.iterations, self.objective = "", 0, float("nan")

    # the problem

    def _build(self, plugin: str, options: dict[str, Any]) -> None:
        n, nz, nu, ns = self.grid.stages, self._nz, self._nu, self._ns
        sizes = {
            "x0": self._nx,
            "p": len(PARAMETERS),
            "previous": nu,
            "goal": len(TRACKED),
            "tracked": len(TRACKED),
            "cost": nu,
            "price": 2,
            "limit": ns,
            "size": ns,
        }
        self._given = list(sizes)
        given = {name: ca.MX.sym(name, size) for name, size in sizes.items()}
        known = ca.MX.sym("known", self._advance.size1_in(2) - nu, n)
        z = [ca.MX.sym(f"z{k}", nz) for k in range(n + 1)]
        s = [ca.MX.sym(f"s{k}", nu) for k in range(n)]
        path = self._path()
        unknowns, rows, equal = [], [], []
        slack = z[0][-ns:]
        cost = given["price"][0] * ca.sum1(slack) + given["price"][1] * ca.sumsqr(slack)
        begin = ca.vertcat(z[0][: self._nx] - given["x0"] / self._scale, z[0][self._nx : -ns])
        for k in range(n):
            unknowns += [z[k], s[k]]
            rows += [z[k + 1] - self._next(z[k], s[k], given, known[:, k])]
            equal += [True] * nz
            here, miss = path(z[k], given) if k > 0 else (begin, 0.0)
            rows.append(here)
            equal += [k == 0] * here.shape[0]
            cost += ca.sumsqr(s[k] / given["cost"]) + miss
        last, miss = path(z[n], given)
        g = ca.vertcat(*rows, last)
        equal += [False] * ns
        self._lbg = np.where(equal, 0.0, -np.inf)
        if plugin == "fatrop":
            options |= {
                "N": n,
                "nx": [nz] * (n + 1),
                "nu": [nu] * n + [0],
                "ng": [begin.shape[0]] + [ns] * n,
            }
        nlp = {
            "x": ca.vertcat(*unknowns, z[n]),
            "f": cost + miss,
            "g": g,
            "p": ca.vertcat(*given.values(), ca.vec(known)),
        }
        self._solver = ca.nlpsol("shooting", plugin, nlp, options)
        at = np.arange(nlp["x"].shape[0])
        stages = at[: n * (nz + nu)].reshape(n, nz + nu)
        self._z_at = np.vstack((stages[:, :nz], at[n * (nz + nu) :]))
        self._s_at = stages[:, nz:]

    def _next(self, z: Any, s: Any, given: Mapping[str, Any], known: Any) -> Any:
        """(S1)."""
        x, m, e = z[: self._nx], z[self._nx : -self._ns], z[-self._ns :]
        held = m + s
        moved = ca.vertcat(given["previous"] + self._rate * held, known)
        later = self._advance(x * self._scale, given["p"], moved) / self._scale
        return ca.vertcat(later, held, e)

    def _path(self) -> Any:
        """Rows of (S3) and the tracking term of (S2) at the end of a stage."""
        rows = [self._zones[i] for i, _ in self._sides]
        sign = np.array([sign for _, sign in self._sides])
        index = [OUTPUTS.index(n) for n in TRACKED]

        def path(z: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
            x, m, e = z[: self._nx], z[self._nx : -self._ns], z[-self._ns :]
            held = given["previous"] + self._rate * m
            y = self._outputs(x * self._scale, given["p"], held)
            error = (y[index] - given["goal"]) / given["tracked"]
            excess = sign * (y[rows] - given["limit"]) / given["size"] - e
            return excess, ca.sumsqr(error) / self.grid.stages

        return path

    # one instance

    def decide(self, problem: OcpProblem) -> Array:
        """Set points of the coming stage, from the converged problem."""
        return np.asarray(self.solve(problem)[0])

    def solve(self, problem: OcpProblem) -> Array:
        """Set points (N, nu) of all stages; ``status`` and ``objective`` say how it went."""
        lower, upper = self._bounds(problem)
        found = self._solver(
            x0=self._guess(problem),
            p=self._parameters(problem),
            lbx=lower,
            ubx=upper,
            lbg=self._lbg,
            ubg=0.0,
        )
        stats = self._solver.stats()
        said = stats["return_status"]  # fatrop's is a number
        solved = "solved" if stats["success"] else "failed"
        self.status = said if isinstance(said, str) else f"{solved} ({said})"
        self.iterations, self.objective = int(stats["iter_count"]), float(found["f"])
        values = np.asarray(found["x"]).ravel()
        held = problem.previous + problem.rate * values[self._z_at[1:, self._nx : -self._ns]]
        self._last = held if stats["success"] else None
        return np.asarray(held)

    def _guess(self, problem: OcpProblem) -> Array:
        """The last plan one stage later, rolled out; without one, the set points in use."""
        n = self.grid.stages
        plan = problem.hold() if self._last is None else problem.grid.shifted(self._last)
        plan = problem.feasible(plan)
        m = (plan - problem.previous) / problem.rate
        x, xs = problem.x0, [problem.x0]
        for k in range(n):
            moved = np.concatenate((plan[k], problem.known[:, k]))
            x = np.asarray(self._advance(x, problem.p, moved)).ravel()
            xs.append(x)
        slack = self._excess(problem, np.array(xs[1:]), plan)
        guess = np.zeros(self._z_at.size + self._s_at.size)
        guess[self._z_at[:, : self._nx]] = np.array(xs) / self._scale
        guess[self._z_at[1:, self._nx : -self._ns]] = m
        guess[self._z_at[:, -self._ns :]] = slack
        guess[self._s_at] = np.diff(m, axis=0, prepend=0.0)
        return guess

    def _excess(self, problem: OcpProblem, x: Array, plan: Array) -> Array:
        p = np.repeat(problem.p[:, None], self.grid.stages, axis=1)
        y = np.asarray(self._all_outputs(x.T, p, plan.T))
        size, limit = self._limits(problem)
        sign = np.array([sign for _, sign in self._sides])
        rows = [self._zones[i] for i, _ in self._sides]
        worst = (sign[:, None] * (y[rows] - limit[:, None])).max(axis=1) / size
        return np.asarray(np.maximum(worst, 0.0))

    def _limits(self, problem: OcpProblem) -> tuple[Array, Array]:
        zones = [(problem.zones[i], sign) for i, sign in self._sides]
        size = np.array([z.scale for z, _ in zones])
        return size, np.array([z.hi if sign > 0.0 else z.lo for z, sign in zones])

    def _bounds(self, problem: OcpProblem) -> tuple[Array, Array]:
        count = self._z_at.size + self._s_at.size
        lower, upper = np.full(count, -np.inf), np.full(count, np.inf)
        held = self._z_at[1:, self._nx : -self._ns]
        lower[held] = (problem.lo - problem.previous) / problem.rate
        upper[held] = (problem.hi - problem.previous) / problem.rate
        lower[self._s_at], upper[self._s_at] = -1.0, 1.0
        lower[self._z_at[:, -self._ns :]] = 0.0
        return lower, upper

    def _parameters(self, problem: OcpProblem) -> Array:
        w = problem.weights
        size, limit = self._limits(problem)
        values = {
            "x0": problem.x0,
            "p": problem.p,
            "previous": problem.previous,
            "goal": problem.references,
            "tracked": w.tracked,
            "cost": w.moves,
            "price": np.array((w.slack_linear, w.slack_quadratic)),
            "limit": limit,
            "size": size,
        }
        parts = [values[name] for name in self._given]
        return np.concatenate((*parts, problem.known.ravel(order="F")))


def _functions(case: Case) -> tuple[Any, Any]:
    """``(x, p, [u; d]) -> x`` one stage later; ``(x, p, u) -> y`` at the end of a stage."""
    twin = case.twin
    x, p = ca.SX.sym("x", twin.path.size), ca.SX.sym("p", len(PARAMETERS))
    u, d = ca.SX.sym("u", len(MOVES)), ca.SX.sym("d", case.known(0, 1).shape[0])
    v = ca.vertcat(*twin.stage_inputs(ca.vertsplit(u), ca.vertsplit(d)))
    advance = ca.Function("advance", [x, p, ca.vertcat(u, d)], [twin.advance(x, p, v)])
    named = twin.outputs(ca.vertsplit(x), ca.vertsplit(p), ca.vertsplit(v))
    y = ca.vertcat(*(named[n] for n in OUTPUTS))
    return advance, ca.Function("outputs", [x, p, u], [y])
