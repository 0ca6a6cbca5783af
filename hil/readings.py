"""What the instruments show the PLC: frozen records in SI with status and source time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant_models.signals import GOOD

__all__ = ["FeederReadings", "LabReading", "Reading", "Readings"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured value in SI, its OPC UA status and the plant second it belongs to."""

    value: float
    status: int = GOOD
    second: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederReadings:
    """One feeder: weight [kg], flow [kg/s], screw speed [rev/s], level [-], lot."""

    weight: Reading
    flow: Reading
    screw_speed: Reading
    level: Reading
    lot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReading:
    """Newest published sample of the at-line tester.

    ``number`` counts samples taken (a missing one leaves a gap), ``taken`` is the plant second of
    sampling, ``published`` that of the result; ``weight`` [kg], ``thickness`` [m], ``force``
    (breaking force) [N] of its tablets.
    """

    number: int
    taken: int
    published: int
    weight: tuple[float, ...]
    thickness: tuple[float, ...]
    force: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All instruments after one plant second.

    Attributes
    ----------
    potency
        NIR, share of label. ``second`` is what the NIR believes: publication less its nominal
        delay; the true delay differs.
    main_force, pre_force, main_force_rsd, pre_force_rsd, ejection
        Of the last completed revolution, whose number is ``revolution``.
    tablet_force, tablet_station
        Main force [N] and station of each tablet made in this second, for single rejection.
    made
        Tablets made since the run began.
    lab
        Newest published sample; ``None`` before the first.
    """

    second: int
    feeders: tuple[FeederReadings, ...]
    blender_speed: Reading
    torque: Reading
    level: Reading
    potency: Reading
    paddle_speed: Reading
    main_force: Reading
    main_force_rsd: Reading
    pre_force: Reading
    pre_force_rsd: Reading
    ejection: Reading
    turret_speed: Reading
    fill_depth: Reading
    thickness: Reading
    revolution: int
    made: int
    tablet_force: NDArray[np.float64]
    tablet_station: NDArray[np.int64]
    lab: LabReading | None
