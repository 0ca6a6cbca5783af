"""When a measurement is not to blame for what it reads: a refill, a line that does not run."""

from __future__ import annotations

from controller.data import Validated
from plant_models.signals import LineState, RefillPhase, Snapshot

__all__ = ["excused"]

_VOLUMETRIC = frozenset({RefillPhase.ACTIVE.value, RefillPhase.SETTLING.value})
_FEEDER = "Line/Feeder"
_FLOWING = ("Line/Press/", "Line/FeedFrame/", "Line/Formulation/")
_FLOW = "/MassFlow/PV"
_ALL_FEEDERS = "Line/Formulation/"


def excused(tag: str, seen: Validated, snapshot: Snapshot) -> str:
    """Why a measurement that cannot be used is as it should be; empty if it is not.

    A refill excuses the load cell of its feeder and, as long as it settles, what is made of its
    flow; a line that does not run all that needs flowing powder. A phase that cannot be read
    excuses nothing.
    """
    if seen.line_state is not LineState.RUNNING and (
        tag.startswith(_FLOWING) or tag.endswith(_FLOW)
    ):
        return "the line does not run"
    if tag.startswith(_FEEDER):
        unit = tag[: tag.index("/", len(_FEEDER))]
        return "refill" if snapshot.text(f"{unit}/Refill/PV") in _VOLUMETRIC else ""
    if tag.startswith(_ALL_FEEDERS):
        for i in range(1, len(seen.refills) + 1):
            if snapshot.text(f"{_FEEDER}{i}/Refill/PV") in _VOLUMETRIC:
                return "refill"
    return ""
