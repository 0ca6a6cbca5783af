"""Rotary tablet press: die filling, compression, compliance, recovery, ejection.

(P1)  w = h_f A phi / v_b                          tablet weight [kg]
(P2)  phi = 1 - c max(n_T - n_crit, 0)^p,  n_crit = n_c0 n_F / n_F0       fill fraction [-]
(P3)  rho = w / (rho_t A h_c)                      in-die relative density [-]
(P4)  h_c = h_set + F / k_m                        thickness under load [m]
(P5)  P = B (rho - rho_c) / (rho (a - 1) + rho_c)       Kawakita pressure, B = 1/b [Pa]
(P6)  rho = rho_c (1 + P/B) / (1 + (1 - a) P/B)    (P5) inverted
(P7)  t = h_c (1 + e),  rho_out = rho / (1 + e)    after axial recovery e
(P8)  F_ej = F_0 (P/P_0)^m exp(-c_K (K - K_0))     ejection force [N]
(P9)  B = B_ref [1 + r log10(n_T/n_ref)]           strain rate acts on the pressure scale only
(P10) q = n_T z w                                  powder flow of z stations [kg/s]
(P11) W = w B / (rho_t rho_c) [-C - a ln(1 - C/a)],  C = 1 - rho_c/rho     compaction work [J]

``v_b`` specific bulk volume in the die [m3/kg], ``A`` die area [m2], ``h_f`` fill depth,
``h_set`` thickness setting [m], ``F = P A`` force [N], ``n_T``, ``n_F`` turret and paddle speed
[rev/s], ``K`` lubrication extent [rev]. Valid for ``rho_c <= rho < rho_c / (1 - a)``.

References
----------
(P1, P2) trend after Schomberg, Kwade & Finke 2020, Pharmaceutics 12:248 (abstract read); numbers
    assumed by the project's owner. (P5) Kawakita in the form used for presses by Huang et al. 2021,
    Processes 9:1612 (not read; plain algebra on Kawakita as given in Ridgway Watt & Armstrong
    2008, ch. 9, read). (P7) size assumed. (P8) form assumed; level after Zagar & Mihelic 2022,
    Sci Data 9:99 (read). (P9) Tye, Sun & Amidon 2005, J Pharm Sci 94:465-472 (abstract read: speed
    acts on compressibility, not on strength against solid fraction).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from plant_models.maths import Expr, exp, log, maximum, sqrt

__all__ = [
    "Compact",
    "Compaction",
    "Machine",
    "PressParameters",
    "compaction_work",
    "compress_at_fill",
    "compress_at_force",
    "critical_turret_speed",
    "ejection_force",
    "fill_depth_for_weight",
    "fill_fraction",
    "force_at_weight",
    "force_gain",
    "in_die_density",
    "kawakita_density",
    "kawakita_pressure",
    "powder_flow",
    "speed_pressure_scale",
    "tablet_weight",
    "weight_at_force",
]

_LN10 = 2.302585092994046


class Machine(Protocol):
    """What a force needs to know of a press in SI: die area [m2], compliance 1/k_m [m/N]."""

    @property
    def die_area(self) -> float:
        """Cross-section of the die [m2]."""

    @property
    def compliance(self) -> float:
        """Give of punches and frame [m/N]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressParameters:
    """Press and tooling in SI: m2, m, N/m, rev/s, N, Pa."""

    die_area: float
    diameter: float
    stations: int
    compliance: float  # 1/k_m [m/N]
    pre_thickness: float
    recovery: float
    critical_speed: float
    paddle_speed: float
    fill_loss: float  # c of (P2), per (rev/s)^p
    fill_loss_power: float
    ejection_0: float
    ejection_pressure: float
    ejection_power: float
    ejection_extent: float  # c_K of (P8) [1/rev]
    extent_0: float
    speed_ref: float
    rate_sensitivity: float  # r of (P9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """Kawakita constants of a blend: ``a`` [-], ``scale`` B = 1/b [Pa], densities [-, kg/m3]."""

    a: float
    scale: Expr
    critical_density: float
    true_density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compact:
    """What one compression yields: kg, N, Pa, m, -; scalars, arrays or symbols."""

    weight: Expr
    main_force: Expr
    pre_force: Expr
    pressure: Expr
    in_die_density: Expr
    porosity: Expr
    thickness: Expr


def critical_turret_speed(p: PressParameters, paddle_speed: Expr) -> Expr:
    """Turret speed [rev/s] above which dies no longer fill completely (P2)."""
    return p.critical_speed * paddle_speed / p.paddle_speed


def fill_fraction(p: PressParameters, turret_speed: Expr, paddle_speed: Expr) -> Expr:
    """Filled share of the die [-] (P2); 1 below the critical turret speed."""
    excess = maximum(turret_speed - critical_turret_speed(p, paddle_speed), 1e-12)
    return 1.0 - p.fill_loss * excess**p.fill_loss_power  # (P2)


def tablet_weight(
    p: PressParameters, fill_depth: Expr, specific_volume: Expr, fraction: Expr = 1.0
) -> Expr:
    """Tablet weight [kg] at fill depth [m] and specific bulk volume [m3/kg] (P1)."""
    return fill_depth * p.die_area * fraction / specific_volume  # (P1)


def fill_depth_for_weight(
    p: PressParameters, weight: Expr, specific_volume: Expr, fraction: Expr = 1.0
) -> Expr:
    """Fill depth [m] that gives ``weight`` [kg] (P1 inverted)."""
    return weight * specific_volume / (p.die_area * fraction)


def kawakita_pressure(c: Compaction, density: Expr) -> Expr:
    """Compaction pressure [Pa] at in-die relative density (P5); 0 below the critical density."""
    return (
        c.scale
        * maximum(density - c.critical_density, 0.0)
        / (density * (c.a - 1.0) + c.critical_density)
    )  # (P5)


def kawakita_density(c: Compaction, pressure: Expr) -> Expr:
    """In-die relative density [-] at compaction pressure [Pa] (P6)."""
    x = pressure / c.scale
    return c.critical_density * (1.0 + x) / (1.0 + (1.0 - c.a) * x)  # (P6)


def compaction_work(c: Compaction, weight: Expr, density: Expr) -> Expr:
    """Work [J] that takes ``weight`` [kg] to an in-die relative density (P11).

    0 where the powder does not reach the critical density; pre-compression is part of it.
    """
    volume = maximum(1.0 - c.critical_density / density, 0.0)  # C of (P11)
    specific = c.scale / (c.true_density * c.critical_density)
    return weight * specific * (-volume - c.a * log(1.0 - volume / c.a))  # (P11)


def in_die_density(p: PressParameters, c: Compaction, weight: Expr, thickness: Expr) -> Expr:
    """In-die relative density [-] of ``weight`` [kg] at loaded thickness [m] (P3)."""
    return weight / (c.true_density * p.die_area * thickness)  # (P3)


def force_gain(c: Compaction, density: Expr) -> Expr:
    """``dlnF/dlnW`` [-] at fixed loaded thickness: slope of (P5) in logarithms."""
    shrink = 1.0 - c.critical_density / density
    return (c.critical_density / density) * c.a / (shrink * (c.a - shrink))


def force_at_weight(p: Machine, c: Compaction, weight: Expr, thickness_set: Expr) -> Expr:
    """Force [N] that ``weight`` [kg] meets at a thickness setting [m]: (P3-P5) in closed form.

    (P5) with (P3, P4) is a quadratic in ``P``; its positive root is taken, 0 where the powder does
    not fill the gap.
    """
    solid = weight / (c.true_density * p.die_area)  # height of the solid [m]
    give = p.die_area * p.compliance  # [m/Pa]
    b = 1.0 / c.scale
    quadratic = b * c.critical_density * give
    linear = b * (solid * (c.a - 1.0) + c.critical_density * thickness_set) + (
        c.critical_density * give
    )
    excess = maximum(solid - c.critical_density * thickness_set, 0.0)
    root = 2.0 * excess / (linear + sqrt(linear * linear + 4.0 * quadratic * excess))
    return root * p.die_area


def weight_at_force(p: PressParameters, c: Compaction, force: Expr, thickness_set: Expr) -> Expr:
    """Weight [kg] whose compression at a thickness setting [m] takes ``force`` [N] (P3, P4, P6)."""
    density = kawakita_density(c, force / p.die_area)
    return density * c.true_density * p.die_area * (thickness_set + force * p.compliance)


def _compact(
    p: PressParameters, c: Compaction, weight: Expr, force: Expr, thickness_set: Expr
) -> Compact:
    loaded = thickness_set + force * p.compliance  # (P4)
    density = in_die_density(p, c, weight, loaded)
    return Compact(
        weight=weight,
        main_force=force,
        pre_force=force_at_weight(p, c, weight, p.pre_thickness),
        pressure=force / p.die_area,
        in_die_density=density,
        porosity=1.0 - density / (1.0 + p.recovery),  # (P7)
        thickness=loaded * (1.0 + p.recovery),  # (P7)
    )


def compress_at_fill(
    p: PressParameters,
    c: Compaction,
    fill_depth: Expr,
    thickness_set: Expr,
    specific_volume: Expr,
    fraction: Expr = 1.0,
) -> Compact:
    """Tablet made at a fill depth [m]: the force follows (structure REMOTE)."""
    weight = tablet_weight(p, fill_depth, specific_volume, fraction)
    return _compact(p, c, weight, force_at_weight(p, c, weight, thickness_set), thickness_set)


def compress_at_force(
    p: PressParameters, c: Compaction, main_force: Expr, thickness_set: Expr
) -> Compact:
    """Tablet made while the force loop holds ``main_force`` [N]: weight follows (CASCADE)."""
    weight = weight_at_force(p, c, main_force, thickness_set)
    return _compact(p, c, weight, main_force, thickness_set)


def ejection_force(p: PressParameters, pressure: Expr, extent: Expr) -> Expr:
    """Ejection force [N] at compaction pressure [Pa] and lubrication extent [rev] (P8)."""
    relative = maximum(pressure, 1.0) / p.ejection_pressure
    return (
        p.ejection_0 * relative**p.ejection_power * exp(-p.ejection_extent * (extent - p.extent_0))
    )  # (P8)


def speed_pressure_scale(p: PressParameters, scale: Expr, turret_speed: Expr) -> Expr:
    """Kawakita pressure scale [Pa] at a turret speed [rev/s] (P9)."""
    ratio = maximum(turret_speed, 1e-3) / p.speed_ref
    return scale * (1.0 + p.rate_sensitivity * log(ratio) / _LN10)  # (P9)


def powder_flow(p: PressParameters, turret_speed: Expr, weight: Expr) -> Expr:
    """Powder that the press takes [kg/s] (P10)."""
    return turret_speed * p.stations * weight  # (P10)
