"""The alarms as condition instances of our alarm type, with live values.

Each alarm of the list is ``Controller/Alarms/<alarm>`` from the start: every mandatory component
that the library's address space declares for ``AlarmConditionType`` and the types above it, and
those optional ones that we have something to say of. Methods are references to those of the type,
so that an instance costs no node for them. Nodes are put into the address space directly, with
the attributes of their declarations: through the library's service the whole list took longer.

References
----------
[1] OPC 10000-3, OPC UA Part 3: Address Space Model, 6.2 (types), 6.4.4 (modelling rules).
[2] OPC 10000-9, OPC UA Part 9: Alarms and Conditions, 5.5, 5.7, 5.8.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData

from controller.alarms.definitions import Definition
from controller.alarms.engine import Alarm, AlarmEvent, EventKind
from controller.link.server_fields import OWN, Said, Source, fields_of, found, values_of
from controller.link.server_nodes import ROOT, NodeServer, Tree
from controller.link.wire import numeric_id, stamp, status, string_id

__all__ = ["ALARMS", "TYPE", "Conditions", "Part", "declared"]

ALARMS = "Alarms"
TYPE = "TwinlineAlarmType"

# Optional methods of the standard that work here.
OFFERED = (
    "PlaceInService",
    "PlaceInService2",
    "RemoveFromService",
    "RemoveFromService2",
    "ShelvingState/TimedShelve2",
    "ShelvingState/Unshelve2",
)

_EVENTS_KEPT = 8  # event ids of an alarm that may be named
_SHELVING = "ShelvingState"
_PARTS = (numeric_id(ua.ObjectIds.HasProperty), numeric_id(ua.ObjectIds.HasComponent))
_HAS_SUBTYPE = numeric_id(ua.ObjectIds.HasSubtype)
_HAS_RULE = numeric_id(ua.ObjectIds.HasModellingRule)
_HAS_TYPE = numeric_id(ua.ObjectIds.HasTypeDefinition)
_MANDATORY = numeric_id(ua.ObjectIds.ModellingRule_Mandatory)
_NO_DATA = ua.DataValue()
_READ = 1 << ua.AccessLevel.CurrentRead


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One component of an instance as its type declares it [1]; ``path`` is its browse path."""

    path: str
    mandatory: bool
    reference: ua.ReferenceDescription
    definition: ua.ReferenceDescription | None

    @property
    def kind(self) -> ua.NodeClass:
        """Object, variable or method."""
        return ua.NodeClass(self.reference.NodeClass)


def declared(aspace: AddressSpace, kind: ua.NodeId) -> dict[str, Part]:
    """Components that an instance of a type may or must have, by browse path, parents first."""
    parts: dict[str, Part] = {}
    here: ua.NodeId | None = kind
    while here is not None:
        for path, part in _parts_below(aspace, here, ""):
            parts.setdefault(path, part)
        here = next(
            (
                r.NodeId
                for r in aspace[here].references
                if not r.IsForward and r.ReferenceTypeId == _HAS_SUBTYPE
            ),
            None,
        )
    return parts


def _parts_below(aspace: AddressSpace, node: ua.NodeId, above: str) -> Iterator[tuple[str, Part]]:
    for r in aspace[node].references:
        held = aspace.get(r.NodeId)
        if not r.IsForward or r.ReferenceTypeId not in _PARTS or held is None:
            continue
        rules = [d.NodeId for d in held.references if d.ReferenceTypeId == _HAS_RULE]
        if not rules:  # belongs to the type, not to its instances
            continue
        kinds = [d for d in held.references if d.IsForward and d.ReferenceTypeId == _HAS_TYPE]
        path = f"{above}{r.BrowseName.Name}"
        part = Part(
            path=path,
            mandatory=rules[0] == _MANDATORY,
            reference=r,
            definition=kinds[0] if kinds else None,
        )
        yield path, part
        if part.kind is ua.NodeClass.Method:
            continue
        yield from _parts_below(aspace, r.NodeId, f"{path}/")
        if part.kind is ua.NodeClass.Object and kinds:
            for below, inherited in declared(aspace, kinds[0].NodeId).items():
                yield f"{path}/{below}", replace(inherited, path=f"{path}/{below}")


@dataclass(slots=True)
class _Condition:
    """What is known of one alarm; ``ids`` are of events of its present occurrence."""

    alarm: Alarm
    event: AlarmEvent
    said: Said
    ids: deque[bytes] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))
    values: dict[str, ua.Variant] | None = None


class Conditions:
    """Every alarm as a condition instance.

    Parameters
    ----------
    server, tree, namespace
        The server, prepared; its tree; index of our namespace.
    definitions
        The alarm list.
    longest_s
        Longest time that an alarm can be shelved [s].
    """

    def __init__(
        self,
        server: NodeServer,
        tree: Tree,
        namespace: int,
        definitions: Mapping[str, Definition],
        longest_s: float,
    ) -> None:
        self._server, self._tree, self._namespace = server, tree, namespace
        self._definitions = definitions
        self.type = string_id(TYPE, namespace)
        self._source = Source(
            type=self.type,
            node=tree.node_id(ALARMS),
            name=f"{ROOT}/{ALARMS}",
            longest_s=longest_s,
        )
        self._parts: tuple[Part, ...] = ()
        self._attributes: dict[str, dict[ua.AttributeIds, AttributeValue]] = {}
        self._conditions: dict[str, _Condition] = {}
        self._name_of: dict[ua.NodeId, str] = {}
        self._held: dict[str, dict[str, AttributeValue]] = {}
        self.time = 0.0

    async def start(self) -> None:
        """Make the type and an instance of it for each alarm of the list."""
        await self._make_type()
        aspace = self._server.iserver.aspace
        said = self._values(self._of(Alarm(id="")))
        offered = {"/".join(p.split("/")[:n]) for p in (*said, *OFFERED) for n in (1, 2, 3)}
        kept: dict[str, Part] = {}
        for path, part in declared(aspace, self.type).items():
            above = path.rpartition("/")[0]
            if (part.mandatory or path in offered) and (not above or above in kept):
                kept[path] = part
        variables = {p for p, part in kept.items() if part.kind is ua.NodeClass.Variable}
        if variables != said.keys():
            differ = ", ".join(sorted(variables ^ said.keys()))
            raise RuntimeError(
                f"the library's alarm type and what we say of alarms differ: {differ}"
            )
        self._parts = tuple(kept.values())
        self._attributes = {p.path: self._shared(p) for p in self._parts}
        for name in self._definitions:
            await self._instance(name)

    async def take(self, alarm: Alarm, event: AlarmEvent | None = None) -> None:
        """Show an alarm as it is now; with ``event`` it has a new event id."""
        condition = self._conditions.get(alarm.id)
        if condition is None:
            await self._instance(alarm.id)
            condition = self._conditions[alarm.id]
        if alarm.count != condition.alarm.count:
            condition.ids.clear()
        condition.alarm = alarm
        if event is not None:
            condition.event = event
            condition.ids.append(secrets.token_bytes(16))
        condition.values = None
        await self._tell_listeners(alarm.id)

    def hear(self, event: AlarmEvent) -> None:
        """Remember what people say of an alarm; a new occurrence begins without."""
        condition = self._conditions.get(event.alarm)
        if condition is None:
            return
        if event.user:
            condition.said = Said(user=event.user, text=event.reason, time=event.time)
        elif event.kind is EventKind.RAISED:
            condition.said = Said()

    def condition_id(self, name: str) -> ua.NodeId:
        """Node of the condition of an alarm."""
        return self._tree.node_id(f"{ALARMS}/{name}")

    def name_of(self, node: ua.NodeId) -> str | None:
        """Alarm of a condition, or of its shelving state; None for any other node."""
        return self._name_of.get(node)

    def alarm(self, name: str) -> Alarm:
        """An alarm as it was last shown."""
        return self._conditions[name].alarm

    def said(self, name: str) -> Said:
        """What somebody last said of an alarm."""
        return self._conditions[name].said

    def is_current(self, name: str, event_id: bytes) -> bool:
        """Whether an event is one of the present occurrence of an alarm, and of its last."""
        return event_id in self._conditions[name].ids

    def values(self, name: str) -> Mapping[str, ua.Variant]:
        """What is said of an alarm, by browse path."""
        condition = self._conditions[name]
        if condition.values is None:
            condition.values = self._values(condition)
        return condition.values

    def _values(self, c: _Condition) -> dict[str, ua.Variant]:
        fields = fields_of(c.alarm, c.event, c.said)
        definition = self._definitions.get(c.alarm.id)
        return values_of(fields, definition, self._source, c.ids[-1] if c.ids else b"")

    # Nodes

    async def _make_type(self) -> None:
        index = ua.UInt16(self._namespace)
        base = self._server.get_node(numeric_id(ua.ObjectIds.AlarmConditionType))
        made = await base.add_object_type(self.type, ua.QualifiedName(TYPE, index))
        for name in OWN:
            own = await made.add_property(
                string_id(f"{TYPE}/{name}", self._namespace),
                ua.QualifiedName(name, index),
                ua.Variant("", ua.VariantType.String),
            )
            await own.set_modelling_rule(True)

    def _of(self, alarm: Alarm) -> _Condition:
        return _Condition(alarm, found(alarm, self._definitions.get(alarm.id)), Said())

    def _shared(self, part: Part) -> dict[ua.AttributeIds, AttributeValue]:
        """Attributes that the nodes of a component have in common in all instances."""
        declaration = self._server.iserver.aspace[part.reference.NodeId]
        attributes = dict(declaration.attributes)
        if part.kind is ua.NodeClass.Variable:
            for level in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
                attributes[level] = _attribute(_READ, ua.VariantType.Byte)
        return attributes

    async def _instance(self, name: str) -> None:
        """Make the condition of an alarm."""
        condition = await self._tree.object(f"{ALARMS}/{name}", kind=self.type)
        self._conditions[name] = self._of(Alarm(id=name))
        self._name_of[condition] = self._name_of[self._node(name, _SHELVING)] = name
        aspace = self._server.iserver.aspace
        source = aspace[self._source.node]
        (component,) = (r for r in source.references if r.NodeId == condition)
        is_condition = numeric_id(ua.ObjectIds.HasCondition)
        source.references.append(replace(component, ReferenceTypeId=is_condition))
        self._held[name] = {}
        nodes = {"": aspace[condition]}
        for part in self._parts:
            parent = nodes[part.path.rpartition("/")[0]]
            if part.kind is ua.NodeClass.Method:
                parent.references.append(part.reference)
            else:
                made = nodes[part.path] = self._made(name, part, parent)
                aspace[made.nodeid] = made

    def _made(self, name: str, part: Part, parent: NodeData) -> NodeData:
        node = self._node(name, part.path)
        data = NodeData(node)
        data.attributes = dict(self._attributes[part.path])
        data.attributes[ua.AttributeIds.NodeId] = _attribute(node, ua.VariantType.NodeId)
        if part.kind is ua.NodeClass.Variable:
            value = AttributeValue(_NO_DATA)
            value.value, value.value_callback = None, partial(self._read, name, part.path)
            data.attributes[ua.AttributeIds.Value] = value
            self._held[name][part.path] = value
        parent.references.append(replace(part.reference, NodeId=node))
        back = replace(
            part.reference,
            IsForward=False,
            NodeId=parent.nodeid,
            BrowseName=_value_of(parent, ua.AttributeIds.BrowseName),
            DisplayName=_value_of(parent, ua.AttributeIds.DisplayName),
            NodeClass=_value_of(parent, ua.AttributeIds.NodeClass),
            TypeDefinition=ua.NodeId(),
        )
        data.references = [back, *([part.definition] if part.definition else [])]
        return data

    def _node(self, name: str, path: str) -> ua.NodeId:
        return self._tree.node_id(f"{ALARMS}/{name}/{path}" if path else f"{ALARMS}/{name}")

    # Values

    def _read(self, name: str, path: str, _: ua.NodeId, __: ua.AttributeIds) -> ua.DataValue:
        return self._data(name, path)

    def _data(self, name: str, path: str) -> ua.DataValue:
        variant = self.values(name)[path]
        alarm, event = self._conditions[name].alarm, self._conditions[name].event
        if path == f"{_SHELVING}/UnshelveTime" and alarm.shelved_until is not None:
            left = max(alarm.shelved_until - self.time, 0.0)
            variant = ua.Variant(1000.0 * left, ua.VariantType.Double)
        return ua.DataValue(
            Value=variant,
            StatusCode=status(ua.StatusCodes.Good),
            SourceTimestamp=stamp(max(event.time, alarm.since, 0.0)),
            ServerTimestamp=cast(ua.DateTime, datetime.now(UTC)),
        )

    async def _tell_listeners(self, name: str) -> None:
        """Tell of all that is listened to; the monitored items know what is new to them."""
        for path, held in self._held[name].items():
            if held.datachange_callbacks:
                data = self._data(name, path)
                for handle, listener in list(held.datachange_callbacks.items()):
                    await listener(handle, data)


def _attribute(value: Any, kind: ua.VariantType) -> AttributeValue:
    return AttributeValue(ua.DataValue(ua.Variant(value, kind)))


def _value_of(node: NodeData, attribute: ua.AttributeIds) -> Any:
    held = node.attributes[attribute].value
    return None if held is None or held.Value is None else held.Value.Value
