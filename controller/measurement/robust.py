"""Checks of one signal against its own past: spikes, frozen values, wrong units.

(H1)  |x - median(window)| > k max(1.4826 MAD, floor)       Hampel's identifier

The factor makes the median absolute deviation the standard deviation of a normal distribution.

References
----------
F. R. Hampel 1974, J Am Stat Assoc 69:383-393 (from memory, textbook form).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log
from statistics import median

__all__ = ["UNIT_RATIOS", "is_spike", "unit_ratio"]

_NORMAL = 1.4826
_LEAST = 5

UNIT_RATIOS: tuple[tuple[float, str], ...] = (
    (1e3, "thousandfold (N for kN, g for kg, mg for g)"),
    (1e-3, "a thousandth (kN for N, kg for g)"),
    (1e2, "hundredfold (% for a share)"),
    (1e-2, "a hundredth (a share for %)"),
    (1e6, "millionfold"),
    (1e-6, "a millionth"),
    (10.0, "tenfold"),
    (0.1, "a tenth"),
    (60.0, "sixtyfold (per minute for per second)"),
    (1.0 / 60.0, "a sixtieth (per second for per minute)"),
    (3600.0, "3600-fold (per hour for per second)"),
    (1.0 / 3600.0, "a 3600th (per second for per hour)"),
    (2.20462, "lb for kg"),
    (0.453592, "kg for lb"),
    (9.80665, "N for kgf"),
    (0.101972, "kgf for N"),
    (4.44822, "N for lbf"),
    (0.224809, "lbf for N"),
    (25.4, "mm for inch"),
    (0.0393701, "inch for mm"),
)
"""Ratios of units that are taken for one another."""


def is_spike(value: float, window: Sequence[float], deviations: float, floor: float) -> bool:
    """Whether ``value`` is an outlier of the readings before it (H1); none if they are few.

    ``floor`` is the least standard deviation that the signal is granted.
    """
    if len(window) < _LEAST:
        return False
    centre = median(window)
    spread = _NORMAL * median([abs(x - centre) for x in window])
    return abs(value - centre) > deviations * max(spread, floor)  # (H1)


def unit_ratio(value: float, reference: float, tolerance: float) -> str:
    """Which units are confused if ``value`` stands where ``reference`` is right; empty if none.

    ``tolerance`` is relative. Nothing is said of values that are not positive.
    """
    if not (value > 0.0 and reference > 0.0 and isfinite(value) and isfinite(reference)):
        return ""
    off = log(value / reference)
    for ratio, text in UNIT_RATIOS:
        if abs(off - log(ratio)) < tolerance:
            return text
    return ""
