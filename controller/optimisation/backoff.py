"""Back-off: zones tightened by what the estimate does not know, stage by stage.

(U1)  P = L L',   x_0 + L_x e,   p + L_p e,   e with unit covariance     what else may be true
(U2)  S_0 = L_x,   S_j = A_j S_{j-1} + B_j L_p                           spread of the states
(U3)  G_j = H_j S_j + D_j L_p,   sd_ij = |row i of G_j|                  spread of the outputs
(U4)  b_ij = z sd_ij                                                     margin of a zone (O4)

``A``, ``B``, ``H`` and ``D`` are the stage sensitivities of the roll-out, so that the parameters'
uncertainty, held over the horizon, counts with the states'. It is open-loop: what later
measurements will tell and later plans will do about it is not taken off. ``z`` 1.645 keeps one side
of a zone with 95 % at each stage, if the errors are normal.

References
----------
[1] A. T. Schwarm & M. Nikolaou, Chance-constrained model predictive control, AIChE J 45 (1999)
    1743-1752 (from memory).
[2] T. A. N. Heirung et al., Stochastic model predictive control: how does it work?, Comput Chem
    Eng 114 (2018) 158-170 (from memory).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.optimisation.problem import Zone
from controller.twin.compiled import RolloutResult
from controller.twin.core import OUTPUTS

__all__ = [
    "Factor",
    "back_off",
    "factor_of",
    "output_spread",
    "standard_deviations",
    "zone_rows",
]


@dataclass(frozen=True, slots=True)
class Factor:
    """Square root of the estimate's covariance (U1): ``x`` (nx, m), ``p`` (np, m)."""

    x: Array
    p: Array


def factor_of(
    covariance: Array, free: NDArray[np.int_], states: int, parameters: int, inflation: float = 1.0
) -> Factor | None:
    """Square root (U1) of a covariance over [free states, first parameters]; None if it has none.

    Parameters
    ----------
    covariance
        ``(m, m)``; what it is silent about, other states and the parameters after its last, is
        taken as known.
    free
        Indices of the free states, in the covariance's order.
    states, parameters
        How many of each the twin has.
    inflation
        Factor on the covariance: how much larger the estimate's errors are than it says.

    Returns
    -------
    The factor, or None if a number is not finite or a variance negative. Small negative
    eigenvalues, which rounding leaves, count as zero.
    """
    variance = np.diag(covariance)
    if not np.all(np.isfinite(covariance)) or np.any(variance < 0.0):
        return None
    sd = np.sqrt(variance)
    scale = np.where(sd > 0.0, sd, 1.0)  # of correlations: variances span ten decades
    values, vectors = np.linalg.eigh(covariance / scale[:, None] / scale[None, :])
    root = np.sqrt(inflation * np.maximum(values, 0.0))
    square = scale[:, None] * vectors * root[None, :]
    count, nf = sd.size, free.size
    x, p = np.zeros((states, count)), np.zeros((parameters, count))
    x[free], p[: count - nf] = square[:nf], square[nf:]
    return Factor(x, p)


def output_spread(out: RolloutResult, factor: Factor, rows: list[int]) -> Array:
    """``(N, rows, m)``: change of the chosen outputs by a unit of each column (U2), (U3)."""
    a = np.moveaxis(out.a, 2, 0)
    by_p = np.moveaxis(out.bp, 2, 0) @ factor.p
    hx, hp = np.moveaxis(out.hx[rows], 2, 0), np.moveaxis(out.hp[rows], 2, 0)
    states = np.empty((a.shape[0], *factor.x.shape))
    spread = factor.x
    for j in range(a.shape[0]):
        spread = a[j] @ spread + by_p[j]  # (U2)
        states[j] = spread
    return np.asarray(hx @ states + hp @ factor.p)  # (U3)


def standard_deviations(spread: Array) -> Array:
    """``(rows, N)`` standard deviations of the outputs (U3)."""
    return np.asarray(np.sqrt(np.sum(spread**2, axis=2)).T)


def back_off(
    zones: tuple[Zone, ...],
    deviations: Array,
    quantile: float,
    set_points: Mapping[str, float] | None = None,
) -> tuple[tuple[Zone, ...], tuple[str, ...]]:
    """Tighten zones (U4).

    Parameters
    ----------
    zones, deviations
        Zones, and the standard deviations ``(zones, N)`` of their outputs.
    quantile
        ``z``, standard deviations kept off either limit.
    set_points
        By output. A margin ends at the set point, if that lies inside its zone: what is not known
        today, but will be in time, is no reason to leave it.

    Returns
    -------
    The zones with their margins, and one verdict per band that closes: there the plan is held to
    the middle of the band.
    """
    tightened, verdicts = [], []
    for zone, deviation in zip(zones, deviations, strict=True):
        margin = quantile * deviation
        if not np.all(np.isfinite(margin)):
            verdicts.append(f"back-off: {zone.output} has none, its spread is not finite")
            tightened.append(zone)
            continue
        wanted = None if set_points is None else set_points.get(zone.output)
        if wanted is not None and zone.lo < wanted < zone.hi:
            margin = np.minimum(margin, min(wanted - zone.lo, zone.hi - wanted))
        closed = np.flatnonzero(2.0 * margin >= zone.hi - zone.lo)
        if closed.size:
            verdicts.append(f"back-off: the band of {zone.output} closes at stage {closed[0]}")
        tightened.append(replace(zone, margin=margin))
    return tuple(tightened), tuple(verdicts)


def zone_rows(zones: tuple[Zone, ...]) -> list[int]:
    """Outputs of ``zones``, as rows of a roll-out."""
    return [OUTPUTS.index(z.output) for z in zones]
