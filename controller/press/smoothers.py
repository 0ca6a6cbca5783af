"""Leaky integrators of force, fill depth and thickness: the signals that the reply is learnt on.

(L1)  s_i,k = s_i,k-1 + g_i,k (y_k - s_i,k-1)      a_i falling: ever longer memories
(L2)  g_i,k = a_i / (1 - (1 - a_i)^k)              k-th sample since the start: weights sum to 1
(L3)  x = [y - s_1, s_1 - s_2, ...]                what changed lately, by time scale

A cascade of such filters spans the same space as a discrete Laguerre network, in which a linear
model of any order is learnt with few coefficients (Wahlberg 1991, IEEE Trans Autom Control
36:551-562, from memory). After a stop they start again from the first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.data import Array

__all__ = ["Smoothed", "advance", "features", "start"]


_RECENT = 0.15  # weight of the newest sample in the recent mean


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Filters after one sample.

    ``mean`` and ``recent`` are weighted means of the force [kN], ``newest`` (3,) and ``s``
    (3, scales) the signals and their filters [kN]: force, and fill depth and thickness times usual
    slopes of the force; ``count`` samples have come since the start.
    """

    count: int
    mean: float
    recent: float
    newest: Array
    s: Array


def start(signals: Array, scales: int) -> Smoothed:
    """All filters at the first sample's ``signals`` (3,) [kN]."""
    force = float(signals[0])
    return Smoothed(1, force, force, signals, np.repeat(signals[:, None], scales, axis=1))


def advance(old: Smoothed, signals: Array, weighted_mean: float, smoothing: Array) -> Smoothed:
    """One sample on; a signal that is NaN keeps its filters and its last value."""
    newest = np.where(np.isfinite(signals), signals, old.newest)
    fresh = np.isfinite(signals).astype(float)[:, None]
    count = old.count + 1
    s = old.s + fresh * _gain(smoothing, count)[None, :] * (newest[:, None] - old.s)
    weights = np.array([weighted_mean, _RECENT])
    means = np.array([old.mean, old.recent])
    means = means + fresh[0] * _gain(weights, count) * (newest[0] - means)
    return Smoothed(count, float(means[0]), float(means[1]), newest, s)


def features(smoothed: Smoothed) -> Array:
    """(3 * scales,) differences between neighbouring time scales [kN] (L3)."""
    ladder = np.column_stack((smoothed.newest, smoothed.s))
    return np.asarray(-np.diff(ladder, axis=1)).ravel()


def _gain(weight: Array | float, count: int) -> Array:
    """Gain of sample ``count`` since the start (L2)."""
    a = np.asarray(weight)
    return np.asarray(a / -np.expm1(count * np.log1p(-a)))
