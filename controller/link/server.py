"""The controller's own OPC UA server: mode, permissives, and the methods of its operators.

Namespace ``urn:twinline:controller``, everything below the object ``Controller``, read-only;
requests are method calls, their user and role are those of the session. The secured server itself
is handed in: who may connect is not the business of this module.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol, cast

from asyncua import Node, ua

from controller.cycle_data import CycleOutput, TargetRequest
from controller.data import CV, Mode
from controller.link.wire import string_id
from controller.supervision.modes import ModeRequest
from plant_models.signals import CONTROLLER_URI
from plant_models.units import LABEL_PERCENT, to_si

__all__ = ["TARGET_UNITS", "OperatorServer", "Person", "Requests", "SecuredServer"]

log = logging.getLogger(__name__)

# Units in which operators give targets.
TARGET_UNITS: dict[CV, str] = {
    CV.POTENCY: LABEL_PERCENT,
    CV.TABLET_WEIGHT: "mg",
    CV.TENSILE_STRENGTH: "MPa",
    CV.THROUGHPUT: "kg/h",
}

_ROOT = "Controller"

Shown = float | int | bool | str | datetime


class Person(Protocol):
    """Who calls, from the authenticated session."""

    @property
    def user(self) -> str:
        """User name."""
        ...

    @property
    def role(self) -> str:
        """Role of the user."""
        ...


class SecuredServer(Protocol):
    """What this module needs of an OPC UA server that checks certificates and passwords."""

    @property
    def port(self) -> int:
        """Port listened on."""
        ...

    async def prepare(self, *, uri: str, name: str, host: str, port: int, path: str) -> int:
        """Load address space and keys; return the index of our namespace."""
        ...

    async def start(self) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """Stop listening."""
        ...

    def get_objects_node(self) -> Node:
        """The folder of all objects."""
        ...

    def allow_call(self, method: ua.NodeId, roles: Iterable[str]) -> None:
        """Let users in ``roles`` call ``method``."""
        ...


class Requests(Protocol):
    """Who answers operators: accepted or not, and a sentence."""

    async def ask_mode(self, request: ModeRequest) -> tuple[bool, str]:
        """Ask for a mode."""
        ...

    async def ask_target(self, request: TargetRequest) -> tuple[bool, str]:
        """Ask for a target."""
        ...


class OperatorServer:
    """Shows the controller to operators and takes their requests."""

    def __init__(
        self,
        server: SecuredServer,
        caller: Callable[[], Person],
        roles: Iterable[str],
        *,
        host: str,
        port: int,
    ) -> None:
        self._server, self._caller, self._roles = server, caller, tuple(roles)
        self._host, self._port, self._namespace = host, port, 0
        self._nodes: dict[str, tuple[Node, Shown]] = {}
        self._objects: dict[str, Node] = {}

    @property
    def endpoint(self) -> str:
        """Where operators connect to."""
        return f"opc.tcp://{self._host}:{self._server.port}/twinline/controller"

    async def start(self, requests: Requests) -> None:
        """Build the nodes and listen."""
        self._namespace = await self._server.prepare(
            uri=CONTROLLER_URI,
            name="twinline controller",
            host=self._host,
            port=self._port,
            path="twinline/controller",
        )
        await self._object(_ROOT)
        text, number = ua.VariantType.String, ua.VariantType.Double

        async def mode(_: ua.NodeId, wanted: ua.Variant, reason: ua.Variant) -> list[ua.Variant]:
            return await self._request_mode(requests, str(wanted.Value), str(reason.Value))

        async def target(
            _: ua.NodeId, variable: ua.Variant, value: ua.Variant, reason: ua.Variant
        ) -> list[ua.Variant]:
            return await self._request_target(
                requests, str(variable.Value), _number(value), str(reason.Value)
            )

        await self._method("RequestMode", mode, {"mode": text, "reason": text})
        await self._method(
            "RequestTarget", target, {"variable": text, "value": number, "reason": text}
        )
        await self.show({"Mode": str(Mode.OFF), "Link": "", "Cycle": 0, "Cause": ""})
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()

    # Requests

    async def _request_mode(self, requests: Requests, wanted: str, reason: str) -> list[ua.Variant]:
        who = self._caller()
        if wanted not in Mode.__members__:
            return _answer(False, f"{wanted!r} is no mode; one of {', '.join(Mode)}")
        request = ModeRequest(mode=Mode(wanted), user=who.user, role=who.role, reason=reason)
        accepted, text = await requests.ask_mode(request)
        log.info("%s asks for %s (%s): %s", who.user, wanted, reason, text)
        return _answer(accepted, text)

    async def _request_target(
        self, requests: Requests, variable: str, value: float, reason: str
    ) -> list[ua.Variant]:
        who = self._caller()
        if variable not in TARGET_UNITS:
            return _answer(False, f"{variable!r} has no target; one of {', '.join(TARGET_UNITS)}")
        unit = TARGET_UNITS[CV(variable)]
        request = TargetRequest(
            variable=variable,
            value=to_si(value, unit),
            user=who.user,
            role=who.role,
            reason=reason,
        )
        accepted, text = await requests.ask_target(request)
        log.info("%s sets %s to %g %s (%s): %s", who.user, variable, value, unit, reason, text)
        return _answer(accepted, text)

    # Nodes

    async def publish(self, output: CycleOutput, link: str) -> None:
        """Show what a cycle has decided."""
        state = output.state.supervision
        values: dict[str, Shown] = {
            "Mode": str(state.mode),
            "Cause": state.cause,
            "Since": _time(state.since),
            "PlantTime": _time(output.record.time),
            "Cycle": output.state.cycle,
            "Link": link,
            "WriteReasons": "; ".join(output.command.reasons),
        }
        for permissive in output.permissives:
            path = f"Permissives/{_slug(permissive.name)}"
            values[f"{path}/State"] = permissive.good
            values[f"{path}/Text"] = permissive.text
            values[f"{path}/Since"] = _time(permissive.since)
        for variable, unit in TARGET_UNITS.items():
            target = output.state.targets.set_points.get(variable.value)
            if target is not None:
                values[f"Targets/{variable.value}"] = target / to_si(1.0, unit)
        await self.show(values)

    async def show(self, values: dict[str, Shown]) -> None:
        """Write the values that have changed; a node is made when it is first shown."""
        for path, value in values.items():
            known = self._nodes.get(path)
            if known is not None and known[1] == value:
                continue
            variant = _variant(value)
            if known is None:
                node = await self._variable(f"{_ROOT}/{path}", variant)
            else:
                node = known[0]
                await node.write_value(variant)
            self._nodes[path] = (node, value)

    async def _object(self, path: str) -> Node:
        if path in self._objects:
            return self._objects[path]
        above, _, name = path.rpartition("/")
        parent = await self._object(above) if above else self._server.get_objects_node()
        made = await parent.add_object(
            string_id(path, self._namespace), ua.QualifiedName(name, ua.UInt16(self._namespace))
        )
        self._objects[path] = made
        return made

    async def _variable(self, path: str, variant: ua.Variant) -> Node:
        above, _, name = path.rpartition("/")
        parent = await self._object(above)
        return await parent.add_variable(
            string_id(path, self._namespace),
            ua.QualifiedName(name, ua.UInt16(self._namespace)),
            variant,
        )

    async def _method(
        self,
        name: str,
        called: Callable[..., Awaitable[list[ua.Variant]]],
        inputs: dict[str, ua.VariantType],
    ) -> None:
        parent = await self._object(_ROOT)
        outputs = {"accepted": ua.VariantType.Boolean, "answer": ua.VariantType.String}
        method = await parent.add_method(
            string_id(f"{_ROOT}/{name}", self._namespace),
            ua.QualifiedName(name, ua.UInt16(self._namespace)),
            called,
            [_argument(n, t) for n, t in inputs.items()],
            [_argument(n, t) for n, t in outputs.items()],
        )
        self._server.allow_call(method.nodeid, self._roles)


def _slug(name: str) -> str:
    """``plant heartbeat`` -> ``PlantHeartbeat``."""
    letters = "".join(c if c.isalnum() else " " for c in name.replace("'s", ""))
    return "".join(word[:1].upper() + word[1:] for word in letters.split())


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _number(variant: ua.Variant) -> float:
    value: float = variant.Value
    return value


def _argument(name: str, kind: ua.VariantType) -> ua.Argument:
    return ua.Argument(
        Name=ua.String(name), DataType=ua.NodeId(ua.Int32(kind.value)), ValueRank=ua.Int32(-1)
    )


def _variant(value: Shown) -> ua.Variant:
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int64)
    if isinstance(value, float):
        return ua.Variant(value, ua.VariantType.Double)
    if isinstance(value, str):
        return ua.Variant(value, ua.VariantType.String)
    return ua.Variant(cast(ua.DateTime, value), ua.VariantType.DateTime)


def _answer(accepted: bool, text: str) -> list[ua.Variant]:
    return [ua.Variant(accepted, ua.VariantType.Boolean), ua.Variant(text, ua.VariantType.String)]
