"""Powder lots in the feeders: what each feeder delivers at a plant second.

A new lot reaches the screw at once (the heel of the old one is neglected, assumed) and travels
with its component from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hil.config import LotChange, Scheduled
from hil.mismatch import Mismatch
from plant_models.line import ResolvedLine, compaction, nominal_extent, strength

__all__ = ["PROPERTIES", "Lots"]

PROPERTIES = ("specific_volume", "pressure_scale", "strength_0", "extent")


@dataclass(frozen=True, slots=True)
class _Change:
    second: int
    feeder: int
    lot: str
    factors: tuple[float, float, float, float]
    feed_factor: float


class Lots:
    """Material attributes by feeder and second; stateless.

    An attribute row holds the mass fraction of each component, then `PROPERTIES`: specific volume
    [m3/kg], pressure scale 1/b [Pa], strength at zero porosity [Pa], lubrication extent [rev]. All
    of them are linear in mass (M1, M2 of `plant_models.materials`), the strength by assumption.
    """

    def __init__(
        self, line: ResolvedLine, mismatch: Mismatch, events: Sequence[Scheduled] = ()
    ) -> None:
        self._names = tuple(f"{f.name[0].upper()}-0001" for f in line.line.feeders)
        n = len(line.components)
        rows = np.zeros((n, n + len(PROPERTIES)))
        rows[:, :n] = np.eye(n)
        for i, component in enumerate(line.components):
            rows[i, n] = 1.0 / (component.bulk_density_kg_m3 * mismatch.bulk_density)
        rows[:, n + 1] = compaction(line.blend).scale * mismatch.pressure_scale
        rows[:, n + 2] = strength(line.blend, nominal_extent(line)).sigma_0 * mismatch.strength
        self._first = rows
        self._changes = tuple(
            change
            for item in sorted(events, key=lambda s: s.second)
            if isinstance(item.event, LotChange)
            for change in _changes(line, item.second, item.event)
        )

    def rows(self, second: int) -> NDArray[np.float64]:
        """``(feeders, attributes)`` of what leaves each screw in this second."""
        rows = self._first
        components = rows.shape[0]
        for change in self._changes:
            if change.second <= second:
                rows = rows.copy()
                rows[change.feeder, components:] *= change.factors
        return rows

    def feed_factor(self, feeder: int, second: int) -> float:
        """Relative feed factor [-] of the lot in ``feeder``."""
        factor = 1.0
        for change in self._changes:
            if change.feeder == feeder and change.second <= second:
                factor *= change.feed_factor
        return factor

    def name(self, feeder: int, second: int) -> str:
        """Lot in use in ``feeder``."""
        name = self._names[feeder]
        for change in self._changes:
            if change.feeder == feeder and change.second <= second:
                name = change.lot
        return name


def _changes(line: ResolvedLine, second: int, event: LotChange) -> list[_Change]:
    factors = (
        1.0 / (1.0 + event.bulk_density_percent / 100.0),
        1.0 + event.pressure_scale_percent / 100.0,
        1.0 + event.strength_percent / 100.0,
        1.0,
    )
    return [
        _Change(second, i, event.lot, factors, 1.0 + event.feed_factor_percent / 100.0)
        for i, feeder in enumerate(line.line.feeders)
        if feeder.role == event.role
    ]
