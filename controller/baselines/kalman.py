"""Kalman filter of the linear line, with late measurements taken in where they belong.

(F1)  z+ = F z + G (v - v_0),            P+ = F P F' + Q
(F2)  e = y - h(z+, v),                  S = H P H' + R
(F3)  z = z+ + K e,                      K = P H' S^-1,  P by Joseph's form

A measurement that comes late (a spectrum after two samples, the laboratory after minutes) is put
into the window at the sample it belongs to, and the filter runs again from there: exact, and cheap
because the model is linear and the window short. Kept are what was believed before the window's
first sample, from which a late laboratory result is worked in, and before the sample of the next
spectrum. A surprise beyond ``gate`` standard deviations counts with less weight, so that its
influence stops growing; every plant's data cleaning does something of the kind.

References
----------
R. E. Kalman 1960, J Basic Eng 82:35-45; filter recalculation after late samples: Larsen, Andersen,
Ravn & Poulsen 1998, Proc. 37th IEEE CDC, 3972-3977 (both from memory).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.baselines.lmpc_model import LinearTwin
from controller.data import Array
from controller.estimation.window import Window, selection

__all__ = ["Belief", "FilterNoise", "KalmanFilter", "KalmanState"]


@dataclass(frozen=True, slots=True)
class Belief:
    """Mean (n,) and covariance (n, n) of ``z``."""

    mean: Array
    cov: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNoise:
    """Noise levels: ``sigma`` (m,) of the measured columns, variances per sample of ``z``.

    ``walk`` (n,) in every sample, ``lot`` (n,) times the window's ``boost``; ``play`` is the entry
    of ``z`` that the window's ``moved`` belongs to. ``gate`` [standard deviations].
    """

    sigma: Array
    walk: Array
    lot: Array
    play: int
    gate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KalmanState:
    """The window and what is believed at three places in it; picklable.

    ``anchor`` before the window's first sample, ``late`` before sample ``at``, ``now`` at its end;
    ``surprise`` (m,) are the last sample's innovations over their standard deviations, 0 where
    nothing was measured.
    """

    window: Window
    anchor: Belief
    late: Belief
    at: int
    now: Belief
    surprise: Array


class KalmanFilter:
    """Filter of one model; ``delay`` [samples] of the spectra, ``history`` samples are kept."""

    def __init__(
        self, model: LinearTwin, noise: FilterNoise, cascade: bool, delay: int, history: int
    ) -> None:
        self.model, self.noise = model, noise
        self._delay, self._history = delay, history
        pick = selection(cascade)
        self._h, self._hv, self._y0 = pick @ model.h, pick @ model.hv, pick @ model.y0

    def begin(self, prior: Belief) -> KalmanState:
        """State before the first sample."""
        none = np.zeros(self._y0.size)
        return KalmanState(
            window=Window.empty(), anchor=prior, late=prior, at=0, now=prior, surprise=none
        )

    def advance(self, state: KalmanState, window: Window, oldest: int) -> KalmanState:
        """The state with the samples of ``window``, of which only those from ``oldest`` on are new.

        ``window`` is the state's own with one more sample and late values in their places.
        """
        anchor, at = state.anchor, state.at
        start, first = (state.late, at) if oldest >= at else (anchor, 0)
        target = max(window.size - self._delay, 0)  # first sample that the next spectrum touches
        belief, late, surprise = start, start, state.surprise
        for k in range(first, window.size):
            if k == target:
                late = belief
            belief, surprise = self.sample(belief, window, k)
        if target >= window.size:
            late = belief
        if window.size > self._history:
            anchor, _ = self.sample(anchor, window, 0)
            window, target = window.drop_first(), target - 1
        return KalmanState(
            window=window,
            anchor=anchor,
            late=late,
            at=max(target, 0),
            now=belief,
            surprise=surprise,
        )

    def sample(self, belief: Belief, window: Window, k: int) -> tuple[Belief, Array]:
        """Belief after sample ``k`` (F1-F3), and its surprises in standard deviations."""
        f, v = self.model.f, window.inputs[:, k] - self.model.v0
        mean = f @ belief.mean + self.model.g @ v
        cov = f @ belief.cov @ f.T  # (F1)
        noise = self.noise.walk + window.boost[k] * self.noise.lot
        cov[np.arange(mean.size), np.arange(mean.size)] += noise
        cov[self.noise.play, self.noise.play] += window.moved[k] ** 2
        used = np.flatnonzero(window.weights[:, k] > 0.0)
        surprise = np.zeros(self._y0.size)
        if used.size == 0:
            return Belief(mean, cov), surprise
        h = self._h[used]
        e = window.values[used, k] - self._y0[used] - h @ mean - self._hv[used] @ v  # (F2)
        r = self.noise.sigma[used] ** 2 / window.weights[used, k]
        ph = cov @ h.T
        spread = h @ ph
        surprise[used] = e / np.sqrt(np.diag(spread) + r)
        excess = np.maximum(np.abs(surprise[used]) / self.noise.gate, 1.0)
        r = r * excess**2 + np.diag(spread) * (excess**2 - 1.0)
        gain = np.linalg.solve(spread + np.diag(r), ph.T).T  # (F3)
        keep = np.eye(mean.size) - gain @ h
        cov = keep @ cov @ keep.T + (gain * r) @ gain.T
        return Belief(mean + gain @ e, 0.5 * (cov + cov.T)), surprise
