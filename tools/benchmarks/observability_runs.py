"""Errors of the estimator on plants whose truth is known to us but not to it.

Each plant (drawn mismatch, no events) is simulated once under the PLC's loops alone; its readings
are then given to one estimator per case, with that case's instruments taken away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from controller.config import ControllerConfig
from controller.data import CV, Validated
from controller.estimation.estimator import LineEstimator
from controller.twin.core import PARAMETERS
from controller.validation import ValidationState, Validator
from hil.config import ScenarioConfig
from hil.mismatch import mismatch_of
from hil.plant import Plant
from plant_models import line as build
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import PlcMode
from plant_models.variables import Structure
from tools.configuration import load_scenario
from tools.harness import START_TIME, read_snapshot
from tools.shift_score import truth_log

__all__ = ["empirical_errors"]

_SCENARIO = Path(__file__).resolve().parents[2] / "configs" / "scenarios" / "shift.yaml"
_STEPS = 2
_LAST_S = 60  # the errors are those of the means over this last part
_TAGS = {
    "potency": "Line/FeedFrame/Potency/PV",
    "level": "Line/Chute/Level/PV",
    "pre_to_main": "Line/Press/PreForce/PV",
}


@dataclass(frozen=True, slots=True)
class _Plant:
    """Readings by cycle, and the truth at the end by quantity (SI, logarithms)."""

    seen: tuple[Validated, ...]
    truth: Mapping[str, float]


def empirical_errors(
    line: ResolvedLine,
    config: ControllerConfig,
    cases: Mapping[str, tuple[tuple[str, ...], str]],
    seeds: Sequence[int],
    minutes: float,
    cache: Path,
    console: Console | None = None,
) -> dict[str, dict[str, float]]:
    """RMS errors over ``seeds`` by case and quantity (SI, logarithms).

    Parameters
    ----------
    line, config
        Line and controller.
    cases
        Missing measured columns, and role of the feeder without a load cell.
    seeds, minutes
        Plants, and how long each runs after start-up.
    cache
        Of compiled roll-outs.
    console
        Shows the progress if given.
    """
    estimator = LineEstimator(
        line, Structure.CASCADE, config.estimation, float(config.period_s), cache
    )
    squares: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    shown = seeds if console is None else track(seeds, "plants", console=console)
    for seed in shown:
        plant = _simulate(line, config, seed, minutes)
        for name, (missing, volumetric) in cases.items():
            found = _estimate(estimator, plant, missing, volumetric)
            squares[name].append({q: (found[q] - t) ** 2 for q, t in plant.truth.items()})
    return {
        name: {q: float(np.sqrt(np.mean([s[q] for s in all_of]))) for q in all_of[0]}
        for name, all_of in squares.items()
    }


def _simulate(line: ResolvedLine, config: ControllerConfig, seed: int, minutes: float) -> _Plant:
    scenario = load_scenario(_SCENARIO)
    if not isinstance(scenario, ScenarioConfig):
        raise TypeError(f"{_SCENARIO} is no scenario")
    script = scenario.model_copy(update={"events": (), "minutes": minutes})
    plant = Plant(line, script, seed=seed, start_time=START_TIME, run_dir=None)
    validator = Validator(signal_table(line.line), config.validation, PlcMode.CASCADE)
    state, seen = ValidationState(), []
    for _ in range(script.total_seconds() // config.period_s):
        plant.advance(config.period_s)
        validated, state = validator.validate(read_snapshot(plant), state)
        seen.append(validated)
    return _Plant(tuple(seen), _truth(line, script, seed, plant))


def _truth(
    line: ResolvedLine, script: ScenarioConfig, seed: int, plant: Plant
) -> Mapping[str, float]:
    """Truth of the last minute; the material as the press sees it, noise of density included."""
    m = mismatch_of(line, script.truth, seed)
    log_ = truth_log(plant.tally.seconds(), plant.tally.tablets(), line)
    seconds = plant.tally.seconds()[-_LAST_S:]
    weight = float(np.nanmean(log_.weight[-_LAST_S:]))
    strength = float(np.nanmean(log_.strength[-_LAST_S:]))
    area = build.press_parameters(line).die_area
    volume = area * float(np.nanmean(seconds["fill_depth"])) / weight
    shares = np.array(build.recipe_fractions(line))
    errors = np.array(m.span) - 1.0
    api = line.feeder_index("api")
    total = -float(shares @ errors)
    elapsed = script.total_seconds() - _LAST_S / 2.0
    return {
        "specific_volume": log(volume * line.blend.bulk_density_kg_m3),
        "pressure_scale": log(m.pressure_scale),
        "strength": log(m.strength),
        "potency_bias": m.nir_bias + m.nir_drift * elapsed,
        "feed_span": total,
        "potency_span": -float(errors[api]) - total,
        "compliance": log(m.compliance),
        "tablet_weight": log(weight),
        "tensile_strength": log(strength),
        "potency": float(np.nanmean(log_.potency[-_LAST_S:])),
    }


def _masked(seen: Validated, missing: tuple[str, ...], feeder: str | None) -> Validated:
    """The readings without the case's instruments; a lost load cell is lost from the start."""
    gone = {_TAGS[name] for name in missing if name in _TAGS}
    if feeder is not None:
        gone.add(feeder)
    measurements = {
        tag: replace(m, weight=0.0) if tag in gone else m for tag, m in seen.measurements.items()
    }
    lab = any(name.startswith("lab") for name in missing)
    return replace(seen, measurements=measurements, samples=() if lab else seen.samples)


def _estimate(
    estimator: LineEstimator, plant: _Plant, missing: tuple[str, ...], volumetric: str
) -> dict[str, float]:
    """Means of the estimates over the last minute."""
    line, rows = estimator.resolved, []
    feeder = f"Line/Feeder{line.feeder_index(volumetric) + 1}/Weight/PV" if volumetric else None
    state = estimator.initial()
    first = len(plant.seen) - round(_LAST_S / estimator.period)
    for k, seen in enumerate(plant.seen):
        # with a load cell at first: the content of the hopper is known when the press begins
        lost = feeder if k >= _LAST_S / estimator.period else None
        now = _masked(seen, missing, lost)
        state = estimator.update(state, now, _STEPS)
        estimate = estimator.estimate(state, seen.time)
        if k < first or estimate is None:
            continue
        means = dict(zip(estimate.names, estimate.mean, strict=True))
        row = {name: float(means[name]) for name in PARAMETERS[:-1]}
        q = estimate.quality
        row["tablet_weight"] = log(q[CV.TABLET_WEIGHT].mean)
        row["tensile_strength"] = log(q[CV.TENSILE_STRENGTH].mean)
        row["potency"] = q[CV.POTENCY].mean
        rows.append(row)
    return {name: float(np.mean([r[name] for r in rows])) for name in rows[0]}
