"""Real-time solver: Gauss-Newton on the condensed problem, small dense QP, a few steps.

One compiled roll-out gives states, outputs and all stage sensitivities under the current plan; the
sensitivities are condensed onto the nodes of the moves; the QP has the moves and one slack per
zone side that is near its limit, with hard ranges and rates (DAQP). A step is halved while it
makes the objective worse. Method and measured facts: the project's peer survey; real-time
iterations after Diehl, Bock & Schloeder 2005, SIAM J Control Optim 43:1714-1736 (from memory).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import daqp
import numpy as np

from controller.data import Array
from controller.optimisation.problem import (
    TRACKED,
    Grid,
    OcpProblem,
    move_terms,
    objective,
    one_later,
    stage_moves,
)
from controller.twin.compiled import RolloutResult, build_rollout, build_simulation
from controller.twin.condense import Condenser, Entry, Pattern
from controller.twin.core import MOVES, OUTPUTS, ControlTwin

__all__ = ["NEAR", "NOT_FINITE", "FastSolver", "Solution"]

NEAR = 0.35  # a zone side enters the QP when the plan comes this close to it [zone scales]
NOT_FINITE = -99  # exit flag of a QP that was not worth a start
_NOISE = 1e-10  # relative change of the objective that means nothing
_EVERY = 4  # stages between the rows of a zone, until a step shows that they are too few


@dataclass(frozen=True, slots=True)
class Solution:
    """Node values, the outputs they lead to, and how they were found."""

    moves: Array
    outputs: Array
    cost: float
    steps: int
    verdict: str
    ok: bool

    @classmethod
    def failed(cls, problem: OcpProblem, guess: Array, verdict: str, steps: int = 0) -> Solution:
        """No solution, and why."""
        nothing = np.full((len(OUTPUTS), problem.grid.stages), np.nan)
        return cls(problem.feasible(guess), nothing, float("inf"), steps, verdict, False)


@dataclass(frozen=True, slots=True)
class _Outputs:
    y: Array


class FastSolver:
    """Solver for one twin and one grid; not for use by several threads at once."""

    def __init__(self, twin: ControlTwin, grid: Grid, cache: Path | None) -> None:
        self.grid = grid
        self._rollout = build_rollout(twin.controlled_stage_function(), grid.stages, cache)
        self._simulate = build_simulation(twin.plain_stage_function(), grid.stages, cache)
        self._condenser = Condenser(Pattern.by_moves(twin), cache)
        shares, nu = grid.interpolation, len(MOVES)
        dense = np.einsum("kn,ij->kinj", shares, np.eye(nu)).reshape(grid.stages, nu, -1)
        nothing = np.zeros((twin.path.size, dense.shape[2]))
        self._entry = Entry.of(dense, np.arange(grid.stages), nothing)

    def predict(self, problem: OcpProblem, moves: Array) -> RolloutResult:
        """Roll out under node values ``moves``; the next call reuses the result's buffers."""
        w = np.vstack((stage_moves(problem, moves), problem.known))
        p = np.repeat(problem.p[:, None], self.grid.stages, axis=1)
        return self._rollout(problem.x0, p, w)

    def outputs(self, problem: OcpProblem, moves: Array) -> Array:
        """Outputs (ny, N) under node values ``moves``, without sensitivities."""
        w = np.vstack((stage_moves(problem, moves), problem.known))
        p = np.repeat(problem.p[:, None], self.grid.stages, axis=1)
        return self._simulate(problem.x0, p, w)

    def prepare(self, problem: OcpProblem, moves: Array) -> Array:
        """Sensitivities for the first step of `solve`, made before what it starts from is measured.

        Parameters
        ----------
        problem, moves
            What was solved last, and its plan (nodes, nu).

        Returns
        -------
        ``(N, rows, nodes * nu)`` along what is left of the plan one stage later.
        """
        x = self.predict(problem, moves).x[:, 0].copy()
        later = one_later(problem, moves, x)
        out = self.predict(later, later.feasible(problem.grid.shifted(moves)))
        return self.sensitivities(out, _rows(problem)).copy()

    def solve(
        self,
        problem: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        """Improve ``guess`` (nodes, nu) by up to ``steps`` Gauss-Newton steps.

        ``deadline`` is a reading of ``time.perf_counter``: no further step begins after it. With
        what was ``prepared`` the first step needs no sensitivities: its residuals are those of now.
        The result is always inside ranges and rates; ``ok`` is False if the numbers broke down.
        """
        moves = problem.feasible(guess)
        seen, out = self._look(problem, moves), None
        if not np.all(np.isfinite(seen.y)):
            return Solution(moves, seen.y, np.inf, 0, "prediction is not finite", False)
        cost, taken, verdict = self._cost(problem, seen, moves), 0, "step limit"
        if not np.isfinite(cost):
            return Solution(moves, seen.y, cost, 0, "objective is not finite", False)
        every = _EVERY
        while taken < steps:
            if deadline is not None and time.perf_counter() > deadline:
                verdict = "deadline"
                break
            ahead = prepared if taken == 0 else None
            if ahead is None:
                out = self._roll(problem, moves) if out is None else out
            direction, flag, left_out = self._direction(
                problem, moves, seen if ahead is not None else out, every, ahead
            )
            if flag < 1 or not np.all(np.isfinite(direction)):
                if ahead is not None:
                    prepared = None
                    continue
                return Solution(moves, seen.y, cost, taken, f"QP exit {flag}", taken > 0)
            scale = 1.0
            for _ in range(4):
                trial = problem.feasible(moves + scale * direction)
                there = self._look(problem, trial)
                value = self._cost(problem, there, trial)
                if np.isfinite(value) and value <= cost * (1.0 + 1e-9):
                    break
                scale *= 0.4
            else:
                if ahead is not None:
                    prepared = None
                    continue
                if left_out:  # a zone is worst where the QP did not look
                    every = 1
                    continue
                verdict = "no descent"
                break
            seen, out = there, None
            gained, moves, cost, taken = cost - value, trial, value, taken + 1
            if gained <= 1e-7 * (1.0 + cost) and ahead is None:
                if left_out and scale < 1.0:
                    every = 1
                    continue
                moves, cost, crept = self._further(problem, moves, direction, cost, gained)
                if crept:
                    seen = self._look(problem, moves)
                    continue
                verdict = "converged"
                break
        return Solution(moves, seen.y, cost, taken, verdict, bool(np.isfinite(cost)))

    def _further(
        self, problem: OcpProblem, moves: Array, direction: Array, cost: float, gained: float
    ) -> tuple[Array, float, bool]:
        """Go on along ``direction`` while each stretch pays half of ``gained``, the last step's.

        Where the errors are large, the Gauss-Newton curvature may be far too high; then all steps
        are short, and a small gain does not mean that the end is near.
        """
        length, crept = 1.0, False
        while gained > _NOISE * (1.0 + cost):
            trial = problem.feasible(moves + length * direction)
            value = self._cost(problem, self._look(problem, trial), trial)
            if not value < cost - 0.5 * gained:
                break
            moves, cost, length, crept = trial, value, 2.0 * length, True
        return moves, cost, crept

    def sensitivities(self, out: RolloutResult, rows: list[int]) -> Array:
        """``(N, rows, nodes * nu)`` of the chosen outputs by the node values, node by node."""
        pick = np.eye(len(OUTPUTS))[rows]
        return self._condenser(out.a, out.bv, out.hx, out.hv, self._entry, pick)[0]

    @property
    def nu(self) -> int:
        """Number of moved variables."""
        return len(MOVES)

    # What a solver that looks at several roll-outs at once does in its own way.

    def _look(self, problem: OcpProblem, moves: Array) -> Any:
        """What `_cost` needs to know of a plan; ``y`` are its outputs (ny, N)."""
        return _Outputs(self.outputs(problem, moves))

    def _roll(self, problem: OcpProblem, moves: Array) -> Any:
        """What `_direction` needs to know of a plan."""
        return self.predict(problem, moves)

    def _cost(self, problem: OcpProblem, out: Any, moves: Array) -> float:
        """What is made smaller."""
        return objective(problem, out.y, moves)

    def _direction(
        self, problem: OcpProblem, moves: Array, out: Any, every: int, jac: Array | None = None
    ) -> tuple[Array, int, bool]:
        """Step of the QP, its exit flag, and whether rows of zones were left out of it."""
        tracked = [OUTPUTS.index(n) for n in TRACKED]
        if jac is None:
            jac = self.sensitivities(out, _rows(problem))
        count, nz = len(tracked), jac.shape[2]
        scale = 1.0 / problem.weights.tracked / np.sqrt(self.grid.stages)
        error = (out.y[tracked] - problem.references[:, None]) * scale[:, None]
        rows = (jac[:, :count] * scale[None, :, None]).reshape(-1, nz)
        # work in units of one rate step, which keeps the QP well scaled
        unit = np.tile(problem.rate, len(self.grid.nodes))
        rows = rows * unit
        hessian = rows.T @ rows
        gradient = rows.T @ error.T.reshape(-1)
        step, offset = self._move_rows(problem, moves)
        hessian += step.T @ step
        gradient += step.T @ offset
        if not np.all(np.isfinite(hessian)) or not np.all(np.isfinite(jac)):
            return np.full(moves.shape, np.nan), NOT_FINITE, False
        soft = self._zone_rows(problem, out, jac[:, count:] * unit, every)
        direction, flag = self._qp(problem, moves, hessian, gradient, soft, unit)
        return direction, flag, bool(soft) and every > 1

    def _move_rows(self, problem: OcpProblem, moves: Array) -> tuple[Array, Array]:
        nodes, nu = len(self.grid.nodes), self.nu
        factor = 1.0 / problem.weights.moves[None, :] / np.sqrt(self.grid.gaps)[:, None]
        rows = np.zeros((nodes * nu, nodes * nu))
        diagonal = np.arange(nodes * nu)
        rows[diagonal, diagonal] = factor.ravel()
        rows[diagonal[nu:], diagonal[:-nu]] = -factor[1:].ravel()
        return rows, move_terms(problem, moves).ravel()

    def _zone_rows(
        self, problem: OcpProblem, out: RolloutResult, jac: Array, every: int
    ) -> list[tuple[Array, Array]]:
        """Per zone side near its limit: rows and right sides of ``row du <= rhs + slack``.

        Rows are taken at one stage in ``every`` and where the plan comes closest to the limit,
        which is what the slack is paid for.
        """
        sides = []
        regular = np.arange(self.grid.stages) % every == every - 1
        for i, zone in enumerate(problem.zones):
            y = out.y[OUTPUTS.index(zone.output)] / zone.scale
            lower, upper = zone.limits
            for sign, limit in ((1.0, upper), (-1.0, -lower)):
                room = limit / zone.scale - sign * y
                closest = int(np.argmin(room))
                if room[closest] < NEAR:
                    rows = regular & (room < NEAR + 0.5)
                    rows[closest] = True
                    sides.append((sign / zone.scale * jac[rows, i], room[rows]))
        return sides

    def _qp(
        self,
        problem: OcpProblem,
        moves: Array,
        hessian: Array,
        gradient: Array,
        soft: list[tuple[Array, Array]],
        unit: Array,
    ) -> tuple[Array, int]:
        nz, ns = hessian.shape[0], len(soft)
        size = nz + ns
        h = np.zeros((size, size))
        h[:nz, :nz] = hessian
        f = np.append(gradient, np.full(ns, 0.5 * problem.weights.slack_linear))
        h[np.arange(nz, size), np.arange(nz, size)] = problem.weights.slack_quadratic
        flat = moves.ravel()
        lo = (np.tile(problem.lo, len(self.grid.nodes)) - flat) / unit
        hi = (np.tile(problem.hi, len(self.grid.nodes)) - flat) / unit
        # a set point outside its range comes back at the rate limit: never an empty set
        lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
        upper = np.concatenate((hi, np.full(ns, 1e20)))
        lower = np.concatenate((lo, np.zeros(ns)))
        steps = np.diff(moves, axis=0, prepend=problem.previous[None, :]) / problem.rate[None, :]
        gaps = np.repeat(self.grid.gaps, self.nu)
        rate = np.zeros((nz, size))
        rate[np.arange(nz), np.arange(nz)] = 1.0
        rate[np.arange(self.nu, nz), np.arange(nz - self.nu)] = -1.0
        blocks, tops, bottoms = [rate], [gaps - steps.ravel()], [-gaps - steps.ravel()]
        for s, (rows, room) in enumerate(soft):
            block = np.zeros((rows.shape[0], size))
            block[:, :nz] = rows
            block[:, nz + s] = -1.0
            blocks.append(block)
            tops.append(room)
            bottoms.append(np.full(room.size, -1e20))
        solution, _, flag, _ = daqp.solve(
            h,
            f,
            np.vstack(blocks),
            np.concatenate((upper, *tops)),
            np.concatenate((lower, *bottoms)),
            np.zeros(size + sum(t.size for t in tops), dtype=np.int32),
        )
        direction = (np.asarray(solution[:nz]) * unit).reshape(moves.shape)
        return direction, int(flag)


def _rows(problem: OcpProblem) -> list[int]:
    """Outputs whose sensitivities a step needs: tracked ones, then those with a zone."""
    return [OUTPUTS.index(n) for n in (*TRACKED, *(z.output for z in problem.zones))]
