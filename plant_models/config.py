"""Configuration of materials, product and line: frozen, checked, units in the names.

Models only; whoever reads the YAML files resolves references and passes plain mappings in. Values
are in plant units, named by their suffix; `plant_models.line` turns them into SI once.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "BlenderConfig",
    "ChuteConfig",
    "CompactionConfig",
    "FeedFrameConfig",
    "FeederConfig",
    "InstrumentConfig",
    "LineConfig",
    "ManipulatedConfig",
    "MaterialConfig",
    "PlcConfig",
    "PressConfig",
    "ProductConfig",
    "RegulatoryConfig",
    "StrengthConfig",
    "StrictModel",
    "ZoneConfig",
]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]


class StrictModel(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(low: float, high: float, what: str) -> None:
    if not low < high:
        raise ValueError(f"{what}: the lower value {low:g} must be below the upper {high:g}")


class CompactionConfig(StrictModel):
    """Kawakita constants of a blend; `initial_density` is its relative density at P = 0."""

    kawakita_a: Annotated[float, Field(gt=0.0, lt=1.0)]
    kawakita_pressure_scale_mpa: Positive
    initial_density: Annotated[float, Field(gt=0.0, lt=1.0)]
    heckel_yield_pressure_mpa: Positive | None = None
    heckel_intercept: Number | None = None

    @model_validator(mode="after")
    def _packs(self) -> Self:
        if (
            self.initial_density >= 1.0 - 1e-9
            or self.kawakita_a <= 1.0 - self.initial_density - 0.2
        ):
            raise ValueError(
                "compaction: kawakita_a must be close to or above 1 - initial_density, else the "
                "powder could never be compacted to tablet density"
            )
        return self


class StrengthConfig(StrictModel):
    """Ryshkewitch strength and its loss by lubrication."""

    strength_at_zero_porosity_mpa: Positive
    porosity_exponent: Positive
    lubrication_beta: Fraction = 0.0
    lubrication_gamma_per_rev: NonNegative = 0.0


class MaterialConfig(StrictModel):
    """A component or a blend."""

    kind: Literal["material"]
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    true_density_kg_m3: Annotated[float, Field(gt=100.0, lt=10_000.0)]
    bulk_density_kg_m3: Annotated[float, Field(gt=50.0, lt=5_000.0)]
    compaction: CompactionConfig | None = None
    strength: StrengthConfig | None = None

    @model_validator(mode="after")
    def _looser_than_solid(self) -> Self:
        _ordered(self.bulk_density_kg_m3, self.true_density_kg_m3, "bulk and true density (kg/m3)")
        return self


class ZoneConfig(StrictModel):
    """A band in which a variable may float."""

    lo: Number
    hi: Number

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        _ordered(self.lo, self.hi, "zone")
        return self


class ProductConfig(StrictModel):
    """What is made: recipe, tooling, set points, specifications and zones."""

    kind: Literal["product"]
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    recipe_id: str = Field(min_length=1)
    blend: str
    api_percent: Annotated[float, Field(gt=0.0, lt=100.0)]
    lubricant_percent: Annotated[float, Field(ge=0.0, lt=20.0)]
    die_area_mm2: Positive
    diameter_mm: Positive
    stations: Annotated[int, Field(ge=1, le=120)]
    weight_mg: Positive
    tensile_strength_mpa: Positive
    throughput_kg_h: Positive
    weight_limits_mg: ZoneConfig
    tensile_strength_limits_mpa: ZoneConfig
    assay_limits_percent: ZoneConfig
    main_force_zone_kn: ZoneConfig
    main_force_cap_kn: Positive
    pre_force_max_kn: Positive
    ejection_force_max_n: Positive
    thickness_zone_mm: ZoneConfig
    lubricant_zone_percent: ZoneConfig
    level_zone_percent: ZoneConfig

    @model_validator(mode="after")
    def _targets_inside(self) -> Self:
        for name, value, band in (
            ("weight_mg", self.weight_mg, self.weight_limits_mg),
            ("tensile_strength_mpa", self.tensile_strength_mpa, self.tensile_strength_limits_mpa),
            ("lubricant_percent", self.lubricant_percent, self.lubricant_zone_percent),
        ):
            if not band.lo < value < band.hi:
                raise ValueError(
                    f"{name} {value:g} lies outside its limits {band.lo:g}..{band.hi:g}"
                )
        if self.api_percent + self.lubricant_percent >= 100.0:
            raise ValueError("api_percent and lubricant_percent leave no room for the filler")
        if self.main_force_cap_kn < self.main_force_zone_kn.hi:
            raise ValueError("main_force_cap_kn must not be below the main-force zone")
        return self


class FeederConfig(StrictModel):
    """A loss-in-weight feeder. `role` filler balances the formulation; exactly one has it."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")
    role: Literal["api", "filler", "lubricant", "excipient"]
    material: str
    share_percent: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    feed_factor_min_g_rev: Positive
    feed_factor_max_g_rev: Positive
    fill_sensitivity_per_kg: Positive
    hopper_kg: Positive
    hopper_start_percent: Percent
    screw_time_constant_s: Positive
    screw_speed_max_rpm: Positive
    flow_window_s: Annotated[int, Field(ge=2, le=300)]
    weight_noise_g: NonNegative
    flow_noise_percent: NonNegative
    refill_from_percent: Percent
    refill_to_percent: Percent
    refill_time_s: Positive
    settling_time_s: Positive
    overfeed_percent: NonNegative
    overfeed_decay_s: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _ordered(self.feed_factor_min_g_rev, self.feed_factor_max_g_rev, "feed factor (g/rev)")
        _ordered(self.refill_from_percent, self.refill_to_percent, "refill levels (%)")
        return self


class BlenderConfig(StrictModel):
    """Continuous blender at its nominal speed."""

    dead_hold_up_kg: NonNegative
    discharge_rate_per_s: Positive
    nominal_speed_rpm: Positive
    speed_exponent: Positive
    tanks: Annotated[int, Field(ge=1, le=20)]


class ChuteConfig(StrictModel):
    """Chute: capacity at the blend's nominal bulk density, collocation nodes of the twin."""

    capacity_kg: Positive
    nominal_level_percent: Annotated[float, Field(gt=0.0, lt=100.0)]
    nodes: Annotated[int, Field(ge=1, le=12)]
    starve_level_percent: Percent
    overflow_level_percent: Percent

    @model_validator(mode="after")
    def _limits(self) -> Self:
        _ordered(
            self.starve_level_percent, self.nominal_level_percent, "starve and nominal level (%)"
        )
        _ordered(
            self.nominal_level_percent,
            self.overflow_level_percent,
            "nominal and overflow level (%)",
        )
        return self


class FeedFrameConfig(StrictModel):
    """Feed frame with its paddles."""

    hold_up_kg: Positive
    paddle_speed_rpm: Positive


class PressConfig(StrictModel):
    """Press mechanics."""

    compliance_um_per_kn: NonNegative
    pre_thickness_mm: Positive
    thickness_mm: Positive
    recovery_percent: Annotated[float, Field(ge=0.0, lt=20.0)]
    critical_turret_speed_rpm: Positive
    fill_loss_percent: NonNegative
    fill_loss_exponent: Annotated[float, Field(ge=1.0, le=3.0)]
    ejection_force_n: Positive
    ejection_pressure_mpa: Positive
    ejection_exponent: NonNegative
    ejection_extent_per_rev: NonNegative
    strain_rate_percent_per_decade: NonNegative
    thickness_time_constant_s: Positive
    fill_time_constant_s: Positive
    turret_time_constant_s: Positive


class ManipulatedConfig(StrictModel):
    """A manipulated variable: range and largest move per 5 s, in plant units."""

    tag: str = Field(pattern=r"^Line/[A-Za-z0-9]+/[A-Za-z0-9]+$")
    unit: str
    nominal: Number
    lo: Number
    hi: Number
    move_per_5s: Positive

    @model_validator(mode="after")
    def _range(self) -> Self:
        _ordered(self.lo, self.hi, f"range of {self.tag} ({self.unit})")
        if not self.lo <= self.nominal <= self.hi:
            raise ValueError(f"nominal {self.nominal:g} of {self.tag} lies outside its range")
        return self


class RegulatoryConfig(StrictModel):
    """Tuning of the PLC's own loops."""

    gravimetric_gain: Annotated[float, Field(gt=0.0, le=1.0)]
    force_loop_gain: Annotated[float, Field(gt=0.0, le=1.0)]
    force_loop_deadband_mm: NonNegative
    fill_step_min_mm: Positive
    fill_step_max_mm: Positive
    level_gain: Positive
    level_integral_s: Positive
    line_rate_master: Literal["feeders", "turret"] = "feeders"


class PlcConfig(StrictModel):
    """Handshake, rejection, diverter, sequence and interlocks."""

    scan_s: Literal[1] = 1
    watchdog_s: Annotated[float, Field(ge=2.0, le=300.0)]
    echo_max_s: Annotated[float, Field(ge=1.0, le=30.0)]
    control_period_s: Annotated[int, Field(ge=1, le=30)]
    shed_force_window_s: Annotated[int, Field(ge=5, le=600)]
    reject_force_band_percent: Positive
    diverter_travel_s: NonNegative
    diverter_clear_s: NonNegative
    start_up_s: Annotated[int, Field(ge=60, le=7200)]
    good_before_collect_s: Annotated[int, Field(ge=0, le=3600)]

    @model_validator(mode="after")
    def _times(self) -> Self:
        if self.echo_max_s > self.control_period_s:
            raise ValueError(
                f"echo_max_s {self.echo_max_s:g} must not exceed one control period "
                f"({self.control_period_s} s)"
            )
        return self


class InstrumentConfig(StrictModel):
    """What the data sheets say (1 sigma); the plant's truth may differ."""

    force_noise_percent: NonNegative
    speed_noise_percent: NonNegative
    blender_speed_noise_percent: NonNegative
    torque_noise_percent: NonNegative
    level_noise_percent: NonNegative
    potency_noise_percent: NonNegative
    potency_period_s: Annotated[int, Field(ge=1, le=600)]
    potency_delay_s: NonNegative
    encoder_noise_um: NonNegative
    ejection_noise_percent: NonNegative
    lab_period_s: Annotated[int, Field(ge=30, le=7200)]
    lab_delay_s: Annotated[int, Field(ge=0, le=7200)]
    lab_tablets: Annotated[int, Field(ge=1, le=100)]
    lab_weight_noise_mg: NonNegative
    lab_thickness_noise_um: NonNegative
    lab_force_noise_n: NonNegative


class LineConfig(StrictModel):
    """A feeder-blender-press line."""

    kind: Literal["line"]
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    product: str
    feeders: Annotated[tuple[FeederConfig, ...], Field(min_length=2, max_length=12)]
    blender: BlenderConfig
    chute: ChuteConfig
    feed_frame: FeedFrameConfig
    press: PressConfig
    manipulated: tuple[ManipulatedConfig, ...]
    regulatory: RegulatoryConfig
    plc: PlcConfig
    instruments: InstrumentConfig

    @model_validator(mode="after")
    def _whole(self) -> Self:
        roles = [f.role for f in self.feeders]
        for role in ("filler", "api"):
            if roles.count(role) != 1:
                raise ValueError(
                    f"feeders: exactly one must have role {role}, found {roles.count(role)}"
                )
        names = [f.name for f in self.feeders]
        if len(set(names)) != len(names):
            raise ValueError("feeders: names must differ")
        tags = [m.tag for m in self.manipulated]
        if len(set(tags)) != len(tags):
            raise ValueError("manipulated: a tag occurs twice")
        missing = sorted(set(REQUIRED_MANIPULATED) - set(tags))
        unknown = sorted(set(tags) - set(REQUIRED_MANIPULATED))
        if missing or unknown:
            raise ValueError(
                f"manipulated: missing {missing}, unknown {unknown}; the line has exactly "
                f"{sorted(REQUIRED_MANIPULATED)}"
            )
        return self


REQUIRED_MANIPULATED: dict[str, str] = {
    "Line/Formulation/TotalFeed": "kg/h",
    "Line/Formulation/ApiRatio": "%",
    "Line/Formulation/LubricantRatio": "%",
    "Line/Press/MainForceSP": "kN",
    "Line/Press/FillDepth": "mm",
    "Line/Press/Thickness": "mm",
    "Line/Press/TurretSpeed": "rpm",
    "Line/Blender/Speed": "rpm",
}
