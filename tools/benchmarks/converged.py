"""``twinline benchmark converged``: what the shift loses by not solving every problem to its end.

The scripted shift in process as the demo plays it, the death of the plant and the operator's coming
back included; same seed, same estimator, targets and supervision; once planned by the real-time
solver, and once by IPOPT, converged in every cycle on the same stages with a node at each
(`tools.benchmarks.nmpc_shooting`). A plan that IPOPT does not finish falls to the solver chain's
next rung, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.data import CV, Array
from controller.nmpc import NmpcBrain
from controller.optimisation.fast import FastSolver, Solution
from controller.optimisation.problem import OcpProblem
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.benchmarks.nmpc_problem import CONFIGS, Case
from tools.benchmarks.nmpc_shooting import IPOPT, Shooting
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import Restart, run_shift
from tools.pki import twinline_home
from tools.shift_script import Script, shift_script

__all__ = ["MINUTES", "SEED", "ConvergedSolver", "converged_brain", "run_converged", "run_one"]

MINUTES, SEED = 40.0, 1
PLANNERS = ("ours", "converged")


class ConvergedSolver:
    """IPOPT in the place of the fast solver, with a node at every stage."""

    def __init__(self, fast: FastSolver, case: Case) -> None:
        self._fast, self._grid = fast, case.dense
        self._shooting = Shooting(case, "ipopt", IPOPT)
        self.solved, self.failed = 0, 0

    def solve(
        self,
        problem: OcpProblem,
        guess: Array,
        steps: int,
        deadline: float | None = None,
        prepared: Array | None = None,
    ) -> Solution:
        """The converged plan at the nodes of ``problem``; see `FastSolver.solve`."""
        held = self._shooting.solve(replace(problem, grid=self._grid, draws=None))
        moves = problem.feasible(held[list(problem.grid.nodes)])
        ok = self._shooting.status == "Solve_Succeeded" and bool(np.all(np.isfinite(held)))
        self.solved, self.failed = self.solved + ok, self.failed + (not ok)
        return Solution(
            moves,
            self._fast.outputs(problem, moves),
            self._shooting.objective,
            max(self._shooting.iterations, 1),
            self._shooting.status,
            ok,
        )


def converged_brain(
    config: ControllerConfig, line: ResolvedLine, cache: Path
) -> tuple[NmpcBrain, ConvergedSolver]:
    """The controller with IPOPT in the place of the real-time solver, and that solver."""
    optimisation = config.optimisation.model_copy(update={"prepare": False})
    changed = config.model_copy(update={"optimisation": optimisation})
    brain = NmpcBrain(line, signal_table(line.line), changed, cache)
    solver = ConvergedSolver(brain.fast, Case(stages=optimisation.stages, config=changed))
    brain.chain.fast = solver  # type: ignore[assignment]
    return brain, solver


def run_one(planner: str, seed: int, minutes: float) -> dict[str, Any]:
    """One shift; safe in a worker process."""
    line = load_line(CONFIGS / "lines" / "reference.yaml")
    config = load_controller(CONFIGS / "controllers" / "nmpc.yaml")
    cache = twinline_home() / "cache"
    solver = None
    if planner == "converged":
        brain: Any
        brain, solver = converged_brain(config, line, cache)
    else:
        brain = make_brain(config, line, signal_table(line.line), cache)
    scenario = load_scenario(CONFIGS / "scenarios" / "shift.yaml")
    began = perf_counter()
    with TemporaryDirectory() as folder:
        result = run_shift(
            line=line,
            scenario=scenario,
            config=config,
            brain=brain,
            seed=seed,
            minutes=minutes,
            restart=_restart(shift_script(scenario, minutes, config.period_s), Path(folder)),
        )
    s = result.scores
    return {
        "iae_norm": {str(cv): s[cv]["iae_norm"] for cv in CV},
        "excess": s["tablets"]["excess"],
        "released_out_of_spec": s["tablets"]["released_out_of_spec"],
        "bump_at_closing": s["bump_at_closing"],
        "solved": None if solver is None else solver.solved,
        "failed": None if solver is None else solver.failed,
        "wall_s": perf_counter() - began,
    }


def _restart(script: Script, folder: Path) -> Restart | None:
    """What the demo does to the plant, in process."""
    if script.kill is None:
        return None
    return Restart(
        at=script.kill,
        run_dir=folder,
        notice_s=script.notice_s,
        come_back_s=script.come_back_s,
        ask_again_s=script.ask_again_s,
    )


def run_converged(
    console: Console | None = None, *, seed: int = SEED, minutes: float = MINUTES
) -> dict[str, Any]:
    """Run both shifts side by side: ``{"converged": {...}}`` with a part per planner."""
    with ProcessPoolExecutor(len(PLANNERS), mp_context=get_context("spawn")) as pool:
        futures = {p: pool.submit(run_one, p, seed, minutes) for p in PLANNERS}
        found: dict[str, Any] = {}
        for planner, future in futures.items():
            found[planner] = future.result()
            if console is not None:
                console.print(f"converged: {planner} took {found[planner]['wall_s']:.0f} s")
    results = {"seed": seed, "minutes": minutes, **found}
    if console is not None:
        _print(console, results)
    return {"converged": results}


def _print(console: Console, results: Mapping[str, Any]) -> None:
    ours, best = (results[p] for p in PLANNERS)
    table = Table(title=f"{results['minutes']:g} min, seed {results['seed']}: normalised IAE")
    for name in ("figure", "ours", "IPOPT, converged", "ratio"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for cv, value in ours["iae_norm"].items():
        other = best["iae_norm"][cv]
        table.add_row(cv, f"{value:.4f}", f"{other:.4f}", f"{value / other:.3f}")
    for name in ("excess", "released_out_of_spec", "bump_at_closing"):
        table.add_row(name.replace("_", " "), f"{ours[name]:.3g}", f"{best[name]:.3g}", "")
    console.print(table)
    console.print(f"IPOPT converged in {best['solved']} cycles and failed in {best['failed']}")
