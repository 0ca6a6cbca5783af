"""The alarms of one controller, cycle by cycle: facts and requests in, states and events out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.alarms.conditions import Facts, Seen, Watched, conditions, meaningless
from controller.alarms.definitions import Definition, Each, alarm_list
from controller.alarms.engine import AlarmEvent, AlarmState, update
from controller.alarms.entries import ENTRIES
from controller.alarms.handling import handle_alarm_requests
from controller.alarms.requests import AlarmRequest
from controller.alarms.statistics import FLOOD_END, FLOOD_START, WINDOW_S
from controller.supervision.requests import Answered

__all__ = ["AlarmMemory", "AlarmSetup", "Load", "Watch", "alarm_setup", "bear", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSetup:
    """Alarm list of one controller, and what it watches."""

    definitions: Mapping[str, Definition]
    watched: Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Alarms of the last ten minutes as (time, number), and whether they are a flood."""

    recent: tuple[tuple[float, int], ...] = ()
    flood: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmMemory:
    """What lives between cycles: bounded by the length of the list and by ten minutes."""

    alarms: AlarmState = field(default_factory=AlarmState)
    seen: Seen = field(default_factory=Seen)
    load: Load = field(default_factory=Load)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Outcome of a cycle: memory, the journal's new lines, answers to requests."""

    memory: AlarmMemory
    events: tuple[AlarmEvent, ...] = ()
    answers: tuple[Answered, ...] = ()


def alarm_setup(watched: Watched) -> AlarmSetup:
    """The alarm list for what is watched. Raises ``ValueError`` for tuning of unknown alarms."""
    items = {
        Each.INSTRUMENT: dict(watched.instruments),
        Each.MV: {tag: tag.rpartition("/")[2] for tag in watched.owned},
        Each.CV: {name: name.replace("_", " ") for name in watched.specification},
    }
    return AlarmSetup(
        definitions=alarm_list(ENTRIES, items, watched.config.alarms.tuning), watched=watched
    )


def bear(load: Load, time: float, number: int) -> Load:
    """The load with ``number`` alarms more at ``time``; a flood begins and ends with it."""
    recent = tuple((t, n) for t, n in load.recent if abs(time - t) < WINDOW_S)
    if number:
        recent = (*recent, (time, number))
    if recent == load.recent and not load.flood:
        return load
    total = sum(n for _, n in recent)
    return Load(recent=recent, flood=total > (FLOOD_END - 1 if load.flood else FLOOD_START))


def watch(
    memory: AlarmMemory, facts: Facts, requests: Iterable[AlarmRequest], setup: AlarmSetup
) -> Watch:
    """One cycle of the alarms: requests first, then conditions.

    Parameters
    ----------
    memory
        After the cycle before.
    facts
        What this cycle found.
    requests
        What operators ask of the alarms.
    setup
        List and what is watched.
    """
    time, config = facts.snapshot.time, setup.watched.config
    alarms, answers, asked = handle_alarm_requests(
        memory.alarms, requests, setup.definitions, config=config, time=time
    )
    found, seen = conditions(replace(facts, flood=memory.load.flood), memory.seen, setup.watched)
    alarms, events = update(
        alarms,
        found,
        setup.definitions,
        time=time,
        suppressed=meaningless(facts, seen, setup.definitions.values(), config.alarms.settle_s),
        first_out_s=config.alarms.first_out_s,
    )
    events = asked + events
    load = bear(memory.load, time, sum(e.annunciated for e in events))
    return Watch(
        memory=AlarmMemory(alarms=alarms, seen=seen, load=load), events=events, answers=answers
    )
