"""What it buys to plan with the estimate's uncertainty: nominal, back-off, scenarios, side by side.

Same shift, same seeds (those of tuning), in process; only section ``optimisation`` differs. Three
scripts: the shift as configured; ``wide``, in which the powder and the press lie twice as far off
what is configured and the new lot differs twice as much; and ``edge``, the shift of a product whose
targets lead the tablets to a limit of their thickness, with a price at which zones are kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.algorithms import make_brain
from controller.data import CV
from hil.config import LotChange, ScenarioConfig, Uncertain
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import run_shift
from tools.pki import twinline_home

__all__ = [
    "MINUTES",
    "SCRIPTS",
    "SEEDS",
    "VARIANTS",
    "Run",
    "at_the_edge",
    "run_one",
    "run_uncertainty",
    "show",
    "summarise",
    "wide",
]

SEEDS = (11, 12, 13, 14, 15)  # those of tuning: the figures choose a default
MINUTES = 60.0
VARIANTS: dict[str, dict[str, Any]] = {
    "nominal": {"back_off": False, "scenarios": 0},
    "back_off": {"back_off": True, "scenarios": 0},
    "scenarios": {"back_off": False, "scenarios": 8},
}
SCRIPTS = ("shift", "wide", "edge")
_WIDER = 2.0
_WIDENED = (
    "bulk_density_percent",
    "pressure_scale_percent",
    "strength_percent",
    "blender_hold_up_percent",
    "compliance_percent",
)
_EDGE_MM = 3.32  # tablets at the targets are 3.318 mm thick
_DEAR = 1000.0  # price of a zone's slack in `edge`, 1 in the others
_ZONES = ("chute_level", "tablet_thickness", "main_compression_force")
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One shift: variant, script, seed, length; ``changes`` on top of the variant's."""

    variant: str
    script: str
    seed: int
    minutes: float = MINUTES
    changes: Mapping[str, Any] = field(default_factory=dict)


def wide(scenario: ScenarioConfig) -> ScenarioConfig:
    """``scenario`` with twice the spread of powder and press, and twice the change of lot."""
    mismatch = scenario.truth.mismatch
    update = {}
    for name in _WIDENED:
        error = getattr(mismatch, name)
        update[name] = Uncertain(nominal=error.nominal, range=_WIDER * error.range)
    events = tuple(
        e.model_copy(
            update={
                key: _WIDER * getattr(e, key)
                for key in ("bulk_density_percent", "pressure_scale_percent", "strength_percent")
            }
        )
        if isinstance(e, LotChange)
        else e
        for e in scenario.events
    )
    truth = scenario.truth.model_copy(update={"mismatch": mismatch.model_copy(update=update)})
    return scenario.model_copy(update={"name": "wide", "truth": truth, "events": events})


def at_the_edge(line: ResolvedLine) -> ResolvedLine:
    """``line`` with a product that wants its tablets a little thinner than they may be."""
    zone = line.product.thickness_zone_mm.model_copy(update={"lo": _EDGE_MM})
    return replace(line, product=line.product.model_copy(update={"thickness_zone_mm": zone}))


def run_one(run: Run) -> dict[str, float]:
    """Run one shift; safe in a worker process. Figures by key."""
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    scenario = load_scenario(_CONFIGS / "scenarios" / "shift.yaml")
    config = load_controller(_CONFIGS / "controllers" / "nmpc.yaml")
    changes = {**VARIANTS[run.variant], **run.changes}
    if run.script == "edge":
        line, changes["slack_linear"] = at_the_edge(line), _DEAR
    config = config.model_copy(
        update={"optimisation": config.optimisation.model_copy(update=changes)}
    )
    result = run_shift(
        line=line,
        scenario=wide(scenario) if run.script == "wide" else scenario,
        config=config,
        brain=make_brain(config, line, signal_table(line.line), twinline_home() / "cache"),
        seed=run.seed,
        minutes=run.minutes,
    )
    s = result.scores
    walls = np.array([n.wall_ms for n in result.notes[len(result.notes) // 2 :]])
    out = {k: float(s["tablets"][k]) for k in ("excess", "floor", "released_out_of_spec")}
    out |= {f"iae.{cv.value}": float(s[cv.value]["iae_norm"]) for cv in CV}
    out |= {f"outside_s.{z}": float(s[z]["time_outside_s"]) for z in _ZONES}
    out |= {"cycle_ms": float(np.median(walls)), "cycle_max_ms": float(np.max(walls))}
    return out


def summarise(runs: Sequence[Run], found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """``{script: {variant: {figure: {median, values}}}}``, values in the order of the runs."""
    table: dict[str, Any] = {}
    for run, figures in zip(runs, found, strict=True):
        cell = table.setdefault(run.script, {}).setdefault(run.variant, {})
        for key, value in figures.items():
            cell.setdefault(key, {"values": []})["values"].append(value)
    for variants in table.values():
        for cell in variants.values():
            for figure in cell.values():
                figure["median"] = median(figure["values"])
    return table


def run_uncertainty(
    console: Console | None = None,
    seeds: Sequence[int] = SEEDS,
    minutes: float = MINUTES,
    variants: Sequence[str] = tuple(VARIANTS),
    scripts: Sequence[str] = SCRIPTS,
    workers: int = 2,
) -> dict[str, Any]:
    """Run the comparison.

    Returns
    -------
    ``{"uncertainty": {script: {variant: {figure: {median, values}}}}}``, values by seed.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before the workers import numpy
    runs = [
        Run(variant=v, script=s, seed=n, minutes=minutes)
        for s in scripts
        for n in seeds
        for v in variants
    ]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(run_one, runs))
    table = summarise(runs, found)
    if console is not None:
        show(console, table)
    return {"uncertainty": table | {"minutes": minutes, "seeds": list(seeds)}}


def show(console: Console, table: Mapping[str, Any]) -> None:
    """Print a table per script."""
    for script, variants in table.items():
        shown = Table("figure, median over the seeds", *variants, title=script)
        for key in next(iter(variants.values())):
            shown.add_row(key, *(f"{v[key]['median']:.4g}" for v in variants.values()))
        console.print(shown)
