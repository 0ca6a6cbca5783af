"""Quality attributes of a tablet: strength, breaking force, porosity effects, assay.

(Q1)  sigma = sigma_0 exp(-k eps) L(K)             tensile strength [Pa]
(Q2)  L = [(1-beta) + beta exp(-gamma K)] / [(1-beta) + beta exp(-gamma K_0)]
(Q3)  F_b = sigma pi D t / 2                       breaking force of a flat round tablet [N]
(Q4)  assay = c w / m_label                        share of the label claim [-]
(Q5)  potency = c / c_label                        of the powder, share of the label [-]
(Q6)  m(t) = 1 - exp(-(t/T_D)^b)                   dissolved share (Weibull)

References
----------
(Q1) Ryshkewitch 1953, J Am Ceram Soc 36:65, Duckworth's form (from memory). (Q2) form after
Kushner & Moore 2010, Int J Pharm 399:19-30 (not read; beta, gamma assumed), made 1 at the nominal
extent. (Q3) Fell & Newton 1970, J Pharm Sci 59:688-691 (read as eq. 1 of Zagar & Mihelic 2022).
(Q6) Weibull form (read in PMC3361330, table 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

from plant_models.maths import Expr, exp, log

__all__ = [
    "StrengthParameters",
    "assay",
    "breaking_force",
    "heckel_density",
    "lubrication_factor",
    "porosity_for_strength",
    "potency",
    "tensile_strength",
    "tensile_strength_from_breaking_force",
    "weibull_dissolved",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrengthParameters:
    """``sigma_0`` [Pa] at zero porosity and nominal extent, ``k`` [-], lubrication [-, 1/rev]."""

    sigma_0: Expr
    k: float
    beta: float
    gamma: float
    extent_0: float


def lubrication_factor(p: StrengthParameters, extent: Expr) -> Expr:
    """Loss of strength by lubrication, 1 at the nominal extent [rev] (Q2)."""
    nominal = (1.0 - p.beta) + p.beta * exp(-p.gamma * p.extent_0)
    return ((1.0 - p.beta) + p.beta * exp(-p.gamma * extent)) / nominal  # (Q2)


def tensile_strength(p: StrengthParameters, porosity: Expr, extent: Expr) -> Expr:
    """Tensile strength [Pa] at out-of-die porosity [-] and lubrication extent [rev] (Q1)."""
    return p.sigma_0 * exp(-p.k * porosity) * lubrication_factor(p, extent)  # (Q1)


def porosity_for_strength(p: StrengthParameters, strength: Expr, extent: Expr) -> Expr:
    """Porosity [-] that gives a tensile strength [Pa] (Q1 inverted)."""
    return log(p.sigma_0 * lubrication_factor(p, extent) / strength) / p.k


def breaking_force(strength: Expr, diameter: float, thickness: Expr) -> Expr:
    """Diametral breaking force [N] of a flat round tablet; lengths in m (Q3)."""
    return strength * pi * diameter * thickness / 2.0  # (Q3)


def tensile_strength_from_breaking_force(force: Expr, diameter: float, thickness: Expr) -> Expr:
    """Tensile strength [Pa] from a diametral breaking force [N]; lengths in m (Q3 inverted)."""
    return 2.0 * force / (pi * diameter * thickness)


def potency(api_fraction: Expr, label_fraction: float) -> Expr:
    """Potency of powder, share of the label [-] (Q5)."""
    return api_fraction / label_fraction  # (Q5)


def assay(api_fraction: Expr, weight: Expr, label_mass: float) -> Expr:
    """Assay of a tablet: its API mass [kg] as a share of the label claim [-] (Q4)."""
    return api_fraction * weight / label_mass  # (Q4)


def heckel_density(pressure: Expr, yield_pressure: float, intercept: float) -> Expr:
    """Relative density [-] after Heckel: ``ln(1/(1-rho)) = P/P_y + A``.

    Ridgway Watt & Armstrong 2008, Tablet and Capsule Machine Instrumentation, ch. 9 (read).
    """
    return 1.0 - exp(-(pressure / yield_pressure + intercept))


def weibull_dissolved(time: Expr, time_63: Expr, shape: Expr) -> Expr:
    """Dissolved share [-] after ``time``; ``time_63`` in the same unit (Q6)."""
    return 1.0 - exp(-((time / time_63) ** shape))  # (Q6)
