"""Settings of the readiness report (section ``supervision.readiness`` of a controller)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from controller.advice_config import ToleranceConfig
from plant_models.config import StrictModel

__all__ = ["ReadinessConfig"]

Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class ReadinessConfig(StrictModel):
    """How the controller judges itself in ADVISORY, and what it must reach.

    ``required``: CLOSED_LOOP is offered only when all is reached; else the report only informs.
    Judged are forecasts ``look_ahead_s`` ahead over the last ``window_s`` of ADVISORY, at least
    ``least_cycles`` of them; a forecast counts for what the operator's own moves have not touched
    (less than ``moved_steps`` of an MV's largest move in one period). ``error_max_tolerances`` is
    the largest root mean square error, ``coverage_min_percent`` the least share of 95 % intervals
    that held, ``loss_max_percent`` how much dearer than the operator's settings the plan may have
    been forecast; below ``cost_floor`` (mean square deviation in tolerances) neither is dear.
    """

    required: bool = False
    least_cycles: Annotated[int, Field(ge=1, le=100_000)] = 120
    look_ahead_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 180.0
    window_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 3600.0
    sample_delay_max_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 900.0
    least_samples: Annotated[int, Field(ge=1, le=1000)] = 3
    moved_steps: Positive = 0.5
    error_max_tolerances: Positive = 3.0
    coverage_min_percent: Percent = 80.0
    loss_max_percent: Percent = 10.0
    cost_floor: Positive = 1.0
    solved_min_percent: Percent = 95.0
    converged_min_percent: Percent = 90.0
    permissives_min_percent: Percent = 90.0
    solve_ms_max: Positive = 2500.0
    tolerances: ToleranceConfig = ToleranceConfig()

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.window_s <= self.look_ahead_s:
            raise ValueError(
                f"window_s {self.window_s:g} must be longer than look_ahead_s "
                f"{self.look_ahead_s:g}, else no forecast is ever judged"
            )
        return self
