"""The closed loop in which the solvers of the speed benchmarks are compared.

The plant is the twin in steps of 1 s with other parameters: feeders deviate, properties walk and
jump. What a solver is told of the state is the truth with noise, of the parameters the truth some
cycles late with noise, as an estimator would say it. All that is drawn from one seed beforehand,
so that every solver meets the same plant and the same noise.

Cost of a loop, one for all solvers, over its steps ``k``:

(N1)  J = sum_k [ sum_i ((y_ik - r_ik)/s_i)^2 / 60 + sum_m (du_mk / (c_m rate_m))^2 ]
          + sum_z (q1 e_z + q2 e_z^2),   e_z the largest violation of a zone's side

which is (O1) of the problem along the way that was gone, stage by stage, whatever was planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.problem import TRACKED, Grid, OcpProblem
from controller.twin.core import OUTPUTS, PARAMETERS, ControlTwin
from tools.benchmarks.nmpc_problem import JUMPS, STAGES, STEPS, Case

__all__ = ["SEED", "Contestant", "LoopResult", "Preparing", "loop_cost", "run_loop"]

SEED = 1
_SUBSTEPS = 5  # of the plant, per stage
_WALK = {"specific_volume": 8e-4, "pressure_scale": 1.5e-4, "strength": 5e-4}
_FOLLOWED = 0.25  # share of a parameter's change that the next cycle is told
_STATE_SD = 1e-3  # relative
_DEVIATION_SD, _DEVIATION_KEPT = 0.003, 0.8  # of a feeder's flow, per step


class Contestant(Protocol):
    """A solver in the loop."""

    @property
    def grid(self) -> Grid:
        """Stages and nodes of the problems that it wants."""
        ...

    @property
    def status(self) -> str:
        """What the solver said last."""
        ...

    @property
    def iterations(self) -> int:
        """How many it took last."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain data, to be printed."""
        ...

    def decide(self, problem: OcpProblem) -> Array:
        """Set points (nu,) of the coming stage. This is what is timed."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A contestant that works ahead while the plant is waited for, which is not timed."""

    def prepare(self) -> None:
        """Get ready for the next `Contestant.decide`."""
        ...


@dataclass(frozen=True, slots=True)
class _Draws:
    """All that chance decides, a row per step: the truth, and the errors of what is told."""

    p: Array
    deviations: Array
    x_error: Array
    p_error: Array


def _draw(case: Case, steps: int, seed: int) -> _Draws:
    """At full length whatever ``steps``: a shorter loop is the beginning of the longer one."""
    rng, length = np.random.default_rng(seed), max(steps, STEPS)
    moves, error = np.zeros((length, len(PARAMETERS))), np.zeros((length, len(PARAMETERS)))
    for name, sd in _WALK.items():
        i = PARAMETERS.index(name)
        moves[:, i] = sd * rng.standard_normal(length)
        error[:, i] = 2.0 * sd * rng.standard_normal(length)
    for step, jumps in JUMPS.items():
        for name, jump in jumps.items():
            moves[step, PARAMETERS.index(name)] += jump
    deviations = _DEVIATION_SD * rng.standard_normal((length, len(case.resolved.line.feeders)))
    for k in range(1, length):
        deviations[k] += _DEVIATION_KEPT * deviations[k - 1]
    x_error = _STATE_SD * rng.standard_normal((length, case.twin.path.size))
    return _Draws(np.cumsum(moves, axis=0), deviations, x_error, error)


@dataclass(frozen=True, slots=True)
class LoopResult:
    """One loop by steps: times, outputs (n, ny), set points (n, nu), (N1) up to each.

    ``ms`` is wall time, ``cpu_ms`` the process's own, which other load on the machine hardly
    touches; ``verdicts`` and ``iterations`` are what the solver said of each step.
    """

    ms: Array
    cpu_ms: Array
    y: Array
    moves: Array
    cost: Array
    verdicts: tuple[str, ...]
    iterations: tuple[int, ...]


def run_loop(
    case: Case,
    contestant: Contestant,
    steps: int = STEPS,
    seed: int = SEED,
    on_step: Callable[[int], None] | None = None,
) -> LoopResult:
    """Run the first ``steps`` steps of the loop.

    Parameters
    ----------
    case
        Line, controller and script.
    contestant
        Who decides.
    steps, seed
        How many steps, and what chance is drawn from.
    on_step
        Told each step that is done.

    Returns
    -------
    Times, and what came of the decisions.
    """
    draws, plant = _draw(case, steps, seed), _plant(case)
    x, previous, told = case.rest(), case.nominal, draws.p[0]
    wall, cpu, ys, moves, said = [], [], [], [], []
    for k in range(steps):
        told = told + _FOLLOWED * (draws.p[k] - told)
        seen = x * (1.0 + draws.x_error[k])
        problem = case.problem(contestant.grid, k, seen, told + draws.p_error[k], previous)
        began, worked = time.perf_counter(), time.process_time()
        wanted = contestant.decide(problem)
        wall.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - worked))
        said.append((contestant.status, contestant.iterations))
        if isinstance(contestant, Preparing):
            contestant.prepare()
        previous = _taken(case, wanted, previous)
        known = case.known(k, 1)[:, 0]
        known[2 : 3 * draws.deviations.shape[1] : 3] = draws.deviations[k]
        x, y = (np.asarray(v).ravel() for v in plant(x, draws.p[k], previous, known))
        ys.append(y)
        moves.append(previous)
        if on_step is not None:
            on_step(k)
    outputs, held = np.array(ys), np.array(moves)
    return LoopResult(
        ms=np.array(wall),
        cpu_ms=np.array(cpu),
        y=outputs,
        moves=held,
        cost=loop_cost(case, outputs, held),
        verdicts=tuple(verdict for verdict, _ in said),
        iterations=tuple(count for _, count in said),
    )


def _taken(case: Case, wanted: Array, previous: Array) -> Array:
    """What the PLC makes of a request: inside rates and ranges; what is no number is not taken."""
    f = case.factory
    wanted = np.where(np.isfinite(wanted), wanted, previous)
    return np.clip(np.clip(wanted, previous - f.rate, previous + f.rate), f.lo, f.hi)


def _plant(case: Case) -> Any:
    """``(x, p, u, d) -> (x, y)`` one stage later."""
    twin = ControlTwin(case.resolved, case.twin.structure, step=case.step, substeps=_SUBSTEPS)
    x, z = ca.SX.sym("x", twin.path.size), ca.SX.sym("z", twin.path.size)
    p, u = ca.SX.sym("p", len(PARAMETERS)), ca.SX.sym("u", case.nominal.size)
    d = ca.SX.sym("d", case.known(0, 1).shape[0])
    v = ca.vertcat(*twin.stage_inputs(ca.vertsplit(u), ca.vertsplit(d)))
    named = twin.outputs(ca.vertsplit(z), ca.vertsplit(p), ca.vertsplit(v))
    measure = ca.Function("measure", [z, p, u, d], [ca.vertcat(*(named[n] for n in OUTPUTS))])
    later = twin.advance(x, p, v)
    return ca.Function("plant", [x, p, u, d], [later, measure(later, p, u, d)])


def loop_cost(case: Case, y: Array, moves: Array) -> Array:
    """(N1) up to and including each step, for outputs (n, ny) and set points (n, nu)."""
    f = case.factory
    goals = np.array([case.references(k) for k in range(len(y))])
    error = (y[:, [OUTPUTS.index(n) for n in TRACKED]] - goals) / f.weights.tracked
    steps = np.diff(moves, axis=0, prepend=case.nominal[None, :])
    running = np.sum(error**2, axis=1) / STAGES
    running += np.sum((steps / (f.weights.moves * f.rate)) ** 2, axis=1)
    total = np.cumsum(running)
    for zone in f.zones:
        row = y[:, OUTPUTS.index(zone.output)]
        for excess in (row - zone.hi, zone.lo - row):
            e = np.maximum.accumulate(np.maximum(excess, 0.0)) / zone.scale
            total += f.weights.slack_linear * e + f.weights.slack_quadratic * e**2
    return np.asarray(total)
