"""Chute between blender and press: plug flow by mass, level by volume.

(C1)  dM/dt = F_in - F_out                         content [kg]
(C2)  dc/dt + v(xi) dc/dxi = s,   v = [xi F_out + (1 - xi) F_in] / M,   c(0) = c_in
(C3)  level = M v_b / V                            filled share of the volume V [-]

``xi`` in [0, 1] is the share of the content that entered later: 0 at the inlet, 1 at the outlet.
In this coordinate first-in-first-out by mass is exact whatever the flows do: when nothing flows,
nothing moves. Two solutions are offered. `PlugFlow` keeps the parcels themselves (numeric,
exact). `advection_rates` collocates (C2) in Radau points (differentiable, for the twin): spectral
in the number of nodes for what a blender lets through, but not free of overshoot for steps.
``v_b`` is the specific bulk volume [m3/kg], so that the level sensor sees volume, not mass.

References
----------
Balance and delay: worked out from the mass balance (survey section 4). Collocation: Gottlieb &
Hesthaven 2001, J Comput Appl Math 128:83-131 (from memory); checked against `PlugFlow` in tests.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import Legendre, Polynomial
from numpy.typing import NDArray

from plant_models.maths import Expr

__all__ = ["ChuteParameters", "PlugFlow", "advection_rates", "collocation", "level"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChuteParameters:
    """Chute in SI: ``volume`` [m3] at level 1; ``nodes`` of the collocation."""

    volume: float
    nodes: int


def level(p: ChuteParameters, content: Expr, specific_volume: Expr) -> Expr:
    """Level [-] at content [kg] and mean specific bulk volume [m3/kg] (C3)."""
    return content * specific_volume / p.volume  # (C3)


@cache
def collocation(
    nodes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right Radau nodes on (0, 1], derivative matrix with inlet column, quadrature weights.

    Returns
    -------
    xi
        ``(q,)`` nodes, the last one the outlet, 1.
    derivative
        ``(q, q + 1)``: ``dc/dxi`` at the nodes from ``[c_in, c_1 .. c_q]``.
    weights
        ``(q,)`` integrating over [0, 1] what is given at the nodes.
    """
    if nodes == 1:
        interior: NDArray[np.float64] = np.array([], dtype=np.float64)
    else:
        radau = Legendre.basis(nodes) - Legendre.basis(nodes - 1)
        interior = np.sort(np.real(radau.roots()))[:-1]
    xi = np.append(0.5 * (interior + 1.0), 1.0)
    grid = np.append(0.0, xi)
    derivative = np.empty((nodes, nodes + 1))
    weights = np.empty(nodes)
    for j in range(nodes + 1):
        others = np.delete(grid, j)
        basis = Polynomial.fromroots(others) / np.prod(grid[j] - others)
        derivative[:, j] = basis.deriv()(xi)
    for j in range(nodes):
        others = np.delete(xi, j)
        product = Polynomial.fromroots(others) if nodes > 1 else Polynomial([1.0])
        basis = product / np.prod(xi[j] - others)
        weights[j] = basis.integ()(1.0) - basis.integ()(0.0)
    return xi, derivative, weights


def advection_rates(
    cells: list[Expr],
    inlet: Expr,
    content: Expr,
    flow_in: Expr,
    flow_out: Expr,
    source: Expr = 0.0,
) -> list[Expr]:
    """Rates of an attribute at the collocation nodes (C2), inlet to outlet.

    Parameters
    ----------
    cells
        Attribute at the nodes of `collocation`; its last value leaves the chute.
    inlet
        Attribute of the inflow.
    content, flow_in, flow_out
        Content [kg], flows [kg/s].
    source
        Gain per second.
    """
    xi, derivative, _ = collocation(len(cells))
    profile = [inlet, *cells]
    rates = []
    for i in range(len(cells)):
        speed = (xi[i] * flow_out + (1.0 - xi[i]) * flow_in) / content
        slope = sum(derivative[i, j] * profile[j] for j in range(len(profile)))
        rates.append(source - speed * slope)  # (C2)
    return rates


class PlugFlow:
    """First in, first out, by mass: parcels with their attributes; exact for any flows.

    Attributes
    ----------
    mass : float
        Content [kg].
    """

    def __init__(self, parcels: list[tuple[float, NDArray[np.float64]]]) -> None:
        self._parcels = deque((m, np.asarray(c, dtype=np.float64)) for m, c in parcels)
        self.mass = float(sum(m for m, _ in self._parcels))

    def push(self, mass: float, attributes: NDArray[np.float64]) -> None:
        """Add ``mass`` [kg] at the inlet; a mass of 0 changes nothing."""
        if mass < 0.0:
            raise ValueError(f"a parcel cannot weigh {mass:g} kg")
        if mass > 0.0:
            self._parcels.append((mass, np.array(attributes, dtype=np.float64)))
            self.mass += mass

    def pull(self, mass: float) -> tuple[float, NDArray[np.float64] | None]:
        """Take up to ``mass`` [kg] at the outlet: what came, and its mean attributes."""
        taken, total = 0.0, None
        while self._parcels and taken < mass:
            parcel, attributes = self._parcels[0]
            part = min(parcel, mass - taken)
            total = part * attributes if total is None else total + part * attributes
            taken += part
            if part >= parcel:
                self._parcels.popleft()
            else:
                self._parcels[0] = (parcel - part, attributes)
        self.mass = max(0.0, self.mass - taken)
        return taken, None if total is None or taken <= 0.0 else total / taken

    def mean(self) -> NDArray[np.float64] | None:
        """Mean attributes of the content, ``None`` when empty."""
        if not self._parcels:
            return None
        masses = np.array([m for m, _ in self._parcels])
        return np.asarray(masses @ np.array([c for _, c in self._parcels]) / masses.sum())

    def parcels(self) -> list[tuple[float, NDArray[np.float64]]]:
        """Outlet first; what the constructor takes."""
        return list(self._parcels)
