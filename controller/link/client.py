"""Link to the plant: a fresh OPC UA client per connection, batched reads and writes, a watchdog.

A cycle is one Read, one Write of the frame and one of the heartbeat. Every call has its own
deadline; an old move is never sent again. What goes wrong::

    LinkError
    ├── LinkLost        the connection or an answer is gone: throw the client away, connect anew
    ├── LinkRefused     the server does not want us: certificate, password or policy
    └── WriteTimeout    no answer to a write: it may still be executed, and is never repeated
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from controller.config import LinkConfig
from controller.link.agreement import disagreements
from controller.link.tagmap import TagMapConfig
from controller.link.wire import payload, seconds, string_id, variant
from plant_models.signals import (
    CONTROLLER_URI,
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

_CLOSE_S = 1.0
_POLL_S = 0.002
_LONGEST_POLL_S = 0.25
_SESSION_MS = 10_000  # a session that its client has lost is soon released by the server
_TCP_USER_TIMEOUT_MS = 2_000
# Below this the scheduling of a shared computer would look like a dead plant.
_SHORTEST_SILENCE_S = 0.5

_REFUSALS = (
    ua.uaerrors.BadUserAccessDenied,
    ua.uaerrors.BadIdentityTokenRejected,
    ua.uaerrors.BadIdentityTokenInvalid,
    ua.uaerrors.BadCertificateUntrusted,
    ua.uaerrors.BadCertificateInvalid,
    ua.uaerrors.BadCertificateTimeInvalid,
    ua.uaerrors.BadSecurityChecksFailed,
    ua.uaerrors.BadSecurityPolicyRejected,
)


class LinkError(Exception):
    """Something is wrong with the link to the plant."""


class LinkLost(LinkError):
    """The connection, or the answer to a request, is gone."""


class LinkRefused(LinkError):
    """The server does not accept our certificate, password or security policy."""


class WriteTimeout(LinkError):
    """A write was not answered in time. It may be executed all the same, even seconds later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are and whom we expect; ``server_certificate`` is pinned.

    Without a certificate the channel is not secured (loopback tests with an explicit setting).
    """

    user: str
    password: str
    certificate: Path | None
    private_key: Path | None
    server_certificate: Path | None
    application_uri: str = CONTROLLER_URI


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
        client = Client(
            self._endpoint,
            timeout=self._config.connect_timeout_s,
            watchdog_intervall=1.0,
            auto_reconnect=False,
        )
        try:
            await self._secure(client)
            await asyncio.wait_for(client.connect(), self._config.connect_timeout_s)
            self._client = client
            _fail_early(client)
            await self._resolve(client)
        except _REFUSALS as error:
            await self.drop()
            raise LinkRefused(f"{self._endpoint}: {error}") from error
        except (OSError, TimeoutError, ua.UaError, asyncio.CancelledError) as error:
            self._client = client
            await self.drop()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LinkLost(f"{self._endpoint}: {_words(error)}") from error
        self.connections += 1
        log.info("connected to %s (connection %d)", self._endpoint, self.connections)

    async def _secure(self, client: Client) -> None:
        who = self._credentials
        client.application_uri = who.application_uri
        client.session_timeout = _SESSION_MS
        client.set_user(who.user)
        client.set_password(who.password)
        if who.certificate is None or who.private_key is None:
            log.warning("the channel to %s is not secured", self._endpoint)
            return
        if who.server_certificate is None:
            raise LinkRefused(f"{self._endpoint}: no pinned certificate of the server")
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=who.certificate,
            private_key=who.private_key,
            server_certificate=who.server_certificate.read_bytes(),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )

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
        if client is None:
            return
        try:
            await asyncio.wait_for(client.disconnect(), _CLOSE_S)
        except (OSError, TimeoutError, ua.UaError) as error:
            log.debug("closing: %s", _words(error))
        protocol = client.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()

    async def _within(self, limit_s: float, call: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await asyncio.wait_for(call, limit_s)
        except (OSError, TimeoutError, ua.UaError) as error:
            raise LinkLost(_words(error)) from error

    def _connected(self) -> Client:
        if self._client is None:
            raise LinkLost("there is no connection")
        return self._client

    # Reading

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
                return _snapshot(values)
        raise LinkLost("the plant scans faster than a read takes")

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


def _words(error: BaseException) -> str:
    return str(error) or {"TimeoutError": "no answer in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _fail_early(client: Client) -> None:
    """Let the kernel give up on unacknowledged data after 2 s (Linux)."""
    protocol = client.uaclient.protocol
    transport = protocol.transport if protocol is not None else None
    raw = transport.get_extra_info("socket") if transport is not None else None
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
