"""Settings of a warm standby (section ``supervision.standby`` of a controller)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = ["StandbyConfig"]


class StandbyConfig(StrictModel):
    """When a standby (``twinline control --standby``) may take over from the controller it watches.

    ``promotion``: only an operator promotes it; or it does so by itself once the active controller
    was silent for ``silent_s`` of plant time, for the plant too, and the plant has shed to LOCAL.
    That closes the loop in the name of ``signed_by``, who answers for it, and is tried for
    ``give_up_s``. The active controller is looked at every ``look_s``.
    """

    promotion: Literal["operator", "automatic"] = "operator"
    signed_by: str = ""
    signed_role: str = "operator"
    silent_s: Annotated[float, Field(ge=5.0, le=3600.0)] = 30.0
    look_s: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    give_up_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 120.0

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.promotion == "automatic" and not self.signed_by.strip():
            raise ValueError(
                "signed_by: an automatic promotion closes the loop without an operator; name the "
                "user who answers for that"
            )
        return self
