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
which decides about the way and not about its end. Zone sides have rows from every draw that comes
near the limit, with that draw's own sensitivities, so that such a draw costs a condensation more.

Draws whose prediction breaks down are left out, and the verdict says how many.

References
----------
[1] S. Lucia, T. Finkler & S. Engell, Multi-stage nonlinear model predictive control applied to a
    semi-batch polymerization reactor under uncertainty, J Process Control 23 (2013) 1306-1319 (from
    memory): scenarios in predictive control, there with a plan per branch of a tree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.optimisation.fast import FastSolver, Solution
from controller.optimisation.problem import (
    TRACKED,
    Draws,
    Grid,
    OcpProblem,
    move_cost,
    price,
    stage_moves,
    violations,
)
from controller.twin.core import OUTPUTS, ControlTwin
from controller.twin.worth import Worth

__all__ = ["ScenarioSolver"]

_NEAR = 0.35  # a side enters the QP when a draw comes this close to it [zone scales]
_EVERY = 4  # stages between the rows of a side, until a step shows that they are too few
_SHORTER, _TRIALS = 0.4, 4  # of a step that does not descend

Flags = NDArray[np.bool_]
Rows = dict[int, list[tuple[Array, Array]]]


@dataclass(frozen=True, slots=True)
class _Point:
    """A plan and what comes of it.

    ``y`` (S, ny, N) outputs, ``gradient`` (nodes * nu,) of half the tracking terms by moves in
    units of a rate step, ``cost`` (X1), ``fine`` (S,) whose numbers did not break down.
    """

    moves: Array
    y: Array
    gradient: Array
    cost: float
    fine: Flags


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

    def solve(
        self, problem: OcpProblem, guess: Array, steps: int, deadline: float | None = None
    ) -> Solution:
        """Improve ``guess`` (nodes, nu) by up to ``steps`` steps; see `FastSolver.solve`.

        ``outputs`` are those of the estimate, ``cost`` is (X1).
        """
        if problem.draws is None or problem.draws.weights.size == 0:
            return super().solve(problem, guess, steps, deadline)
        everyone = _with_estimate(problem, problem.draws)
        point = self._evaluate(problem, everyone, problem.feasible(guess))
        if not point.fine[0]:
            nothing = point.y[0].copy()
            return Solution(point.moves, nothing, np.inf, 0, "prediction is not finite", False)
        lost = int(np.sum(~point.fine))
        if lost:
            everyone = _only(everyone, point.fine)
            point = self._evaluate(problem, everyone, point.moves)
        found = self._descend(problem, everyone, point, steps, deadline)
        if lost:
            note = f"{found.verdict}, {lost} of {problem.draws.weights.size} draws left out"
            found = replace(found, verdict=note)
        return found

    def _descend(
        self,
        problem: OcpProblem,
        draws: Draws,
        point: _Point,
        steps: int,
        deadline: float | None,
    ) -> Solution:
        taken, every, verdict = 0, _EVERY, "step limit"
        if not np.isfinite(point.cost):
            return _solution(point, 0, "objective is not finite")
        while taken < steps:
            if deadline is not None and time.perf_counter() > deadline:
                verdict = "deadline"
                break
            direction, flag, partly = self._next(problem, draws, point, every)
            if flag < 1 or not np.all(np.isfinite(direction)):
                return replace(_solution(point, taken, f"QP exit {flag}"), ok=taken > 0)
            better = self._shortened(problem, draws, point, direction)
            if better is None and partly:
                every = 1
                continue
            if better is None:
                verdict = "no descent"
                break
            gained, point, taken = point.cost - better.cost, better, taken + 1
            if gained <= 1e-7 * (1.0 + point.cost):
                verdict = "converged"
                break
        return _solution(point, taken, verdict)

    def _shortened(
        self, problem: OcpProblem, draws: Draws, point: _Point, direction: Array
    ) -> _Point | None:
        """The plan a step further, the step shortened until it descends; None if it never does."""
        scale = 1.0
        for _ in range(_TRIALS):
            trial = problem.feasible(point.moves + scale * direction)
            found = self._evaluate(problem, draws, trial)
            if np.isfinite(found.cost) and found.cost <= point.cost * (1.0 + 1e-9):
                return found
            scale *= _SHORTER
        return None

    def _evaluate(self, problem: OcpProblem, draws: Draws, moves: Array) -> _Point:
        """(X1) and its gradient, with one roll-out forwards and back per draw."""
        w = np.vstack((stage_moves(problem, moves), problem.known))
        scales = 1.0 / problem.weights.tracked
        y = np.empty((draws.weights.size, len(OUTPUTS), self.grid.stages))
        worth, slope = np.empty(draws.weights.size), np.zeros((self.nu, self.grid.stages))
        fine = np.empty(draws.weights.size, dtype=bool)
        slacks = np.zeros(2 * len(problem.zones))
        for s, weight in enumerate(draws.weights):
            y[s], worth[s], g = self._worth(draws.x0[s], draws.p[s], w, problem.references, scales)
            fine[s] = bool(np.isfinite(worth[s]) and np.isfinite(y[s]).all())
            fine[s] &= bool(np.isfinite(g).all())
            slope += weight * g
            slacks = np.maximum(slacks, violations(problem, y[s]))
        cost = float(draws.weights @ worth) + move_cost(problem, moves) + price(problem, slacks)
        by_node = (slope @ self.grid.interpolation).T * problem.rate
        return _Point(moves, y, 0.5 * by_node.ravel(), cost, fine)

    def _next(
        self, problem: OcpProblem, draws: Draws, point: _Point, every: int
    ) -> tuple[Array, int, bool]:
        """Step of the QP, its exit flag, and whether rows of zones were left out of it."""
        tracked = [OUTPUTS.index(n) for n in TRACKED]
        zoned = [OUTPUTS.index(z.output) for z in problem.zones]
        unit = np.tile(problem.rate, len(self.grid.nodes))
        jac = self.sensitivities(self.predict(problem, point.moves), tracked + zoned) * unit
        scale = 1.0 / problem.weights.tracked / np.sqrt(self.grid.stages)
        rows = (jac[:, : len(tracked)] * scale[None, :, None]).reshape(-1, unit.size)
        steps, offset = self._move_rows(problem, point.moves)
        hessian = rows.T @ rows + steps.T @ steps
        gradient = point.gradient + steps.T @ offset
        soft = self._sides(problem, draws, point, jac[:, len(tracked) :], every)
        numbers = [hessian, gradient, *(a for side in soft for a in side)]
        if not all(np.isfinite(a).all() for a in numbers):
            return np.full(point.moves.shape, np.nan), -1, False
        direction, flag = self._qp(problem, point.moves, hessian, gradient, soft, unit)
        return direction, flag, bool(soft) and every > 1

    def _sides(
        self, problem: OcpProblem, draws: Draws, point: _Point, nominal: Array, every: int
    ) -> list[tuple[Array, Array]]:
        """Rows and right sides of ``row du <= rhs + slack``, one entry per side near its limit.

        ``nominal`` (N, zones, nz) is the estimate's Jacobian; the draws' own are worked out where
        they are needed.
        """
        found: Rows = {}
        unit = np.tile(problem.rate, len(self.grid.nodes))
        zoned = [OUTPUTS.index(z.output) for z in problem.zones]
        w = np.vstack((stage_moves(problem, point.moves), problem.known))
        for s in range(draws.weights.size):
            rooms = _rooms(problem, point.y[s])
            near = np.flatnonzero(rooms.min(axis=1) < _NEAR)
            if near.size == 0:
                continue
            jac = nominal
            if s > 0:
                p = np.repeat(draws.p[s][:, None], self.grid.stages, axis=1)
                jac = self.sensitivities(self._rollout(draws.x0[s], p, w), zoned) * unit
            for side in near:
                room, zone = rooms[side], problem.zones[side // 2]
                chosen = (np.arange(room.size) % every == every - 1) & (room < _NEAR + 0.5)
                chosen[int(np.argmin(room))] = True
                sign = -1.0 if side % 2 else 1.0
                row = sign / zone.scale * jac[chosen, side // 2]
                found.setdefault(int(side), []).append((row, room[chosen]))
        return [
            (np.vstack([r for r, _ in parts]), np.concatenate([b for _, b in parts]))
            for _, parts in sorted(found.items())
        ]


def _rooms(problem: OcpProblem, y: Array) -> Array:
    """``(2 zones, N)`` how far each side is off its limit [zone scales], upper side first."""
    rooms = np.empty((2 * len(problem.zones), problem.grid.stages))
    for i, zone in enumerate(problem.zones):
        row, (lower, upper) = y[OUTPUTS.index(zone.output)], zone.limits
        rooms[2 * i], rooms[2 * i + 1] = (upper - row) / zone.scale, (row - lower) / zone.scale
    return rooms


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


def _solution(point: _Point, steps: int, verdict: str) -> Solution:
    fine = bool(np.isfinite(point.cost))
    return Solution(point.moves, point.y[0].copy(), point.cost, steps, verdict, fine)
