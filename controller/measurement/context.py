"""When a measurement is not to blame for what it reads: a refill, a line that does not run."""

from __future__ import annotations

from controller.data import Validated
from plant_models.signals import LineState, RefillPhase, Snapshot

__all__ = ["excused"]

_VOLUMETRIC = frozenset({RefillPhase.ACTIVE.value, RefillPhase.SETTLING.value})
_FEEDER = "Line/Feeder"
_FLOWING = ("Line/Press/", "Line/FeedFrame/")
_FLOW = "/MassFlow/PV"
_MADE = "Line/Formulation/"


def excused(tag: str, seen: Validated, snapshot: Snapshot) -> str:
    """Why a measurement that cannot be used is as it should be; empty if it is not.

    A refill excuses the load cell of its feeder, a line that does not run all that needs flowing
    powder. A phase that cannot be read excuses nothing. Total feed and ratios are no instruments.
    """
    if seen.line_state is not LineState.RUNNING and (
        tag.startswith(_FLOWING) or tag.endswith(_FLOW)
    ):
        return "the line does not run"
    if tag.startswith(_FEEDER):
        unit = tag[: tag.index("/", len(_FEEDER))]
        return "refill" if snapshot.text(f"{unit}/Refill/PV") in _VOLUMETRIC else ""
    if tag.startswith(_MADE):
        return "made of the feeders' flows, which are judged themselves"
    return ""
