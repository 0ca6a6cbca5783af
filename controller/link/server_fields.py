"""What is said of an alarm in the terms of OPC 10000-9: by its events and by its condition alike.

References
----------
[1] OPC 10000-9, OPC UA Part 9: Alarms and Conditions, 5.5 (conditions), 5.7, 5.8 (alarms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import Alarm, AlarmEvent, EventKind
from controller.link.wire import numeric_id, stamp, status

__all__ = ["OWN", "SEVERITIES", "Fields", "Said", "Source", "fields_of", "found", "values_of"]

SEVERITIES: Mapping[Priority, int] = {
    Priority.LOW: 250,
    Priority.MEDIUM: 500,
    Priority.HIGH: 750,
}

OWN = ("Priority", "Cause", "Consequence", "OperatorAction", "AlarmState")

_NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)  # the standard's null
_MS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody last said of an alarm, and when; nobody has if ``user`` is empty."""

    user: str = ""
    text: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all alarms have in common: their type, where they come from, longest shelving [s]."""

    type: ua.NodeId
    node: ua.NodeId
    name: str
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What is said of an alarm; ``retain``: of interest to a client that comes later.

    ``time`` is 0 for an alarm that never was. ``unshelve_at`` is the end of its shelving.
    """

    alarm: str
    time: float
    message: str
    severity: int
    priority: str
    state: str
    active: bool
    acknowledged: bool
    suppressed: bool
    shelved: bool
    out_of_service: bool
    retain: bool
    since: float
    unshelve_at: float | None = None
    said: Said = Said()


def fields_of(alarm: Alarm, event: AlarmEvent, said: Said = Said()) -> Fields:
    """What is said of ``alarm`` after ``event``; ``said`` is what people last said of it."""
    if event.user:
        said = Said(user=event.user, text=event.reason, time=event.time)
    return Fields(
        alarm=event.alarm,
        time=max(event.time, 0.0),
        message=event.text or event.alarm,
        severity=SEVERITIES[event.priority],
        priority=str(event.priority),
        state=str(alarm.state),
        active=alarm.active,
        acknowledged=not alarm.unacknowledged,
        suppressed=alarm.suppressed,
        shelved=alarm.shelved_until is not None,
        out_of_service=alarm.out_of_service,
        retain=alarm.active or alarm.unacknowledged,
        since=alarm.since if alarm.since > 0.0 else max(event.time, 0.0),
        unshelve_at=alarm.shelved_until,
        said=said,
    )


def found(alarm: Alarm, definition: Definition | None) -> AlarmEvent:
    """What to say of an alarm that was there when the server began: it has been raised."""
    return AlarmEvent(
        number=0,
        time=alarm.since,
        alarm=alarm.id,
        kind=EventKind.RAISED,
        state=alarm.state,
        priority=Priority.LOW if definition is None else definition.priority,
        text=alarm.text or ("" if definition is None else definition.text),
        value=alarm.value,
        annunciated=False,
        first_out=alarm.first_out,
        alert=False,
    )


def values_of(
    f: Fields, definition: Definition | None, source: Source, event_id: bytes
) -> dict[str, ua.Variant]:
    """Values of the components of a condition [1], by browse path: the fields of its events.

    Parameters
    ----------
    f
        What is said.
    definition
        Its entry in the alarm list, if it has one.
    source
        What all alarms have in common.
    event_id
        Of its last event; empty if there was none.
    """
    told, said_at = _time(f.time), _time(f.said.time)
    shelving = (
        ua.ObjectIds.ShelvedStateMachineType_TimedShelved
        if f.shelved
        else ua.ObjectIds.ShelvedStateMachineType_Unshelved
    )
    left = 0.0 if f.unshelve_at is None else max(f.unshelve_at - f.time, 0.0)
    own = (f.priority, *_rationale(definition), f.state)
    return {
        "EventId": ua.Variant(event_id or None, ua.VariantType.ByteString),
        "EventType": _node(source.type),
        "SourceNode": _node(source.node),
        "SourceName": _string(source.name),
        "Time": told,
        "ReceiveTime": told,
        "Message": _text(f.message),
        "Severity": _severity(f.severity),
        "ConditionClassId": _node(numeric_id(ua.ObjectIds.ProcessConditionClassType)),
        "ConditionClassName": _text("ProcessConditionClassType"),
        "ConditionName": _string(f.alarm),
        "BranchId": _node(ua.NodeId()),
        "Retain": _flag(f.retain),
        "Quality": ua.Variant(status(ua.StatusCodes.Good), ua.VariantType.StatusCode),
        "Quality/SourceTimestamp": told,
        "LastSeverity": _severity(f.severity),
        "LastSeverity/SourceTimestamp": told,
        "Comment": _text(f.said.text),
        "Comment/SourceTimestamp": said_at,
        "ClientUserId": _string(f.said.user),
        "InputNode": _node(ua.NodeId()),
        "SuppressedOrShelved": _flag(f.suppressed or f.shelved or f.out_of_service),
        **_two_state("EnabledState", True, ("Enabled", "Disabled")),
        **_two_state("ActiveState", f.active, ("Active", "Inactive")),
        "ActiveState/TransitionTime": _time(f.since),
        **_two_state("AckedState", f.acknowledged, ("Acknowledged", "Unacknowledged")),
        **_two_state("SuppressedState", f.suppressed, ("Suppressed", "Unsuppressed")),
        **_two_state("OutOfServiceState", f.out_of_service, ("Out of Service", "In Service")),
        "ShelvingState/CurrentState": _text("TimedShelved" if f.shelved else "Unshelved"),
        "ShelvingState/CurrentState/Id": _node(numeric_id(shelving)),
        "ShelvingState/UnshelveTime": _duration(left),
        "MaxTimeShelved": _duration(source.longest_s),
        "OnDelay": _duration(0.0 if definition is None else definition.on_delay_s),
        "OffDelay": _duration(0.0 if definition is None else definition.off_delay_s),
        **{name: _string(text) for name, text in zip(OWN, own, strict=True)},
    }


def _rationale(definition: Definition | None) -> tuple[str, str, str]:
    if definition is None:
        return "", "", ""
    return definition.cause, definition.consequence, definition.action


def _two_state(name: str, holds: bool, texts: tuple[str, str]) -> dict[str, ua.Variant]:
    return {name: _text(texts[0] if holds else texts[1]), f"{name}/Id": _flag(holds)}


def _time(moment: float) -> ua.Variant:
    told: Any = stamp(moment) if moment > 0.0 else _NO_TIME
    return ua.Variant(told, ua.VariantType.DateTime)


def _text(text: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText)


def _string(text: str) -> ua.Variant:
    return ua.Variant(text, ua.VariantType.String)


def _flag(holds: bool) -> ua.Variant:
    return ua.Variant(holds, ua.VariantType.Boolean)


def _node(node: ua.NodeId) -> ua.Variant:
    return ua.Variant(node, ua.VariantType.NodeId)


def _severity(severity: int) -> ua.Variant:
    return ua.Variant(ua.UInt16(severity), ua.VariantType.UInt16)


def _duration(seconds: float) -> ua.Variant:
    return ua.Variant(seconds * _MS, ua.VariantType.Double)
