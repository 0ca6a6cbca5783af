"""Offset-free linear predictive control with a Kalman filter: what commercial controllers do.

The same readings, moves, limits, zones and prices as the nonlinear controller; what is different is
the model: the twin linearised once (`lmpc_model`), a Kalman filter of states and integrating
disturbances (`lmpc_observer`, `kalman`), a steady-state target and one quadratic program per cycle
(`lmpc_qp`). What a good engineer adds to that is here too: logarithms of weight, strength and
forces instead of the values; refills as known disturbances of known length, during which a frozen
feeder does not answer; the nominal play of the thickness drive.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np

from controller.baselines.lmpc_model import DISTURBANCES, InputMap, linear_twin
from controller.baselines.lmpc_observer import LinearObserver, ObserverState
from controller.baselines.lmpc_qp import LinearPlanner, LinearProblem, LinearSolution
from controller.brain import Forced, Step
from controller.config import ControllerConfig
from controller.data import (
    CV,
    Array,
    Estimate,
    Forecast,
    Mode,
    Plan,
    ReachedBy,
    Targets,
    Validated,
)
from controller.optimisation.setup import ProblemFactory
from controller.targets import product_targets
from controller.twin.core import INPUTS, ControlTwin
from plant_models.line import ResolvedLine
from plant_models.signals import MV, SignalTable
from plant_models.variables import Structure

__all__ = ["LmpcBrain"]

_THICKNESS = INPUTS.index("thickness")
_PLAY = DISTURBANCES.index("thickness_offset")
# Forecast -> predicted output and whether it is a logarithm.
_SHOWN = {
    CV.POTENCY: ("potency", False),
    CV.TABLET_WEIGHT: ("log_weight", True),
    CV.TENSILE_STRENGTH: ("log_strength", True),
    CV.THROUGHPUT: ("throughput", False),
    "chute_level": ("level", False),
    "tablet_thickness": ("thickness", False),
}


class LmpcBrain:
    """The linear controller of one line in CASCADE."""

    name = "lmpc"

    def __init__(self, line: ResolvedLine, table: SignalTable, config: ControllerConfig) -> None:
        structure, period = Structure(config.structure), float(config.period_s)
        twin = ControlTwin(line, structure, step=period)
        targets = product_targets(line).set_points
        self.model = linear_twin(
            twin, line, targets[CV.TABLET_WEIGHT], targets[CV.TENSILE_STRENGTH]
        )
        self.observer = LinearObserver(self.model, line, config)
        self._map = InputMap(twin)
        self._limits = ProblemFactory(line, structure, config.optimisation, table, period)
        self.planner = LinearPlanner(
            self.model,
            self._limits.grid,
            self._limits.weights,
            self._limits.zones,
            config.lmpc.target_scale_moves,
            self._map.gain(self.model.u0, self._map.at_set_points(self.model.v0)),
        )
        self._level = line.line.chute.nominal_level_percent / 100.0

    @property
    def manipulated(self) -> tuple[str, ...]:
        """Tags of the MVs that the algorithm moves."""
        return self._limits.tags

    def initial(self) -> ObserverState:
        """State before the first cycle: nothing but the observer's has a memory."""
        return self.observer.initial()

    def prepare(self, state: ObserverState) -> None:
        """Nothing to work ahead."""

    def step(
        self,
        state: ObserverState,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One cycle: filter, target, plan; see `controller.brain.Brain.step`.

        The programs are small and solved to the end, so that ``deadline_s`` and ``forced`` change
        nothing.
        """
        state = self.observer.update(state, validated)
        estimate = self.observer.estimate(state, validated.time)
        if estimate is None or not estimate.converged or state.kalman is None:
            taken = Forced(estimator_steps=1, optimiser_steps=0, reached_by=ReachedBy.NONE)
            return Step(state=state, estimate=estimate, forecast=None, plan=None, taken=taken)
        problem = self._linear_problem(state, state.kalman.now.mean, validated, targets)
        solution = self.planner.solve(problem)
        reached = ReachedBy.FAST if solution.ok else ReachedBy.HOLD
        verdicts = (f"QP exit {solution.flag}",)
        held = self.planner.grid.interpolation @ solution.moves
        plan = Plan(
            time=validated.time,
            times=self._times(0.0),
            moves=dict(zip(self.manipulated, held.T, strict=True)),
            reached_by=reached,
            steps=1,
            solver_verdicts=verdicts,
            cost=solution.cost,
        )
        return Step(
            state=state,
            estimate=estimate,
            forecast=self._forecast(solution, estimate),
            plan=plan,
            taken=Forced(
                estimator_steps=1, optimiser_steps=1, reached_by=reached, solver_verdicts=verdicts
            ),
        )

    def _forecast(self, solution: LinearSolution, estimate: Estimate) -> Forecast:
        series: dict[str, tuple[Array, Array, Array]] = {}
        for name, (output, logarithm) in _SHOWN.items():
            row = self.planner.rows.index(output)
            a, b = solution.free[:, row], solution.planned[:, row]
            if logarithm:
                a, b = np.exp(a), np.exp(b)
            half = np.full(a.size, estimate.quality[name].half_width)
            series[str(name)] = (a, b, half)
        return Forecast(times=self._times(1.0), series=series)

    def _times(self, first: float) -> Array:
        grid = self.planner.grid
        return np.asarray((np.arange(grid.stages) + first) * grid.step, dtype=float)

    # what it plans with

    def _linear_problem(
        self, state: ObserverState, z: Array, seen: Validated, targets: Targets
    ) -> LinearProblem:
        f, m, previous = self._limits, self.model, self._previous(seen)
        known = self._known(state, seen)
        # the machine stands where the drive's play left it, and a small move leaves it there
        z = z.copy()
        z[m.nx + _PLAY] += float(state.inputs[_THICKNESS]) - seen.actual[MV.THICKNESS]
        free = np.array([seen.available.get(tag, False) for tag in f.tags])
        after = known[:, -1].copy()
        after[2 : 3 * len(self.observer.feeders) : 3] = 0.0
        return LinearProblem(
            z=z,
            inputs=self._map.inputs(previous, known),
            gains=self._gains(known),
            settled=self._map.inputs(previous, after[:, None])[:, 0],
            settled_gain=self._map.gain(m.u0, after),
            previous=previous,
            lo=np.where(free, f.lo, previous),
            hi=np.where(free, f.hi, previous),
            rate=f.rate,
            references=self._references(targets.set_points),
        )

    def _previous(self, seen: Validated) -> Array:
        return np.array([seen.actual[tag] for tag in self._limits.tags])

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

    def _known(self, state: ObserverState, seen: Validated) -> Array:
        stages, rows = self.planner.grid.stages, []
        for f, e, rate in zip(self.observer.feeders, state.feeders, seen.feeder_rates, strict=True):
            forecast = f.forecast(e, rate, stages)
            rows += [forecast.frozen, forecast.flow, forecast.deviation]
        for value in (seen.actual[MV.LUBRICANT_RATIO], 0.0, seen.actual[MV.BLENDER_SPEED]):
            rows.append((value,) * stages)
        return np.array(rows, dtype=float)

    def _gains(self, known: Array) -> Array:
        """Gains of the moves, stage by stage; one evaluation per pattern of frozen feeders."""
        stages = known.shape[1]
        frozen = known[0 : 3 * len(self.observer.feeders) : 3]
        gains = np.repeat(self.planner.plain_gain[None], stages, axis=0)
        found: dict[tuple[float, ...], Array] = {}
        for j in np.flatnonzero(np.any(frozen > 0.5, axis=0)):
            pattern = tuple(frozen[:, j])
            if pattern not in found:
                found[pattern] = self._map.gain(self.model.u0, known[:, j])
            gains[j] = found[pattern]
        return gains
