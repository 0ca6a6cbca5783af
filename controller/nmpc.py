"""The optimising controller as a `controller.brain.Brain`: estimator, problem, solver chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

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
from controller.estimation.estimator import EstimatorState, LineEstimator
from controller.estimation.quality_now import inflation
from controller.optimisation.caution import Caution
from controller.optimisation.chain import ChainState, Reference, SolverChain
from controller.optimisation.fast import FastSolver
from controller.optimisation.outlook import Outlook
from controller.optimisation.problem import OcpProblem, stage_moves
from controller.optimisation.scenarios import ScenarioSolver
from controller.optimisation.setup import ProblemFactory
from controller.optimisation.steady import SteadyTarget, SteadyTargets
from controller.optimisation.steady_goals import told
from controller.twin.core import OUTPUTS
from plant_models.line import ResolvedLine
from plant_models.signals import MV, LineState, PlcMode, SignalTable
from plant_models.variables import Structure

__all__ = ["NmpcBrain", "NmpcState"]

_Z = 1.96
_BUSY = "uncertainty: left out, the solver has not returned yet"
_SHOWN = {
    CV.POTENCY: ("potency", False),
    CV.TABLET_WEIGHT: ("log_weight", True),
    CV.TENSILE_STRENGTH: ("log_strength", True),
    CV.THROUGHPUT: ("throughput", False),
    "chute_level": ("level", False),
    "tablet_thickness": ("thickness", False),
    "main_compression_force": ("log_main_force", True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NmpcState:
    """State of the optimising controller; picklable.

    ``planned`` is the time of the last plan, ``solved`` the problem that it answers.
    """

    estimator: EstimatorState
    chain: ChainState
    target: SteadyTarget | None = None
    planned: float = 0.0
    solved: OcpProblem | None = None


class NmpcBrain:
    """Moving-horizon estimation and nonlinear predictive control of one line.

    ``cache`` is the folder for compiled roll-outs (None: not compiled); ``reference`` the robust
    solver of the chain (None: the chain goes on to the shifted plan).
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        table: SignalTable,
        config: ControllerConfig,
        cache: Path | None,
        reference: Reference | None = None,
    ) -> None:
        structure = Structure(config.structure)
        period = float(config.period_s)
        self._steps = config.estimation.steps
        self.estimator = LineEstimator(resolved, structure, config.estimation, period, cache)
        self.factory = ProblemFactory(resolved, structure, config.optimisation, table, period)
        self.targets = SteadyTargets(
            self.estimator.twin, self.factory.zones, self.factory.tags, config.optimisation
        )
        solver = ScenarioSolver if config.optimisation.scenarios else FastSolver
        self.fast = solver(self.estimator.twin, self.factory.grid, cache)
        self.caution = Caution(self.fast, self.estimator.problem.free, config.optimisation)
        self.outlook = Outlook(self.estimator)
        self.chain = SolverChain(self.fast, reference, config.optimisation)
        self._prepares = config.optimisation.prepare
        self._ahead: tuple[NmpcState, Array] | None = None  # what was last prepared, and for what

    @property
    def name(self) -> str:
        """Short name, as in results."""
        return "nmpc"

    @property
    def manipulated(self) -> tuple[str, ...]:
        """Tags of the MVs that the algorithm moves."""
        return self.factory.tags

    def initial(self) -> NmpcState:
        """State before the first cycle."""
        return NmpcState(estimator=self.estimator.initial(), chain=ChainState())

    def step(
        self,
        state: NmpcState,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One cycle: estimate, forecast, plan; see `controller.brain.Brain.step`."""
        before, steps = state, self._steps if forced is None else forced.estimator_steps
        inner = self.estimator.update(state.estimator, validated, steps)
        state = replace(state, estimator=inner)
        estimate = self.estimator.estimate(inner, validated.time)
        if estimate is None or mode is Mode.OFF:
            taken = Forced(estimator_steps=steps, optimiser_steps=0, reached_by=ReachedBy.NONE)
            return Step(state=state, estimate=estimate, forecast=None, plan=None, taken=taken)
        lost = 0
        if state.planned > 0.0:
            lost = round((validated.time - state.planned) / self.factory.grid.step) - 1
            state = replace(state, chain=state.chain.later(self.factory.grid, lost))
        busy = self.chain.busy if forced is None else _BUSY in forced.solver_verdicts
        prepared = self._prepared(before) if lost == 0 and not busy else None
        problem, target, notes = self._problem(state, validated, targets, busy)
        if mode is not Mode.CLOSED_LOOP:
            state = replace(state, chain=replace(state.chain, age=0))
        outcome = self.chain.solve(problem, state.chain, deadline_s, forced, prepared)
        said = (*notes, *outcome.verdicts)
        verdicts = said if forced is None else forced.solver_verdicts
        plan = Plan(
            time=validated.time,
            times=_grid(problem, 0.0),
            moves=dict(zip(self.factory.tags, stage_moves(problem, outcome.moves), strict=True)),
            reached_by=outcome.reached_by,
            steps=outcome.steps,
            solver_verdicts=verdicts,
            cost=outcome.cost,
            age_cycles=outcome.state.age,
            target=target.report,
        )
        return Step(
            state=replace(
                state,
                chain=outcome.state,
                target=target,
                planned=validated.time,
                solved=problem if outcome.reached_by is ReachedBy.FAST else None,
            ),
            estimate=estimate,
            forecast=None
            if self.chain.unanswered(verdicts)
            else self._forecast(problem, outcome.moves, state.estimator, estimate, validated, mode),
            plan=plan,
            taken=Forced(
                estimator_steps=steps,
                optimiser_steps=outcome.steps,
                reached_by=outcome.reached_by,
                solver_verdicts=verdicts,
            ),
        )

    def prepare(self, state: NmpcState) -> None:
        """Sensitivities along the plan of ``state``, for the first step of the next cycle."""
        if self._prepares and not self.chain.busy:
            self._prepared(state)

    def _prepared(self, state: NmpcState) -> Array | None:
        """What `prepare` has found for ``state``; the same if it has to be found now."""
        if not self._prepares or state.solved is None or state.chain.moves is None:
            return None
        if self._ahead is None or self._ahead[0] is not state:
            self._ahead = state, self.fast.prepare(state.solved, state.chain.moves)
        return self._ahead[1]

    def _problem(
        self, state: NmpcState, validated: Validated, targets: Targets, busy: bool
    ) -> tuple[OcpProblem, SteadyTarget, tuple[str, ...]]:
        """The problem of this cycle, where it leads to at rest, and what there is to say."""
        inner, last = state.estimator, state.chain.moves
        problem = self.factory.build(self.estimator, inner, validated, targets)
        if inner.solution is None:
            return problem, self.targets.solve(problem, None, state.target), ()
        cov, trust = inner.solution.cov, inflation(inner.misfit)
        first = self.estimator.problem.free.size
        target = self.targets.solve(problem, trust * cov[first:, first:], state.target)
        problem = replace(problem, references=target.references)
        notes = () if target.report is None else tuple(told(r) for r in target.report.relaxed)
        if busy:
            return problem, target, (*notes, _BUSY)
        moves = problem.hold() if last is None else problem.grid.shifted(last)
        problem, more = self.caution.applied(problem, moves, cov, trust)
        return problem, target, (*notes, *more)

    def _forecast(
        self,
        problem: OcpProblem,
        moves: Array,
        state: EstimatorState,
        estimate: Estimate,
        seen: Validated,
        mode: Mode,
    ) -> Forecast:
        """What comes without the plan's moves and with them, and how far it may be off.

        The half widths are those of what is to come true: of the plan in closed loop, else of the
        forecast without moves, in which the PLC's level loop goes on if it is on.
        """
        planned = self.fast.outputs(problem, moves)
        free = self.fast.outputs(problem, problem.hold())
        follows = (
            self.outlook.turret_follows
            and seen.plc_mode is PlcMode.LOCAL
            and seen.line_state is LineState.RUNNING
        )
        if follows:
            level, flow = OUTPUTS.index("level"), OUTPUTS.index("throughput")
            now = estimate.quality["chute_level"].mean
            change, faster = self.outlook.followed(problem, free[level], now, free[flow][0])
            free[level] += change
            free[flow] *= 1.0 + faster
        spread = self.outlook.deviations(
            problem, state, steered=mode is Mode.CLOSED_LOOP, follows=follows
        )
        series = {}
        for name, (output, logarithm) in _SHOWN.items():
            row = OUTPUTS.index(output)
            a, b = free[row], planned[row]
            if logarithm:
                a, b = np.exp(a), np.exp(b)
            half = np.full(a.size, np.nan) if spread is None else _Z * spread[output]
            if logarithm:
                half = half * (b if mode is Mode.CLOSED_LOOP else a)
            series[str(name)] = (np.array(a), np.array(b), half)
        loops = (MV.TURRET_SPEED,) if follows else ()
        return Forecast(times=_grid(problem, 1.0), series=series, loops=loops)


def _grid(problem: OcpProblem, first: float) -> Array:
    return np.asarray((np.arange(problem.grid.stages) + first) * problem.grid.step, dtype=float)
