"""Materials, blends and mixing rules.

(M1)  1/rho = sum x_i / rho_i                      densities mix by volume
(M2)  B = sum x_i B_i                              compaction pressure scale mixes by mass

``x_i`` mass fractions. By (M1) and (M2) the *specific volume* and the pressure scale of a blend
are linear in mass, so that both can be carried through the line like a concentration.

References
----------
(M1) additive volumes: Cheng et al. 2026, Int J Pharm, 127000 (abstract read; density within
+-5 %). (M2) assumed; mixing rules of this kind are compared in Vreeman & Sun 2022, Powder
Technol, 117709 (abstract read).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plant_models.maths import Expr

__all__ = ["Material", "mix_by_mass", "mixture_density"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A component: true and bulk density [kg/m3]."""

    name: str
    true_density: float
    bulk_density: float


def mixture_density(fractions: Sequence[Expr], densities: Sequence[Expr]) -> Expr:
    """Density [kg/m3] of a mixture from mass fractions [-] and densities [kg/m3] (M1)."""
    return 1.0 / sum(x / rho for x, rho in zip(fractions, densities, strict=True))  # (M1)


def mix_by_mass(fractions: Sequence[Expr], values: Sequence[Expr]) -> Expr:
    """Mass-weighted mean of a property linear in mass, in its unit (M2)."""
    return sum(x * v for x, v in zip(fractions, values, strict=True))  # (M2)
