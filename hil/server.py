"""The plant behind OPC UA: reads, whole Write calls, methods and the passing of time.

Carries the plant's rules, makes none: every Write call reaches the plant as one batch, every
method with the caller's session and user. In lock-step the plant advances one control period when
``Line/APC/HB`` changes, after the answer to that Write has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asyncua import Node, ua

from hil.access import ROLES, may_call, may_write, value_refused
from hil.address_space import AddressSpace
from hil.clock import LOCKSTEP, Pace
from hil.hardening import Caller, HardenedServer, ServerSecurity, caller
from hil.hold import HOLD_AT, HOLDING_AT, Hold
from hil.wire import numeric_id, payload_of, status, variant_type
from plant_models.signals import (
    APC,
    PLANT_URI,
    PLC,
    Clock,
    Payload,
    SignalTable,
    Value,
    Writer,
)

__all__ = ["PlantPort", "PlantServer", "ServeSettings"]

log = logging.getLogger(__name__)

# Seconds of plant time advanced before the network gets its turn again.
_LARGEST_STEP_S = 5


class PlantPort(Protocol):
    """What the server needs of a plant; `hil.plant.Plant` is one.

    ``speed`` is what ``PLC/SPEED`` shows; the server sets it.
    """

    speed: float

    @property
    def table(self) -> SignalTable:
        """The signal list."""
        ...

    def advance(self, seconds: int) -> None:
        """Let ``seconds`` of plant time pass."""
        ...

    def values(self) -> Mapping[str, Value]:
        """Every tag in its plant unit."""
        ...

    def write(self, session: str, writes: Mapping[str, Payload]) -> dict[str, int]:
        """Take one batch of writes; status code per tag."""
        ...

    def request_control(self, session: str, user: str, mode: str, epoch: int, reason: str) -> str:
        """Ask for the control lease; ``granted`` or why not."""
        ...

    def operator_set(self, user: str, mv: str, value: float, reason: str) -> str:
        """Change a set point in LOCAL."""
        ...

    def set_local(self, user: str, mv: str, local: bool, reason: str) -> str:
        """Take one manipulated variable from the controller, or give it back."""
        ...

    def line_command(self, user: str, command: str, reason: str) -> str:
        """Start, hold, restart, stop, abort or clear the line."""
        ...

    def load_recipe(self, user: str, recipe: str, cleaning: str, reason: str) -> str:
        """Load a recipe into the PLC after the cleaning that is stated."""
        ...

    def release_session(self, session: str) -> None:
        """A session has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where to listen and how time passes; ``speed`` 0 is lock-step.

    ``hold_at`` is the plant second at which lock-step first waits for people (`hil.hold`).
    """

    host: str = "127.0.0.1"
    port: int = 4840
    speed: float = 1.0
    control_period_s: int = 5
    hold_at: int | None = None


class PlantServer:
    """One plant on one OPC UA server."""

    def __init__(
        self, plant: PlantPort, settings: ServeSettings, security: ServerSecurity, clock: Clock
    ) -> None:
        self._plant, self._settings, self._clock = plant, settings, clock
        self._server = HardenedServer(security)
        self._space: AddressSpace | None = None
        self._beat = asyncio.Event()
        self._heartbeat: Payload = None
        self._values: Mapping[str, Value] = {}
        self._hold = Hold(settings.hold_at)
        self._holding_node: Node | None = None
        plant.speed = settings.speed
        lockstep = settings.speed == LOCKSTEP
        self.pace = None if lockstep else Pace(settings.speed, clock.monotonic())

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        return f"opc.tcp://{self._settings.host}:{self._server.port}/twinline/plant"

    async def start(self) -> None:
        """Build the address space and listen."""
        index = await self._server.prepare(
            uri=PLANT_URI,
            name="twinline plant",
            host=self._settings.host,
            port=self._settings.port,
            path="twinline/plant",
        )
        self._space = AddressSpace(self._server, self._plant.table, index)
        await self._space.build()
        await self._add_methods()
        await self._add_hold()
        self._server.on_write(self._write, self._may_write)
        self._server.on_release(self._plant.release_session)
        await self._publish()
        await self._server.start()
        if self.pace is not None:
            self.pace.anchor = self._clock.monotonic()

    async def stop(self) -> None:
        """Stop listening."""
        if self.pace is not None and self.pace.lost_s > 0.0:
            log.warning("too slow for its speed: %.0f plant seconds given up", self.pace.lost_s)
        await self._server.stop()

    async def run(self, stop: asyncio.Event) -> None:
        """Let time pass until ``stop`` is set."""
        while not stop.is_set():
            if self.pace is None:
                await self._wait(self._beat, stop, None)
                if self._beat.is_set():
                    self._beat.clear()
                    await self._people(stop)
                    if not stop.is_set():
                        await self._advance(self._settings.control_period_s)
                continue
            due = self.pace.due(self._clock.monotonic())
            if due:
                step = min(due, _LARGEST_STEP_S)
                await self._advance(step)
                self.pace.advanced(step)
                await asyncio.sleep(0.0)
            else:
                await self._wait(stop, stop, self.pace.wait(self._clock.monotonic()))

    @staticmethod
    async def _wait(event: asyncio.Event, stop: asyncio.Event, seconds: float | None) -> None:
        waits = {asyncio.ensure_future(e.wait()) for e in {event, stop}}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _people(self, stop: asyncio.Event) -> None:
        """Give people their turn if the plant is to be held here."""
        second = self._values[PLC.HB].value
        if isinstance(second, int) and self._hold.due(second):
            await self._holding(second)
            await self._hold.wait(second, stop)
            await self._holding(-1)

    async def _advance(self, seconds: int) -> None:
        self._plant.advance(seconds)
        await self._publish()

    async def _publish(self) -> None:
        if self._space is None:
            raise RuntimeError("the server has not been started")
        self._values = self._plant.values()
        await self._space.show_ranges(self._plant.table)
        await self._space.publish(self._values)

    # Writes

    async def _write(self, who: Caller, items: list[ua.WriteValue]) -> list[ua.StatusCode]:
        """One Write call: checked item by item, then given to the plant whole or not at all."""
        writes: dict[str, Payload] = {}
        verdicts: list[int] = []
        for item in items:
            verdict, tag = self._check(who, item)
            if tag in writes:
                verdict = ua.StatusCodes.BadInvalidArgument
            verdicts.append(verdict)
            if verdict == ua.StatusCodes.Good:
                writes[tag] = payload_of(item.Value.Value)
        if any(v != ua.StatusCodes.Good for v in verdicts):
            spoilt = ua.StatusCodes.BadInvalidState
            return [status(v if v != ua.StatusCodes.Good else spoilt) for v in verdicts]
        results = self._plant.write(who.session, writes)
        statuses = [status(results[tag]) for tag in writes]
        await self._publish()
        beat = writes.get(APC.HB)
        if beat is not None and beat != self._heartbeat and results[APC.HB] == ua.StatusCodes.Good:
            self._heartbeat = beat
            self._beat.set()
        return statuses

    def _may_write(self, node: ua.NodeId, role: str) -> bool:
        tag = self._space.tag_of(node) if self._space is not None else None
        return tag is not None and may_write(self._plant.table[tag], role)

    def _check(self, who: Caller, item: ua.WriteValue) -> tuple[int, str]:
        """Status code and tag of one item, before the plant sees it."""
        codes = ua.StatusCodes
        tag = self._space.tag_of(item.NodeId) if self._space is not None else None
        if tag is None:
            return codes.BadNodeIdUnknown, ""
        if item.AttributeId != ua.AttributeIds.Value or item.IndexRange:
            return codes.BadWriteNotSupported, tag
        signal = self._plant.table[tag]
        if signal.writer is not Writer.CONTROLLER:
            return codes.BadNotWritable, tag
        if not may_write(signal, who.role):
            return codes.BadUserAccessDenied, tag
        variant = item.Value.Value if item.Value is not None else None
        if variant is None or variant.VariantType is not variant_type(signal.data_type):
            return codes.BadTypeMismatch, tag
        if item.Value.StatusCode is not None and not item.Value.StatusCode.is_good():
            return codes.BadWriteNotSupported, tag
        if variant.is_array:
            return codes.BadTypeMismatch, tag
        refused = value_refused(tag, payload_of(variant))
        if refused:
            log.warning("%s wrote to %s what is %s: refused", who.user, tag, refused)
            return codes.BadOutOfRange, tag
        return codes.Good, tag

    # Methods

    async def _add_methods(self) -> None:
        text, number = ua.VariantType.String, ua.VariantType.Int64
        await self._add(
            PLC.REQUEST_CONTROL,
            lambda who, *a: self._plant.request_control(who.session, who.user, *a),
            {"mode": text, "epoch": number, "reason": text},
        )
        await self._add(
            PLC.OPERATOR_SET,
            lambda who, *a: self._plant.operator_set(who.user, *a),
            {"mv": text, "value": ua.VariantType.Double, "reason": text},
        )
        await self._add(
            PLC.SET_LOCAL,
            lambda who, *a: self._plant.set_local(who.user, *a),
            {"mv": text, "local": ua.VariantType.Boolean, "reason": text},
        )
        await self._add(
            PLC.LINE_COMMAND,
            lambda who, *a: self._plant.line_command(who.user, *a),
            {"command": text, "reason": text},
        )
        await self._add(
            PLC.LOAD_RECIPE,
            lambda who, *a: self._plant.load_recipe(who.user, *a),
            {"recipe": text, "cleaning": text, "reason": text},
        )

    async def _add_hold(self) -> None:
        """What is the simulator's alone, apart from the line: where lock-step waits for people."""
        if self._space is None:
            raise RuntimeError("build the address space first")
        above, _, name = HOLDING_AT.rpartition("/")
        line = self._server.get_node(self._space.node_id("Line"))
        index = line.nodeid.NamespaceIndex
        simulator = await line.add_object(
            self._space.node_id(above), ua.QualifiedName(above.rpartition("/")[2], index)
        )
        self._holding_node = await simulator.add_variable(
            self._space.node_id(HOLDING_AT), ua.QualifiedName(name, index), _whole(-1)
        )

        def hold_at(_: Caller, second: int) -> str:
            self._hold.move(second)
            return "done"

        await self._add(HOLD_AT, hold_at, {"second": ua.VariantType.Int64})

    async def _holding(self, second: int) -> None:
        """Show where the plant is held; -1 is nowhere."""
        if self._holding_node is not None:
            await self._holding_node.write_value(_whole(second))

    async def _add(
        self,
        path: str,
        act: Callable[..., str],
        inputs: Mapping[str, ua.VariantType],
    ) -> None:
        if self._space is None:
            raise RuntimeError("build the address space first")
        above, _, name = path.rpartition("/")

        async def called(_: ua.NodeId, *arguments: ua.Variant) -> list[ua.Variant]:
            who, given = caller(), [a.Value for a in arguments]
            answer = act(who, *given)
            log.info("%s(%s) by %s: %s", name, ", ".join(map(repr, given)), who.user, answer)
            await self._publish()
            return [ua.Variant(answer, ua.VariantType.String)]

        parent = self._server.get_node(self._space.node_id(above))
        node = await parent.add_method(
            self._space.node_id(path),
            ua.QualifiedName(name, parent.nodeid.NamespaceIndex),
            called,
            [_argument(n, t) for n, t in inputs.items()],
            [_argument("result", ua.VariantType.String)],
        )
        self._server.allow_call(node.nodeid, (role for role in ROLES if may_call(path, role)))


def _whole(number: int) -> ua.Variant:
    return ua.Variant(number, ua.VariantType.Int64)


def _argument(name: str, kind: ua.VariantType) -> Any:
    return ua.Argument(Name=name, DataType=numeric_id(kind.value), ValueRank=-1)
