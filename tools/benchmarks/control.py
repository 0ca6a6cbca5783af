"""The control benchmark: the shift with NMPC, linear MPC, conventional control, the PLC alone.

Every controller runs the same scripted shift in process, over the same seeds, of which none was
used for tuning. Reported are medians over the seeds; nothing is left out and no goal is moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.data import CV
from plant_models.line import KG_H
from plant_models.signal_list import signal_table
from tools.benchmarks.control_table import print_control
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import run_shift
from tools.pki import twinline_home
from tools.scoring import nested

__all__ = [
    "CONTROLLERS",
    "SEEDS",
    "Job",
    "Outcome",
    "configured",
    "run_control",
    "run_job",
    "run_jobs",
]

CONTROLLERS = ("nmpc", "lmpc", "pid", "plc")
SEEDS = (1, 2, 3, 4, 5)
MINUTES = 120.0
CLOSING_RATES_KG_H = (15.0, 20.0, 24.0)
CLOSING_MINUTES, CLOSED_AT_S = 12.0, 1500
TOO_FEW = 200
CVS = tuple(cv.value for cv in CV)
AFTER_LOT = (CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value)
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shift to run: controller, seed, length; ``closing_kg_h`` makes it a closing only.

    ``changes`` replaces settings in one section of the controller's configuration.
    """

    controller: str
    seed: int
    minutes: float = MINUTES
    closing_kg_h: float | None = None
    section: str = "pid"
    changes: tuple[tuple[str, Any], ...] = ()
    scenario: str = "shift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Scores of one shift, when its loop closed [plant s], start of its window, wall time [s]."""

    job: Job
    scores: Mapping[str, Any]
    closed_at: float | None
    start: float
    wall_s: float


def configured(job: Job) -> ControllerConfig:
    """The controller of a job, its changes made."""
    config: ControllerConfig = load_controller(_CONFIGS / "controllers" / f"{job.controller}.yaml")
    if not job.changes:
        return config
    section = getattr(config, job.section).model_copy(update=dict(job.changes))
    return config.model_copy(update={job.section: section})


def run_job(job: Job) -> Outcome:
    """Run one shift; safe in a worker process."""
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    closing = job.closing_kg_h is not None
    scenario = load_scenario(_CONFIGS / "scenarios" / f"{job.scenario}.yaml")
    if closing:
        scenario = scenario.model_copy(update={"events": ()})
    config = configured(job)
    result = run_shift(
        line=line,
        scenario=scenario,
        config=config,
        brain=make_brain(config, line, signal_table(line.line), twinline_home() / "cache"),
        seed=job.seed,
        minutes=CLOSING_MINUTES if closing else job.minutes,
        close_at=CLOSED_AT_S if closing else None,
        local_feed=None if job.closing_kg_h is None else job.closing_kg_h * KG_H,
    )
    return Outcome(
        job=job,
        scores=result.scores,
        closed_at=result.closed_at,
        start=result.start,
        wall_s=result.wall_s,
    )


def run_jobs(
    jobs: Sequence[Job], console: Console | None = None, workers: int = 2, title: str = "control"
) -> list[Outcome]:
    """Run all ``jobs`` in worker processes, with a progress display; results in their order."""
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")  # before the workers import numpy
    done: dict[int, Outcome] = {}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(quiet=True),
    )
    with (
        progress,
        ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool,
    ):
        task = progress.add_task(title, total=len(jobs))
        running = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
        for future in as_completed(running):
            outcome = future.result()
            done[running[future]] = outcome
            progress.update(
                task,
                advance=1,
                description=f"{title}: {outcome.job.controller}, seed {outcome.job.seed}",
            )
    return [done[i] for i in range(len(jobs))]


def _of(outcomes: Iterable[Outcome], controller: str) -> list[Outcome]:
    return [o for o in outcomes if o.job.controller == controller and o.job.closing_kg_h is None]


def _spread(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All keys below ``control``, flat and dotted."""
    flat: dict[str, Any] = {}

    def put(key: str, values: Sequence[float]) -> None:
        flat[key] = median(values)
        flat[f"range.{key}"] = _spread(values)

    names = [c for c in CONTROLLERS if _of(outcomes, c)]
    for name in names:
        runs = _of(outcomes, name)
        for key in ("excess", "floor", "released_out_of_spec"):
            put(f"{name}.{key}", [float(o.scores["tablets"][key]) for o in runs])
        for cv in CVS:
            put(f"{name}.iae_norm.{cv}", [o.scores[cv]["iae_norm"] for o in runs])
        for zone in ("main_compression_force", "chute_level", "tablet_thickness"):
            put(f"{name}.time_outside_s.{zone}", [o.scores[zone]["time_outside_s"] for o in runs])
        flat[f"{name}.max_mv_rate_violation"] = max(o.scores["max_mv_rate_violation"] for o in runs)
        put(f"{name}.cycle_ms", [o.scores["cycle_ms"]["median"] for o in runs])
        put(f"{name}.shift_wall_s", [o.wall_s for o in runs])
    if {"nmpc", "pid"} <= set(names):
        for cv in CVS:
            nmpc = flat[f"nmpc.iae_norm.{cv}"]
            flat[f"ratio.iae.{cv}"] = flat[f"pid.iae_norm.{cv}"] / max(nmpc, 1e-12)
        pid = flat["pid.excess"]
        flat["ratio.excess"] = (
            pid / max(1.0, flat["nmpc.excess"]) if pid >= TOO_FEW else "too few to compare"
        )
    if {"nmpc", "lmpc"} <= set(names):
        for cv in CVS:
            nmpc = flat[f"nmpc.iae_norm.{cv}"]
            flat[f"ratio.lmpc.iae.{cv}"] = flat[f"lmpc.iae_norm.{cv}"] / max(nmpc, 1e-12)
    if "nmpc" in names:
        runs = _of(outcomes, "nmpc")
        for cv in CVS:
            for key in ("coverage_95", "sharpness"):
                put(f"mhe.{key}.{cv}", [o.scores["mhe"][cv][key] for o in runs])
        for cv in AFTER_LOT:
            values = [o.scores["mhe_after_lot"][cv]["coverage_95"] for o in runs]
            put(f"mhe.coverage_95_after_lot.{cv}", values)
    closings = [o for o in outcomes if o.job.closing_kg_h is not None and o.closed_at is not None]
    if closings:
        flat["bump_at_closing"] = max(o.scores["bump_at_closing"] for o in closings)
    return flat


def run_control(
    console: Console | None = None,
    seeds: Sequence[int] = SEEDS,
    minutes: float = MINUTES,
    controllers: Sequence[str] = CONTROLLERS,
    workers: int = 2,
) -> dict[str, Any]:
    """Run the benchmark.

    Returns
    -------
    ``{"control": {...}}``: ``<controller>.{excess,iae_norm.<CV>}``, ``ratio`` (of pid to nmpc;
    below ``lmpc`` of lmpc to nmpc), ``mhe``, ``bump_at_closing``, and ``range.<same path>`` with
    ``[min, max]`` over the seeds.
    """
    jobs = [Job(controller=c, seed=s, minutes=minutes) for c in controllers for s in seeds]
    if "nmpc" in controllers:
        jobs += [
            Job(controller="nmpc", seed=seeds[0], closing_kg_h=rate) for rate in CLOSING_RATES_KG_H
        ]
    began = perf_counter()
    outcomes = run_jobs(jobs, console, workers)
    flat = summarise(outcomes)
    late = [
        f"{o.job.controller} seed {o.job.seed}"
        for o in outcomes
        if o.job.controller != "plc" and o.closed_at != o.start
    ]
    flat |= {
        "not_closed_in_time": late,
        "minutes": minutes,
        "seeds": list(seeds),
        "wall_s": perf_counter() - began,
    }
    if console is not None:
        print_control(console, flat)
    return {"control": nested(flat)}
