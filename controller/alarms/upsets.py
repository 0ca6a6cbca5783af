"""Major upsets among the alarms: how many alarms came in the first ten minutes of each.

EEMUA 191 (4th ed.) wants at most ten. What a major upset is, is for the site to say; here it is an
episode of alarms (`AlarmEvent.first_out`) of which one has high priority: the plant was lost or
control was shed. It begins with the first alarm of the episode, at the earliest ten minutes before
the urgent one. Urgent alarms of its first ten minutes belong to it; a later one is another upset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.alarms.definitions import Priority
from controller.alarms.engine import AlarmEvent

__all__ = ["FIRST_S", "MOST_ALARMS", "Upset", "UpsetCount", "counted"]

FIRST_S = 600.0
MOST_ALARMS = 10


@dataclass(frozen=True, slots=True)
class Upset:
    """When a major upset began [s, UTC], and the alarms of its first ten minutes."""

    begin: float
    alarms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsetCount:
    """The count so far.

    ``last`` is the newest upset, ``worst`` the most alarms of any, ``upsets`` their number;
    ``recent`` are the times of the episode's alarms in the last ten minutes.
    """

    recent: tuple[float, ...] = ()
    last: Upset | None = None
    worst: int = 0
    upsets: int = 0


def counted(before: UpsetCount, events: Iterable[AlarmEvent]) -> UpsetCount:
    """The count with what else is in the journal; only annunciated events count."""
    count = before
    for e in events:
        if e.annunciated:
            count = _with_one(count, e)
    return count


def _with_one(count: UpsetCount, event: AlarmEvent) -> UpsetCount:
    time, last = event.time, count.last
    if last is not None and 0.0 <= time - last.begin < FIRST_S:
        last = replace(last, alarms=last.alarms + 1)
        return replace(count, last=last, worst=max(count.worst, last.alarms), recent=())
    earlier = () if event.first_out else count.recent
    recent = (*(t for t in earlier if 0.0 <= time - t < FIRST_S), time)
    if event.priority is not Priority.HIGH:
        return replace(count, recent=recent)
    last = Upset(begin=recent[0], alarms=len(recent))
    return UpsetCount(last=last, worst=max(count.worst, last.alarms), upsets=count.upsets + 1)
