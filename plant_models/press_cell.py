"""One product on one press, as its recorded signals see it: main force from fill depth and band.

(C1)  w = (h_f + h_l) A rho_b exp(-v)              tablet weight [kg]
(C2)  h = h_b + h_c,  L = w / (rho_t A)            loaded height at rest, height of the solid [m]
(C3)  rho = L / (h + k F),  P = F / A              in-die relative density [-], pressure [Pa]
(C4)  P = B (rho - rho_c) / (rho (a - 1) + rho_c)  Kawakita
(C5)  ln(1 / (1 - rho)) = K P + I                  Heckel
(C6)  s = 1 + r log10(q / q_ref);  B -> s B,  K -> K / s        rate of straining

``h_f`` fill depth, ``h_b`` band (cylindrical height: the thickness setting), ``h_c`` volume of
both punch cups over die area, ``h_l`` that of the lower cup as far as it fills below ``h_f`` [m];
``A`` die area [m2]; ``rho_b`` nominal bulk density, ``rho_t`` true density [kg/m3]; ``v`` ln of
specific bulk volume over nominal [-]; ``k`` compliance [m/N]; ``q`` tablets made [1/s].

With Heckel the force solves ``f(z) = (1 - exp(-z)) (h + k A (z - I) / K) - L = 0`` with
``z = K P + I``, which rises and is concave wherever ``2 k A < K h`` (any press: K h is some ten
times k A): Newton's steps from ``z = I`` rise to the root and never pass it.

References
----------
(C3-C5) Ridgway Watt & Armstrong (eds) 2008, Tablet and Capsule Machine Instrumentation, ch. 9,
    eqs 9.8-9.10 (read). (C1, C2) geometry, worked out. (C6) form assumed; that rate acts on the
    pressure scale only: Tye, Sun & Amidon 2005, J Pharm Sci 94:465-472 (abstract read).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plant_models.maths import Expr, exp, log, maximum
from plant_models.tablet_press import (
    Compaction,
    force_at_weight,
    force_gain,
    kawakita_density,
)

__all__ = [
    "Law",
    "PressCell",
    "force_sensitivity",
    "main_force",
    "relative_density",
    "tablet_weight",
    "weight_at_force",
]

Law = Literal["kawakita", "heckel"]

_LN10 = 2.302585092994046
_NEWTON_STEPS = 12
_SLOWEST = 1e-2  # of the reference rate: a standing press strains nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class PressCell:
    """Constants in SI: m, m2, kg/m3, m/N, Pa, 1/s; ``compliance`` above 0.

    ``a``, ``scale`` and ``critical_density`` are Kawakita's, ``heckel_slope`` [1/Pa] and
    ``heckel_intercept`` Heckel's.
    """

    law: Law
    die_area: float
    cup_height: float
    compliance: float
    true_density: float
    bulk_density: float
    a: float
    scale: float
    critical_density: float
    heckel_slope: float
    heckel_intercept: float
    speed_sensitivity: float
    rate_ref: float
    lower_cup: float = 0.0


def tablet_weight(cell: PressCell, fill_depth: Expr, log_volume: Expr = 0.0) -> Expr:
    """Tablet weight [kg] at fill depth [m] and ln of relative specific bulk volume [-] (C1)."""
    powder = (fill_depth + cell.lower_cup) * cell.die_area
    return powder * cell.bulk_density * exp(-log_volume)  # (C1)


def main_force(
    cell: PressCell,
    fill_depth: Expr,
    band: Expr,
    log_volume: Expr = 0.0,
    tablet_rate: Expr | None = None,
) -> Expr:
    """Main compression force [N] at fill depth and band [m] (C1-C6).

    0 where the powder does not fill the gap, else rising in fill depth and falling in band.
    ``tablet_rate`` [1/s] is the reference's if not given.
    """
    weight = tablet_weight(cell, fill_depth, log_volume)
    height = band + cell.cup_height  # (C2)
    stretch = 1.0 if tablet_rate is None else _rate_factor(cell, tablet_rate)
    if cell.law == "kawakita":
        return force_at_weight(cell, _powder(cell, stretch), weight, height)  # (C4)
    solid = weight / (cell.true_density * cell.die_area)  # (C2)
    return _heckel_force(cell, solid, height, cell.heckel_slope / stretch)


def relative_density(cell: PressCell, force: Expr, tablet_rate: Expr | None = None) -> Expr:
    """In-die relative density [-] that takes ``force`` [N] (C4-C6)."""
    stretch = 1.0 if tablet_rate is None else _rate_factor(cell, tablet_rate)
    pressure = force / cell.die_area
    if cell.law == "kawakita":
        return kawakita_density(_powder(cell, stretch), pressure)
    return 1.0 - exp(-(cell.heckel_slope / stretch * pressure + cell.heckel_intercept))  # (C5)


def weight_at_force(
    cell: PressCell, force: Expr, band: Expr, tablet_rate: Expr | None = None
) -> Expr:
    """Tablet weight [kg] whose compression at ``band`` [m] takes ``force`` [N] (C1-C6 inverted)."""
    loaded = band + cell.cup_height + cell.compliance * force
    return relative_density(cell, force, tablet_rate) * cell.true_density * cell.die_area * loaded


def force_sensitivity(
    cell: PressCell, force: Expr, band: Expr, tablet_rate: Expr | None = None
) -> Expr:
    """``dlnF/dlnW`` [-] at a fixed band [m] where the force is ``force`` [N], machine included."""
    density = relative_density(cell, force, tablet_rate)
    if cell.law == "kawakita":
        rigid = force_gain(_powder(cell, 1.0), density)
    else:
        rigid = density / ((1.0 - density) * (-log(1.0 - density) - cell.heckel_intercept))
    give = cell.compliance * force
    return 1.0 / (1.0 / rigid + give / (band + cell.cup_height + give))  # (C3)


def _powder(cell: PressCell, stretch: Expr) -> Compaction:
    return Compaction(
        a=cell.a,
        scale=cell.scale * stretch,
        critical_density=cell.critical_density,
        true_density=cell.true_density,
    )


def _rate_factor(cell: PressCell, tablet_rate: Expr) -> Expr:
    ratio = maximum(tablet_rate / cell.rate_ref, _SLOWEST)
    return 1.0 + cell.speed_sensitivity * log(ratio) / _LN10  # (C6)


def _heckel_force(cell: PressCell, solid: Expr, height: Expr, slope: Expr) -> Expr:
    """Force [N] by (C3, C5): Newton from below on ``f(z)`` of the module's head."""
    give = cell.compliance * cell.die_area / slope  # [m] per unit of z
    z = cell.heckel_intercept
    for _ in range(_NEWTON_STEPS):
        porosity = exp(-z)
        loaded = height + give * (z - cell.heckel_intercept)
        lack = solid - (1.0 - porosity) * loaded
        z = z + maximum(lack, 0.0) / (porosity * loaded + (1.0 - porosity) * give)
    return (z - cell.heckel_intercept) / slope * cell.die_area  # (C5)
