"""A value of the wrong type is no value; it never breaks the read of all the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asyncua import ua

from controller.link.wire import payload
from plant_models.signals import DataType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = {
    DataType.DOUBLE: (ua.Variant(7.25), 7.25),
    DataType.INT32: (ua.Variant(7, ua.VariantType.Int32), 7),
    DataType.INT64: (ua.Variant(7, ua.VariantType.Int64), 7),
    DataType.UINT32: (ua.Variant(7, ua.VariantType.UInt32), 7),
    DataType.BOOLEAN: (ua.Variant(True), True),
    DataType.STRING: (ua.Variant("none"), "none"),
    DataType.DATETIME: (ua.Variant(NOW), NOW.timestamp()),
    DataType.DOUBLE_ARRAY: (ua.Variant([1.0, 2.0]), (1.0, 2.0)),
}
WRONG = (
    ua.Variant("7.25"),
    ua.Variant(True),
    ua.Variant(NOW),
    ua.Variant(["1.0", "2.0"]),
    ua.Variant([True, False]),
    ua.Variant(b"7"),
    None,
)


@pytest.mark.parametrize("data_type", list(DataType))
def test_the_right_type_arrives(data_type: DataType) -> None:
    held, expected = RIGHT[data_type]
    assert payload(held, data_type) == expected


@pytest.mark.parametrize("held", WRONG, ids=repr)
@pytest.mark.parametrize("data_type", list(DataType))
def test_a_wrong_type_is_no_value(data_type: DataType, held: ua.Variant | None) -> None:
    value = held.Value if held is not None else None
    fits = {
        DataType.STRING: isinstance(value, str),
        DataType.BOOLEAN: isinstance(value, bool),
        DataType.DATETIME: isinstance(value, datetime),
    }
    arrived = payload(held, data_type)
    assert (arrived is not None) is fits.get(data_type, False)
