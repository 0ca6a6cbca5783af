"""Continuous blender: hold-up, residence-time distribution, lubrication extent.

(B1)  dM/dt = F_in - F_out                         hold-up [kg]
(B2)  F_out = k(N) (M - M_0),  k = k_0 (N/N_0)^alpha       outflow [kg/s]
(B3)  dc_j/dt = q (c_{j-1} - c_j) / m_j + s        n equal tanks, m_j = M/n
(B4)  dc_j/dt = q [(1+g) c_{j-1} - (1+2g) c_j + g c_{j+1}] / m_j + s    axial dispersion
(B5)  g = n/Pe - 1/2                               back-mixing ratio of n cells
(B6)  var/tau^2 = 2/Pe - (2/Pe^2)(1 - exp(-Pe)),   n = tau^2/var     closed-closed vessel
(B7)  T = T_0 (M/M_ref) sqrt(N/N_ref)             impeller torque [N m]

``q`` is the flow through the cells; while the hold-up changes, every cell fills alike, and the
flow across cell ``j`` runs linearly from ``F_in`` to ``F_out``. ``s`` is a source: impeller speed
[rev/s] for the lubrication extent (revolutions seen), else 0.

References
----------
(B2) trends after Vanarase & Muzzio 2011, Powder Technol 208(1):26-36 (abstract read); form and
    values assumed by the project's owner. (B3, B6) Levenspiel, Chemical Reaction Engineering,
    3rd ed. 1999, ch. 13-14; worked out and checked numerically. (B4, B5) cell model with back
    flow, textbook form: its variance tends to (B6) as n grows. Extent as revolutions seen: form
    after Kushner & Moore 2010, Int J Pharm 399:19-30 (not read). (B7) form assumed: the impeller
    works against the powder it carries, weakly rising with speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1

import numpy as np
from numpy.typing import NDArray

from plant_models.maths import Expr, maximum

__all__ = [
    "BlenderParameters",
    "axial_dispersion_rates",
    "closed_vessel_variance",
    "hold_up_at",
    "impeller_torque",
    "outflow",
    "tank_rates",
    "tanks_for_peclet",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlenderParameters:
    """Blender in SI: kg, 1/s, rev/s. ``tanks`` is the n of (B3)."""

    hold_up_0: float
    rate_0: float
    speed_0: float
    alpha: float
    tanks: int


def outflow(p: BlenderParameters, hold_up: Expr, speed: Expr) -> Expr:
    """Outflow [kg/s] at hold-up [kg] and impeller speed [rev/s] (B2); 0 below ``hold_up_0``."""
    return p.rate_0 * (speed / p.speed_0) ** p.alpha * maximum(hold_up - p.hold_up_0, 0.0)  # (B2)


def hold_up_at(p: BlenderParameters, flow: Expr, speed: Expr) -> Expr:
    """Steady hold-up [kg] at throughput ``flow`` [kg/s] and impeller speed [rev/s] (B2)."""
    return p.hold_up_0 + flow / (p.rate_0 * (speed / p.speed_0) ** p.alpha)


def impeller_torque(nominal: Expr, hold_up_ratio: Expr, speed_ratio: Expr) -> Expr:
    """Impeller torque [N m] from its nominal value and ratios to nominal hold-up and speed (B7)."""
    return nominal * hold_up_ratio * maximum(speed_ratio, 0.0) ** 0.5  # (B7)


def tank_rates(
    cells: list[Expr],
    inlet: Expr,
    hold_up: Expr,
    flow_in: Expr,
    flow_out: Expr,
    source: Expr = 0.0,
) -> list[Expr]:
    """Rates of an attribute per unit mass in equal stirred tanks (B3).

    Parameters
    ----------
    cells
        Attribute in each tank, first to last; any unit.
    inlet
        Attribute of the inflow, same unit.
    hold_up, flow_in, flow_out
        Total hold-up [kg], flows [kg/s].
    source
        Gain per second, the same in each tank.

    Returns
    -------
    Time derivatives in the order of ``cells``.
    """
    n = len(cells)
    rates, upstream = [], inlet
    for j, cell in enumerate(cells):
        flow = flow_in + (flow_out - flow_in) * (j / n)
        rates.append(flow * (upstream - cell) / (hold_up / n) + source)  # (B3)
        upstream = cell
    return rates


def axial_dispersion_rates(
    cells: NDArray[np.float64],
    inlet: NDArray[np.float64],
    hold_up: float,
    flow_in: float,
    flow_out: float,
    peclet: float,
    source: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Rates of attributes in an axially dispersed, closed-closed vessel (B4, B5).

    Parameters
    ----------
    cells
        ``(n, a)`` attributes per unit mass of ``n`` equal cells.
    inlet, source
        ``(a,)`` attributes of the inflow; gain per second.
    hold_up, flow_in, flow_out
        Hold-up [kg], flows [kg/s].
    peclet
        Pe [-]; ``n > Pe / 2``, else ``ValueError`` (the back flow would be negative).

    Returns
    -------
    ``(n, a)`` time derivatives.
    """
    n = cells.shape[0]
    back = n / peclet - 0.5  # (B5)
    if back < 0.0:
        raise ValueError(f"{n} cells are too few for Pe = {peclet:g}: at least {peclet / 2:g}")
    flows = flow_in + (flow_out - flow_in) * np.arange(n) / n
    mass = hold_up / n
    upstream = np.vstack((inlet, cells[:-1]))
    rates = flows[:, None] * (upstream - cells)
    exchange = back * 0.5 * (flow_in + flow_out)
    step = exchange * np.diff(cells, axis=0)
    rates[:-1] += step
    rates[1:] -= step
    return np.asarray(rates / mass + source, dtype=np.float64)  # (B4)


def closed_vessel_variance(peclet: float) -> float:
    """Relative variance ``var / tau**2`` [-] of a closed-closed dispersed vessel (B6)."""
    return 2.0 / peclet + 2.0 / peclet**2 * expm1(-peclet)


def tanks_for_peclet(peclet: float) -> float:
    """Equivalent number of tanks [-], not rounded, of a dispersed vessel (B6)."""
    return 1.0 / closed_vessel_variance(peclet)
