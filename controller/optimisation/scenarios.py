"""Scenario-robust plans: one set of moves for the estimate and for draws of what else may be true.

(X1)  min  sum_s w_s T(y_s) + M(u) + sum_z (q1 e_z + q2 e_z^2)
(X2)  y_s = the roll-out from x_0s with parameters p_s under the moves u
(X3)  every zone holds for every s with one slack e_z per side

``T``, ``M`` and the zones are (O1)-(O4) of `controller.optimisation.problem`; s = 0 is the
estimate, the others are `controller.optimisation.problem.Draws`. The draws share the blocked moves,
so that they add rows and no unknowns: one plan for the whole horizon, open-loop robust control.

Steps are those of the fast solver but for three things. The gradient of (X1) is exact, a sum of one
gradient per draw (`controller.twin.worth`, forwards and back, nothing condensed); the Gauss-Newton
Hessian is the estimate's alone, which is what the weighted sum of Hessians differs little from, and
which decides about the way and not about its end. Zone sides near their limit have rows from the
draw that is worst, with that draw's own sensitivities: such a draw costs a condensation more.

Draws whose prediction breaks down are left out, and the verdict says how many.

References
----------
[1] S. Lucia, T. Finkler & S. Engell, Multi-stage nonlinear model predictive control applied to a
    semi-batch polymerization reactor under uncertainty, J Process Control 23 (2013) 1306-1319 (from
    memory): scenarios in predictive control, there with a plan per branch of a tree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.optimisation.fast import NEAR, NOT_FINITE, FastSolver, Solution
from controller.optimisation.problem import (
    TRACKED,
    Draws,
    Grid,
    OcpProblem,
    move_cost,
    price,
    stage_moves,
)
from controller.twin.compiled import RolloutResult
from controller.twin.core import OUTPUTS, ControlTwin
from controller.twin.worth import Worth

__all__ = ["ScenarioSolver"]

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Point:
    """What comes of a plan for the estimate and its draws.

    ``y`` (ny, N) outputs of the estimate, ``everyone`` (S, ny, N) of all, ``rooms``
    (S, 2 zones, N) how far they are off each limit, ``gradient`` (nodes * nu,) of half the tracking
    terms by moves in units of a rate step, ``cost`` (X1), ``fine`` (S,) whose numbers did not break
    down.
    """

    everyone: Array
    rooms: Array
    gradient: Array
    cost: float
    fine: Flags

    @property
    def y(self) -> Array:
        return np.asarray(self.everyone[0])


class ScenarioSolver(FastSolver):
    """Solver for problems with draws; without any, the fast solver itself.

    Parameters
    ----------
    twin, grid, cache
        As for `controller.optimisation.fast.FastSolver`.
    """

    def __init__(self, twin: ControlTwin, grid: Grid, cache: Path | None) -> None:
        super().__init__(twin, grid, cache)
        self._worth = Worth(twin, grid.stages, TRACKED, cache)
        self._draws: Draws | None = None  # of the problem at hand, the estimate before them
        self._known: tuple[Array, _Point] | None = None  # the last plan, and what comes of it

    def solve(
        self,
        problem: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        """Improve ``guess`` (nodes, nu) by up to ``steps`` steps; see `FastSolver.solve`.

        ``outputs`` are those of the estimate, ``cost`` is (X1).
        """
        self._draws, lost = None, 0
        if problem.draws is not None and problem.draws.weights.size:
            everyone = _with_estimate(problem, problem.draws)
            moves = problem.feasible(guess)
            first = self._evaluate(problem, everyone, moves)
            lost, fine = int(np.sum(~first.fine)), first.fine.copy()
            fine[0] = True  # if the estimate breaks down, that is the verdict
            self._draws = _only(everyone, fine) if lost else everyone
            self._known = None if lost else (moves, first)
        found = super().solve(problem, guess, steps, deadline, prepared)
        if lost and problem.draws is not None:
            note = f"{found.verdict}, {lost} of {problem.draws.weights.size} draws left out"
            found = replace(found, verdict=note)
        return found

    def _look(self, problem: OcpProblem, moves: Array) -> Any:
        if self._draws is None:
            return super()._look(problem, moves)
        return self._roll(problem, moves)

    def _roll(self, problem: OcpProblem, moves: Array) -> Any:
        if self._draws is None:
            return super()._roll(problem, moves)
        if self._known is not None and np.array_equal(self._known[0], moves):
            return self._known[1]
        point = self._evaluate(problem, self._draws, moves)
        self._known = moves, point
        return point

    def _cost(self, problem: OcpProblem, out: Any, moves: Array) -> float:
        if self._draws is None:
            return super()._cost(problem, out, moves)
        return float(out.cost)

    def _evaluate(self, problem: OcpProblem, draws: Draws, moves: Array) -> _Point:
        """(X1) and its gradient, with one roll-out forwards and back per draw."""
        w = np.vstack((stage_moves(problem, moves), problem.known))
        scales = 1.0 / problem.weights.tracked
        y = np.empty((draws.weights.size, len(OUTPUTS), self.grid.stages))
        worth, slope = np.empty(draws.weights.size), np.zeros((self.nu, self.grid.stages))
        fine = np.empty(draws.weights.size, dtype=bool)
        for s, weight in enumerate(draws.weights):
            y[s], worth[s], g = self._worth(draws.x0[s], draws.p[s], w, problem.references, scales)
            fine[s] = bool(np.isfinite(worth[s]) and np.isfinite(g).all())
            slope += weight * g
        fine &= np.isfinite(y).all(axis=(1, 2))
        rooms = _rooms(problem, y)
        slacks = np.maximum(-rooms.min(axis=(0, 2)), 0.0)
        cost = float(draws.weights @ worth) + move_cost(problem, moves) + price(problem, slacks)
        by_node = (slope @ self.grid.interpolation).T * problem.rate
        return _Point(y, rooms, 0.5 * by_node.ravel(), cost, fine)

    def _direction(
        self, problem: OcpProblem, moves: Array, out: Any, every: int, jac: Array | None = None
    ) -> tuple[Array, int, bool]:
        """As the fast solver's, with all draws' gradient and zones."""
        if self._draws is None:
            return super()._direction(problem, moves, out, every, jac)
        tracked = [OUTPUTS.index(n) for n in TRACKED]
        zoned = [OUTPUTS.index(z.output) for z in problem.zones]
        unit = np.tile(problem.rate, len(self.grid.nodes))
        if jac is None:
            jac = self.sensitivities(self.predict(problem, moves), tracked + zoned)
        jac = jac * unit
        scale = 1.0 / problem.weights.tracked / np.sqrt(self.grid.stages)
        rows = (jac[:, : len(tracked)] * scale[None, :, None]).reshape(-1, unit.size)
        steps, offset = self._move_rows(problem, moves)
        hessian = rows.T @ rows + steps.T @ steps
        gradient = out.gradient + steps.T @ offset
        soft = self._sides(problem, moves, out.rooms, jac[:, len(tracked) :], every)
        numbers = [hessian, gradient, *(a for side in soft for a in side)]
        if not all(np.isfinite(a).all() for a in numbers):
            return np.full(moves.shape, np.nan), NOT_FINITE, False
        direction, flag = self._qp(problem, moves, hessian, gradient, soft, unit)
        return direction, flag, bool(soft) and every > 1

    def _sides(
        self, problem: OcpProblem, moves: Array, rooms: Array, nominal: Array, every: int
    ) -> list[tuple[Array, Array]]:
        """Rows and right sides of ``row du <= rhs + slack``, one entry per side near its limit.

        ``nominal`` (N, zones, nz) is the estimate's Jacobian; the draws' own are worked out where
        they are needed.
        """
        unit = np.tile(problem.rate, len(self.grid.nodes))
        zoned = [OUTPUTS.index(z.output) for z in problem.zones]
        chosen = _chosen(rooms, every)
        parts: list[list[tuple[Array, Array]]] = [[] for _ in range(rooms.shape[1])]
        for s in np.flatnonzero(chosen.any(axis=(1, 2))):
            jac = nominal
            if s > 0:
                jac = self.sensitivities(self._of(problem, moves, int(s)), zoned) * unit
            for side in np.flatnonzero(chosen[s].any(axis=1)):
                stages, scale = chosen[s, side], problem.zones[side // 2].scale
                sign = -1.0 if side % 2 else 1.0
                rows = sign / scale * jac[stages, side // 2]
                parts[side].append((rows, rooms[s, side, stages]))
        return [
            (np.vstack([r for r, _ in part]), np.concatenate([b for _, b in part]))
            for part in parts
            if part
        ]

    def _of(self, problem: OcpProblem, moves: Array, s: int) -> RolloutResult:
        """Roll-out of one of the draws, with its sensitivities."""
        if self._draws is not None:
            problem = replace(problem, x0=self._draws.x0[s], p=self._draws.p[s])
        return self.predict(problem, moves)


def _rooms(problem: OcpProblem, y: Array) -> Array:
    """``(S, 2 zones, N)`` how far outputs ``y`` (S, ny, N) are off the limits [zone scales].

    The upper side of each zone first.
    """
    rooms = np.empty((y.shape[0], 2 * len(problem.zones), y.shape[2]))
    for i, zone in enumerate(problem.zones):
        row, (lower, upper) = y[:, OUTPUTS.index(zone.output)], zone.limits
        rooms[:, 2 * i], rooms[:, 2 * i + 1] = upper - row, row - lower
        rooms[:, 2 * i : 2 * i + 2] /= zone.scale
    return rooms


def _chosen(rooms: Array, every: int) -> Flags:
    """``(S, 2 zones, N)`` where rows are taken, for sides that come near their limit.

    At one stage in ``every`` from whoever is worst there, and from whoever is worst of all; if
    ``every`` is 1, from everyone who comes near.
    """
    near = rooms.min(axis=2) < NEAR
    stages = np.arange(rooms.shape[2]) % every == every - 1
    chosen = near.any(axis=0)[:, None] & stages & (rooms < NEAR + 0.5)
    if every == 1:
        return np.asarray(chosen & near[:, :, None])
    worst = rooms.argmin(axis=0) == np.arange(rooms.shape[0])[:, None, None]
    least = rooms.min(axis=(0, 2), keepdims=True)
    return np.asarray(worst & (chosen | ((rooms == least) & (least < NEAR))))


def _with_estimate(problem: OcpProblem, draws: Draws) -> Draws:
    """The draws with the estimate before them, which gets what is left of the weight."""
    return Draws(
        np.vstack((problem.x0, draws.x0)),
        np.vstack((problem.p, draws.p)),
        np.append(1.0 - np.sum(draws.weights), draws.weights),
    )


def _only(draws: Draws, which: Flags) -> Draws:
    """Some of them, their weights adding up to 1 again."""
    weights = draws.weights[which]
    return Draws(draws.x0[which], draws.p[which], weights / np.sum(weights))
