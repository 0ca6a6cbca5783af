"""OPC UA values as our values and back, with the library's exact types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from asyncua import ua

from plant_models.signals import DataType, Payload
from plant_models.units import UNITS

__all__ = [
    "numeric_id",
    "payload",
    "seconds",
    "stamp",
    "status",
    "string_id",
    "unit_information",
    "variant",
]

_UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"


def status(code: int) -> ua.StatusCode:
    """Status code object."""
    return ua.StatusCode(ua.UInt32(code))


def numeric_id(number: int) -> ua.NodeId:
    """Node id in the standard namespace."""
    return ua.NodeId(ua.Int32(number))


def string_id(path: str, namespace: int) -> ua.NodeId:
    """String node id."""
    return ua.NodeId(ua.String(path), ua.Int16(namespace))


def seconds(stamp: datetime) -> float:
    """Seconds since 1970-01-01, UTC."""
    return (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp()


def stamp(moment: float) -> ua.DateTime:
    """Seconds since 1970-01-01, UTC, as a time stamp."""
    return cast(ua.DateTime, datetime.fromtimestamp(moment, UTC))


def unit_information(symbol: str) -> ua.EUInformation:
    """`EUInformation` of a plant unit: its UN/ECE code as a number (OPC 10000-8, 5.6.4.3)."""
    unit = UNITS[symbol]
    number = int.from_bytes(unit.code.encode(), "big") if unit.code else -1
    return ua.EUInformation(
        NamespaceUri=ua.String(_UNECE),
        UnitId=ua.Int32(number),
        DisplayName=ua.LocalizedText(unit.symbol),
        Description=ua.LocalizedText(unit.description),
    )


def payload(held: ua.Variant | None, data_type: DataType) -> Payload:
    """Value of a variant if it fits the type that we expect, else None."""
    value = held.Value if held is not None else None
    if data_type is DataType.DATETIME:
        return seconds(value) if isinstance(value, datetime) else None
    if data_type is DataType.DOUBLE_ARRAY:
        if not isinstance(value, list) or any(type(v) not in (int, float) for v in value):
            return None
        return tuple(float(v) for v in value)
    if data_type is DataType.STRING:
        return value if isinstance(value, str) else None
    if data_type is DataType.BOOLEAN:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if data_type is DataType.DOUBLE else int(value)


def variant(value: Payload, data_type: DataType) -> ua.Variant:
    """Our value as a variant of exactly the type that the tag has."""
    kind = ua.VariantType[data_type.value]
    return ua.Variant(
        float(value) if isinstance(value, int) and data_type is DataType.DOUBLE else value, kind
    )
