"""Set points of the controlled variables: where they start, and how an operator changes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from controller.config import SupervisionConfig
from controller.data import CV, Targets
from controller.supervision.roles import Action, refusal, share_of
from plant_models.line import KG_H, ResolvedLine, nominal_flow
from plant_models.signals import MV

__all__ = ["TargetAnswer", "TargetRequest", "handle_target_requests", "product_targets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """An operator sets the target of one controlled variable, in SI."""

    variable: str
    value: float
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAnswer:
    """What became of a request."""

    request: TargetRequest
    accepted: bool
    text: str


def product_targets(line: ResolvedLine) -> Targets:
    """Set points of the product, SI."""
    return Targets(
        set_points={
            CV.POTENCY.value: 1.0,
            CV.TABLET_WEIGHT.value: line.product.weight_mg * 1e-6,
            CV.TENSILE_STRENGTH.value: line.product.tensile_strength_mpa * 1e6,
            CV.THROUGHPUT.value: nominal_flow(line),
        }
    )


def handle_target_requests(
    targets: Targets,
    requests: tuple[TargetRequest, ...],
    line: ResolvedLine,
    config: SupervisionConfig,
) -> tuple[Targets, tuple[TargetAnswer, ...]]:
    """Targets after the operators' requests, and an answer to each.

    A target must lie within the product's specification, that of the throughput within the range
    of the total feed; of both a role may have only a share around the product's own target.
    """
    points = dict(targets.set_points)
    answers = []
    for r in requests:
        problem = refusal(Action.SET_TARGET, r.user, r.role, r.reason, config)
        problem = problem or _misfit(r, points, line, share_of(r.role, config))
        if not problem:
            points[r.variable] = r.value
        answers.append(
            TargetAnswer(
                request=r,
                accepted=not problem,
                text=problem or f"{r.variable} has a new target",
            )
        )
    if points == targets.set_points:
        return targets, tuple(answers)
    return replace(targets, set_points=points), tuple(answers)


def _misfit(r: TargetRequest, points: dict[str, float], line: ResolvedLine, share: float) -> str:
    if r.variable not in points:
        return f"{r.variable} has no target; there are {', '.join(sorted(points))}"
    lo, hi = _limits(line).get(r.variable, (-math.inf, math.inf))
    if share < 1.0:
        middle = product_targets(line).set_points[r.variable]
        lo, hi = middle - share * (middle - lo), middle + share * (hi - middle)
    if not lo <= r.value <= hi:
        return f"{r.variable} must lie in {lo:.6g}..{hi:.6g} (SI), not {r.value:.6g}"
    return ""


def _limits(line: ResolvedLine) -> dict[str, tuple[float, float]]:
    p = line.product
    feed = next(m for m in line.line.manipulated if m.tag == MV.TOTAL_FEED)
    bands = {
        CV.POTENCY: (p.assay_limits_percent.lo, p.assay_limits_percent.hi, 0.01),
        CV.TABLET_WEIGHT: (p.weight_limits_mg.lo, p.weight_limits_mg.hi, 1e-6),
        CV.TENSILE_STRENGTH: (
            p.tensile_strength_limits_mpa.lo,
            p.tensile_strength_limits_mpa.hi,
            1e6,
        ),
        CV.THROUGHPUT: (feed.lo, feed.hi, KG_H),
    }
    return {str(cv): (lo * unit, hi * unit) for cv, (lo, hi, unit) in bands.items()}
