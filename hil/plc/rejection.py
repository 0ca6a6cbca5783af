"""Single-tablet rejection by force band, and the diverter with its travel time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hil.plc.parameters import PlcParameters
from hil.plc.state import Diverter, DiverterState, RejectionState

__all__ = ["diverter_step", "judge_tablets"]

_MEAN_REVOLUTIONS = 2.0


def judge_tablets(
    p: PlcParameters, rejection: RejectionState, forces: NDArray[np.float64]
) -> tuple[RejectionState, NDArray[np.bool_]]:
    """Which tablets the gate takes out: main force [N] outside the band around the running mean.

    The mean follows with clipped forces, so that a broken tablet does not move it and a true shift
    still carries it along.
    """
    if forces.size == 0:
        return rejection, np.zeros(0, dtype=np.bool_)
    mean = rejection.mean if rejection.mean > 0.0 else float(np.median(forces))
    band = p.config.reject_force_band_percent / 100.0 * mean
    outside = np.abs(forces - mean) > band
    share = min(1.0, forces.size / (_MEAN_REVOLUTIONS * p.press.stations))
    clipped = float(np.clip(forces, mean - band, mean + band).mean())
    return RejectionState(mean=mean + share * (clipped - mean)), outside


def diverter_step(
    p: PlcParameters, d: DiverterState, *, collectable: bool, good: bool, bad: bool
) -> DiverterState:
    """One second of the diverter.

    Parameters
    ----------
    p, d
        Parameters and state.
    collectable
        The line runs and nobody asks for diversion; without it tablets are diverted at once.
    good
        The material is good now; it must have been so for the configured time, and what was made
        before must have left the press, before the diverter goes to collect.
    bad
        The material is far off: divert.
    """
    wait = p.config.good_before_collect_s + p.config.diverter_clear_s
    if not collectable or bad:
        goal, good_s = Diverter.DIVERT, 0
    elif d.goal is Diverter.DIVERT:
        good_s = d.good_s + 1 if good else 0
        goal = Diverter.COLLECT if good_s >= wait else Diverter.DIVERT
    else:
        goal, good_s = d.goal, d.good_s
    position, travel = d.position, d.travel_s
    if goal is not d.goal:
        travel = 0.0
    if position is not goal:
        position, travel = Diverter.MOVING, travel + 1.0
        if travel > p.config.diverter_travel_s:
            position, travel = goal, 0.0
    return replace(d, position=position, travel_s=travel, goal=goal, good_s=good_s)
