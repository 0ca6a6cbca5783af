"""Moving-horizon estimator, condensed: Gauss-Newton on the window's start and blocked steps.

Unknowns are the free states and all parameters at the window's start and, for the disturbances
that walk, one step at the start of each block of samples (blocks are fine at the recent end). The
roll-out of the twin returns each stage's sensitivities; they are chained into the Jacobian of all
residuals by the unknowns, so that one small dense problem is left, solved with bounds.

(H1)  min  |z - z_a|^2_{P_a^-1} + sum_b rho(w_b^2 / q_b) + sum_k rho((y_k - h_k) ^2 / r)

``rho`` is the Student-t loss for measurements (gross errors lose their influence) and for the
steps (a real jump is followed within a few cycles), by iterative reweighting. The covariance of
the current state is read off the same Hessian.

References
----------
Rao, Rawlings & Mayne 2003, IEEE Trans Autom Control 48:246-258 (moving-horizon estimation, from
memory). Condensing and blocks: measured in the project's peer survey. Student-t by reweighting:
Lange, Little & Taylor 1989, J Am Stat Assoc 84:881-896 (from memory).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import daqp
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from controller.data import Array
from controller.estimation.window import Window, selection
from controller.twin.compiled import Rollout
from controller.twin.condense import Condenser, Entry
from controller.twin.core import PARAMETERS, ControlTwin

IntArray = NDArray[np.int_]
PLAY = PARAMETERS.index("thickness_offset")

__all__ = ["Arrival", "MheProblem", "MheSolution", "MheTuning", "block_starts", "solve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MheTuning:
    """Noise levels and robustness; all SI or logarithms.

    ``sigma`` (m,) of the measured columns; ``walk`` standard deviation of each parameter's step
    over one sample (0: constant); ``inflow`` that of the powder [kg] entering unexplained in one
    sample; ``dof`` of the Student-t losses; ``lo``, ``hi`` bounds of the parameters.
    """

    sigma: Array
    walk: Array
    inflow: float
    dof_measured: float
    dof_walk: float
    lo: Array
    hi: Array


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known at the window's start: full state, parameters, covariance of the free part.

    ``cov`` is over [free states, parameters but the last (inflow)].
    """

    x: Array
    p: Array
    cov: Array


@dataclass(frozen=True, slots=True)
class MheSolution:
    """Estimate over the window.

    ``x0`` state at the window's start, ``p`` (np, n) parameters per stage, ``x`` (nx, n) states at
    the stages' ends; ``cov`` covariance of [free states, parameters but inflow] at the end;
    ``robust`` (m, n) weights that the robust loss left; ``normalised`` (m, n) residuals over
    their standard deviation; ``steps`` Gauss-Newton steps taken.
    """

    x0: Array
    p: Array
    x: Array
    cov: Array
    robust: Array
    normalised: Array
    steps: int
    finite: bool


@dataclass(frozen=True)
class MheProblem:
    """What stays the same from cycle to cycle."""

    twin: ControlTwin
    rollout: Rollout
    condenser: Condenser
    tuning: MheTuning
    free: IntArray  # indices of the free states
    cascade: bool
    blocks: int

    @property
    def walking(self) -> IntArray:
        """Indices of the parameters that walk."""
        return np.flatnonzero(self.tuning.walk > 0.0)


def block_starts(size: int, blocks: int) -> IntArray:
    """First sample of each block: single samples at the recent end, ever longer before.

    Lengths grow geometrically backwards; always 0 first, never more than ``blocks`` blocks.
    """
    if size <= blocks:
        return np.arange(size)
    lo, hi = 1.0, 3.0
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        total = sum(mid**j for j in range(blocks))
        lo, hi = (mid, hi) if total < size else (lo, mid)
    edges = size - np.cumsum([hi**j for j in range(blocks)])
    starts = np.unique(np.clip(np.round(edges), 0, size - 1).astype(int))
    starts[0] = 0
    return np.unique(starts)


class _Layout:
    """Columns of the unknowns: free states, parameters, then the steps of each block."""

    def __init__(
        self, states: int, free: tuple[int, ...], walking: tuple[int, ...], size: int, blocks: int
    ) -> None:
        self.nf = len(free)
        self.np = len(PARAMETERS) - 1  # inflow has no level of its own
        self.walking = np.array(walking)
        self.starts = block_starts(size, blocks)
        self.lengths = np.diff(np.append(self.starts, size))
        self.nb = self.starts.size
        nw = self.walking.size
        self.level0 = self.nf + self.np
        self.inflow0 = self.level0 + (self.nb - 1) * nw
        self.size = self.inflow0 + self.nb
        block = np.zeros(size, dtype=int)
        block[self.starts[1:]] = 1
        self.block = np.cumsum(block)
        # (np, size) sensitivity of the parameters in each block
        self.selectors = []
        current = np.zeros((len(PARAMETERS), self.size))
        current[: self.np, self.nf : self.level0] = np.eye(self.np)
        for b in range(self.nb):
            if b > 0:
                for i, w in enumerate(self.walking):
                    current[w, self.level0 + (b - 1) * nw + i] = 1.0
            here = current.copy()
            here[-1, self.inflow0 + b] = 1.0
            self.selectors.append(here)
        # parameters that have a level, where it may change: in the first block, then what walks
        later = np.tile(self.walking, self.nb - 1)
        self.bounded = np.concatenate((np.arange(self.np), later))
        rows = [self.selectors[0][: self.np], *(s[self.walking] for s in self.selectors[1:])]
        self.levels = np.vstack(rows)
        initial = np.zeros((states, self.size))
        initial[list(free), np.arange(self.nf)] = 1.0
        self.entry = Entry.of(np.array(self.selectors), self.block, initial)

    def variances(self, problem: MheProblem, window: Window) -> Array:
        """Prior variances of all steps: walks over the block before, inflow over the block."""
        t = problem.tuning
        out = np.zeros(self.size - self.level0)
        nw = self.walking.size
        boost = np.add.reduceat(window.boost, self.starts)
        moved = np.add.reduceat(window.moved**2, self.starts)
        play = int(np.flatnonzero(self.walking == PLAY)[0])
        for b in range(1, self.nb):
            samples = 0.5 * (boost[b - 1] + boost[b])
            out[(b - 1) * nw : b * nw] = t.walk[self.walking] ** 2 * samples
            out[(b - 1) * nw + play] += moved[b]
        rate = t.inflow / problem.twin.step / np.sqrt(self.lengths)
        out[self.inflow0 - self.level0 :] = rate**2
        return out


def _layout(problem: MheProblem, window: Window) -> _Layout:
    walking = tuple(int(i) for i in problem.walking)
    free = tuple(int(i) for i in problem.free)
    return _kept_layout(problem.twin.path.size, free, walking, window.size, problem.blocks)


_kept_layout = lru_cache(maxsize=16)(_Layout)


def solve(
    problem: MheProblem,
    window: Window,
    arrival: Arrival,
    guess_x0: Array,
    guess_p: Array,
    steps: int,
) -> MheSolution:
    """Estimate the window.

    Parameters
    ----------
    problem, window, arrival
        What is constant, what was seen, what was known before.
    guess_x0, guess_p
        ``(nx,)`` and ``(np, n)``: from the last solution, shifted.
    steps
        Gauss-Newton steps to take, at least 1.

    Returns
    -------
    The solution; ``finite`` is False if the arithmetic broke down, and then the numbers are the
    guess's.
    """
    lay = _layout(problem, window)
    x0, z = guess_x0.copy(), _pack(problem, lay, guess_x0, guess_p)
    prior_info = _information(arrival.cov)
    prior_mean = np.concatenate((arrival.x[problem.free], arrival.p[: lay.np]))
    var = lay.variances(problem, window)
    linear = None
    for _ in range(steps):
        linear = _linearise(problem, lay, window, x0, z)
        if not np.all(np.isfinite(linear.residual)):
            break
        hessian, gradient = _normal(problem, lay, linear, prior_info, prior_mean, z, var)
        z = z + _bounded_step(problem, lay, hessian, gradient, z)
        x0[problem.free] = z[: lay.nf]
    final = _linearise(problem, lay, window, x0, z)
    hessian, _ = _normal(problem, lay, final, prior_info, prior_mean, z, var)
    finite = bool(np.all(np.isfinite(final.residual)) and np.all(np.isfinite(hessian)))
    ends = np.vstack((final.state_sens, lay.selectors[-1][: lay.np]))
    cov = ends @ cho_solve(cho_factor(hessian), ends.T) if finite else arrival.cov
    return MheSolution(
        x0=x0,
        p=_parameters(lay, z),
        x=final.x,
        cov=0.5 * (cov + cov.T),
        robust=final.robust,
        normalised=final.residual,
        steps=steps,
        finite=finite,
    )


def _information(cov: Array) -> Array:
    """Inverse of a covariance, by its correlations: its scales span ten decades."""
    sd = np.sqrt(np.diag(cov))
    correlation = cov / sd[:, None] / sd[None, :] + 1e-7 * np.eye(sd.size)
    inverse = np.linalg.inv(correlation)
    return np.asarray(0.5 * (inverse + inverse.T) / sd[:, None] / sd[None, :])


@dataclass(slots=True)
class _Linear:
    x: Array
    residual: Array  # (m, n) normalised, 0 where nothing was measured
    robust: Array  # (m, n)
    jacobian: Array  # (n, m, size) of the prediction, normalised
    state_sens: Array  # (nf, size) of the free states at the end


def _pack(problem: MheProblem, lay: _Layout, x0: Array, p: Array) -> Array:
    z = np.zeros(lay.size)
    z[: lay.nf] = x0[problem.free]
    means = np.add.reduceat(p, lay.starts, axis=1) / lay.lengths
    z[lay.nf : lay.level0] = means[: lay.np, 0]
    jumps = np.diff(means[lay.walking], axis=1)
    z[lay.level0 : lay.inflow0] = jumps.T.ravel()
    z[lay.inflow0 :] = means[-1]
    constant = np.setdiff1d(np.arange(lay.np), lay.walking)
    z[lay.nf + constant] = p[constant, -1]
    return z


def _parameters(lay: _Layout, z: Array) -> Array:
    per_block = np.column_stack([s @ z for s in lay.selectors])
    return np.asarray(per_block[:, lay.block])


def _linearise(problem: MheProblem, lay: _Layout, window: Window, x0: Array, z: Array) -> _Linear:
    n, stages = window.size, problem.rollout.stages
    p = _parameters(lay, z)
    pad = np.minimum(np.arange(stages), n - 1)
    out = problem.rollout(x0, p[:, pad], window.inputs[:, pad])
    pick = selection(problem.cascade)
    sigma = problem.tuning.sigma[:, None]
    predicted = pick @ out.y[:, :n]
    scale = np.sqrt(window.weights) / sigma
    residual = (window.values - predicted) * scale
    dof = problem.tuning.dof_measured
    robust = (dof + 1.0) / (dof + residual**2) * (window.weights > 0.0)
    jacobian, end = problem.condenser(out.a, out.bp, out.hx, out.hp, lay.entry, pick)
    jacobian *= scale.T[:, :, None]
    return _Linear(out.x[:, :n].copy(), residual, robust, jacobian, end[problem.free])


def _normal(
    problem: MheProblem,
    lay: _Layout,
    linear: _Linear,
    prior_info: Array,
    prior_mean: Array,
    z: Array,
    var: Array,
) -> tuple[Array, Array]:
    flat = linear.jacobian.reshape(-1, lay.size)
    weight = linear.robust.T.reshape(-1)
    used = np.flatnonzero(weight > 0.0)
    rows = flat[used] * np.sqrt(weight[used])[:, None]
    res = linear.residual.T.reshape(-1)[used] * np.sqrt(weight[used])
    hessian = rows.T @ rows
    gradient = -(rows.T @ res)
    head = lay.level0
    hessian[:head, :head] += prior_info
    gradient[:head] += prior_info @ (z[:head] - prior_mean)
    step = z[head:]
    dof = problem.tuning.dof_walk
    info = (dof + 1.0) / (dof + step**2 / var) / var
    info[lay.inflow0 - head :] = 1.0 / var[lay.inflow0 - head :]
    hessian[np.arange(head, lay.size), np.arange(head, lay.size)] += info
    gradient[head:] += info * step
    return hessian, gradient


def _bounded_step(
    problem: MheProblem, lay: _Layout, hessian: Array, gradient: Array, z: Array
) -> Array:
    scale = 1.0 / np.sqrt(np.diag(hessian))
    scaled = hessian * scale[:, None] * scale[None, :]
    step = -scale * cho_solve(cho_factor(scaled), scale * gradient)
    lo, hi = problem.tuning.lo[lay.bounded], problem.tuning.hi[lay.bounded]
    levels, states = lay.levels @ z, z[: lay.nf]
    target = levels + lay.levels @ step
    if np.all(target >= lo) and np.all(target <= hi) and np.all(states + step[: lay.nf] > 0.0):
        return np.asarray(step)
    low, high = np.full(lay.size, -1e20), np.full(lay.size, 1e20)
    low[: lay.nf] = (1e-6 - states) / scale[: lay.nf]
    rows = lay.levels * scale
    size = np.linalg.norm(rows, axis=1)
    solution, _, flag, _ = daqp.solve(
        scaled,
        scale * gradient,
        rows / size[:, None],
        np.concatenate((high, (hi - levels) / size)),
        np.concatenate((low, (lo - levels) / size)),
        np.zeros(lay.size + levels.size, dtype=np.int32),
    )
    if flag < 1:
        return np.zeros(lay.size)  # where it stands, it is inside
    return np.asarray(scale * solution)
