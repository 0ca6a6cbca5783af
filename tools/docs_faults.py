"""Faults that the controller lives with, as ``docs/supervision.md`` tells them."""

from __future__ import annotations

from controller.alarm_config import AlarmConfig
from controller.alarms.ids import Id

__all__ = ["FAULTS", "PLAYED"]

_DAYS = AlarmConfig().certificate_days

FAULTS = """\
## Faults

What the controller lives with; `tests/controller/alarms/test_alarm_faults.py` plays each through
the whole cycle.
"""

PLAYED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "the plant's clock is set, or changes to daylight saving",
        "time goes on with the plant's heartbeat; every stamp of that clock is corrected",
        (Id.CLOCK,),
    ),
    (
        "a source's clock changes by an hour or drifts by minutes",
        "corrected by its own offset; what lies outside its limits is not used",
        (Id.DOUBTFUL, Id.LOST),
    ),
    (
        "a value of the wrong type or in the wrong unit",
        "not used; the twin stands in as the loss ladder says",
        (Id.LOST, Id.ALLOWANCE),
    ),
    (
        "unit or range on the server differ from ours",
        "nothing is written; a closed loop is shed",
        (Id.LIMITS, Id.SHED),
    ),
    (
        "the plant's server is slow, or the connection is half open",
        "a read that is late counts as a lost plant: shed, then a fresh connection; the PLC's "
        "watchdog sheds by itself",
        (Id.PLANT_LOST, Id.SHED, Id.LATE),
    ),
    (
        "a certificate expires",
        f"named {_DAYS:.0f} days before; a renewed one is taken up "
        "without a missed cycle, an expired one is refused",
        (Id.CERTIFICATE, Id.PLANT_LOST),
    ),
    (
        "the line stops, ten seconds or twenty minutes",
        "suspended; it resumes within its time, later it is shed",
        (Id.SUSPENDED, Id.RESUME, Id.SHED),
    ),
    (
        "very many events at once",
        "an alarm has at most one event of a kind in a cycle; all are in the journal; the first is "
        "marked and consequences are hidden behind their cause",
        (Id.FLOOD,),
    ),
)
