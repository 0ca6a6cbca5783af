"""What long-running commands share: they stop on signals, or when their parent has died."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

__all__ = ["PARENT", "serve", "told"]

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


@contextmanager
def told(console: Console, logger: str) -> Iterator[None]:
    """What ``logger`` says meanwhile is shown to people too."""
    speaker, level = logging.getLogger(logger), logging.getLogger(logger).level
    handler = _Speaker(console)
    speaker.addHandler(handler)
    speaker.setLevel(logging.INFO)
    try:
        yield
    finally:
        speaker.removeHandler(handler)
        speaker.setLevel(level)


class _Speaker(logging.Handler):
    """Prints what is logged."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)
