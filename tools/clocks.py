"""The one place that asks the operating system for the time."""

from __future__ import annotations

import time

__all__ = ["SystemClock"]


class SystemClock:
    """The computer's clocks; a `plant_models.signals.Clock`."""

    def now(self) -> float:
        """UTC as seconds since 1970-01-01."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never step back."""
        return time.monotonic()
