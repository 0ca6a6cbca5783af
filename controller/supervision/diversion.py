"""When tablets are diverted: a lost instrument, or an estimate outside the specification.

The controller may ask for diversion, never for collection: the plant decides when tablets are good
again. `decide_diversion` is a pure function; its answer goes out with the command frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.data import CV, Estimate
from controller.ladder_config import DiversionConfig
from controller.supervision.ladder import LadderReport
from plant_models.config import ProductConfig

__all__ = ["Diversion", "DiversionState", "decide_diversion", "quality_limits"]

ASSAY = "assay"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversionState:
    """Cycles in a row outside and inside the limits; whether the estimate diverts."""

    outside: int = 0
    inside: int = 0
    diverting: bool = False


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
    reasons = [f"{loss.instrument} is lost" for loss in ladder.lost] if ladder.divert else []
    if not config.enabled or estimate is None:
        return state, Diversion(divert=ladder.divert, reasons=tuple(reasons))
    beyond = _beyond(estimate, limits, label_weight, config, config.scatter_margin)
    wider = config.scatter_margin + config.return_margin
    near = _beyond(estimate, limits, label_weight, config, wider) if state.diverting else beyond
    outside = min(state.outside + 1, config.after_cycles) if beyond else 0
    inside = 0 if near else min(state.inside + 1, config.return_cycles)
    diverting = outside >= config.after_cycles or (
        state.diverting and inside < config.return_cycles
    )
    if diverting:
        reasons += beyond or ["was outside, not yet long enough inside"]
    return (
        DiversionState(outside=outside, inside=inside, diverting=diverting),
        Diversion(divert=ladder.divert or diverting, reasons=tuple(reasons)),
    )


def _beyond(
    estimate: Estimate,
    limits: Mapping[str, tuple[float, float]],
    label_weight: float,
    config: DiversionConfig,
    margin: float,
) -> list[str]:
    """What lies within ``margin`` standard deviations of single tablets of a limit, or beyond."""
    weight = estimate.quality.get(CV.TABLET_WEIGHT)
    strength = estimate.quality.get(CV.TENSILE_STRENGTH)
    potency = estimate.quality.get(CV.POTENCY)
    means: dict[str, tuple[float, float]] = {}
    if weight is not None:
        means[CV.TABLET_WEIGHT] = (weight.mean, config.weight_scatter_percent)
    if strength is not None:
        means[CV.TENSILE_STRENGTH] = (strength.mean, config.strength_scatter_percent)
    if potency is not None and weight is not None:
        assay = potency.mean * weight.mean / label_weight
        means[ASSAY] = (assay, config.assay_scatter_percent)
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
