"""Reads a recorded press: a file and its mapping become a `Recording` with findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from plant_models.recording import Recording
from tools.recordings.behaviour import check_behaviour
from tools.recordings.findings import Finding, RecordingError
from tools.recordings.mapping import RecordingMapping, Tooling
from tools.recordings.rows import arrange
from tools.recordings.text_table import read_table
from tools.recordings.values import check_values, draft_of

__all__ = ["LoadedRecording", "RecordingError", "read_recording"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRecording:
    """A recording, what was found in its file, and the tooling of its product."""

    recording: Recording
    findings: tuple[Finding, ...]
    tooling: Tooling


def read_recording(file: Path, mapping: RecordingMapping | None = None) -> LoadedRecording:
    """Read a recorded press, plain or compressed.

    Parameters
    ----------
    file
        ``.csv`` or ``.csv.gz``.
    mapping
        Its columns and units; by default those of the known press recordings.

    Returns
    -------
    The recording in SI with what was found. Raises `RecordingError` for a file that cannot be used.
    """
    mapping = mapping if mapping is not None else RecordingMapping()
    table = read_table(file, mapping)
    frame, findings = arrange(file, table, mapping)
    tooling = mapping.tooling(frame.code)
    if not tooling.known:
        findings.append(
            frame.found(
                np.zeros(frame.size, dtype=bool),
                "unknown product",
                "code",
                "warning",
                f"the mapping has no product {frame.code!r}: its tablet is assumed, "
                f"{tooling.diameter * 1e3:g} mm, {tooling.weight * 1e6:g} mg, "
                f"{tooling.thickness * 1e3:g} mm",
                "densities and pressures rest on this; give it under `products:` in a mapping",
            )
        )
    draft = draft_of(frame, table, tooling)
    check_values(draft)
    check_behaviour(draft)
    for series in (frame.time, *draft.channels.values()):
        series.flags.writeable = False
    recording = Recording(
        name=file.name.removesuffix(".gz").removesuffix(".csv"),
        code=frame.code,
        period_s=mapping.period_s,
        time=frame.time,
        batch=tuple(frame.batch.tolist()),
        channels=MappingProxyType(draft.channels),
    )
    return LoadedRecording(
        recording=recording, findings=(*findings, *draft.findings), tooling=tooling
    )
