"""Plant values as OPC UA values and back; ids and status codes with the library's exact types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from asyncua import ua

from plant_models.signals import DataType, Payload
from plant_models.units import UNITS

__all__ = [
    "numeric_id",
    "payload_of",
    "stamp",
    "status",
    "string_id",
    "unit_information",
    "variant_of",
    "variant_type",
]

_UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
_ARRAY = "[]"


def status(code: int) -> ua.StatusCode:
    """Status code object."""
    return ua.StatusCode(ua.UInt32(code))


def numeric_id(number: int) -> ua.NodeId:
    """Node id in the standard namespace."""
    return ua.NodeId(ua.Int32(number))


def string_id(path: str, namespace: int) -> ua.NodeId:
    """String node id."""
    return ua.NodeId(ua.String(path), ua.Int16(namespace))


def stamp(seconds: float) -> ua.DateTime:
    """Seconds since 1970-01-01, UTC, as a time stamp."""
    return cast(ua.DateTime, datetime.fromtimestamp(seconds, UTC))


def variant_type(data_type: DataType) -> ua.VariantType:
    """Type on the wire of a tag (of an element, for arrays)."""
    return ua.VariantType[data_type.value.removesuffix(_ARRAY)]


def variant_of(value: Payload, data_type: DataType) -> ua.Variant:
    """A plant value as an OPC UA variant; a time is seconds since 1970-01-01, UTC.

    A text stays a text whatever the tag should be: that is what a wrong type looks like.
    """
    if value is None:
        return ua.Variant(None, ua.VariantType.Null)
    if isinstance(value, str):
        return ua.Variant(value, ua.VariantType.String)
    if isinstance(value, tuple):
        return ua.Variant([float(v) for v in value], ua.VariantType.Double, is_array=True)
    if data_type is DataType.DATETIME:
        return ua.Variant(stamp(float(value)), ua.VariantType.DateTime)
    if data_type is DataType.DOUBLE:
        return ua.Variant(float(value), ua.VariantType.Double)
    return ua.Variant(value, variant_type(data_type))


def payload_of(variant: ua.Variant) -> Payload:
    """The opposite of `variant_of`."""
    value = variant.Value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, list):
        return tuple(float(v) for v in value)
    if isinstance(value, (bool, int, float, str)):
        return value
    return None


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
