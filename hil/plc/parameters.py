"""The PLC's parameters in SI, from the line's configuration.

Only what a PLC would have: recipe, ranges, tuning, and the nominal compaction constants with which
it turns force into fill depth. The truth is somewhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from plant_models.config import PlcConfig
from plant_models.feeder import FeederParameters, feed_factor
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    compaction,
    feeder_parameters,
    force_loop,
    gravimetric_loops,
    level_loop,
    press_parameters,
    recipe_fractions,
)
from plant_models.regulatory import ForceLoop, GravimetricLoop, LevelLoop
from plant_models.signals import MV, SignalTable
from plant_models.tablet_press import Compaction, PressParameters
from plant_models.units import to_si

__all__ = ["FeederSettings", "Limit", "PlcParameters", "plc_parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Range, rate [1/s], recipe value and start value of a manipulated variable, in SI."""

    unit: str
    lo: float
    hi: float
    rate: float
    nominal: float
    start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederSettings:
    """One feeder as its controller knows it; levels are shares of the hopper."""

    model: FeederParameters
    loop: GravimetricLoop
    start_feed_factor: float
    refill_from: float
    refill_to: float
    refill_time: float
    settling_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlcParameters:
    """Everything the PLC is parametrised with, in SI.

    ``shares`` are the recipe's mass fractions per feeder; ``api``, ``filler`` and ``lubricant``
    are positions in the list of feeders (``lubricant`` is -1 if there is none). ``weight_limits``
    [kg] and ``assay_limits`` (share of label) are what released tablets must keep.
    """

    config: PlcConfig
    limits: dict[str, Limit]
    feeders: tuple[FeederSettings, ...]
    shares: tuple[float, ...]
    api: int
    filler: int
    lubricant: int
    force_loop: ForceLoop
    level_loop: LevelLoop
    press: PressParameters
    compaction: Compaction
    weight: float
    weight_limits: tuple[float, float]
    assay_limits: tuple[float, float]
    feed_lag: float
    force_cap: float
    starve: float
    overflow: float
    level_lo: float
    level_hi: float
    feeders_lead: bool
    recipe_id: str
    model_version: str

    def period_move(self, tag: str) -> float:
        """Largest move of ``tag`` in one control period, SI."""
        return self.limits[tag].rate * self.config.control_period_s


def plc_parameters(
    r: ResolvedLine, table: SignalTable, recipe_id: str | None = None
) -> PlcParameters:
    """Collect the PLC's parameters of a line.

    Parameters
    ----------
    r, table
        The line and its signal list.
    recipe_id
        What RECIPE_ID shows where a product set is loaded; by default the product's own.
    """
    limits = {}
    for spec in table.manipulated:
        lo, nominal = to_si(spec.lo, spec.unit), to_si(spec.nominal, spec.unit)
        limits[spec.tag] = Limit(
            unit=spec.unit,
            lo=lo,
            hi=to_si(spec.hi, spec.unit),
            rate=to_si(spec.rate, spec.unit),
            nominal=nominal,
            start=lo if spec.tag in (MV.TOTAL_FEED, MV.TURRET_SPEED) else nominal,
        )
    feeders = []
    for feeder, loop in zip(r.line.feeders, gravimetric_loops(r), strict=True):
        model = feeder_parameters(feeder)
        content = feeder.hopper_start_percent / 100.0 * feeder.hopper_kg
        feeders.append(
            FeederSettings(
                model=model,
                loop=loop,
                start_feed_factor=float(feed_factor(model, content)),
                refill_from=feeder.refill_from_percent / 100.0,
                refill_to=feeder.refill_to_percent / 100.0,
                refill_time=feeder.refill_time_s,
                settling_time=feeder.settling_time_s,
            )
        )
    roles = [f.role for f in r.line.feeders]
    chute, product = r.line.chute, r.product
    return PlcParameters(
        config=r.line.plc,
        limits=limits,
        feeders=tuple(feeders),
        shares=recipe_fractions(r),
        api=roles.index("api"),
        filler=roles.index("filler"),
        lubricant=roles.index("lubricant") if "lubricant" in roles else -1,
        force_loop=force_loop(r),
        level_loop=level_loop(r),
        press=press_parameters(r),
        compaction=compaction(r.blend),
        weight=product.weight_mg * 1e-6,
        weight_limits=(product.weight_limits_mg.lo * 1e-6, product.weight_limits_mg.hi * 1e-6),
        assay_limits=(
            product.assay_limits_percent.lo / 100.0,
            product.assay_limits_percent.hi / 100.0,
        ),
        feed_lag=1.0 / blender_parameters(r).rate_0,
        force_cap=product.main_force_cap_kn * 1e3,
        starve=chute.starve_level_percent / 100.0,
        overflow=chute.overflow_level_percent / 100.0,
        level_lo=product.level_zone_percent.lo / 100.0,
        level_hi=product.level_zone_percent.hi / 100.0,
        feeders_lead=r.line.regulatory.line_rate_master == "feeders",
        recipe_id=product.recipe_id if recipe_id is None else recipe_id,
        model_version=table.model_version(),
    )
