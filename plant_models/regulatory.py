"""The PLC's regulatory loops in equations, for the PLC itself and for the twin that predicts it.

(L1)  r_API = F x_A;  r_lub = F x_L;  r_filler = F - sum of the others        ratio station
(L2)  n_set += g (r - F_meas) / ff                 gravimetric loop, once per window
(L3)  dh = clip(-g_F (F_mean - F_sp) / (dF/dh), step), 0 inside the deadband   force loop per rev
(L4)  n_T = n_T0 [1 + (level - level_0) / span] + integral        averaging level loop
(L5)  F_sp += (dF/dh)_w dh_set                     re-reference: keeps weight on a thickness move
(L6)  u+ = clip(u_req, lo, hi) limited to rate dt  ramp and clamp

References
----------
(L1) ratio control of all feeders: Hanson 2018, Powder Technol 331:236-243 (title only).
(L2) after feeder makers' manuals (survey 1.1, read). (L3) practice: Ridgway Watt & Armstrong 2008
(read in part) and pages on press control (read); gain and deadband assumed by the project's owner
so that recorded presses are matched. (L4) averaging level control: Lakerveld et al. 2013,
Processes 1:330-348 (abstract read). (L5) worked out from the press equations.
"""

from __future__ import annotations

from dataclasses import dataclass

from plant_models.maths import Expr, maximum, minimum
from plant_models.tablet_press import Compaction, PressParameters, force_at_weight, weight_at_force

__all__ = [
    "ForceLoop",
    "GravimetricLoop",
    "LevelLoop",
    "feeder_rate_setpoints",
    "force_loop_move",
    "force_re_reference",
    "force_slope",
    "gravimetric_move",
    "level_loop_output",
    "limit_move",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GravimetricLoop:
    """Gain [-] per period and period [s], which is the window of the flow signal."""

    gain: float
    period: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceLoop:
    """Weight-force loop: share of the error corrected per revolution; depths in m."""

    gain: float
    deadband: float
    step_min: float
    step_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLoop:
    """Averaging level loop: proportional span and integral time [s], level set point [-]."""

    set_point: float
    gain: float
    integral_time: float


def feeder_rate_setpoints(
    total: Expr, ratios: list[Expr | None], frozen: list[Expr | None]
) -> list[Expr]:
    """Rate set points [kg/s] of all feeders (L1).

    Parameters
    ----------
    total
        Total feed [kg/s].
    ratios
        Mass fraction of each feeder; ``None`` marks the one that balances (the filler).
    frozen
        Rate [kg/s] of a feeder whose rate is frozen (refill, settling), else ``None``. The filler
        makes up for the others, never below 0.
    """
    rates = [
        held if held is not None else (None if share is None else total * share)
        for share, held in zip(ratios, frozen, strict=True)
    ]
    others = sum(r for r in rates if r is not None)
    return [maximum(total - others, 0.0) if r is None else r for r in rates]  # (L1)


def gravimetric_move(loop: GravimetricLoop, rate: Expr, flow: Expr, feed_factor: Expr) -> Expr:
    """Change of screw speed [rev/s] for a rate error [kg/s] (L2)."""
    return loop.gain * (rate - flow) / feed_factor  # (L2)


def force_slope(
    p: PressParameters, c: Compaction, force: Expr, thickness_set: Expr, fill_depth: Expr
) -> Expr:
    """``dF/dh_f`` [N/m] at fixed thickness: how the PLC turns force into fill depth."""
    weight = weight_at_force(p, c, force, thickness_set)
    delta = 1e-3
    more = force_at_weight(p, c, weight * (1.0 + delta), thickness_set)
    less = force_at_weight(p, c, weight * (1.0 - delta), thickness_set)
    return (more - less) / (2.0 * delta * fill_depth)


def force_loop_move(loop: ForceLoop, force: float, set_point: float, slope: float) -> float:
    """Correction of the fill depth [m] after one revolution (L3).

    ``force`` and ``set_point`` in N, ``slope`` in N/m. Inside the deadband nothing moves; a move
    is rounded to the drive's step and never exceeds the largest one.
    """
    wanted = -loop.gain * (force - set_point) / slope
    if abs(wanted) < loop.deadband:
        return 0.0
    steps = round(wanted / loop.step_min)
    return float(max(-loop.step_max, min(loop.step_max, steps * loop.step_min)))  # (L3)


def force_re_reference(
    p: PressParameters, c: Compaction, force: Expr, thickness_set: Expr, move: Expr
) -> Expr:
    """Change of the force set point [N] that keeps the weight on a thickness move [m] (L5)."""
    weight = weight_at_force(p, c, force, thickness_set)
    return force_at_weight(p, c, weight, thickness_set + move) - force  # (L5)


def level_loop_output(
    loop: LevelLoop, base: Expr, level: Expr, integral: Expr, period: float
) -> tuple[Expr, Expr]:
    """Output of the averaging level loop, in the unit of ``base``, and its new integral (L4).

    A high level raises the output (turret speed that follows the level). ``integral`` is in the
    unit of level error times second.
    """
    error = level - loop.set_point
    integral = integral + error * period
    return base * (1.0 + loop.gain * (error + integral / loop.integral_time)), integral  # (L4)


def limit_move(request: Expr, actual: Expr, low: Expr, high: Expr, move: Expr) -> Expr:
    """Clamp a request to its range, then to ``actual`` +- ``move``, all in one unit (L6)."""
    clamped = minimum(maximum(request, low), high)
    return minimum(maximum(clamped, actual - move), actual + move)  # (L6)
