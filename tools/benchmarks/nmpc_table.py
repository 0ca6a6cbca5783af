"""The NMPC benchmark as a table: times of every solver, and which goals are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tools.benchmarks.speed_table import (
    Goal,
    goal,
    print_contestants,
    print_goals,
    print_settings,
)

__all__ = ["goals", "print_nmpc"]

_NAMES = {
    "ours": "ours",
    "dompc": "do-mpc",
    "dompc_compiled": "do-mpc, compiled",
    "ipopt": "IPOPT",
    "fatrop": "fatrop",
    "deployed": "ours, deployed grid",
    "scenarios": "ours, 8 scenarios",
}


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """The project's goals for one step, those without a figure left open."""
    worst = flat["ours_ms"]["max"]
    return [
        goal(flat, "ratio_to_dompc", "do-mpc's time over ours", lo=300.0),
        goal(flat, "ratio_to_ipopt", "converged IPOPT's time over ours", lo=20.0),
        goal(
            flat,
            "worst_over_median",
            "worst step over median of its step count",
            hi=3.0,
            note=f"({flat['worst_over_median_least']:.3g} by the least time of each step)",
        ),
        Goal(name="worst step, ms", value=worst, hi=30.0),
        goal(flat, "dompc_over_scenarios", "do-mpc's time over 8 scenarios'", lo=50.0),
        goal(flat, "cost_gap_pct", "closed-loop cost above converged IPOPT's, %", hi=0.5),
        goal(flat, "start_s", "start with a warm cache, s", hi=2.0),
    ]


def print_nmpc(console: Console, flat: Mapping[str, Any]) -> None:
    """Print times, settings, what is noteworthy about do-mpc, and the goals."""
    rows = []
    for name, more in flat["contestants"].items():
        extra = {
            "iterations": f"{more['iterations']:.0f}",
            f"cost, {flat['steps_first']} steps": f"{flat['cost_first'][name]:.5g}",
        }
        rows.append((_NAMES[name], flat[f"{name}_ms"], {**more, "extra": extra}))
    print_contestants(console, "NMPC: one step of the reference problem", rows)
    print_settings(console, flat["contestants"])
    if "cost_whole" in flat:
        whole = flat["cost_whole"]
        console.print(
            f"closed-loop cost over {whole['steps']} steps: ours {whole['ours']:.6g}, "
            f"converged IPOPT {whole['ipopt']:.6g}"
        )
    if "compile_s" in flat:
        console.print(f"compilation at the first start: {flat['compile_s']:.1f} s")
    if "dompc_unpinned" in flat:
        u = flat["dompc_unpinned"]
        console.print(
            f"do-mpc with its unused unknowns left free: first step {u['verdict']} after "
            f"{u['seconds']:.0f} s and {u['iterations']} iterations; above they are pinned"
        )
    if "dompc_compiled" in flat:
        console.print(f"do-mpc's compile_nlp cannot run: {flat['dompc_compiled']}")
    load, processors = flat["machine"]["load_15_min"], flat["machine"]["processors"]
    console.print(f"load of the machine {load:.1f} on {processors} processors")
    print_goals(console, "NMPC: goals", goals(flat))
