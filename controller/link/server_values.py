"""What the controller's OPC UA server shows of a cycle: values by browse path, in plant units.

Pure functions of a `CycleOutput`, one per branch of the tree below ``Controller``. What a cycle
does not have (an estimate before the estimator began, a report of what is not built) is absent
here, and its node then shows a bad status.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from controller.cycle_data import CycleOutput
from controller.data import CV, Array
from plant_models.signals import SignalTable
from plant_models.units import LABEL_PERCENT, UNITS

__all__ = [
    "TARGET_UNITS",
    "VARIABLE_UNITS",
    "Quantity",
    "Shown",
    "Values",
    "lookup",
    "moment",
    "quantity",
    "short_name",
    "slug",
    "values_of",
]

# Units in which operators give targets.
TARGET_UNITS: dict[CV, str] = {
    CV.POTENCY: LABEL_PERCENT,
    CV.TABLET_WEIGHT: "mg",
    CV.TENSILE_STRENGTH: "MPa",
    CV.THROUGHPUT: "kg/h",
}

# Units in which variables are shown; others are shown in SI, without a unit.
VARIABLE_UNITS: dict[str, str] = {
    **{cv.value: unit for cv, unit in TARGET_UNITS.items()},
    "chute_level": "%",
    "ejection_force": "N",
    "lubricant_fraction": "%",
    "main_compression_force": "kN",
    "main_force": "kN",
    "tablet_thickness": "mm",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, or one per time, in a plant unit."""

    value: float | tuple[float, ...]
    unit: str = ""


Shown = float | int | bool | str | datetime | tuple[str, ...] | Quantity
Values = dict[str, Shown]


def values_of(output: CycleOutput, link: str, table: SignalTable) -> Values:
    """Everything that a cycle shows but the reports of supervision, by path below ``Controller``.

    Parameters
    ----------
    output
        Outcome of the cycle.
    link
        State of the link to the plant, in words.
    table
        Signal list; gives the units of the manipulated variables.
    """
    return (
        _state(output, link)
        | _permissives(output)
        | _targets(output)
        | _estimates(output)
        | _forecasts(output)
        | _plan(output, table)
        | _manipulated(output, table)
    )


# Parts


def _state(output: CycleOutput, link: str) -> Values:
    s, r = output.state.supervision, output.record
    values: Values = {
        "Mode": str(s.mode),
        "Cause": s.cause,
        "Since": moment(s.since),
        "PlantTime": moment(r.time),
        "Cycle": output.state.cycle,
        "Link": link,
        "Suspended": s.suspended_since is not None,
        "Writes": output.command.frame is not None,
        "WriteReasons": "; ".join(output.command.reasons),
    }
    if r.validated is not None:
        values["LineState"] = str(r.validated.line_state)
        values["PlcMode"] = str(r.validated.plc_mode)
        values["MeasurementsMissing"] = r.validated.missing
    values |= {f"Identification/{slug(k)}": v for k, v in r.hashes.items()}
    return values


def _permissives(output: CycleOutput) -> Values:
    values: Values = {}
    for p in output.permissives:
        path = f"Permissives/{slug(p.name)}"
        values[f"{path}/State"] = p.good
        values[f"{path}/Value"] = _shown(p.value)
        values[f"{path}/Text"] = p.text
        values[f"{path}/Remedy"] = p.remedy
        values[f"{path}/Since"] = moment(p.since)
        values[f"{path}/Safety"] = p.safety
        values[f"{path}/LostCycles"] = p.lost_cycles
        values[f"{path}/DebounceCycles"] = p.debounce_cycles
    return values


def _shown(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:g}"


def _targets(output: CycleOutput) -> Values:
    targets = output.state.targets
    values: Values = {}
    for variable, unit in TARGET_UNITS.items():
        target = targets.set_points.get(variable.value)
        if target is not None:
            values[f"Targets/{variable.value}"] = quantity(target, unit)
    return values


def _estimates(output: CycleOutput) -> Values:
    e = output.record.estimate
    if e is None:
        return {}
    values: Values = {
        "Estimates/Time": moment(e.time),
        "Estimates/Converged": e.converged,
        "Estimates/NormalisedInnovation": float(e.normalised_innovation),
        "Estimates/Note": e.note,
        "Estimates/States/Names": e.names,
        "Estimates/States/Mean": Quantity(_numbers(e.mean)),
        "Estimates/States/StandardDeviation": Quantity(
            _numbers(np.sqrt(np.maximum(np.diag(e.covariance), 0.0)))
        ),
    }
    for name, q in e.quality.items():
        path, unit = f"Estimates/{name}", VARIABLE_UNITS.get(str(name), "")
        values[f"{path}/Value"] = quantity(q.mean, unit)
        values[f"{path}/Low"] = quantity(q.mean - q.half_width, unit)
        values[f"{path}/High"] = quantity(q.mean + q.half_width, unit)
    return values


def _forecasts(output: CycleOutput) -> Values:
    f = output.record.forecast
    if f is None:
        return {}
    values: Values = {
        "Forecasts/Start": moment(output.record.time),
        "Forecasts/Times": Quantity(_numbers(f.times), "s"),
    }
    for name, (free, planned, half) in f.series.items():
        path, unit = f"Forecasts/{name}", VARIABLE_UNITS.get(str(name), "")
        values[f"{path}/Free"] = _series(free, unit)
        values[f"{path}/Planned"] = _series(planned, unit)
        values[f"{path}/HalfWidth"] = _series(half, unit)
    return values


def _plan(output: CycleOutput, table: SignalTable) -> Values:
    p = output.record.plan
    if p is None:
        return {}
    values: Values = {
        "Plan/ReachedBy": p.reached_by.value,
        "Plan/Steps": p.steps,
        "Plan/SolverVerdicts": tuple(str(v) for v in p.solver_verdicts),
        "Plan/Cost": float(p.cost),
        "Plan/AgeCycles": p.age_cycles,
        "Plan/Times": Quantity(_numbers(p.times), "s"),
    }
    units = {m.tag: m.unit for m in table.manipulated}
    for tag, moves in p.moves.items():
        values[f"MVs/{short_name(tag)}/Planned"] = _series(moves, units.get(tag, ""))
    if p.target is not None:
        for tag, value in p.target.moves.items():
            values[f"MVs/{short_name(tag)}/AtRest"] = quantity(value, units.get(tag, ""))
        for name, value in p.target.set_points.items():
            unit = VARIABLE_UNITS.get(name, "")
            values[f"CVs/{name}/AtRest"] = quantity(value, unit)
        values["Plan/Relaxed"] = tuple(
            f"{r.variable}: {'; '.join(r.because)}" for r in p.target.relaxed
        )
    return values


def _manipulated(output: CycleOutput, table: SignalTable) -> Values:
    validated = output.record.validated
    if validated is None:
        return {}
    values: Values = {}
    for m in table.manipulated:
        actual = validated.actual.get(m.tag)
        path = f"MVs/{short_name(m.tag)}"
        if actual is not None:
            values[f"{path}/SetPoint"] = quantity(actual, m.unit)
        values[f"{path}/Available"] = bool(validated.available.get(m.tag, False))
    frame = output.command.frame
    for tag, requested in ({} if frame is None else frame.requests).items():
        values[f"MVs/{short_name(tag)}/Requested"] = Quantity(float(requested), table.mv(tag).unit)
    return values


# Forms


def slug(name: str) -> str:
    """``plant heartbeat`` -> ``PlantHeartbeat``."""
    letters = "".join(c if c.isalnum() else " " for c in name.replace("'s", ""))
    return "".join(word[:1].upper() + word[1:] for word in letters.split())


def short_name(tag: str) -> str:
    """``Line/Press/Thickness`` -> ``Thickness``."""
    return tag.rpartition("/")[2]


def moment(seconds: float) -> datetime:
    """Seconds since 1970-01-01, UTC, as a time; what never was is that day."""
    return datetime.fromtimestamp(seconds if math.isfinite(seconds) else 0.0, UTC)


def quantity(si: float, unit: str) -> Quantity:
    """A number in SI, in a plant unit."""
    return Quantity(float(si) / UNITS[unit].factor, unit)


def _series(si: Array, unit: str) -> Quantity:
    return Quantity(_numbers(np.asarray(si) / UNITS[unit].factor), unit)


def _numbers(values: Array | Iterable[float]) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=float).ravel().tolist())


def lookup(names: Iterable[str], wanted: str) -> str | None:
    """The name that is ``wanted``, whole or by its last part; None if none is."""
    known: Mapping[str, str] = {short_name(n): n for n in names} | {n: n for n in names}
    return known.get(wanted)
