"""The plant's clock against its heartbeat: a clock that jumps does not move the cycle's time.

Order comes from the plant's counters, which advance by one per plant second. A jump of its time
stamps (a clock set, daylight saving on a PLC that keeps local time) is taken out of the snapshot:
its time and every stamp of the same clock. Stamps of instruments with their own clocks stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

from plant_models.signals import PLC, Snapshot, Value

__all__ = ["PlantClock", "steady_time"]

_JUMP_S = 30.0


@dataclass(frozen=True, slots=True)
class PlantClock:
    """Time [s, UTC] and heartbeat of the last cycle; ``offset`` [s] of the plant's clock now."""

    time: float | None = None
    heartbeat: int | None = None
    offset: float = 0.0

    @property
    def text(self) -> str:
        """What is wrong with the plant's clock; empty if nothing is."""
        return f"the plant's clock is off by {self.offset:+.0f} s" if self.offset else ""


def steady_time(snapshot: Snapshot, clock: PlantClock) -> tuple[Snapshot, PlantClock]:
    """The snapshot in time that goes on with the heartbeat.

    Without a readable heartbeat, or when it began anew, the plant's time is taken as it is.
    """
    beat = snapshot.number(PLC.HB)
    heartbeat = int(beat) if beat is not None and isfinite(beat) else None
    if heartbeat is None:
        steady = _moved(snapshot, clock.offset)
        return steady, PlantClock(steady.time, clock.heartbeat, clock.offset)
    if clock.time is None or clock.heartbeat is None or heartbeat < clock.heartbeat:
        return snapshot, PlantClock(snapshot.time, heartbeat)
    expected = clock.time + (heartbeat - clock.heartbeat)
    offset = clock.offset
    if abs(snapshot.time - offset - expected) > _JUMP_S:
        offset = snapshot.time - expected
        if abs(offset) <= _JUMP_S:
            offset = 0.0
    steady = _moved(snapshot, offset)
    return steady, PlantClock(steady.time, heartbeat, offset)


def _moved(snapshot: Snapshot, offset: float) -> Snapshot:
    if offset == 0.0:
        return snapshot
    time = snapshot.time - offset
    values = {}
    for tag, v in snapshot.values.items():
        ours = abs(v.source_time - snapshot.time) < abs(v.source_time - time)
        values[tag] = Value(v.value, v.status, v.source_time - offset) if ours else v
    now = values.get(PLC.TIME)
    if now is not None and isinstance(now.value, (int, float)):
        values[PLC.TIME] = replace(now, value=time)
    return replace(snapshot, time=time, values=values)
