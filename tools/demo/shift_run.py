"""One run of the demo: plant and controller as processes, the operator's shift, the kill between.

Both processes are started and stopped here and nowhere else; whatever happens, they are gone
when `ShiftRun.run` returns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.data import Mode
from controller.records.historian import History, sqlite_url
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import MV
from plant_models.units import to_si
from tools.demo.deeds import Deed, carry_out
from tools.demo.operator import Operator, press_settings
from tools.demo.status import Phase, Status
from tools.people import ControllerDesk, at_controller, at_plant
from tools.pki import Party
from tools.processes import Child, ChildFailed, start_control, start_plant
from tools.rundir import Listening, RunDir
from tools.security import read_password
from tools.shift_script import Script

__all__ = ["NotClosed", "RunOrder", "ShiftRun"]

USER = "operator"
_READY_S = 300.0  # a first start compiles the models
_WATCH_S = 0.5


class NotClosed(RuntimeError):
    """The loop could not be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What to run: controller by name, configurations, seed, length [min], folder, deeds."""

    controller: str
    line_file: Path
    set_file: Path | None
    controller_file: Path
    scenario_file: Path
    line: ResolvedLine
    script: Script
    seed: int
    minutes: float
    run: RunDir
    party: Party
    deeds: tuple[Deed, ...] = ()


@dataclass
class ShiftRun:
    """One shift, once.

    Attributes
    ----------
    closed_at : int or None
        Plant second at which the loop was first closed.
    """

    order: RunOrder
    status: Status
    closed_at: int | None = None
    _children: dict[str, Child] = field(default_factory=dict)

    async def run(self) -> None:
        """Run it. Raises what went wrong, after everything has been stopped."""
        work = asyncio.create_task(self._shift())
        watch = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        except Exception:
            # a process that ended is the cause, a broken link its effect; it shows a little later
            await asyncio.sleep(2.0 * _WATCH_S)
            self._look()
            raise
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
            await asyncio.shield(asyncio.to_thread(self._stop))

    async def _watch(self) -> None:
        """End the run when a process ends that should not."""
        while True:
            await asyncio.sleep(_WATCH_S)
            self._look()

    def _look(self) -> None:
        for name, child in list(self._children.items()):
            if not child.running:
                code = child.process.returncode
                raise ChildFailed(f"{name} ended with {code}:\n{child.last_words()}")

    def _stop(self) -> None:
        for name in ("controller", "plant"):
            child = self._children.pop(name, None)
            if child is not None:
                child.stop()

    # The shift

    async def _shift(self) -> None:
        script, status = self.order.script, self.status
        status.phase = Phase.STARTING
        await self._start_plant()
        order = self.order
        control = start_control(order.run, order.controller_file, *self._set)
        await self._start("controller", control)
        async with self._at_controller() as desk:
            async with self._at_plant() as operator:
                await operator.wait_until(0)
                status.began = time.monotonic()
                status.phase = Phase.RUNNING
                await self._first_part(operator, desk)
                if script.kill is None:
                    await self._finish(operator)
                    return
                await operator.wait_until(script.kill)
                await self._kill()
            await self._start_plant()
            async with self._at_plant() as operator:
                await operator.wait_until(0)
                status.phase = Phase.RUNNING
                status.note("plant is back")
                await self._second_part(operator, desk, script.kill)
                await self._finish(operator)

    async def _first_part(self, operator: Operator, desk: ControllerDesk) -> None:
        script = self.order.script
        if self.order.controller == "plc":
            await operator.wait_until(script.running)
            await self._set_press(operator)
        else:
            before = script.closed - 2 * script.period
            await operator.ask_mode(desk, Mode.ADVISORY, "start of the shift", before)
            await self._close(operator, desk, "start of the shift", script.period)
        if script.throughput is not None:
            await self._order_throughput(operator, desk, script.throughput)
        for deed in self.order.deeds:
            await carry_out(deed, operator, script.period)

    async def _order_throughput(
        self, operator: Operator, desk: ControllerDesk, second: int
    ) -> None:
        change = 1.0 + self.order.script.throughput_percent / 100.0
        wanted = self.order.line.product.throughput_kg_h * change
        if self.order.controller == "plc":
            await operator.wait_until(second)
            spec = signal_table(self.order.line.line).mv(MV.TOTAL_FEED)
            await operator.set_at_plant(spec, to_si(wanted, "kg/h"), "order")
        else:
            await operator.wait_until(second - self.order.script.period)
            await operator.order_throughput(desk, wanted, "order", second)

    async def _set_press(self, operator: Operator) -> None:
        """The operator of `plc`: two samples, one setting."""
        line = self.order.line
        settings = await asyncio.to_thread(self._settings)
        # Thickness first: in LOCAL its move re-references the force, which is then set outright.
        for tag in (MV.THICKNESS, MV.MAIN_FORCE):
            spec = signal_table(line.line).mv(tag)
            await operator.set_at_plant(spec, settings[tag], "two samples weighed and broken")

    def _settings(self) -> dict[str, float]:
        history = History(sqlite_url(self.order.run.historian))
        try:
            return press_settings(self.order.line, history.records(history.starts()[-1]))
        finally:
            history.close()

    async def _second_part(self, operator: Operator, desk: ControllerDesk, since: int) -> None:
        """After the plant's restart: the operator comes back and closes the loop again."""
        if self.order.controller == "plc":
            return
        script = self.order.script
        await operator.wait_until(min(since + script.notice_s, script.end))
        back = min(since + script.come_back_s, script.end)
        accepted, text = await operator.ask_mode(desk, Mode.ADVISORY, "plant is back", back)
        if not accepted:
            raise NotClosed(f"ADVISORY was refused after the restart: {text}")
        await self._close(operator, desk, "plant is back", script.ask_again_s)

    async def _close(
        self, operator: Operator, desk: ControllerDesk, reason: str, again_s: int
    ) -> None:
        """Ask for CLOSED_LOOP until it is granted."""
        script, text = self.order.script, "there was no time left"
        while operator.second + 2 * script.period <= script.end:
            go_on = operator.second + 2 * script.period
            accepted, text = await operator.ask_mode(desk, Mode.CLOSED_LOOP, reason, go_on)
            if accepted:
                self.closed_at = self.closed_at or operator.second
                return
            await operator.wait_until(min(operator.second + again_s, script.end))
        raise NotClosed(f"the loop could not be closed by the end of the shift: {text}")

    async def _finish(self, operator: Operator) -> None:
        await operator.wait_until(self.order.script.end)
        self.status.ended = time.monotonic()
        self.status.phase = Phase.FINISHED

    # Processes

    async def _start_plant(self) -> None:
        """Start the plant, or start it again where it was; it waits for the operator."""
        order, known = self.order, self.order.run.listening("plant")
        port = known.endpoint.rpartition(":")[2].partition("/")[0] if known else "0"
        options = ("--scenario", order.scenario_file, *self._set)
        pace = ("--speed", "lockstep", "--hold-at", "0")
        more = ("--seed", str(order.seed), "--minutes", f"{order.minutes:g}", "--port", port)
        await self._start("plant", start_plant(order.run, order.line_file, *options, *pace, *more))

    @property
    def _set(self) -> tuple[str | Path, ...]:
        file = self.order.set_file
        return () if file is None else ("--product-set", file)

    async def _start(self, name: str, child: Child) -> Listening:
        self._children[name] = child
        return await asyncio.to_thread(child.wait_listening, self.order.run, _READY_S)

    async def _kill(self) -> None:
        """``kill -9`` of the plant."""
        self.status.phase = Phase.RESTARTING
        self.status.note("plant killed")
        plant = self._children.pop("plant")
        await asyncio.to_thread(plant.kill)

    # Desks

    @asynccontextmanager
    async def _at_controller(self) -> AsyncIterator[ControllerDesk]:
        run = self.order.run
        found = run.listening("controller")
        if found is None:
            raise ChildFailed("the controller does not listen")
        password = read_password(run.secrets / f"{USER}.password")
        async with at_controller(found.endpoint, self.order.party, USER, password) as desk:
            yield desk

    @asynccontextmanager
    async def _at_plant(self) -> AsyncIterator[Operator]:
        run = self.order.run
        found = run.listening("plant")
        if found is None:
            raise ChildFailed("the plant does not listen")
        password = read_password(run.secrets / f"{USER}.password")
        async with at_plant(found.endpoint, self.order.party, USER, password) as desk:
            yield Operator(self.order.line, desk, self.status)
