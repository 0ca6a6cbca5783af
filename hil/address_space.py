"""The plant's OPC UA address space, generated from the signal list.

Node ids are string ids equal to the browse path, tree by unit, every analogue tag with
``EngineeringUnits`` and ``EURange`` (OPC 10000-8). Values are built when somebody reads them, from
the plant's newest ones; only subscribed nodes cost anything at a publication.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from asyncua import Server, ua

from hil.wire import (
    numeric_id,
    stamp,
    status,
    string_id,
    unit_information,
    variant_of,
    variant_type,
)
from plant_models.signals import DataType, Signal, SignalTable, Value, Writer

__all__ = ["AddressSpace"]

_READ = 1 << ua.AccessLevel.CurrentRead
_WRITE = 1 << ua.AccessLevel.CurrentWrite


def _data_type_id(data_type: DataType) -> ua.NodeId:
    return numeric_id(variant_type(data_type).value)


def _span(signal: Signal) -> ua.Range:
    return ua.Range(Low=float(signal.lo or 0.0), High=float(signal.hi or 0.0))


def _item(
    node: ua.NodeId, parent: ua.NodeId, name: ua.QualifiedName, reference: int
) -> ua.AddNodesItem:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = node
    item.ParentNodeId = parent
    item.BrowseName = name
    item.ReferenceTypeId = numeric_id(reference)
    return item


class AddressSpace:
    """Nodes of one signal list on one server, and what they show."""

    def __init__(self, server: Server, table: SignalTable, namespace: int) -> None:
        self._server, self._table, self._namespace = server, table, namespace
        self._values: Mapping[str, Value] = {}
        self._shown: dict[str, tuple[Value, ua.DataValue]] = {}
        self._tag_of: dict[ua.NodeId, str] = {}
        self._attributes: dict[str, ua.NodeId] = {}

    def node_id(self, path: str) -> ua.NodeId:
        """Node id of a browse path."""
        return string_id(path, self._namespace)

    def tag_of(self, node: ua.NodeId) -> str | None:
        """Tag of a node id, if it is one."""
        return self._tag_of.get(node)

    async def build(self) -> None:
        """Make all nodes."""
        items: list[ua.AddNodesItem] = []
        made: set[str] = set()
        for signal in self._table:
            parent = signal.tag.rpartition("/")[0]
            self._objects(parent, made, items)
            items += self._variable(signal, parent)
        for result in await self._server.iserver.isession.add_nodes(items):
            result.StatusCode.check()
        for signal in self._table:
            node = self.node_id(signal.tag)
            self._tag_of[node] = signal.tag
            self._server.iserver.set_attribute_value_callback(node, self._current)

    def _objects(self, path: str, made: set[str], items: list[ua.AddNodesItem]) -> None:
        if path in made:
            return
        above, _, name = path.rpartition("/")
        if above:
            self._objects(above, made, items)
        made.add(path)
        parent = self.node_id(above) if above else numeric_id(ua.ObjectIds.ObjectsFolder)
        reference = ua.ObjectIds.HasComponent if above else ua.ObjectIds.Organizes
        qualified = ua.QualifiedName(name, self._namespace)
        item = _item(self.node_id(path), parent, qualified, reference)
        item.NodeClass = ua.NodeClass.Object
        item.TypeDefinition = numeric_id(ua.ObjectIds.BaseObjectType)
        item.NodeAttributes = ua.ObjectAttributes(
            DisplayName=ua.LocalizedText(name), Description=ua.LocalizedText(path)
        )
        items.append(item)

    def _variable(self, signal: Signal, parent: str) -> list[ua.AddNodesItem]:
        node, name = self.node_id(signal.tag), signal.tag.rpartition("/")[2]
        analogue = signal.lo is not None and signal.hi is not None
        qualified = ua.QualifiedName(name, self._namespace)
        item = _item(node, self.node_id(parent), qualified, ua.ObjectIds.HasComponent)
        item.NodeClass = ua.NodeClass.Variable
        kind = "AnalogUnitRangeType" if analogue else "BaseDataVariableType"
        item.TypeDefinition = numeric_id(getattr(ua.ObjectIds, kind))
        access = _READ | (_WRITE if signal.writer is Writer.CONTROLLER else 0)
        array = signal.data_type is DataType.DOUBLE_ARRAY
        item.NodeAttributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(name),
            Description=ua.LocalizedText(signal.description),
            Value=ua.Variant(None, ua.VariantType.Null),
            DataType=_data_type_id(signal.data_type),
            ValueRank=ua.ValueRank.OneDimension if array else ua.ValueRank.Scalar,
            AccessLevel=access,
            UserAccessLevel=access,
        )
        if not analogue:
            return [item]
        return [
            item,
            self._property(signal.tag, "EURange", _span(signal), ua.ObjectIds.Range),
            self._property(
                signal.tag,
                "EngineeringUnits",
                unit_information(signal.unit),
                ua.ObjectIds.EUInformation,
            ),
        ]

    def _property(self, tag: str, name: str, value: object, data_type: int) -> ua.AddNodesItem:
        node, parent = self.node_id(f"{tag}/{name}"), self.node_id(tag)
        item = _item(node, parent, ua.QualifiedName(name, 0), ua.ObjectIds.HasProperty)
        item.NodeClass = ua.NodeClass.Variable
        item.TypeDefinition = numeric_id(ua.ObjectIds.PropertyType)
        item.NodeAttributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(name),
            Value=ua.Variant(value, ua.VariantType.ExtensionObject),
            DataType=numeric_id(data_type),
            AccessLevel=_READ,
            UserAccessLevel=_READ,
        )
        return item

    def _current(self, node: ua.NodeId, _: ua.AttributeIds) -> ua.DataValue:
        return self._data_value(self._tag_of[node])

    def _data_value(self, tag: str) -> ua.DataValue:
        value = self._values.get(tag)
        if value is None:
            return ua.DataValue(StatusCode=status(ua.StatusCodes.BadWaitingForInitialData))
        shown = self._shown.get(tag)
        if shown is not None and shown[0] is value:
            return shown[1]
        code = status(value.status)
        variant = (
            ua.Variant(None, ua.VariantType.Null)
            if code.is_bad()
            else variant_of(value.value, self._table[tag].data_type)
        )
        data = ua.DataValue(
            Value=variant,
            StatusCode=code,
            SourceTimestamp=stamp(value.source_time),
            ServerTimestamp=cast(ua.DateTime, datetime.now(UTC)),
        )
        self._shown[tag] = (value, data)
        return data

    async def show_ranges(self, table: SignalTable) -> None:
        """Show the ranges of ``table``, the same signals set up for another recipe."""
        if table is self._table:
            return
        for before, after in zip(self._table, table, strict=True):
            if (before.lo, before.hi) != (after.lo, after.hi):
                node = self._server.get_node(self.node_id(f"{after.tag}/EURange"))
                await node.write_value(ua.Variant(_span(after), ua.VariantType.ExtensionObject))
        self._table = table

    async def publish(self, values: Mapping[str, Value]) -> None:
        """Show ``values``; tell the subscribers of those that changed."""
        before, self._values = self._values, values
        nodes = self._server.iserver.aspace
        for node, tag in self._tag_of.items():
            listeners = nodes[node].attributes[ua.AttributeIds.Value].datachange_callbacks
            if listeners and values.get(tag) != before.get(tag):
                data = self._data_value(tag)
                for handle, listener in list(listeners.items()):
                    await listener(handle, data)
