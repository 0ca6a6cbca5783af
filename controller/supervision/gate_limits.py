"""How far and how fast one set point may go in a cycle: the tightest of everybody's limits.

Ours from the signal list, the plant's from its clamps, those of operator and product as SI ranges.
What is unreadable, no number, crossed or negative is said and never replaced by a default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from controller.supervision.bumpless import Bounds
from plant_models.signals import MvSpec, Snapshot, is_good
from plant_models.units import UNITS

__all__ = ["MvTags", "finite_number", "mv_tags", "tight_bounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MvTags:
    """Tags of one MV, its own limits in its plant unit, and that unit in SI.

    ``move`` is the largest move of one control period.
    """

    tag: str
    unit: str
    factor: float
    lo: float
    hi: float
    move: float
    req: str
    act: str
    src: str
    lo_tag: str
    hi_tag: str
    up_tag: str
    down_tag: str


def mv_tags(spec: MvSpec, period_s: float) -> MvTags:
    """What the gate needs of an MV in every cycle."""
    return MvTags(
        tag=spec.tag,
        unit=spec.unit,
        factor=UNITS[spec.unit].factor,
        lo=spec.lo,
        hi=spec.hi,
        move=spec.rate * period_s,
        req=f"{spec.tag}/REQ",
        act=f"{spec.tag}/ACT",
        src=f"{spec.tag}/SRC",
        lo_tag=f"{spec.tag}/LO",
        hi_tag=f"{spec.tag}/HI",
        up_tag=f"{spec.tag}/RATE_UP",
        down_tag=f"{spec.tag}/RATE_DN",
    )


def finite_number(snapshot: Snapshot, tag: str) -> float | None:
    """Value of ``tag`` if its status is Good and it is a finite number."""
    item = snapshot.values.get(tag)
    if item is not None and type(item.value) is float and is_good(item.status):
        value: float | None = item.value  # the common case, without detours
    else:
        value = snapshot.number(tag)
    return value if value is not None and math.isfinite(value) else None


def tight_bounds(mv: MvTags, snapshot: Snapshot, ours: tuple[float, float] | None) -> Bounds | str:
    """Limits of this cycle in the plant unit, or why there are none.

    Parameters
    ----------
    mv
        The MV.
    snapshot
        With the plant's clamps and rates.
    ours
        Range of operator and product (lo, hi) in SI, if there is one.
    """
    plant = []
    for tag in (mv.lo_tag, mv.hi_tag, mv.up_tag, mv.down_tag):
        value = finite_number(snapshot, tag)
        if value is None:
            return f"{tag} is unreadable"
        plant.append(value)
    lo, hi, up, down = plant
    if up < 0.0 or down < 0.0:
        return f"{mv.tag}: a rate of the plant is negative ({up:g} up, {down:g} down)"
    if lo > hi:
        return f"{mv.tag}: the plant's limits cross, {lo:g} above {hi:g} {mv.unit}"
    if lo > mv.hi or hi < mv.lo:
        return (
            f"{mv.tag}: the plant's range {lo:g}..{hi:g} lies outside ours "
            f"{mv.lo:g}..{mv.hi:g} {mv.unit}"
        )
    lo, hi = max(lo, mv.lo), min(hi, mv.hi)
    if ours is not None:
        low, high = ours[0] / mv.factor, ours[1] / mv.factor
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            return f"{mv.tag}: {low:g}..{high:g} {mv.unit} is no range"
        if low > hi or high < lo:
            return (
                f"{mv.tag}: the range of operator and product {low:g}..{high:g} lies outside "
                f"{lo:g}..{hi:g} {mv.unit}"
            )
        lo, hi = max(lo, low), min(hi, high)
    return Bounds(lo=lo, hi=hi, up=min(up, mv.move), down=min(down, mv.move))
