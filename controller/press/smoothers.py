"""Leaky integrators of force, fill depth and thickness: the signals that the reply is learnt on.

(L1)  s_i,k = s_i,k-1 + a_i (y_k - s_i,k-1)        a_i falling: ever longer memories
(L2)  x = [y - s_1, s_1 - s_2, ...]                what changed lately, by time scale

A cascade of such filters spans the same space as a discrete Laguerre network, in which a linear
model of any order is learnt with few coefficients (Wahlberg 1991, IEEE Trans Autom Control
36:551-562, from memory). After a stop they start again from the first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.data import Array

__all__ = ["Smoothed", "advance", "features", "start"]


@dataclass(frozen=True, slots=True)
class Smoothed:
    """``mean`` weighted mean of the force [kN]; ``newest`` (3,) signals in kN; ``s`` (3, scales).

    The signals are force, and fill depth and thickness times the cell's slopes of the force.
    """

    mean: float
    newest: Array
    s: Array


def start(signals: Array, scales: int) -> Smoothed:
    """All filters at the first sample's ``signals`` (3,) [kN]."""
    return Smoothed(float(signals[0]), signals, np.repeat(signals[:, None], scales, axis=1))


def advance(old: Smoothed, signals: Array, weighted_mean: float, smoothing: Array) -> Smoothed:
    """One sample on; a signal that is NaN keeps its filters and its last value."""
    newest = np.where(np.isfinite(signals), signals, old.newest)
    fresh = np.isfinite(signals).astype(float)[:, None]
    s = old.s + fresh * smoothing[None, :] * (newest[:, None] - old.s)
    mean = old.mean + weighted_mean * float(fresh[0, 0]) * (float(newest[0]) - old.mean)
    return Smoothed(mean, newest, s)


def features(smoothed: Smoothed) -> Array:
    """(3 * scales,) differences between neighbouring time scales [kN] (L2)."""
    ladder = np.column_stack((smoothed.newest, smoothed.s))
    return np.asarray(-np.diff(ladder, axis=1)).ravel()
