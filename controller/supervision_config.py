"""Settings of supervision: modes, permissives, the write gate, and what watches over them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from controller.advice_config import AdviceConfig
from controller.alarm_config import AlarmConfig
from controller.ladder_config import LadderConfig
from controller.measurement_config import MeasurementConfig
from controller.products_config import ProductsConfig
from controller.readiness_config import ReadinessConfig
from controller.service_config import ServiceConfig
from controller.standby_config import StandbyConfig
from plant_models.config import REQUIRED_MANIPULATED, StrictModel

__all__ = ["DebounceConfig", "SupervisionConfig"]

Cycles = Annotated[int, Field(ge=1, le=1000)]


class DebounceConfig(StrictModel):
    """Cycles for which a permissive that is not safety may be lost before control is shed."""

    measurements_cycles: Cycles = 3
    set_points_cycles: Cycles = 3
    estimator_cycles: Cycles = 24
    solver_cycles: Cycles = 6
    commands_cycles: Cycles = 3
    instruments_cycles: Cycles = 1
    services_cycles: Cycles = 3


class SupervisionConfig(StrictModel):
    """Modes, permissives and the write gate. Counts are control cycles.

    ``critical`` are MVs without which the loop is not held closed; any other that is lost becomes
    a disturbance.
    """

    start_mode: Literal["OFF", "MONITORING"] = "MONITORING"
    operator_roles: Annotated[tuple[str, ...], Field(min_length=1)] = ("operator", "supervisor")
    reason_min_characters: Annotated[int, Field(ge=1, le=200)] = 3
    estimator_cycles: Cycles = 12
    solver_cycles: Cycles = 6
    debounce: DebounceConfig = DebounceConfig()
    grant_cycles: Cycles = 3
    resume_within_s: Annotated[float, Field(ge=0.0, le=7200.0)] = 900.0
    heartbeat_age_max_s: Annotated[float, Field(gt=0.0, le=120.0)] = 3.0
    plan_age_max_cycles: Annotated[int, Field(ge=0, le=100)] = 6
    closing_ramp_cycles: Cycles = 5
    critical: tuple[str, ...] = ()
    service: ServiceConfig = ServiceConfig()
    measurement: MeasurementConfig = MeasurementConfig()
    ladder: LadderConfig = LadderConfig()
    advice: AdviceConfig = AdviceConfig()
    readiness: ReadinessConfig = ReadinessConfig()
    alarms: AlarmConfig = AlarmConfig()
    products: ProductsConfig = ProductsConfig()
    standby: StandbyConfig = StandbyConfig()

    @model_validator(mode="after")
    def _standby_may_operate(self) -> Self:
        role = self.standby.signed_role
        if self.standby.promotion == "automatic" and role not in self.operator_roles:
            raise ValueError(
                f"standby.signed_role: {role} may not close the loop; operator_roles are "
                f"{', '.join(self.operator_roles)}"
            )
        return self

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.critical) - set(REQUIRED_MANIPULATED))
        if unknown:
            raise ValueError(
                f"critical: {', '.join(unknown)} is no manipulated variable; there are "
                f"{', '.join(sorted(REQUIRED_MANIPULATED))}"
            )
        return self
