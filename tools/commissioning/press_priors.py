"""What is known of a press cell before its recording is seen, with sources; and the cell of it.

A parameter is a coordinate ``u``, standard normal a priori: value = mean + sd u, or
mean exp(sd u) for a scale (``log``). The pressure scale (Kawakita's B, Heckel's 1/K) follows from
the rest: the cell takes the recording's usual force at its usual fill, band and speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plant_models.press_cell import Law, PressCell

__all__ = ["DERIVED", "Parameter", "Prior", "Reference", "TabletTooling", "prior_of"]

Array = NDArray[np.float64]

_CUP_SHARE, _CUP_SHARE_SD = 0.6, 0.1  # of the cups' depth: 1/2 shallow cap, more with a bevel
_RECOVERY = 0.03
_CUP_ZERO_SD = 0.15e-3  # zero of the band's scale, thickness of a core [m]
_UNKNOWN_SD = 0.5e-3  # of the cups, where nothing is known of the tablet [m]
_MARGIN = 0.01  # of relative density below the law's limit


class TabletTooling(Protocol):
    """What the fit needs to know of a product's tablet, SI: die diameter, core weight, thickness.

    ``known`` is false where the product is not in the mapping and another one is assumed.
    """

    @property
    def diameter(self) -> float:
        """Diameter of the die [m]."""

    @property
    def weight(self) -> float:
        """Weight of a tablet core [kg]."""

    @property
    def thickness(self) -> float:
        """Thickness of a core out of the die [m]."""

    @property
    def known(self) -> bool:
        """Whether the product code is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter before the data: SI ``mean`` and ``sd`` (relative if ``log``), how it is shown.

    ``shown`` is what the SI value is multiplied by for ``unit``; ``source`` says whence the range.
    """

    name: str
    text: str
    unit: str
    shown: float
    mean: float
    sd: float
    source: str
    log: bool = False

    def value(self, u: float) -> float:
        """SI value at coordinate ``u``."""
        return self.mean * exp(self.sd * u) if self.log else self.mean + self.sd * u

    def coordinate(self, value: float) -> float:
        """Coordinate of an SI value."""
        return log(value / self.mean) / self.sd if self.log else (value - self.mean) / self.sd

    @property
    def range(self) -> tuple[float, float]:
        """95 % of the prior."""
        return self.value(-1.96), self.value(1.96)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Usual running of the recording: medians in SI."""

    fill: float
    band: float
    force: float
    rate: float


COMPLIANCE = Parameter(
    name="compliance",
    text="give of machine and punches",
    unit="µm/kN",
    shown=1e9,
    mean=15e-9,
    sd=0.5,
    log=True,
    source="steel columns of a punch pair alone 7 µm/kN (worked out); frame assumed, factor 2.7",
)
TRUE_DENSITY = Parameter(
    name="true_density",
    text="true density",
    unit="kg/m³",
    shown=1.0,
    mean=1505.0,
    sd=40.0,
    source="MCC 1540 from Akseli et al. 2011, AAPS PharmSciTech 12:834 (tables read); "
    "blend assumed",
)
SPEED = Parameter(
    name="speed_sensitivity",
    text="pressure scale per decade of speed",
    unit="1",
    shown=1.0,
    mean=0.09,
    sd=0.06,
    source="strain-rate sensitivity 11-49 % over 4 decades, Roberts & Rowe 1985, in Ridgway Watt & "
    "Armstrong 2008, table 9.7 (read); what speed does to die filling is lumped in",
)
PLAY = Parameter(
    name="fill_play",
    text="lost motion of the fill depth",
    unit="mm",
    shown=1e3,
    mean=0.02e-3,
    sd=0.02e-3,
    source="moves of the fill depth of 0.01-0.03 mm from row to row; assumed",
)
CRITICAL = Parameter(
    name="critical_density",
    text="Kawakita rho_c: density at no pressure",
    unit="1",
    shown=1.0,
    mean=0.36,
    sd=0.07,
    source="MCC 0.23, lactose 0.435 after Zavaliangos et al. 2017, J Pharm Sci 106:3604 "
    "(not read; figures from a repository)",
)
LIMIT = Parameter(
    name="limit_density",
    text="Kawakita limit density rho_c / (1 - a)",
    unit="1",
    shown=1.0,
    mean=1.055,
    sd=0.03,
    source="MCC PH-102, fit of public die compaction data: a 0.716 at 0.30 (worked out)",
)
INTERCEPT = Parameter(
    name="heckel_intercept",
    text="Heckel intercept A",
    unit="1",
    shown=1.0,
    mean=0.657,
    sd=0.15,
    source="MCC PH-102, fit of public die compaction data (worked out); spread assumed",
)
SCALE = Parameter(
    name="scale",
    text="Kawakita pressure 1/b",
    unit="MPa",
    shown=1e-6,
    mean=11.5e6,
    sd=0.7,
    log=True,
    source="MCC PH-102 11.5 MPa, fit of public die compaction data (worked out); factor 4 assumed",
)
YIELD = Parameter(
    name="heckel_pressure",
    text="Heckel yield pressure 1/K",
    unit="MPa",
    shown=1e-6,
    mean=93.6e6,
    sd=0.4,
    log=True,
    source="MCC 80-99 MPa, Akseli et al. 2011 (tables read); harder fillers: factor 2.2 assumed",
)
DERIVED: Mapping[Law, Parameter] = {"kawakita": SCALE, "heckel": YIELD}


def _cups(tooling: TabletTooling, reference: Reference) -> Parameter:
    """Both cups' volume over die area, from the tablet's thickness beyond the loaded band."""
    loaded = reference.band + COMPLIANCE.mean * reference.force
    depth = tooling.thickness / (1.0 + _RECOVERY) - loaded
    known = tooling.known and depth > 0.0
    if known:
        mean, sd = _CUP_SHARE * depth, float(np.hypot(_CUP_SHARE_SD * depth, _CUP_ZERO_SD))
        source = "tablet thickness beyond the band, 60 % of it filled (geometry, assumed)"
    else:
        mean, sd, source = 0.1 * tooling.diameter, _UNKNOWN_SD, "assumed: the tablet is not known"
    return Parameter(
        name="cup_height",
        text="cups' volume / die area, band's zero",
        unit="mm",
        shown=1e3,
        mean=mean,
        sd=sd,
        source=source,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Parameters of a law, the tablet and the recording's usual running: makes cells of them."""

    law: Law
    parameters: tuple[Parameter, ...]
    derived: Parameter
    diameter: float
    weight: float
    reference: Reference

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of ``u``."""
        return tuple(p.name for p in self.parameters)

    def cell(self, u: Sequence[float] | Array) -> PressCell:
        """The cell at coordinates ``u`` that takes the usual force at the usual settings."""
        return self._cell_and_excess(u)[0]

    def play(self, u: Sequence[float] | Array) -> float:
        """Lost motion of the fill depth at coordinates ``u`` [m]."""
        return PLAY.value(float(u[self.names.index(PLAY.name)]))

    def penalties(self, u: Array) -> Array:
        """Standard normal a priori: ``u``, the pressure scale's, and how far the cell cannot be."""
        cell, excess = self._cell_and_excess(u)
        scale = cell.scale if self.law == "kawakita" else 1.0 / cell.heckel_slope
        return np.array([*u, self.derived.coordinate(scale), excess / (0.3 * _MARGIN)])

    def _cell_and_excess(self, u: Sequence[float] | Array) -> tuple[PressCell, float]:
        v = {p.name: p.value(float(x)) for p, x in zip(self.parameters, u, strict=True)}
        at = self.reference
        area = pi * self.diameter**2 / 4.0
        cup, give = v["cup_height"], v["compliance"]
        height = max(at.band + cup, 0.05 * at.band) + give * at.force
        wanted = self.weight / (v["true_density"] * area * height)
        critical, limit = v.get("critical_density", CRITICAL.mean), v.get("limit_density", 1.055)
        intercept = v.get("heckel_intercept", INTERCEPT.mean)
        least, most = (critical, limit) if self.law == "kawakita" else (1.0 - exp(-intercept), 1.0)
        density = min(max(wanted, least + _MARGIN), most - _MARGIN)
        a, pressure = 1.0 - critical / limit, at.force / area
        scale, slope = SCALE.mean, 1.0 / YIELD.mean
        if self.law == "kawakita":
            scale = pressure * (density * (a - 1.0) + critical) / (density - critical)
        else:
            slope = (-log(1.0 - density) - intercept) / pressure
        cell = PressCell(
            law=self.law,
            die_area=area,
            cup_height=cup,
            lower_cup=0.5 * cup,
            compliance=give,
            true_density=v["true_density"],
            bulk_density=self.weight / ((at.fill + 0.5 * cup) * area),
            a=a,
            scale=scale,
            critical_density=critical,
            heckel_slope=slope,
            heckel_intercept=intercept,
            speed_sensitivity=v["speed_sensitivity"],
            rate_ref=at.rate,
        )
        return cell, wanted - density


def prior_of(law: Law, tooling: TabletTooling, reference: Reference) -> Prior:
    """What is known before the data."""
    shape = (CRITICAL, LIMIT) if law == "kawakita" else (INTERCEPT,)
    return Prior(
        law=law,
        parameters=(_cups(tooling, reference), COMPLIANCE, *shape, TRUE_DENSITY, SPEED, PLAY),
        derived=DERIVED[law],
        diameter=tooling.diameter,
        weight=tooling.weight,
        reference=reference,
    )
