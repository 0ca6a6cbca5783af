"""The controller's process: waits for the plant, runs the cycles, carries out what they decide.

One asyncio loop holds the link, the operators' server and the clock; cycles run in one thread of
their own (solvers release the interpreter lock), records are written there too while the plant
goes on. When the plant is lost, a cycle without data runs at once, so that control is shed, and a
fresh connection is tried with growing pauses; operators then find ADVISORY on offer again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from controller.advice_orders import CarryOut
from controller.config import LinkConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState, TargetRequest
from controller.data import CycleRecord, Mode
from controller.link.client import LinkError, LinkLost, LinkRefused, PlantLink, Progress
from controller.link.reader import PlantReader
from controller.reload import product_change
from controller.supervision.findings import LinkStatus
from controller.supervision.gate import OperatorPort, WriteGate
from controller.supervision.modes import ModeRequest
from plant_models.signals import Clock, Snapshot, is_good

__all__ = ["Recorder", "Runtime", "View"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_GRANTED, _DONE = "granted", "done"
_ANSWER_WITHIN_S, _MOST_ASKED = 15.0, 100
# Share of a period that solving may take, so that the command is younger than the plant demands.
_SOLVING_SHARE = 0.5


class Recorder(Protocol):
    """Where cycles go; used from one thread only."""

    def append(self, output: CycleOutput, record: CycleRecord | None = None) -> None:
        """Keep a cycle."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class View(Protocol):
    """Where operators see the controller."""

    async def publish(self, output: CycleOutput, link: str) -> None:
        """Show a cycle."""
        ...


@dataclass(slots=True)
class _Asked:
    """An operator's request, the answer that is waited for, and whether a cycle has heard it."""

    request: object
    answer: asyncio.Future[tuple[bool, str]]
    heard: bool = False


class Runtime:
    """One controller, from start to stop.

    Parameters
    ----------
    setup, state
        What the cycles run with, and where they begin.
    link
        Link to the plant, not yet connected.
    view
        Operators' view.
    recorder
        Makes the recorder; called in the thread that will use it.
    clock
        Clock.
    silent
        Whether nothing at all may be written now, not even our heartbeat: a standby.
    operator
        The way to the PLC's ``OperatorSet`` for accepted advice; without it operators enter moves.

    Attributes
    ----------
    overruns : int
        Cycles whose wall time exceeded their period.
    change : str
        Hash of a product set that was ordered, to load or to shadow; `run` ends with it.
    """

    def __init__(
        self,
        setup: CycleSetup,
        state: CycleState,
        link: PlantLink,
        view: View,
        recorder: Callable[[], Recorder],
        clock: Clock,
        silent: Callable[[], bool] = lambda: False,
        operator: OperatorPort | None = None,
    ) -> None:
        self._setup, self._state, self._clock, self._silent = setup, state, clock, silent
        self._link: PlantReader = link
        self._view, self._gate = view, WriteGate(link, operator)
        self._config: LinkConfig = setup.config.link
        self._period = float(setup.config.period_s)
        self._make_recorder = recorder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cycle")
        self._asked: list[_Asked] = []
        self._wake = asyncio.Event()
        self._progress: Progress | None = None
        self._refusal, self._trouble, self._lost = "", "", ""
        self._orders_done: list[str] = []
        self._solve_ms: float | None = None
        self._beat = state.epoch % 2**31
        self._recording: asyncio.Future[None] | None = None
        self.overruns = 0
        self.change = ""

    @property
    def mode(self) -> Mode:
        """Mode after the last cycle."""
        return self._state.mode

    @property
    def state(self) -> CycleState:
        """State after the last cycle."""
        return self._state

    # Operators

    async def ask(self, request: object) -> tuple[bool, str]:
        """Ask for anything that people may ask for; answered by the next cycles."""
        if len(self._asked) >= _MOST_ASKED:
            return False, f"{_MOST_ASKED} requests are waiting already: ask again in a while"
        asked = _Asked(request, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._wake.set()
        try:
            return await asyncio.wait_for(asked.answer, _ANSWER_WITHIN_S)
        except TimeoutError:
            return False, f"no answer within {_ANSWER_WITHIN_S:g} s"

    # Life

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set or a change is ordered, then leave in order."""
        loop = asyncio.get_running_loop()
        recorder = await loop.run_in_executor(self._pool, self._make_recorder)
        try:
            while not stop.is_set() and not self.change:
                if self._link.up:
                    await self._next(stop, recorder)
                else:
                    await self._reconnect(stop, recorder)
            await self._farewell()
        finally:
            await self._link.drop()
            await self._recorded()
            await loop.run_in_executor(self._pool, recorder.close)
            self._pool.shutdown()

    async def _next(self, stop: asyncio.Event, recorder: Recorder) -> None:
        """Wait until a cycle is due, and run it."""
        try:
            waited = await _unless(stop, self._link.next_cycle(self._progress, self._period))
            if waited is None:
                return
            self._progress = waited
            began = self._clock.monotonic()
            snapshot = await self._link.read()
        except LinkError as error:
            await self._lose(str(error), recorder)
            return
        read_ms = 1e3 * (self._clock.monotonic() - began)
        if snapshot.time < self._state.time:
            back = self._state.time - snapshot.time
            log.warning("plant time went back by %.0f s: what is remembered is of later data", back)
        await self._cycle(snapshot, recorder, read_ms=read_ms)
        if self._lost:
            await self._lose(self._lost, recorder)

    async def _lose(self, reason: str, recorder: Recorder) -> None:
        """The plant is gone: shed at once, throw the connection away."""
        log.warning("the plant is lost: %s", reason)
        self._lost = reason
        self._progress = None
        await self._cycle(None, recorder)
        await self._link.drop()

    async def _reconnect(self, stop: asyncio.Event, recorder: Recorder) -> None:
        """Try fresh connections with growing pauses; operators are answered meanwhile."""
        pause, last_cycle = self._config.reconnect_min_s, self._clock.monotonic()
        while not stop.is_set() and not self.change:
            try:
                if await _unless(stop, self._connect()):
                    self._lost = ""
                    return
            except LinkError as error:
                self._lost = str(error)
                log.log(
                    logging.ERROR if isinstance(error, LinkRefused) else logging.INFO,
                    "no connection: %s; again in %.2f s",
                    error,
                    pause,
                )
            await self._pause(stop, pause)
            pause = min(2.0 * pause, self._config.reconnect_max_s)
            silent = self._clock.monotonic() - last_cycle > self._period
            if self._asked or silent:
                last_cycle = self._clock.monotonic()
                await self._cycle(None, recorder)

    async def _connect(self) -> bool:
        await self._link.connect()
        return True

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait; an operator's request or the end cuts it short."""
        self._wake.clear()
        if self._asked:
            return
        waits = [asyncio.ensure_future(e.wait()) for e in (stop, self._wake)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _farewell(self) -> None:
        """Tell the plant that nobody controls any more; its watchdog does the rest."""
        if not self._link.up or self._silent():
            return
        try:
            await self._gate.beat(self._beat, Mode.OFF)
        except LinkError as error:
            log.info("the plant does not hear the farewell: %s", error)

    # A cycle

    async def _cycle(
        self, snapshot: Snapshot | None, recorder: Recorder, *, read_ms: float = 0.0
    ) -> None:
        loop, began = asyncio.get_running_loop(), self._clock.monotonic()
        inputs = self._inputs(snapshot)
        self._refusal = self._trouble = ""
        self._orders_done = []
        await self._recorded()
        output = await loop.run_in_executor(self._pool, self._decide, inputs)
        self._state = output.state
        self._solve_ms = output.record.wall_ms.get("think")
        decided = self._clock.monotonic()
        if snapshot is not None:
            await self._act(output)
        now = self._clock.monotonic()
        wall_ms = {
            **output.record.wall_ms,
            "read": read_ms,
            "write": 1e3 * (now - decided),
            "total": read_ms + 1e3 * (now - began),
        }
        self.overruns += wall_ms["total"] > 1e3 * self._period_wall()
        record = replace(output.record, wall_ms=wall_ms)
        self._recording = loop.run_in_executor(
            self._pool, self._afterwards, recorder, output, record
        )
        for transition in output.transitions:
            log.info("%s -> %s: %s", transition.before, transition.after, transition.reason)
        await self._view.publish(replace(output, record=record), self._lost or "connected")
        self._answer(output)
        self.change = product_change(output.state, self._setup)

    def _inputs(self, snapshot: Snapshot | None) -> CycleInputs:
        new = [a for a in self._asked if not a.heard]
        for asked in new:
            asked.heard = True
        return CycleInputs(
            snapshot=snapshot,
            requests=tuple(a.request for a in new if isinstance(a.request, ModeRequest)),
            target_requests=tuple(a.request for a in new if isinstance(a.request, TargetRequest)),
            operator_requests=tuple(
                a.request for a in new if not isinstance(a.request, (ModeRequest, TargetRequest))
            ),
            orders_done=tuple(self._orders_done),
            solve_ms=self._solve_ms,
            link=LinkStatus(
                connected=snapshot is not None,
                alive=snapshot is not None,
                note=self._lost,
                disagreements=self._link.disagreements,
                certificates=self._link.certificates,
            ),
            refusal=self._refusal,
            write_trouble=self._trouble,
            deadline_s=_SOLVING_SHARE * self._period_wall(),
        )

    def _period_wall(self) -> float:
        """Wall time of one period at the plant's speed [s]; in lock-step as in real time."""
        speed = self._progress.speed if self._progress is not None else 1.0
        return self._period / speed if speed > 0.0 else self._period

    def _decide(self, inputs: CycleInputs) -> CycleOutput:
        return run_cycle(inputs, self._state, self._setup, self._clock.monotonic)

    def _afterwards(self, recorder: Recorder, output: CycleOutput, record: CycleRecord) -> None:
        """What has time until the next cycle."""
        self._setup.brain.prepare(output.state.brain)
        recorder.append(output, record)

    async def _act(self, output: CycleOutput) -> None:
        """Send the command, ask for control if wanted, and end the cycle with our heartbeat."""
        if self._silent():
            return
        try:
            codes = await self._gate.send(output.command, output.authority)
            refused = [tag for tag, code in codes.items() if not is_good(code)]
            self._trouble = f"not written: {', '.join(refused)}" if refused else ""
            if output.request_control is not None:
                await self._request_control(output, output.request_control)
            for out in output.orders:
                await self._order(out)
            self._beat += 1
            await self._gate.beat(self._beat, output.state.mode)
        except LinkLost as error:
            self._lost = str(error)
        except LinkError as error:
            self._trouble = str(error)

    async def _order(self, out: CarryOut) -> None:
        """Carry out accepted advice in the operator's name, and tell him how it ended."""
        text = await self._gate.order(out.order)
        said = f"{out.order.mv} to {out.order.value:.6g}: {text}"
        log.info("%s, %s: %s", out.order.user, out.order.reason, said)
        self._orders_done.append(said)
        for asked in self._asked:
            if asked.request is out.request and not asked.answer.done():
                asked.answer.set_result((text == _DONE, said))

    async def _request_control(self, output: CycleOutput, structure: str) -> None:
        answer = await self._link.request_control(
            structure, output.state.epoch, output.state.supervision.cause
        )
        self._refusal = "" if answer == _GRANTED else answer
        log.info("control in %s asked for: %s", structure, answer)

    async def _recorded(self) -> None:
        """Wait until the last cycle is on record; a recorder that fails ends the controller."""
        recording, self._recording = self._recording, None
        if recording is not None:
            await recording

    def _answer(self, output: CycleOutput) -> None:
        """Tell those who asked."""
        for asked in self._asked:
            if asked.answer.done():
                continue
            request = asked.request
            for target in output.target_answers:
                if target.request is request:
                    asked.answer.set_result((target.accepted, target.text))
            for answered in output.operator_answers:
                if answered.request is request:
                    asked.answer.set_result((answered.accepted, answered.text))
            for answer in output.answers:
                if answer.request is request and answer.accepted is not None:
                    asked.answer.set_result((answer.accepted, answer.text))
        self._asked = [a for a in self._asked if not a.answer.done()]


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Result of ``work``, or None if ``stop`` is set before; then it is cancelled."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
