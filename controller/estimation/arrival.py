"""Arrival cost: what the samples that left the window still say about its start.

One extended Kalman step per sample that leaves, linearised at the *smoothed* estimate and with the
weights that the robust loss gave it there, so that a gross error found later does not live on, and
a jump found later widens the walk it needs, by the same heavy-tailed law as in the window.

References
----------
Rao & Rawlings 2002, AIChE J 48:97-109 (filtering update of the arrival cost, from memory).
"""

from __future__ import annotations

import numpy as np

from controller.data import Array
from controller.estimation.mhe import PLAY, Arrival, MheProblem, MheSolution
from controller.estimation.window import Window, selection
from controller.twin.compiled import Rollout, RolloutResult

__all__ = ["advance", "predict"]

_JUMP = 3.0  # standard deviations of a block's walk beyond which its step is a jump


def advance(
    problem: MheProblem,
    one_stage: Rollout,
    arrival: Arrival,
    window: Window,
    solution: MheSolution,
) -> Arrival:
    """Arrival cost one sample later: takes in the window's first sample, then propagates.

    Parameters
    ----------
    problem, one_stage
        The problem and a roll-out of a single stage.
    arrival, window, solution
        As they belong together before the sample is dropped.
    """
    free, count = problem.free, len(solution.p) - 1
    nf, t = free.size, problem.tuning
    p0 = solution.p[:, 0]
    out = one_stage(solution.x0, p0[:, None], window.inputs[:, :1])
    a, bp = out.a[:, :, 0], out.bp[:, :, 0]
    transition = np.eye(nf + count)
    transition[:nf, :nf] = a[np.ix_(free, free)]
    transition[:nf, nf:] = bp[free, :count]
    by_inflow = np.append(bp[free, -1], np.zeros(count))
    # Off the smoothed end of the stage. Its inflow is what the window still explains with samples
    # that stay in it: here it is unknown again, with mean 0.
    off = np.concatenate((arrival.x[free] - solution.x0[free], arrival.p[:count] - p0[:count]))
    off = transition @ off - by_inflow * p0[-1]
    cov = transition @ arrival.cov @ transition.T
    cov += np.outer(by_inflow, by_inflow) * (t.inflow / problem.twin.step) ** 2
    off, cov = _take_in(problem, out, window, solution, off, cov)
    cov[np.arange(nf, nf + count), np.arange(nf, nf + count)] += _walk(problem, window, solution.p)
    x = out.x[:, 0].copy()
    x[free] += off[:nf]
    p = np.append(np.clip(p0[:count] + off[nf:], t.lo[:count], t.hi[:count]), 0.0)
    return Arrival(x, p, 0.5 * (cov + cov.T))


def _take_in(
    problem: MheProblem,
    out: RolloutResult,
    window: Window,
    solution: MheSolution,
    off: Array,
    cov: Array,
) -> tuple[Array, Array]:
    """Kalman update with the first sample; ``off`` is relative to the roll-out's end."""
    used = window.weights[:, 0] * solution.robust[:, 0] > 0.0
    if not np.any(used):
        return off, cov
    count = len(solution.p) - 1
    pick = selection(problem.cascade)[used]
    h = np.hstack((pick @ out.hx[:, problem.free, 0], pick @ out.hp[:, :count, 0]))
    noise = problem.tuning.sigma[used] ** 2 / (window.weights[used, 0] * solution.robust[used, 0])
    gain = np.linalg.solve(h @ cov @ h.T + np.diag(noise), h @ cov).T
    keep = np.eye(off.size) - gain @ h
    surprise = window.values[used, 0] - pick @ out.y[:, 0] - h @ off
    return off + gain @ surprise, keep @ cov @ keep.T + (gain * noise) @ gain.T


def _walk(problem: MheProblem, window: Window, p: Array) -> Array:
    """Variances of the parameters' steps from the first sample into the second.

    A step that the window found between its first two blocks, too large for a walk, is a jump on
    its way out of the window: its place among the blocks' samples is not known, so that it widens
    every sample's step while it is there, by the law of the window's own heavy-tailed loss.
    """
    t, count = problem.tuning, len(p) - 1
    second = min(1, window.size - 1)
    variance = t.walk[:count] ** 2
    walk = variance * 0.5 * (window.boost[0] + window.boost[second])
    changes = np.flatnonzero(np.any(p[:count, 1:] != p[:count, :-1], axis=0)) + 1
    if changes.size:
        start, end = changes[0], changes[1] if changes.size > 1 else window.size
        block = variance * 0.5 * (np.sum(window.boost[:start]) + np.sum(window.boost[start:end]))
        jump = (p[:count, start] - p[:count, 0]) ** 2
        jump[PLAY] = 0.0
        found = (variance > 0.0) & (jump > _JUMP**2 * block)
        walk += np.where(found, (jump - block) / (t.dof_walk + 1.0), 0.0)
    walk[PLAY] += window.moved[second] ** 2
    return np.asarray(walk)


def predict(
    problem: MheProblem, one_stage: Rollout, x: Array, p: Array, cov: Array, inputs: Array
) -> tuple[Array, Array]:
    """Measured columns expected after one more stage, and their variances without noise."""
    free, count = problem.free, p.size - 1
    held = p.copy()
    held[-1] = 0.0
    out = one_stage(x, held[:, None], inputs[:, None])
    pick = selection(problem.cascade)
    by_state = pick @ out.hx[:, :, 0]
    h = np.hstack(
        (
            (by_state @ out.a[:, :, 0])[:, free],
            by_state @ out.bp[:, :count, 0] + pick @ out.hp[:, :count, 0],
        )
    )
    return pick @ out.y[:, 0], np.einsum("ij,jk,ik->i", h, cov, h)
