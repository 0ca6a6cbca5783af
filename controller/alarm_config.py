"""Settings of the alarms (section ``supervision.alarms`` of a controller)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from plant_models.config import StrictModel

__all__ = ["AlarmConfig", "AlarmTuning"]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Delay = Annotated[float, Field(ge=0.0, le=7200.0)]


class AlarmTuning(StrictModel):
    """Times and deadband of one alarm in place of those of the list; None keeps them.

    ``id`` is an entry of the alarm list, or one that stands for several: ``mv-local`` is the
    alarm of every MV.
    """

    id: Annotated[str, Field(min_length=1)]
    on_delay_s: Delay | None = None
    off_delay_s: Delay | None = None
    deadband: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None


class AlarmConfig(StrictModel):
    """Alarms of the controller (ISA-18.2 = IEC 62682); the list itself is in the code.

    Nobody shelves for longer than ``shelve_max_minutes``. Alarms within ``first_out_s`` of each
    other belong to one episode, of which the first is marked. After the line has come back to
    running, alarms that need it wait for ``settle_s``.
    """

    shelve_max_minutes: Annotated[float, Field(gt=0.0, le=1440.0)] = 480.0
    first_out_s: Positive = 60.0
    settle_s: Delay = 120.0
    certificate_days: Positive = 30.0
    resume_warning_percent: Annotated[float, Field(gt=0.0, lt=100.0)] = 67.0
    innovation_limit: Positive = 2.0
    saturated_range_percent: Annotated[float, Field(ge=0.0, le=10.0)] = 0.5
    tuning: tuple[AlarmTuning, ...] = ()
