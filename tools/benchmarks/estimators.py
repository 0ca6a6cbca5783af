"""Estimators side by side on the same readings: the moving horizon and three Kalman filters.

Plants with drawn mismatch, seeds that were used neither for tuning nor for scoring, run under the
PLC's loops alone through a change of the filler's lot. Their validated readings are then given to
every estimator, as they came, with gross errors that validation did not catch, and without the
lot's marker. The moving horizon is the configured one; the extended filter has the same twin,
noise levels and readings, once as the textbook has it and once with a gate at three standard
deviations; the linear one is that of the controller `lmpc`.

(R1)  RMSE of (estimate - truth), both as means over 60 s, so that a press's scatter is in neither
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from controller.baselines.lmpc import LmpcBrain
from controller.config import ControllerConfig
from controller.data import CV, Array, Estimate, Validated
from controller.estimation.ekf import EkfEstimator
from controller.estimation.estimator import LineEstimator
from controller.validation import ValidationState, Validator
from hil.config import LotChange, ScenarioConfig
from hil.plant import Plant
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PlcMode
from plant_models.units import from_si
from plant_models.variables import Structure
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import START_TIME, read_snapshot
from tools.pki import twinline_home
from tools.scoring import CV_UNITS, MOVING_MEAN_S, TruthLog, trailing_mean
from tools.shift_score import lot_change_second, truth_log

__all__ = ["CASES", "ESTIMATORS", "SEEDS", "Recording", "run_estimators"]

SEEDS = (31, 32, 33, 34, 35)
MINUTES = 45.0
CASES = ("as they came", "gross errors", "lot without marker")
ESTIMATORS = ("mhe", "ekf", "ekf_gated", "linear")
SHARE, FIRST_S, AFTER_LOT_S = 0.02, 600.0, 600.0
CVS = (CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value, CV.POTENCY.value)
_STEPS, _GATE = 2, 3.0
_WRONG_SAMPLES = 0.1  # share of the at-line samples whose breaking forces are a quarter too high
_BACK_S = 240.0  # how far back the filters take a late value
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# Tag -> size of a gross error as a factor: what a validation of spikes may let through.
_GROSS = {
    "Line/Chute/Level/PV": 0.25,
    "Line/Press/PreForce/PV": 0.06,
    f"{MV.FILL_DEPTH}/FBK": 0.04,
    "Line/FeedFrame/Potency/PV": 0.15,
}

Step = Callable[[Any, Validated], tuple[Any, Estimate | None]]


class _Estimator(Protocol):
    def initial(self) -> Any: ...

    def estimate(self, state: Any, time: float) -> Estimate | None: ...


@dataclass(frozen=True, slots=True)
class Recording:
    """One plant: readings by cycle, truth, and the plant second of the lot's marker."""

    seen: tuple[Validated, ...]
    truth: TruthLog
    lot_second: float
    seed: int


@lru_cache(maxsize=1)
def _setting() -> tuple[ResolvedLine, ControllerConfig, ControllerConfig]:
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    return (
        line,
        load_controller(_CONFIGS / "controllers" / "nmpc.yaml"),
        load_controller(_CONFIGS / "controllers" / "lmpc.yaml"),
    )


def _record(seed: int, minutes: float) -> Recording:
    """Simulate one plant through a change of lot."""
    line, config, _ = _setting()
    scenario = load_scenario(_CONFIGS / "scenarios" / "shift.yaml")
    if not isinstance(scenario, ScenarioConfig):
        raise TypeError("no scenario")
    events = tuple(e for e in scenario.events if isinstance(e, LotChange))
    script = scenario.model_copy(update={"events": events, "minutes": minutes})
    plant = Plant(line, script, seed=seed, start_time=START_TIME, run_dir=None)
    validator = Validator(signal_table(line.line), config.validation, PlcMode.CASCADE)
    state, seen = ValidationState(), []
    for _ in range(script.total_seconds() // config.period_s):
        plant.advance(config.period_s)
        validated, state = validator.validate(read_snapshot(plant), state)
        seen.append(validated)
    lot = lot_change_second(script, minutes)
    truth = truth_log(plant.tally.seconds(), plant.tally.tablets(), line)
    return Recording(tuple(seen), truth, float("nan") if lot is None else float(lot), seed)


def _case(recording: Recording, case: str) -> list[Validated]:
    if case == "lot without marker":
        first = recording.seen[0].lots
        return [replace(v, lots=first) for v in recording.seen]
    if case == "gross errors":
        rng = np.random.default_rng(recording.seed)
        return [_spoilt(v, rng) for v in recording.seen]
    return list(recording.seen)


def _spoilt(seen: Validated, rng: np.random.Generator) -> Validated:
    """The readings with each of `_GROSS` wrong in `SHARE` of all cycles, a tenth of the samples."""
    measurements = dict(seen.measurements)
    for tag, size in _GROSS.items():
        wrong, sign = rng.random() < SHARE, rng.choice((-1.0, 1.0))
        if wrong and tag in measurements:
            m = measurements[tag]
            measurements[tag] = replace(m, value=m.value * (1.0 + sign * size))
    samples = tuple(
        replace(s, forces=tuple(1.25 * f for f in s.forces)) if rng.random() < _WRONG_SAMPLES else s
        for s in seen.samples
    )
    return replace(seen, measurements=measurements, samples=samples)


@lru_cache(maxsize=1)
def _estimators() -> dict[str, tuple[_Estimator, Step]]:
    line, nmpc, lmpc = _setting()
    period, cache = float(nmpc.period_s), twinline_home() / "cache"
    short = nmpc.estimation.model_copy(update={"window_samples": round(_BACK_S / period)})

    def by_window(e: LineEstimator) -> tuple[_Estimator, Step]:
        def step(state: Any, seen: Validated) -> tuple[Any, Estimate | None]:
            state = e.update(state, seen, _STEPS)
            return state, e.estimate(state, seen.time)

        return e, step

    linear = LmpcBrain(line, signal_table(line.line), lmpc).observer

    def linear_step(state: Any, seen: Validated) -> tuple[Any, Estimate | None]:
        state = linear.update(state, seen)
        return state, linear.estimate(state, seen.time)

    cascade = Structure.CASCADE
    return {
        "mhe": by_window(LineEstimator(line, cascade, nmpc.estimation, period, cache)),
        "ekf": by_window(EkfEstimator(line, cascade, short, period, cache)),
        "ekf_gated": by_window(EkfEstimator(line, cascade, short, period, cache, _GATE)),
        "linear": (linear, linear_step),
    }


@dataclass(frozen=True, slots=True)
class _Followed:
    """Estimates by cycle: plant second and means of `CVS` (cycles, cvs); wall time [ms]."""

    time: Array
    mean: Array
    wall_ms: Array


def _follow(name: str, readings: Sequence[Validated]) -> _Followed:
    estimator, step = _estimators()[name]
    state, rows = estimator.initial(), []
    for seen in readings:
        began = perf_counter()
        state, estimate = step(state, seen)
        wall = 1e3 * (perf_counter() - began)
        if estimate is not None:
            means = [estimate.quality[cv].mean for cv in CVS]
            rows.append((seen.time - START_TIME, *means, wall))
    found = np.array(rows)
    return _Followed(found[:, 0], found[:, 1:-1], found[:, -1])


def _rmse(followed: _Followed, truth: TruthLog, start: float, end: float) -> dict[str, float]:
    """RMSE (R1) by CV over plant seconds ``[start, end)``, in plant units."""
    rows = np.searchsorted(truth.time, followed.time + 1e-6) - 1
    period = float(np.median(np.diff(followed.time)))
    counted = (followed.time >= start) & (followed.time < end)
    result = {}
    for i, (cv, series) in enumerate(
        zip(CVS, (truth.weight, truth.strength, truth.potency), strict=True)
    ):
        mean = trailing_mean(followed.mean[:, i], round(MOVING_MEAN_S / period))
        error = (mean - trailing_mean(series)[rows])[counted]
        result[cv] = from_si(float(np.sqrt(np.nanmean(error**2))), CV_UNITS[cv])
    return result


def run_estimators(
    console: Console | None = None,
    seeds: Sequence[int] = SEEDS,
    minutes: float = MINUTES,
    names: Sequence[str] = ESTIMATORS,
) -> dict[str, Any]:
    """The comparison.

    Returns
    -------
    ``{"estimators": {"rmse": {<case>: {<estimator>: {<CV>}}}, "after_lot": {the same, in the 10 min
    after the marker}, "better_than_mhe": {both: on how many seeds an estimator had the lower RMSE},
    "by_seed": {both: lists}, "step_ms": {<estimator>}, "units", "seeds", "minutes"}}``: medians
    over the seeds. Names of cases have ``_`` for blanks.
    """
    whole: dict[str, dict[str, list[dict[str, float]]]] = {c: {n: [] for n in names} for c in CASES}
    after: dict[str, dict[str, list[dict[str, float]]]] = {c: {n: [] for n in names} for c in CASES}
    walls: dict[str, list[float]] = {n: [] for n in names}
    shown = seeds if console is None else track(seeds, "plants", console=console)
    for seed in shown:
        recording = _record(seed, minutes)
        for case in CASES:
            readings = _case(recording, case)
            for name in names:
                followed = _follow(name, readings)
                first, lot = float(followed.time[0]) + FIRST_S, recording.lot_second
                whole[case][name].append(_rmse(followed, recording.truth, first, np.inf))
                after[case][name].append(_rmse(followed, recording.truth, lot, lot + AFTER_LOT_S))
                walls[name].append(float(np.median(followed.wall_ms)))
    result = {
        "rmse": _medians(whole),
        "after_lot": _medians(after),
        "better_than_mhe": {
            "rmse": _better(whole),
            "after_lot": _better(after),
        },
        "by_seed": {"rmse": _keyed(whole), "after_lot": _keyed(after)},
        "step_ms": {n: median(w) for n, w in walls.items()},
        "units": {cv: CV_UNITS[cv] for cv in CVS},
        "seeds": list(seeds),
        "minutes": minutes,
    }
    if console is not None:
        _print(console, result, names)
    return {"estimators": result}


_Runs = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]


def _keyed(runs: _Runs) -> dict[str, Any]:
    return {case.replace(" ", "_"): dict(by) for case, by in runs.items()}


def _medians(runs: _Runs) -> dict[str, Any]:
    return {
        case.replace(" ", "_"): {
            name: {cv: median(r[cv] for r in rows) for cv in CVS} for name, rows in by.items()
        }
        for case, by in runs.items()
    }


def _better(runs: _Runs) -> dict[str, Any]:
    """On how many seeds each estimator had a lower RMSE than the moving horizon."""
    return {
        case.replace(" ", "_"): {
            name: {
                cv: sum(r[cv] < m[cv] for r, m in zip(rows, by["mhe"], strict=True)) for cv in CVS
            }
            for name, rows in by.items()
            if name != "mhe"
        }
        for case, by in runs.items()
        if "mhe" in by
    }


def _print(console: Console, result: Mapping[str, Any], names: Sequence[str]) -> None:
    table = Table(
        title=f"RMSE of 60 s means over {len(result['seeds'])} plants, median: "
        "whole run / 10 min after the lot"
    )
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for case in CASES:
        key = case.replace(" ", "_")
        for cv in CVS:
            cells = [
                f"{result['rmse'][key][n][cv]:.3f} / {result['after_lot'][key][n][cv]:.3f}"
                for n in names
            ]
            table.add_row(f"{case}: {cv} \\[{result['units'][cv]}]", *cells)
    table.add_row("median step \\[ms]", *(f"{result['step_ms'][n]:.1f}" for n in names))
    console.print(table)
