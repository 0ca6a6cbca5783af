"""The optimal control problem, described once, stage by stage, for every solver.

Decision variables are the set points of the moved variables at *nodes*; between nodes they run
straight, after the last they stay. So a plan can ramp at its rate limit with few unknowns.

(O1)  min  sum_j w sum_i ((y_ij - r_i)/s_i)^2  +  sum_n sum_m (du_nm / (c_m rate_m))^2 / gap_n
           + sum_z (q1 e_z + q2 e_z^2)
(O2)  x_j = F(x_{j-1}, p, [u_j; d_j]),   y_j = h(x_j, ...)
(O3)  lo <= u_n <= hi,   |u_n - u_{n-1}| <= rate * gap_n,   u_{-1} = set point in use
(O4)  z_lo + b_zj - e_z <= z_j <= z_hi - b_zj + e_z    zones, softened by one slack per side

``b`` is a margin per stage for what is not known (`controller.optimisation.backoff`), 0 if there is
none. SI throughout; ``y`` are the outputs of the twin (`controller.twin.core.OUTPUTS`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from controller.data import Array
from controller.twin.core import OUTPUTS

__all__ = [
    "TRACKED",
    "Draws",
    "Grid",
    "OcpProblem",
    "Weights",
    "Zone",
    "move_cost",
    "move_terms",
    "objective",
    "one_later",
    "price",
    "stage_moves",
    "tracking",
    "violations",
]

# Outputs that follow a set point, in order.
TRACKED = ("potency", "log_weight", "log_strength", "throughput", "level")


@dataclass(frozen=True)
class Grid:
    """Stages of the twin's step and the nodes of the moves, as stage numbers, first 0."""

    stages: int
    nodes: tuple[int, ...]
    step: float

    @cached_property
    def gaps(self) -> Array:
        """Stages from each node to the one before it; 1 for the first (one control period)."""
        return np.diff(np.array(self.nodes, dtype=float), prepend=self.nodes[0] - 1.0)

    @cached_property
    def interpolation(self) -> Array:
        """``(stages, nodes)`` weights of the nodes in the move held during each stage."""
        e = np.zeros((self.stages, len(self.nodes)))
        for j in range(self.stages):
            right = int(np.searchsorted(self.nodes, j, side="right"))
            if right >= len(self.nodes):
                e[j, -1] = 1.0
                continue
            left = right - 1
            share = (j - self.nodes[left]) / (self.nodes[right] - self.nodes[left])
            e[j, left], e[j, right] = 1.0 - share, share
        return e

    def shifted(self, moves: Array, stages: int = 1) -> Array:
        """Node values of ``moves`` (nodes, nu) seen from some stages later."""
        later = np.minimum(np.array(self.nodes) + stages, self.nodes[-1])
        columns = [np.interp(later, self.nodes, column) for column in moves.T]
        return np.column_stack(columns)


@dataclass(frozen=True, slots=True)
class Zone:
    """A band for an output, softened; ``scale`` is what one unit of violation is measured in.

    ``margin`` is taken off both sides: one number, or one per stage.
    """

    output: str
    lo: float
    hi: float
    scale: float
    margin: float | Array = field(default=0.0, compare=False)

    @property
    def limits(self) -> tuple[Array, Array]:
        """Lower and upper limit, margins off; where they would cross, both are the middle."""
        middle = 0.5 * (self.lo + self.hi)
        lower = np.minimum(self.lo + self.margin, middle)
        return np.asarray(lower), np.asarray(np.maximum(self.hi - self.margin, middle))


@dataclass(frozen=True, slots=True)
class Weights:
    """Scales of (O1): ``tracked`` s_i, ``moves`` c_m [-]; slack prices per scale."""

    tracked: Array
    moves: Array
    slack_linear: float
    slack_quadratic: float


@dataclass(frozen=True, slots=True)
class Draws:
    """What else may be true: states ``x0`` (K, nx), parameters ``p`` (K, np), ``weights`` (K,).

    The weights are shares of the tracking terms of (O1); what is left to 1 is the nominal's.
    """

    x0: Array
    p: Array
    weights: Array


@dataclass(frozen=True, slots=True)
class OcpProblem:
    """One instance: where the line is, what is known of the future, what is wanted.

    ``x0`` (nx,), ``p`` (np,) held over the horizon; ``known`` (nd, N) disturbances of
    `ControlTwin.stage_inputs`; ``previous`` (nu,) set points in use; ``lo``, ``hi``, ``rate`` (nu,)
    hard limits, the rate per stage; ``references`` (tracked,) in the outputs' own units; ``free``
    are tracked outputs that nobody wants anything of now (their weight is next to nothing);
    ``draws`` for `controller.optimisation.scenarios`, which other solvers leave alone.
    """

    grid: Grid
    x0: Array
    p: Array
    known: Array
    previous: Array
    lo: Array
    hi: Array
    rate: Array
    references: Array
    zones: tuple[Zone, ...]
    weights: Weights
    free: tuple[str, ...] = ()
    draws: Draws | None = None

    def hold(self) -> Array:
        """Node values that keep the set points in use, or bring them into range at their rates."""
        return self.feasible(np.tile(self.previous, (len(self.grid.nodes), 1)))

    def feasible(self, moves: Array) -> Array:
        """``moves`` (nodes, nu) brought inside range and rate, from the first node on."""
        out = np.array(moves, dtype=float)
        last = self.previous
        for n, gap in enumerate(self.grid.gaps):
            span = self.rate * gap
            # Where the set point in use lies outside the range, come back at the rate limit.
            low = np.minimum(np.maximum(self.lo, last - span), last + span)
            high = np.maximum(np.minimum(self.hi, last + span), last - span)
            out[n] = np.clip(out[n], np.minimum(low, high), np.maximum(low, high))
            last = out[n]
        return out


def one_later(problem: OcpProblem, moves: Array, x0: Array) -> OcpProblem:
    """``problem`` as it will be after its first stage under ``moves``, which ends in ``x0``."""
    known = np.column_stack((problem.known[:, 1:], problem.known[:, -1:]))
    return replace(problem, x0=x0, known=known, previous=moves[0].copy(), draws=None)


def stage_moves(problem: OcpProblem, moves: Array) -> Array:
    """``(nu, N)`` moves held during each stage."""
    return np.asarray((problem.grid.interpolation @ moves).T)


def objective(problem: OcpProblem, y: Array, moves: Array) -> float:
    """Value of (O1) for outputs ``y`` (ny, N) and node values ``moves`` (nodes, nu)."""
    return tracking(problem, y) + move_cost(problem, moves) + price(problem, violations(problem, y))


def tracking(problem: OcpProblem, y: Array) -> float:
    """Tracking terms of (O1)."""
    index = [OUTPUTS.index(n) for n in TRACKED]
    error = (y[index] - problem.references[:, None]) / problem.weights.tracked[:, None]
    return float(np.sum(error**2)) / problem.grid.stages


def violations(problem: OcpProblem, y: Array) -> Array:
    """``(2 zones,)`` slacks that (O4) needs, upper and lower side of each zone [zone scales]."""
    slacks = []
    for zone in problem.zones:
        row, (lower, upper) = y[OUTPUTS.index(zone.output)], zone.limits
        slacks += [float(np.max(row - upper)) / zone.scale, float(np.max(lower - row)) / zone.scale]
    return np.maximum(slacks, 0.0)


def price(problem: OcpProblem, slacks: Array) -> float:
    """Slack terms of (O1)."""
    w = problem.weights
    return float(np.sum(w.slack_linear * slacks + w.slack_quadratic * slacks**2))


def move_cost(problem: OcpProblem, moves: Array) -> float:
    """Move terms of (O1)."""
    return float(np.sum(move_terms(problem, moves) ** 2))


def move_terms(problem: OcpProblem, moves: Array) -> Array:
    """``(nodes, nu)`` square roots of the move terms of (O1)."""
    steps = np.diff(moves, axis=0, prepend=problem.previous[None, :])
    scale = problem.weights.moves * problem.rate
    return np.asarray(steps / scale[None, :] / np.sqrt(problem.grid.gaps)[:, None])
