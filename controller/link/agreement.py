"""Whether a server means the same as we do: unit and range of every analogue tag, model version."""

from __future__ import annotations

import math
from typing import cast

from asyncua import Client, ua

from controller.link.tagmap import TagMapConfig
from controller.link.wire import string_id
from plant_models.signals import PLC, Signal, SignalTable
from plant_models.units import UNITS

__all__ = ["disagreements"]

_PROPERTIES = ("EngineeringUnits", "EURange")
_TOLERANCE = 1e-6


async def disagreements(
    client: Client, table: SignalTable, tagmap: TagMapConfig, namespace: int
) -> tuple[str, ...]:
    """What differs, one sentence each; empty if nothing does. Two service calls and a Read."""
    found = list(tagmap.mistakes(table))
    analogue = [s for s in table if s.lo is not None and s.hi is not None]
    paths = [
        _path(string_id(tagmap.node(s.tag), namespace), name)
        for s in analogue
        for name in _PROPERTIES
    ]
    session = client.uaclient.session
    translated = await session.translate_browsepaths_to_nodeids(paths)
    nodes = [
        r.Targets[0].TargetId if r.StatusCode.is_good() and r.Targets else None for r in translated
    ]
    present = [n for n in nodes if n is not None]
    read = iter(await session.read_attributes(present, ua.AttributeIds.Value) if present else [])
    values = [_value(next(read)) if n is not None else None for n in nodes]
    for signal, unit, span in zip(analogue, values[0::2], values[1::2], strict=True):
        found += _unit_differs(signal, tagmap, unit) + _range_differs(signal, tagmap, span)
    return tuple(found) + await _version_differs(client, table, tagmap, namespace)


def _path(start: ua.NodeId, name: str) -> ua.BrowsePath:
    element = ua.RelativePathElement(
        ReferenceTypeId=ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty)),
        IsInverse=cast(ua.Boolean, False),
        IncludeSubtypes=cast(ua.Boolean, True),
        TargetName=ua.QualifiedName(name, 0),
    )
    return ua.BrowsePath(StartingNode=start, RelativePath=ua.RelativePath(Elements=[element]))


def _value(data: ua.DataValue) -> object:
    return data.Value.Value if data.Value is not None else None


def _unit_differs(signal: Signal, tagmap: TagMapConfig, unit: object) -> list[str]:
    wanted = tagmap.unit(signal.tag, signal.unit)
    if not isinstance(unit, ua.EUInformation):
        return [f"{signal.tag}: the server shows no engineering unit, expected {wanted!r}"]
    shown = unit.DisplayName.Text or ""
    known = UNITS.get(wanted)
    code = int.from_bytes(known.code.encode(), "big") if known is not None and known.code else None
    if shown == wanted or (code is not None and unit.UnitId == code):
        return []
    return [f"{signal.tag}: the server's unit is {shown!r}, expected {wanted!r}"]


def _range_differs(signal: Signal, tagmap: TagMapConfig, span: object) -> list[str]:
    if not isinstance(span, ua.Range):
        return [f"{signal.tag}: the server shows no range"]
    ends = sorted(tagmap.number_inwards(signal.tag, v) for v in (span.Low, span.High))
    wanted = (float(signal.lo or 0.0), float(signal.hi or 0.0))
    width = wanted[1] - wanted[0]
    if all(
        math.isclose(a, b, abs_tol=_TOLERANCE * width) for a, b in zip(ends, wanted, strict=True)
    ):
        return []
    return [
        f"{signal.tag}: the server's range is {ends[0]:g}..{ends[1]:g} {signal.unit}, "
        f"expected {wanted[0]:g}..{wanted[1]:g}"
    ]


async def _version_differs(
    client: Client, table: SignalTable, tagmap: TagMapConfig, namespace: int
) -> tuple[str, ...]:
    node = string_id(tagmap.node(PLC.MODEL_VERSION), namespace)
    (data,) = await client.uaclient.session.read_attributes([node], ua.AttributeIds.Value)
    wanted, shown = tagmap.model_version or table.model_version(), _value(data)
    if shown == wanted:
        return ()
    return (f"{PLC.MODEL_VERSION}: the server's is {shown!r}, expected {wanted!r}",)
