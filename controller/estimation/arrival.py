"""Arrival cost: what the samples that left the window still say about its start.

One extended Kalman step per sample that leaves, linearised at the *smoothed* estimate and with the
weights that the robust loss gave it there, so that a gross error found later does not live on, and
a jump found later widens the walk it needs.

References
----------
Rao & Rawlings 2002, AIChE J 48:97-109 (filtering update of the arrival cost, from memory).
"""

from __future__ import annotations

import numpy as np

from controller.data import Array
from controller.estimation.mhe import PLAY, Arrival, MheProblem, MheSolution
from controller.estimation.window import Window, selection
from controller.twin.compiled import Rollout

__all__ = ["advance", "predict"]


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
    p0 = solution.p[:, 0]
    out = one_stage(solution.x0, p0[:, None], window.inputs[:, :1])
    a, bp = out.a[:, :, 0], out.bp[:, :, 0]
    transition = np.zeros((free.size + count, free.size + count))
    transition[: free.size, : free.size] = a[np.ix_(free, free)]
    transition[: free.size, free.size :] = bp[free, :count]
    transition[free.size :, free.size :] = np.eye(count)
    mean = np.concatenate((arrival.x[free], arrival.p[:count]))
    base = np.concatenate((solution.x0[free], p0[:count]))
    mean, cov = _take_in(
        problem, out.hx, out.hp, out.y, a, bp, window, solution, mean, base, arrival
    )
    end = np.concatenate((out.x[free, 0], p0[:count]))
    mean = end + transition @ (mean - base)
    cov = transition @ cov @ transition.T
    t = problem.tuning
    following = solution.p[:count, min(1, solution.p.shape[1] - 1)]
    walk = np.maximum(t.walk[:count] ** 2 * window.boost[0], (following - p0[:count]) ** 2)
    walk[t.walk[:count] <= 0.0] = 0.0
    walk[PLAY] += window.moved[0] ** 2
    cov[np.arange(free.size, free.size + count), np.arange(free.size, free.size + count)] += walk
    content = int(np.flatnonzero(free == 1)[0])
    cov[content, content] += t.inflow**2
    x = out.x[:, 0].copy()
    x[free] = mean[: free.size]
    p = np.append(np.clip(mean[free.size :], t.lo[:count], t.hi[:count]), 0.0)
    return Arrival(x, p, 0.5 * (cov + cov.T))


def _take_in(
    problem: MheProblem,
    hx: Array,
    hp: Array,
    y: Array,
    a: Array,
    bp: Array,
    window: Window,
    solution: MheSolution,
    mean: Array,
    base: Array,
    arrival: Arrival,
) -> tuple[Array, Array]:
    free, count = problem.free, len(solution.p) - 1
    used = window.weights[:, 0] * solution.robust[:, 0] > 0.0
    if not np.any(used):
        return mean, arrival.cov
    pick = selection(problem.cascade)[used]
    by_state = pick @ hx[:, :, 0]
    h = np.hstack(((by_state @ a)[:, free], by_state @ bp[:, :count] + pick @ hp[:, :count, 0]))
    noise = problem.tuning.sigma[used] ** 2 / (window.weights[used, 0] * solution.robust[used, 0])
    predicted = pick @ y[:, 0] + h @ (mean - base)
    gain = np.linalg.solve(h @ arrival.cov @ h.T + np.diag(noise), h @ arrival.cov).T
    keep = np.eye(mean.size) - gain @ h
    cov = keep @ arrival.cov @ keep.T + (gain * noise) @ gain.T
    return mean + gain @ (window.values[used, 0] - predicted), 0.5 * (cov + cov.T)


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
