"""Settings of the loss ladder and of diversion (section ``supervision.ladder`` of a controller)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = ["AllowanceConfig", "DiversionConfig", "LadderConfig"]

Seconds = Annotated[float, Field(ge=0.0, le=7200.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Cycles = Annotated[int, Field(ge=1, le=1000)]
Instrument = Literal[
    "nir",
    "lab",
    "main_force",
    "pre_force",
    "api_load_cell",
    "filler_load_cell",
    "lubricant_load_cell",
    "chute_level",
]

_FORCE_LONGEST_S = 30.0


class AllowanceConfig(StrictModel):
    """How long the twin may stand in for a lost instrument; the laboratory by missed samples."""

    nir_s: Seconds = 600.0
    lab_samples: Annotated[int, Field(ge=0, le=20)] = 2
    main_force_s: Seconds = 0.0
    pre_force_s: Seconds = 1800.0
    api_load_cell_s: Seconds = 300.0
    filler_load_cell_s: Seconds = 300.0
    lubricant_load_cell_s: Seconds = 600.0
    chute_level_s: Seconds = 600.0

    @model_validator(mode="after")
    def _force(self) -> Self:
        if self.main_force_s > _FORCE_LONGEST_S:
            raise ValueError(
                f"main_force_s {self.main_force_s:g} is too long: without its force the press's "
                f"own loop holds nothing; {_FORCE_LONGEST_S:g} s at most"
            )
        return self


class DiversionConfig(StrictModel):
    """When tablets are diverted for what the estimate says.

    They are while an estimated mean lies within ``scatter_margin`` standard deviations of single
    tablets (``weight_scatter_percent``, ``strength_scatter_percent``; of the mean of one revolution
    for the assay) of a limit, or beyond it, for ``after_cycles``; no more once it has been inside
    by another ``return_margin`` of them for ``return_cycles``. The assay, which comes with the
    powder, is looked at ``assay_ahead_s`` ahead, at the pace at which it changes.
    """

    enabled: bool = True
    scatter_margin: Positive = 1.0
    return_margin: Positive = 0.5
    weight_scatter_percent: Positive = 0.97
    strength_scatter_percent: Positive = 5.0
    assay_scatter_percent: Positive = 0.5
    assay_ahead_s: Annotated[float, Field(ge=0.0, le=120.0)] = 20.0
    after_cycles: Cycles = 2
    return_cycles: Cycles = 12


class LadderConfig(StrictModel):
    """Loss ladder: allowances, when an instrument is lost, what it must show to come back.

    An instrument is lost at its first reading that is certainly wrong, else after ``lost_after_s``
    without a usable one (the main force ``force_lost_after_s``). It comes back when
    ``return_readings`` readings in a row are usable and their mean agrees with redundant
    information within the ``*_agrees_percent`` of its kind, or when somebody has checked it.
    ``lab_slack_s`` is how late a result may be; ``rows_off`` are instruments that the line lacks.
    """

    enabled: bool = True
    allowed: AllowanceConfig = AllowanceConfig()
    lost_after_s: Positive = 20.0
    force_lost_after_s: Positive = 10.0
    lab_period_s: Positive = 300.0
    lab_delay_s: Seconds = 120.0
    lab_slack_s: Seconds = 60.0
    return_readings: Annotated[int, Field(ge=2, le=1000)] = 12
    nir_agrees_percent: Positive = 1.5
    lab_weight_agrees_percent: Positive = 2.0
    lab_strength_agrees_percent: Positive = 12.0
    force_agrees_percent: Positive = 5.0
    load_cell_agrees_percent: Positive = 5.0
    level_agrees_percent: Positive = 20.0
    diversion: DiversionConfig = DiversionConfig()
    rows_off: tuple[Instrument, ...] = ()
