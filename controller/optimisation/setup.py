"""From estimate, validated data and targets to one instance of the optimal control problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log

import numpy as np

from controller.config import OptimisationConfig
from controller.data import CV, Array, Targets, Validated
from controller.estimation.estimator import THICKNESS, EstimatorState, LineEstimator
from controller.optimisation.problem import TRACKED, Grid, OcpProblem, Weights, Zone
from controller.twin.core import PARAMETERS
from plant_models.line import ResolvedLine
from plant_models.signals import MV, MvSpec, SignalTable
from plant_models.units import to_si
from plant_models.variables import Structure

__all__ = ["ProblemFactory", "moved_tags"]

_IGNORED = 1e4  # a deviation is measured in so many scales when nobody controls it
# Tracked outputs and the CVs that they are.
_CVS = {
    "potency": CV.POTENCY,
    "log_weight": CV.TABLET_WEIGHT,
    "log_strength": CV.TENSILE_STRENGTH,
    "throughput": CV.THROUGHPUT,
}


def moved_tags(structure: Structure) -> tuple[str, ...]:
    """Tags of `controller.twin.core.MOVES`, in order."""
    press = MV.MAIN_FORCE if structure is Structure.CASCADE else MV.FILL_DEPTH
    return (MV.TOTAL_FEED, MV.API_RATIO, press, MV.THICKNESS, MV.TURRET_SPEED)


class ProblemFactory:
    """Builds problems for one line, structure and tuning.

    What is the same in all of them is public: ``tags``, ``grid``, ``lo``, ``hi`` and ``rate`` of
    the moves (SI, the rate per stage), ``zones``, ``weights``.
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        structure: Structure,
        config: OptimisationConfig,
        table: SignalTable,
        period: float,
    ) -> None:
        self.tags = moved_tags(structure)
        self.grid = Grid(config.stages, config.nodes, period)
        specs = [table.mv(tag) for tag in self.tags]
        self.lo, self.hi = _si(specs, "lo"), _si(specs, "hi")
        self.rate = _si(specs, "rate") * period
        self._level = resolved.line.chute.nominal_level_percent / 100.0
        self.zones = _zones(resolved, config, structure)
        flow = resolved.product.throughput_kg_h / 3600.0
        self.weights = Weights(
            np.array(
                [
                    config.potency_scale_percent / 100.0,
                    config.weight_scale_percent / 100.0,
                    config.strength_scale_percent / 100.0,
                    config.throughput_scale_percent / 100.0 * flow,
                    config.level_scale_percent / 100.0,
                ]
            ),
            np.array(config.move_costs),
            config.slack_linear,
            config.slack_quadratic,
        )

    def build(
        self, estimator: LineEstimator, state: EstimatorState, seen: Validated, targets: Targets
    ) -> OcpProblem:
        """The problem of this cycle. Raises ``ValueError`` if there is no estimate yet."""
        if state.solution is None:
            raise ValueError("no estimate yet: the problem has no initial state")
        p = state.solution.p[:, -1].copy()
        p[PARAMETERS.index("inflow")] = 0.0
        # the machine stands where the drive's play left it, and a small move leaves it there
        stands = float(state.inputs[THICKNESS]) - seen.actual[MV.THICKNESS]
        p[PARAMETERS.index("thickness_offset")] += stands
        previous = np.array([seen.actual[tag] for tag in self.tags])
        available = np.array([seen.available.get(tag, False) for tag in self.tags])
        lo, hi = self._ranges(targets)
        ignored = tuple(row for row, cv in _CVS.items() if cv in targets.out)
        return OcpProblem(
            grid=self.grid,
            x0=state.solution.x[:, -1],
            p=p,
            known=self._known(estimator, state, seen),
            previous=previous,
            lo=np.where(available, lo, previous),
            hi=np.where(available, hi, previous),
            rate=self.rate,
            references=self._references(targets.set_points),
            zones=self.zones,
            weights=self._without(ignored),
            free=ignored,
        )

    def _ranges(self, targets: Targets) -> tuple[Array, Array]:
        """Ranges of the moves, narrowed by what operators and product allow."""
        limits = [targets.limits.get(tag, (-np.inf, np.inf)) for tag in self.tags]
        return (
            np.maximum(self.lo, [low for low, _ in limits]),
            np.minimum(self.hi, [high for _, high in limits]),
        )

    def _without(self, ignored: tuple[str, ...]) -> Weights:
        """The weights, next to nothing for tracked outputs that are not controlled now."""
        if not ignored:
            return self.weights
        off = np.array([_IGNORED if row in ignored else 1.0 for row in TRACKED])
        return replace(self.weights, tracked=self.weights.tracked * off)

    def _references(self, set_points: Mapping[str, float]) -> Array:
        return np.array(
            [
                set_points[CV.POTENCY],
                log(set_points[CV.TABLET_WEIGHT]),
                log(set_points[CV.TENSILE_STRENGTH]),
                set_points[CV.THROUGHPUT],
                self._level,
            ]
        )

    def _known(self, estimator: LineEstimator, state: EstimatorState, seen: Validated) -> Array:
        stages = self.grid.stages
        rows: list[Array] = []
        for f, e, rate in zip(estimator.feeders, state.feeders, seen.feeder_rates, strict=True):
            forecast = f.forecast(e, rate, stages)
            rows += [
                np.array(forecast.frozen, dtype=float),
                np.array(forecast.flow),
                np.array(forecast.deviation),
            ]
        for value in (
            seen.actual[MV.LUBRICANT_RATIO],
            state.lot_share,
            seen.actual[MV.BLENDER_SPEED],
        ):
            rows.append(np.full(stages, value))
        return np.vstack(rows)


def _si(specs: list[MvSpec], name: str) -> Array:
    return np.array([to_si(getattr(s, name), s.unit) for s in specs])


def _zones(
    resolved: ResolvedLine, config: OptimisationConfig, structure: Structure
) -> tuple[Zone, ...]:
    product, margin = resolved.product, config.level_margin_percent / 100.0
    level, thickness = product.level_zone_percent, product.thickness_zone_mm
    force, lubricant = product.main_force_zone_kn, product.lubricant_zone_percent
    zones = (
        Zone("level", level.lo / 100.0 + margin, level.hi / 100.0 - margin, 0.1),
        Zone("thickness", thickness.lo * 1e-3, thickness.hi * 1e-3, 0.05e-3),
        Zone("log_pre_force", -1e3, log(product.pre_force_max_kn * 1e3), 0.1),
        Zone("ejection_force", -1e9, product.ejection_force_max_n, 30.0),
        Zone("lubricant", lubricant.lo / 100.0, lubricant.hi / 100.0, 0.0005),
    )
    if structure is Structure.CASCADE:  # there the force is moved, and this its hard range
        return zones
    return (*zones, Zone("log_main_force", log(force.lo * 1e3), log(force.hi * 1e3), 0.1))
