"""Where lock-step stops for people: the plant waits at a plant second until somebody lets it go on.

In lock-step, plant time passes as fast as the computers allow, too fast for people and for scripts
that act at a given plant second. A hold gives them their turn: the controller has ended its cycle,
the plant does not advance. It ends by itself before the controller would take the plant for dead.
"""

from __future__ import annotations

import asyncio

__all__ = ["HOLDING_AT", "HOLD_AT", "Hold"]

HOLD_AT = "Line/Simulator/HoldAt"
HOLDING_AT = "Line/Simulator/HoldingAt"

# Shorter than `lockstep_silence_s`, after which a controller gives a standing plant up.
_LONGEST_S = 1.5


class Hold:
    """The next plant second to stop at, if any.

    Parameters
    ----------
    second
        First of them; ``None`` holds nowhere.
    longest_s
        Wall time after which the plant goes on by itself.
    """

    def __init__(self, second: int | None = None, longest_s: float = _LONGEST_S) -> None:
        self._second, self._longest_s = second, longest_s
        self._moved = asyncio.Event()

    def move(self, second: int) -> None:
        """Hold at ``second`` next; a plant that is held before it goes on."""
        self._second = second
        self._moved.set()

    def due(self, second: int) -> bool:
        """Whether the plant is to be held at ``second``."""
        return self._second is not None and second >= self._second

    async def wait(self, second: int, stop: asyncio.Event) -> None:
        """Hold the plant at ``second`` until the hold is moved beyond it, or for too long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._longest_s
        while self.due(second) and not stop.is_set():
            left = until - loop.time()
            if left <= 0.0:
                self._second = None
                return
            self._moved.clear()
            waits = [asyncio.ensure_future(e.wait()) for e in (self._moved, stop)]
            try:
                await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
