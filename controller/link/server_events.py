"""Alarms as OPC UA events of a type derived from ``AlarmConditionType``, and what goes with them.

A client that monitors events of ``Server``, ``Controller`` or ``Controller/Alarms`` is told of
every change of an alarm; one that comes later asks for those that are still of interest with
``ConditionRefresh``. ``Acknowledge`` of the standard's own ``AcknowledgeableConditionType`` works,
by condition and event id. What is missing of Alarms & Conditions is in docs/opcua_server.md.

Several changes of one alarm within a cycle are one event, the last: an event carries the whole
state of its condition. That bounds the events of a cycle by the number of alarms.

References
----------
[1] OPC 10000-9, OPC UA Part 9: Alarms and Conditions, 5.5 (conditions), 5.7 (acknowledge), 5.8.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncua import Node, ua
from asyncua.common.event_objects import (
    AlarmCondition,
    BaseEvent,
    RefreshEndEvent,
    RefreshStartEvent,
)

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import Alarm, AlarmEvent, AlarmState, EventKind
from controller.link.server_nodes import ROOT, NodeServer, Tree
from controller.link.wire import numeric_id, stamp, status, string_id

__all__ = ["SEVERITIES", "AlarmEvents", "Fields", "fields_of", "found", "standard_methods"]

SEVERITIES: Mapping[Priority, int] = {
    Priority.LOW: 250,
    Priority.MEDIUM: 500,
    Priority.HIGH: 750,
}

_ALARMS = "Alarms"
_TYPE = "TwinlineAlarmType"
_OWN = ("Priority", "Cause", "Consequence", "OperatorAction", "AlarmState")
_EVENTS_KEPT = 8  # event ids per alarm that an Acknowledge may name
_TEXT, _FLAG = ua.VariantType.LocalizedText, ua.VariantType.Boolean
_NODE, _TIME = ua.VariantType.NodeId, ua.VariantType.DateTime

Acknowledge = Callable[[str, str], Awaitable[tuple[bool, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What an event says of an alarm; ``retain``: of interest to a client that comes later."""

    alarm: str
    time: float
    message: str
    severity: int
    priority: str
    state: str
    active: bool
    acknowledged: bool
    suppressed: bool
    shelved: bool
    out_of_service: bool
    retain: bool
    since: float
    user: str = ""
    comment: str = ""


def fields_of(alarm: Alarm, event: AlarmEvent) -> Fields:
    """What is said of ``alarm`` when ``event`` has happened to it."""
    return Fields(
        alarm=event.alarm,
        time=event.time,
        message=event.text or event.alarm,
        severity=SEVERITIES[event.priority],
        priority=str(event.priority),
        state=str(alarm.state),
        active=alarm.active,
        acknowledged=not alarm.unacknowledged,
        suppressed=alarm.suppressed,
        shelved=alarm.shelved_until is not None,
        out_of_service=alarm.out_of_service,
        retain=alarm.active or alarm.unacknowledged,
        since=alarm.since if alarm.since > 0.0 else event.time,
        user=event.user,
        comment=event.reason,
    )


def found(alarm: Alarm, definition: Definition | None) -> AlarmEvent:
    """What to say of an alarm that was there when the server began: it has been raised."""
    return AlarmEvent(
        number=0,
        time=alarm.since,
        alarm=alarm.id,
        kind=EventKind.RAISED,
        state=alarm.state,
        priority=Priority.LOW if definition is None else definition.priority,
        text=alarm.text or ("" if definition is None else definition.text),
        value=alarm.value,
        annunciated=False,
        first_out=alarm.first_out,
        alert=False,
    )


class AlarmEvents:
    """Sends events and remembers those that a refresh repeats.

    Parameters
    ----------
    server, tree, namespace
        The server, prepared; its tree; index of our namespace.
    definitions
        The alarm list, for cause, consequence and action.
    """

    def __init__(
        self,
        server: NodeServer,
        tree: Tree,
        namespace: int,
        definitions: Mapping[str, Definition],
    ) -> None:
        self._server, self._tree, self._namespace = server, tree, namespace
        self._definitions = definitions
        self._retained: dict[str, Any] = {}
        self._ids: dict[str, deque[bytes]] = {}
        self._number: int | None = None
        self._type = string_id(_TYPE, namespace)
        self._emitters: tuple[ua.NodeId, ...] = (numeric_id(ua.ObjectIds.Server),)

    async def start(self) -> None:
        """Make the event type and the objects that events come from."""
        base = self._server.get_node(numeric_id(ua.ObjectIds.AlarmConditionType))
        made = await base.add_object_type(
            self._type, ua.QualifiedName(_TYPE, ua.UInt16(self._namespace))
        )
        for name in _OWN:
            await made.add_property(
                string_id(f"{_TYPE}/{name}", self._namespace),
                ua.QualifiedName(name, ua.UInt16(self._namespace)),
                ua.Variant("", ua.VariantType.String),
            )
        controller = await self._tree.object("", event_source=True)
        alarms = await self._tree.object(_ALARMS, event_source=True)
        root = self._server.get_node(numeric_id(ua.ObjectIds.Server))
        await root.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        await _refers(root, controller, ua.ObjectIds.HasNotifier)
        await _refers(self._server.get_node(controller), alarms, ua.ObjectIds.HasNotifier)
        await _refers(self._server.get_node(alarms), self._type, ua.ObjectIds.GeneratesEvent)
        self._emitters = (numeric_id(ua.ObjectIds.Server), controller, alarms)

    async def send(self, events: Iterable[AlarmEvent], state: AlarmState) -> None:
        """Tell of what has happened to alarms, once per alarm; at first of those in alarm too."""
        last: dict[str, AlarmEvent] = {}
        if self._number is None:
            self._number = 0
            for alarm in state.alarms.values():
                if alarm.active or alarm.unacknowledged:
                    last[alarm.id] = found(alarm, self._definitions.get(alarm.id))
        last |= {e.alarm: e for e in events if e.number > self._number}
        for event in last.values():
            self._number = max(self._number, event.number)
            present = state.alarms.get(event.alarm)
            if present is not None:
                await self._tell(fields_of(present, event))

    def alarm_of(self, condition: ua.NodeId, event_id: bytes) -> str | None:
        """Alarm of a condition, if the event is one of its last; None for another."""
        for name, ids in self._ids.items():
            if condition == self._tree.node_id(f"{_ALARMS}/{name}"):
                return name if event_id in ids else None
        return None

    async def refresh(self, subscription: int, item: int | None = None) -> None:
        """Repeat the events of interest to one subscription, or one monitored item of it."""
        service = self._server.iserver.subscription_service
        monitored = service.subscriptions[subscription].monitored_item_srv
        for event in (_refresh(RefreshStartEvent), *self._retained.values()):
            await monitored.trigger_event(event, item)
        await monitored.trigger_event(_refresh(RefreshEndEvent), item)

    async def _tell(self, fields: Fields) -> None:
        await self._tree.object(f"{_ALARMS}/{fields.alarm}")
        event = self._event(fields)
        self._ids.setdefault(fields.alarm, deque(maxlen=_EVENTS_KEPT)).append(event.EventId)
        if fields.retain:
            self._retained[fields.alarm] = event
        else:
            self._retained.pop(fields.alarm, None)
        service = self._server.iserver.subscription_service
        for subscription in list(service.subscriptions.values()):
            for emitter in self._emitters:
                event.emitting_node = emitter
                await subscription.monitored_item_srv.trigger_event(event)
        event.emitting_node = self._emitters[0]

    def _event(self, f: Fields) -> Any:
        definition = self._definitions.get(f.alarm)
        source = self._tree.node_id(_ALARMS)
        event = _made(AlarmCondition)
        event.EventType = self._type
        event.EventId = secrets.token_bytes(16)
        event.SourceNode, event.SourceName = source, f"{ROOT}/{_ALARMS}"
        event.Time = event.ReceiveTime = stamp(f.time)
        event.Message, event.Severity = ua.LocalizedText(f.message), ua.UInt16(f.severity)
        event.ConditionClassId = numeric_id(ua.ObjectIds.ProcessConditionClassType)
        event.ConditionClassName = ua.LocalizedText("ProcessConditionClassType")
        event.ConditionName, event.BranchId = f.alarm, ua.NodeId()
        event.Retain, event.Quality = f.retain, status(ua.StatusCodes.Good)
        event.LastSeverity = ua.UInt16(f.severity)
        event.Comment, event.ClientUserId = ua.LocalizedText(f.comment), f.user
        event.SuppressedOrShelved = f.suppressed or f.shelved or f.out_of_service
        event.add_property("NodeId", self._tree.node_id(f"{_ALARMS}/{f.alarm}"), _NODE)
        _two_state(event, "EnabledState", True, ("Enabled", "Disabled"))
        _two_state(event, "ActiveState", f.active, ("Active", "Inactive"))
        _two_state(event, "AckedState", f.acknowledged, ("Acknowledged", "Unacknowledged"))
        _two_state(event, "SuppressedState", f.suppressed, ("Suppressed", "Unsuppressed"))
        _two_state(event, "OutOfServiceState", f.out_of_service, ("Out of Service", "In Service"))
        event.add_property("ActiveState/TransitionTime", stamp(f.since), _TIME)
        shelving = "TimedShelved" if f.shelved else "Unshelved"
        event.add_variable("ShelvingState/CurrentState", ua.LocalizedText(shelving), _TEXT)
        number = (
            ua.ObjectIds.ShelvedStateMachineType_TimedShelved
            if f.shelved
            else (ua.ObjectIds.ShelvedStateMachineType_Unshelved)
        )
        event.add_property("ShelvingState/CurrentState/Id", numeric_id(number), _NODE)
        own = (
            f.priority,
            "" if definition is None else definition.cause,
            "" if definition is None else definition.consequence,
            "" if definition is None else definition.action,
            f.state,
        )
        for name, text in zip(_OWN, own, strict=True):
            event.add_property(name, text, ua.VariantType.String)
        event.emitting_node = self._emitters[0]
        return event


def standard_methods() -> dict[str, ua.NodeId]:
    """The standard's own methods that work here, by name."""
    return {
        "Acknowledge": numeric_id(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge),
        "ConditionRefresh": numeric_id(ua.ObjectIds.ConditionType_ConditionRefresh),
        "ConditionRefresh2": numeric_id(ua.ObjectIds.ConditionType_ConditionRefresh2),
    }


def _two_state(event: BaseEvent, name: str, holds: bool, texts: tuple[str, str]) -> None:
    event.add_property(f"{name}/Id", holds, _FLAG)
    event.add_variable(name, ua.LocalizedText(texts[0] if holds else texts[1]), _TEXT)


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
