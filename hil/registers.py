"""What a controller may write into the PLC: status codes, and whether a value fits its tag."""

from __future__ import annotations

from plant_models.signals import DataType, Payload, SignalTable, Writer

__all__ = [
    "BAD_NODE_ID_UNKNOWN",
    "BAD_NOT_WRITABLE",
    "BAD_TYPE_MISMATCH",
    "BAD_USER_ACCESS_DENIED",
    "fits",
]

BAD_USER_ACCESS_DENIED = 0x801F0000
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_NOT_WRITABLE = 0x803B0000
BAD_TYPE_MISMATCH = 0x80740000

_TYPES: dict[DataType, tuple[type, ...]] = {
    DataType.DOUBLE: (float, int),
    DataType.INT64: (int,),
    DataType.BOOLEAN: (bool,),
    DataType.STRING: (str,),
}


def fits(table: SignalTable, tag: str, value: Payload) -> int:
    """Status code of ``value`` for ``tag``: Good where a controller may write it."""
    if tag not in table:
        return BAD_NODE_ID_UNKNOWN
    signal = table[tag]
    if signal.writer is not Writer.CONTROLLER:
        return BAD_NOT_WRITABLE
    wanted = _TYPES.get(signal.data_type, ())
    right = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
    return 0 if right else BAD_TYPE_MISMATCH
