"""Settings of the press monitor (section ``press`` of ``kind: controller``), units in the names.

The cell's constants come from a fit (`tools.commissioning.press_fit`); the defaults are those of
the larger product of the shipped recordings with literature values of its powder.
"""

from __future__ import annotations

from math import pi
from typing import Annotated, Literal

from pydantic import Field

from plant_models.config import StrictModel
from plant_models.press_cell import PressCell

__all__ = ["CellConfig", "PressForecastConfig", "PressMonitorConfig", "PressSensorConfig"]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class CellConfig(StrictModel):
    """One product on one press; see `plant_models.press_cell`."""

    law: Literal["kawakita", "heckel"] = "kawakita"
    diameter_mm: Positive = 8.1
    cup_height_mm: NonNegative = 0.8
    lower_cup_mm: NonNegative = 0.4
    compliance_um_per_kn: Positive = 15.0
    true_density_kg_m3: Positive = 1520.0
    bulk_density_kg_m3: Positive = 640.0
    kawakita_a: Share = 0.70
    kawakita_scale_mpa: Positive = 12.0
    critical_density: Share = 0.30
    heckel_slope_per_gpa: Positive = 10.7
    heckel_intercept: NonNegative = 0.657
    speed_sensitivity: Number = 0.0
    tablet_rate_ref_per_h: Positive = 120_000.0

    def cell(self) -> PressCell:
        """The same in SI."""
        return PressCell(
            law=self.law,
            die_area=0.25 * pi * (self.diameter_mm * 1e-3) ** 2,
            cup_height=self.cup_height_mm * 1e-3,
            lower_cup=self.lower_cup_mm * 1e-3,
            compliance=self.compliance_um_per_kn * 1e-9,
            true_density=self.true_density_kg_m3,
            bulk_density=self.bulk_density_kg_m3,
            a=self.kawakita_a,
            scale=self.kawakita_scale_mpa * 1e6,
            critical_density=self.critical_density,
            heckel_slope=self.heckel_slope_per_gpa * 1e-9,
            heckel_intercept=self.heckel_intercept,
            speed_sensitivity=self.speed_sensitivity,
            rate_ref=self.tablet_rate_ref_per_h / 3600.0,
        )


class PressSensorConfig(StrictModel):
    """Moving-horizon soft sensor: powder in the die and effective fill depth, sample by sample.

    ``powder_walk`` is the standard deviation of the step of ln specific volume over one sample,
    ``fill_walk_mm`` that of the effective fill depth; ``restart_walk`` multiplies both over a stop.
    """

    window_samples: Annotated[int, Field(ge=6, le=360)] = 72
    steps: Annotated[int, Field(ge=1, le=10)] = 2
    force_sd_kn: Positive = 0.10
    fill_sd_mm: Positive = 0.03
    powder_walk: Positive = 7e-4
    fill_walk_mm: Positive = 0.01
    restart_walk: Positive = 5.0
    dof_measured: Positive = 4.0
    dof_walk: Positive = 3.0


class PressForecastConfig(StrictModel):
    """Forecast of the main force over ``steps`` samples and its intervals.

    ``weighted_mean`` is the weight of the newest sample in the long mean of the force;
    ``smoothing`` those of the leaky integrators on which the reply of the loop is learnt, falling;
    ``prior_sd`` the standard deviation of its coefficients, which walk by that much over
    ``memory_samples`` steps taken one way; ``clip`` how many times its usual size a signal counts
    at most; ``trust_samples`` how far back the forecasters are compared and ``trust`` how slowly
    the worse ones lose their weight; ``spread_samples`` how far back the error is averaged for
    ``coverage``, which ``coverage_gain`` per outcome keeps; ``young_s`` after a start, forecasts
    have losses and spread of their own.
    """

    steps: Annotated[int, Field(ge=1, le=60)] = 6
    weighted_mean: Share = 0.15
    smoothing: Annotated[tuple[Share, ...], Field(min_length=1, max_length=8)] = (
        0.3,
        0.14,
        0.05,
        0.015,
    )
    memory_samples: Positive = 120.0
    prior_sd: Positive = 0.2
    clip: Positive = 4.0
    trust_samples: Positive = 400.0
    trust: Positive = 5.0
    spread_samples: Positive = 400.0
    young_s: Positive = 300.0
    coverage: Share = 0.95
    coverage_gain: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.02


class PressMonitorConfig(StrictModel):
    """The press alone: its cell, the soft sensor on it, the forecast of its main force."""

    cell: CellConfig = CellConfig()
    sensor: PressSensorConfig = PressSensorConfig()
    forecast: PressForecastConfig = PressForecastConfig()
