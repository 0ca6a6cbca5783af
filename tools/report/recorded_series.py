"""Long series made short enough to draw, and the events of a recording worth a closer look.

Hours of a recording are its rows times their period: gaps between rows are left out, which marks
at the batches say. A line keeps the smallest and the largest value of every bin, so that nothing
that was recorded disappears; a band is the bin's medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording
from tools.recordings.origins import Origins

__all__ = ["Event", "binned", "events_of", "extremes", "hours", "middle_event", "stops"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 1100  # about the pixels of a chart
_AFTER_S = 300.0  # of an event, over which forecasts are compared
_FEWEST = 6


def hours(recording: Recording) -> Array:
    """Recorded time at every row (n,) [h], gaps left out."""
    return np.arange(recording.size, dtype=np.float64) * (recording.period_s / 3600.0)


def extremes(x: Array, y: Array, bins: int = BINS) -> tuple[Array, Array]:
    """Smallest and largest number of each bin of rows, in the order in which they came."""
    kept: list[int] = []
    for part in np.array_split(np.arange(x.size), min(bins, max(x.size, 1))):
        known = part[np.isfinite(y[part])]
        if known.size:
            kept += sorted({int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])})
        if known.size < part.size:  # a hole breaks the line
            kept.append(int(part[~np.isfinite(y[part])][-1]))
    rows = np.unique(np.array(kept, dtype=np.intp))
    return x[rows], y[rows]


def binned(x: Array, *series: Array, bins: int = BINS) -> tuple[Array, ...]:
    """Medians of each bin of rows: of ``x`` and of each of the series, NaN where none is known."""
    out: list[list[float]] = [[] for _ in range(1 + len(series))]
    for part in np.array_split(np.arange(x.size), min(bins, max(x.size, 1))):
        out[0].append(float(np.median(x[part])))
        for column, values in zip(out[1:], series, strict=True):
            known = values[part][np.isfinite(values[part])]
            column.append(float(np.median(known)) if known.size else np.nan)
    return tuple(np.array(column) for column in out)


def stops(recording: Recording, bins: int = BINS) -> list[tuple[float, float]]:
    """Spans of recorded time [h] in which the press stands, as bins of which it stands in most."""
    x, running = hours(recording), recording.running()
    step = recording.period_s / 3600.0
    found: list[tuple[float, float]] = []
    for part in np.array_split(np.arange(x.size), min(bins, max(x.size, 1))):
        if running[part].mean() >= 0.5:
            continue
        first, last = float(x[part[0]]), float(x[part[-1]]) + step
        if found and first - found[-1][1] < 1.5 * step:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found


@dataclass(frozen=True, slots=True)
class Event:
    """Something at a row; ``error`` is the RMSE of the forecasts made soon after it."""

    row: int
    error: float


def events_of(
    recording: Recording, origins: Origins, rows: Sequence[int], error: Array
) -> list[Event]:
    """Those of the events at ``rows`` that have forecasts after them, with their errors (n,)."""
    count = round(_AFTER_S / recording.period_s)
    found = []
    for row in rows:
        after = np.arange(row, min(row + count, recording.size))
        after = after[origins.start[after] == origins.start[row]]
        known = error[after][np.isfinite(error[after])]
        if known.size >= _FEWEST:
            found.append(Event(int(row), float(np.sqrt(np.mean(known**2)))))
    return found


def middle_event(events: Sequence[Event]) -> Event | None:
    """The event whose forecasts were neither the best nor the worst: the one in the middle."""
    ranked = sorted(events, key=lambda event: event.error)
    return ranked[(len(ranked) - 1) // 2] if ranked else None
