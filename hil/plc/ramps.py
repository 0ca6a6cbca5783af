"""Ramps and clamps of the set points: no set point moves faster than its rate, whoever asks."""

from __future__ import annotations

from dataclasses import replace

from hil.plc.parameters import Limit, PlcParameters
from hil.plc.state import MvState

__all__ = ["aim", "clamp_flag", "cut_to_rate", "ramp"]

_ROUNDING = 1e-9


def clamp_flag(limit: Limit, value: float) -> int:
    """-1 at or below the lower limit, +1 at or above the upper one, else 0."""
    slack = _ROUNDING * (limit.hi - limit.lo)
    if value <= limit.lo + slack:
        return -1
    return 1 if value >= limit.hi - slack else 0


def _clamped(limit: Limit, value: float) -> float:
    return min(max(value, limit.lo), limit.hi)


def aim(limit: Limit, mv: MvState, value: float) -> MvState:
    """Let the ramp of ``mv`` end at ``value``, clamped to the range."""
    target = _clamped(limit, value)
    if target == mv.target:
        return mv
    return replace(mv, target=target, clamped=clamp_flag(limit, value))


def cut_to_rate(p: PlcParameters, tag: str, mv: MvState, request: float) -> MvState:
    """Aim at a controller's request, at most one control period's move away."""
    limit, move = p.limits[tag], p.period_move(tag)
    wanted = _clamped(limit, request)
    target = min(max(wanted, mv.act - move), mv.act + move)
    cut = abs(wanted - target) > _ROUNDING * move
    return replace(mv, target=target, clamped=2 if cut else clamp_flag(limit, request))


def ramp(limit: Limit, mv: MvState, seconds: float = 1.0) -> MvState:
    """Move the set point in use towards its target at no more than its rate."""
    if mv.act == mv.target:
        return mv
    move = limit.rate * seconds
    return replace(mv, act=min(max(mv.target, mv.act - move), mv.act + move))
