"""Three ways to let plant time pass: real, accelerated, lock-step. The plant cannot tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["LOCKSTEP", "Pace", "parse_speed"]

LOCKSTEP = 0.0

# A plant that cannot keep up loses this much wall time at most before it gives the rest up.
_LARGEST_BACKLOG_S = 1.0


def parse_speed(text: str) -> float:
    """``lockstep`` or a factor as plant seconds per second of wall time."""
    if text.strip().lower() == "lockstep":
        return LOCKSTEP
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0.0 < factor <= 1000.0:
        raise ValueError(
            f"speed must be 'lockstep' or a factor above 0 and up to 1000, not {text!r}"
        )
    return factor


@dataclass
class Pace:
    """How many plant seconds are due at a wall time [s, monotonic] for a speed ``factor``.

    ``lost_s`` counts the plant seconds given up because the computer was too slow.
    """

    factor: float
    anchor: float
    done: int = 0
    lost_s: float = 0.0

    def due(self, now: float) -> int:
        """Whole plant seconds to advance now."""
        backlog = (now - self.anchor) * self.factor - self.done
        limit = max(1.0, _LARGEST_BACKLOG_S * self.factor)
        if backlog > limit:
            self.lost_s += backlog - limit
            self.anchor += (backlog - limit) / self.factor
            backlog = limit
        return max(0, int(backlog + 1e-9))

    def advanced(self, seconds: int) -> None:
        """Count ``seconds`` as done."""
        self.done += seconds

    def wait(self, now: float) -> float:
        """Wall seconds until the next plant second is due."""
        return max(0.0, self.anchor + (self.done + 1) / self.factor - now)
