"""Positioning drives of the press: first order, with backlash between motor and machine.

(D1)  dm/dt = (u - m) / tau                        motor position [m]
(D2)  y = clip(y, m - g/2, m + g/2)                machine position within the gap g [m]

(D2) is the play operator; it is exact for a motor that moves one way, which (D1) does within a
second at constant set point.

References
----------
Textbook play operator; gap of 5-10 um assumed by the project's owner.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drive"]


class Drive:
    """A drive with time constant ``tau`` [s] and backlash ``gap`` [m], at ``position`` [m]."""

    def __init__(self, tau: float, gap: float, position: float) -> None:
        self._tau, self._half = tau, 0.5 * gap
        self.motor = position
        self.position = position

    def move(self, set_point: float, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Go one second towards ``set_point`` [m]; machine positions at ``times`` in [0, 1]."""
        start = self.motor
        motor = set_point + (start - set_point) * np.exp(-times / self._tau)  # (D1)
        path = np.clip(self.position, motor - self._half, motor + self._half)  # (D2)
        self.motor = set_point + (start - set_point) * exp(-1.0 / self._tau)
        self.position = min(max(self.position, self.motor - self._half), self.motor + self._half)
        return np.asarray(path)

    def state(self) -> list[float]:
        """Motor and machine position [m]."""
        return [self.motor, self.position]

    def restore(self, state: list[float]) -> None:
        """Go on from what `state` returned."""
        self.motor, self.position = state
