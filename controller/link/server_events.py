"""Alarms as OPC UA events of a type derived from ``AlarmConditionType``.

A client that monitors events of ``Server``, ``Controller`` or ``Controller/Alarms`` is told of
every change of an alarm; one that comes later asks for those that are still of interest with
``ConditionRefresh``. What is missing of Alarms & Conditions is in docs/opcua_server.md.

Several changes of one alarm within a cycle are one event, the last: an event carries the whole
state of its condition. That bounds the events of a cycle by the number of alarms.

References
----------
[1] OPC 10000-9, OPC UA Part 9: Alarms and Conditions, 5.5 (conditions), 5.11.4 (refresh).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncua import Node, ua
from asyncua.common.event_objects import RefreshEndEvent, RefreshStartEvent
from asyncua.common.events import Event

from controller.alarms.definitions import Definition
from controller.alarms.engine import AlarmEvent, AlarmState
from controller.link.server_conditions import ALARMS, Conditions
from controller.link.server_fields import found
from controller.link.server_nodes import NodeServer, Tree
from controller.link.wire import numeric_id

__all__ = ["AlarmEvents"]


class AlarmEvents:
    """Sends events and remembers those that a refresh repeats.

    Parameters
    ----------
    server, tree
        The server, prepared; its tree.
    conditions
        The alarms as conditions: what an event carries.
    definitions
        The alarm list.
    """

    def __init__(
        self,
        server: NodeServer,
        tree: Tree,
        conditions: Conditions,
        definitions: Mapping[str, Definition],
    ) -> None:
        self._server, self._tree, self._conditions = server, tree, conditions
        self._definitions = definitions
        self._retained: dict[str, Any] = {}
        self._shown = AlarmState()
        self._number: int | None = None
        self._emitters: tuple[ua.NodeId, ...] = (numeric_id(ua.ObjectIds.Server),)

    async def start(self) -> None:
        """Make the objects that events come from, and the conditions."""
        controller = await self._tree.object("", event_source=True)
        alarms = await self._tree.object(ALARMS, event_source=True)
        await self._conditions.start()
        root = self._server.get_node(numeric_id(ua.ObjectIds.Server))
        await root.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        await _refers(root, controller, ua.ObjectIds.HasNotifier)
        await _refers(self._server.get_node(controller), alarms, ua.ObjectIds.HasNotifier)
        kind = self._conditions.type
        await _refers(self._server.get_node(alarms), kind, ua.ObjectIds.GeneratesEvent)
        self._emitters = (numeric_id(ua.ObjectIds.Server), controller, alarms)

    async def send(self, events: Iterable[AlarmEvent], state: AlarmState, time: float) -> None:
        """Tell of what has happened to alarms, once per alarm; at first of those in alarm too.

        Parameters
        ----------
        events, state
            What has happened, and all alarms now.
        time
            Plant time [s, UTC].
        """
        self._conditions.time = time
        last: dict[str, AlarmEvent] = {}
        if self._number is None:
            self._number = 0
            for alarm in state.alarms.values():
                if alarm.active or alarm.unacknowledged:
                    last[alarm.id] = found(alarm, self._definitions.get(alarm.id))
        for event in events:
            if event.number > self._number:
                last[event.alarm] = event
                self._conditions.hear(event)
        if state is not self._shown:
            before, self._shown = self._shown.alarms, state
            for name, alarm in state.alarms.items():
                if alarm is not before.get(name) and name not in last:
                    await self._conditions.take(alarm)
        for event in last.values():
            self._number = max(self._number, event.number)
            present = state.alarms.get(event.alarm)
            if present is not None:
                await self._conditions.take(present, event)
                await self._tell(event.alarm)

    async def refresh(self, subscription: int, item: int | None = None) -> None:
        """Repeat the events of interest to one subscription, or one monitored item of it."""
        service = self._server.iserver.subscription_service
        monitored = service.subscriptions[subscription].monitored_item_srv
        for event in (_refresh(RefreshStartEvent), *self._retained.values()):
            await monitored.trigger_event(event, item)
        await monitored.trigger_event(_refresh(RefreshEndEvent), item)

    async def _tell(self, alarm: str) -> None:
        event = self._event(alarm)
        if event.Retain:
            self._retained[alarm] = event
        else:
            self._retained.pop(alarm, None)
        service = self._server.iserver.subscription_service
        for subscription in list(service.subscriptions.values()):
            for emitter in self._emitters:
                event.emitting_node = emitter
                await subscription.monitored_item_srv.trigger_event(event)
        event.emitting_node = self._emitters[0]

    def _event(self, alarm: str) -> Any:
        event = _made(Event)
        for path, value in self._conditions.values(alarm).items():
            event.add_property(path, value.Value, value.VariantType)
        event.add_property("NodeId", self._conditions.condition_id(alarm), ua.VariantType.NodeId)
        return event


def _made(kind: Callable[..., Any]) -> Any:
    """An event of the library, whose fields are made at run time."""
    return kind()


def _refresh(kind: Callable[..., Any]) -> Any:
    event = _made(kind)
    event.EventId = secrets.token_bytes(16)
    event.SourceNode, event.SourceName = numeric_id(ua.ObjectIds.Server), "Server"
    event.emitting_node = numeric_id(ua.ObjectIds.Server)
    return event


async def _refers(source: Node, target: ua.NodeId, kind: int) -> None:
    await source.add_reference(target, kind, forward=True, bidirectional=True)
