"""Scores of a shift, from what the plant itself logged: tablets, integral errors, zones.

(S1)  m(t) = mean of a per-second value over (t - 60 s, t]          moving mean
(S2)  iae_norm = 100 mean |m - sp| / sp                             over the counted window
(S3)  rmse = sqrt(mean (m - sp)^2)                                  over the counted window
(S4)  tablet out of specification: weight, strength, or the assay of its revolution outside limits
(S5)  floor: (S4) after each value is multiplied by target / m(t);  excess = count - floor
(S6)  coverage_95 = share of cycles with |estimate - truth| <= half-width;
      sharpness = mean half-width / (1.96 rmse)

The moving mean takes away what belongs to the press's own loop and no supervisor can touch; (S5)
keeps exactly that part, scatter and loop jitter, and nothing else. Truth is SI, results are in
plant units (`UNITS`). The counted window begins with the first cycle in closed loop. Moves of the
manipulated variables are scored by `hil.tally` from the command frames that the plant received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.data import CV
from plant_models.config import ProductConfig
from plant_models.units import LABEL_PERCENT, from_si, to_si

__all__ = [
    "CV_UNITS",
    "UNITS",
    "EstimateLog",
    "Specification",
    "TabletLog",
    "TruthLog",
    "nested",
    "out_of_specification",
    "score_estimates",
    "score_tablets",
    "score_truth",
    "specification",
    "trailing_mean",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOVING_MEAN_S = 60
THROUGHPUT_BAND = 0.05  # throughput has no specification; +-5 % of set point, assumed
Z_95 = 1.96

CV_UNITS: dict[str, str] = {
    CV.POTENCY.value: LABEL_PERCENT,
    CV.TABLET_WEIGHT.value: "mg",
    CV.TENSILE_STRENGTH.value: "MPa",
    CV.THROUGHPUT.value: "kg/h",
}
ZONE_UNITS: dict[str, str] = {
    "main_compression_force": "kN",
    "chute_level": "%",
    "tablet_thickness": "mm",
}
UNITS: dict[str, str] = {
    "tablets.*": "1",
    "*.iae_norm": "% of set point",
    **{f"{name}.rmse": unit for name, unit in CV_UNITS.items()},
    **{f"mhe.{name}.rmse": unit for name, unit in CV_UNITS.items()},
    **{f"mhe.{name}.half_width": unit for name, unit in CV_UNITS.items()},
    "mhe.*.coverage_95": "1",
    "mhe.*.sharpness": "1",
    "*.time_out_of_spec_s": "s",
    "*.time_outside_s": "s",
    "max_mv_rate_violation": "share of the rate limit",
    "bump_at_closing": "share of the rate limit",
    "cycle_ms.*": "ms",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TabletLog:
    """Every tablet made, in order: row of the log it was made in, truth in SI, was it released."""

    row: NDArray[np.int64]
    weight: Array
    strength: Array
    assay: Array
    released: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthLog:
    """One row per plant second, SI; NaN where no tablet was made.

    ``potency`` and ``assay`` are shares of the label, ``throughput`` is the powder that left the
    press as tablets [kg/s], ``level`` the filled share of the chute. ``made`` to ``released``
    count tablets.
    """

    time: Array
    weight: Array
    strength: Array
    assay: Array
    potency: Array
    throughput: Array
    main_force: Array
    level: Array
    thickness: Array
    made: NDArray[np.int64]
    rejected: NDArray[np.int64]
    diverted: NDArray[np.int64]
    released: NDArray[np.int64]
    tablets: TabletLog


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateLog:
    """Estimated quality per cycle, SI: ``mean`` and ``half_width`` per CV, ``(cycles,)``."""

    time: Array
    mean: Mapping[str, Array]
    half_width: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """Limits and zones of the product in SI, each ``(lo, hi)``."""

    weight: tuple[float, float]
    strength: tuple[float, float]
    assay: tuple[float, float]
    main_force: tuple[float, float]
    level: tuple[float, float]
    thickness: tuple[float, float]


def specification(product: ProductConfig) -> Specification:
    """Limits and zones of ``product`` in SI."""

    def band(lo: float, hi: float, unit: str) -> tuple[float, float]:
        return to_si(lo, unit), to_si(hi, unit)

    p = product
    return Specification(
        weight=band(p.weight_limits_mg.lo, p.weight_limits_mg.hi, "mg"),
        strength=band(p.tensile_strength_limits_mpa.lo, p.tensile_strength_limits_mpa.hi, "MPa"),
        assay=band(p.assay_limits_percent.lo, p.assay_limits_percent.hi, "%"),
        main_force=band(p.main_force_zone_kn.lo, p.main_force_zone_kn.hi, "kN"),
        level=band(p.level_zone_percent.lo, p.level_zone_percent.hi, "%"),
        thickness=band(p.thickness_zone_mm.lo, p.thickness_zone_mm.hi, "mm"),
    )


def trailing_mean(values: Array, window: int = MOVING_MEAN_S) -> Array:
    """Mean of the last ``window`` rows up to each row, leaving out NaN (S1).

    NaN where the window holds no number.
    """
    known = np.isfinite(values)
    total = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    number = count[end] - count[start]
    mean = np.full(len(values), np.nan)
    np.divide(total[end] - total[start], number, out=mean, where=number > 0)
    return mean


def _outside(values: Array, band: tuple[float, float]) -> Flags:
    """Where ``values`` lie outside ``band``; NaN is not outside."""
    return np.asarray((values < band[0]) | (values > band[1]))


def out_of_specification(
    spec: Specification, weight: Array, strength: Array, assay: Array
) -> Flags:
    """Which tablets are out of specification (S4)."""
    return (
        _outside(weight, spec.weight)
        | _outside(strength, spec.strength)
        | _outside(assay, spec.assay)
    )


def score_tablets(
    truth: TruthLog, spec: Specification, targets: Mapping[str, float], start: float
) -> dict[str, int]:
    """Counts of tablets (S4, S5).

    Parameters
    ----------
    truth
        The plant's log.
    spec
        Limits.
    targets
        Set points in SI of weight and strength by CV name; that of the assay is 1.
    start
        First plant time [s] of the counted window. ``released`` and what follows are counted in
        it, ``made``, ``rejected`` and ``diverted`` over the whole run.
    """
    t = truth.tablets
    counted = truth.time[t.row] >= start
    bad = out_of_specification(spec, t.weight, t.strength, t.assay) & counted
    # NaN (no mean yet) compares as inside; no such row lies in the counted window.
    scale = {
        "weight": targets[CV.TABLET_WEIGHT.value] / trailing_mean(truth.weight),
        "strength": targets[CV.TENSILE_STRENGTH.value] / trailing_mean(truth.strength),
        "assay": 1.0 / trailing_mean(truth.assay),
    }
    on_target = out_of_specification(
        spec,
        t.weight * scale["weight"][t.row],
        t.strength * scale["strength"][t.row],
        t.assay * scale["assay"][t.row],
    )
    floor = int(np.count_nonzero(on_target & counted))  # (S5)
    count = int(np.count_nonzero(bad))
    return {
        "made": int(truth.made.sum()),
        "rejected": int(truth.rejected.sum()),
        "diverted": int(truth.diverted.sum()),
        "released": int(np.count_nonzero(t.released & counted)),
        "released_out_of_spec": int(np.count_nonzero(bad & t.released)),
        "out_of_spec": count,
        "floor": floor,
        "excess": count - floor,
    }


def score_truth(
    truth: TruthLog, spec: Specification, set_points: Mapping[str, Array], start: float
) -> dict[str, dict[str, float]]:
    """Integral errors per CV (S2, S3) and times outside zones, in plant units.

    ``set_points`` maps CV names to ``(seconds,)`` set points in SI. Time out of specification is
    counted on per-second means of tablets, for the throughput on its moving mean.
    """
    counted = truth.time >= start
    series = {
        CV.POTENCY.value: truth.potency,
        CV.TABLET_WEIGHT.value: truth.weight,
        CV.TENSILE_STRENGTH.value: truth.strength,
        CV.THROUGHPUT.value: truth.throughput,
    }
    result: dict[str, dict[str, float]] = {}
    for name, values in series.items():
        sp = set_points[name]
        mean = trailing_mean(values)
        rows = counted & np.isfinite(mean)
        error = mean[rows] - sp[rows]
        if name == CV.THROUGHPUT.value:
            out = np.abs(mean - sp) > THROUGHPUT_BAND * sp
        else:
            limits = {
                CV.POTENCY.value: spec.assay,
                CV.TABLET_WEIGHT.value: spec.weight,
                CV.TENSILE_STRENGTH.value: spec.strength,
            }[name]
            out = _outside(values, limits)
        result[name] = {
            "iae_norm": float(100.0 * np.mean(np.abs(error) / sp[rows])),  # (S2)
            "rmse": from_si(float(np.sqrt(np.mean(error**2))), CV_UNITS[name]),  # (S3)
            "time_out_of_spec_s": float(np.count_nonzero(out & counted)),
        }
    for name, values, zone in (
        ("main_compression_force", truth.main_force, spec.main_force),
        ("chute_level", truth.level, spec.level),
        ("tablet_thickness", truth.thickness, spec.thickness),
    ):
        outside = np.count_nonzero(_outside(values, zone) & counted)
        result[name] = {"time_outside_s": float(outside)}
    return result


def score_estimates(
    truth: TruthLog,
    estimates: EstimateLog,
    period: float,
    start: float,
    end: float = np.inf,
    names: Sequence[str] = tuple(CV_UNITS),
) -> dict[str, dict[str, float]]:
    """Estimates against the mean of the tablets made in their cycle (S6).

    Cycles with time in ``[start, end)`` count; the tablets of a cycle at ``t`` are those of
    ``(t - period, t]``. Empty where no cycle has an estimate.
    """
    series: dict[str, Array] = {
        CV.POTENCY.value: truth.potency,
        CV.TABLET_WEIGHT.value: truth.weight,
        CV.TENSILE_STRENGTH.value: truth.strength,
        CV.THROUGHPUT.value: truth.throughput,
    }
    result: dict[str, dict[str, float]] = {}
    chosen = (estimates.time >= start) & (estimates.time < end)
    rows = np.searchsorted(truth.time, estimates.time[chosen] + 1e-6) - 1
    for name in names:
        if name not in estimates.mean:
            continue
        actual = trailing_mean(series[name], round(period))[rows]
        mean, half = estimates.mean[name][chosen], estimates.half_width[name][chosen]
        known = np.isfinite(actual) & np.isfinite(mean) & (rows >= 0)
        if not known.any():
            continue
        error = mean[known] - actual[known]
        rmse = float(np.sqrt(np.mean(error**2)))
        width = float(np.mean(half[known]))
        unit = CV_UNITS[name]
        result[name] = {
            "rmse": from_si(rmse, unit),
            "coverage_95": float(np.mean(np.abs(error) <= half[known])),
            "half_width": from_si(width, unit),
            "sharpness": width / (Z_95 * rmse) if rmse > 0.0 else 0.0,
        }
    return result


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into nested mappings."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree
