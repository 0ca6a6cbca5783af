"""Key figures of a controller since its server started, counted cycle by cycle in plant time.

Service factor: share of the time of a running line in which the loop was closed. Utilisation of a
manipulated variable: share of the time in closed loop in which the controller could move it.
Alarms are counted as ISA-18.2 and EEMUA 191 do: annunciated ones, in windows of ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.alarms.upsets import UpsetCount, counted
from controller.alarms.watch import Load, bear
from controller.cycle_data import CycleOutput
from controller.data import Mode, Validated
from controller.link.server_values import Quantity, Values, short_name
from plant_models.signals import PLC, LineState

__all__ = ["Kpis", "count", "kpi_values"]

# A longer gap between two cycles counts as this many periods.
_LONGEST_PERIODS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpis:
    """Sums over the cycles seen, times in plant seconds; ``wall_*`` in seconds of wall time.

    ``alarms`` are all that were annunciated, ``alarms_most`` the most of them in any ten minutes.
    """

    time: float | None = None
    cycles: int = 0
    overruns: int = 0
    frames: int = 0
    running: float = 0.0
    closed: float = 0.0
    in_mode: Mapping[Mode, float] = field(default_factory=dict)
    movable: Mapping[str, float] = field(default_factory=dict)
    wall_last: float = 0.0
    wall_sum: float = 0.0
    wall_worst: float = 0.0
    alarms: int = 0
    alarms_most: int = 0
    load: Load = field(default_factory=Load)
    upsets: UpsetCount = field(default_factory=UpsetCount)


def count(before: Kpis, output: CycleOutput, period_s: float) -> Kpis:
    """The figures with one cycle more."""
    r = output.record
    wall = 1e-3 * r.wall_ms.get("total", sum(r.wall_ms.values()))
    speed = r.snapshot.number(PLC.SPEED) or 1.0
    passed = 0.0 if before.time is None else r.time - before.time
    passed = min(max(passed, 0.0), _LONGEST_PERIODS * period_s)
    running = r.validated is not None and r.validated.line_state is LineState.RUNNING
    closed = running and r.mode is Mode.CLOSED_LOOP
    events = output.oversight.alarm_events if output.oversight is not None else ()
    called = sum(e.annunciated for e in events)
    load = bear(before.load, r.time, called)
    return replace(
        before,
        time=r.time,
        cycles=before.cycles + 1,
        overruns=before.overruns + (wall > period_s / speed),
        frames=before.frames + (output.command.frame is not None),
        running=before.running + running * passed,
        closed=before.closed + closed * passed,
        in_mode={**before.in_mode, r.mode: before.in_mode.get(r.mode, 0.0) + passed},
        movable=_movable(before.movable, r.validated, passed) if closed else before.movable,
        wall_last=wall,
        wall_sum=before.wall_sum + wall,
        wall_worst=max(before.wall_worst, wall),
        alarms=before.alarms + called,
        alarms_most=max(before.alarms_most, _recent(load)),
        load=load,
        upsets=counted(before.upsets, events),
    )


def kpi_values(k: Kpis) -> Values:
    """The figures as shown, by path."""
    values: Values = {
        "KPIs/Cycles": k.cycles,
        "KPIs/Overruns": k.overruns,
        "KPIs/CommandsSent": k.frames,
        "KPIs/Alarms/Count": k.alarms,
        "KPIs/Alarms/InTenMinutes": _recent(k.load),
        "KPIs/Alarms/MostInTenMinutes": k.alarms_most,
        "KPIs/Alarms/Flood": k.load.flood,
        "KPIs/Alarms/Upsets": k.upsets.upsets,
        "KPIs/Alarms/MostInUpset": k.upsets.worst,
        "KPIs/CycleTime/Last": Quantity(k.wall_last, "s"),
        "KPIs/CycleTime/Mean": Quantity(k.wall_sum / max(k.cycles, 1), "s"),
        "KPIs/CycleTime/Worst": Quantity(k.wall_worst, "s"),
    }
    for mode in Mode:
        values[f"KPIs/TimeInMode/{mode}"] = Quantity(k.in_mode.get(mode, 0.0), "s")
    if k.running > 0.0:
        values["KPIs/ServiceFactor"] = Quantity(100.0 * k.closed / k.running, "%")
    if k.closed > 0.0 and k.movable:
        for tag, seconds in k.movable.items():
            share = Quantity(100.0 * seconds / k.closed, "%")
            values[f"KPIs/MvUtilisation/{short_name(tag)}"] = share
    return values


def _recent(load: Load) -> int:
    return sum(number for _, number in load.recent)


def _movable(
    before: Mapping[str, float], validated: Validated | None, passed: float
) -> Mapping[str, float]:
    if validated is None:
        return before
    return {
        tag: before.get(tag, 0.0) + (passed if available else 0.0)
        for tag, available in validated.available.items()
    }
