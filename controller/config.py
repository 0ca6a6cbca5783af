"""Configuration of a controller (``kind: controller``): frozen, checked, units in the names.

Models only; whoever reads the YAML files resolves references and passes plain mappings in.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from controller.press.settings import PressMonitorConfig
from controller.steady_config import SteadyConfig
from controller.supervision_config import DebounceConfig, SupervisionConfig
from plant_models.config import StrictModel

__all__ = [
    "ControllerConfig",
    "DebounceConfig",
    "EstimationConfig",
    "LinkConfig",
    "LmpcConfig",
    "OptimisationConfig",
    "PidConfig",
    "PriorConfig",
    "SourceClockConfig",
    "SupervisionConfig",
    "TagRuleConfig",
    "ValidationConfig",
]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Cycles = Annotated[int, Field(ge=1, le=1000)]
Endpoint = Annotated[str, Field(pattern=r"^opc\.tcp://[^\s/:]+:\d{1,5}(/\S*)?$")]


class LinkConfig(StrictModel):
    """OPC UA links: client of the plant, and the server that operators talk to."""

    endpoint: Endpoint = "opc.tcp://127.0.0.1:4840/twinline/plant"
    operator_endpoint: Endpoint = "opc.tcp://127.0.0.1:4841/twinline/controller"
    tagmap: str | None = None
    connect_timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 4.0
    read_timeout_s: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0
    write_timeout_s: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    reconnect_min_s: Annotated[float, Field(gt=0.0, le=10.0)] = 0.25
    reconnect_max_s: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    lockstep_silence_s: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0

    @model_validator(mode="after")
    def _back_off(self) -> Self:
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError(
                f"reconnect_min_s {self.reconnect_min_s:g} must not exceed reconnect_max_s "
                f"{self.reconnect_max_s:g}"
            )
        return self


class TagRuleConfig(StrictModel):
    """How one measurement, or all whose tag matches a pattern (``*`` within a name), is judged.

    Limits are in the tag's plant unit; a check whose limit is absent is not made. ``spike`` is the
    largest credible distance from the median of the last good values, ``rate_per_s`` the largest
    credible slope, ``freeze_readings`` how many identical readings in a row mean a dead sensor.
    A required tag that gave nothing usable for ``grace_s`` is missing.
    """

    tags: str = Field(pattern=r"^Line/[A-Za-z0-9_*]+/[A-Za-z0-9_*]+/(PV|FBK|ACT|SP)$")
    age_max_s: Positive | None = None
    lo: Number | None = None
    hi: Number | None = None
    rate_per_s: Positive | None = None
    spike: Positive | None = None
    freeze_readings: Annotated[int, Field(ge=2, le=10_000)] | None = None
    required: bool = False
    grace_s: NonNegative = 30.0
    needs_flowing_press: bool = False
    drop_in_refill: Literal["never", "active", "active and settling"] = "never"
    uncertain_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.lo is not None and self.hi is not None and not self.lo < self.hi:
            raise ValueError(f"{self.tags}: lo {self.lo:g} must be below hi {self.hi:g}")
        return self


class SourceClockConfig(StrictModel):
    """Clock of an instrument's own computer: its time minus ours, and what is no longer believed.

    After correction a sample may lie at most ``ahead_max_s`` in the future and ``age_max_s`` back.
    A clock that is wrong beyond that, by no more than ``correct_max_s`` or that much beside an
    hour, is corrected.
    """

    offset_s: Number = 0.0
    correct_max_s: NonNegative = 300.0
    ahead_max_s: NonNegative = 5.0
    age_max_s: Positive = 600.0


class ValidationConfig(StrictModel):
    """Checks of measurements; a later rule that matches a tag replaces an earlier one."""

    rules: tuple[TagRuleConfig, ...] = ()
    age_max_s: Positive = 15.0
    ahead_max_s: NonNegative = 2.0
    spike_accept_readings: Annotated[int, Field(ge=2, le=100)] = 3
    turret_stands_below_rpm: NonNegative = 1.0
    nir_clock: SourceClockConfig = SourceClockConfig(age_max_s=60.0)
    lab_clock: SourceClockConfig = SourceClockConfig(age_max_s=900.0)


class PriorConfig(StrictModel):
    """Standard deviations at the start: logarithms, or shares of label and of flow."""

    specific_volume: Positive = 0.06
    pressure_scale: Positive = 0.10
    strength: Positive = 0.10
    potency_bias: Positive = 0.015
    lot_volume: Positive = 1e-5
    lot_scale: Positive = 1e-5
    lot_strength: Positive = 1e-5
    load_cell_span: Positive = 0.0018
    compliance: Positive = 0.12
    thickness_offset: Positive = 4e-6
    discharge: Positive = 0.10


class EstimationConfig(StrictModel):
    """Moving-horizon estimator: window, noise levels, robustness.

    Standard deviations are relative (logarithmic) unless the name carries a unit; ``walk`` is per
    sample. ``force_share`` is how far the force that is put into the twin follows the measured one
    away from its set point; ``jitter`` the relative scatter of a cycle's mean weight around what
    the estimate can know, ``count_jitter`` that of its number of tablets. Nothing measures the
    lubricant fraction but its feeder: ``lubricant_sd``. ``play_um`` is the nominal gap of the
    thickness drive, ``play_share`` how much of a move its true gap may add or take.
    """

    window_samples: Annotated[int, Field(ge=12, le=600)] = 96
    noise_blocks: Annotated[int, Field(ge=2, le=60)] = 11
    steps: Annotated[int, Field(ge=1, le=10)] = 2
    least_samples: Annotated[int, Field(ge=2, le=600)] = 24
    innovation_limit: Positive = 2.5
    force_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    force_ratio_sd: Positive = 0.008
    fill_sd: Positive = 0.006
    lab_weight_sd: Positive = 0.0040
    lab_strength_sd: Positive = 0.013
    lab_thickness_sd_um: Positive = 4.0
    strength_settles_s: Positive = 450.0
    play_um: NonNegative = 7.5
    play_share: NonNegative = 0.15
    inflow_sd_g: Positive = 0.4
    jitter: NonNegative = 0.0020
    count_jitter: NonNegative = 0.003
    lubricant_sd: NonNegative = 0.01
    dof_measured: Positive = 4.0
    dof_walk: Positive = 3.0
    walk: tuple[tuple[str, Positive], ...] = (
        ("specific_volume", 8e-4),
        ("pressure_scale", 1.5e-4),
        ("strength", 5e-4),
        ("potency_bias", 3e-4),
        ("thickness_offset", 5e-8),
    )
    bounds: tuple[tuple[str, Positive], ...] = (
        ("specific_volume", 0.3),
        ("pressure_scale", 0.6),
        ("strength", 0.6),
        ("potency_bias", 0.1),
        ("feed_span", 0.02),
        ("potency_span", 0.02),
        ("compliance", 0.6),
        ("discharge", 0.5),
        ("thickness_offset", 2e-5),
    )
    lot_sd: tuple[Positive, Positive, Positive] = (0.06, 0.15, 0.05)
    lot_boost: Positive = 4.0
    lot_arrives_s: NonNegative = 90.0
    lot_settled_s: NonNegative = 420.0
    prior_sd: PriorConfig = PriorConfig()


class OptimisationConfig(StrictModel):
    """Optimal control problem and its solvers.

    ``*_scale_*`` are the deviations that weigh alike; ``move_costs`` the price of a move in units
    of its rate limit, in the order total feed, API ratio, press set point, thickness, turret.
    ``back_off`` tightens zones by ``back_off_deviations`` of the estimate's (1.645: one side keeps
    95 %); ``scenarios`` plans for that many draws from its covariance too. ``prepare`` works out
    the sensitivities of the next cycle's first step while the line is waited for.
    """

    stages: Annotated[int, Field(ge=12, le=720)] = 120
    nodes: tuple[Annotated[int, Field(ge=0, le=720)], ...] = (
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        12,
        16,
        24,
        36,
        48,
        72,
        96,
    )
    steps: Annotated[int, Field(ge=1, le=20)] = 2
    reference_steps: Annotated[int, Field(ge=1, le=1000)] = 200
    potency_scale_percent: Positive = 0.3
    weight_scale_percent: Positive = 0.3
    strength_scale_percent: Positive = 1.5
    throughput_scale_percent: Positive = 1.0
    level_scale_percent: Positive = 15.0
    move_costs: tuple[Positive, Positive, Positive, Positive, Positive] = (12.0, 8.0, 4.0, 5.0, 4.0)
    slack_linear: NonNegative = 1.0
    slack_quadratic: Positive = 10.0
    level_margin_percent: NonNegative = 3.0
    drop_warm_start_after: Cycles = 3
    shifted_plan_max_cycles: Cycles = 3
    prepare: bool = True
    back_off: bool = False
    back_off_deviations: Positive = 1.645
    scenarios: Annotated[int, Field(ge=0, le=32, multiple_of=2)] = 0
    steady: SteadyConfig = SteadyConfig()

    @model_validator(mode="after")
    def _nodes(self) -> Self:
        if self.nodes[0] != 0 or any(b <= a for a, b in itertools.pairwise(self.nodes)):
            raise ValueError("nodes must begin at stage 0 and grow")
        if self.nodes[-1] >= self.stages:
            raise ValueError(
                f"the last node {self.nodes[-1]} must lie before the last stage {self.stages}"
            )
        return self


class PidConfig(StrictModel):
    """Conventional control (algorithm pid); rules in `controller.baselines`.

    ``weight_gain`` and ``strength_gain`` are the least shares of a sample's deviation that are
    believed; a lot marker restarts both filters from ``lot_arrives_s`` until ``lot_settled_s``
    after it. ``level_s`` and ``balance_s`` are the times of the level loop and of the chute's
    balance, ``surplus_gain_per_s`` and ``surplus_leak_s`` belong to the ratio on totals.
    ``nir_trim_s`` turns the NIR from an alarm into a trim with that integral time.
    """

    weight_gain: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    strength_gain: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    lot_arrives_s: NonNegative = 90.0
    lot_settled_s: NonNegative = 420.0
    level_s: Positive = 300.0
    balance_s: Positive = 120.0
    balance_limit_percent: Positive = 5.0
    surplus_gain_per_s: NonNegative = 0.03
    surplus_leak_s: Positive = 200.0
    refill_feed_forward: NonNegative = 1.0
    nir_filter_s: Positive = 120.0
    nir_alarm_percent: Positive = 3.0
    nir_trim_s: Positive | None = None

    @model_validator(mode="after")
    def _lot(self) -> Self:
        if self.lot_settled_s < self.lot_arrives_s:
            raise ValueError(
                f"lot_settled_s {self.lot_settled_s:g} must not be below lot_arrives_s "
                f"{self.lot_arrives_s:g}"
            )
        return self


# What may walk in the linear model.
Disturbance = Literal[
    "specific_volume",
    "pressure_scale",
    "strength",
    "potency_bias",
    "thickness_offset",
    "inflow",
    "pre_force",
]


class LmpcConfig(StrictModel):
    """Linear predictive control with a Kalman filter (algorithm lmpc).

    Noise of instruments, priors, play and times of a lot are those of ``estimation``; grid, scales
    and prices those of ``optimisation``. ``walk`` are standard deviations per sample of the
    integrating disturbances (logarithms, share of label, m, and kg/s for the inflow of the chute),
    ``lot_sd`` those of what a new lot changes in specific volume, pressure scale and strength,
    spread over the time in which it passes. ``gate_sd`` is the surprise from which on a measurement
    counts less; ``target_scale_moves`` the distance, in rate steps, of a plan's end from the
    steady-state target that weighs like one tracked scale.
    """

    walk: tuple[tuple[Disturbance, NonNegative], ...] = (
        ("specific_volume", 4e-3),
        ("pressure_scale", 1e-3),
        ("strength", 2e-4),
        ("potency_bias", 1e-3),
        ("thickness_offset", 2e-8),
        ("inflow", 3e-7),
        ("pre_force", 3e-4),
    )
    composition_sd_percent: NonNegative = 0.06
    lot_sd: tuple[NonNegative, NonNegative, NonNegative] = (0.18, 0.45, 0.15)
    gate_sd: Positive = 4.0
    history_samples: Annotated[int, Field(ge=12, le=600)] = 60
    target_scale_moves: Positive = 20.0


class ControllerConfig(StrictModel):
    """One controller: algorithm, line that it knows, and its sections."""

    kind: Literal["controller"]
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    algorithm: Literal["nmpc", "lmpc", "pid", "plc", "press"]
    line: str
    product_set: str | None = None
    structure: Literal["CASCADE", "REMOTE"] = "CASCADE"
    period_s: Annotated[int, Field(ge=1, le=30)] = 5
    link: LinkConfig = LinkConfig()
    supervision: SupervisionConfig = SupervisionConfig()
    validation: ValidationConfig = ValidationConfig()
    estimation: EstimationConfig = EstimationConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    pid: PidConfig = PidConfig()
    press: PressMonitorConfig = PressMonitorConfig()
    lmpc: LmpcConfig = LmpcConfig()

    @model_validator(mode="after")
    def _algorithm_in_structure(self) -> Self:
        if self.algorithm in ("pid", "lmpc") and self.structure != "CASCADE":
            raise ValueError(
                f"structure: the algorithm {self.algorithm} works in CASCADE only, "
                f"not in {self.structure}"
            )
        return self

    @model_validator(mode="after")
    def _critical_in_structure(self) -> Self:
        loops = {"CASCADE": "Line/Press/FillDepth", "REMOTE": "Line/Press/MainForceSP"}
        loop = loops[self.structure]
        if loop in self.supervision.critical:
            raise ValueError(
                f"supervision.critical: in {self.structure} the PLC's force loop owns {loop}, "
                "so it is never available; leave it out"
            )
        return self

    def digest(self) -> str:
        """Short hash of every setting."""
        text = self.model_dump_json(by_alias=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
