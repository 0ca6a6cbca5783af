"""Moves that never jump: from the set point in use, at most a rate, at first only part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Bounds", "Move", "limited_move", "ramp"]

_INSIDE = 1.0 - 1e-9  # stays below the rate limit after rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of one MV for one cycle, in its plant unit; ``up`` and ``down`` are positive."""

    lo: float
    hi: float
    up: float
    down: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A set point to write, in plant units, and why it is not the one planned (or nothing)."""

    value: float
    limited_by: str


def ramp(cycles_closed: int, ramp_cycles: int) -> float:
    """Share of the rate that a move may use: grows to 1 over the first cycles in closed loop."""
    return min(1.0, (cycles_closed + 1) / ramp_cycles)


def limited_move(planned: float, actual: float, bounds: Bounds, share: float) -> Move:
    """The planned set point, within range and reachable from ``actual`` in one cycle.

    The rate wins over the range: a set point found outside its range walks back in.
    """
    value, limited_by = planned, ""
    if not bounds.lo <= value <= bounds.hi:
        value, limited_by = min(max(value, bounds.lo), bounds.hi), "range"
    up, down = share * bounds.up * _INSIDE, share * bounds.down * _INSIDE
    if value > actual + up:
        value, limited_by = actual + up, "rate"
    elif value < actual - down:
        value, limited_by = actual - down, "rate"
    if math.isclose(value, planned, rel_tol=1e-7):
        limited_by = ""
    return Move(value=value, limited_by=limited_by)
