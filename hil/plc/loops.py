"""The PLC's regulatory loops: ratio station, gravimetric loops, weight-force loop, level loop.

Their equations are those of `plant_models.regulatory`; here is what surrounds them: when they act,
on which reading, and how they take over without a bump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from hil.plc.parameters import FeederSettings, PlcParameters
from hil.plc.ramps import clamp_flag
from hil.plc.refill import volumetric
from hil.plc.state import FeederState, ForceState, LevelState, MvState
from hil.readings import Reading
from plant_models.regulatory import (
    feeder_rate_setpoints,
    force_loop_move,
    force_slope,
    gravimetric_move,
    level_loop_output,
)
from plant_models.signals import MV, is_good

__all__ = [
    "fill_step",
    "force_history",
    "force_stands",
    "gravimetric_step",
    "level_filter",
    "level_step",
    "mean_force",
    "rate_set_points",
]

_SCREW_START_S = 5
_LARGEST_CORRECTION = 0.2  # of the screw speed, in one gravimetric window
_LEVEL_MEDIAN = 5
_LEVEL_LAG_S = 15.0
_FORCE_MEAN_S = 10


def rate_set_points(
    p: PlcParameters, mvs: dict[str, MvState], feeders: Sequence[FeederState]
) -> tuple[float, ...]:
    """Rate set point of each feeder [kg/s] from total feed and ratios; refilling: frozen."""
    ratios: list[float | None] = list(p.shares)
    ratios[p.api] = mvs[MV.API_RATIO].act
    if p.lubricant >= 0:
        ratios[p.lubricant] = mvs[MV.LUBRICANT_RATIO].act
    ratios[p.filler] = None
    rates = feeder_rate_setpoints(mvs[MV.TOTAL_FEED].act, ratios, [f.frozen_rate for f in feeders])
    return tuple(float(r) for r in rates)


def gravimetric_step(
    s: FeederSettings, f: FeederState, flow: Reading, rate: float, on: bool
) -> FeederState:
    """One second of a feeder's loop: its screw speed for a rate set point [kg/s].

    Speed follows the rate at the learnt feed factor at once; the factor is corrected once per
    window from what was fed in it. Volumetric while refilling: the speed stays. A refill that began
    at a standstill freezes the rate with which the line goes on.
    """
    if not on:
        return replace(f, speed=0.0, rate=0.0, window_s=-_SCREW_START_S, rate_sum=0.0)
    if volumetric(f.phase) and f.speed > 0.0:
        return replace(f, rate=rate, window_s=0, rate_sum=0.0)
    factor, window, total = f.feed_factor, f.window_s, f.rate_sum
    if window >= s.loop.period:
        if is_good(flow.status) and f.speed > 0.0 and rate > 0.0:
            move = gravimetric_move(s.loop, total / window, flow.value, factor)
            most = _LARGEST_CORRECTION * f.speed
            speed = f.speed + min(max(move, -most), most)
            factor = min(max(f.rate / speed, 0.5 * s.model.ff_min), 1.5 * s.model.ff_max)
        window, total = 0, 0.0
    return replace(
        f,
        speed=min(rate / factor, s.model.speed_max),
        feed_factor=factor,
        rate=rate,
        window_s=window + 1,
        rate_sum=total + rate if window >= 0 else 0.0,
        frozen_rate=rate if volumetric(f.phase) else f.frozen_rate,
    )


def force_history(p: PlcParameters, force: ForceState, reading: Reading, on: bool) -> ForceState:
    """Remember the mean main force of this second; forget all while the press stands."""
    if not on:
        return force if not force.recent else replace(force, recent=())
    if not is_good(reading.status):
        return force
    keep = max(p.config.shed_force_window_s, _FORCE_MEAN_S)
    return replace(force, recent=(*force.recent[1 - keep :], reading.value))


def mean_force(force: ForceState) -> float | None:
    """Mean main force [N] of the last 10 s; ``None`` before there is any."""
    recent = force.recent[-_FORCE_MEAN_S:]
    return sum(recent) / len(recent) if recent else None


def force_stands(force: ForceState) -> bool:
    """Whether the transducer is dead: revolutions of tablets without the slightest difference."""
    recent = force.recent[-_FORCE_MEAN_S:]
    return len(recent) == _FORCE_MEAN_S and min(recent) == max(recent)


def fill_step(
    p: PlcParameters,
    force: ForceState,
    mvs: dict[str, MvState],
    reading: Reading,
    revolution: int,
    active: bool,
) -> tuple[ForceState, MvState]:
    """Weight-force loop: correct the fill depth once per completed revolution."""
    fill = mvs[MV.FILL_DEPTH]
    if revolution == force.revolution:
        return force, fill
    force = replace(force, revolution=revolution)
    set_point = mvs[MV.MAIN_FORCE].act
    if not active or not is_good(reading.status):
        return force, fill
    slope = force_slope(p.press, p.compaction, set_point, mvs[MV.THICKNESS].act, fill.act)
    move = force_loop_move(p.force_loop, reading.value, set_point, float(slope))
    limit = p.limits[MV.FILL_DEPTH]
    depth = min(max(fill.act + move, limit.lo), limit.hi)
    return force, replace(fill, act=depth, target=depth, clamped=clamp_flag(limit, depth))


def level_filter(
    p: PlcParameters, level: LevelState, reading: Reading, feed: float | None
) -> LevelState:
    """Filter the level (median of 5 against spikes, then a lag) and the total feed [kg/s].

    The feed is lagged as the blender lags it, so that the turret follows what really arrives;
    ``None`` while the blender stands still.
    """
    window = level.window
    if is_good(reading.status):
        window = (*window[1 - _LEVEL_MEDIAN :], reading.value)
    seen = median(window) if window else level.level
    first = not level.window
    return replace(
        level,
        window=window,
        level=seen if first else level.level + (seen - level.level) / _LEVEL_LAG_S,
        feed=level.feed if feed is None else level.feed + (feed - level.feed) / p.feed_lag,
    )


def level_step(
    p: PlcParameters,
    level: LevelState,
    mvs: dict[str, MvState],
    follower: str,
    base: float | None = None,
) -> tuple[LevelState, float | None]:
    """Averaging level loop: its new state and the follower's set point (SI), if there is one.

    Taking over, the follower's value in use becomes the base and the integral cancels the error of
    that moment, so the first output is the value in use; ``base`` overrides it (start-up).
    """
    if not follower:
        return (level if not level.follower else replace(level, follower="")), None
    turret_follows = follower == MV.TURRET_SPEED
    leader = level.feed if turret_follows else mvs[MV.TURRET_SPEED].act
    loop, sign = p.level_loop, 1.0 if turret_follows else -1.0
    if level.follower != follower:
        taken = mvs[follower].act / max(leader, 1e-9) if base is None else base
        error = level.level - loop.set_point
        integral = -sign * error * loop.integral_time if base is None else 0.0
        level = replace(level, follower=follower, base=taken, integral=integral)
    seen = loop.set_point + sign * (level.level - loop.set_point)
    output, integral = level_loop_output(loop, level.base * leader, seen, level.integral, 1.0)
    limit = p.limits[follower]
    wound = (output > limit.hi and seen > loop.set_point) or (
        output < limit.lo and seen < loop.set_point
    )
    level = replace(level, integral=level.integral if wound else integral)
    return level, min(max(output, limit.lo), limit.hi)
