"""Mapping of a recording's file to channels: columns, units, time, products (kind: recording).

Defaults describe the series of J. Žagar and J. Mihelič, "Big data collection in pharmaceutical
manufacturing and its use for product quality predictions", Scientific Data 9, 99 (2022),
doi 10.1038/s41597-022-01203-x, CC BY 4.0; tablets are medians over its batches 1-700 per code:
`tbl_max_diameter` and the means of the least and largest weight and thickness of the cores.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = [
    "REQUIRED",
    "ChannelColumn",
    "ChannelColumns",
    "ChecksConfig",
    "ProductTablet",
    "RecordingMapping",
    "TimeColumn",
    "Tooling",
    "factor_of",
    "units_of",
]

REQUIRED = ("tablet_rate", "main_force", "fill_depth", "thickness")

_LENGTH = {"mm": 1e-3, "m": 1.0, "cm": 1e-2, "µm": 1e-6, "um": 1e-6}
_FORCE = {"kN": 1e3, "N": 1.0, "daN": 10.0}
_SHARE = {"%": 1e-2, "1": 1.0}
_COUNT = {"tablets": 1.0, "1000 tablets": 1e3}
_RATE = {
    "1000 tablets/h": 1000.0 / 3600.0,
    "tablets/h": 1.0 / 3600.0,
    "tablets/min": 1.0 / 60.0,
    "1000 tablets/min": 1000.0 / 60.0,
    "tablets/s": 1.0,
}
_UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "tablet_rate": _RATE,
        "paddle_speed": {"rpm": 1.0 / 60.0, "1/s": 1.0},
        "main_force": _FORCE,
        "fill_depth": _LENGTH,
        "force_rsd": _SHARE,
        "pre_force": _FORCE,
        "made": _COUNT,
        "rejected": _COUNT,
        "thickness": _LENGTH,
        "pre_thickness": _LENGTH,
        "stiffness": {"": 1.0},
        "ejection_force": _FORCE,
    }
)

_Text = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooling:
    """What is known of tablet and press from the product code, SI.

    ``thickness`` is that of the core out of the die; ``known`` is false where the mapping has no
    such code and its ``other_product`` is assumed.
    """

    diameter: float
    weight: float
    thickness: float
    stations: int | None
    known: bool


class TimeColumn(StrictModel):
    """When a row was taken: a `strptime` format, or ``unix`` for seconds since 1970."""

    column: _Text = "timestamp"
    format: _Text = "%Y-%m-%d %H:%M:%S"
    zone: str = "UTC"

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            zoneinfo.ZoneInfo(self.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"zone: {self.zone!r} is no time zone; a name such as UTC or Europe/Ljubljana"
            ) from error
        return self


class ChannelColumn(StrictModel):
    """The column of a channel and its unit there."""

    column: _Text
    unit: str


class ChannelColumns(StrictModel):
    """Columns by channel; the first four are needed, null says that one was not recorded."""

    tablet_rate: ChannelColumn = ChannelColumn(column="tbl_speed", unit="1000 tablets/h")
    main_force: ChannelColumn = ChannelColumn(column="main_comp", unit="kN")
    fill_depth: ChannelColumn = ChannelColumn(column="tbl_fill", unit="mm")
    thickness: ChannelColumn = ChannelColumn(column="cyl_main", unit="mm")
    paddle_speed: ChannelColumn | None = ChannelColumn(column="fom", unit="rpm")
    force_rsd: ChannelColumn | None = ChannelColumn(column="SREL", unit="%")
    pre_force: ChannelColumn | None = ChannelColumn(column="pre_comp", unit="kN")
    made: ChannelColumn | None = ChannelColumn(column="produced", unit="1000 tablets")
    rejected: ChannelColumn | None = ChannelColumn(column="waste", unit="tablets")
    pre_thickness: ChannelColumn | None = ChannelColumn(column="cyl_pre", unit="mm")
    stiffness: ChannelColumn | None = ChannelColumn(column="stiffness", unit="")
    ejection_force: ChannelColumn | None = ChannelColumn(column="ejection", unit="N")

    @model_validator(mode="after")
    def _units_fit(self) -> Self:
        taken: dict[str, str] = {}
        for name, entry in self.mapped().items():
            if entry.unit not in _UNITS[name]:
                units = ", ".join(repr(u) for u in _UNITS[name])
                raise ValueError(f"{name}: {entry.unit!r} is no unit of it; one of {units}")
            if entry.column in taken:
                raise ValueError(
                    f"{name}: the column {entry.column!r} is already {taken[entry.column]}; "
                    "a column of its own for every channel"
                )
            taken[entry.column] = name
        return self

    def mapped(self) -> dict[str, ChannelColumn]:
        """Channels that have a column."""
        entries = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: entry for name, entry in entries.items() if entry is not None}


class ProductTablet(StrictModel):
    """A product's tablet core and the press tooling that makes it."""

    diameter_mm: Annotated[float, Field(gt=1.0, le=30.0)]
    weight_mg: Annotated[float, Field(gt=1.0, le=5000.0)]
    thickness_mm: Annotated[float, Field(gt=0.2, le=20.0)]
    stations: Annotated[int, Field(ge=1, le=200)] | None = None


class ChecksConfig(StrictModel):
    """Limits of the data-quality checks."""

    rows_max: Annotated[int, Field(ge=1)] = 2_000_000
    unreadable_share: _Share = 0.01
    shuffled_share: _Share = 0.01
    contradicted_share: _Share = 0.05
    other_code_share: _Share = 0.01
    frozen_force_s: Annotated[float, Field(gt=0.0)] = 300.0
    frozen_rows_s: Annotated[float, Field(gt=0.0)] = 120.0
    pressure_max_mpa: Annotated[float, Field(gt=0.0)] = 1000.0


# (diameter mm, weight mg, thickness mm) of codes 1, 2, ... 25
_TABLETS: tuple[tuple[float, float, float], ...] = (
    (6.1, 112, 3.25),
    (6, 112.5, 3.3),
    (8.1, 224.25, 3.95),
    (10.1, 449.5, 5.25),
    (7, 111.5, 2.85),
    (7.05, 114, 2.925),
    (9.1, 224.75, 3.75),
    (11.2, 450.5, 5.2),
    (7.1, 112.5, 2.85),
    (9.1, 225.5, 3.85),
    (5.1, 56.25, 2.6),
    (7.1, 113, 2.85),
    (6, 113, 3.25),
    (5.1, 56.1, 2.55),
    (10.1, 450, 5.25),
    (5.1, 56.5, 2.525),
    (8.1, 226, 4),
    (6, 114, 3.3),
    (6.1, 112.5, 3.3),
    (10.1, 451.5, 5.225),
    (6.1, 112.5, 3.35),
    (6, 113, 3.25),
    (8.1, 226, 4.05),
    (10.1, 451, 5.275),
    (6.1, 113, 3.3),
)


def _products() -> dict[str, ProductTablet]:
    return {
        str(code): ProductTablet(diameter_mm=d, weight_mg=w, thickness_mm=t)
        for code, (d, w, t) in enumerate(_TABLETS, start=1)
    }


class RecordingMapping(StrictModel):
    """How a file of recorded press data is read."""

    kind: Literal["recording"] = "recording"
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    name: _Text = "rotary tablet press, 10 s"
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ";"
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ("", "NaN", "nan", "NA", "N/A", "null", "NULL", "None")
    time: TimeColumn = TimeColumn()
    period_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 10.0
    batch: _Text = "batch"
    code: _Text | None = "code"
    product: _Text | None = None
    channels: ChannelColumns = ChannelColumns()
    products: dict[str, ProductTablet] = Field(default_factory=_products)
    other_product: ProductTablet = ProductTablet(diameter_mm=8.1, weight_mg=226.0, thickness_mm=4.0)
    checks: ChecksConfig = ChecksConfig()

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.separator in '\r\n"':
            raise ValueError("separator: a line end or a quote separates nothing; such as ';'")
        if self.separator == self.decimal:
            raise ValueError("separator and decimal must differ")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"encoding: {self.encoding!r} is unknown; a name such as utf-8, utf-16 or latin-1"
            ) from error
        return self

    def tooling(self, code: str) -> Tooling:
        """Tablet and tooling of a product code; the assumed one where it is unknown."""
        tablet = self.products.get(code, self.other_product)
        return Tooling(
            diameter=tablet.diameter_mm * 1e-3,
            weight=tablet.weight_mg * 1e-6,
            thickness=tablet.thickness_mm * 1e-3,
            stations=tablet.stations,
            known=code in self.products,
        )


def factor_of(channel: str, unit: str) -> float:
    """Factor from ``unit`` to SI for a channel's numbers."""
    return _UNITS[channel][unit]


def units_of(channel: str) -> Mapping[str, float]:
    """Units that a channel may have, with their factors to SI."""
    return _UNITS[channel]
