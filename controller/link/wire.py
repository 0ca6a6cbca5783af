"""OPC UA values as our values and back, with the library's exact types."""

from __future__ import annotations

from datetime import UTC, datetime

from asyncua import ua

from plant_models.signals import DataType, Payload

__all__ = ["payload", "seconds", "string_id", "variant"]


def string_id(path: str, namespace: int) -> ua.NodeId:
    """String node id."""
    return ua.NodeId(ua.String(path), ua.Int16(namespace))


def seconds(stamp: datetime) -> float:
    """Seconds since 1970-01-01, UTC."""
    return (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp()


def payload(held: ua.Variant | None, data_type: DataType) -> Payload:
    """Value of a variant if it fits the type that we expect, else None."""
    value = held.Value if held is not None else None
    if data_type is DataType.DATETIME:
        return seconds(value) if isinstance(value, datetime) else None
    if data_type is DataType.DOUBLE_ARRAY:
        return tuple(float(v) for v in value) if isinstance(value, list) else None
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
