"""Settings of the individual service of variables (section ``supervision.service``)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import REQUIRED_MANIPULATED, StrictModel

__all__ = ["ServiceConfig"]

Variable = Literal["potency", "tablet_weight", "tensile_strength", "throughput"]
Cycles = Annotated[int, Field(ge=1, le=2000)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class ServiceConfig(StrictModel):
    """Which variables the loop needs, and how it lives without the others.

    With any of ``critical_variables`` (controlled) or of ``supervision.critical`` (manipulated) out
    of service, or with fewer than the ``minimum_*``, the loop is not held closed. A controlled
    variable without a usable measurement for ``predicted_after_cycles`` is predicted by the twin
    for ``predicted_cycles``, then it is out. A manipulated variable that comes back in closed loop
    follows its actual value for ``init_cycles`` before it is moved. ``out`` are out of service
    until an operator takes them in.

    ``role_shares`` is the part of a permitted range, around its middle or around the product's
    target, within which a role may set limits and targets; a role that is absent has all of it. A
    range that an operator leaves to a variable is at least ``least_room_percent`` of the permitted
    one: whoever wants it to stand still takes it out of service.
    """

    critical_variables: tuple[Variable, ...] = ("tablet_weight",)
    minimum_manipulated: Annotated[int, Field(ge=1, le=8)] = 1
    minimum_controlled: Annotated[int, Field(ge=1, le=4)] = 1
    predicted_after_cycles: Cycles = 12
    predicted_cycles: Cycles = 120
    init_cycles: Cycles = 2
    out: tuple[str, ...] = ()
    role_shares: tuple[tuple[str, Share], ...] = ()
    least_room_percent: Annotated[float, Field(ge=0.0, le=50.0)] = 2.0

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.out) - set(REQUIRED_MANIPULATED))
        if unknown:
            raise ValueError(
                f"out: {', '.join(unknown)} is no manipulated variable; there are "
                f"{', '.join(sorted(REQUIRED_MANIPULATED))}"
            )
        roles = [role for role, _ in self.role_shares]
        if len(set(roles)) != len(roles):
            raise ValueError("role_shares: a role occurs twice; every role once")
        return self
