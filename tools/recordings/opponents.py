"""What a 60 s forecast of the main force has to beat without any model.

(P1)  persistence: the last force read since the start
(P2)  weighted mean: sum_j (1 - alpha)^j F_j / sum_j (1 - alpha)^j, over the forces read since the
      start, newest first (j = 0); reset at each start
(P3)  first-value mean: m <- m + alpha (F - m), begun with the first force after the start

(P2) and (P3) differ in the weight of the first force: under (P3) it never loses its extra weight,
which costs most where a small alpha is best. The constant of each is the one with the smallest
60 s RMSE on the scored origins of the earlier batches; without such origins it is `UNFITTED`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.signal import lfilter

from tools.recordings.origins import Origins, last_present

__all__ = [
    "UNFITTED",
    "first_value_mean",
    "fit_constant",
    "persistence",
    "rmse",
    "weighted_mean",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

UNFITTED = 0.1
SMALLEST, LARGEST = 5e-4, 0.8
_GRID = 14


def rmse(error: Array) -> float:
    """Root mean square of the numbers in ``error``; NaN if there are none."""
    known = error[np.isfinite(error)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def persistence(origins: Origins) -> Array:
    """Forecast of (P1) [N], NaN before the first force of a stretch and while standing."""
    newest = last_present(np.where(origins.running, origins.force, np.nan), origins.start)
    return np.where(newest >= 0, origins.force[newest], np.nan)


def weighted_mean(values: Array, origins: Origins, alpha: float) -> Array:
    """Mean (P2) of any series, at every running row with a number since the start."""
    return _mean(values, origins, alpha, first_value=False)


def first_value_mean(values: Array, origins: Origins, alpha: float) -> Array:
    """Mean (P3) of any series, at every running row with a number since the start."""
    return _mean(values, origins, alpha, first_value=True)


def fit_constant(
    mean: Callable[[Array, Origins, float], Array], origins: Origins, fitted: Flags
) -> float:
    """Constant of ``mean`` with the smallest 60 s RMSE on the scored origins among ``fitted``."""
    used = origins.scored & fitted
    if not used.any():
        return UNFITTED
    truth = origins.truth()[used]

    def miss(log_alpha: float) -> float:
        return rmse(truth - mean(origins.force, origins, float(np.exp(log_alpha)))[used])

    grid = np.linspace(np.log(SMALLEST), np.log(LARGEST), _GRID)
    best = int(np.argmin([miss(x) for x in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    found = minimize_scalar(miss, bounds=bounds, method="bounded", options={"xatol": 0.01})
    return float(np.exp(min((float(found.x), grid[best]), key=miss)))


def _mean(values: Array, origins: Origins, alpha: float, *, first_value: bool) -> Array:
    """(P2) or (P3): one filter through all readings, less what each stretch inherited."""
    present = origins.running & np.isfinite(values)
    newest = last_present(np.where(present, values, np.nan), origins.start)
    known = origins.running & (newest >= 0)
    mean = np.full(values.size, np.nan)
    if not known.any():
        return mean
    x, stretch = values[present], origins.start[present]
    first = np.searchsorted(stretch, stretch)  # first reading of each reading's stretch
    age = np.arange(x.size) - first + 1
    kept = (1.0 - alpha) ** age
    total = lfilter([1.0], [1.0, alpha - 1.0], x)
    total = total - kept * np.r_[0.0, total][first]
    read = (
        alpha * total + kept * x[first]  # (P3)
        if first_value
        else alpha * total / (1.0 - kept)  # (P2)
    )
    mean[known] = read[np.cumsum(present)[newest[known]] - 1]
    return mean
