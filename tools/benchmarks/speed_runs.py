"""Runs of several contestants, one after the other and in alternating order, with progress.

Figures of a shared machine drift. So each run measures all contestants, the next one begins with
another of them, and ratios are taken within a run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tools.benchmarks.speed_process import measure

__all__ = [
    "Job",
    "Results",
    "contestant",
    "machine",
    "put_ratios",
    "run_jobs",
    "statistics",
    "turns",
]

# Of each contestant, the results of its processes, in order.
Results = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One measuring process: whose, what it calls, with what, how many steps it reports."""

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1


def turns(jobs: Sequence[Job], run: int) -> list[Job]:
    """``jobs`` in the order of a run: the first one of the run before comes last."""
    first = run % max(len(jobs), 1)
    return [*jobs[first:], *jobs[:first]]


def run_jobs(
    jobs: Sequence[Job], title: str, console: Console | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Run ``jobs`` in their order; results by name, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(quiet=True),
    )
    with progress:
        task = progress.add_task(title, total=sum(job.steps for job in jobs))
        done = 0
        for job in jobs:
            progress.update(task, description=f"{title}: {job.name}", completed=done)
            result = measure(job.target, lambda: progress.advance(task), **job.arguments)
            found.setdefault(job.name, []).append(result)
            done += job.steps
        progress.update(task, description=title, completed=done)
    return found


def statistics(ms: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum of times per step."""
    return {
        "median": float(np.median(ms)),
        "p95": float(np.percentile(ms, 95.0)),
        "max": float(np.max(ms)),
    }


def put_ratios(out: dict[str, Any], found: Results, opponents: Sequence[str], first: int) -> None:
    """Put ``ratio_to_<opponent>`` into ``out``, and ``cpu_ratio_to_<opponent>`` beside it.

    How many times longer the opponent's median step takes than ours over the first steps, run by
    run; of the runs the median, and ``[min, max]`` in ``out["range"]``.
    """
    for name in opponents:
        for key, prefix in (("ms", ""), ("cpu_ms", "cpu_")):
            values = [
                float(np.median(theirs[key][:first]) / np.median(own[key][:first]))
                for theirs, own in zip(found[name], found["ours"], strict=True)
            ]
            label = f"{prefix}ratio_to_{name}"
            out[label], out["range"][label] = median(values), [min(values), max(values)]


def contestant(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is reported of a contestant beside its times per step."""
    verdicts: dict[str, int] = defaultdict(int)
    for run in runs:
        for verdict, count in run["verdicts"].items():
            verdicts[verdict] += count
    return {
        "cpu_ms": statistics([t for run in runs for t in run["cpu_ms"]]),
        "start_s": median(run["start_s"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "steps": sum(len(run["ms"]) for run in runs),
        "verdicts": dict(verdicts),
        "settings": dict(runs[0]["settings"]),
    }


def machine() -> dict[str, Any]:
    """What else the machine had to do: processors, and the load of the last 15 min."""
    return {"processors": os.cpu_count(), "load_15_min": os.getloadavg()[2]}
