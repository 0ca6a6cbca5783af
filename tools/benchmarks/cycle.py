"""``twinline benchmark cycle``: the whole control cycle as deployed, on the stand-in for the line.

Validation, estimate, forecast, plan, supervision and record of the configured controller on its
own grid, in process, over a shift with disturbances: wall time of each `controller.cycle.run_cycle`
in closed loop, with whatever the garbage collector does meanwhile. Start-up of the line, and with
it compilation and first calls, lies before.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from rich.console import Console

import tools.harness as harness
from controller.algorithms import make_brain
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState
from controller.data import Mode
from plant_models.signal_list import signal_table
from tools.benchmarks.nmpc_problem import CONFIGS
from tools.benchmarks.speed_child import Reporter
from tools.benchmarks.speed_runs import Job, Results, machine, run_jobs
from tools.benchmarks.speed_table import Goal, goal, print_goals
from tools.configuration import load_controller, load_line, load_scenario
from tools.pki import twinline_home

__all__ = [
    "MINUTES",
    "SEEDS",
    "goals",
    "measure_cycle",
    "print_cycle",
    "run_cycles",
    "summarise",
]

MINUTES = 60.0
SEEDS = (1, 2, 3)
PERCENTILE = 99.0


def run_cycles(
    console: Console | None = None,
    *,
    seeds: Sequence[int] = SEEDS,
    minutes: float = MINUTES,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    console
        Where to print; without one nothing is printed.
    seeds, minutes
        Of the shifts: one process each.
    cache
        Folder of compiled models; the user's own by default.

    Returns
    -------
    ``{"cycle": {...}}``, see `summarise`.
    """
    began = perf_counter()
    folder = str(cache or twinline_home() / "cache")
    jobs = [
        Job(
            name=f"seed {seed}",
            target="tools.benchmarks.cycle:measure_cycle",
            arguments={"seed": seed, "minutes": minutes, "cache": folder},
            steps=_cycles(minutes),
        )
        for seed in seeds
    ]
    results = summarise(run_jobs(jobs, "cycle", console))
    results |= {"wall_s": perf_counter() - began, "machine": machine()}
    if console is not None:
        print_cycle(console, results)
    return {"cycle": results}


def _cycles(minutes: float) -> int:
    """Cycles of a shift, start-up included."""
    scenario = load_scenario(CONFIGS / "scenarios" / "shift.yaml")
    config = load_controller(CONFIGS / "controllers" / "nmpc.yaml")
    script = scenario.model_copy(update={"minutes": minutes})
    return int(script.total_seconds() // config.period_s)


class _Watch:
    """Times every cycle in closed loop, and the garbage collector during them."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.gc_ms: list[float] = []
        self.reached: Counter[str] = Counter()
        self.parts: dict[str, list[float]] = {}
        self._collecting, self._began = 0.0, 0.0

    def collected(self, phase: str, _: Mapping[str, int]) -> None:
        """Callback of the garbage collector."""
        if phase == "start":
            self._began = perf_counter()
        else:
            self._collecting += 1e3 * (perf_counter() - self._began)

    def cycle(
        self,
        inputs: CycleInputs,
        state: CycleState,
        setup: CycleSetup,
        clock: Any,
    ) -> CycleOutput:
        """The cycle, timed."""
        self._collecting, worked, began = 0.0, process_time(), perf_counter()
        out = run_cycle(inputs, state, setup, clock)
        wall, cpu = 1e3 * (perf_counter() - began), 1e3 * (process_time() - worked)
        if out.state.mode is Mode.CLOSED_LOOP:
            self.ms.append(wall)
            self.cpu_ms.append(cpu)
            self.gc_ms.append(self._collecting)
            plan = out.record.plan
            self.reached["none" if plan is None else plan.reached_by.value] += 1
            for part, value in out.record.wall_ms.items():
                self.parts.setdefault(part, []).append(value)
        return out


def measure_cycle(reporter: Reporter, seed: int, minutes: float, cache: str) -> dict[str, Any]:
    """One shift of ``minutes`` after start-up, in closed loop from its beginning.

    Parameters
    ----------
    reporter
        Told of start and cycles.
    seed, minutes
        Of the shift.
    cache
        Folder of compiled models; no name compiles nothing.

    Returns
    -------
    Per cycle in closed loop ``ms``, ``cpu_ms``, ``gc_ms`` (the collector's part); ``parts`` as the
    record has them; ``verdicts``: who made the plans, counted.
    """
    line = load_line(CONFIGS / "lines" / "reference.yaml")
    config = load_controller(CONFIGS / "controllers" / "nmpc.yaml")
    folder = Path(cache) if cache else None
    brain = make_brain(config, line, signal_table(line.line), folder)
    reporter.ready()
    watch = _Watch()
    gc.callbacks.append(watch.collected)
    plain = vars(harness)["run_cycle"]
    vars(harness)["run_cycle"] = watch.cycle
    try:
        harness.run_shift(
            line=line,
            scenario=load_scenario(CONFIGS / "scenarios" / "shift.yaml"),
            config=config,
            brain=brain,
            seed=seed,
            minutes=minutes,
            on_cycle=lambda second, last: reporter.step(),
        )
    finally:
        vars(harness)["run_cycle"] = plain
        gc.callbacks.remove(watch.collected)
    return {
        "ms": watch.ms,
        "cpu_ms": watch.cpu_ms,
        "gc_ms": watch.gc_ms,
        "parts": watch.parts,
        "verdicts": dict(watch.reached),
    }


def summarise(found: Results) -> dict[str, Any]:
    """``median_ms``, ``p99_ms`` and ``max_ms`` over all cycles, ends of the runs in ``range``.

    ``parts_ms`` are medians of the record's steps, ``gc_max_ms`` the longest collection in a cycle.
    """
    runs = [run for results in found.values() for run in results]
    out: dict[str, Any] = {"range": {}}
    pooled = [t for run in runs for t in run["ms"]]
    for key, percentile in (("median_ms", 50.0), ("p99_ms", PERCENTILE), ("max_ms", 100.0)):
        each = [float(np.percentile(run["ms"], percentile)) for run in runs]
        out[key] = float(np.percentile(pooled, percentile))
        out["range"][key] = [min(each), max(each)]
    cpu = [t for run in runs for t in run["cpu_ms"]]
    out["cpu_median_ms"] = float(np.median(cpu))
    out["cpu_p99_ms"] = float(np.percentile(cpu, PERCENTILE))
    out["gc_max_ms"] = max(max(run["gc_ms"], default=0.0) for run in runs)
    parts = dict.fromkeys(name for run in runs for name in run["parts"])
    out["parts_ms"] = {
        name: float(np.median([t for run in runs for t in run["parts"].get(name, [])]))
        for name in parts
    }
    reached: Counter[str] = Counter()
    for run in runs:
        reached.update(run["verdicts"])
    out |= {"reached_by": dict(reached), "cycles": len(pooled)}
    out["start_s"] = median(run["start_s"] for run in runs)
    out["peak_mb"] = max(run["peak_mb"] for run in runs)
    return out


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """The project's goal for a whole cycle."""
    return [goal(flat, "p99_ms", "whole cycle, 99th percentile, ms", hi=30.0)]


def print_cycle(console: Console, flat: Mapping[str, Any]) -> None:
    """Print figures and goal."""
    parts = ", ".join(f"{name} {value:.2f}" for name, value in flat["parts_ms"].items())
    made = ", ".join(f"{name} {count}x" for name, count in flat["reached_by"].items())
    console.print(
        f"whole cycle, {flat['cycles']} in closed loop: median {flat['median_ms']:.2f} ms, "
        f"p99 {flat['p99_ms']:.2f} ms, worst {flat['max_ms']:.2f} ms; CPU "
        f"{flat['cpu_median_ms']:.2f} and {flat['cpu_p99_ms']:.2f} ms; medians by part: {parts}; "
        f"longest collection of garbage "
        f"{flat['gc_max_ms']:.2f} ms; plans by {made}; start {flat['start_s']:.1f} s, peak "
        f"{flat['peak_mb']:.0f} MB"
    )
    print_goals(console, "Cycle: goal", goals(flat))
