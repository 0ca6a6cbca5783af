"""Powder in against tablets out: what the chute's level must be, and how it steps.

(V1)  L+ = L + [F (1 - b) - n w] dt / M + g1 e,    e = level - L        kept level [-]
(V2)  b+ = b - g2 e M / (F dt),   g1 = 2 dt / T, g2 = (dt / T)^2      share of the feed not seen [-]
(V3)  D = level - integral of [F (1 - b) - n w] / M                 steps by which the level is off

A constant imbalance says that a load cell or the weight is off, a step of D that the level is.
"""

from __future__ import annotations

from math import isfinite, nan
from statistics import median
from typing import NamedTuple

import numpy as np

__all__ = ["Inventory", "moved", "stepped"]

_NEW, _OLD, _APART = 8, 12, 2
_CLIP = 0.04
_BESIDE = 0.6


class Inventory(NamedTuple):
    """``kept`` level [-], ``missing`` share b, ``integral`` and ``offsets`` of (V3).

    ``learnt`` [s] is how long the balance has been kept, ``off`` the steps found so far [-].
    """

    kept: float = nan
    missing: float = 0.0
    integral: float = 0.0
    offsets: tuple[float, ...] = ()
    learnt: float = 0.0
    off: float = 0.0


def moved(
    old: Inventory,
    level: float,
    feed: float,
    out: float,
    step: float,
    *,
    capacity: float,
    time: float,
) -> Inventory:
    """The balance ``step`` [s] on: ``feed`` and ``out`` [kg/s], ``capacity`` [kg] of the chute.

    ``time`` [s] is the one within which the balance follows.
    """
    if not (isfinite(feed) and isfinite(out) and feed > 0.0):
        return old
    net = (feed * (1.0 - old.missing) - out) * step / capacity
    if not isfinite(old.kept):
        return old._replace(kept=level) if isfinite(level) else old
    predicted, integral = old.kept + net, old.integral + net
    if not isfinite(level):
        return old._replace(kept=predicted, integral=integral)
    e = min(max(level - predicted, -_CLIP), _CLIP)
    quick = max(time, 0.0) if old.learnt > time else max(old.learnt, 0.25 * time)
    gain = step / quick
    kept = predicted + min(2.0 * gain, 1.0) * e  # (V1)
    missing = old.missing - gain * gain * e * capacity / (feed * step)  # (V2)
    offsets = (*old.offsets, level - integral)[-(_NEW + _APART + _OLD) :]
    return Inventory(kept, missing, integral, offsets, old.learnt + step, old.off)


def stepped(old: Inventory, least: float) -> Inventory:
    """Take a step of the level into ``off`` if there is one of at least ``least`` (V3).

    A step is one beside a slope too, which an imbalance makes.
    """
    if len(old.offsets) < _NEW + _APART + _OLD:
        return old
    size = median(old.offsets[-_NEW:]) - median(old.offsets[:_OLD])
    if abs(size) < least:
        return old
    y = np.array(old.offsets[:_OLD] + old.offsets[-_NEW:])
    at = np.r_[0:_OLD, _OLD + _APART : _OLD + _APART + _NEW]
    columns = np.column_stack((np.ones(y.size), at, at >= _OLD))
    beside = float(np.linalg.lstsq(columns, y, rcond=None)[0][2])
    if abs(beside) < _BESIDE * least or beside * size < 0.0:
        return old
    return old._replace(off=old.off + size, offsets=(), kept=old.kept + size)
