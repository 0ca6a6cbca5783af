"""The controller's own OPC UA server: everything it knows, and the methods of those who ask.

Namespace ``urn:twinline:controller``, everything below the object ``Controller``, read-only;
requests are method calls, their user and role are those of the session. Alarms are events, key
signals have a history. The secured server itself is handed in: who may connect is not the business
of this module. docs/opcua_server.md describes it for those who connect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from asyncua import Node, ua
from asyncua.server.internal_server import InternalServer

from controller.alarms.definitions import Definition
from controller.cycle_data import CycleOutput
from controller.data import Mode
from controller.link.server_conditions import Conditions
from controller.link.server_desk import Audit, Desk, Person, Requests
from controller.link.server_events import AlarmEvents
from controller.link.server_history import History, Ring, has_history
from controller.link.server_kpis import Kpis, count, kpi_values
from controller.link.server_methods import METHODS, Argument, Method
from controller.link.server_nodes import NEW_PER_CYCLE, ROOT, Tree
from controller.link.server_reports import report_values
from controller.link.server_standard import StandardMethods
from controller.link.server_values import Shown, values_of
from controller.link.wire import numeric_id, string_id
from controller.supervision.roles import allowed
from controller.supervision_config import SupervisionConfig
from plant_models.signals import CONTROLLER_URI, SignalTable

__all__ = ["OperatorServer", "Person", "Requests", "SecuredServer"]

log = logging.getLogger(__name__)

_NEW_AT_LEISURE = 150  # new nodes per cycle while nothing is controlled


class SecuredServer(Protocol):
    """What this module needs of an OPC UA server that checks certificates and passwords."""

    @property
    def port(self) -> int:
        """Port listened on."""
        ...

    @property
    def iserver(self) -> InternalServer:
        """The library's own server, with its address space."""
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

    def get_node(self, nodeid: ua.NodeId) -> Node:
        """A node."""
        ...

    def allow_call(self, method: ua.NodeId, roles: Iterable[str]) -> None:
        """Let users in ``roles`` call ``method``."""
        ...


class OperatorServer:
    """Shows the controller to people and other systems, and takes their requests.

    Parameters
    ----------
    server
        Secured server, not yet prepared.
    caller
        Who calls the method that runs now.
    supervision
        Which roles operate on this site.
    table
        Signal list: units of the manipulated variables.
    period_s
        Control period.
    host, port
        Where to listen; port 0 takes a free one.
    alarms
        The alarm list, by id.
    audit
        Who keeps what people asked, if anybody.
    """

    def __init__(
        self,
        server: SecuredServer,
        caller: Callable[[], Person],
        supervision: SupervisionConfig,
        table: SignalTable,
        *,
        period_s: float,
        host: str,
        port: int,
        alarms: Mapping[str, Definition] | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._server, self._caller, self._supervision = server, caller, supervision
        self._table, self._period, self._alarms = table, period_s, alarms or {}
        self._audit = audit
        self._host, self._port = host, port
        self._kpis, self._ring = Kpis(), Ring()
        self._more: dict[str, Shown] = {}
        self._tree: Tree | None = None
        self._events: AlarmEvents | None = None

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        return f"opc.tcp://{self._host}:{self._server.port}/twinline/controller"

    async def start(self, requests: Requests) -> None:
        """Build the nodes and listen."""
        namespace = await self._server.prepare(
            uri=CONTROLLER_URI,
            name="twinline controller",
            host=self._host,
            port=self._port,
            path="twinline/controller",
        )
        tree = self._tree = Tree(self._server, namespace, has_history)
        await History(self._server.iserver, self._ring, tree.path_of).announce()
        longest_s = 60.0 * self._supervision.alarms.shelve_max_minutes
        conditions = Conditions(self._server, tree, namespace, self._alarms, longest_s)
        events = self._events = AlarmEvents(self._server, tree, conditions, self._alarms)
        await events.start()
        desk = Desk(requests, self._caller, self._table, self._audit)
        for method in METHODS:
            await self._method(tree, namespace, desk, method)
        StandardMethods(
            self._server, desk, conditions, events, self._caller, self._supervision
        ).install()
        await tree.show({"Mode": str(Mode.OFF), "Link": "", "Cycle": 0, "Cause": ""}, 0.0)
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()

    async def show(self, values: Mapping[str, Shown], time: float) -> None:
        """Show more than cycles do, by path, from plant ``time`` [s, UTC] on until shown anew."""
        self._more |= values
        if self._tree is not None:
            await self._tree.show(values, time, partly=True)

    async def publish(self, output: CycleOutput, link: str) -> None:
        """Show what a cycle has decided.

        Control does not end because it cannot be shown: what goes wrong here is logged and shown.
        """
        try:
            await self._publish(output, link)
        except Exception as error:
            log.exception("cycle %d could not be shown", output.state.cycle)
            if self._tree is not None:
                trouble = f"{type(error).__name__}: {error}"
                await self._tree.show({"Trouble": trouble}, output.record.time, partly=True)

    async def _publish(self, output: CycleOutput, link: str) -> None:
        if self._tree is None or self._events is None:
            raise RuntimeError("the server has not been started; call start first")
        self._kpis = count(self._kpis, output, self._period)
        values = values_of(output, link, self._table)
        values |= report_values(output, self._table) | kpi_values(self._kpis)
        values |= self._more | {"Trouble": ""}
        time = output.record.time
        self._ring.add(values, time)
        new = NEW_PER_CYCLE if output.state.mode is Mode.CLOSED_LOOP else _NEW_AT_LEISURE
        await self._tree.show(values, time, new=new)
        if output.oversight is not None:
            o = output.oversight
            await self._events.send(o.alarm_events, o.alarms, time)

    # Methods

    async def _method(self, tree: Tree, namespace: int, desk: Desk, method: Method) -> None:
        async def called(_: ua.NodeId, *given: ua.Variant) -> list[ua.Variant]:
            accepted, text = await desk.call(method, *(g.Value for g in given))
            return [
                ua.Variant(accepted, ua.VariantType.Boolean),
                ua.Variant(text, ua.VariantType.String),
            ]

        outputs = (
            Argument("accepted", ua.VariantType.Boolean, "whether it is done or will be"),
            Argument("answer", ua.VariantType.String, "the outcome in a sentence"),
        )
        parent = self._server.get_node(await tree.object(""))
        made = await parent.add_method(
            string_id(f"{ROOT}/{method.name}", namespace),
            ua.QualifiedName(method.name, ua.UInt16(namespace)),
            called,
            [_argument(a) for a in method.arguments],
            [_argument(a) for a in outputs],
        )
        await made.write_attribute(
            ua.AttributeIds.Description,
            ua.DataValue(ua.Variant(ua.LocalizedText(method.text), ua.VariantType.LocalizedText)),
        )
        roles = [r for action in method.actions for r in allowed(action, self._supervision)]
        self._server.allow_call(made.nodeid, roles)


def _argument(given: Argument) -> ua.Argument:
    return ua.Argument(
        Name=ua.String(given.name),
        DataType=numeric_id(given.kind.value),
        ValueRank=ua.Int32(-1),
        Description=ua.LocalizedText(given.text),
    )
