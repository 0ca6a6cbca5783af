"""Readings as plain data for the saved plant state, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from typing import Any

from hil.process_image import blank_readings
from hil.readings import FeederReadings, LabReading, Reading, Readings

__all__ = ["readings_document", "readings_from_document"]

_TABLETS = ("tablet_force", "tablet_station")  # judged in the second they are made, then done with


def readings_document(readings: Readings) -> dict[str, Any]:
    """All but the single tablets, JSON-able; floats survive bit for bit."""
    document: dict[str, Any] = {}
    for field in fields(readings):
        value = getattr(readings, field.name)
        if field.name == "feeders":
            document["feeders"] = [
                {f.name: _plain(getattr(feeder, f.name)) for f in fields(feeder)}
                for feeder in value
            ]
        elif field.name not in _TABLETS:
            document[field.name] = _plain(value)
    return document


def readings_from_document(document: Mapping[str, Any]) -> Readings:
    """What `readings_document` returned, as readings of a second without tablets."""
    feeders = tuple(
        FeederReadings(**{name: _reading(value) for name, value in feeder.items()})
        for feeder in document["feeders"]
    )
    lab = document["lab"]
    others = {
        name: _reading(value) for name, value in document.items() if name not in ("feeders", "lab")
    }
    return replace(
        blank_readings(len(feeders)),
        feeders=feeders,
        lab=None if lab is None else _lab(lab),
        **others,
    )


def _plain(value: Any) -> Any:
    return list(astuple(value)) if isinstance(value, (Reading, LabReading)) else value


def _reading(value: Any) -> Any:
    return Reading(*value) if isinstance(value, list) else value


def _lab(row: list[Any]) -> LabReading:
    number, taken, published, weight, thickness, force = row
    return LabReading(
        number=number,
        taken=taken,
        published=published,
        weight=tuple(weight),
        thickness=tuple(thickness),
        force=tuple(force),
    )
