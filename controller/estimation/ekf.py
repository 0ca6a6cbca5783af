"""Extended Kalman filter on the estimator's twin, readings and noise: a baseline for the window.

(X1)  x+ = F(x, p, v),  p+ = p + w,     P+ = T P T' + Q
(X2)  e = y - h(x+, p, v),  S = H P H' + R,  K = P H' S^-1,  P by Joseph's form

Everything but the method is that of `controller.estimation.estimator`: feeders' filters, lots,
columns and where they belong, priors, variances. A value that comes late is put into a window of a
few minutes and the filter runs through it again, so that its order in time is right. There is no
robust loss: quadratic in measurements and in steps, as the textbook has it, but for ``gate``: a
surprise beyond so many standard deviations counts no more than one at the gate. What is estimated
once is not smoothed by what comes after it, and each sample is linearised once, where it was
predicted.

References
----------
Jazwinski 1970, *Stochastic Processes and Filtering Theory*, ch. 8 (from memory, textbook form).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from controller.config import EstimationConfig
from controller.data import Array
from controller.estimation.estimator import EstimatorState, LineEstimator
from controller.estimation.mhe import PLAY, Arrival, MheProblem, MheSolution
from controller.estimation.window import Window, selection
from controller.twin.compiled import Rollout
from plant_models.line import ResolvedLine
from plant_models.variables import Structure

__all__ = ["EkfEstimator", "EkfState", "filter_window", "walked"]

_LEAST_STATE = 1e-6


@dataclass(frozen=True, slots=True)
class _Filtered:
    """Belief after a sample and the sample's surprises (m,) in standard deviations."""

    belief: Arrival
    surprise: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EkfState(EstimatorState):
    """`EstimatorState` and the samples that have been gone through: ``trail``, one per sample.

    ``trail`` began at ``start`` and is that of the samples of ``filtered``.
    """

    start: Arrival | None
    filtered: Window
    trail: tuple[_Filtered, ...]


class EkfEstimator(LineEstimator):
    """`LineEstimator` with a filter in the place of the moving horizon.

    ``config.window_samples`` is how far back a late value may lie; ``gate`` [standard deviations]
    is infinite for the textbook's filter.
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        structure: Structure,
        config: EstimationConfig,
        period: float,
        cache: Path | None,
        gate: float = np.inf,
    ) -> None:
        super().__init__(resolved, structure, config, period, cache)
        self.gate = gate

    def initial(self) -> EkfState:
        """Before the first cycle."""
        plain = super().initial()
        known = {f.name: getattr(plain, f.name) for f in fields(plain)}
        return EkfState(**known, start=None, filtered=Window.empty(), trail=())

    def _solve(self, state: EstimatorState, steps: int) -> EstimatorState | None:
        """The window filtered; ``steps`` is of no use here. None if the arithmetic broke down."""
        window, arrival = state.window, state.arrival
        if arrival is None or not isinstance(state, EkfState):
            return None
        kept = state.trail[: _unchanged(state)]
        trail = _filter(self.problem, self.one_stage, window, arrival, self.gate, kept)
        if window.size > self.config.window_samples:
            arrival = walked(self.problem, trail[0].belief, window, 1)
            window, trail = window.drop_first(), trail[1:]
        solution = _solution(arrival, window, trail, self.gate)
        if not solution.finite:
            return None
        return replace(
            state,
            window=window,
            arrival=arrival,
            solution=solution,
            start=arrival,
            filtered=window,
            trail=trail,
        )


def _unchanged(state: EkfState) -> int:
    """How many samples are as they were when they were filtered, from the same start."""
    before, now = state.filtered, state.window
    if state.start is not state.arrival or before.size > now.size:
        return 0
    count = before.size
    rows = zip(
        (before.values, before.weights, before.inputs, before.boost, before.moved),
        (now.values, now.weights, now.inputs, now.boost, now.moved),
        strict=True,
    )
    same = np.ones(count, dtype=bool)
    for a, b in rows:
        same &= np.all(np.atleast_2d(a == b[..., :count]), axis=0)
    return count if same.all() else int(np.argmin(same))


def filter_window(
    problem: MheProblem,
    one_stage: Rollout,
    window: Window,
    arrival: Arrival,
    gate: float = np.inf,
) -> MheSolution:
    """Filter the samples of ``window`` from ``arrival`` on.

    Parameters
    ----------
    problem, one_stage
        Twin, noise and free states; a roll-out of a single stage.
    window, arrival
        What was seen, and what was known before its first sample.
    gate
        Surprise [standard deviations] beyond which a measurement gains no more influence.

    Returns
    -------
    In the form of a solved window: filtered, not smoothed, states and parameters by sample, and the
    covariance at the end; ``robust`` and ``normalised`` are the weights left by the gate and the
    innovations over their standard deviations.
    """
    trail = _filter(problem, one_stage, window, arrival, gate, ())
    return _solution(arrival, window, trail, gate)


def _filter(
    problem: MheProblem,
    one_stage: Rollout,
    window: Window,
    arrival: Arrival,
    gate: float,
    kept: tuple[_Filtered, ...],
) -> tuple[_Filtered, ...]:
    """The trail of ``window``, of whose first samples it is known."""
    trail = list(kept)
    for k in range(len(kept), window.size):
        belief = walked(problem, trail[-1].belief, window, k) if k > 0 else arrival
        trail.append(_Filtered(*_sample(problem, one_stage, belief, window, k, gate)))
    return tuple(trail)


def _solution(
    arrival: Arrival, window: Window, trail: tuple[_Filtered, ...], gate: float
) -> MheSolution:
    xs, ps = (np.column_stack([getattr(f.belief, n) for f in trail]) for n in ("x", "p"))
    surprises, cov = np.column_stack([f.surprise for f in trail]), trail[-1].belief.cov
    return MheSolution(
        x0=arrival.x,
        p=ps,
        x=xs,
        cov=cov,
        robust=_excess(surprises, gate) ** -2.0 * (window.weights > 0.0),
        normalised=surprises,
        steps=1,
        finite=bool(np.all(np.isfinite(xs)) and np.all(np.isfinite(cov))),
    )


def walked(problem: MheProblem, belief: Arrival, window: Window, k: int) -> Arrival:
    """``belief`` after the parameters' step from sample ``k - 1`` into sample ``k``."""
    count, nf = belief.p.size - 1, problem.free.size
    walk = problem.tuning.walk[:count] ** 2 * 0.5 * (window.boost[k - 1] + window.boost[k])
    walk[PLAY] += window.moved[k] ** 2
    cov = belief.cov.copy()
    at = np.arange(nf, nf + count)
    cov[at, at] += walk
    return replace(belief, cov=cov)


def _excess(surprise: Array, gate: float) -> Array:
    return np.asarray(np.maximum(np.abs(surprise) / gate, 1.0))


def _sample(
    problem: MheProblem, one_stage: Rollout, belief: Arrival, window: Window, k: int, gate: float
) -> tuple[Arrival, Array]:
    """Belief after sample ``k`` (X1, X2) and its surprises in standard deviations."""
    free, count, t = problem.free, belief.p.size - 1, problem.tuning
    nf = free.size
    out = one_stage(belief.x, belief.p[:, None], window.inputs[:, k : k + 1])
    transition = np.eye(nf + count)
    transition[:nf, :nf] = out.a[np.ix_(free, free)][:, :, 0]
    transition[:nf, nf:] = out.bp[free, :count, 0]
    by_inflow = np.append(out.bp[free, -1, 0], np.zeros(count))
    cov = transition @ belief.cov @ transition.T
    cov += np.outer(by_inflow, by_inflow) * (t.inflow / problem.twin.step) ** 2
    x, p = out.x[:, 0].copy(), belief.p.copy()
    used = np.flatnonzero(window.weights[:, k] > 0.0)
    surprise = np.zeros(t.sigma.size)
    if used.size == 0:
        return Arrival(x, p, cov), surprise
    pick = selection(problem.cascade)[used]
    h = np.hstack((pick @ out.hx[:, free, 0], pick @ out.hp[:, :count, 0]))
    e = window.values[used, k] - pick @ out.y[:, 0]
    r = t.sigma[used] ** 2 / window.weights[used, k]
    ph = cov @ h.T
    spread = h @ ph
    total = np.diag(spread) + r
    surprise[used] = e / np.sqrt(total)
    r = r + total * (_excess(surprise[used], gate) ** 2 - 1.0)
    gain = np.linalg.solve(spread + np.diag(r), ph.T).T
    keep = np.eye(nf + count) - gain @ h
    cov = keep @ cov @ keep.T + (gain * r) @ gain.T
    x[free] = np.maximum(x[free] + gain[:nf] @ e, _LEAST_STATE)
    p[:count] = np.clip(p[:count] + gain[nf:] @ e, t.lo[:count], t.hi[:count])
    return Arrival(x, p, 0.5 * (cov + cov.T)), surprise
