"""A truth under constant drives: what the tests of the stand-in start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hil.config import ScenarioConfig, TruthConfig
from hil.truth import Drives, Truth, TruthOut
from plant_models.feeder import feed_factor
from plant_models.line import (
    ResolvedLine,
    feeder_parameters,
    nominal_flow,
    recipe_fractions,
)
from tools.configuration import load_line, load_scenario

ROOT = Path(__file__).resolve().parents[2]


def line() -> ResolvedLine:
    return load_line(ROOT / "configs/lines/reference.yaml")


def scenario(name: str = "calm") -> ScenarioConfig:
    return load_scenario(ROOT / f"configs/scenarios/{name}.yaml")


def changed(config: Any, **changes: Any) -> Any:
    """A configuration with some fields replaced; nested ones by ``section={...}``."""
    values = {
        name: changed(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return config.model_copy(update=values)


def quiet(truth: TruthConfig) -> TruthConfig:
    """No scatter, no noise, no faults; the constant mismatch stays."""
    return changed(
        truth,
        feeding={"drift_percent": 0.0, "dips_per_h": 0.0, "wear_percent_per_h": 0.0},
        press={
            "weight_rsd_percent": 0.0,
            "tooling_force_percent": 0.0,
            "density_fast_percent": 0.0,
            "density_slow_percent": 0.0,
        },
        instruments={
            "weight_disturbances_per_h": 0.0,
            "weight_spikes_per_h": 0.0,
            "level_spikes_per_h": 0.0,
            "nir_outlier_percent": 0.0,
            "lab_missing_percent": 0.0,
        },
    )


def exact(truth: TruthConfig) -> TruthConfig:
    """As `quiet`, and the plant is the configured line."""
    zero = {"nominal": 0.0}
    roles = {"api": zero, "filler": zero, "lubricant": zero}
    return changed(
        quiet(truth),
        mismatch_mode="nominal",
        mismatch={
            "bulk_density_percent": zero,
            "pressure_scale_percent": zero,
            "strength_percent": zero,
            "feed_factor_percent": roles,
            "blender_peclet_percent": zero,
            "blender_hold_up_percent": zero,
            "load_cell_span_percent": roles,
            "nir_bias_percent": zero,
            "nir_delay_s": zero,
            "nir_drift_percent_per_h": zero,
            "compliance_percent": zero,
        },
        press={"backlash_um": 0.0, "strain_rate_percent_per_decade": 0.0},
    )


def noiseless_line() -> ResolvedLine:
    """The reference line whose feeders deliver without noise."""
    r = line()
    feeders = tuple(changed(f, flow_noise_percent=0.0) for f in r.line.feeders)
    return replace(r, line=changed(r.line, feeders=feeders))


def drives(r: ResolvedLine, **changes: Any) -> Drives:
    """Set points of the reference point; screws as the configured feed factors at start want."""
    flow, speeds = nominal_flow(r), []
    for feeder, share in zip(r.line.feeders, recipe_fractions(r), strict=True):
        content = feeder.hopper_kg * feeder.hopper_start_percent / 100.0
        speeds.append(flow * share / float(feed_factor(feeder_parameters(feeder), content)))
    n = len(speeds)
    base = Drives(
        screw_speed=tuple(speeds),
        refill=(False,) * n,
        hold_flow=(False,) * n,
        blender_speed=r.line.blender.nominal_speed_rpm / 60.0,
        paddle_speed=r.line.feed_frame.paddle_speed_rpm / 60.0,
        turret_speed=46.3 / 60.0,
        fill_depth=8.29e-3,
        thickness=3.084e-3,
        pre_thickness=3.80e-3,
    )
    return replace(base, **changes)


def run(truth: Truth, setting: Drives, seconds: int, start: int = 0) -> list[TruthOut]:
    return [truth.step(setting, start + s) for s in range(seconds)]
