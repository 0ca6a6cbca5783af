"""From configuration to SI: the one place where the line's plant units are converted.

`ResolvedLine` is a line with everything it refers to; the functions below turn its parts into the
parameter objects of the unit operations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from plant_models.blender import BlenderParameters, hold_up_at
from plant_models.chute import ChuteParameters
from plant_models.config import (
    FeederConfig,
    LineConfig,
    MaterialConfig,
    ProductConfig,
)
from plant_models.feed_frame import FeedFrameParameters
from plant_models.feeder import FeederParameters
from plant_models.quality import StrengthParameters
from plant_models.regulatory import ForceLoop, GravimetricLoop, LevelLoop
from plant_models.tablet_press import Compaction, PressParameters

__all__ = [
    "ResolvedLine",
    "blender_parameters",
    "chute_parameters",
    "compaction",
    "feeder_parameters",
    "force_loop",
    "frame_parameters",
    "gravimetric_loops",
    "level_loop",
    "nominal_extent",
    "nominal_flow",
    "press_parameters",
    "recipe_fractions",
    "strength",
]

KG_H = 1.0 / 3600.0
RPM = 1.0 / 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLine:
    """A line with its product, the blend being pressed and the component of each feeder."""

    line: LineConfig
    product: ProductConfig
    blend: MaterialConfig
    components: tuple[MaterialConfig, ...]

    def __post_init__(self) -> None:
        if len(self.components) != len(self.line.feeders):
            raise ValueError("one component per feeder is needed")
        if self.blend.compaction is None or self.blend.strength is None:
            raise ValueError(f"blend {self.blend.name!r} needs 'compaction' and 'strength'")

    def digest(self) -> str:
        """Short hash of everything that describes the line."""
        parts = (self.line, self.product, self.blend, *self.components)
        text = "\n".join(p.model_dump_json(by_alias=True) for p in parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def feeder_index(self, role: str) -> int:
        """Position of the first feeder with ``role``; raises ``KeyError`` if there is none."""
        for i, feeder in enumerate(self.line.feeders):
            if feeder.role == role:
                return i
        raise KeyError(f"the line has no feeder with role {role!r}")


def recipe_fractions(r: ResolvedLine) -> tuple[float, ...]:
    """Mass fraction of each feeder at the recipe; the filler is the balance."""
    fractions: list[float | None] = []
    for feeder in r.line.feeders:
        if feeder.role == "api":
            fractions.append(r.product.api_percent / 100.0)
        elif feeder.role == "lubricant":
            fractions.append(r.product.lubricant_percent / 100.0)
        elif feeder.role == "excipient":
            fractions.append((feeder.share_percent or 0.0) / 100.0)
        else:
            fractions.append(None)
    rest = 1.0 - sum(x for x in fractions if x is not None)
    return tuple(rest if x is None else x for x in fractions)


def feeder_parameters(feeder: FeederConfig) -> FeederParameters:
    """Parameters of one feeder in SI."""
    return FeederParameters(
        ff_min=feeder.feed_factor_min_g_rev * 1e-3,
        ff_max=feeder.feed_factor_max_g_rev * 1e-3,
        beta=feeder.fill_sensitivity_per_kg,
        capacity=feeder.hopper_kg,
        tau_screw=feeder.screw_time_constant_s,
        overfeed=feeder.overfeed_percent / 100.0,
        tau_overfeed=feeder.overfeed_decay_s,
        speed_max=feeder.screw_speed_max_rpm * RPM,
    )


def blender_parameters(r: ResolvedLine) -> BlenderParameters:
    """Parameters of the blender in SI."""
    b = r.line.blender
    return BlenderParameters(
        hold_up_0=b.dead_hold_up_kg,
        rate_0=b.discharge_rate_per_s,
        speed_0=b.nominal_speed_rpm * RPM,
        alpha=b.speed_exponent,
        tanks=b.tanks,
    )


def chute_parameters(r: ResolvedLine) -> ChuteParameters:
    """Parameters of the chute in SI; capacity is meant at the blend's nominal bulk density."""
    c = r.line.chute
    return ChuteParameters(volume=c.capacity_kg / r.blend.bulk_density_kg_m3, nodes=c.nodes)


def frame_parameters(r: ResolvedLine) -> FeedFrameParameters:
    """Parameters of the feed frame in SI."""
    f = r.line.feed_frame
    return FeedFrameParameters(hold_up=f.hold_up_kg, paddle_speed=f.paddle_speed_rpm * RPM)


def nominal_flow(r: ResolvedLine) -> float:
    """Throughput at the product's set point [kg/s]."""
    return r.product.throughput_kg_h * KG_H


def nominal_extent(r: ResolvedLine) -> float:
    """Lubrication extent [rev] of the tablets at the nominal point: blender, then frame."""
    flow = nominal_flow(r)
    blender = blender_parameters(r)
    frame = frame_parameters(r)
    in_blender = hold_up_at(blender, flow, blender.speed_0) / flow * blender.speed_0
    return float(in_blender + frame.hold_up / flow * frame.paddle_speed)


def press_parameters(r: ResolvedLine) -> PressParameters:
    """Parameters of press and tooling in SI."""
    p = r.line.press
    weight = r.product.weight_mg * 1e-6
    return PressParameters(
        die_area=r.product.die_area_mm2 * 1e-6,
        diameter=r.product.diameter_mm * 1e-3,
        stations=r.product.stations,
        compliance=p.compliance_um_per_kn * 1e-9,
        pre_thickness=p.pre_thickness_mm * 1e-3,
        recovery=p.recovery_percent / 100.0,
        critical_speed=p.critical_turret_speed_rpm * RPM,
        paddle_speed=r.line.feed_frame.paddle_speed_rpm * RPM,
        fill_loss=p.fill_loss_percent / 100.0 / RPM**p.fill_loss_exponent,
        fill_loss_power=p.fill_loss_exponent,
        ejection_0=p.ejection_force_n,
        ejection_pressure=p.ejection_pressure_mpa * 1e6,
        ejection_power=p.ejection_exponent,
        ejection_extent=p.ejection_extent_per_rev,
        extent_0=nominal_extent(r),
        speed_ref=nominal_flow(r) / (r.product.stations * weight),
        rate_sensitivity=p.strain_rate_percent_per_decade / 100.0,
    )


def compaction(material: MaterialConfig) -> Compaction:
    """Kawakita constants of a blend in SI; raises ``ValueError`` if it has none."""
    if material.compaction is None:
        raise ValueError(f"material {material.name!r} has no 'compaction'")
    return Compaction(
        a=material.compaction.kawakita_a,
        scale=material.compaction.kawakita_pressure_scale_mpa * 1e6,
        critical_density=material.compaction.initial_density,
        true_density=material.true_density_kg_m3,
    )


def strength(material: MaterialConfig, extent_0: float) -> StrengthParameters:
    """Strength of a blend in SI, 1 at ``extent_0`` [rev]; ``ValueError`` if it has none."""
    if material.strength is None:
        raise ValueError(f"material {material.name!r} has no 'strength'")
    return StrengthParameters(
        sigma_0=material.strength.strength_at_zero_porosity_mpa * 1e6,
        k=material.strength.porosity_exponent,
        beta=material.strength.lubrication_beta,
        gamma=material.strength.lubrication_gamma_per_rev,
        extent_0=extent_0,
    )


def gravimetric_loops(r: ResolvedLine) -> tuple[GravimetricLoop, ...]:
    """The gravimetric loop of each feeder; its period is the window of the flow signal."""
    gain = r.line.regulatory.gravimetric_gain
    return tuple(GravimetricLoop(gain=gain, period=f.flow_window_s) for f in r.line.feeders)


def force_loop(r: ResolvedLine) -> ForceLoop:
    """The weight-force loop in SI."""
    g = r.line.regulatory
    return ForceLoop(
        gain=g.force_loop_gain,
        deadband=g.force_loop_deadband_mm * 1e-3,
        step_min=g.fill_step_min_mm * 1e-3,
        step_max=g.fill_step_max_mm * 1e-3,
    )


def level_loop(r: ResolvedLine) -> LevelLoop:
    """The averaging level loop in SI."""
    return LevelLoop(
        set_point=r.line.chute.nominal_level_percent / 100.0,
        gain=r.line.regulatory.level_gain,
        integral_time=r.line.regulatory.level_integral_s,
    )
