"""Where a forecast of the main force can be made and checked, and what happened shortly before.

(O1)  stretch: rows with tablet rate > 0 at the recording's own spacing in one batch, without a hole
(O2)  origin k: running, with a force read since the stretch began, and with the row at exactly
      t_k + 60 s in the same batch, running, its force present
(O3)  scored: an origin with 120 s of its stretch behind it
(O4)  after a restart: an origin whose stretch began less than 300 s before
(O5)  thickness, speed: the value changed from one row to the next within the last 120 s;
      fill: |fill(k) - fill(k - 120 s)| > 0.05 mm

A force is present if it is a number above zero: tablets are not made without one, and a zero at
the first row of a start would stay in every mean for minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording

__all__ = [
    "HORIZON_S",
    "SUBSETS",
    "Origins",
    "find_origins",
    "last_present",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]

HORIZON_S = 60.0
PAST_S = 120.0
RESTART_S = 300.0
NET_FILL_M = 0.05e-3
SPACING = 0.05  # tolerance of the spacing, share of the period
RESOLUTION = 1e-9  # of lengths [m] and rates [1/s]: below it nothing changed

SUBSETS: dict[str, str] = {
    "thickness": "thickness changed in the last 120 s",
    "speed": "speed changed in the last 120 s",
    "fill": "fill moved by more than 0.05 mm net in the last 120 s",
    "changed": "any of the three happened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Per row of a recording (n,): its stretch, target and what kind of origin it is.

    ``force`` [N] is NaN where none is present. ``start`` is the first row of the row's stretch (of
    a row that does not run: itself), ``target`` the row 60 s later (-1: none). ``past`` is the
    number of rows in 120 s, ``steps`` those in 60 s.
    """

    force: Array
    running: Flags
    start: Rows
    target: Rows
    all: Flags
    scored: Flags
    restart: Flags
    subsets: dict[str, Flags]
    past: int
    steps: int

    def truth(self) -> Array:
        """Force [N] at every row's target, NaN where there is none."""
        return np.where(self.target >= 0, self.force[self.target], np.nan)


def last_present(values: Array, start: Rows) -> Rows:
    """Newest row up to each row, not before its ``start``, that holds a number; -1 if none does."""
    rows = np.arange(values.size)
    newest = np.maximum.accumulate(np.where(np.isfinite(values), rows, -1))
    return np.where(newest >= start, newest, -1)


def find_origins(recording: Recording) -> Origins:
    """Origins of a recording by (O1) to (O5)."""
    n, time = recording.size, recording.time
    rows = np.arange(n)
    batch = np.unique(np.asarray(recording.batch), return_inverse=True)[1] if n else rows
    running = recording.running()
    reading = recording.channels["main_force"]
    force = np.where(np.isfinite(reading) & (np.nan_to_num(reading) > 0.0), reading, np.nan)
    slack = SPACING * recording.period_s

    joined = np.zeros(n, dtype=bool)
    joined[1:] = running[1:] & running[:-1] & (batch[1:] == batch[:-1])
    joined[1:] &= np.abs(np.diff(time) - recording.period_s) <= slack
    start = np.maximum.accumulate(np.where(joined, 0, rows))  # (O1)

    found = np.minimum(np.searchsorted(time, time + HORIZON_S - slack), max(n - 1, 0))
    there = (np.abs(time[found] - time - HORIZON_S) <= slack) & (batch[found] == batch)
    there &= running[found] & np.isfinite(force[found])
    origin = running & there & (last_present(np.where(running, force, np.nan), start) >= 0)  # (O2)

    past = round(PAST_S / recording.period_s)
    subsets = _subsets(recording, start, past)
    return Origins(
        force=force,
        running=running,
        start=start,
        target=np.where(there, found, -1),
        all=origin,
        scored=origin & (rows - start >= past),  # (O3)
        restart=origin & (time - time[start] < RESTART_S - slack),  # (O4)
        subsets=subsets,
        past=past,
        steps=round(HORIZON_S / recording.period_s),
    )


def _subsets(recording: Recording, start: Rows, past: int) -> dict[str, Flags]:
    """Masks of (O5), within the stretch; a channel that was not recorded never changed."""
    rows = np.arange(recording.size)
    first = np.maximum(rows - past, start)

    def changed(channel: str) -> Flags:
        values = recording.channels.get(channel)
        if values is None:
            return np.zeros(rows.size, dtype=bool)
        newest = last_present(values, start)
        held = np.where(newest >= 0, values[newest], np.nan)
        steps = np.zeros(rows.size, dtype=np.int64)
        steps[1:] = (np.abs(np.diff(held)) > RESOLUTION) & (start[1:] < rows[1:])
        count = np.cumsum(steps)
        return np.asarray(count > count[first])

    fill = recording.channels.get("fill_depth", np.full(rows.size, np.nan))
    masks = {
        "thickness": changed("thickness"),
        "speed": changed("tablet_rate"),
        "fill": np.asarray(np.abs(fill - fill[first]) > NET_FILL_M + RESOLUTION),
    }
    return {**masks, "changed": np.logical_or.reduce(list(masks.values()))}
