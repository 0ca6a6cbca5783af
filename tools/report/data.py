"""What a run left in its folder, as arrays over plant time: one pass over the records.

Plant time is in seconds since plant second 0; everything else in plant units.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.data import CycleRecord, Interval
from controller.records.historian import History, sqlite_url
from hil.plant import STATE_FILE
from hil.tally import ReceivedCommand, read_tally
from plant_models.line import ResolvedLine
from plant_models.quality import tensile_strength_from_breaking_force
from plant_models.signals import MV, PLC
from plant_models.units import from_si, to_si
from tools.rundir import RunDir
from tools.scoring import CV_UNITS
from tools.shift_score import CycleNote, cycle_note

__all__ = ["Event", "RunData", "Sample", "read_run"]

Array = NDArray[np.float64]
Z_95 = 1.96

# Estimated quality -> plant unit; those with a set point first.
QUALITY: dict[str, str] = {
    **CV_UNITS,
    "chute_level": "%",
    "tablet_thickness": "mm",
    "main_compression_force": "kN",
    "ejection_force": "N",
}
# Estimated disturbances that are shown, with the factor to what is plotted.
DISTURBANCES: dict[str, float] = dict.fromkeys(
    ("potency_bias", "compliance", "lot_scale", "lot_volume"), 100.0
)
_READINGS = ("Line/FeedFrame/Potency/PV", "Line/Press/MainForce/PV", "Line/Chute/Level/PV")
_TEXTS = (PLC.LINE_STATE, PLC.MODE_ACT, PLC.DIVERTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that somebody or something did."""

    time: float
    who: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An at-line sample: when taken [s], mean weight [mg] and tensile strength [MPa]."""

    time: float
    weight: float
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """One run of one controller.

    ``quality`` and ``disturbances`` map names to rows of (mean, 95 % half-width) per cycle, NaN
    where nothing was estimated; ``tags`` map tags to numbers per cycle, ``texts`` to texts;
    ``refills`` are the refill phases per feeder. ``seconds``, ``tablets`` and ``commands`` are the
    plant's tally up to the end.
    """

    controller: str
    path: Path
    start_time: float
    facts: Mapping[str, Any]
    notes: tuple[CycleNote, ...]
    time: Array
    mode: tuple[str, ...]
    reached_by: tuple[str, ...]
    wall_ms: Mapping[str, Array]
    quality: Mapping[str, Array]
    disturbances: Mapping[str, Array]
    targets: Mapping[str, Array]
    tags: Mapping[str, Array]
    texts: Mapping[str, tuple[str, ...]]
    refills: tuple[tuple[str, ...], ...]
    samples: tuple[Sample, ...]
    events: tuple[Event, ...]
    seconds: NDArray[np.void]
    tablets: NDArray[np.void]
    commands: tuple[ReceivedCommand, ...]


def read_run(folder: Path, line: ResolvedLine, end: int | None = None) -> RunData:
    """Read the folder of one run.

    Parameters
    ----------
    folder
        With ``historian.sqlite``, the plant's state and its tally.
    line
        The line that was run.
    end
        Last plant second that counts; by default all.

    Raises
    ------
    FileNotFoundError
        If something of it is missing.
    """
    saved = json.loads((folder / STATE_FILE).read_text("utf-8"))
    start_time = float(saved["start_time"])
    last = math.inf if end is None else float(end)
    history = History(sqlite_url(RunDir(folder).historian))
    try:
        starts = history.starts()
        facts = history.facts(starts[-1])
        rows = [r for start in starts for r in _cut(history.records(start), start_time + last)]
        events = tuple(_events(history.events(), start_time, last))
    finally:
        history.close()
    seconds, tablets, commands = read_tally(folder)
    return RunData(
        controller=str(facts["algorithm"]),
        path=folder,
        start_time=start_time,
        facts=facts,
        notes=tuple(cycle_note(r, start_time) for r in rows),
        time=np.array([r.time - start_time for r in rows]),
        mode=tuple(str(r.mode) for r in rows),
        reached_by=tuple("" if r.plan is None else r.plan.reached_by.name for r in rows),
        wall_ms={
            name: np.array([r.wall_ms.get(name, np.nan) for r in rows])
            for name in ("read", "think", "write", "total")
        },
        quality={name: _quality(rows, name, unit) for name, unit in QUALITY.items()},
        disturbances={name: _state(rows, name, f) for name, f in DISTURBANCES.items()},
        targets={
            name: np.array([from_si(r.targets.set_points[name], unit) for r in rows])
            for name, unit in CV_UNITS.items()
        },
        tags={tag: np.array([_number(r, tag) for r in rows]) for tag in _tags(line)},
        texts={tag: tuple(r.snapshot.text(tag) or "" for r in rows) for tag in _TEXTS},
        refills=tuple(
            tuple(r.snapshot.text(f"Line/Feeder{i + 1}/Refill/PV") or "" for r in rows)
            for i in range(len(line.line.feeders))
        ),
        samples=tuple(_samples(rows, start_time, line)),
        events=events,
        seconds=seconds[seconds["second"] < last],
        tablets=tablets[tablets["second"] < last],
        commands=tuple(c for c in commands if c.second <= last),
    )


def _cut(records: Iterator[CycleRecord], last: float) -> Iterator[CycleRecord]:
    return (r for r in records if r.time <= last)


def _tags(line: ResolvedLine) -> tuple[str, ...]:
    moved = tuple(
        f"{tag}/ACT"
        for tag in (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED)
    )
    levels = tuple(f"Line/Feeder{i + 1}/HopperLevel/PV" for i in range(len(line.line.feeders)))
    return (*_READINGS, *moved, *levels)


def _number(record: CycleRecord, tag: str) -> float:
    value = record.snapshot.number(tag)
    return math.nan if value is None else value


def _quality(rows: Sequence[CycleRecord], name: str, unit: str) -> Array:
    none = Interval(math.nan, math.nan)
    found = [r.estimate.quality.get(name, none) if r.estimate else none for r in rows]
    scale = to_si(1.0, unit)
    return np.array([[q.mean / scale, q.half_width / scale] for q in found]).reshape(-1, 2)


def _state(rows: Sequence[CycleRecord], name: str, factor: float) -> Array:
    found: list[tuple[float, float]] = []
    for r in rows:
        if r.estimate is None or name not in r.estimate.names:
            found.append((math.nan, math.nan))
            continue
        i = r.estimate.names.index(name)
        sd = math.sqrt(max(0.0, float(r.estimate.covariance[i, i])))
        found.append((factor * float(r.estimate.mean[i]), factor * Z_95 * sd))
    return np.array(found).reshape(-1, 2)


def _samples(rows: Sequence[CycleRecord], start: float, line: ResolvedLine) -> Iterator[Sample]:
    diameter = to_si(line.product.diameter_mm, "mm")
    for r in rows:
        for s in r.validated.samples if r.validated is not None else ():
            strengths = [
                float(tensile_strength_from_breaking_force(f, diameter, t))
                for f, t in zip(s.forces, s.thicknesses, strict=True)
            ]
            yield Sample(
                time=s.taken - start,
                weight=from_si(float(np.mean(s.weights)), "mg"),
                strength=from_si(float(np.mean(strengths)), "MPa"),
            )


def _events(rows: Sequence[Mapping[str, Any]], start: float, last: float) -> Iterator[Event]:
    for row in rows:
        if row["time"] - start <= last:
            yield Event(
                time=row["time"] - start,
                who=str(row["who"]),
                kind=str(row["kind"]),
                text=_target_in_unit(str(row["text"])),
            )


def _target_in_unit(text: str) -> str:
    """A target's text with its plant unit; the record keeps SI."""
    found = re.match(r"(\w+) = (\S+) ", text)
    if found is None or found[1] not in CV_UNITS:
        return text
    unit = CV_UNITS[found[1]]
    return f"{found[1]} = {from_si(float(found[2]), unit):.4g} {unit} {text[found.end() :]}"
