"""What a lost instrument must show before it is believed again: agreement, not a good status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from controller.data import CV, Estimate, LabSample
from controller.ladder_config import LadderConfig
from controller.measurement.health import HealthReport
from controller.measurement.ne107 import Defect
from plant_models.quality import tensile_strength_from_breaking_force

__all__ = ["Kind", "Trial", "lab_agrees", "tried"]


class Kind(StrEnum):
    """Kinds of checks, by instrument."""

    NIR = "nir"
    LAB = "lab"
    FORCE = "force"
    LOAD_CELL = "load cell"
    LEVEL = "level"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Usable readings in a row since the loss, and the sum of their deviations [-]."""

    readings: int = 0
    deviations: float = 0.0


_NONE = Trial()
_PASSING = frozenset({Defect.CONTEXT, Defect.NOT_NEW})


def _limit(kind: Kind, config: LadderConfig) -> float:
    percent: Mapping[Kind, float] = {
        Kind.NIR: config.nir_agrees_percent,
        Kind.FORCE: config.force_agrees_percent,
        Kind.LOAD_CELL: config.load_cell_agrees_percent,
        Kind.LEVEL: config.level_agrees_percent,
    }
    return percent[kind] / 100.0


def tried(
    kind: Kind,
    trial: Trial,
    tag: str,
    usable: bool,
    defect: Defect,
    health: HealthReport,
    config: LadderConfig,
) -> tuple[Trial, bool]:
    """One more reading of a lost instrument: the trial so far, and whether it is passed.

    A reading that is not usable begins the trial again, one that cannot be made now (refill,
    standing press) does not count. Without redundant information nothing passes.
    """
    if defect in _PASSING:
        return trial, False
    deviation = health.deviations.get(tag)
    if not usable or deviation is None or not isfinite(deviation):
        return (_NONE if not usable else trial), False
    readings, total = trial.readings + 1, trial.deviations + deviation
    if readings < config.return_readings:
        return Trial(readings=readings, deviations=total), False
    if abs(total / readings) <= _limit(kind, config):
        return _NONE, True
    keep = 1.0 - 1.0 / config.return_readings  # go on with a sliding mean
    return Trial(readings=readings - 1, deviations=keep * total), False


def lab_agrees(
    sample: LabSample,
    before: LabSample | None,
    estimate: Estimate | None,
    config: LadderConfig,
    diameter: float,
) -> bool:
    """Whether a sample's mean weight and strength are those that the estimate expects.

    ``diameter`` [m] of the tooling. Where nothing estimates them, two samples in a row must agree:
    this one and ``before``, the last one that was not believed.
    """
    if not sample.weights:
        return False
    weight, strength = _means(sample, diameter)
    if estimate is None:
        if before is None or not before.weights or before.number == sample.number:
            return False
        expected = _means(before, diameter)
    else:
        known = estimate.quality.get(CV.TABLET_WEIGHT), estimate.quality.get(CV.TENSILE_STRENGTH)
        if known[0] is None or known[1] is None:
            return False
        expected = known[0].mean, known[1].mean
    return (
        abs(weight / expected[0] - 1.0) <= config.lab_weight_agrees_percent / 100.0
        and abs(strength / expected[1] - 1.0) <= config.lab_strength_agrees_percent / 100.0
    )


def _means(sample: LabSample, diameter: float) -> tuple[float, float]:
    """Mean weight [kg] and mean strength [Pa]."""
    broken = [
        float(tensile_strength_from_breaking_force(f, diameter, t))
        for f, t in zip(sample.forces, sample.thicknesses, strict=True)
    ]
    return sum(sample.weights) / len(sample.weights), sum(broken) / len(broken)
