"""Refill by level: request, permit, valve open, settling; never two feeders at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hil.plc.parameters import FeederSettings
from hil.plc.state import FeederState
from hil.readings import Reading
from plant_models.signals import RefillPhase, is_good

__all__ = ["refill_step", "volumetric"]

_LATEST = 1.5  # a valve never stays open longer than this many refill times
_LOW_S = 3
_EMPTY = 0.03


def volumetric(phase: RefillPhase) -> bool:
    """Whether the screw runs at frozen speed in this phase."""
    return phase in (RefillPhase.ACTIVE, RefillPhase.SETTLING)


def _watch(s: FeederSettings, f: FeederState, level: Reading) -> FeederState:
    good = is_good(level.status)
    low = f.low_s + 1 if good and level.value <= s.refill_from else 0
    empty = f.empty_s + 1 if good and level.value <= _EMPTY else 0
    return f if (low, empty) == (f.low_s, f.empty_s) else replace(f, low_s=low, empty_s=empty)


def _next(s: FeederSettings, f: FeederState, level: Reading, free: bool) -> FeederState:
    good = is_good(level.status)
    age = f.phase_s + 1
    f = _watch(s, f, level)
    if f.phase is RefillPhase.NONE:
        if f.low_s >= _LOW_S:
            return replace(f, phase=RefillPhase.REQUEST, phase_s=0)
        return f
    if f.phase is RefillPhase.REQUEST:
        if free:
            return replace(f, phase=RefillPhase.ACTIVE, phase_s=0, frozen_rate=f.rate or None)
        return replace(f, phase_s=age)
    if f.phase is RefillPhase.ACTIVE:
        full = level.value >= s.refill_to if good else age >= s.refill_time
        if full or age >= _LATEST * s.refill_time:
            return replace(f, phase=RefillPhase.SETTLING, phase_s=0)
        return replace(f, phase_s=age)
    if age >= s.settling_time:
        return replace(f, phase=RefillPhase.NONE, phase_s=0, frozen_rate=None)
    return replace(f, phase_s=age)


def refill_step(
    settings: Sequence[FeederSettings], feeders: Sequence[FeederState], levels: Sequence[Reading]
) -> tuple[FeederState, ...]:
    """One second of refill logic for all feeders.

    A request is granted only while no other feeder refills or settles, so that at most one feeder
    is ever volumetric. While the load cell is invalid the valve closes by time.
    """
    after = list(feeders)
    for i, (s, level) in enumerate(zip(settings, levels, strict=True)):
        busy = any(volumetric(f.phase) for j, f in enumerate(after) if j != i)
        after[i] = _next(s, after[i], level, not busy)
    return tuple(after)
