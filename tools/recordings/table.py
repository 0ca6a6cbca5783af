"""Findings for people and machines: a rich table, and stable keys for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from plant_models.recording import CHANNELS, Recording
from plant_models.units import from_si
from tools.recordings.findings import Finding, Severity
from tools.recordings.reader import LoadedRecording

__all__ = ["channels_table", "findings_table", "summary", "summary_lines"]

_STYLES: dict[Severity, str] = {"info": "", "warning": "yellow", "error": "red"}
_ORDER: tuple[Severity, ...] = ("error", "warning", "info")


def findings_table(findings: Sequence[Finding]) -> Table:
    """What was found, the gravest first, with what was done about it."""
    table = Table(box=None, pad_edge=False)
    for heading in ("finding", "channel"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "lines"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what, and what was done about it", overflow="fold")
    for finding in sorted(findings, key=lambda f: _ORDER.index(f.severity)):
        some = finding.rows > 0
        table.add_row(
            Text(finding.kind, style=_STYLES[finding.severity]),
            Text(finding.channel or "(rows)"),
            f"{finding.rows}" if some else "",
            f"{finding.first_row}-{finding.last_row}" if some else "",
            Text(f"{finding.text} -> {finding.action}"),
        )
    return table


def channels_table(recording: Recording) -> Table:
    """Numbers of each channel in its plant unit while the press runs."""
    table = Table(box=None, pad_edge=False)
    for heading in ("channel", "unit", "5 %", "median", "95 %", "missing %"):
        table.add_column(heading, justify="left" if heading in {"channel", "unit"} else "right")
    running = recording.running()
    for name, values in recording.channels.items():
        unit = CHANNELS[name].unit
        there = values[running & ~np.isnan(values)]
        low, middle, high = (
            (f"{from_si(float(q), unit):.4g}" for q in np.quantile(there, (0.05, 0.5, 0.95)))
            if there.size
            else ("", "", "")
        )
        missing = float(np.isnan(values).mean()) * 100.0
        table.add_row(name, unit, low, middle, high, f"{missing:.1f}")
    return table


def summary_lines(loaded: LoadedRecording) -> list[str]:
    """The recording in a few lines of text."""
    data = summary(loaded)
    batches = ", ".join(f"{b['name']} ({b['rows']} rows)" for b in data["batches"][:40])
    tablet = "assumed" if not loaded.tooling.known else "from the mapping"
    return [
        f"product code {data['code'] or 'unknown'}: {data['rows']} rows every "
        f"{data['period_s']:g} s, {data['running_share']:.0%} running, {len(data['batches'])} "
        f"batch{'' if len(data['batches']) == 1 else 'es'}",
        f"batches {batches}",
        f"tablet {loaded.tooling.diameter * 1e3:g} mm, {loaded.tooling.weight * 1e6:g} mg, "
        f"{loaded.tooling.thickness * 1e3:g} mm ({tablet})",
    ]


def summary(loaded: LoadedRecording) -> dict[str, Any]:
    """The recording and its findings as plain data; numbers with their unit in the key."""
    recording, tooling = loaded.recording, loaded.tooling
    return {
        "name": recording.name,
        "code": recording.code,
        "rows": recording.size,
        "period_s": recording.period_s,
        "start_utc_s": float(recording.time[0]),
        "end_utc_s": float(recording.time[-1]),
        "running_share": float(recording.running().mean()),
        "batches": [
            {"name": batch, "rows": int(recording.rows_of(batch).size)}
            for batch in recording.batches()
        ],
        "channels": list(recording.channels),
        "tooling": {
            "diameter_m": tooling.diameter,
            "weight_kg": tooling.weight,
            "thickness_m": tooling.thickness,
            "stations": tooling.stations,
            "known": tooling.known,
        },
        "findings": [finding.as_data() for finding in loaded.findings],
    }
