"""``twinline benchmark levers``: what each means of speed brings in time and costs in the loop.

One lever of the real-time solver is taken away, or another put in, at a time; all else stays as
deployed. Everyone meets the closed loop of the speed benchmarks (`tools.benchmarks.nmpc_loop`), in
one process, in turn. Cost is (N1) over the whole loop, compared with that of the same problem
without blocking, iterated until it has converged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import casadi as ca
import numpy as np
import piqp
from rich.console import Console
from rich.table import Table

import controller.optimisation.fast as fast
from controller.data import Array
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import Grid, OcpProblem, stage_moves
from controller.twin.compiled import RolloutResult
from controller.twin.condense import Condenser, Pattern
from tools.benchmarks.nmpc_loop import run_loop
from tools.benchmarks.nmpc_problem import STAGES, STEPS, Case
from tools.pki import twinline_home

__all__ = ["LEVERS", "print_levers", "run_levers"]

_MANY = 30  # Gauss-Newton steps that are enough to converge
_REFERENCE = "no blocking, converged"


class _Loop:
    """A fast solver in the loop: warm start by shifting, ``steps`` Gauss-Newton steps.

    ``prepares`` works out the sensitivities of the first one between the steps of the loop.
    """

    def __init__(self, solver: FastSolver, steps: int, prepares: bool) -> None:
        self.grid, self.status, self.iterations = solver.grid, "", 0
        self.settings: dict[str, Any] = {"steps": steps}
        self._solver, self._steps, self._prepares = solver, steps, prepares
        self._moves: Array | None = None
        self._solved: OcpProblem | None = None
        self._prepared: Array | None = None

    def decide(self, problem: OcpProblem) -> Array:
        """Set points of the coming stage."""
        guess = problem.hold() if self._moves is None else problem.grid.shifted(self._moves)
        found = self._solver.solve(problem, guess, self._steps, prepared=self._prepared)
        self._moves, self._solved = found.moves, problem
        self.status, self.iterations = found.verdict, found.steps
        return np.asarray(found.moves[0])

    def prepare(self) -> None:
        """Work ahead; not timed."""
        if self._prepares and self._solved is not None and self._moves is not None:
            self._prepared = self._solver.prepare(self._solved, self._moves)


class _WithSensitivities(FastSolver):
    """Trial plans are rolled out with all sensitivities."""

    def outputs(self, problem: OcpProblem, moves: Array) -> Array:
        return self.predict(problem, moves).y.copy()


class _Called(FastSolver):
    """The roll-out is called with CasADi's matrices instead of fixed buffers."""

    def __init__(self, case: Case, grid: Grid, cache: Path | None) -> None:
        super().__init__(case.twin, grid, cache)
        stage = case.twin.controlled_stage_function()
        self._function = stage.mapaccum("called", grid.stages)
        external = self._rollout._function
        self._function = external if self._rollout.compiled else self._function

    def predict(self, problem: OcpProblem, moves: Array) -> RolloutResult:
        n = self.grid.stages
        w = np.vstack((stage_moves(problem, moves), problem.known))
        p = np.repeat(problem.p[:, None], n, axis=1)
        out = self._function(ca.DM(problem.x0), ca.DM(p), ca.DM(w))
        full = [np.array(o).reshape((o.shape[0], o.shape[1] // n, n), order="F") for o in out]
        x, a, bp, bv, y, hx, hp, hv = full
        return RolloutResult(x[:, 0, :], a, bp, bv, y[:, 0, :], hx, hp, hv)


@dataclass(frozen=True)
class _Lever:
    name: str
    make: Callable[[Case, Path], tuple[FastSolver, int]]
    interior_point: bool = False
    prepares: bool = True


def _plain(case: Case, cache: Path | None, grid: Grid | None = None) -> FastSolver:
    return FastSolver(case.twin, grid or case.blocked, cache)


def _steps(case: Case) -> int:
    return case.config.optimisation.steps


def _dense_condensing(case: Case, cache: Path) -> tuple[FastSolver, int]:
    solver = _plain(case, cache)
    solver._condenser = Condenser(Pattern.by_moves(case.twin), None)
    return solver, _steps(case)


LEVERS = (
    _Lever(_REFERENCE, lambda c, k: (_plain(c, k, c.dense), _MANY), prepares=False),
    _Lever("as deployed, on this horizon", lambda c, k: (_plain(c, k), _steps(c))),
    _Lever("nothing prepared", lambda c, k: (_plain(c, k), _steps(c)), prepares=False),
    _Lever("one step, prepared (feedback only)", lambda c, k: (_plain(c, k), 1)),
    _Lever("one step, not prepared", lambda c, k: (_plain(c, k), 1), prepares=False),
    _Lever("converged", lambda c, k: (_plain(c, k), _MANY)),
    _Lever("no blocking", lambda c, k: (_plain(c, k, c.dense), _steps(c))),
    _Lever("model not compiled", lambda c, _: (_plain(c, None), _steps(c))),
    _Lever("condensing by dense matrices", _dense_condensing),
    _Lever(
        "trial plans with sensitivities",
        lambda c, k: (_WithSensitivities(c.twin, c.blocked, k), _steps(c)),
    ),
    _Lever("no fixed buffers", lambda c, k: (_Called(c, c.blocked, k), _steps(c))),
    _Lever("interior-point QP", lambda c, k: (_plain(c, k), _steps(c)), interior_point=True),
)


def run_levers(
    console: Console | None = None,
    *,
    steps: int = STEPS,
    stages: int = STAGES,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run every variant over ``steps`` steps of the loop; times are the process's own (CPU).

    Compiled models are kept in ``cache``; the user's own by default.
    """
    cache = cache or twinline_home() / "cache"
    rows: dict[str, dict[str, float]] = {}
    case, best = Case(stages=stages), float("nan")
    for lever in LEVERS:
        solver, count = lever.make(case, cache)
        with _interior_point() if lever.interior_point else nullcontext():
            result = run_loop(case, _Loop(solver, count, lever.prepares), steps)
        cost = float(result.cost[-1])
        best = cost if lever.name == _REFERENCE else best
        rows[lever.name] = {
            "median_ms": float(np.median(result.cpu_ms)),
            "max_ms": float(np.max(result.cpu_ms)),
            "cost": cost,
            "cost_gap_pct": 100.0 * (cost / best - 1.0),
        }
        if console is not None:
            console.print(f"levers: {lever.name}: {rows[lever.name]['median_ms']:.2f} ms")
    results = {"steps": steps, "variants": rows}
    if console is not None:
        print_levers(console, results)
    return {"levers": results}


def print_levers(console: Console, results: dict[str, Any]) -> None:
    """Table of all variants, each beside the deployed one."""
    rows = results["variants"]
    base = rows["as deployed, on this horizon"]["median_ms"]
    table = Table(title="Levers: CPU time per step, and closed-loop cost")
    for name in ("variant", "median ms", "max ms", "time / deployed", "cost above reference, %"):
        table.add_column(name, justify="left" if name == "variant" else "right")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['median_ms']:.2f}",
            f"{row['max_ms']:.2f}",
            f"{row['median_ms'] / base:.2f}",
            f"{row['cost_gap_pct']:.3f}",
        )
    console.print(table)


@contextmanager
def _interior_point() -> Iterator[None]:
    """The dense QP by PIQP instead of DAQP."""
    with patch.object(fast, "daqp", SimpleNamespace(solve=_by_piqp)):
        yield


def _by_piqp(
    h: Array, f: Array, a: Array, upper: Array, lower: Array, sense: Array
) -> tuple[Array, float, int, dict[str, Any]]:
    """Call of ``daqp.solve`` carried out by PIQP: first rows are bounds, the others ``a x``."""
    n = f.size
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-8
    solver.setup(h, f, None, None, a, lower[n:], upper[n:], lower[:n], upper[:n])
    status = solver.solve()
    flag = 1 if status == piqp.PIQP_SOLVED else -1
    return np.array(solver.result.x), 0.0, flag, {}
