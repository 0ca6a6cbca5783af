"""Nodes of the controller's OPC UA server: made when first shown, told to subscribers on change.

A value becomes an OPC UA value only when a client reads it or has subscribed to it, so that showing
a cycle costs a comparison per node. New nodes are made a few per cycle, lest one cycle wait for
hundreds of them. A value that a cycle no longer has keeps its node, with a bad status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol, cast

from asyncua import Node, ua
from asyncua.server.address_space import AttributeValue
from asyncua.server.internal_server import InternalServer

from controller.link.server_values import Quantity, Shown
from controller.link.wire import numeric_id, stamp, status, string_id, unit_information

__all__ = ["NEW_PER_CYCLE", "ROOT", "NodeServer", "Tree", "data_value", "variant_of"]

ROOT = "Controller"
NEW_PER_CYCLE = 25  # 0.2 ms each

_READ = 1 << ua.AccessLevel.CurrentRead
_HISTORY = 1 << ua.AccessLevel.HistoryRead


class NodeServer(Protocol):
    """What this module needs of a server."""

    @property
    def iserver(self) -> InternalServer:
        """The library's own server, with its address space."""
        ...

    def get_node(self, nodeid: ua.NodeId) -> Node:
        """A node."""
        ...


class Tree:
    """The objects and variables below ``Controller``, read-only.

    Parameters
    ----------
    server
        Server, prepared.
    namespace
        Index of our namespace.
    has_history
        Whether the history of the value at a path can be read.
    """

    def __init__(
        self,
        server: NodeServer,
        namespace: int,
        has_history: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._server, self._namespace, self._has_history = server, namespace, has_history
        self._known: dict[str, tuple[Shown | None, float]] = {}
        self._attributes: dict[str, AttributeValue] = {}
        self._path_of: dict[ua.NodeId, str] = {}
        self._objects: set[str] = set()

    def node_id(self, path: str) -> ua.NodeId:
        """Node id of a path below ``Controller``, or of ``Controller`` itself."""
        return string_id(f"{ROOT}/{path}" if path else ROOT, self._namespace)

    def path_of(self, node: ua.NodeId) -> str | None:
        """Path below ``Controller`` of a variable that is shown."""
        return self._path_of.get(node)

    async def object(
        self, path: str, event_source: bool = False, kind: ua.NodeId | None = None
    ) -> ua.NodeId:
        """Make the object at a path below ``Controller`` and those above it, if they are not.

        ``kind`` is the type of the object if it is made now.
        """
        items: list[ua.AddNodesItem] = []
        self._add_objects(path, items)
        if items and kind is not None:
            items[-1].TypeDefinition = kind
        await self._make(items)
        if event_source:
            node = self._server.get_node(self.node_id(path))
            await node.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        return self.node_id(path)

    async def show(
        self,
        values: Mapping[str, Shown],
        time: float,
        *,
        partly: bool = False,
        new: int = NEW_PER_CYCLE,
    ) -> None:
        """Show what a cycle found.

        Parameters
        ----------
        values
            By path; what is known but not among them is absent from now on.
        time
            Plant time [s, UTC].
        partly
            Only ``values`` change, what is not among them stays.
        new
            At most this number of nodes is made, the rest in later cycles.
        """
        known = self._known
        if partly:
            changed = [p for p, v in values.items() if p in known and known[p][0] != v]
        else:
            changed = [p for p, (shown, _) in known.items() if values.get(p) != shown]
        for path in changed:
            known[path] = values.get(path), time
        unknown = [p for p in values if p not in known][:new]
        for path in unknown:
            known[path] = values[path], time
        await self._make_variables(unknown)
        for path in changed:
            listeners = self._attributes[path].datachange_callbacks
            if listeners:
                data = self._data(path)
                for handle, listener in list(listeners.items()):
                    await listener(handle, data)

    def _current(self, node: ua.NodeId, _: ua.AttributeIds) -> ua.DataValue:
        return self._data(self._path_of[node])

    def _data(self, path: str) -> ua.DataValue:
        value, time = self._known[path]
        return data_value(value, time)

    # Making nodes

    async def _make_variables(self, paths: list[str]) -> None:
        items: list[ua.AddNodesItem] = []
        for path in paths:
            value = self._known[path][0]
            if value is not None:
                self._add_objects(path.rpartition("/")[0], items)
                items += self._variable(path, value)
        await self._make(items)
        for path in paths:
            node = self.node_id(path)
            self._path_of[node] = path
            self._server.iserver.set_attribute_value_callback(node, self._current)
            held = self._server.iserver.aspace[node].attributes[ua.AttributeIds.Value]
            self._attributes[path] = held

    async def _make(self, items: list[ua.AddNodesItem]) -> None:
        if not items:
            return
        for result in await self._server.iserver.isession.add_nodes(items):
            result.StatusCode.check()

    def _add_objects(self, path: str, items: list[ua.AddNodesItem]) -> None:
        if path in self._objects:
            return
        self._objects.add(path)
        above, _, name = path.rpartition("/")
        if path:
            self._add_objects(above, items)
            parent, reference = self.node_id(above), ua.ObjectIds.HasComponent
        else:
            parent, reference = numeric_id(ua.ObjectIds.ObjectsFolder), ua.ObjectIds.Organizes
        item = self._item(path, parent, ua.QualifiedName(name or ROOT, self._index), reference)
        item.NodeClass = ua.NodeClass.Object
        item.TypeDefinition = numeric_id(ua.ObjectIds.BaseObjectType)
        item.NodeAttributes = ua.ObjectAttributes(
            DisplayName=ua.LocalizedText(name or ROOT), Description=ua.LocalizedText(path)
        )
        items.append(item)

    def _variable(self, path: str, value: Shown) -> list[ua.AddNodesItem]:
        above, _, name = path.rpartition("/")
        item = self._item(
            path,
            self.node_id(above),
            ua.QualifiedName(name, self._index),
            ua.ObjectIds.HasComponent,
        )
        first = variant_of(value)
        unit = value.unit if isinstance(value, Quantity) else ""
        has_history = self._has_history(path)
        access = _READ | (_HISTORY if has_history else 0)
        item.NodeClass = ua.NodeClass.Variable
        item.TypeDefinition = numeric_id(
            ua.ObjectIds.AnalogUnitType if unit else ua.ObjectIds.BaseDataVariableType
        )
        item.NodeAttributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(name),
            Description=ua.LocalizedText(path),
            Value=ua.Variant(None, ua.VariantType.Null),
            DataType=numeric_id(first.VariantType.value),
            ValueRank=ua.ValueRank.OneDimension if first.is_array else ua.ValueRank.Scalar,
            ArrayDimensions=[ua.UInt32(0)] if first.is_array else [],
            AccessLevel=access,
            UserAccessLevel=access,
            Historizing=cast(ua.Boolean, has_history),
        )
        return [item, *([self._unit(path, unit)] if unit else [])]

    def _unit(self, path: str, unit: str) -> ua.AddNodesItem:
        item = self._item(
            f"{path}/EngineeringUnits",
            self.node_id(path),
            ua.QualifiedName("EngineeringUnits", 0),
            ua.ObjectIds.HasProperty,
        )
        item.NodeClass = ua.NodeClass.Variable
        item.TypeDefinition = numeric_id(ua.ObjectIds.PropertyType)
        item.NodeAttributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText("EngineeringUnits"),
            Value=ua.Variant(unit_information(unit), ua.VariantType.ExtensionObject),
            DataType=numeric_id(ua.ObjectIds.EUInformation),
            AccessLevel=_READ,
            UserAccessLevel=_READ,
        )
        return item

    def _item(
        self, path: str, parent: ua.NodeId, name: ua.QualifiedName, reference: int
    ) -> ua.AddNodesItem:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = self.node_id(path)
        item.ParentNodeId = parent
        item.BrowseName = name
        item.ReferenceTypeId = numeric_id(reference)
        return item

    @property
    def _index(self) -> ua.UInt16:
        return ua.UInt16(self._namespace)


def data_value(value: Shown | None, time: float) -> ua.DataValue:
    """A shown value with its time [s, UTC]; what is absent or not a number is out of service."""
    number = value.value if isinstance(value, Quantity) else value
    if value is None or number != number:
        return ua.DataValue(
            StatusCode=status(ua.StatusCodes.BadOutOfService), SourceTimestamp=stamp(time)
        )
    return ua.DataValue(
        Value=variant_of(value),
        StatusCode=status(ua.StatusCodes.Good),
        SourceTimestamp=stamp(time),
        ServerTimestamp=cast(ua.DateTime, datetime.now(UTC)),
    )


def variant_of(value: Shown) -> ua.Variant:
    """A shown value as an OPC UA variant."""
    if isinstance(value, Quantity):
        if isinstance(value.value, tuple):
            return ua.Variant(list(value.value), ua.VariantType.Double, is_array=True)
        return ua.Variant(value.value, ua.VariantType.Double)
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int64)
    if isinstance(value, float):
        return ua.Variant(value, ua.VariantType.Double)
    if isinstance(value, str):
        return ua.Variant(value, ua.VariantType.String)
    if isinstance(value, tuple):
        return ua.Variant(list(value), ua.VariantType.String, is_array=True)
    return ua.Variant(cast(ua.DateTime, value), ua.VariantType.DateTime)
