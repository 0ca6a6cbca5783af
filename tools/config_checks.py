"""Checks across files: whether line, product, blend and components make one consistent line.

Steady operation at the nominal point is worked out with the equations of `plant_models`: turret
speed, force, fill depth, pre-compression, strength, thickness and screw speeds must lie inside
what the line can do and the product allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from plant_models.config import REQUIRED_MANIPULATED, ZoneConfig
from plant_models.feeder import feed_factor
from plant_models.line import (
    ResolvedLine,
    compaction,
    feeder_parameters,
    nominal_extent,
    nominal_flow,
    press_parameters,
    recipe_fractions,
    strength,
)
from plant_models.materials import mixture_density
from plant_models.quality import tensile_strength
from plant_models.signals import MV
from plant_models.tablet_press import (
    compress_at_fill,
    fill_depth_for_weight,
    fill_fraction,
)
from tools.config_finding import Finding, Path_

__all__ = ["check_line"]

DENSITY_TOLERANCE = 0.005
RPM = 1.0 / 60.0


def check_line(r: ResolvedLine) -> list[Finding]:
    """Everything in which the files of a line contradict each other.

    The nominal point is only worked out once units, recipe and densities agree.
    """
    steps: tuple[Callable[[ResolvedLine], Iterator[Finding]], ...] = (
        _units,
        _recipe,
        _times,
        _targets,
        _densities,
    )
    found = [finding for step in steps for finding in step(r)]
    if found:
        return found
    try:
        with np.errstate(all="ignore"):
            return list(_nominal_point(r))
    except ArithmeticError as error:
        return [
            Finding(
                owner="line",
                path=(),
                wrong=f"the nominal point cannot be worked out: {error}",
                right="parameters of the size that a real line has",
            )
        ]


def _mv(r: ResolvedLine, tag: str) -> tuple[Path_, float, float, float]:
    for i, mv in enumerate(r.line.manipulated):
        if mv.tag == tag:
            return ("manipulated", i), mv.nominal, mv.lo, mv.hi
    raise KeyError(tag)


def _units(r: ResolvedLine) -> Iterator[Finding]:
    for i, mv in enumerate(r.line.manipulated):
        unit = REQUIRED_MANIPULATED[mv.tag]
        if mv.unit != unit:
            yield Finding(
                owner="line",
                path=("manipulated", i, "unit"),
                wrong=f"{mv.unit!r} is not the unit of {mv.tag}",
                right=f"{unit!r}, with nominal, lo, hi and move_per_5s in it",
            )


def _recipe(r: ResolvedLine) -> Iterator[Finding]:
    roles = [f.role for f in r.line.feeders]
    if roles.count("lubricant") > 1:
        yield Finding(
            owner="line",
            path=("feeders",),
            wrong=f"{roles.count('lubricant')} feeders have role lubricant",
            right="at most one",
        )
    if r.product.lubricant_percent > 0.0 and "lubricant" not in roles:
        yield Finding(
            owner="line",
            path=("feeders",),
            wrong=f"no feeder has role lubricant, but {r.product.name!r} contains "
            f"{r.product.lubricant_percent:g} %",
            right="a feeder with role lubricant, or a product without",
        )
    for i, feeder in enumerate(r.line.feeders):
        if (feeder.role == "excipient") != (feeder.share_percent is not None):
            needs = feeder.role == "excipient"
            yield Finding(
                owner="line",
                path=("feeders", i, "share_percent"),
                wrong=f"role {feeder.role} {'lacks' if needs else 'must not have'} a share",
                right="its share of the formulation (%)"
                if needs
                else "no share_percent: the product or the balance decides",
            )
    if (filler := recipe_fractions(r)[r.feeder_index("filler")]) <= 0.0:
        yield Finding(
            owner="line",
            path=("feeders",),
            wrong=f"the shares leave {100 * filler:g} % for the filler",
            right="shares of API, lubricant and excipients that sum up to less than 100 %",
        )
    for tag, name, value, unit in (
        (MV.TOTAL_FEED, "throughput_kg_h", r.product.throughput_kg_h, "kg/h"),
        (MV.API_RATIO, "api_percent", r.product.api_percent, "%"),
        (MV.LUBRICANT_RATIO, "lubricant_percent", r.product.lubricant_percent, "%"),
    ):
        path, nominal, lo, hi = _mv(r, tag)
        if not lo <= value <= hi:
            yield Finding(
                owner="product",
                path=(name,),
                wrong=f"{value:g} {unit} is outside the range of {tag}",
                right=f"{lo:g} to {hi:g} {unit}, or a line with another range",
            )
        elif abs(nominal - value) > 1e-3 * value:
            yield Finding(
                owner="line",
                path=(*path, "nominal"),
                wrong=f"nominal {nominal:g} {unit} of {tag} is not the product's {name}",
                right=f"{value:g} {unit}",
            )


def _times(r: ResolvedLine) -> Iterator[Finding]:
    plc, lab = r.line.plc, r.line.instruments
    if plc.watchdog_s < 2.0 * plc.control_period_s:
        yield Finding(
            owner="line",
            path=("plc", "watchdog_s"),
            wrong=f"{plc.watchdog_s:g} s is less than two control periods",
            right=f"at least {2 * plc.control_period_s} s; three periods are usual",
        )
    if lab.lab_delay_s >= lab.lab_period_s:
        yield Finding(
            owner="line",
            path=("instruments", "lab_delay_s"),
            wrong=f"a result takes {lab.lab_delay_s} s, but samples come every "
            f"{lab.lab_period_s} s and the tester holds one at a time",
            right=f"below {lab.lab_period_s} s, or a longer lab_period_s",
        )
    for i, f in enumerate(r.line.feeders):
        if f.settling_time_s < f.flow_window_s:
            yield Finding(
                owner="line",
                path=("feeders", i, "settling_time_s"),
                wrong=f"{f.settling_time_s:g} s is shorter than the window of the flow signal",
                right=f"at least {f.flow_window_s} s, else the flow still sees the refill",
            )
        if f.hopper_start_percent < f.refill_from_percent:
            yield Finding(
                owner="line",
                path=("feeders", i, "hopper_start_percent"),
                wrong=f"{f.hopper_start_percent:g} % is below the refill level",
                right=f"{f.refill_from_percent:g} to 100 %",
            )


def _targets(r: ResolvedLine) -> Iterator[Finding]:
    path, nominal, _, _ = _mv(r, MV.THICKNESS)
    if abs(nominal - r.line.press.thickness_mm) > 1e-9:
        yield Finding(
            owner="line",
            path=(*path, "nominal"),
            wrong=f"{nominal:g} mm is not press.thickness_mm",
            right=f"{r.line.press.thickness_mm:g} mm in both places",
        )
    level, zone = r.line.chute.nominal_level_percent, r.product.level_zone_percent
    if not zone.lo < level < zone.hi:
        yield Finding(
            owner="line",
            path=("chute", "nominal_level_percent"),
            wrong=f"{level:g} % is outside the product's level zone",
            right=f"between {zone.lo:g} and {zone.hi:g} %",
        )


def _densities(r: ResolvedLine) -> Iterator[Finding]:
    shares = recipe_fractions(r)
    if r.blend.compaction is not None:
        rho = r.blend.bulk_density_kg_m3 / r.blend.true_density_kg_m3
        packed = r.blend.compaction.initial_density
        if abs(packed / rho - 1.0) > 0.05:
            yield Finding(
                owner="blend",
                path=("compaction", "initial_density"),
                wrong=f"{packed:g} is more than 5 % away from bulk over true density",
                right=f"about {rho:.4g}",
            )
    off, wanted, instead = [], [], []
    for name, text in (("true_density_kg_m3", "true"), ("bulk_density_kg_m3", "bulk")):
        mixed = float(mixture_density(shares, [getattr(c, name) for c in r.components]))
        stated = float(getattr(r.blend, name))
        if abs(stated / mixed - 1.0) > DENSITY_TOLERANCE:
            off.append(f"a {text} density of {mixed:.5g} kg/m3 instead of {stated:g}")
            wanted.append(f"{stated:g}")
            instead.append(f"{mixed:.5g}")
    if off:
        yield Finding(
            owner="line",
            path=("feeders",),
            wrong=f"mixed at the recipe the components have {' and '.join(off)} as the blend "
            f"{r.blend.name!r} says",
            right=f"components that give {' and '.join(wanted)} kg/m3 within "
            f"{100 * DENSITY_TOLERANCE:g} %, or a blend with {' and '.join(instead)} kg/m3",
        )


def _nominal_point(r: ResolvedLine) -> Iterator[Finding]:
    """Steady operation at the product's targets, nominal thickness and nominal lubrication."""
    p, c, flow = press_parameters(r), compaction(r.blend), nominal_flow(r)
    weight = r.product.weight_mg * 1e-6
    turret = flow / (p.stations * weight)
    fill = fill_fraction(p, turret, p.paddle_speed)
    volume = 1.0 / r.blend.bulk_density_kg_m3
    depth = fill_depth_for_weight(p, weight, volume, fill)
    tablet = compress_at_fill(p, c, depth, r.line.press.thickness_mm * 1e-3, volume, fill)
    extent = nominal_extent(r)
    sigma = tensile_strength(strength(r.blend, extent), tablet.porosity, extent)
    force = float(tablet.main_force) * 1e-3
    for tag, value, unit in (
        (MV.TURRET_SPEED, turret / RPM, "rpm"),
        (MV.FILL_DEPTH, float(depth) * 1e3, "mm"),
        (MV.MAIN_FORCE, force, "kN"),
    ):
        yield from _within_mv(r, tag, value, unit)
    for path, what, value, zone, unit in (
        ("main_force_zone_kn", "main force", force, r.product.main_force_zone_kn, "kN"),
        (
            "thickness_zone_mm",
            "tablet thickness",
            float(tablet.thickness) * 1e3,
            r.product.thickness_zone_mm,
            "mm",
        ),
        (
            "tensile_strength_limits_mpa",
            "tensile strength",
            float(sigma) * 1e-6,
            r.product.tensile_strength_limits_mpa,
            "MPa",
        ),
    ):
        yield from _within_zone(path, what, value, zone, unit)
    if (pre := float(tablet.pre_force) * 1e-3) > r.product.pre_force_max_kn:
        yield Finding(
            owner="line",
            path=("press", "pre_thickness_mm"),
            wrong=f"pre-compression takes {pre:.3g} kN at the nominal point",
            right=f"a larger thickness, for at most {r.product.pre_force_max_kn:g} kN",
        )
    yield from _screws(r, flow)


def _within_mv(r: ResolvedLine, tag: str, value: float, unit: str) -> Iterator[Finding]:
    path, nominal, lo, hi = _mv(r, tag)
    if not lo <= value <= hi:
        yield Finding(
            owner="line",
            path=path,
            wrong=f"the nominal point needs {value:.4g} {unit}, outside {lo:g} to {hi:g} {unit}",
            right=f"a range of {tag} that holds {value:.4g} {unit}, or another product or press",
        )
    elif abs(nominal / value - 1.0) > 0.02:
        yield Finding(
            owner="line",
            path=(*path, "nominal"),
            wrong=f"{nominal:g} {unit} is more than 2 % away from the steady state",
            right=f"{value:.4g} {unit}, which the product's targets need",
        )


def _within_zone(
    name: str, what: str, value: float, zone: ZoneConfig, unit: str
) -> Iterator[Finding]:
    if not zone.lo <= value <= zone.hi:
        yield Finding(
            owner="product",
            path=(name,),
            wrong=f"the {what} of the nominal point, {value:.4g} {unit}, is outside "
            f"{zone.lo:g} to {zone.hi:g} {unit}",
            right=f"limits that hold {value:.4g} {unit}, or other targets or materials",
        )


def _screws(r: ResolvedLine, flow: float) -> Iterator[Finding]:
    for i, (feeder, share) in enumerate(zip(r.line.feeders, recipe_fractions(r), strict=True)):
        p = feeder_parameters(feeder)
        content = p.capacity * feeder.refill_from_percent / 100.0
        speed = flow * share / float(feed_factor(p, content)) / RPM
        if speed > feeder.screw_speed_max_rpm:
            yield Finding(
                owner="line",
                path=("feeders", i, "screw_speed_max_rpm"),
                wrong=f"the recipe needs {speed:.4g} rpm of {feeder.name}",
                right=f"above {speed:.4g} rpm, or a larger screw (feed_factor_max_g_rev)",
            )
