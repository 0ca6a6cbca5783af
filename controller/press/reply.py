"""Learning how the running loop replies, from forecasts whose outcome has become known.

A recorded press is under closed-loop control: its own loop, unknown and different from batch to
batch, moves the fill depth while the forecast runs. What it does to the force within the horizon
is learnt where it shows: in the outcomes of earlier forecasts.

(A1)  y_k+h = mean_k + theta_h' x_k + e            reply; ``x`` of `controller.press.smoothers`
(A2)  theta_h by least squares with forgetting, Student-t weights, bounded covariance
(A3)  forecast = sum_i w_i f_i,  w_i ~ exp(-L_i / (2 s^2 T))     L_i discounted squared errors
(A4)  half width = c s,  c <- c + g (missed - (1 - coverage))    s discounted RMS error

Forecasters of (A3): two means of the force, one long and one of the last minute, soft sensor with
the settings as they are, and (A1). Young forecasts, made soon after a start, have losses and spread
of their own.

References
----------
(A2) Ljung & Soederstroem 1983, Theory and Practice of Recursive Identification (from memory).
(A3) Cesa-Bianchi & Lugosi 2006, Prediction, Learning, and Games, ch. 2 (from memory).
(A4) Gibbs & Candes 2021, Adaptive conformal inference under distribution shift, NeurIPS 34 (from
memory).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from controller.data import Array
from controller.press.settings import PressForecastConfig

__all__ = ["FORECASTERS", "Issued", "Reply", "ReplyState"]

FORECASTERS = ("weighted mean", "recent mean", "settings held", "loop reply")

_NOISE = 0.09  # [kN] usual error, start value only: (A4) finds the true one
_LARGE = 3.0  # errors beyond so many spreads count as that
_FLOORS = (0.5, 1.0, 8.0)  # least size of a signal for clipping, by kind [usual errors]
_DOF = 6.0
_SCALE_GAIN = 0.002


@dataclass(frozen=True, slots=True)
class Issued:
    """A forecast waiting for its outcomes.

    ``time`` [s] it was made, ``x`` (m,) signals, ``by`` (forecasters, h) [kN], ``mixed`` and
    ``half`` (h,) [kN]; ``young`` whether the press had just started.
    """

    time: float
    x: Array
    by: Array
    mixed: Array
    half: Array
    young: bool


@dataclass(frozen=True, slots=True)
class ReplyState:
    """What has been learnt; the first axis of ``loss``, ``square``, ``factor`` is old or young.

    ``theta`` (h, m), ``cov`` (h, m, m), ``size`` (m,) mean square of the signals, ``loss``
    (2, forecasters, h), ``square`` (2, h) mean squared error [kN^2], ``factor`` (2, h), ``seen``
    (2, h) outcomes counted.
    """

    theta: Array
    cov: Array
    size: Array
    loss: Array
    square: Array
    factor: Array
    seen: Array
    waiting: tuple[Issued, ...] = ()


class Reply:
    """The learner of one press; no memory of its own.

    Parameters
    ----------
    config
        Settings.
    signals
        Number of signals per kind (force, fill depth, thickness).
    period
        Seconds between samples.
    """

    def __init__(self, config: PressForecastConfig, period: float) -> None:
        self._c, self._period = config, period
        self._kinds = len(config.smoothing)
        self._m = 3 * self._kinds
        self._floor = np.repeat(np.array(_FLOORS) * _NOISE, self._kinds) ** 2
        self._walk = (config.prior_sd / config.memory_samples) ** 2
        self._diagonal = np.arange(self._m)
        self._z = float(ndtri(0.5 + 0.5 * config.coverage))

    def start(self) -> ReplyState:
        """Nothing learnt."""
        h, m = self._c.steps, self._m
        return ReplyState(
            theta=np.zeros((h, m)),
            cov=np.tile(np.eye(m) * self._c.prior_sd**2, (h, 1, 1)),
            size=self._floor.copy(),
            loss=np.zeros((2, len(FORECASTERS), h)),
            square=np.full((2, h), _NOISE**2) * np.array([[1.0], [2.0]]),
            factor=np.full((2, h), self._z),
            seen=np.zeros((2, h)),
        )

    def forecast(
        self, state: ReplyState, time: float, x: Array, levels: tuple[float, ...], young: bool
    ) -> Issued:
        """Forecast the force of the next samples [kN], not yet waiting for its outcomes.

        ``levels`` [kN] are what the forecasters but the last say for all of them; the loop's reply
        is learnt as a deviation from the first.
        """
        clipped = self._clip(state, x)
        reply = levels[0] + state.theta @ clipped
        by = np.vstack((np.repeat(np.array(levels)[:, None], reply.size, axis=1), reply))
        weight = self._trust(state, int(young))
        mixed = np.sum(weight * by, axis=0)
        half = state.factor[int(young)] * np.sqrt(state.square[int(young)])
        return Issued(time, clipped, by, mixed, half, young)

    def issue(self, state: ReplyState, issued: Issued) -> ReplyState:
        """Remember a forecast until its outcomes are known."""
        return replace(state, waiting=(*state.waiting, issued))

    def trust(self, state: ReplyState, young: bool) -> Array:
        """(forecasters, h) weights in the mixed forecast."""
        return self._trust(state, int(young))

    def learn(self, state: ReplyState, time: float, force: float, x: Array) -> ReplyState:
        """Learn from the force [kN] at ``time`` (NaN if unknown) and its signals ``x``."""
        horizon = self._c.steps * self._period
        waiting = tuple(i for i in state.waiting if time - i.time < horizon - 1e-3)
        if not np.isfinite(force):
            return replace(state, waiting=waiting)
        theta, cov = state.theta.copy(), state.cov.copy()
        loss, square = state.loss.copy(), state.square.copy()
        factor, seen = state.factor.copy(), state.seen.copy()
        size = state.size + _SCALE_GAIN * (np.minimum(x**2, 9.0 * state.size) - state.size)
        for issued in state.waiting:
            steps = (time - issued.time) / self._period
            h = round(steps) - 1
            if not 0 <= h < self._c.steps or abs(steps - h - 1) > 0.05:
                continue
            group = int(issued.young)
            self._count(issued, h, force, loss[group], square[group], factor[group], seen[group])
            error = force - issued.by[0, h] - theta[h] @ issued.x
            theta[h], cov[h] = self._update(theta[h], cov[h], issued.x, error, square[0, h])
        return ReplyState(
            theta=theta,
            cov=cov,
            size=np.maximum(size, self._floor),
            loss=loss,
            square=square,
            factor=factor,
            seen=seen,
            waiting=waiting,
        )

    def _clip(self, state: ReplyState, x: Array) -> Array:
        limit = self._c.clip * np.sqrt(state.size)
        return np.clip(x, -limit, limit)

    def _trust(self, state: ReplyState, group: int) -> Array:
        loss = state.loss[group]
        scale = 2.0 * self._c.trust * state.square[group]
        weight = np.exp(-(loss - loss.min(axis=0)) / scale)
        return np.asarray(weight / weight.sum(axis=0))

    def _count(
        self,
        issued: Issued,
        h: int,
        force: float,
        loss: Array,
        square: Array,
        factor: Array,
        seen: Array,
    ) -> None:
        """Losses, spread and width (A3, A4), in place."""
        most = _LARGE**2 * square[h]
        keep = 1.0 - 1.0 / self._c.trust_samples
        loss[:, h] = keep * loss[:, h] + np.minimum((force - issued.by[:, h]) ** 2, most)
        seen[h] += 1.0
        gain = max(1.0 / self._c.spread_samples, 1.0 / (20.0 + seen[h]))
        error = (force - issued.mixed[h]) ** 2
        square[h] += gain * (min(error, most) - square[h])
        missed = float(abs(force - issued.mixed[h]) > issued.half[h])
        step = self._c.coverage_gain * (missed - (1.0 - self._c.coverage))
        factor[h] = min(max(factor[h] + step, 0.5 * self._z), 4.0 * self._z)

    def _update(
        self, theta: Array, cov: Array, x: Array, error: float, variance: float
    ) -> tuple[Array, Array]:
        """One robust recursive least-squares step (A2)."""
        spread = cov @ x
        expected = variance + float(x @ spread)
        weight = (_DOF + 1.0) / (_DOF + error**2 / expected)
        denominator = variance / weight + float(x @ spread)
        cov = cov - np.outer(spread, spread) / denominator
        cov[self._diagonal, self._diagonal] += self._walk
        excess = np.sqrt(np.minimum(1.0, self._c.prior_sd**2 / np.diag(cov)))
        return theta + spread * (error / denominator), cov * excess[:, None] * excess[None, :]
