"""What cleaning leaves of the product before, and how much has to be pressed to wash it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plant_models.blender import hold_up_at
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    chute_parameters,
    frame_parameters,
    nominal_flow,
)

__all__ = ["CLEANING", "Left", "wash_out"]

_DM = 0.002  # kg per step of the wash-out
_MOST_KG = 50.0
_SAFETY = 1.5  # the blender mixes further back than tanks in series do


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Shares [-] of what each unit held that emptying and cleaning leave behind."""

    blender: float = 0.0
    chute: float = 0.0
    frame: float = 0.0

    def __post_init__(self) -> None:
        if not all(0.0 <= x <= 1.0 for x in (self.blender, self.chute, self.frame)):
            raise ValueError("what is left of the powder must be shares between 0 and 1")


CLEANING: Mapping[str, Left] = {
    "none": Left(blender=1.0, chute=1.0, frame=1.0),
    "dry": Left(blender=0.02, chute=0.01, frame=0.02),
    "wet": Left(),
}
"""What is left after each kind of cleaning that people can state (assumed)."""


def wash_out(line: ResolvedLine, left: Left, carry_over: float) -> float:
    """Mass [kg] to press until tablets hold at most ``carry_over`` of what is left in the path.

    The blender is taken as the twin's tanks in series, filled as at the nominal point and holding
    as much of the other powder as they can have kept; then the chute, first in first out, and the
    feed frame, mixed. With a margin of half.
    """
    if not 0.0 < carry_over < 1.0:
        raise ValueError(f"carry_over must lie between 0 and 1, not {carry_over:g}")
    p = blender_parameters(line)
    chute = chute_parameters(line).volume * line.blend.bulk_density_kg_m3
    frame_hold_up = frame_parameters(line).hold_up
    tank = float(hold_up_at(p, nominal_flow(line), p.speed_0)) / p.tanks
    tanks = np.full(p.tanks, left.blender)
    plug = [left.chute] * max(1, round(chute / _DM))
    frame, pressed, clean_since = left.frame, 0.0, 0.0
    while pressed < _MOST_KG:
        foreign = 0.0
        for i in range(p.tanks):
            tanks[i] += _DM / (tank + _DM) * (foreign - tanks[i])
            foreign = float(tanks[i])
        plug.append(foreign)
        frame += _DM / (frame_hold_up + _DM) * (plug.pop(0) - frame)
        pressed += _DM
        if frame > carry_over:
            clean_since = pressed
        elif max(float(tanks.max()), max(plug)) <= carry_over:
            return _SAFETY * clean_since
    raise ValueError(f"{carry_over:g} is not reached within {_MOST_KG:g} kg")
