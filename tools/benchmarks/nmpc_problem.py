"""The reference problem of the speed benchmarks: one line, one horizon, one script.

The configured line's twin, 60 stages of 5 s, the configured weights, zones, ranges, rates and
blocking; 200 steps with new set points, refills and jumps of the powder's properties. Fixed, so
that figures of different days can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import log
from pathlib import Path

import numpy as np

from controller.config import ControllerConfig
from controller.data import Array
from controller.optimisation.problem import Grid, OcpProblem
from controller.optimisation.setup import ProblemFactory
from controller.twin.core import ControlTwin
from plant_models.line import ResolvedLine, blender_parameters, nominal_flow, recipe_fractions
from plant_models.signal_list import signal_table
from plant_models.signals import MV, SignalTable
from plant_models.units import to_si
from plant_models.variables import Structure
from tools.configuration import load_controller, load_line

__all__ = ["FIRST", "JUMPS", "STAGES", "STEPS", "Case"]

STAGES, STEPS, FIRST = 60, 200, 30
CONFIGS = Path(__file__).resolve().parents[2] / "configs"

# Step -> set point and the factor on its nominal value, from then on.
_SET_POINTS: dict[int, tuple[str, float]] = {
    2: ("throughput", 1.05),
    20: ("strength", 1.06),
    45: ("weight", 1.01),
    70: ("throughput", 0.98),
    95: ("strength", 0.97),
    120: ("potency", 1.01),
    150: ("weight", 1.0),
    165: ("throughput", 1.10),
}
# Step -> jumps of what the powder is, from then on.
JUMPS: dict[int, dict[str, float]] = {
    10: {"specific_volume": 0.04, "pressure_scale": 0.06, "strength": -0.05},
    85: {"discharge": -0.08, "specific_volume": -0.03},
    135: {"pressure_scale": -0.08, "strength": 0.06},
    180: {"compliance": 0.08},
}
# Feeder, first and last step of its refill: its rate is frozen then, and known.
_REFILLS: tuple[tuple[str, int, int], ...] = (("filler", 26, 33), ("api", 105, 112))
_REFILL_SURPLUS = 1.03


@dataclass(frozen=True)
class Case:
    """Line and controller as configured, on ``stages`` stages of ``step`` [s]."""

    stages: int = STAGES
    step: float = 5.0
    resolved: ResolvedLine = field(
        default_factory=lambda: load_line(CONFIGS / "lines" / "reference.yaml")
    )
    config: ControllerConfig = field(
        default_factory=lambda: load_controller(CONFIGS / "controllers" / "nmpc.yaml")
    )

    @property
    def blocked(self) -> Grid:
        """These stages with those of the configured nodes that lie on them."""
        nodes = tuple(n for n in self.config.optimisation.nodes if n < self.stages)
        return Grid(self.stages, nodes, self.step)

    @property
    def dense(self) -> Grid:
        """These stages with a node at each: no blocking."""
        return Grid(self.stages, tuple(range(self.stages)), self.step)

    @cached_property
    def twin(self) -> ControlTwin:
        """The model that all solvers are given."""
        return ControlTwin(self.resolved, Structure(self.config.structure), step=self.step)

    @cached_property
    def factory(self) -> ProblemFactory:
        """Weights, zones, ranges and rates."""
        optimisation = self.config.optimisation.model_copy(
            update={"stages": self.stages, "nodes": self.blocked.nodes}
        )
        return ProblemFactory(
            self.resolved, self.twin.structure, optimisation, self._table, self.step
        )

    @cached_property
    def _table(self) -> SignalTable:
        return signal_table(self.resolved.line)

    def _nominal(self, tag: str) -> float:
        spec = self._table.mv(tag)
        return float(to_si(spec.nominal, spec.unit))

    @cached_property
    def nominal(self) -> Array:
        """Set points (nu,) of the recipe."""
        return np.array([self._nominal(tag) for tag in self.factory.tags])

    def rest(self, lot: float = 0.0) -> Array:
        """State (nx,) of the line at rest at its recipe, with a share of the newest lot."""
        speed, label = blender_parameters(self.resolved).speed_0, self.resolved.product.api_percent
        return self.twin.steady(nominal_flow(self.resolved), label / 100.0, lot, speed)

    @property
    def scale(self) -> Array:
        """What states (nx,) are measured in where a solver wants them near 1."""
        return np.abs(self.rest(lot=1.0))

    def references(self, k: int) -> Array:
        """What is wanted in step ``k``, in the order of ``TRACKED`` and the outputs' units."""
        product = self.resolved.product
        factor = dict.fromkeys(("potency", "weight", "strength", "throughput"), 1.0)
        for step, (name, value) in _SET_POINTS.items():
            if step <= k:
                factor[name] = value
        return np.array(
            [
                factor["potency"],
                log(product.weight_mg * 1e-6 * factor["weight"]),
                log(product.tensile_strength_mpa * 1e6 * factor["strength"]),
                nominal_flow(self.resolved) * factor["throughput"],
                self.resolved.line.chute.nominal_level_percent / 100.0,
            ]
        )

    def known(self, first: int, stages: int) -> Array:
        """Known disturbances (nd, stages) from step ``first`` on."""
        feeders = self.resolved.line.feeders
        rows = np.zeros((3 * len(feeders) + 3, stages))
        shares, when = recipe_fractions(self.resolved), np.arange(first, first + stages)
        for role, begin, end in _REFILLS:
            i = self.resolved.feeder_index(role)
            frozen = (when >= begin) & (when <= end)
            rows[3 * i, frozen] = 1.0
            flow = _REFILL_SURPLUS * shares[i] * nominal_flow(self.resolved)
            rows[3 * i + 1, frozen] = flow
        rows[-3] = self._nominal(MV.LUBRICANT_RATIO)
        rows[-1] = blender_parameters(self.resolved).speed_0
        return rows

    def problem(self, grid: Grid, k: int, x: Array, p: Array, previous: Array) -> OcpProblem:
        """The problem of step ``k`` at state ``x``, parameters ``p``, set points ``previous``."""
        f = self.factory
        return OcpProblem(
            grid=grid,
            x0=x,
            p=p,
            known=self.known(k, grid.stages),
            previous=previous,
            lo=f.lo,
            hi=f.hi,
            rate=f.rate,
            references=self.references(k),
            zones=f.zones,
            weights=f.weights,
        )
