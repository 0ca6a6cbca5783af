"""Steady-state target and plan of the linear controller: two small quadratic programs.

(Q1)  0 = (A - I) x_s + B (v_s - v_0) + B_d d,  y_s = h(x_s, d, v_s)     steady, chute balanced
(Q2)  u_s = argmin |(y_s - r) / s|^2 + (balance / b)^2,   lo <= u_s <= hi
(Q3)  min  1/N sum_j |(y_j - y_s) / s|^2 + sum_n (du_n / (c rate))^2 / gap_n
           + ((u_last - u_s) / (c_s rate))^2 + sum_z (q1 e_z + q2 e_z^2)
(Q4)  lo <= u_n <= hi,  |u_n - u_{n-1}| <= rate gap_n,  zones softened by one slack per side

The disturbances of the filter enter (Q1) and the prediction alike, so that what is reached settles
without offset where the target can be reached. The moves are values at nodes with straight lines
between them, as in `controller.optimisation.problem`. As the model does not change, neither does
the Hessian, but for the stages in which a feeder is frozen.

References
----------
Target calculation: Muske & Rawlings 1993, AIChE J 39:262-287 (from memory).
"""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

from controller.baselines.lmpc_model import LinearTwin, Responses
from controller.data import Array
from controller.optimisation.problem import TRACKED, Grid, Weights, Zone
from controller.twin.core import OUTPUTS

__all__ = ["LinearPlanner", "LinearProblem", "LinearSolution"]

_EVERY = 4  # stages between the rows of a zone
_NEAR = 2.0  # room [zone scales] below which a zone side enters the program
_BALANCE = 1e-5  # flow imbalance [share of the feed] that weighs like one tracked scale
_BIG = 1e20


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProblem:
    """One cycle: state and disturbances ``z``, what is known, what is wanted.

    ``inputs`` (nv, N) under the set points in use, ``gains`` (N, nv, nu) of the moves;
    ``settled`` (nv,) and ``settled_gain`` (nv, nu) the same once nothing is frozen any more.
    ``previous``, ``lo``, ``hi``, ``rate`` (nu,); ``references`` in the order of `TRACKED`.
    """

    z: Array
    inputs: Array
    gains: Array
    settled: Array
    settled_gain: Array
    previous: Array
    lo: Array
    hi: Array
    rate: Array
    references: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSolution:
    """Node values (nodes, nu), outputs ``(N, rows)`` free and planned, targets, exit flag.

    ``ok`` is False if the numbers broke down; the moves then hold the set points in use.
    """

    moves: Array
    free: Array
    planned: Array
    target_moves: Array
    target_outputs: Array
    cost: float
    flag: int
    ok: bool


class LinearPlanner:
    """Plans for one model, grid and tuning; holds no state but what is precomputed.

    ``rows`` are the names of the outputs that are predicted, those of `TRACKED` first;
    ``target_scale`` is ``c_s``, in rate steps, ``plain_gain`` (nv, nu) the moves' gain while no
    feeder is frozen.
    """

    def __init__(
        self,
        model: LinearTwin,
        grid: Grid,
        weights: Weights,
        zones: tuple[Zone, ...],
        target_scale: float,
        plain_gain: Array,
    ) -> None:
        self.model, self.grid, self.weights, self.zones = model, grid, weights, zones
        self._target_scale = target_scale
        extra = [z.output for z in zones if z.output not in TRACKED]
        self.rows = (*TRACKED, *dict.fromkeys(extra))
        self._responses = Responses(model, [OUTPUTS.index(n) for n in self.rows], grid.stages)
        self.plain_gain = plain_gain
        every_stage = np.arange(grid.stages)
        gains = np.repeat(plain_gain[None], grid.stages, axis=0)
        self._sens = self._responses.by_nodes(grid.interpolation, gains, every_stage)
        self._zone_stages = every_stage[every_stage % _EVERY == _EVERY - 1]

    def solve(self, p: LinearProblem) -> LinearSolution:
        """The plan of one cycle; never raises for what the numbers do."""
        free = self._responses.free(p.z, p.inputs)
        sens = self._sensitivities(p.gains)
        nodes = len(self.grid.nodes)
        moves = _feasible(p, self.grid, np.tile(p.previous, (nodes, 1)))
        target, wanted = p.previous, np.full(len(TRACKED), np.nan)
        cost, flag, ok = float("inf"), 0, False
        if np.all(np.isfinite(free)):
            target, wanted = self._target(p)
            step, cost, flag = self._plan(p, free, sens, target, wanted)
            ok = flag >= 1 and bool(np.all(np.isfinite(step)))
            if ok:
                moves = _feasible(p, self.grid, p.previous + step.reshape(nodes, -1) * p.rate)
        return LinearSolution(
            moves=moves,
            free=free,
            planned=free + sens @ (moves - p.previous).ravel(),
            target_moves=target,
            target_outputs=wanted,
            cost=cost,
            flag=flag,
            ok=ok,
        )

    def _sensitivities(self, gains: Array) -> Array:
        other = np.flatnonzero(np.any(gains != self.plain_gain, axis=(1, 2)))
        if other.size == 0:
            return self._sens
        shares = self.grid.interpolation[other]
        more = self._responses.by_nodes(shares, gains[other] - self.plain_gain, other)
        return np.asarray(self._sens + more)

    def _target(self, p: LinearProblem) -> tuple[Array, Array]:
        """Steady moves (nu,) and outputs of `TRACKED` (Q1, Q2)."""
        m, nx = self.model, self.model.nx
        rest = np.setdiff1d(np.arange(nx), [m.content])
        a, bd, d = m.f[:nx, :nx], m.f[:nx, nx:], p.z[nx:]
        inner = np.eye(rest.size) - a[np.ix_(rest, rest)]
        push = np.column_stack((m.g[:nx] @ (p.settled - m.v0) + bd @ d, m.g[:nx] @ p.settled_gain))
        settled = np.zeros((nx, push.shape[1]))
        settled[rest] = np.linalg.solve(inner, push[rest])
        balance = a[m.content] @ settled - settled[m.content] + push[m.content]
        rows = [OUTPUTS.index(n) for n in TRACKED]
        y = m.h[rows][:, :nx] @ settled + m.hv[rows] @ np.column_stack(
            (p.settled - m.v0, p.settled_gain)
        )
        y[:, 0] += m.y0[rows] + m.h[rows][:, nx:] @ d
        level = TRACKED.index("level")
        scale = self.weights.tracked.copy()
        flow_scale = _BALANCE * m.v0[0] * self.grid.step
        stacked = np.vstack((np.delete(y, level, axis=0), balance))
        stacked[:-1, 0] -= np.delete(p.references, level)
        stacked /= np.append(np.delete(scale, level), flow_scale)[:, None]
        j = stacked[:, 1:] * p.rate
        hessian = j.T @ j + 1e-9 * np.eye(p.rate.size)
        low = np.minimum((p.lo - p.previous) / p.rate, 0.0)
        high = np.maximum((p.hi - p.previous) / p.rate, 0.0)
        found, _, flag, _ = daqp.solve(
            hessian,
            j.T @ stacked[:, 0],
            np.zeros((0, p.rate.size)),
            high,
            low,
            np.zeros(p.rate.size, dtype=np.int32),
        )
        step = np.asarray(found) * p.rate if flag >= 1 else np.zeros(p.rate.size)
        outputs = y[:, 0] + y[:, 1:] @ step
        outputs[level] = p.references[level]
        return p.previous + step, outputs

    def _plan(
        self, p: LinearProblem, free: Array, sens: Array, target: Array, wanted: Array
    ) -> tuple[Array, float, int]:
        """Node values' offset from the set points in use, in rate steps; cost, exit flag (Q3)."""
        nodes, nu, count = len(self.grid.nodes), p.rate.size, len(TRACKED)
        nz = nodes * nu
        unit = np.tile(p.rate, nodes)
        scale = 1.0 / self.weights.tracked / np.sqrt(self.grid.stages)
        rows = (sens[:, :count] * scale[None, :, None]).reshape(-1, nz) * unit
        error = ((free[:, :count] - wanted) * scale).reshape(-1)
        move = _move_rows(self.grid.gaps, self.weights.moves)
        last = np.zeros((nu, nz))
        last[:, -nu:] = np.eye(nu) / self._target_scale
        last_error = -(target - p.previous) / p.rate / self._target_scale
        hessian = rows.T @ rows + move.T @ move + last.T @ last
        gradient = rows.T @ error + last.T @ last_error
        sides = self._zone_rows(free, sens * unit)
        ns = len(sides)
        size = nz + ns
        h = np.zeros((size, size))
        h[:nz, :nz] = hessian
        h[np.arange(nz, size), np.arange(nz, size)] = self.weights.slack_quadratic
        f = np.append(gradient, np.full(ns, 0.5 * self.weights.slack_linear))
        low = np.tile(np.minimum((p.lo - p.previous) / p.rate, 0.0), nodes)
        high = np.tile(np.maximum((p.hi - p.previous) / p.rate, 0.0), nodes)
        gaps = np.repeat(self.grid.gaps, nu)
        rate = np.zeros((nz, size))
        rate[np.arange(nz), np.arange(nz)] = 1.0
        rate[np.arange(nu, nz), np.arange(nz - nu)] = -1.0
        blocks, tops, bottoms = [rate], [gaps], [-gaps]
        for s, (row, room) in enumerate(sides):
            block = np.zeros((row.shape[0], size))
            block[:, :nz], block[:, nz + s] = row, -1.0
            blocks.append(block)
            tops.append(room)
            bottoms.append(np.full(room.size, -_BIG))
        upper = np.concatenate((high, np.full(ns, _BIG), *tops))
        lower = np.concatenate((low, np.zeros(ns), *bottoms))
        found, value, flag, _ = daqp.solve(
            h, f, np.vstack(blocks), upper, lower, np.zeros(upper.size, dtype=np.int32)
        )
        cost = 2.0 * float(value) + float(error @ error) + float(last_error @ last_error)
        return np.asarray(found[:nz]), cost, int(flag)

    def _zone_rows(self, free: Array, sens: Array) -> list[tuple[Array, Array]]:
        """Per zone side that the free response comes near: ``row du <= room + slack``."""
        sides, at = [], self._zone_stages
        for zone in self.zones:
            i = self.rows.index(zone.output)
            y, rows = free[at, i] / zone.scale, sens[at, i] / zone.scale
            for sign, limit in ((1.0, zone.hi), (-1.0, -zone.lo)):
                room = limit / zone.scale - sign * y
                if np.any(room < _NEAR):
                    sides.append((sign * rows, room))
        return sides


def _move_rows(gaps: Array, costs: Array) -> Array:
    """``(nodes * nu, nodes * nu)`` square roots of the move terms of (Q3), per rate step."""
    nu = costs.size
    factor = (1.0 / costs[None, :] / np.sqrt(gaps)[:, None]).ravel()
    rows = np.diag(factor)
    later = np.arange(nu, factor.size)
    rows[later, later - nu] = -factor[nu:]
    return rows


def _feasible(p: LinearProblem, grid: Grid, moves: Array) -> Array:
    """``moves`` inside range and rate to the last bit; from outside the range back at the rate."""
    out, last = moves.copy(), p.previous
    for n, gap in enumerate(grid.gaps):
        bottom, top = last - p.rate * gap, last + p.rate * gap
        low = np.minimum(np.maximum(p.lo, bottom), top)
        high = np.maximum(np.minimum(p.hi, top), bottom)
        last = out[n] = np.minimum(np.maximum(out[n], low), high)
    return out
