"""What a line's model is described by: variables, structure, deviations, operating points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from plant_models.maths import Expr

__all__ = ["INPUT_OF_TAG", "INPUT_UNITS", "Deviations", "OperatingPoint", "Structure", "Variable"]


class Structure(StrEnum):
    """How much of the line the PLC's own loops close."""

    OPEN = "OPEN"
    REMOTE = "REMOTE"
    CASCADE = "CASCADE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A state, input, output or quality attribute: SI unit, nominal value, scale, bounds."""

    name: str
    unit: str
    nominal: float
    scale: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Relative deviations from the configured line, 1 where nothing deviates; bias in fractions."""

    feed_factors: tuple[Expr, ...]
    specific_volume: Expr = 1.0
    pressure_scale: Expr = 1.0
    strength: Expr = 1.0
    compliance: Expr = 1.0
    potency_bias: Expr = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A steady operating point: states, inputs, outputs and quality by name, SI."""

    states: Mapping[str, float]
    inputs: Mapping[str, float]
    outputs: Mapping[str, float]
    quality: Mapping[str, float]


INPUT_OF_TAG = {
    "Line/Formulation/TotalFeed": "total_feed",
    "Line/Formulation/ApiRatio": "api_ratio",
    "Line/Formulation/LubricantRatio": "lubricant_ratio",
    "Line/Press/MainForceSP": "main_force",
    "Line/Press/FillDepth": "fill_depth",
    "Line/Press/Thickness": "thickness",
    "Line/Press/TurretSpeed": "turret_speed",
    "Line/Blender/Speed": "blender_speed",
}
INPUT_UNITS = {
    "total_feed": "kg/s",
    "api_ratio": "-",
    "lubricant_ratio": "-",
    "main_force": "N",
    "fill_depth": "m",
    "thickness": "m",
}
