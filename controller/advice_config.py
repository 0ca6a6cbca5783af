"""Settings of the advice (section ``supervision.advice`` of a controller)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = ["AdviceConfig", "ToleranceConfig"]

Percent = Annotated[float, Field(gt=0.0, le=50.0)]
Steps = Annotated[float, Field(gt=0.0, le=100.0)]
Seconds = Annotated[float, Field(ge=0.0, le=7200.0)]


class ToleranceConfig(StrictModel):
    """Deviation of a controlled variable that matters to people, in percent of its set point."""

    potency_percent: Percent = 0.3
    tablet_weight_percent: Percent = 0.3
    tensile_strength_percent: Percent = 1.5
    throughput_percent: Percent = 1.0

    def share(self, variable: str) -> float | None:
        """Tolerance of a variable as a share of its set point; None if it has none."""
        percent = getattr(self, f"{variable}_percent", None)
        return None if percent is None else float(percent) / 100.0


class AdviceConfig(StrictModel):
    """Advised moves in ADVISORY. Steps are an MV's largest move in one control period.

    ``accept``: an accepted advice is a record, and the operator enters the move at the PLC; or the
    controller calls the PLC's ``OperatorSet`` in the operator's name. Moves below ``dead_band`` are
    not advised. An advice stays the same while what is planned differs from it by less than
    ``change``; it is overtaken when the set point in use has moved by more than ``set_point``. Held
    by an operator it is not replaced for ``hold_max_s``; rejected, the move is not advised again
    for ``reject_s`` unless where it leads to differs by more than ``reject_change``; accepted, not
    for ``accepted_s``, in which the operator enters it. Effects are told for ``effect_s`` ahead.
    """

    accept: Literal["record", "operator_set"] = "record"
    expiry_cycles: Annotated[int, Field(ge=1, le=100)] = 3
    dead_band_steps: Steps = 0.5
    change_steps: Steps = 0.5
    set_point_steps: Steps = 0.3
    hold_max_s: Seconds = 60.0
    reject_s: Seconds = 600.0
    reject_change_steps: Steps = 5.0
    accepted_s: Seconds = 15.0
    effect_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 360.0
    tolerances: ToleranceConfig = ToleranceConfig()

    @model_validator(mode="after")
    def _one_step(self) -> Self:
        if self.dead_band_steps >= 1.0:
            raise ValueError(
                f"dead_band_steps {self.dead_band_steps:g} must be below 1: no move is larger than "
                "one step, so nothing would ever be advised"
            )
        return self
