"""Checks of signals, live or recorded: frozen, out of range, jumping, late, doubled, out of order.

Pure and without memory. What judges one reading takes numbers and returns why it is refused, or
nothing (`controller.validation` runs them every cycle); what judges a series takes arrays, oldest
first, and returns rows. A missing number is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "backward",
    "beyond",
    "frozen",
    "gaps",
    "jump",
    "late",
    "not_newer",
    "out_of_range",
    "repeated_times",
    "repeats",
    "same_readings",
    "stuck",
]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int_]

_NONE: BoolArray = np.zeros(0, dtype=bool)


# One reading ------------------------------------------------------------------------------------


def late(now: float, source: float, age_max: float, ahead_max: float) -> str:
    """Why a reading of time ``source`` [s] is too old, or too far ahead, at ``now``."""
    if now - source > age_max:
        return f"{now - source:.0f} s old"
    if source - now > ahead_max:
        return f"{source - now:.0f} s in the future"
    return ""


def not_newer(source: float, before: float) -> str:
    """Why a reading of time ``source`` tells nothing after one of time ``before`` [s]."""
    return "no new reading" if source <= before else ""


def same_readings(value: float, before: float, count: int) -> int:
    """How many readings in a row were ``value``, after ``count`` of ``before``."""
    return count + 1 if value == before else 1


def out_of_range(value: float, lo: float, hi: float) -> str:
    """Why ``value`` cannot be: it lies outside ``lo..hi`` or is not a number."""
    return "" if lo <= value <= hi else f"outside {lo:g}..{hi:g}"


def stuck(same: int, limit: int) -> str:
    """Why the ``same``-th identical reading in a row is not believed; limit 0 allows any number."""
    return f"frozen for {same} readings" if limit and same >= limit else ""


def jump(
    value: float, elapsed: float, recent: Sequence[float], *, spike: float, rate: float
) -> str:
    """Why ``value`` does not follow the ``recent`` good readings, the last one ``elapsed`` s ago.

    Parameters
    ----------
    value
        The reading.
    elapsed
        Time since the last good reading [s].
    recent
        Last good readings, oldest first; none allow anything.
    spike
        Largest distance from their median.
    rate
        Largest slope from the last of them [1/s].
    """
    if not recent:
        return ""
    centre = median(recent)
    if abs(value - centre) > spike:
        return f"spike: {abs(value - centre):.3g} from the median {centre:.4g}"
    if abs(value - recent[-1]) > rate * elapsed:
        return f"slope above {rate:g} per second"
    return ""


# Series -----------------------------------------------------------------------------------------


def beyond(values: Array, lo: float, hi: float) -> BoolArray:
    """Rows whose number lies outside ``lo..hi`` or is infinite; a missing one does not."""
    return ~np.isnan(values) & ~((values >= lo) & (values <= hi) & np.isfinite(values))


def repeats(
    values: Array, joined: BoolArray | None = None, counted: BoolArray | None = None
) -> IntArray:
    """Length of the run of identical readings that each row belongs to; 0 where missing.

    Parameters
    ----------
    values
        (n,), or (n, k) for rows that must agree in all of k series; there a missing number equals
        a missing one.
    joined
        Rows that may continue the row before; all if not given.
    counted
        Rows that count; all if not given.
    """
    run = np.cumsum(~_goes_on(values, joined)) - 1
    weights = np.ones(len(run)) if counted is None else counted.astype(float)
    length = np.bincount(run, weights, minlength=1).astype(np.int_)[run]
    return np.where(_there(values), length, 0)


def frozen(
    values: Array, limit: int, joined: BoolArray | None = None, counted: BoolArray | None = None
) -> BoolArray:
    """Rows that repeat the row before within a run of at least ``limit`` identical ones.

    The first reading of such a run was a reading; it is not marked. Arguments as in `repeats`.
    """
    return (repeats(values, joined, counted) >= limit) & _goes_on(values, joined)


def _there(values: Array) -> BoolArray:
    if not len(values):
        return _NONE
    return np.asarray(~np.isnan(values.reshape(len(values), -1)).all(axis=1))


def _goes_on(values: Array, joined: BoolArray | None) -> BoolArray:
    table = values.reshape(len(values), -1) if len(values) else values.reshape(0, 1)
    same = (table[1:] == table[:-1]) | (np.isnan(table[1:]) & np.isnan(table[:-1]))
    goes_on = np.zeros(len(table), dtype=bool)
    goes_on[1:] = same.all(axis=1)
    goes_on &= _there(values)
    return goes_on if joined is None else goes_on & joined


def backward(times: Array) -> BoolArray:
    """Rows whose time lies before that of the row above."""
    return _led(np.diff(times) < 0.0, times.size)


def repeated_times(times: Array) -> BoolArray:
    """Rows of a sorted series that share their time with another row."""
    same = np.diff(times) == 0.0
    return _led(same, times.size) | _led(same[::-1], times.size)[::-1]


def gaps(times: Array, period: float, tolerance: float = 0.5) -> BoolArray:
    """Rows of a sorted series before which more than ``1 + tolerance`` periods passed."""
    return _led(np.diff(times) > (1.0 + tolerance) * period, times.size)


def _led(steps: BoolArray, size: int) -> BoolArray:
    """What holds between rows, as a mark of the later row."""
    rows = np.zeros(size, dtype=bool)
    rows[1:] = steps
    return rows
