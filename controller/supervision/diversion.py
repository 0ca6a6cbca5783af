"""When tablets are diverted: a lost instrument, or an estimate outside the specification.

The controller may ask for diversion, never for collection: the plant decides when tablets are good
again. `decide_diversion` is a pure function; its answer goes out with the command frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.data import CV, Estimate
from controller.ladder_config import DiversionConfig
from controller.supervision.ladder import LadderReport
from controller.supervision.loss_table import LOSS_LADDER, Divert
from plant_models.config import ProductConfig

__all__ = ["Diversion", "DiversionState", "decide_diversion", "quality_limits"]

ASSAY = "assay"
_LONGEST_STEP_S = 60.0
_FOLLOW = 0.4
_BELIEVED = 24  # cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversionState:
    """Cycles in a row outside and inside the limits; whether the estimate diverts.

    ``doubtful`` counts cycles since the estimator was converged: it is heard for a while longer.
    ``assay`` [-] is the one estimated last, at ``time`` [s, UTC]; ``pace`` [1/s] its change.
    """

    outside: int = 0
    inside: int = 0
    diverting: bool = False
    doubtful: int = _BELIEVED
    assay: float | None = None
    time: float = 0.0
    pace: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversion:
    """Whether to ask for diversion, and why."""

    divert: bool
    reasons: tuple[str, ...] = ()


def quality_limits(product: ProductConfig) -> dict[str, tuple[float, float]]:
    """Limits of single tablets (weight, strength) and of the assay, SI or share of label."""
    w, s, a = (
        product.weight_limits_mg,
        product.tensile_strength_limits_mpa,
        product.assay_limits_percent,
    )
    return {
        CV.TABLET_WEIGHT: (w.lo * 1e-6, w.hi * 1e-6),
        CV.TENSILE_STRENGTH: (s.lo * 1e6, s.hi * 1e6),
        ASSAY: (a.lo * 1e-2, a.hi * 1e-2),
    }


def decide_diversion(
    state: DiversionState,
    ladder: LadderReport,
    estimate: Estimate | None,
    limits: Mapping[str, tuple[float, float]],
    label_weight: float,
    config: DiversionConfig,
) -> tuple[DiversionState, Diversion]:
    """One cycle.

    Parameters
    ----------
    state
        After the cycle before.
    ladder
        Report of the loss ladder.
    estimate
        Of this cycle; None says nothing, and changes nothing.
    limits
        As `quality_limits` gives them.
    label_weight
        Weight of a tablet as labelled [kg]: the assay is the potency times weight over it.
    config
        Margins and times.

    Returns
    -------
    Next state, and the decision.
    """
    rows = {row.name: row for row in LOSS_LADDER}
    reasons = [
        f"{loss.instrument} is lost"
        for loss in ladder.lost
        if rows[loss.name].divert is Divert.AT_ONCE
        or (loss.expired and rows[loss.name].divert is Divert.AT_EXPIRY)
    ]
    if not config.enabled or estimate is None:
        return state, Diversion(divert=ladder.divert, reasons=tuple(reasons))
    state = _paced(state, estimate, label_weight)
    doubtful = 0 if estimate.converged else min(state.doubtful + 1, _BELIEVED)
    state = replace(state, doubtful=doubtful)
    if doubtful >= _BELIEVED and not state.diverting:
        return replace(state, pace=0.0), Diversion(divert=ladder.divert, reasons=tuple(reasons))
    ahead = config.assay_ahead_s * state.pace
    beyond = _beyond(estimate, limits, label_weight, config, config.scatter_margin, ahead)
    wider = config.scatter_margin + config.return_margin
    near = beyond
    if state.diverting:
        near = _beyond(estimate, limits, label_weight, config, wider, ahead)
    outside = min(state.outside + 1, config.after_cycles) if beyond else 0
    inside = 0 if near else min(state.inside + 1, config.return_cycles)
    diverting = outside >= config.after_cycles or (
        state.diverting and inside < config.return_cycles
    )
    if diverting:
        reasons += beyond or ["was outside, not yet long enough inside"]
    return (
        replace(state, outside=outside, inside=inside, diverting=diverting),
        Diversion(divert=ladder.divert or diverting, reasons=tuple(reasons)),
    )


def _assay(estimate: Estimate, label_weight: float) -> float | None:
    weight, potency = estimate.quality.get(CV.TABLET_WEIGHT), estimate.quality.get(CV.POTENCY)
    if weight is None or potency is None:
        return None
    return potency.mean * weight.mean / label_weight


def _paced(state: DiversionState, estimate: Estimate, label_weight: float) -> DiversionState:
    """How fast the assay changes, over about three cycles."""
    assay, step = _assay(estimate, label_weight), estimate.time - state.time
    if assay is None or state.assay is None or not 0.0 < step <= _LONGEST_STEP_S:
        return replace(state, assay=assay, time=estimate.time, pace=0.0)
    pace = (assay - state.assay) / step
    return replace(
        state, assay=assay, time=estimate.time, pace=state.pace + _FOLLOW * (pace - state.pace)
    )


def _beyond(
    estimate: Estimate,
    limits: Mapping[str, tuple[float, float]],
    label_weight: float,
    config: DiversionConfig,
    margin: float,
    ahead: float,
) -> list[str]:
    """What lies within ``margin`` standard deviations of single tablets of a limit, or beyond it.

    ``ahead`` is how far the assay will have moved when what is decided now takes effect.
    """
    weight = estimate.quality.get(CV.TABLET_WEIGHT)
    strength = estimate.quality.get(CV.TENSILE_STRENGTH)
    means: dict[str, tuple[float, float]] = {}
    if weight is not None:
        means[CV.TABLET_WEIGHT] = (weight.mean, config.weight_scatter_percent)
    if strength is not None:
        means[CV.TENSILE_STRENGTH] = (strength.mean, config.strength_scatter_percent)
    assay = _assay(estimate, label_weight)
    if assay is not None:
        means[ASSAY] = (assay + ahead, config.assay_scatter_percent)
    found = []
    for name, (mean, scatter) in means.items():
        if name not in limits:
            continue
        lo, hi = limits[name]
        slack = margin * scatter / 100.0 * mean
        if not lo + slack <= mean <= hi - slack:
            share = 100.0 * (2.0 * mean - lo - hi) / (hi - lo)
            found.append(f"estimated {name} {share:+.0f} % of the way from target to its limit")
    return found
