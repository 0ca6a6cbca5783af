"""The range in which an MV may be moved: the tightest of PLC, filed, product and operator.

All in the plant unit of the MV. Nothing here widens a range: leaving a source out, or a bound of
it, can only give the same range or a wider one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.products.sets import ProductSet, Range
from plant_models.signals import SignalTable, Snapshot
from plant_models.units import to_si

__all__ = ["SOURCES", "MvLimits", "Tightest", "mv_limits", "tightest"]

SOURCES = ("PLC", "filed", "product", "operator")
_NO_LIMIT: Range = (None, None)


@dataclass(frozen=True, slots=True)
class Tightest:
    """A range and who sets each end; ``refusal`` says why there is none, empty if there is one."""

    lo: float
    hi: float
    lo_by: str
    hi_by: str
    refusal: str = ""

    @property
    def who(self) -> str:
        """Who binds, for people."""
        return self.lo_by if self.lo_by == self.hi_by else f"{self.lo_by} and {self.hi_by}"


@dataclass(frozen=True, slots=True)
class MvLimits:
    """Ranges of all MVs by tag in plant units; ``conflicts`` are those that have none, and why."""

    ranges: Mapping[str, Tightest]
    conflicts: Mapping[str, str]

    def in_si(self, table: SignalTable) -> dict[str, tuple[float, float]]:
        """(lo, hi) by tag in SI, without the MVs in conflict."""
        return {
            tag: (to_si(r.lo, table.mv(tag).unit), to_si(r.hi, table.mv(tag).unit))
            for tag, r in self.ranges.items()
        }


def tightest(
    plc: Range | None, filed: Range | None, product: Range | None, operator: Range | None
) -> Tightest:
    """The range that all four allow.

    A source or a bound that is ``None`` sets no limit. Where two are equal, the one that is named
    first binds: it is the harder to change.
    """
    lo, hi, lo_by, hi_by = -math.inf, math.inf, "nobody", "nobody"
    for who, given in zip(SOURCES, (plc, filed, product, operator), strict=True):
        low, high = given or _NO_LIMIT
        if (low is not None and math.isnan(low)) or (high is not None and math.isnan(high)):
            return Tightest(lo, hi, lo_by, hi_by, f"a limit of {who} is not a number")
        if low is not None and low > lo:
            lo, lo_by = low, who
        if high is not None and high < hi:
            hi, hi_by = high, who
    if lo > hi:
        refusal = f"{lo_by} wants at least {lo:g}, {hi_by} at most {hi:g}"
        return Tightest(lo, hi, lo_by, hi_by, refusal)
    return Tightest(lo, hi, lo_by, hi_by)


def mv_limits(
    table: SignalTable,
    snapshot: Snapshot | None = None,
    product: ProductSet | None = None,
    operator: Mapping[str, Range] | None = None,
) -> MvLimits:
    """Ranges of all MVs now.

    Parameters
    ----------
    table
        Signal list: its range of each MV is the most that the PLC is believed to allow.
    snapshot
        For the PLC's own clamps, where they are readable.
    product
        Set of the run: filed and normal ranges.
    operator
        What operators set, by tag in plant units.
    """
    filed = {} if product is None else product.filed
    normal = {} if product is None else product.normal
    ranges: dict[str, Tightest] = {}
    conflicts: dict[str, str] = {}
    for spec in table.manipulated:
        tag = spec.tag
        found = tightest(
            (
                max(spec.lo, _read(snapshot, f"{tag}/LO", spec.lo)),
                min(spec.hi, _read(snapshot, f"{tag}/HI", spec.hi)),
            ),
            filed.get(tag),
            normal.get(tag),
            (operator or {}).get(tag),
        )
        if found.refusal:
            conflicts[tag] = f"{tag}: {found.refusal} {spec.unit}"
        else:
            ranges[tag] = found
    return MvLimits(ranges, conflicts)


def _read(snapshot: Snapshot | None, tag: str, default: float) -> float:
    value = None if snapshot is None else snapshot.number(tag)
    return default if value is None or not math.isfinite(value) else value
