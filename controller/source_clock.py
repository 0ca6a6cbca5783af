"""Clock of an instrument's own computer: learnt to be wrong only when it cannot be right.

As long as an instrument's times are credible they are used as they are. When they are not (a jump
of an hour with daylight saving, a clock that drifts), but go on steadily, the offset is learnt:
whole hours one way or the other, and no more than `SourceClockConfig.correct_max_s` beside. What
lies outside of that is dropped.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import NamedTuple

from controller.config import SourceClockConfig

__all__ = ["ClockState", "LabClock", "credible", "place_lab", "track"]

_HOUR = 3600.0
_STEADY_S = 10.0  # by which the offset of a clock that goes on may change between two readings
_READINGS = 3
_SAMPLES = 2
_LAB_STEADY_S = 60.0
_FOLLOW = 0.2
_AGE_FOLLOWS = 0.02  # slower than a clock drifts
_NO_OFFSET_S = 2.0


class ClockState(NamedTuple):
    """What is known of a clock.

    ``offset`` [s] is learnt, beyond the configured one; ``doubt`` the offset that ``readings``
    readings in a row suggest; ``source`` the time stamp of the last one; ``age`` [s] how old
    readings usually are when they come.
    """

    offset: float = 0.0
    doubt: float = nan
    readings: int = 0
    source: float = nan
    age: float = nan


class LabClock(NamedTuple):
    """The same for at-line samples: ``text`` says what is wrong with the clock now."""

    age: float = nan
    readings: int = 0
    text: str = ""


def credible(rest: float, config: SourceClockConfig) -> bool:
    """Whether a clock can be off by ``rest`` [s]: little, or that much beside an hour."""
    near = min(abs(rest - hours) for hours in (0.0, _HOUR, -_HOUR))
    return near <= config.correct_max_s


def track(
    clock: ClockState, config: SourceClockConfig, source: float, now: float
) -> tuple[ClockState, float, str]:
    """Time of a reading by our clock.

    Parameters
    ----------
    clock
        What is known of its clock.
    config
        Configured offset and limits.
    source
        Its own time stamp [s, UTC].
    now
        Plant time [s, UTC].

    Returns
    -------
    Next state, the time corrected by what is learnt (and no more: it may still be incredible), and
    in words what is corrected.
    """
    stamped = source - config.offset_s
    time = stamped - clock.offset
    if source == clock.source:
        return clock, time, _said(clock.offset)
    age = now - time
    seen = clock._replace(source=source)
    if -config.ahead_max_s <= age <= config.age_max_s:
        usual = age if not isfinite(clock.age) else clock.age + _AGE_FOLLOWS * (age - clock.age)
        if clock.offset == 0.0:
            return seen._replace(doubt=nan, readings=0, age=usual), time, ""
        offset = stamped - now + clock.age if isfinite(clock.age) else clock.offset
        if credible(offset, config):
            offset = 0.0 if abs(offset) < _NO_OFFSET_S else offset
            return (
                seen._replace(doubt=nan, readings=0, offset=offset),
                stamped - offset,
                _said(offset),
            )
    doubt = stamped - now + (clock.age if isfinite(clock.age) else 0.0)
    readings = clock.readings + 1 if abs(doubt - clock.doubt) <= _STEADY_S else 1
    seen = seen._replace(doubt=doubt, readings=readings)
    if readings < _READINGS or not credible(doubt, config):
        return seen, time, ""
    offset = 0.0 if abs(doubt) < _NO_OFFSET_S else doubt
    return seen._replace(offset=offset, doubt=nan, readings=0), stamped - offset, _said(offset)


def _said(offset: float) -> str:
    return f"source clock off by {offset:+.0f} s, corrected" if offset else ""


def place_lab(
    clock: LabClock, config: SourceClockConfig, taken: float, now: float
) -> tuple[LabClock, float | None]:
    """When a new sample was taken by our clock; None if that cannot be said.

    Parameters
    ----------
    clock
        What is known of the tester's clock.
    config
        Configured offset and limits.
    taken
        By the tester's clock [s, UTC].
    now
        Plant time [s, UTC] at which its result came.
    """
    time = taken - config.offset_s
    age = now - time
    usual = clock.age if isfinite(clock.age) else None
    if -config.ahead_max_s <= age <= config.age_max_s:
        if usual is None or abs(age - usual) <= _LAB_STEADY_S:
            new = age if usual is None else usual + _FOLLOW * (age - usual)
            return LabClock(age=new), time
        readings = clock.readings + 1
        if readings < _SAMPLES or abs(age - usual) > config.correct_max_s:
            return LabClock(clock.age, readings, ""), time
        text = f"source clock off by {usual - age:+.0f} s, corrected"
        return LabClock(clock.age, readings, text), now - usual
    for hour in (0.0, _HOUR, -_HOUR):
        shifted = age + hour  # as if the clock were right, an hour ahead, or behind
        if usual is None and -config.ahead_max_s <= shifted <= config.age_max_s:
            text = f"source clock off by {hour:+.0f} s, corrected"
            return LabClock(shifted, clock.readings + 1, text), now - shifted
        if usual is not None and abs(shifted - usual) <= config.correct_max_s:
            text = f"source clock off by {usual - age:+.0f} s, corrected"
            placed = now - (shifted if abs(shifted - usual) <= _LAB_STEADY_S else usual)
            return LabClock(clock.age, clock.readings + 1, text), placed
    return LabClock(clock.age, clock.readings + 1, f"source clock off by {-age:+.0f} s"), None
