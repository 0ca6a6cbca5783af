"""Service of single variables: what each is in, what operators ask for, what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from controller.data import CV
from plant_models.signals import MV

__all__ = [
    "MEASURED_BY",
    "UNITS",
    "CvService",
    "LimitRequest",
    "Limited",
    "MvService",
    "ServiceReport",
    "ServiceRequest",
    "ServiceState",
    "unit_of",
]


class MvService(StrEnum):
    """Service of a manipulated variable."""

    ON = "ON"  # the plan may move it
    INIT = "INIT"  # back in closed loop: follows its actual value, then ON
    TRACK = "TRACK"  # the PLC's sequence or loop moves it: its actual value is followed
    FFWD = "FFWD"  # lost, not critical: a measured disturbance of the plan
    OUT = "OUT"  # taken out by an operator, alone or with its unit


class CvService(StrEnum):
    """Service of a controlled variable."""

    ON = "ON"  # measured and controlled
    PREDICTED = "PREDICTED"  # not measured: controlled by its prediction, for a number of cycles
    OUT = "OUT"  # taken out, or not measured for too long: forecast, not controlled


class Limited(StrEnum):
    """In which direction the PLC holds a manipulated variable back."""

    LOW = "at its lower limit"
    HIGH = "at its upper limit"
    RATE_UP = "rate-limited on the way up"
    RATE_DOWN = "rate-limited on the way down"


UNITS: tuple[str, ...] = ("Formulation", "Press", "Blender")

MEASURED_BY: Mapping[str, str] = {
    CV.POTENCY: "Line/FeedFrame/Potency/PV",
    CV.TABLET_WEIGHT: "Line/Press/MainForce/PV",
    CV.TENSILE_STRENGTH: "Line/Press/MainForce/PV",
    CV.THROUGHPUT: f"{MV.TURRET_SPEED}/FBK",
}
"""The instrument that every cycle says something of a controlled variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """Somebody takes something out of service or back in.

    ``name`` is a tag, a CV, a unit, or an instrument of the loss ladder that was lost.
    """

    kind: Literal["mv", "cv", "unit", "instrument"]
    name: str
    on: bool
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRequest:
    """Somebody narrows the range of an MV, in its plant unit; None takes that limit away."""

    mv: str
    lo: float | None
    hi: float | None
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """Switches and limits (plant unit) of the operators, and what the services remember.

    ``lost`` are the MVs that were lost or out while the line ran, ``init`` the cycles that are left
    to those that are back, ``unmeasured`` the cycles since a CV was last measured.
    """

    mv_out: frozenset[str] = frozenset()
    cv_out: frozenset[str] = frozenset()
    units_out: frozenset[str] = frozenset()
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    init: Mapping[str, int] = field(default_factory=dict)
    unmeasured: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """Service of every variable in one cycle.

    ``mvs`` by tag, ``cvs`` by name, ``texts`` why one is not ON, ``limited`` which way the PLC
    holds an MV back, ``held`` which are there but not moved now: in INIT, or held by the loss
    ladder. ``lost`` names the critical variable or the minimum that is missing, or nothing.
    """

    mvs: Mapping[str, MvService]
    cvs: Mapping[str, CvService]
    texts: Mapping[str, str] = field(default_factory=dict)
    limited: Mapping[str, Limited] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    lost: str = ""

    @property
    def serving(self) -> int:
        """Number of variables in service."""
        mvs = sum(s in (MvService.ON, MvService.INIT) for s in self.mvs.values())
        return mvs + sum(s is not CvService.OUT for s in self.cvs.values())

    @property
    def out(self) -> tuple[str, ...]:
        """The CVs that are not to be controlled now."""
        return tuple(name for name, s in self.cvs.items() if s is CvService.OUT)


def unit_of(tag: str) -> str:
    """Unit that an MV belongs to: the second part of its tag."""
    return tag.split("/")[1]
