"""Plant units and their conversion to SI, once, at the edge.

Inside everything is SI; a tag, a configuration value or a plot carries a plant unit. The UN/ECE
Recommendation 20 code identifies the unit to OPC UA clients (OPC 10000-8, EUInformation).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LABEL_PERCENT", "UNITS", "Unit", "from_si", "to_si"]

LABEL_PERCENT = "% of label"


@dataclass(frozen=True, slots=True)
class Unit:
    """A plant unit: ``si = value * factor``; ``code`` is its UN/ECE code, empty if it has none."""

    symbol: str
    factor: float
    code: str
    description: str


UNITS: dict[str, Unit] = {
    u.symbol: u
    for u in (
        Unit("", 1.0, "C62", "one"),
        Unit("kg/h", 1.0 / 3600.0, "E93", "kilogram per hour"),
        Unit("kg", 1.0, "KGM", "kilogram"),
        Unit("mg", 1e-6, "MGM", "milligram"),
        Unit("rpm", 1.0 / 60.0, "RPM", "revolutions per minute"),
        Unit("mm", 1e-3, "MMT", "millimetre"),
        Unit("kN", 1e3, "B47", "kilonewton"),
        Unit("N", 1.0, "NEW", "newton"),
        Unit("N m", 1.0, "NU", "newton metre"),
        Unit("MPa", 1e6, "MPA", "megapascal"),
        Unit("%", 1e-2, "P1", "percent"),
        Unit(LABEL_PERCENT, 1e-2, "P1", "percent of the label claim"),
        Unit("s", 1.0, "SEC", "second"),
        Unit("1/h", 1.0 / 3600.0, "H10", "per hour"),
    )
}


def to_si(value: float, unit: str) -> float:
    """Convert ``value`` from plant ``unit`` to SI. Raises ``KeyError`` for an unknown unit."""
    return value * UNITS[unit].factor


def from_si(value: float, unit: str) -> float:
    """Convert ``value`` from SI to plant ``unit``. Raises ``KeyError`` for an unknown unit."""
    return value / UNITS[unit].factor
