"""The end of a recording over OPC UA: plant and controller as two processes, as in production.

The plant plays the file in lock-step, the controller goes on from the memory that it had in process
before these rows. What it thought is read from its historian and compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.records.historian import History, sqlite_url
from tools.demo.operator import Stalled
from tools.people import at_controller
from tools.pki import Party
from tools.processes import Child, ChildFailed, start_control, start_plant
from tools.recordings.thoughts import Thoughts
from tools.rundir import Listening, RunDir
from tools.security import read_password

__all__ = ["LinkOrder", "LinkRun", "thoughts_of"]

Array = NDArray[np.float64]

_USER = "operator"
_READY_S = 300.0
_POLL_S, _STALLED_S = 0.1, 60.0
_EARLY_S = 0.5  # plant time is shown to the microsecond


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOrder:
    """What to play: file and mapping as given, first row in the file, times of the rows (n,)."""

    recording: Path
    mapping: Path | None
    line_file: Path
    controller_file: Path
    state_file: Path
    first_row: int
    time: Array
    run: RunDir
    party: Party


@dataclass
class LinkRun:
    """Two processes, once; whatever happens, they are gone when `run` returns."""

    order: LinkOrder
    tick: Callable[[int], None]
    _children: dict[str, Child] = field(default_factory=dict)

    async def run(self) -> None:
        """Play the rows. Raises what went wrong, after everything has been stopped."""
        try:
            await self._play()
        except Exception:
            # a process that ended is the cause, a broken link its effect
            await asyncio.sleep(0.5)
            self._look()
            raise
        finally:
            await asyncio.shield(self._stop())

    async def _play(self) -> None:
        order = self.order
        rows = ("--from-row", str(order.first_row), "--speed", "lockstep")
        mapping = () if order.mapping is None else ("--mapping", order.mapping)
        played = ("--recording", order.recording, *mapping, *rows)
        await self._start("plant", start_plant(order.run, order.line_file, *played))
        resume = ("--resume", order.state_file)
        control = start_control(order.run, order.controller_file, *resume)
        listening = await self._start("controller", control)
        password = read_password(order.run.secrets / f"{_USER}.password")
        async with at_controller(listening.endpoint, order.party, _USER, password) as desk:
            seen, moved = 0, time.monotonic()
            while seen < order.time.size:
                self._look()
                *_, at = await desk.state()
                shown = -np.inf if at is None else at.timestamp() + _EARLY_S
                rows_seen = int(np.searchsorted(order.time, shown))
                if rows_seen > seen:
                    seen, moved = rows_seen, time.monotonic()
                    self.tick(seen)
                elif time.monotonic() - moved > _STALLED_S:
                    raise Stalled(f"row {seen} of {order.time.size} for {_STALLED_S:g} s")
                await asyncio.sleep(_POLL_S)

    async def _start(self, name: str, child: Child) -> Listening:
        self._children[name] = child
        return await asyncio.to_thread(child.wait_listening, self.order.run, _READY_S)

    def _look(self) -> None:
        for name, child in self._children.items():
            if not child.running:
                code = child.process.returncode
                raise ChildFailed(f"{name} ended with {code}:\n{child.last_words()}")

    async def _stop(self) -> None:
        children, self._children = list(self._children.values()), {}
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in children))


def thoughts_of(run: RunDir, time: Array, times: Array) -> Thoughts:
    """What the historian of ``run`` holds for the rows at ``time``."""
    history = History(sqlite_url(run.historian))
    try:
        return Thoughts.of(history.records(history.starts()[-1]), time, times)
    finally:
        history.close()
