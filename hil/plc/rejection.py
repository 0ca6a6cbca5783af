"""Single-tablet rejection by force band, and the diverter; both are checked by their feedback."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hil.plc.parameters import PlcParameters
from hil.plc.state import Diverter, DiverterState, OutletFeedback, RejectionState

__all__ = ["check_gate", "diverter_step", "judge_tablets", "outlet_fault"]

_MEAN_REVOLUTIONS = 2.0
_MISSED_S = 3
_LATE_S = 3


def judge_tablets(
    p: PlcParameters, rejection: RejectionState, forces: NDArray[np.float64]
) -> tuple[RejectionState, NDArray[np.bool_]]:
    """Which tablets the gate is to take out: main force [N] outside the band round the mean.

    The running mean follows with clipped forces, so that a broken tablet does not move it and a
    true shift still carries it along.
    """
    if forces.size == 0:
        return replace(rejection, ordered=0), np.zeros(0, dtype=np.bool_)
    mean = rejection.mean if rejection.mean > 0.0 else float(np.median(forces))
    band = p.config.reject_force_band_percent / 100.0 * mean
    outside = np.abs(forces - mean) > band
    share = min(1.0, forces.size / (_MEAN_REVOLUTIONS * p.press.stations))
    clipped = float(np.clip(forces, mean - band, mean + band).mean())
    mean += share * (clipped - mean)
    return replace(rejection, mean=mean, ordered=int(outside.sum())), outside


def check_gate(rejection: RejectionState, feedback: OutletFeedback) -> RejectionState:
    """Compare what the gate's sensor counted with what was ordered in the last second."""
    if rejection.ordered == 0:
        return rejection
    missed = rejection.missed + 1 if feedback.taken < rejection.ordered else 0
    return rejection if missed == rejection.missed else replace(rejection, missed=missed)


def outlet_fault(p: PlcParameters, rejection: RejectionState, diverter: DiverterState) -> str:
    """Which part of the outlet does not do what it is told; empty if all is well."""
    if rejection.missed >= _MISSED_S:
        return "fail to reject"
    if diverter.late_s > p.config.diverter_travel_s + _LATE_S:
        return "diverter not in position"
    return ""


def diverter_step(
    p: PlcParameters,
    d: DiverterState,
    feedback: OutletFeedback,
    *,
    collectable: bool,
    good: bool,
    bad: bool,
) -> DiverterState:
    """Where the diverter is to go.

    Parameters
    ----------
    p, d
        Parameters and state.
    feedback
        What the outlet's sensors show.
    collectable
        The line runs and nobody asks for diversion; without it tablets are diverted at once.
    good
        The material is good now; it must have been so for the configured time, and what was made
        before must have left the press, before the diverter goes to collect.
    bad
        The material is far off: divert.
    """
    wait = p.config.good_before_collect_s + p.config.diverter_clear_s
    late = 0 if feedback.diverter is d.goal else d.late_s + 1
    if not collectable or bad:
        goal, good_s = Diverter.DIVERT, 0
    elif d.goal is Diverter.DIVERT:
        good_s = d.good_s + 1 if good else 0
        goal = Diverter.COLLECT if good_s >= wait else Diverter.DIVERT
    else:
        goal, good_s = d.goal, d.good_s
    if goal is not d.goal:
        late = 0
    return DiverterState(position=feedback.diverter, goal=goal, good_s=good_s, late_s=late)
