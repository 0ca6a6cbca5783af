"""The alarm engine: from conditions to states and events, as pure functions (ISA-18.2).

Per alarm: deadband, then delays, then whether something hides it (out of service, shelved,
suppressed by design), then its state. A condition that is absent is unknown: the alarm stays as it
is. Time is plant time [s, UTC], an argument.

Suppression by design hides a consequence while its cause is shown. It never hides an alarm that
names a cause, nor one whose condition was there before that of the alarm that would suppress it:
that one may be the cause. What hides must itself be shown, so that something is always visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controller.alarms.definitions import Definition, Priority

__all__ = [
    "SHOWN",
    "Alarm",
    "AlarmEvent",
    "AlarmState",
    "Condition",
    "EventKind",
    "State",
    "changes",
    "settled",
    "update",
]

NEVER = float("-inf")
_RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}


class State(StrEnum):
    """States of an alarm."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned to normal, unacknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed by design"
    OUT_OF_SERVICE = "out of service"


SHOWN = frozenset({State.UNACKNOWLEDGED, State.ACKNOWLEDGED})


class EventKind(StrEnum):
    """What happened to an alarm."""

    RAISED = "raised"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"
    COMMENTED = "commented"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    SHELF_EXPIRED = "shelving expired"
    SUPPRESSED = "suppressed"
    UNSUPPRESSED = "no longer suppressed"
    OUT_OF_SERVICE = "taken out of service"
    IN_SERVICE = "put in service"


@dataclass(frozen=True, slots=True)
class Condition:
    """What the data say of one alarm in one cycle.

    ``value`` and ``limit`` are in the unit of the alarm's deadband where it has one.
    """

    active: bool
    text: str = ""
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm now.

    Attributes
    ----------
    id, state, since
        Name, state, time at which it entered it.
    active
        Whether it is in alarm after deadband and delays, hidden or not.
    told, unacknowledged
        Whether it was shown since it became active, and whether that waits for an acknowledgement.
    raw, raw_since
        The condition before the delays, and since when it has been so.
    raised, count
        When it last became active, and how often it did.
    first_out
        It was the first of its episode.
    text, value
        Of its condition when it became active.
    shelved_until, out_of_service, suppressed
        What hides it.
    by
        Who shelved it or took it out of service, and why.
    """

    id: str
    state: State = State.NORMAL
    since: float = NEVER
    active: bool = False
    told: bool = False
    unacknowledged: bool = False
    raw: bool = False
    raw_since: float = NEVER
    raised: float = NEVER
    count: int = 0
    first_out: bool = False
    text: str = ""
    value: float | None = None
    shelved_until: float | None = None
    out_of_service: bool = False
    suppressed: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """One line of the alarm journal; ``number`` grows by one from event to event.

    ``annunciated`` events are those that call for somebody: they are what statistics count.
    """

    number: int
    time: float
    alarm: str
    kind: EventKind
    state: State
    priority: Priority
    text: str
    value: float | None
    annunciated: bool
    first_out: bool
    alert: bool
    user: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmState:
    """All alarms that ever were active, the number of the last event, the present episode."""

    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    number: int = 0
    last_raised: float = NEVER
    first_out: str = ""

    def in_alarm(self) -> tuple[Alarm, ...]:
        """Alarms that are shown: the newest first."""
        seen = SHOWN | {State.RETURNED}
        shown = (a for a in self.alarms.values() if a.state in seen)
        return tuple(sorted(shown, key=lambda a: -a.since))


def update(
    state: AlarmState,
    conditions: Mapping[str, Condition],
    definitions: Mapping[str, Definition],
    *,
    time: float,
    suppressed: frozenset[str] = frozenset(),
    first_out_s: float = 60.0,
) -> tuple[AlarmState, tuple[AlarmEvent, ...]]:
    """One cycle of all alarms.

    Parameters
    ----------
    state
        After the cycle before.
    conditions
        Of this cycle; one that is absent is unknown.
    definitions
        The alarm list: what suppresses others comes first.
    time
        Plant time [s, UTC].
    suppressed
        Alarms that mean nothing now. Those that name a cause are shown all the same.
    first_out_s
        Alarms that follow each other within this time belong to one episode.

    Returns
    -------
    The new state, and what happened, in the order of the list.
    """
    changed: dict[str, Alarm] = {}
    events: list[AlarmEvent] = []
    before = state.alarms
    for name, definition in definitions.items():
        old, condition = before.get(name), conditions.get(name)
        if old is None:
            if condition is None or not condition.active:
                continue
            old = Alarm(id=name)
        elif _at_rest(old) and (condition is None or not condition.active):
            continue
        new = _expired(_debounced(old, condition, definition, time), time)
        hidden = (new.raw or new.active) and _hidden(new, definition, before, changed, suppressed)
        if hidden != new.suppressed:
            new = replace(new, suppressed=hidden)
        new = settled(old, new, definition, time)
        if new is not old:
            changed[name] = new
            events += changes(old, new, definition, time, state.number + len(events))
    if not changed:
        return state, ()
    last, first = state.last_raised, state.first_out
    calls = [e for e in events if e.annunciated]
    if calls:
        if time - last > first_out_s:
            cause = min(calls, key=lambda e: _first(e, definitions))
            first = cause.alarm
            changed[first] = replace(changed[first], first_out=True)
            events[events.index(cause)] = replace(cause, first_out=True)
        last = time
    after = AlarmState(
        alarms={**before, **changed},
        number=state.number + len(events),
        last_raised=last,
        first_out=first,
    )
    return after, tuple(events)


def _first(event: AlarmEvent, definitions: Mapping[str, Definition]) -> tuple[bool, int]:
    """Of alarms that come in the same cycle: those that name a cause, then the more urgent."""
    return not definitions[event.alarm].names_cause, _RANK[event.priority]


def _at_rest(alarm: Alarm) -> bool:
    return (
        alarm.state is State.NORMAL
        and not alarm.raw
        and not alarm.active
        and alarm.shelved_until is None
    )


def _debounced(
    old: Alarm, condition: Condition | None, definition: Definition, time: float
) -> Alarm:
    """Deadband and delays."""
    if condition is None:
        return old
    raw = condition.active
    if not raw and old.raw and condition.value is not None and condition.limit is not None:
        raw = abs(condition.value - condition.limit) <= definition.deadband
    new = old
    if raw != old.raw:
        new = replace(new, raw=raw, raw_since=time)
    held = abs(time - new.raw_since)  # a clock that is set makes an alarm early, never late
    if raw and not new.active and held >= definition.on_delay_s:
        return replace(
            new,
            active=True,
            raised=time,
            count=new.count + 1,
            text=condition.text,
            value=condition.value,
            first_out=False,
            told=False,
        )
    if not raw and new.active and held >= definition.off_delay_s:
        return replace(new, active=False)
    return new


def _expired(alarm: Alarm, time: float) -> Alarm:
    """Shelving ends at its time, or when the clock was set back."""
    if alarm.shelved_until is not None and not alarm.since <= time < alarm.shelved_until:
        return replace(alarm, shelved_until=None, by="")
    return alarm


def _hidden(
    alarm: Alarm,
    definition: Definition,
    before: Mapping[str, Alarm],
    changed: Mapping[str, Alarm],
    suppressed: frozenset[str],
) -> bool:
    """Whether the alarm is a consequence of one that is shown, or means nothing now."""
    if definition.names_cause:
        return False
    if alarm.id in suppressed:
        return True
    for name in definition.suppressed_by:
        cause = changed.get(name) or before.get(name)
        if (
            cause is not None
            and cause.active
            and (cause.state in SHOWN or cause.state is State.SUPPRESSED)
            and cause.raw_since <= alarm.raw_since
        ):
            return True
    return False


def settled(old: Alarm, new: Alarm, definition: Definition, time: float) -> Alarm:
    """The alarm with the state that follows from all else, and since when it has been in it."""
    if new is old:
        return old
    if new.out_of_service:
        state = State.OUT_OF_SERVICE
    elif new.shelved_until is not None:
        state = State.SHELVED
    elif new.suppressed:
        state = State.SUPPRESSED
    else:
        if new.active and not new.told:
            new = replace(new, told=True, unacknowledged=not definition.alert)
        if new.active:
            state = State.UNACKNOWLEDGED if new.unacknowledged else State.ACKNOWLEDGED
        elif new.unacknowledged:
            state = State.UNACKNOWLEDGED if definition.latching else State.RETURNED
        else:
            state = State.NORMAL
    return new if state is old.state else replace(new, state=state, since=time)


def changes(
    old: Alarm,
    new: Alarm,
    definition: Definition,
    time: float,
    number: int,
    user: str = "",
    reason: str = "",
) -> list[AlarmEvent]:
    """The events between two states of an alarm, numbered on from ``number``."""
    kinds: list[EventKind] = []
    if old.shelved_until is not None and new.shelved_until is None:
        kinds.append(EventKind.UNSHELVED if user else EventKind.SHELF_EXPIRED)
    elif new.shelved_until != old.shelved_until:
        kinds.append(EventKind.SHELVED)
    if new.out_of_service != old.out_of_service:
        kinds.append(EventKind.OUT_OF_SERVICE if new.out_of_service else EventKind.IN_SERVICE)
    if new.count != old.count:
        kinds.append(EventKind.RAISED)
    elif new.suppressed != old.suppressed and old.active and new.active:
        kinds.append(EventKind.SUPPRESSED if new.suppressed else EventKind.UNSUPPRESSED)
    if old.unacknowledged and not new.unacknowledged:
        kinds.append(EventKind.ACKNOWLEDGED)
    if old.active and not new.active:
        kinds.append(EventKind.CLEARED)
    if user and not kinds:
        kinds.append(EventKind.COMMENTED)
    text = f"{definition.text}: {new.text}" if new.text else definition.text
    calls = new.told and not (old.told and old.count == new.count) and not definition.alert
    return [
        AlarmEvent(
            number=number + i + 1,
            time=time,
            alarm=new.id,
            kind=kind,
            state=new.state,
            priority=definition.priority,
            text=text,
            value=new.value,
            annunciated=calls and i == len(kinds) - 1,
            first_out=False,
            alert=definition.alert,
            user=user,
            reason=reason,
        )
        for i, kind in enumerate(kinds)
    ]
