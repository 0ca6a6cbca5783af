"""What an entry of the alarm list says, and how the list of one controller is made from entries.

An entry with ``each`` stands for one alarm per instrument, manipulated or controlled variable. The
entries themselves are in `controller.alarms.entries`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from controller.alarm_config import AlarmTuning

__all__ = ["Definition", "Each", "Priority", "alarm_id", "alarm_list"]


class Priority(StrEnum):
    """How urgent an alarm is: consequence and time to act."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Each(StrEnum):
    """What an entry is repeated for."""

    INSTRUMENT = "instrument"
    MV = "manipulated variable"
    CV = "controlled variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One entry of the alarm list.

    Attributes
    ----------
    id, text, priority
        Name, message (``{item}`` is what it is repeated for), urgency.
    cause, consequence, action, respond_within_s
        Why it comes, what happens if nobody acts, what to do, in what time [s].
    on_delay_s, off_delay_s
        How long the condition must hold, or be gone, before the alarm comes or clears [s].
    deadband, unit
        How far a value must come back beyond its limit before the condition is gone.
    latching
        Stays in alarm until acknowledged, though its condition is gone.
    needs_running
        Means nothing while the line stands: suppressed by design then.
    suppressed_by
        Alarms of which this one is a consequence: suppressed by design while one of them is shown
        and its condition is not the later one.
    names_cause
        Says why something happened: never suppressed.
    alert
        Informs only.
    each
        What it is repeated for, if anything.
    """

    id: str
    text: str
    priority: Priority
    cause: str
    consequence: str
    action: str
    respond_within_s: float
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    deadband: float = 0.0
    unit: str = ""
    latching: bool = False
    needs_running: bool = False
    suppressed_by: tuple[str, ...] = ()
    names_cause: bool = False
    alert: bool = False
    each: Each | None = None

    def __post_init__(self) -> None:
        if self.names_cause and (self.suppressed_by or self.needs_running):
            raise ValueError(
                f"alarm {self.id}: it names a cause, so nothing may suppress it; take "
                "suppressed_by and needs_running away"
            )


def alarm_id(entry: str, item: str) -> str:
    """Name of the alarm of ``entry`` for one item: ``mv-local.Thickness``.

    Of a tag the last part counts; of a name, letters and digits.
    """
    name = item.rpartition("/")[2]
    return f"{entry}.{re.sub(r'[^A-Za-z0-9_]+', '-', name)}"


def alarm_list(
    entries: Iterable[Definition],
    items: Mapping[Each, Mapping[str, str]],
    tuning: Iterable[AlarmTuning] = (),
) -> Mapping[str, Definition]:
    """The list of one controller, by id, in the order of ``entries``.

    Parameters
    ----------
    entries
        The rationalised list.
    items
        What entries are repeated for: by name (an MV's tag), how it is called in a text.
    tuning
        Times and deadbands of the site. A later one replaces an earlier one.

    Raises
    ------
    ValueError
        An id is there twice or unknown, or an alarm comes before the one that suppresses it.
    """
    changes = {t.id: t for t in tuning}
    made: dict[str, Definition] = {}
    known: set[str] = set()
    for entry in entries:
        rows = [(entry.id, "", "")]
        if entry.each is not None:
            found = items.get(entry.each, {})
            rows = [(alarm_id(entry.id, item), item, shown) for item, shown in found.items()]
        missing = [s for s in entry.suppressed_by if s not in known]
        if missing:
            raise ValueError(
                f"alarm {entry.id} is suppressed by {', '.join(missing)}, which must be in the "
                "list before it"
            )
        for name, item, shown in rows:
            if name in made:
                raise ValueError(f"alarm {name} is in the list twice; each id once")
            made[name] = _tuned(_for_item(entry, name, item, shown, made), entry.id, changes)
        known |= {entry.id, *(row[0] for row in rows)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise ValueError(
            f"supervision.alarms.tuning: there is no alarm {', '.join(unknown)}; there are "
            f"{', '.join(made)}"
        )
    return MappingProxyType(made)


def _for_item(
    entry: Definition, name: str, item: str, shown: str, made: Mapping[str, Definition]
) -> Definition:
    """The entry for one item: suppressed by those of the same item, where there are any."""
    if not item:
        return entry
    own = (alarm_id(s, item) for s in entry.suppressed_by)
    by = tuple(
        mine if mine in made else general
        for general, mine in zip(entry.suppressed_by, own, strict=True)
    )
    return replace(
        entry,
        id=name,
        text=entry.text.format(item=shown),
        suppressed_by=tuple(s for s in by if s in made),
    )


def _tuned(definition: Definition, entry: str, changes: Mapping[str, AlarmTuning]) -> Definition:
    for key in (entry, definition.id):
        change = changes.get(key)
        if change is None:
            continue
        definition = replace(
            definition,
            on_delay_s=_or(change.on_delay_s, definition.on_delay_s),
            off_delay_s=_or(change.off_delay_s, definition.off_delay_s),
            deadband=_or(change.deadband, definition.deadband),
        )
    return definition


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
