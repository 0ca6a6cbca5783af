"""Settings of the steady-state target (section ``optimisation.steady`` of a controller)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = ["SteadyConfig"]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0.0, le=50.0)]


class SteadyConfig(StrictModel):
    """Steady-state target: what the set points become where they cannot all be met, or need not.

    ``economic: on`` replaces the operator's set points by the most valuable ones within
    ``*_permitted_*`` of them (percent of the set point, `throughput_permitted_kg_h` absolute; None:
    the range of the total feed); ``off`` keeps them, and only relaxes what cannot be met. Prices
    are in one currency; all defaults are assumed. ``drive_efficiency`` is the share of the drive's
    energy that becomes compaction work, ``tablet_weight_rsd_percent`` the scatter of single
    tablets (median of 1005 recorded batches: Zagar & Mihelic 2022, Sci Data 9:99). ``filter_s``
    smooths economic set points; ``range_margin_percent`` of each range they leave to control. A set
    point that must be relaxed may end twice as far off, but not more than ``indifference_scales``
    further, where that serves the less important ones.
    """

    economic: bool = False
    indifference_scales: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0
    value_per_1000_tablets: Price = 20.0
    material_per_kg: Price = 40.0
    energy_per_kwh: Price = 0.25
    drive_efficiency: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    tablet_weight_rsd_percent: Positive = 0.97
    potency_permitted_percent: Percent = 0.0
    weight_permitted_percent: Percent = 0.0
    strength_permitted_percent: Percent = 0.0
    throughput_permitted_kg_h: tuple[Positive, Positive] | None = None
    range_margin_percent: Annotated[float, Field(ge=0.0, le=40.0)] = 4.0
    filter_s: Positive = 60.0

    @model_validator(mode="after")
    def _throughput(self) -> Self:
        band = self.throughput_permitted_kg_h
        if band is not None and not band[0] <= band[1]:
            raise ValueError(
                f"throughput_permitted_kg_h: {band[0]:g} must not exceed {band[1]:g} kg/h"
            )
        return self
