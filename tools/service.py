"""What long-running commands share: they stop on signals, or when their parent has died."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

__all__ = ["PARENT", "serve"]

# Environment variable with the process id of a parent that must not be outlived.
PARENT = "TWINLINE_PARENT"

_WATCH_S = 0.5


async def serve(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``work`` with an event that SIGTERM, SIGINT or the parent's death sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_watch(stop))
    try:
        await work(stop)
    finally:
        watch.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _watch(stop: asyncio.Event) -> None:
    """Set ``stop`` once the parent has died; the system tells nobody, so it is looked for."""
    parent = os.environ.get(PARENT)
    while parent is not None and not stop.is_set():
        if os.getppid() != int(parent):
            stop.set()
        await asyncio.sleep(_WATCH_S)
