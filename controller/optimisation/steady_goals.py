"""What is wanted of the line at rest: goals in order of priority, their bands, their names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from controller.config import OptimisationConfig
from controller.data import CV, Array, Relaxation
from controller.optimisation.problem import TRACKED, OcpProblem
from controller.steady_config import SteadyConfig
from plant_models.config import ProductConfig
from plant_models.line import KG_H

__all__ = ["NAMES", "Priority", "SteadyGoals", "movable", "natural", "told"]

_SCREW_SCALE = 0.05
_MOST_MARGIN = 0.25  # of a band that back-off may take on either side
_FAR = 1e19


class Priority(IntEnum):
    """Levels of goals, most important first."""

    BALANCE = 0  # what is fed is pressed: the chute neither fills nor empties
    TOOLING = 1  # forces, screws
    ZONES = 2  # other zones
    POTENCY = 3
    WEIGHT = 4
    STRENGTH = 5
    THROUGHPUT = 6


_LEVELS = {
    "balance": Priority.BALANCE,
    "log_pre_force": Priority.TOOLING,
    "log_main_force": Priority.TOOLING,
    "ejection_force": Priority.TOOLING,
    "potency": Priority.POTENCY,
    "log_weight": Priority.WEIGHT,
    "log_strength": Priority.STRENGTH,
    "throughput": Priority.THROUGHPUT,
}

# Rows -> names of what they are, as in results.
NAMES = {
    "balance": "chute_balance",
    "potency": CV.POTENCY.value,
    "log_weight": CV.TABLET_WEIGHT.value,
    "log_strength": CV.TENSILE_STRENGTH.value,
    "throughput": CV.THROUGHPUT.value,
    "level": "chute_level",
    "thickness": "tablet_thickness",
    "log_pre_force": "pre_compression_force",
    "log_main_force": "main_compression_force",
    "lubricant": "lubricant_fraction",
}
# Name -> factor to a usual unit, and that unit.
_UNITS = {
    "chute_balance": (1.0 / KG_H, "kg/h"),
    CV.POTENCY.value: (100.0, "%"),
    CV.TABLET_WEIGHT.value: (1e6, "mg"),
    CV.TENSILE_STRENGTH.value: (1e-6, "MPa"),
    CV.THROUGHPUT.value: (1.0 / KG_H, "kg/h"),
    "tablet_thickness": (1e3, "mm"),
    "pre_compression_force": (1e-3, "kN"),
    "main_compression_force": (1e-3, "kN"),
    "ejection_force": (1.0, "N"),
    "lubricant_fraction": (100.0, "%"),
}


class SteadyGoals:
    """The goals of one product and tuning.

    ``rows`` are the names of the goals, ``level`` (m,) their priorities, ``tolerance`` (m,) what a
    relaxed one may give away to those after it [scales].
    """

    def __init__(
        self,
        product: ProductConfig,
        screws: Sequence[str],
        zoned: Sequence[str],
        config: OptimisationConfig,
    ) -> None:
        self._product, self._config = product, config
        share = config.throughput_scale_percent / 100.0
        self._flow_scale = share * (product.throughput_kg_h / 3600.0)
        self._screws = tuple(screws)
        self.rows = ("balance", *screws, *zoned, *TRACKED[:-1])
        self.level: NDArray[np.int_] = np.array([self._priority(r) for r in self.rows])
        tracked = (self.level >= Priority.POTENCY) & (self.level < Priority.THROUGHPUT)
        self.tolerance = np.where(tracked, config.steady.indifference_scales, 0.0)

    def _priority(self, row: str) -> int:
        return int(Priority.TOOLING if row in self._screws else _LEVELS.get(row, Priority.ZONES))

    def bands(self, problem: OcpProblem, sd: Array) -> tuple[Array, Array, Array]:
        """Lower and upper limits and scales of the goals; ``sd`` (m,) of what they are about."""
        zones = {z.output: z for z in problem.zones}
        bands: list[tuple[float, float, float]] = []
        for row, deviation in zip(self.rows, sd, strict=True):
            back_off = self._config.back_off_deviations * float(deviation)
            if row in zones:
                z = zones[row]
                bands.append((*inner(z.lo, z.hi, back_off), z.scale))
            elif row in problem.free:
                bands.append((-_FAR, _FAR, 1.0))
            elif row in self._screws:
                bands.append((-_FAR, 1.0, _SCREW_SCALE))
            elif row == "balance":
                bands.append((0.0, 0.0, self._flow_scale))
            else:
                i = TRACKED.index(row)
                wanted, scale = problem.references[i], problem.weights.tracked[i]
                bands.append((*self._tracked(problem, row, float(wanted), back_off), float(scale)))
        low, high, scale_of = np.array(bands).T
        return low, high, scale_of

    def _tracked(
        self, problem: OcpProblem, row: str, wanted: float, back_off: float
    ) -> tuple[float, float]:
        """A set point, or the band from which the economics may choose."""
        c = self._config.steady
        if not c.economic:
            return wanted, wanted
        if row == "throughput":
            if c.throughput_permitted_kg_h is not None:
                return c.throughput_permitted_kg_h[0] * KG_H, c.throughput_permitted_kg_h[1] * KG_H
            lo, hi = movable(problem, c)
            return float(lo[0]), float(hi[0])
        share, lower, upper = {
            "potency": (c.potency_permitted_percent, *_limits(self._product, "assay")),
            "log_weight": (c.weight_permitted_percent, *_limits(self._product, "weight")),
            "log_strength": (c.strength_permitted_percent, *_limits(self._product, "strength")),
        }[row]
        off = (log(1.0 - share / 100.0), log(1.0 + share / 100.0))
        if row == "potency":
            off = (-share / 100.0, share / 100.0)
        lower, upper = inner(lower, upper, back_off)
        low, high = max(wanted + off[0], lower), min(wanted + off[1], upper)
        if low > high:  # the set point itself is too close to a limit
            low = high = min(max(wanted, lower), upper)
        return low, high

    def chute_level(self, problem: OcpProblem, sd: float) -> float:
        """Target of the level, which is free at rest: its set point, brought into its zone."""
        wanted = float(problem.references[TRACKED.index("level")])
        for z in problem.zones:
            if z.output == "level":
                low, high = inner(z.lo, z.hi, self._config.back_off_deviations * sd)
                return min(max(wanted, low), high)
        return wanted


def inner(low: float, high: float, back_off: float) -> tuple[float, float]:
    """A band less the back-off on either side; half of it is always left."""
    margin = min(back_off, _MOST_MARGIN * (high - low))
    return low + margin, high - margin


def movable(problem: OcpProblem, config: SteadyConfig) -> tuple[Array, Array]:
    """Ranges of the moves; economics leave some of them to control."""
    if not config.economic:
        return problem.lo, problem.hi
    margin = config.range_margin_percent / 100.0 * (problem.hi - problem.lo)
    return problem.lo + margin, problem.hi - margin


def natural(row: str, value: float) -> float:
    """Value of a row in SI: what the twin gives as a logarithm is made a quantity."""
    return exp(value) if row.startswith("log_") else float(value)


def told(relaxation: Relaxation) -> str:
    """A sentence for people, in usual units."""
    factor, unit = _UNITS.get(relaxation.variable, (1.0, ""))
    wanted, reached = relaxation.wanted * factor, relaxation.reached * factor
    text = f"target: {relaxation.variable} {reached:.4g} instead of {wanted:.4g} {unit}".rstrip()
    return f"{text}: {', '.join(relaxation.because)}" if relaxation.because else text


def _limits(product: ProductConfig, attribute: str) -> tuple[float, float]:
    """Specification of assay [-], ln of weight [kg] or ln of strength [Pa]."""
    if attribute == "assay":
        band = product.assay_limits_percent
        return band.lo / 100.0, band.hi / 100.0
    if attribute == "weight":
        band = product.weight_limits_mg
        return log(band.lo * 1e-6), log(band.hi * 1e-6)
    band = product.tensile_strength_limits_mpa
    return log(band.lo * 1e6), log(band.hi * 1e6)
