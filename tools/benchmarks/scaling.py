"""``twinline benchmark scaling``: how an NMPC step grows with the horizon and with the model.

The first steps of the loop of `tools.benchmarks.nmpc_loop` with 30, 60, 120 and 240 stages, ten
nodes in all of them, and with 1, 2 and 4 times the states, by blenders of more tanks. Two exponents
are fitted to the medians. Nothing is compiled unless a cache is given: the largest models would
compile for minutes.

(G1)  t = c N^a   for each number of states;  t = c n^b   for each number of stages

CPU time, since that is what grows; wall time is the same on an idle machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.data import ReachedBy
from controller.optimisation.problem import Grid
from plant_models.line import ResolvedLine
from tools.benchmarks.nmpc_loop import run_loop
from tools.benchmarks.nmpc_ours import Ours
from tools.benchmarks.nmpc_problem import Case
from tools.benchmarks.speed_child import Reporter
from tools.benchmarks.speed_runs import Job, machine, run_jobs
from tools.benchmarks.speed_table import Goal, print_goals

__all__ = [
    "STAGES",
    "TIMES",
    "exponent",
    "measure_scaling",
    "run_scaling",
    "summarise",
    "with_tanks",
]

STAGES = (30, 60, 120, 240)
TIMES = (1, 2, 4)  # the states
STEPS = 20
_NODES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24)
_LINEAR = 1.1  # an exponent up to here is called linear


def run_scaling(
    console: Console | None = None,
    *,
    stages: Sequence[int] = STAGES,
    times: Sequence[int] = TIMES,
    steps: int = STEPS,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    console
        Where to print; without one nothing is printed.
    stages, times
        Lengths of the horizon; multiples of the states.
    steps
        Of the loop.
    cache
        Folder of compiled models; by default nothing is compiled.

    Returns
    -------
    ``{"scaling": {...}}``, see `summarise`.
    """
    began = perf_counter()
    folder = "" if cache is None else str(cache)
    jobs = [
        Job(
            name=f"{n} stages, {k} times the states",
            target="tools.benchmarks.scaling:measure_scaling",
            arguments={"stages": n, "times": k, "steps": steps, "cache": folder},
            steps=steps,
        )
        for k in times
        for n in stages
    ]
    found = run_jobs(jobs, "scaling", console)
    results = summarise([found[job.name][0] for job in jobs])
    results |= {"wall_s": perf_counter() - began, "machine": machine()}
    if console is not None:
        print_scaling(console, results)
    return {"scaling": results}


def with_tanks(resolved: ResolvedLine, times: int) -> ResolvedLine:
    """The line with a blender of so many tanks that the twin has ``times`` its states, about.

    The blender grows with its tanks: powder stays in each as long as before, so that the twin's
    integration is as accurate.
    """
    size = Case(resolved=resolved).twin.path
    tanks = resolved.line.blender.tanks
    more = round((times - 1) * size.size / len(size.attributes))
    slower = resolved.line.blender.discharge_rate_per_s * tanks / (tanks + more)
    blender = resolved.line.blender.model_copy(
        update={"tanks": tanks + more, "discharge_rate_per_s": slower}
    )
    return replace(resolved, line=resolved.line.model_copy(update={"blender": blender}))


def measure_scaling(
    reporter: Reporter, stages: int, times: int, steps: int, cache: str
) -> dict[str, Any]:
    """The loop's first steps for one size; no name of a ``cache`` compiles nothing."""
    case = Case(stages=stages)
    if times > 1:
        case = replace(case, resolved=with_tanks(case.resolved, times))
    grid = Grid(stages, tuple(n for n in _NODES if n < stages), case.step)
    contestant = Ours(case, grid, Path(cache) if cache else None)
    reporter.ready()
    found = run_loop(case, contestant, steps, on_step=reporter.step)
    if set(found.verdicts) != {ReachedBy.FAST.value}:
        raise RuntimeError(f"{stages} stages, {times} times the states: {set(found.verdicts)}")
    return {
        "stages": stages,
        "times": times,
        "states": case.twin.path.size,
        "ms": float(np.median(found.ms)),
        "cpu_ms": float(np.median(found.cpu_ms)),
    }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """``a`` of ``value = c size^a`` by least squares in the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(slope)


def summarise(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``table``, a row per size; ``exponent_stages`` by states, ``exponent_states`` by stages."""
    return {
        "table": [dict(row) for row in found],
        "exponent_stages": _exponents(found, "stages", "states"),
        "exponent_states": _exponents(found, "states", "stages"),
    }


def _exponents(found: Sequence[Mapping[str, Any]], size: str, by: str) -> dict[str, float]:
    fitted = {}
    for value in sorted({row[by] for row in found}):
        rows = [row for row in found if row[by] == value]
        if len(rows) > 1:
            fitted[str(value)] = exponent([r[size] for r in rows], [r["cpu_ms"] for r in rows])
    return fitted


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """The project's goal: linear in the number of stages, for every number of states."""
    return [
        Goal(name=f"exponent of the stages, {states} states", value=value, hi=_LINEAR)
        for states, value in flat["exponent_stages"].items()
    ]


def print_scaling(console: Console, flat: Mapping[str, Any]) -> None:
    """Print the table, the exponents and the goal."""
    stages = sorted({row["stages"] for row in flat["table"]})
    table = Table(title="One NMPC step, ten nodes: median CPU time, ms (wall)")
    table.add_column("states", justify="right")
    for n in stages:
        table.add_column(f"{n} stages", justify="right")
    table.add_column("exponent", justify="right")
    for states in sorted({row["states"] for row in flat["table"]}):
        rows = {r["stages"]: r for r in flat["table"] if r["states"] == states}
        cells = [f"{rows[n]['cpu_ms']:.2f} ({rows[n]['ms']:.2f})" for n in stages]
        fitted = flat["exponent_stages"].get(str(states))
        table.add_row(str(states), *cells, "" if fitted is None else f"{fitted:.2f}")
    fitted = [flat["exponent_states"].get(str(n)) for n in stages]
    table.add_row("exponent", *("" if e is None else f"{e:.2f}" for e in fitted), "")
    console.print(table)
    print_goals(console, "Scaling: goals", goals(flat))
