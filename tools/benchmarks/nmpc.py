"""``twinline benchmark nmpc``: one NMPC step, against do-mpc, IPOPT and fatrop in the same run.

Problem and loop are fixed (`tools.benchmarks.nmpc_problem`, `tools.benchmarks.nmpc_loop`). Every
solver runs in processes of its own with one thread. Ours takes the whole loop in each of five
runs, IPOPT in the first, as the converged reference of the closed-loop cost; the others, and IPOPT
after that, take the first 30 steps, over which the ratios are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console

from tools.benchmarks.nmpc_problem import FIRST, STAGES, STEPS
from tools.benchmarks.nmpc_table import print_nmpc
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
from tools.pki import twinline_home

__all__ = ["OPPONENTS", "RUNS", "run_nmpc", "summarise", "worst_over_median"]

RUNS = 5
OURS = ("ours", "deployed", "scenarios")
OPPONENTS = ("dompc", "ipopt", "fatrop")
UNPINNED_S = 45.0
_MEASURE = "tools.benchmarks.nmpc_measure:"


def run_nmpc(
    console: Console | None = None,
    *,
    runs: int = RUNS,
    steps: int = STEPS,
    first: int = FIRST,
    stages: int = STAGES,
    opponents: Sequence[str] = OPPONENTS,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    console
        Where to print; without one nothing is printed.
    runs, steps, first, stages
        Alternating runs; steps of the loop; steps of those that are too slow for all of it;
        horizon. Other numbers than the defaults are for tests.
    opponents
        Some of `OPPONENTS`.
    cache
        Folder of compiled models; the user's own by default.

    Returns
    -------
    ``{"nmpc": {...}}``, see `summarise`.
    """
    began = perf_counter()
    folder = str(cache or twinline_home() / "cache")

    def job(name: str, count: int, solver: str = "", cache: str = folder) -> Job:
        arguments = {"solver": solver or name, "steps": count, "cache": cache, "stages": stages}
        target = f"{_MEASURE}measure_nmpc"
        return Job(name=name, target=target, arguments=arguments, steps=count)

    with TemporaryDirectory() as empty, TemporaryDirectory() as scratch:
        compiled = Job(
            name="dompc_compiled",
            target=f"{_MEASURE}measure_dompc_compiled",
            arguments={"steps": first, "folder": scratch, "stages": stages},
            steps=first,
        )
        before = [job("cold", 1, "ours", empty), *(job("warm up", 1, name) for name in OURS)]
        if "dompc" in opponents:
            arguments = {"limit_s": UNPINNED_S, "stages": stages}
            target = f"{_MEASURE}measure_dompc_unpinned"
            before += [Job(name="dompc_unpinned", target=target, arguments=arguments), compiled]
        found = run_jobs(before, "nmpc: preparations", console)
        cannot = [r["cannot_run"] for r in found.pop("dompc_compiled", []) if "cannot_run" in r]
        jobs: list[Job] = []
        for run in range(runs):
            group = [job("ours", steps)]
            for name in opponents:
                group.append(job(name, steps if name == "ipopt" and run == 0 else first))
            if "dompc" in opponents and not cannot:
                group.append(compiled)
            jobs += turns(group, run)
        jobs += [job(name, steps) for name in OURS[1:]]
        found |= run_jobs(jobs, "nmpc", console)
    results = summarise(found, first)
    if cannot:
        results["dompc_compiled"] = cannot[0]
    results |= {"wall_s": perf_counter() - began, "machine": machine()}
    if console is not None:
        print_nmpc(console, results)
    return {"nmpc": results}


def worst_over_median(ms: Sequence[float], iterations: Sequence[int]) -> float:
    """Worst step over the median of the steps with as many iterations, the worst of all counts."""
    groups: dict[int, list[float]] = defaultdict(list)
    for t, count in zip(ms, iterations, strict=True):
        groups[count].append(t)
    return max(float(np.max(g) / np.median(g)) for g in groups.values())


def summarise(found: Results, first: int) -> dict[str, Any]:
    """All keys below ``nmpc`` that come from measurements.

    ``<solver>_ms.{median,p95,max}`` over all steps of all runs, for `OPPONENTS`, ``ours``,
    ``deployed`` (ours on the controller's own grid) and ``scenarios``; ``ratio_to_<opponent>``
    and ``worst_over_median`` as medians of the runs, their ends in ``range``;
    ``worst_over_median_least`` of the least time that each step took in any run, which is what the
    solver and not the machine makes of it; ``cost_gap_pct`` of
    ours above converged IPOPT over the steps that both took in the first run, ``cost_first`` of
    each over the first steps; ``compile_s``, ``start_s``, ``peak_mb`` of ours; what else there is
    of each solver in ``contestants``.
    """
    out: dict[str, Any] = {"range": {}, "contestants": {}, "cost_first": {}, "steps_first": first}
    ours = found["ours"]
    names = (OURS[0], *OPPONENTS, "dompc_compiled", *OURS[1:])
    for name in (n for n in names if n in found):
        out[f"{name}_ms"] = statistics([t for run in found[name] for t in run["ms"]])
        out["contestants"][name] = contestant(found[name])
        out["contestants"][name]["iterations"] = float(
            np.median([i for run in found[name] for i in run["iterations"]])
        )
        out["cost_first"][name] = found[name][0]["cost"][first - 1]
    put_ratios(out, found, [n for n in (*OPPONENTS, "dompc_compiled") if n in found], first)
    worst = [worst_over_median(r["ms"], r["iterations"]) for r in ours]
    out["worst_over_median"], out["range"]["worst_over_median"] = (
        median(worst),
        [min(worst), max(worst)],
    )
    least = np.min([r["ms"] for r in ours], axis=0).tolist()
    out["worst_over_median_least"] = worst_over_median(least, ours[0]["iterations"])
    if "ipopt" in found:
        own, best = ours[0]["cost"], found["ipopt"][0]["cost"]
        count = min(len(own), len(best))
        out["cost_gap_pct"] = 100.0 * (own[count - 1] / best[count - 1] - 1.0)
        out["cost_whole"] = {"ours": own[count - 1], "ipopt": best[count - 1], "steps": count}
    out["start_s"] = median(r["start_s"] for r in ours)
    out["peak_mb"] = max(r["peak_mb"] for r in ours)
    if "cold" in found:
        out["compile_s"] = max(found["cold"][0]["start_s"] - out["start_s"], 0.0)
    if "dompc_unpinned" in found:
        out["dompc_unpinned"] = dict(found["dompc_unpinned"][0])
    if "scenarios" in found and "dompc" in found:
        out["dompc_over_scenarios"] = out["dompc_ms"]["median"] / out["scenarios_ms"]["median"]
    return out
