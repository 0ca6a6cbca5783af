"""What the twin expects an instrument to read, from the estimate of the cycle before."""

from __future__ import annotations

from math import hypot, isfinite

from controller.data import CV, Estimate

__all__ = ["expected_readings"]

_LEVEL, _NIR = "Line/Chute/Level/PV", "Line/FeedFrame/Potency/PV"
_LEVEL_NOISE, _NIR_NOISE = 0.01, 0.02  # data sheets: share of the chute, share of label
_TWO_SIDED_95 = 1.96


def expected_readings(estimate: Estimate | None) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (SI, noise included) by tag; empty without a sound estimate.

    The NIR's own bias, where the estimate has it, belongs to what it is expected to read.
    """
    if estimate is None or not estimate.converged:
        return {}
    found: dict[str, tuple[float, float]] = {}
    level = estimate.quality.get("chute_level")
    if level is not None:
        found[_LEVEL] = (level.mean, hypot(level.half_width / _TWO_SIDED_95, _LEVEL_NOISE))
    potency = estimate.quality.get(CV.POTENCY)
    if potency is not None:
        bias = 0.0
        if "potency_bias" in estimate.names:
            bias = float(estimate.mean[estimate.names.index("potency_bias")])
        sd = hypot(potency.half_width / _TWO_SIDED_95, _NIR_NOISE)
        found[_NIR] = (potency.mean + bias, sd)
    return {tag: (m, sd) for tag, (m, sd) in found.items() if isfinite(m) and isfinite(sd)}
