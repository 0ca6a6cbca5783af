"""``twinline benchmark plant``: what one second of the stand-in costs, piece by piece.

The line in `Plant` under its own PLC: a whole plant second, the PLC's scan within it, and the
picture of all values that a server shows. Hours of plant time in minutes need the first to be far
below a second; in lock-step with a controller all three are paid. Processor time, because the
machine may be shared; the baseline is the plant second itself, that is real time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hil.plant import Plant
from hil.plc.scan import scan
from tools.benchmarks.speed_table import Goal, goal, print_goals
from tools.configuration import load_line, load_scenario

__all__ = ["SECONDS", "goals", "run_plant"]

SECONDS = 1_800
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_START = 1.7e9  # any UTC; nothing here depends on it
_PIECES = {
    "second_ms": "plant second",
    "scan_ms": "of it the PLC's scan",
    "values_ms": "picture of all values",
}


def run_plant(console: Console | None = None, *, seconds: int = SECONDS) -> dict[str, Any]:
    """Time ``seconds`` of the reference line after its start-up.

    Returns
    -------
    ``{"plant": {"second_ms": {...}, "scan_ms": {...}, "values_ms": {...}, "times_real_time"}}``,
    times as ``median``, ``p95`` and ``max`` of processor time [ms]; ``times_real_time`` is plant
    time over processor time of all plant seconds together.
    """
    if seconds < 1:
        raise ValueError(f"nothing to measure in {seconds} s")
    scenario = load_scenario(_CONFIGS / "scenarios" / "steady.yaml")
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    plant = Plant(line, scenario, seed=1, start_time=_START)
    plant.advance(scenario.total_seconds(0.0))
    taken: dict[str, list[float]] = {key: [] for key in _PIECES}
    for _ in range(seconds):
        taken["second_ms"].append(_cpu_ms(partial(plant.advance, 1)))
        inputs = (plant.parameters, plant.state, plant.readings, plant.outlet.feedback)
        taken["scan_ms"].append(_cpu_ms(partial(scan, *inputs)))
        taken["values_ms"].append(_cpu_ms(plant.values))
    flat: dict[str, Any] = {key: _summary(ms) for key, ms in taken.items()}
    flat["times_real_time"] = 1e3 * seconds / sum(taken["second_ms"])
    if console is not None:
        console.print(_table(flat, seconds))
        print_goals(console, "Stand-in, goals", goals(flat))
    return {"plant": flat}


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """What the figures are held against."""
    medians = {key: flat[key]["median"] for key in _PIECES}
    return [
        goal(medians, "second_ms", "plant second [ms]", hi=1.0),
        goal(medians, "scan_ms", "PLC's scan [ms]", hi=0.5),
        goal(medians, "values_ms", "all values [ms]", hi=0.5),
    ]


def _cpu_ms(what: Callable[[], object]) -> float:
    began = process_time()
    what()
    return 1e3 * (process_time() - began)


def _summary(ms: list[float]) -> dict[str, float]:
    return {
        "median": float(np.median(ms)),
        "p95": float(np.percentile(ms, 95)),
        "max": float(np.max(ms)),
    }


def _table(flat: Mapping[str, Any], seconds: int) -> Table:
    speed = flat["times_real_time"]
    table = Table(title=f"Stand-in, {seconds} plant seconds, {speed:.0f} times real time")
    table.add_column("")
    for heading in ("median CPU ms", "p95", "max"):
        table.add_column(heading, justify="right")
    for key, text in _PIECES.items():
        table.add_row(text, *(f"{flat[key][k]:.3g}" for k in ("median", "p95", "max")))
    return table
