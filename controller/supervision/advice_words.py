"""Why a move is advised and what it should bring, in the operator's words and units.

What drives a move is the controlled variable, of those that the MV acts on, that the plan brings
nearest to its set point; the forecast without further moves says what would happen else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from controller.advice_config import AdviceConfig
from controller.data import CV, Estimate, Forecast, Plan, Relaxation, Targets, Validated
from plant_models.signals import MV, RefillPhase, SignalTable
from plant_models.units import LABEL_PERCENT, UNITS

__all__ = [
    "ACTS_ON",
    "MV_NAMES",
    "UNITS_OF",
    "Effect",
    "limits_in_use",
    "name_of",
    "number",
    "told",
    "why",
]

ACTS_ON: Mapping[str, tuple[str, ...]] = {
    MV.TOTAL_FEED: (CV.THROUGHPUT.value, "chute_level", CV.POTENCY.value),
    MV.API_RATIO: (CV.POTENCY.value,),
    MV.LUBRICANT_RATIO: (CV.TENSILE_STRENGTH.value,),
    MV.MAIN_FORCE: (CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value),
    MV.FILL_DEPTH: (CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value),
    MV.THICKNESS: (CV.TENSILE_STRENGTH.value, CV.TABLET_WEIGHT.value),
    MV.TURRET_SPEED: (CV.THROUGHPUT.value, "chute_level"),
    MV.BLENDER_SPEED: (CV.POTENCY.value,),
}
"""What each MV is moved for, most important first."""

MV_NAMES: Mapping[str, str] = {
    MV.TOTAL_FEED: "total feed",
    MV.API_RATIO: "API ratio",
    MV.LUBRICANT_RATIO: "lubricant ratio",
    MV.MAIN_FORCE: "main force set point",
    MV.FILL_DEPTH: "fill depth",
    MV.THICKNESS: "thickness",
    MV.TURRET_SPEED: "turret speed",
    MV.BLENDER_SPEED: "blender speed",
}

UNITS_OF: Mapping[str, str] = {
    CV.POTENCY.value: LABEL_PERCENT,
    CV.TABLET_WEIGHT.value: "mg",
    CV.TENSILE_STRENGTH.value: "MPa",
    CV.THROUGHPUT.value: "kg/h",
    "chute_balance": "kg/h",
    "chute_level": "%",
    "tablet_thickness": "mm",
    "main_compression_force": "kN",
    "pre_compression_force": "kN",
    "ejection_force": "N",
    "lubricant_fraction": "%",
}
"""Plant unit of each variable that advice and readiness speak of."""

_FROZEN = frozenset({RefillPhase.ACTIVE, RefillPhase.SETTLING})
_MUCH = 0.5  # of its best: what the plan brings at a time is worth telling for that time
_AT_LIMIT = 1e-3  # of the range: an MV so near to an end is at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a variable is expected to do, in ``unit``: now, and ``after_s`` ahead.

    ``free`` without further moves, ``planned`` with those of the plan, ``half_width`` of the 95 %
    interval, None where it is unknown.
    """

    variable: str
    unit: str
    now: float
    after_s: float
    free: float
    planned: float
    half_width: float | None

    @property
    def text(self) -> str:
        """One sentence."""
        width = "" if self.half_width is None else f" ± {self.half_width:.2g}"
        return (
            f"{name_of(self.variable)}: {number(self.now, self.unit)} now; in "
            f"{_minutes(self.after_s)} min {self.free:.4g} without the plan's moves, "
            f"{self.planned:.4g}{width} {self.unit} with them"
        )


@dataclass(frozen=True, slots=True)
class _Course:
    """A variable with a set point (SI): where it is, should be, and goes without the plan.

    ``later``, ``later_s`` ahead, is where the plan helps much; ``gain`` is its help on the whole.
    """

    variable: str
    wanted: float
    tolerance: float
    now: float
    later: float
    later_s: float
    gain: float

    @property
    def off(self) -> bool:
        """Whether it would be off its set point by what matters."""
        return abs(self.later - self.wanted) >= self.tolerance


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / 60.0))


def name_of(variable: str) -> str:
    """A variable's or an MV's name for people."""
    return MV_NAMES.get(variable, variable.replace("_", " "))


def number(value: float, unit: str) -> str:
    """A value with its unit."""
    return f"{value:.4g} {unit}".rstrip()


def why(
    mv: str,
    plan: Plan,
    forecast: Forecast | None,
    estimate: Estimate | None,
    targets: Targets,
    config: AdviceConfig,
) -> tuple[str, tuple[Effect, ...]]:
    """What drives the move of ``mv``, and its expected effects, the driving variable's first."""
    if forecast is None:
        return f"{plan.reached_by}: there is no forecast to explain the move", ()
    variables = [v for v in ACTS_ON.get(mv, ()) if v in forecast.series]
    courses = [c for v in variables if (c := _course(v, plan, forecast, estimate, targets, config))]
    courses.sort(key=lambda c: (c.off, c.gain), reverse=True)
    when = {c.variable: c.later_s if c.off else config.effect_s for c in courses}
    when |= {v: config.effect_s for v in variables if v not in when}
    effects = tuple(_effect(v, forecast, estimate, s) for v, s in when.items())
    if not courses:
        return "part of the plan for the other variables", effects
    return _reason(courses[0]), effects


def _course(
    variable: str,
    plan: Plan,
    forecast: Forecast,
    estimate: Estimate | None,
    targets: Targets,
    config: AdviceConfig,
) -> _Course | None:
    wanted, share = _wanted(variable, plan, targets), config.tolerances.share(variable)
    if wanted is None or share is None or variable in targets.out:
        return None
    free, planned, _ = forecast.series[variable]
    tolerance = share * abs(wanted)
    off, left = free - wanted, planned - wanted
    helped = off * off - left * left
    k = _at(forecast, config.effect_s)
    if helped[k] < _MUCH * np.max(helped):
        k = int(np.argmax(helped))
    return _Course(
        variable=variable,
        wanted=wanted,
        tolerance=tolerance,
        now=_now(variable, estimate, float(free[0])),
        later=float(free[k]),
        later_s=float(forecast.times[k]),
        gain=float(np.mean(helped)) / tolerance**2,
    )


def _wanted(variable: str, plan: Plan, targets: Targets) -> float | None:
    """What the plan aims at: its steady state where it has one, else the operator's set point."""
    if plan.target is not None and variable in plan.target.set_points:
        return plan.target.set_points[variable]
    return targets.set_points.get(variable)


def _now(variable: str, estimate: Estimate | None, otherwise: float) -> float:
    held = None if estimate is None else estimate.quality.get(variable)
    return otherwise if held is None else held.mean


def _reason(c: _Course) -> str:
    unit = UNITS_OF[c.variable]
    factor = UNITS[unit].factor
    target, name = number(c.wanted / factor, unit), name_of(c.variable)
    off, later = c.now - c.wanted, c.later - c.wanted
    if c.off:
        side = "above" if later > 0.0 else "below"
        if abs(off) >= c.tolerance and off * later > 0.0:
            by = number(abs(off) / factor, unit)
            return f"{name} is {c.now / factor:.4g}, {by} {side} its target {target}"
        return (
            f"{name} is forecast to be {c.later / factor:.4g} in {_minutes(c.later_s)} min, "
            f"{side} its target {target}"
        )
    return f"a correction: {name} is to stay at its target {target}"


def _at(forecast: Forecast, after_s: float) -> int:
    """Index of a time ahead in a forecast, or of its end."""
    return min(int(np.searchsorted(forecast.times, after_s - 1e-6)), forecast.times.size - 1)


def _effect(variable: str, forecast: Forecast, estimate: Estimate | None, after_s: float) -> Effect:
    free, planned, half = forecast.series[variable]
    k = _at(forecast, after_s)
    unit = UNITS_OF.get(variable, "")
    factor = UNITS[unit].factor
    return Effect(
        variable=variable,
        unit=unit,
        now=_now(variable, estimate, float(free[0])) / factor,
        after_s=float(forecast.times[k]),
        free=float(free[k]) / factor,
        planned=float(planned[k]) / factor,
        half_width=float(half[k]) / factor if isfinite(half[k]) else None,
    )


def limits_in_use(plan: Plan, validated: Validated, table: SignalTable) -> tuple[str, ...]:
    """What stands in the way: MVs at an end of their range or lost, refills, targets given up."""
    found = []
    for tag in plan.moves:
        spec, signal = table.mv(tag), table[f"{tag}/ACT"]
        if not validated.available.get(tag, False):
            found.append(f"{name_of(tag)} is not available")
            continue
        now, slack = signal.from_si(validated.actual[tag]), _AT_LIMIT * (spec.hi - spec.lo)
        if now <= spec.lo + slack:
            found.append(f"{name_of(tag)} is at its lower limit {number(spec.lo, spec.unit)}")
        elif now >= spec.hi - slack:
            found.append(f"{name_of(tag)} is at its upper limit {number(spec.hi, spec.unit)}")
    for i, phase in enumerate(validated.refills, start=1):
        if phase in _FROZEN:
            found.append(f"feeder {i} is refilled: its rate is frozen")
    if plan.target is None:
        return (*found, *(_plain(v) for v in plan.solver_verdicts if v.startswith("target: ")))
    return (*found, *(told(r) for r in plan.target.relaxed))


def told(relaxation: Relaxation) -> str:
    """A target that cannot be met, for people."""
    unit = UNITS_OF.get(relaxation.variable, "")
    factor = UNITS[unit].factor
    text = (
        f"{name_of(relaxation.variable)} can only reach {relaxation.reached / factor:.4g} of "
        f"{number(relaxation.wanted / factor, unit)}"
    )
    because = ", ".join(_plain(b) for b in relaxation.because)
    return f"{text}: {because}" if because else text


def _plain(text: str) -> str:
    for tag, name in MV_NAMES.items():
        text = text.replace(tag, name)
    return text.replace("_", " ")
