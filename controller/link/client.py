"""Link to the plant: a fresh OPC UA client per connection, batched reads and writes, a watchdog.

A cycle is one Read, one Write of the frame and one of the heartbeat. Every call has its own
deadline; an old move is never sent again. When the files of our keys or of the plant's certificate
change, a new connection takes the place of the old one between two cycles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncua import Client, ua

from controller.config import LinkConfig
from controller.link.agreement import disagreements
from controller.link.errors import LinkError, LinkLost, LinkRefused, WriteTimeout
from controller.link.identity import Credentials, days_left
from controller.link.session import close_client, open_client, words
from controller.link.tagmap import TagMapConfig
from controller.link.wire import payload, seconds, string_id, variant
from plant_models.signals import (
    PLC,
    Clock,
    Payload,
    SignalTable,
    Snapshot,
    Value,
)

__all__ = [
    "Credentials",
    "LinkError",
    "LinkLost",
    "LinkRefused",
    "PlantLink",
    "Progress",
    "WriteTimeout",
]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_POLL_S = 0.002
_LONGEST_POLL_S = 0.25
# Below this the scheduling of a shared computer would look like a dead plant.
_SHORTEST_SILENCE_S = 0.5
# Pause after new keys that the plant did not accept.
_NEW_KEYS_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the plant is: scan counter, heartbeat [plant s], speed (0 is lock-step)."""

    scan_id: int
    heartbeat: int
    speed: float


class PlantLink:
    """Typed view of the plant's tags. Owns no control logic; not usable from two tasks at once."""

    def __init__(
        self,
        table: SignalTable,
        config: LinkConfig,
        credentials: Credentials,
        clock: Clock,
        *,
        endpoint: str | None = None,
        tagmap: TagMapConfig | None = None,
    ) -> None:
        self._table, self._config, self._clock = table, config, clock
        self._credentials = credentials
        self._tagmap = tagmap or TagMapConfig()
        self._endpoint = endpoint or config.endpoint
        self._client: Client | None = None
        self._namespace = 0
        self._tags = [PLC.SCAN_ID, *(s.tag for s in table if s.read_every_cycle), PLC.SCAN_ID]
        self._cycle = ua.ReadParameters()
        self._poll = ua.ReadParameters()
        self._files: tuple[float, ...] = ()
        self._new_keys_at = 0.0
        self._version = ""
        self.disagreements: tuple[str, ...] = ()
        self.connections = 0

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._client is not None

    # Connection

    async def connect(self) -> None:
        """One attempt with a fresh client. Raises `LinkLost` or `LinkRefused`."""
        await self.drop()
        self._client = await self._open()

    async def _open(self) -> Client:
        """A fresh client that knows the plant's tags, or nothing left of it."""
        files, limit_s = self._stamps(), self._config.connect_timeout_s
        client = await open_client(self._endpoint, self._credentials, limit_s, self._clock)
        try:
            await self._resolve(client)
        except (OSError, TimeoutError, ua.UaError) as error:
            await close_client(client)
            raise LinkLost(f"{self._endpoint}: {words(error)}") from error
        except (LinkError, asyncio.CancelledError):
            await close_client(client)
            raise
        self._files = files
        self.connections += 1
        log.info("connected to %s (connection %d)", self._endpoint, self.connections)
        return client

    @property
    def certificates(self) -> Mapping[str, float]:
        """Days left to each certificate that the link needs, by whose it is."""
        return days_left(self._credentials, self._clock.now())

    def _stamps(self) -> tuple[float, ...]:
        files = self._credentials.files()
        return tuple(f.stat().st_mtime if f.is_file() else 0.0 for f in files)

    async def _refresh(self) -> None:
        """If there are new keys, connect with them, then let the old connection go."""
        now = self._clock.monotonic()
        if self._client is None or now < self._new_keys_at or self._stamps() == self._files:
            return
        try:
            fresh = await self._open()
        except LinkError as error:
            self._new_keys_at = now + _NEW_KEYS_AGAIN_S
            log.error(
                "new keys, but no connection with them: %s; goes on with the old connection, "
                "again in %.0f s",
                error,
                _NEW_KEYS_AGAIN_S,
            )
            return
        old, self._client = self._client, fresh
        await close_client(old)
        log.info("the link to %s uses its new keys", self._endpoint)

    async def _resolve(self, client: Client) -> None:
        try:
            self._namespace = await client.get_namespace_index(self._tagmap.namespace)
        except ValueError as error:
            raise LinkLost(f"the server has no namespace {self._tagmap.namespace}") from error
        self._cycle = ua.ReadParameters(NodesToRead=[self._item(t) for t in self._tags])
        polled = (PLC.SCAN_ID, PLC.HB, PLC.SPEED)
        self._poll = ua.ReadParameters(NodesToRead=[self._item(t) for t in polled])
        found = await disagreements(client, self._table, self._tagmap, self._namespace)
        if found and found != self.disagreements:
            log.warning("the server disagrees with the signal list: %s", "; ".join(found[:10]))
        self.disagreements = found

    def _node(self, tag: str) -> ua.NodeId:
        return string_id(self._tagmap.node(tag), self._namespace)

    def _item(self, tag: str) -> ua.ReadValueId:
        return ua.ReadValueId(NodeId=self._node(tag), AttributeId=ua.AttributeIds.Value)

    async def drop(self) -> None:
        """Throw the client away, within a bounded time, whatever state it is in."""
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    async def _within(self, limit_s: float, call: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await asyncio.wait_for(call, limit_s)
        except (OSError, TimeoutError, ua.UaError) as error:
            raise LinkLost(words(error)) from error

    def _connected(self) -> Client:
        if self._client is None:
            raise LinkLost("there is no connection")
        return self._client

    # Reading

    async def look(self, *tags: str) -> Mapping[str, Value]:
        """A few tags in one Read, also while another task waits for the next cycle."""
        session = self._connected().uaclient.session
        wanted = ua.ReadParameters(NodesToRead=[self._item(t) for t in tags])
        data = await self._within(self._config.read_timeout_s, session.read(wanted))
        return {t: self._value(t, d) for t, d in zip(tags, data, strict=True)}

    async def read(self) -> Snapshot:
        """All tags of a cycle in one Read; again if a scan passed in between (foreign servers)."""
        for _ in range(3):
            session = self._connected().uaclient.session
            data = await self._within(self._config.read_timeout_s, session.read(self._cycle))
            values = {
                tag: self._value(tag, item) for tag, item in zip(self._tags, data, strict=True)
            }
            first = self._value(PLC.SCAN_ID, data[0])
            if first.value == values[PLC.SCAN_ID].value:
                await self._compare(values)
                return _snapshot(values)
        raise LinkLost("the plant scans faster than a read takes")

    async def _compare(self, values: Mapping[str, Value]) -> None:
        """Compare units and ranges again where the plant has loaded another recipe."""
        version = values[PLC.MODEL_VERSION].value
        if not isinstance(version, str) or version == self._version:
            return
        known, self._version = self._version, version
        if known:
            client = self._connected()
            call = disagreements(client, self._table, self._tagmap, self._namespace)
            self.disagreements = await self._within(self._config.connect_timeout_s, call)

    def _value(self, tag: str, data: ua.DataValue) -> Value:
        status = data.StatusCode.value if data.StatusCode is not None else 0
        stamp = data.SourceTimestamp or data.ServerTimestamp
        time = seconds(stamp) if stamp is not None else 0.0
        held = payload(data.Value, self._table[tag].data_type)
        if held is None and data.Value is not None and data.Value.Value is not None:
            return Value(None, int(ua.StatusCodes.BadTypeMismatch), time)
        return Value(self._tagmap.inwards(tag, held), int(status), time)

    async def progress(self, within_s: float | None = None) -> Progress:
        """How far the plant is, by a small Read."""
        session, limit_s = self._connected().uaclient.session, self._config.read_timeout_s
        if within_s is not None:
            limit_s = min(limit_s, within_s)
        data = await self._within(limit_s, session.read(self._poll))
        numbers: list[Any] = []
        for item in data:
            if item.StatusCode is not None and not item.StatusCode.is_good():
                raise LinkLost(f"the plant's counters are unreadable: {item.StatusCode.name}")
            numbers.append(item.Value.Value if item.Value is not None else None)
        if any(n is None for n in numbers):
            raise LinkLost("the plant's counters are unreadable")
        return Progress(int(numbers[0]), int(numbers[1]), float(numbers[2]))

    async def next_cycle(self, last: Progress | None, period_s: float) -> Progress:
        """Wait until ``period_s`` of plant time have passed since ``last``.

        Polls the plant's counters. Raises `LinkLost` if the heartbeat stands still for longer than
        one period divided by the plant's speed (in lock-step: a fixed wall time). A counter that
        went back is a plant that was restarted: the cycle is due.
        """
        await self._refresh()
        changed, seen = self._clock.monotonic(), last
        silence = None if last is None else self._silence_allowed(last.speed, period_s)
        while True:
            now = await self.progress(silence)
            if last is None or now.heartbeat < last.heartbeat:
                return now
            left = last.heartbeat + period_s - now.heartbeat
            if left <= 0.0 and now.scan_id != last.scan_id:
                return now
            wall = self._clock.monotonic()
            if seen is None or now.heartbeat != seen.heartbeat:
                changed, seen = wall, now
            silence = self._silence_allowed(now.speed, period_s)
            if wall - changed > silence:
                raise LinkLost(f"the plant's heartbeat stands still for {silence:.2f} s")
            await asyncio.sleep(self._pause(now.speed, left))

    def _silence_allowed(self, speed: float, period_s: float) -> float:
        if speed <= 0.0:
            return self._config.lockstep_silence_s
        return max(period_s / speed, _SHORTEST_SILENCE_S)

    @staticmethod
    def _pause(speed: float, left_s: float) -> float:
        if speed <= 0.0:
            return _POLL_S
        return min(max(0.5 * left_s / speed, _POLL_S), _LONGEST_POLL_S)

    # Writing

    async def write(self, writes: Mapping[str, Payload]) -> Mapping[str, int]:
        """All of ``writes`` in one service call; status code per tag.

        Raises `WriteTimeout` when no answer comes in time: it may have been executed all the same,
        and the plant's check of the echo is what protects it.
        """
        session = self._connected().uaclient.session
        items = []
        for tag, value in writes.items():
            sent = variant(self._tagmap.outwards(tag, value), self._table[tag].data_type)
            data = ua.DataValue(Value=sent, StatusCode=None)
            items.append(
                ua.WriteValue(NodeId=self._node(tag), AttributeId=ua.AttributeIds.Value, Value=data)
            )
        call = session.write(ua.WriteParameters(NodesToWrite=items))
        try:
            statuses = await self._within(self._config.write_timeout_s, call)
        except LinkLost as error:
            if isinstance(error.__cause__, TimeoutError):
                raise WriteTimeout("the plant did not answer a write in time") from error
            raise
        return {tag: int(s.value) for tag, s in zip(writes, statuses, strict=True)}

    async def request_control(self, mode: str, epoch: int, reason: str) -> str:
        """Ask the plant for the control lease; ``granted`` or its reason against it."""
        return await self.call(
            PLC.REQUEST_CONTROL,
            ua.Variant(mode, ua.VariantType.String),
            ua.Variant(epoch, ua.VariantType.Int64),
            ua.Variant(reason, ua.VariantType.String),
        )

    async def call(self, method: str, *arguments: ua.Variant) -> str:
        """Call a method of the plant that answers with a text."""
        session = self._connected().uaclient.session
        above = method.rpartition("/")[0]
        request = ua.CallMethodRequest(
            ObjectId=self._node(above),
            MethodId=self._node(method),
            InputArguments=list(arguments),
        )
        (result,) = await self._within(self._config.read_timeout_s, session.call([request]))
        if not result.StatusCode.is_good():
            return f"refused: {result.StatusCode.name}"
        return str(result.OutputArguments[0].Value)


def _snapshot(values: Mapping[str, Value]) -> Snapshot:
    time, scan = values.get(PLC.TIME), values[PLC.SCAN_ID]
    if not isinstance(scan.value, int) or time is None or not isinstance(time.value, (int, float)):
        raise LinkLost("the plant's time or scan counter is unreadable")
    return Snapshot(time=float(time.value), scan_id=scan.value, values=values)
