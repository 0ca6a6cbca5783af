"""``twinline benchmark mhe``: one estimate, against do-mpc's MHE on the same window.

Readings are made by the twin (`tools.benchmarks.mhe_problem`), with gross errors and a new lot.
Five runs, each with readings of its own seed, both estimators in processes of their own with one
thread: ours all steps, do-mpc the first 30, over which ratios and errors are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console

from tools.benchmarks.mhe_problem import FIRST, QUALITY, STEPS
from tools.benchmarks.nmpc import worst_over_median
from tools.benchmarks.speed_runs import (
    Job,
    Results,
    contestant,
    machine,
    put_ratios,
    run_jobs,
    statistics,
    turns,
)
from tools.benchmarks.speed_table import (
    Goal,
    goal,
    print_contestants,
    print_goals,
    print_settings,
)
from tools.pki import twinline_home

__all__ = ["RUNS", "goals", "print_mhe", "run_mhe", "summarise"]

RUNS = 5
EVENTS = {"after_gross": "after gross errors", "after_lot": "after the lot"}
_NAMES = {"ours": "ours", "dompc": "do-mpc"}
_TARGET = "tools.benchmarks.mhe_loop:measure_mhe"


def run_mhe(
    console: Console | None = None,
    *,
    runs: int = RUNS,
    steps: int = STEPS,
    first: int = FIRST,
    samples: int | None = None,
    opponents: Sequence[str] = ("dompc",),
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    console
        Where to print; without one nothing is printed.
    runs, steps, first, samples
        Alternating runs; steps of ours and of opponents; length of the window. Other numbers than
        the defaults are for tests.
    opponents
        ``dompc`` or none.
    cache
        Folder of compiled models; the user's own by default.

    Returns
    -------
    ``{"mhe": {...}}``, see `summarise`.
    """
    began = perf_counter()
    folder = str(cache or twinline_home() / "cache")

    def job(name: str, count: int, seed: int, who: str = "", cache: str = folder) -> Job:
        arguments = {"estimator": who or name, "steps": count, "seed": seed, "cache": cache}
        arguments["samples"] = samples
        return Job(name=name, target=_TARGET, arguments=arguments, steps=count)

    with TemporaryDirectory() as empty:
        jobs = [job("cold", 1, 1, "ours", empty), job("warm up", 1, 1, "ours")]
        for run in range(runs):
            group = [job("ours", steps, run + 1), *(job(n, first, run + 1) for n in opponents)]
            jobs += turns(group, run)
        found = run_jobs(jobs, "mhe", console)
    results = summarise(found, first)
    results |= {"wall_s": perf_counter() - began, "machine": machine()}
    if console is not None:
        print_mhe(console, results)
    return {"mhe": results}


def summarise(found: Results, first: int) -> dict[str, Any]:
    """All keys below ``mhe`` that come from measurements.

    ``<estimator>_ms.{median,p95,max}`` over all steps of all runs; ``ratio_to_dompc`` as the median
    of the runs, their ends in ``range``; ``rmse.<estimator>.<event>.<attribute>`` over the steps
    after gross errors and after the lot's arrival among the first steps of all runs, ``rmse_whole``
    of ours over all steps; ``compile_s``, ``start_s``, ``peak_mb`` of ours; what else there is of
    each in ``contestants``.
    """
    out: dict[str, Any] = {"range": {}, "contestants": {}, "rmse": {}, "steps_first": first}
    names = [n for n in ("ours", "dompc") if n in found]
    for name in names:
        runs = found[name]
        out[f"{name}_ms"] = statistics([t for run in runs for t in run["ms"]])
        out["contestants"][name] = contestant(runs)
        out["rmse"][name] = _rmse(runs, first)
    put_ratios(out, found, [n for n in names if n != "ours"], first)
    ours = found["ours"]
    worst = [worst_over_median(run["ms"], [1] * len(run["ms"])) for run in ours]
    out["worst_over_median"] = median(worst)
    out["range"]["worst_over_median"] = [min(worst), max(worst)]
    out["rmse_whole"] = {"ours": _rmse(ours, max(len(run["ms"]) for run in ours))}
    out["start_s"] = median(run["start_s"] for run in ours)
    out["peak_mb"] = max(run["peak_mb"] for run in ours)
    if "cold" in found:
        out["compile_s"] = max(found["cold"][0]["start_s"] - out["start_s"], 0.0)
    return out


def _rmse(runs: Sequence[Mapping[str, Any]], first: int) -> dict[str, dict[str, float | None]]:
    """By event and attribute, pooled over the runs; None where there was no such step."""
    found: dict[str, dict[str, float | None]] = {}
    for event in EVENTS:
        found[event] = {}
        for name in QUALITY:
            chosen = [
                np.array(run["errors"][name][:first])[np.array(run[event][:first], dtype=bool)]
                for run in runs
            ]
            errors = np.concatenate(chosen)
            found[event][name] = float(np.sqrt(np.mean(errors**2))) if errors.size else None
    return found


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """The project's goals for one estimate."""
    found = [
        goal(flat, "ratio_to_dompc", "do-mpc's time over ours", lo=80.0),
        goal(flat, "start_s", "start with a warm cache, s", hi=2.0),
    ]
    for event, text in EVENTS.items():
        for name in QUALITY:
            ours = flat["rmse"]["ours"][event][name]
            theirs = flat["rmse"].get("dompc", {}).get(event, {}).get(name)
            share = ours / theirs if ours is not None and theirs else None
            what = f"RMSE of {name} {text}, ours over do-mpc's"
            found.append(Goal(name=what, value=share, hi=1.0))
    return found


def print_mhe(console: Console, flat: Mapping[str, Any]) -> None:
    """Print times, errors, settings and the goals."""
    rows = []
    for name, more in flat["contestants"].items():
        extra = {}
        for event, text in EVENTS.items():
            numbers = [flat["rmse"][name][event][attribute] for attribute in QUALITY]
            extra[f"RMSE {text}"] = " ".join("-" if v is None else f"{v:.3g}" for v in numbers)
        rows.append((_NAMES[name], flat[f"{name}_ms"], {**more, "extra": extra}))
    print_contestants(console, "MHE: one estimate of the reference window", rows)
    console.print(
        f"RMSE over the first {flat['steps_first']} steps of each run: {', '.join(QUALITY)}"
    )
    print_settings(console, flat["contestants"])
    if "compile_s" in flat:
        console.print(f"compilation at the first start: {flat['compile_s']:.1f} s")
    print_goals(console, "MHE: goals", goals(flat))
