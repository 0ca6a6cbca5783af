"""A person at an OPC UA server: a secured session of one user, with methods and values by path."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from hil.hold import HOLD_AT, HOLDING_AT
from plant_models.signals import CONTROLLER_URI, PLANT_URI, PLC
from tools.pki import Party

__all__ = ["ControllerDesk", "Desk", "PersonRefused", "PlantDesk", "at_controller", "at_plant"]

_TIMEOUT_S = 20.0
_SESSION_MS = 30_000


class PersonRefused(Exception):
    """The server does not accept this person, or does not answer."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An open session; node ids are string ids in ``namespace``."""

    client: Client
    namespace: int

    def _node(self, path: str) -> ua.NodeId:
        return ua.NodeId(ua.String(path), ua.Int16(self.namespace))

    async def read(self, paths: Sequence[str]) -> list[Any]:
        """Values in one Read; None where the status is bad."""
        nodes = [self._node(p) for p in paths]
        data = await self.client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
        return [d.Value.Value if d.Value is not None else None for d in data]

    async def call(self, method: str, *arguments: ua.Variant) -> list[Any]:
        """Call a method; raises `PersonRefused` if it may not or cannot be called."""
        request = ua.CallMethodRequest(
            ObjectId=self._node(method.rpartition("/")[0]),
            MethodId=self._node(method),
            InputArguments=list(arguments),
        )
        (result,) = await self.client.uaclient.session.call([request])
        if not result.StatusCode.is_good():
            raise PersonRefused(f"{method}: {result.StatusCode.name}")
        return [v.Value for v in result.OutputArguments]


def _text(value: str) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.String)


def _number(value: float) -> ua.Variant:
    return ua.Variant(float(value), ua.VariantType.Double)


class ControllerDesk(Desk):
    """At the controller."""

    async def request_mode(self, mode: str, reason: str) -> tuple[bool, str]:
        """Ask for a mode: accepted or not, and a sentence."""
        accepted, text = await self.call("Controller/RequestMode", _text(mode), _text(reason))
        return bool(accepted), str(text)

    async def request_target(self, variable: str, value: float, reason: str) -> tuple[bool, str]:
        """Set a target in its plant unit (% of label, mg, MPa, kg/h)."""
        accepted, text = await self.call(
            "Controller/RequestTarget", _text(variable), _number(value), _text(reason)
        )
        return bool(accepted), str(text)

    async def answer_advice(self, action: str, number: int, reason: str) -> tuple[bool, str]:
        """Accept, reject, hold or release an advice by its id."""
        method = f"Controller/{action.capitalize()}Advice"
        wanted = ua.Variant(number, ua.VariantType.Int64)
        accepted, text = await self.call(method, wanted, _text(reason))
        return bool(accepted), str(text)

    async def advice(self) -> list[dict[str, Any]]:
        """The advice in force, as `AdviceState.as_json` shows it."""
        (held,) = await self.read(["Controller/Advice/List"])
        found: list[dict[str, Any]] = json.loads(held) if held else []
        return found

    async def set_service(self, kind: str, name: str, on: bool, reason: str) -> tuple[bool, str]:
        """Take an MV, a CV or a unit into service, or out of it."""
        switch = ua.Variant(on, ua.VariantType.Boolean)
        accepted, text = await self.call(
            "Controller/SetService", _text(kind), _text(name), switch, _text(reason)
        )
        return bool(accepted), str(text)

    async def set_limits(
        self, mv: str, low: float | None, high: float | None, reason: str
    ) -> tuple[bool, str]:
        """Narrow the range of an MV, in its plant unit; None and None clear the limits."""
        if low is None or high is None:
            accepted, text = await self.call("Controller/ClearLimit", _text(mv), _text(reason))
        else:
            accepted, text = await self.call(
                "Controller/SetLimit", _text(mv), _number(low), _number(high), _text(reason)
            )
        return bool(accepted), str(text)

    async def answer_alarm(
        self, method: str, alarm: str, reason: str, minutes: float | None = None
    ) -> tuple[bool, str]:
        """Acknowledge an alarm, shelve it for ``minutes``, and so on, by the method's name."""
        time = () if minutes is None else (_number(minutes),)
        accepted, text = await self.call(f"Controller/{method}", _text(alarm), *time, _text(reason))
        return bool(accepted), str(text)

    async def alarms(self) -> list[str]:
        """The alarms that are shown, the newest first."""
        (held,) = await self.read(["Controller/Alarms/List"])
        return [str(line) for line in held or ()]

    async def readiness(self) -> dict[str, Any] | None:
        """The readiness report, as `ReadinessReport.as_json` shows it; None if there is none."""
        (held,) = await self.read(["Controller/Readiness/Report"])
        found: dict[str, Any] | None = json.loads(held) if held else None
        return found

    async def state(self) -> tuple[str, str, int, datetime | None]:
        """Mode, state of the link, cycle number, plant time."""
        names = ("Mode", "Link", "Cycle", "PlantTime")
        mode, link, cycle, time = await self.read([f"Controller/{n}" for n in names])
        return str(mode), str(link), int(cycle or 0), time


class PlantDesk(Desk):
    """At the PLC."""

    async def operator_set(self, mv: str, value: float, reason: str) -> str:
        """Change a set point in LOCAL: ``done``, or why not."""
        (answer,) = await self.call(PLC.OPERATOR_SET, _text(mv), _number(value), _text(reason))
        return str(answer)

    async def line_command(self, command: str, reason: str) -> str:
        """Start, hold, restart, stop, abort or clear: ``done``, or why not."""
        (answer,) = await self.call(PLC.LINE_COMMAND, _text(command), _text(reason))
        return str(answer)

    async def load_recipe(self, recipe: str, cleaning: str, reason: str) -> str:
        """Load a recipe after a cleaning (`hil.cleaning.CLEANING`): ``done``, or why not."""
        (answer,) = await self.call(PLC.LOAD_RECIPE, _text(recipe), _text(cleaning), _text(reason))
        return str(answer)

    async def set_local(self, mv: str, local: bool, reason: str) -> str:
        """Keep a set point from the controller, or give it back: ``done``, or why not."""
        keep = ua.Variant(local, ua.VariantType.Boolean)
        (answer,) = await self.call(PLC.SET_LOCAL, _text(mv), keep, _text(reason))
        return str(answer)

    async def hold_at(self, second: int) -> None:
        """In lock-step: let the simulated plant go on and wait at plant second ``second``."""
        await self.call(HOLD_AT, ua.Variant(second, ua.VariantType.Int64))

    async def held_at(self) -> int:
        """Plant second at which lock-step waits, -1 while it does not."""
        (second,) = await self.read([HOLDING_AT])
        return int(second)


@asynccontextmanager
async def _session(
    endpoint: str, party: Party, server: str, user: str, password: str
) -> AsyncIterator[Client]:
    client = Client(endpoint, timeout=_TIMEOUT_S)
    client.application_uri = party.uri
    client.session_timeout = _SESSION_MS
    client.set_user(user)
    client.set_password(password)
    try:
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            party.certificate,
            party.private_key,
            server_certificate=party.certificate_of(server).read_bytes(),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        await client.connect()
    except (OSError, TimeoutError, ua.UaError) as error:
        raise PersonRefused(f"{endpoint}: {error}") from error
    try:
        yield client
    finally:
        await client.disconnect()


@asynccontextmanager
async def at_controller(
    endpoint: str, party: Party, user: str, password: str
) -> AsyncIterator[ControllerDesk]:
    """A session at the controller. Raises `PersonRefused`."""
    async with _session(endpoint, party, "controller", user, password) as client:
        yield ControllerDesk(client, await client.get_namespace_index(CONTROLLER_URI))


@asynccontextmanager
async def at_plant(
    endpoint: str, party: Party, user: str, password: str
) -> AsyncIterator[PlantDesk]:
    """A session at the plant. Raises `PersonRefused`."""
    async with _session(endpoint, party, "plant", user, password) as client:
        yield PlantDesk(client, await client.get_namespace_index(PLANT_URI))
