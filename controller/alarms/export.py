"""Alarm list, alarms and journal as rows of plain data: for JSON, tables and other systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import AlarmEvent, AlarmState, EventKind, State
from controller.alarms.statistics import Figure

__all__ = ["alarm_rows", "event_of", "event_rows", "figure_rows", "list_rows"]

Row = dict[str, Any]


def list_rows(definitions: Iterable[Definition]) -> list[Row]:
    """The alarm list, one row per alarm."""
    return [_plain(asdict(d)) for d in definitions]


def alarm_rows(state: AlarmState, definitions: Mapping[str, Definition]) -> list[Row]:
    """Every alarm of the list with its state, those that are not normal included."""
    rows = []
    for name, definition in definitions.items():
        alarm = state.alarms.get(name)
        row: Row = {"id": name, "text": definition.text, "priority": definition.priority.value}
        if alarm is not None:
            row |= _plain(asdict(alarm)) | {"detail": alarm.text, "text": definition.text}
        else:
            row["state"] = "normal"
        rows.append(row)
    return rows


def event_rows(events: Iterable[AlarmEvent]) -> list[Row]:
    """The journal, one row per event."""
    return [_plain(asdict(e)) for e in events]


def event_of(row: Mapping[str, Any]) -> AlarmEvent:
    """The event that a row of the journal was made from."""
    return AlarmEvent(
        **{
            **row,
            "kind": EventKind(row["kind"]),
            "state": State(row["state"]),
            "priority": Priority(row["priority"]),
        }
    )


def figure_rows(figures: Iterable[Figure]) -> list[Row]:
    """Figures beside their goals."""
    return [_plain(asdict(f)) for f in figures]


def _plain(row: Mapping[str, Any]) -> Row:
    """Values that JSON knows: enumerations as text, no infinity."""
    return {
        key: None
        if isinstance(value, float) and not isfinite(value)
        else list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, str)
        else value
        for key, value in row.items()
    }
