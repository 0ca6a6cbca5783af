"""A plant of a few lines, its validation and the health of its measurements, cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from controller.data import CV, Estimate, Interval, Measurement, Validated
from controller.measurement.health import HealthReport, HealthState, assess
from controller.measurement.ne107 import SignalHealth
from controller.measurement_config import MeasurementConfig
from controller.validation import ValidationState, Validator
from plant_models.signals import PlcMode, Snapshot
from tests.controller.kit import PERIOD, TABLE, TinyPlant, controller_config

NIR, LEVEL = "Line/FeedFrame/Potency/PV", "Line/Chute/Level/PV"
MAIN, PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
EJECTION = "Line/Press/EjectionForce/PV"
API, FILLER = "Line/Feeder1/Weight/PV", "Line/Feeder2/Weight/PV"


def estimate(level: float = 0.5, potency: float = 1.0, weight: float = 200e-6) -> Estimate:
    """A sound estimate of the line."""
    return Estimate(
        time=0.0,
        names=("potency_bias",),
        mean=np.zeros(1),
        covariance=np.eye(1),
        quality={
            "chute_level": Interval(level, 0.02),
            CV.POTENCY: Interval(potency, 0.01),
            CV.TABLET_WEIGHT: Interval(weight, 1e-6),
            CV.TENSILE_STRENGTH: Interval(2.25e6, 1e5),
        },
        converged=True,
        normalised_innovation=1.0,
    )


@dataclass
class Bench:
    """Validation and health of one plant."""

    config: MeasurementConfig = field(default_factory=MeasurementConfig)
    plant: TinyPlant = field(default_factory=TinyPlant)
    estimate: Estimate | None = None
    held: frozenset[str] = frozenset()
    state: HealthState = field(default_factory=HealthState)
    validation: ValidationState = field(default_factory=ValidationState)

    def __post_init__(self) -> None:
        settings = controller_config().validation
        self.validator = Validator(TABLE, settings, PlcMode.CASCADE)
        self.report = HealthReport()

    def next(self, values: Mapping[str, object] | None = None) -> Validated:
        """One cycle, with these values."""
        self.plant.values.update(values or {})  # type: ignore[arg-type]
        self.plant.tick(PERIOD)
        return self.see(self.plant.snapshot())

    def see(self, snapshot: Snapshot) -> Validated:
        """One cycle of a snapshot."""
        checked, self.validation = self.validator.validate(snapshot, self.validation)
        seen, self.report, self.state = assess(
            checked, snapshot, self.state, self.config, estimate=self.estimate, held=self.held
        )
        return seen

    def warm(self, cycles: int = 70) -> Bench:
        """Let references be learnt."""
        for _ in range(cycles):
            self.next()
        return self

    def read(self, tag: str, value: object) -> tuple[Measurement, SignalHealth]:
        """One cycle in which ``tag`` reads ``value``."""
        seen = self.next({tag: value})
        return seen.measurements[tag], self.report.signals[tag]
