"""Noise levels of the window, and what its solution says about the tablets being made."""

from __future__ import annotations

from math import sqrt

import numpy as np

from controller.config import EstimationConfig
from controller.data import CV, Array, Interval
from controller.estimation.mhe import MheProblem, MheSolution, MheTuning
from controller.estimation.window import MEASURED, STRENGTH_EXPONENT
from controller.twin.compiled import Rollout
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.line import ResolvedLine

__all__ = ["inflation", "quality_now", "tuning"]


def inflation(misfit: Array) -> float:
    """Factor on the estimate's covariance, from the mean squares of the normalised surprises."""
    columns = [MEASURED.index("level"), MEASURED.index("pre_to_main")]
    return float(np.clip(np.max(misfit[columns]), 1.0, 4.0))


def quality_now(
    problem: MheProblem,
    one_stage: Rollout,
    config: EstimationConfig,
    solution: MheSolution,
    inputs: Array,
    misfit: Array,
) -> dict[str, Interval]:
    """Mean and 95 % half-width of quality and zone variables at the window's end, SI.

    The covariance of the estimate is widened by ``misfit`` (mean squares of the normalised
    surprises, by column) and by the scatter of one cycle's tablets around their expectation.
    """
    before = solution.x[:, -2] if solution.x.shape[1] > 1 else solution.x0
    out = one_stage(before, solution.p[:, -1:], inputs[:, None])
    count = len(PARAMETERS) - 1
    h = np.hstack((out.hx[:, problem.free, 0], out.hp[:, :count, 0]))
    y = dict(zip(OUTPUTS, (float(v) for v in out.y[:, 0]), strict=True))
    variance = np.maximum(np.einsum("ij,jk,ik->i", h, solution.cov, h), 0.0)
    sd = dict(zip(OUTPUTS, np.sqrt(variance * inflation(misfit)), strict=True))
    weight, strength = float(np.exp(y["log_weight"])), float(np.exp(y["log_strength"]))
    weight_sd = sqrt(sd["log_weight"] ** 2 + config.jitter**2)
    strength_sd = sqrt(sd["log_strength"] ** 2 + (STRENGTH_EXPONENT * config.jitter) ** 2)
    flow_sd = sqrt(weight_sd**2 + config.count_jitter**2)

    def interval(mean: float, deviation: float) -> Interval:
        return Interval(mean, 1.96 * float(deviation))

    return {
        CV.POTENCY: interval(y["potency"], sd["potency"]),
        CV.TABLET_WEIGHT: interval(weight, weight * weight_sd),
        CV.TENSILE_STRENGTH: interval(strength, strength * strength_sd),
        CV.THROUGHPUT: interval(y["throughput"], y["throughput"] * flow_sd),
        "chute_level": interval(y["level"], sd["level"]),
        "tablet_thickness": interval(y["thickness"], sd["thickness"]),
        "main_compression_force": interval(float(np.exp(y["log_main_force"])), 0.0),
        "ejection_force": interval(y["ejection_force"], sd["ejection_force"]),
        "lubricant_fraction": interval(y["lubricant"], y["lubricant"] * config.lubricant_sd),
    }


def tuning(config: EstimationConfig, resolved: ResolvedLine) -> MheTuning:
    """Noise levels and bounds of the window from configuration and data sheets."""
    count = len(PARAMETERS)
    walk, lo, hi = np.zeros(count), np.full(count, -1e3), np.full(count, 1e3)
    for name, value in config.walk:
        walk[PARAMETERS.index(name)] = value
    for name, limit in config.bounds:
        lo[PARAMETERS.index(name)], hi[PARAMETERS.index(name)] = -limit, limit
    noise = resolved.line.instruments
    sigma = {
        "level": noise.level_noise_percent / 100.0,
        "pre_to_main": config.force_ratio_sd,
        "press": config.fill_sd,
        "potency": noise.potency_noise_percent / 100.0,
        "lab_weight": config.lab_weight_sd,
        "lab_strength": config.lab_strength_sd,
        "lab_thickness": config.lab_thickness_sd_um * 1e-6,
    }
    return MheTuning(
        sigma=np.array([sigma[n] for n in MEASURED]),
        walk=walk,
        inflow=config.inflow_sd_g * 1e-3,
        dof_measured=config.dof_measured,
        dof_walk=config.dof_walk,
        lo=lo,
        hi=hi,
    )
