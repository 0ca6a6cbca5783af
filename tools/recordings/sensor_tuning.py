"""Noise of the soft sensor from a recording's earlier batches.

(T1)  F_k = l_k + e_k,  l_k+1 = l_k + d_k          e ~ r,  d ~ q      force about a walking level
(T2)  F_k - m_k = (1 - a) (F_k - m_k-1),  variance (1 - a) r          m the weighted mean, gain a
(T3)  q = r a^2 / (1 - a)                          where a is the gain that forecasts best
(T4)  sd of a step of ln specific volume = sqrt(q) / |dF/dv|          at the usual settings

The weighted mean that forecasts best is the steady-state filter of (T1): its gain tells how far the
level walks beside the noise (Muth 1960, J Am Stat Assoc 55:299-306, from memory). Under a loop that
pulls the force back to one level a mean over hours may forecast best; of the powder that says
nothing, so gains count from `LEAST_GAIN` on only. Scatter is 1.4826 times the median of absolute
deviations, which starts and spikes do not move, and at least that of rounding as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from plant_models.press_cell import PressCell, main_force
from plant_models.recording import Recording
from tools.recordings.opponents import weighted_mean
from tools.recordings.origins import Origins

__all__ = ["LEAST_GAIN", "LOST_MOTION", "MOST_GAIN", "SensorTuning", "tune_sensor"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_GAIN, MOST_GAIN = 0.05, 0.5
LOST_MOTION = 30e-6  # [m]
_FEWEST = 60  # rows that tell a scatter
_UNTOLD, _LEAST_FORCE = 100.0, 10.0  # force [N] where fewer tell, and where it never moves
_STEP = 1e-4  # of ln volume in dF/dv
_SAME = 1e-9  # numbers closer than this are the same [N, m]


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorTuning:
    """Standard deviations of force [N], fill depth [m], step of ln specific volume per sample [-].

    ``gain`` is the one of (T1) to (T3), ``slope`` dF/dv [N], ``rows`` how many told the scatter.
    """

    force_sd: float
    fill_sd: float
    powder_walk: float
    gain: float
    slope: float
    rows: int


def tune_sensor(
    recording: Recording,
    batches: Sequence[str],
    origins: Origins,
    cell: PressCell,
    usual: tuple[float, float, float],
    gain: float,
) -> SensorTuning:
    """Noise of the soft sensor by (T1) to (T4).

    Parameters
    ----------
    recording
        The recording.
    batches
        Those that may be looked at.
    origins
        Origins of the recording.
    cell
        The press.
    usual
        Usual fill depth and band [m] and tablet rate [1/s].
    gain
        Constant of the weighted mean that forecasts best.
    """
    gain = min(max(gain, LEAST_GAIN), MOST_GAIN)
    warm = np.arange(recording.size) - origins.start >= origins.past
    rows = np.isin(np.asarray(recording.batch), list(batches)) & origins.running & warm
    fill = recording.channels["fill_depth"]
    force_sd = _scatter(origins.force, origins, rows, gain)
    fill_sd = _scatter(fill, origins, rows, gain)
    depth, band, rate = usual
    more, less = (main_force(cell, depth, band, step, rate) for step in (_STEP, -_STEP))
    slope = float(more - less) / (2.0 * _STEP)
    force_sd = max(force_sd, _LEAST_FORCE) if np.isfinite(force_sd) else _UNTOLD
    return SensorTuning(
        force_sd=force_sd,
        fill_sd=fill_sd if fill_sd > LOST_MOTION else LOST_MOTION,
        powder_walk=force_sd * gain / sqrt(1.0 - gain) / abs(slope),  # (T3, T4)
        gain=gain,
        slope=slope,
        rows=int(np.sum(rows & np.isfinite(origins.force))),
    )


def _scatter(values: Array, origins: Origins, rows: Flags, gain: float) -> float:
    """Robust standard deviation of ``values`` about their walking level (T2); NaN of too few."""
    left = (values - weighted_mean(values, origins, gain))[rows]
    left = left[np.isfinite(left)]
    if left.size < _FEWEST:
        return nan
    sd = 1.4826 * float(np.median(np.abs(left - np.median(left)))) / sqrt(1.0 - gain)
    levels = np.diff(np.unique(values[rows & np.isfinite(values)]))
    levels = levels[levels > _SAME]
    rounding = float(levels.min()) / sqrt(12.0) if levels.size else 0.0
    return max(sd, rounding)
