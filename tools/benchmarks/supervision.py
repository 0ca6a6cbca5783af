"""Nothing unsafe is written: fuzzed cycles through the write gate, mutants of it, and its time.

The judge and the mutants are those of the tests and are loaded from the checkout by their path: the
judge must know nothing of what it judges, and neither belongs to what is installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.benchmarks.supervision_cycle_rig import CycleRig
from tools.benchmarks.supervision_fuzz import Fuzz
from tools.benchmarks.supervision_rig import Rig
from tools.benchmarks.supervision_rules import rules_of
from tools.benchmarks.supervision_scene import Scene, scene

__all__ = ["CYCLES", "cycle_times", "fuzz", "load", "mutate", "run_supervision", "summarise"]

CYCLES = 1_000_000
CHUNK = 5_000
WHOLE_EVERY = 20  # chunks: the whole cycle takes three times as long
FIRST_SEED = 20_000  # none of the tests'
NOTICED_WITHIN = 50_000
SHIFT_MINUTES = 20.0
SHIFT_SEED = 11
GOAL_SHARE = 0.2
_ROOT = Path(__file__).resolve().parents[2]
_TESTS = "tests/controller/supervision"


@cache
def load(name: str) -> ModuleType:
    """Module ``name`` of the tests of supervision, from the checkout.

    Raises ``FileNotFoundError`` where there is no checkout.
    """
    path = _ROOT / _TESTS / f"{name}.py"
    if not path.is_file():
        raise FileNotFoundError(
            f"{_TESTS}/{name}.py is not there: the judge of this benchmark belongs to the tests, "
            "which are not installed; run it from a checkout of the project"
        )
    title = f"twinline_checkout_{name}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@cache
def _stage() -> tuple[Scene, Any]:
    stage = scene()
    oracle = load("oracle")
    return stage, oracle.Rules(**rules_of(stage, oracle.Mv))


def _run(seed: int, whole: bool) -> Fuzz:
    stage, rules = _stage()
    judge = load("oracle").Oracle(rules, epoch=1)
    return Fuzz(stage, judge, seed, CycleRig if whole else Rig)


def fuzz(seed: int, cycles: int, whole: bool = False) -> dict[str, Any]:
    """One run of the fuzz, with the whole control cycle or its supervision alone.

    Safe in a worker process.
    """
    run = _run(seed, whole)
    run.run(cycles)
    return {
        "seed": seed,
        "whole": whole,
        "cycles": run.cycles,
        "frames": run.frames,
        "orders": run.orders,
        "unsafe": run.unsafe,
        "broken": run.broken,
    }


def mutate(number: int, most: int) -> dict[str, Any]:
    """Fuzz with one mutant in place until it is noticed, for ``most`` cycles; as above."""
    mutants = load("mutants")
    mutant = mutants.MUTANTS[number]
    with mutants.planted(mutant):
        run = _run(FIRST_SEED - 1 - number, mutant.wiring)
        while run.cycles < most and not run.unsafe:
            run.cycle()
    return {"slip": mutant.slip, "cycles": run.cycles, "noticed": run.unsafe > 0}


def cycle_times(minutes: float = SHIFT_MINUTES) -> list[float]:
    """Wall time [ms] of every cycle of a shift with the shipped controller, its algorithm apart.

    Validation, supervision, oversight, gate and record; safe in a worker process.
    """
    from controller.algorithms import make_brain  # loads the solvers: only when it is run
    from plant_models.signal_list import signal_table
    from tools.configuration import load_controller, load_line, load_scenario
    from tools.harness import run_shift
    from tools.pki import twinline_home

    configs = _ROOT / "configs"
    line = load_line(configs / "lines" / "reference.yaml")
    config = load_controller(configs / "controllers" / "nmpc.yaml")
    result = run_shift(
        line=line,
        scenario=load_scenario(configs / "scenarios" / "shift.yaml"),
        config=config,
        brain=make_brain(config, line, signal_table(line.line), twinline_home() / "cache"),
        seed=SHIFT_SEED,
        minutes=minutes,
        keep_records=True,
    )
    return [
        sum(ms for step, ms in record.wall_ms.items() if step != "think")
        for record in result.records
    ]


def summarise(
    runs: Sequence[Mapping[str, Any]],
    mutants: Sequence[Mapping[str, Any]],
    times_ms: Sequence[float],
) -> dict[str, Any]:
    """The results of the benchmark by their keys."""
    cycles = sum(run["cycles"] for run in runs)
    return {
        "supervision": {
            "gate": {
                "cycles": cycles,
                "unsafe_writes": sum(run["unsafe"] for run in runs),
                "permitted_share": sum(run["frames"] for run in runs) / cycles,
                "mutants": len(mutants),
                "mutants_caught": sum(m["noticed"] for m in mutants),
            },
            "cycle_ms": {
                "median": float(np.median(times_ms)),
                "p99": float(np.percentile(times_ms, 99.0)),
            },
        }
    }


def run_supervision(
    console: Console | None = None,
    cycles: int = CYCLES,
    minutes: float = SHIFT_MINUTES,
    noticed_within: int = NOTICED_WITHIN,
    workers: int = 2,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    console
        Where progress and results are shown.
    cycles
        Fuzzed cycles.
    minutes
        Length of the shift in which cycles are timed.
    noticed_within
        Cycles in which a mutant must be noticed.
    workers
        Processes.

    Returns
    -------
    ``{"supervision": {"gate": {...}, "cycle_ms": {...}}}``.
    """
    load("oracle")  # says at once what is missing
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before the workers import numpy
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(quiet=True),
    )
    slips = range(len(load("mutants").MUTANTS))
    chunks = [min(CHUNK, cycles - done) for done in range(0, cycles, CHUNK)]
    runs: list[dict[str, Any]] = []
    mutants: list[dict[str, Any]] = []
    spawn = get_context("spawn")
    with progress, ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        task = progress.add_task("mutants", total=len(slips))
        for done in as_completed([pool.submit(mutate, n, noticed_within) for n in slips]):
            mutants.append(done.result())
            progress.advance(task)
        task = progress.add_task("fuzzed cycles", total=cycles)
        started = [
            pool.submit(fuzz, FIRST_SEED + i, n, i % WHOLE_EVERY == 0) for i, n in enumerate(chunks)
        ]
        for done in as_completed(started):
            runs.append(done.result())
            progress.advance(task, runs[-1]["cycles"])
        task = progress.add_task("cycles of a shift", total=1)
        times = pool.submit(cycle_times, minutes).result()
        progress.advance(task)
    results = summarise(runs, mutants, times)
    if console is not None:
        _show(console, results["supervision"], runs, mutants)
    return results


def _show(
    console: Console,
    results: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    mutants: Sequence[Mapping[str, Any]],
) -> None:
    gate, times = results["gate"], results["cycle_ms"]
    table = Table("write gate", "reached", "goal")
    table.add_row("unsafe writes", f"{gate['unsafe_writes']} of {gate['cycles']:,} cycles", "0")
    table.add_row("permitted writes", f"{gate['permitted_share']:.1%}", f"≥ {GOAL_SHARE:.0%}")
    whole = sum(r["cycles"] for r in runs if r["whole"])
    table.add_row("  of them with the whole control cycle", f"{whole:,}", "")
    table.add_row("orders of accepted advice", f"{sum(r['orders'] for r in runs):,}", "")
    caught = f"{gate['mutants_caught']} of {gate['mutants']}"
    table.add_row("mutants noticed", caught, "all")
    table.add_row("time of a cycle, algorithm apart, median", f"{times['median']:.2f} ms", "")
    table.add_row("  99th percentile", f"{times['p99']:.2f} ms", "")
    console.print(table)
    for m in sorted(mutants, key=lambda m: (m["noticed"], -m["cycles"])):
        word = f"noticed in cycle {m['cycles']}" if m["noticed"] else "NOT NOTICED"
        console.print(f"  {m['slip']}: {word}")
    broken = {text: run["seed"] for run in runs for text in run["broken"]}
    for text, seed in broken.items():
        console.print(f"  unsafe, seed {seed}: {text}")
