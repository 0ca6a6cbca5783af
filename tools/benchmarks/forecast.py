"""``twinline benchmark forecast``: whether forecasts come true as far as their intervals say.

Shifts in process, on seeds that tuned nothing: in ADVISORY, where the PLC and nobody else moves the
line and the forecast without moves is judged, and in closed loop, where the plan is. A forecast is
compared with the mean of the tablets that are made in its cycle, which nobody knows on a real line,
and with the estimate of that time, as readiness does. What no forecast can know is left out and
counted: the feed was still of the old lot, or the target another. Coverage of all includes it.

(S1)  coverage = share of forecasts off by no more than their half width
(S2)  sharpness = mean half width / (1.96 rms error); 1 is exact for normal errors
(S3)  width over spread = mean half width / (1.96 standard deviation of the truth over the shift)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.algorithms import make_brain
from controller.data import CV, Array, CycleRecord, Mode
from plant_models.signal_list import signal_table
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import START_TIME, run_shift
from tools.pki import twinline_home
from tools.scoring import Z_95, TruthLog, trailing_mean
from tools.shift_score import truth_log

__all__ = ["AHEAD_S", "SEEDS", "Run", "judge", "run_forecast", "run_one", "summarise"]

SEEDS = (201, 202, 203)  # tuned on: 101 to 103, 111, 112
MINUTES = 45.0
AHEAD_S = (60.0, 180.0, 300.0, 600.0)
SCRIPTS = ("shift", "calm")
MODES = {"advisory": Mode.ADVISORY, "closed loop": Mode.CLOSED_LOOP}
LO, HI = 0.90, 0.99
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_TRUTH = {
    CV.POTENCY.value: "potency",
    CV.TABLET_WEIGHT.value: "weight",
    CV.TENSILE_STRENGTH.value: "strength",
    CV.THROUGHPUT.value: "throughput",
    "chute_level": "level",
    "tablet_thickness": "thickness",
    "main_compression_force": "main_force",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One shift: script, mode (a key of `MODES`), seed, length."""

    script: str
    mode: str
    seed: int
    minutes: float = MINUTES


def judge(
    records: Sequence[CycleRecord], truth: TruthLog, mode: Mode, period_s: float, since_s: float
) -> dict[str, dict[str, Array]]:
    """Forecasts of one shift beside what came, relative to the mean of the truth.

    Parameters
    ----------
    records, truth
        Cycles and the plant's log of a shift in process.
    mode
        In which forecasts count: those without moves, or the plan's in CLOSED_LOOP.
    period_s
        Control period.
    since_s
        First plant second.

    Returns
    -------
    Per variable and time ahead (``"potency 180"``): errors against ``truth`` and ``estimate``,
    ``half`` widths, ``spread`` (standard deviation of the truth); ``left_out``: which of the others
    held all the same.
    """
    series = {cv: trailing_mean(getattr(truth, n), round(period_s)) for cv, n in _TRUTH.items()}
    by_second = {round(r.time - START_TIME): r for r in records}
    found: dict[str, dict[str, Any]] = {}
    for second, made in by_second.items():
        if second < since_s or made.mode is not mode or made.forecast is None:
            continue
        for ahead in AHEAD_S:
            then = by_second.get(round(second + ahead))
            row = round(second + ahead - truth.time[0])
            if then is None or row >= truth.time.size or then.mode is not mode:
                continue
            new = _unforeseeable(made, then, mode)
            k = round(ahead / period_s) - 1
            for cv, rows in made.forecast.series.items():
                at = found.setdefault(f"{cv} {ahead:g}", {"pairs": [], "left_out": []})
                said = float(rows[mode is Mode.CLOSED_LOOP][k])
                later = None if then.estimate is None else then.estimate.quality.get(cv)
                guess = np.nan if later is None else later.mean - said
                into = at["left_out"] if new else at["pairs"]
                into.append((series[cv][row] - said, guess, rows[2][k]))
    counted = truth.time >= since_s
    return {key: _figures(at, series[key.split()[0]][counted]) for key, at in found.items()}


def _unforeseeable(made: CycleRecord, then: CycleRecord, mode: Mode) -> bool:
    """Whether a new lot or, where the plan is judged, a new target came in between."""
    a, b = made.validated, then.validated
    other = a is None or b is None or a.lots != b.lots
    return other or (mode is Mode.CLOSED_LOOP and made.targets != then.targets)


def _figures(at: Mapping[str, Any], values: Array) -> dict[str, Array]:
    scale = float(np.nanmean(values))
    pairs, left_out = (
        np.array(at[n], dtype=float).reshape(-1, 3) / scale for n in ("pairs", "left_out")
    )
    pairs = pairs[np.isfinite(pairs[:, 0])]
    left_out = left_out[np.isfinite(left_out[:, 0])]
    return {
        "truth": pairs[:, 0],
        "estimate": pairs[:, 1],
        "half": pairs[:, 2],
        "spread": np.full(len(pairs), float(np.nanstd(values)) / scale),
        "left_out": np.abs(left_out[:, 0]) <= left_out[:, 2],
    }


def run_one(run: Run) -> dict[str, dict[str, Array]]:
    """Run one shift and judge it; safe in a worker process."""
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    config = load_controller(_CONFIGS / "controllers" / "nmpc.yaml")
    scenario = load_scenario(_CONFIGS / "scenarios" / f"{run.script}.yaml")
    truth = scenario.truth.model_copy(update={"mismatch_mode": "drawn"})
    scenario = scenario.model_copy(update={"truth": truth, "minutes": run.minutes})
    mode = MODES[run.mode]
    result = run_shift(
        line=line,
        scenario=scenario,
        config=config,
        brain=make_brain(config, line, signal_table(line.line), twinline_home() / "cache"),
        seed=run.seed,
        minutes=run.minutes,
        close_at=scenario.total_seconds() if mode is Mode.ADVISORY else None,
        keep_records=True,
    )
    log = truth_log(result.plant.tally.seconds(), result.plant.tally.tablets(), line)
    since = 60.0 * (scenario.start_up_minutes + 1.0)
    return judge(result.records, log, mode, config.period_s, since)


def summarise(found: Sequence[Mapping[str, Mapping[str, Array]]]) -> dict[str, dict[str, float]]:
    """Figures (S1)-(S3) over all given shifts, by variable and time ahead."""
    table: dict[str, dict[str, float]] = {}
    for key in found[0]:
        joined = {n: np.concatenate([f[key][n] for f in found if key in f]) for n in found[0][key]}
        error, half = np.abs(joined["truth"]), joined["half"]
        known = np.isfinite(joined["estimate"])
        rms = float(np.sqrt(np.mean(error**2))) if error.size else float("nan")
        width = float(np.mean(half)) if half.size else float("nan")
        table[key] = {
            "coverage_95": float(np.mean(error <= half)) if half.size else float("nan"),
            "coverage_of_estimate": float(np.mean((np.abs(joined["estimate"]) <= half)[known])),
            "rms_percent": 100.0 * rms,
            "half_width_percent": 100.0 * width,
            "sharpness": width / (Z_95 * rms),
            "width_over_spread": width / (Z_95 * float(np.mean(joined["spread"]))),
            "judged": float(error.size),
            "left_out": float(joined["left_out"].size),
            "coverage_of_all": float(np.mean(np.append(error <= half, joined["left_out"]))),
        }
    return table


def run_forecast(
    console: Console | None = None,
    seeds: Sequence[int] = SEEDS,
    minutes: float = MINUTES,
    workers: int = 2,
) -> dict[str, Any]:
    """Run all shifts: ``{"forecast": {script: {mode: {"variable ahead": figures}}}}``."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before the workers import numpy
    runs = [
        Run(script=s, mode=m, seed=n, minutes=minutes)
        for s in SCRIPTS
        for m in MODES
        for n in seeds
    ]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        judged = list(pool.map(run_one, runs))
    results: dict[str, Any] = {}
    for script in SCRIPTS:
        for mode in MODES:
            chosen = [
                j for r, j in zip(runs, judged, strict=True) if (r.script, r.mode) == (script, mode)
            ]
            figures = summarise(chosen)
            results.setdefault(script, {})[mode] = figures
            if console is not None:
                _show(console, f"{script}, {mode}", figures)
    return {"forecast": results | {"seeds": list(seeds), "minutes": minutes}}


def _show(console: Console, title: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    heads = ("forecast", "coverage", "of estimates", "rms %", "± %", "sharpness", "over spread")
    shown = Table(*heads, "judged", "of all", title=f"{title}: coverage wanted {LO:g} to {HI:g}")
    for key, f in figures.items():
        name, ahead = key.split()
        mark = "" if LO <= f["coverage_95"] <= HI else " !"
        shown.add_row(
            f"{name.replace('_', ' ')}, {float(ahead) / 60.0:g} min",
            f"{f['coverage_95']:.3f}{mark}",
            f"{f['coverage_of_estimate']:.3f}",
            f"{f['rms_percent']:.3g}",
            f"{f['half_width_percent']:.3g}",
            f"{f['sharpness']:.2f}",
            f"{f['width_over_spread']:.2f}",
            f"{f['judged']:.0f} (-{f['left_out']:.0f})",
            f"{f['coverage_of_all']:.3f}",
        )
    console.print(shown)
