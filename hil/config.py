"""Configuration of the stand-in: scenarios, and the truth that the twin must not know.

Models only, in plant units named by their suffix. Percentages of the mismatch set are relative to
the configured line; every entry is ``{nominal, range}`` and is either used at its nominal value or
drawn per seed (`hil.mismatch`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plant_models.config import (
    REQUIRED_MANIPULATED,
    Fraction,
    NonNegative,
    Number,
    Percent,
    Positive,
    StrictModel,
)

__all__ = [
    "BlenderTruth",
    "CloseLoop",
    "EventConfig",
    "FeedingTruth",
    "InitialConfig",
    "InstrumentFails",
    "InstrumentTruth",
    "KillPlant",
    "LabMissing",
    "LineStop",
    "LocalTakeover",
    "LotChange",
    "MismatchConfig",
    "NirDrift",
    "PressTruth",
    "RoleErrors",
    "ScenarioConfig",
    "Scheduled",
    "ThroughputChange",
    "TruthConfig",
    "Uncertain",
]


class Uncertain(StrictModel):
    """An error of the plant: its nominal value and the largest one either way."""

    nominal: Number
    range: NonNegative

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if abs(self.nominal) > self.range:
            raise ValueError(f"nominal {self.nominal:g} lies outside +-{self.range:g}")
        return self


class RoleErrors(StrictModel):
    """One error per feeder, by the feeder's role."""

    api: Uncertain
    filler: Uncertain
    lubricant: Uncertain
    excipient: Uncertain = Uncertain(nominal=0.0, range=0.0)


class MismatchConfig(StrictModel):
    """Constant errors of the truth against the line's configuration."""

    bulk_density_percent: Uncertain
    pressure_scale_percent: Uncertain
    strength_percent: Uncertain
    feed_factor_percent: RoleErrors
    blender_peclet_percent: Uncertain
    blender_hold_up_percent: Uncertain
    load_cell_span_percent: RoleErrors
    nir_bias_percent: Uncertain
    nir_delay_s: Uncertain
    nir_drift_percent_per_h: Uncertain
    compliance_percent: Uncertain
    backlash_um: Uncertain


class FeedingTruth(StrictModel):
    """What disturbs the feeders beyond the configured line."""

    arma_phi: tuple[Number, Number]
    arma_theta: Number
    student_nu: Annotated[float, Field(gt=2.0)]
    drift_percent: NonNegative
    drift_time_s: Positive
    wear_percent_per_h: NonNegative
    dip_percent: Percent
    dips_per_h: NonNegative
    dip_duration_s: Positive

    @model_validator(mode="after")
    def _stationary(self) -> Self:
        first, second = self.arma_phi
        if not (abs(second) < 1.0 and first + second < 1.0 and second - first < 1.0):
            raise ValueError(f"arma_phi {first:g}, {second:g} is not stationary")
        return self


class BlenderTruth(StrictModel):
    """Axially dispersed blender."""

    cells: Annotated[int, Field(ge=20, le=200)]
    peclet: Positive


class PressTruth(StrictModel):
    """Scatter of die filling and tooling, noise of the bulk density, strain-rate effect."""

    weight_rsd_percent: NonNegative
    weight_rsd_growth_per_rpm: NonNegative
    tooling_force_percent: NonNegative
    tooling_station_share: Fraction
    density_fast_percent: NonNegative
    density_fast_s: Positive
    density_slow_percent: NonNegative
    density_slow_s: Positive
    strain_rate_percent_per_decade: NonNegative
    backlash_um: NonNegative
    starve_frame_percent: Annotated[float, Field(gt=0.0, le=100.0)]


class InstrumentTruth(StrictModel):
    """Faults of the instruments beyond their noise (which the line's configuration states)."""

    weight_disturbances_per_h: NonNegative
    weight_disturbance_percent: NonNegative
    weight_disturbance_s: Positive
    weight_spikes_per_h: NonNegative
    level_spikes_per_h: NonNegative
    level_spike_percent: NonNegative
    nir_outlier_percent: Percent
    nir_outlier_size_percent: NonNegative
    lab_missing_percent: Percent
    torque_nominal_n_m: Positive


class InitialConfig(StrictModel):
    """What is in the line at plant second 0, at the recipe's composition."""

    blender_kg: Annotated[float, Field(ge=0.02)]
    chute_percent: Percent
    frame_percent: Percent


class TruthConfig(StrictModel):
    """The truth model: everything that the twin does not know."""

    mismatch_mode: Literal["nominal", "drawn"]
    mismatch: MismatchConfig
    initial: InitialConfig
    feeding: FeedingTruth
    blender: BlenderTruth
    press: PressTruth
    instruments: InstrumentTruth

    @model_validator(mode="after")
    def _enough_cells(self) -> Self:
        worst = self.blender.peclet * (1.0 + self.mismatch.blender_peclet_percent.range / 100.0)
        if self.blender.cells < worst / 2.0:
            raise ValueError(f"blender: Pe up to {worst:g} needs at least {worst / 2.0:g} cells")
        return self


class _Event(StrictModel):
    """Something that happens at a share of the shift after start-up."""

    at: Fraction


class CloseLoop(_Event):
    """A scripted operator asks for CLOSED_LOOP as soon as the permissives allow."""

    event: Literal["close_loop"]


class LotChange(_Event):
    """A new lot reaches the screw of the feeder with this role; changes in % of the old lot."""

    event: Literal["lot_change"]
    role: Literal["api", "filler", "lubricant", "excipient"]
    lot: str = Field(min_length=1)
    bulk_density_percent: Annotated[float, Field(gt=-50.0, lt=100.0)] = 0.0
    pressure_scale_percent: Annotated[float, Field(gt=-90.0, lt=300.0)] = 0.0
    strength_percent: Annotated[float, Field(gt=-90.0, lt=300.0)] = 0.0
    feed_factor_percent: Annotated[float, Field(gt=-90.0, lt=300.0)] = 0.0


class NirDrift(_Event):
    """The NIR bias ramps by ``bias_percent`` of label over a share ``over`` of the shift."""

    event: Literal["nir_drift"]
    bias_percent: Number
    over: Annotated[float, Field(gt=0.0, le=1.0)]


class ThroughputChange(_Event):
    """The operator changes the throughput target by a percentage of the product's set point."""

    event: Literal["throughput"]
    change_percent: Annotated[float, Field(gt=-90.0, lt=100.0)]


class LabMissing(_Event):
    """The first at-line sample due from then on is not taken."""

    event: Literal["lab_missing"]


class KillPlant(_Event):
    """The plant process is killed and restarted; the operator re-enters CLOSED_LOOP."""

    event: Literal["kill_plant"]


class InstrumentFails(_Event):
    """An instrument fails, for a share ``over`` of the shift or for good; see `hil.faults`.

    What ``size`` means depends on the fault; ``ramp_s`` is how long it takes to get there.
    """

    event: Literal["instrument"]
    instrument: Literal[
        "nir",
        "lab",
        "main_force",
        "pre_force",
        "load_cell_1",
        "load_cell_2",
        "load_cell_3",
        "chute_level",
        "plant_clock",
    ]
    fault: Literal[
        "lost",
        "frozen",
        "biased",
        "drifting",
        "fouled",
        "spikes",
        "wrong_type",
        "wrong_unit",
        "clock_offset",
        "clock_drift",
    ]
    size: Number = 0.0
    over: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    ramp_s: Positive = 600.0


class LineStop(_Event):
    """The operator holds the line, and restarts it after a share ``over`` of the shift."""

    event: Literal["line_stop"]
    over: Annotated[float, Field(gt=0.0, le=1.0)]


class LocalTakeover(_Event):
    """The operator keeps a set point, changed by a percentage, for a share of the shift."""

    event: Literal["local"]
    mv: str
    over: Annotated[float, Field(gt=0.0, le=1.0)]
    change_percent: Annotated[float, Field(gt=-50.0, lt=100.0)] = 0.0

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.mv not in REQUIRED_MANIPULATED:
            raise ValueError(
                f"mv: {self.mv} is no manipulated variable; there are "
                f"{', '.join(sorted(REQUIRED_MANIPULATED))}"
            )
        return self


Event = (
    CloseLoop
    | LotChange
    | NirDrift
    | ThroughputChange
    | LabMissing
    | KillPlant
    | InstrumentFails
    | LineStop
    | LocalTakeover
)
EventConfig = Annotated[Event, Field(discriminator="event")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """An event in plant seconds; ``duration`` is 0 where it has none."""

    second: int
    duration: int
    event: Event


class ScenarioConfig(StrictModel):
    """A scripted run: start-up, then ``minutes`` with events at fractions of them."""

    kind: Literal["scenario"]
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    line: str
    start_up_minutes: Annotated[float, Field(ge=0.0, le=120.0)]
    minutes: Annotated[float, Field(gt=0.0, le=1440.0)]
    events: tuple[EventConfig, ...] = ()
    truth: TruthConfig

    def total_seconds(self, minutes: float | None = None) -> int:
        """Length of the run [s]; ``minutes`` replaces the configured length of the shift."""
        length = self.minutes if minutes is None else minutes
        return round(60.0 * (self.start_up_minutes + length))

    def schedule(self, minutes: float | None = None) -> tuple[Scheduled, ...]:
        """Events in order of time; ``minutes`` replaces the configured length of the shift."""
        length = 60.0 * (self.minutes if minutes is None else minutes)
        start = 60.0 * self.start_up_minutes
        scheduled = (
            Scheduled(
                second=round(start + e.at * length),
                duration=_duration(e, length),
                event=e,
            )
            for e in self.events
        )
        return tuple(sorted(scheduled, key=lambda s: s.second))


def _duration(event: Event, length: float) -> int:
    """Seconds that an event of a shift of ``length`` [s] lasts; 0: none, or for good."""
    lasting = (NirDrift, InstrumentFails, LineStop, LocalTakeover)
    if not isinstance(event, lasting) or event.over is None:
        return 0
    return max(1, round(event.over * length))
