"""Rows of a recording while they are being sorted out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plant_models.signal_checks import gaps
from tools.recordings.findings import Finding, Severity, found_in
from tools.recordings.mapping import RecordingMapping

__all__ = ["Frame"]


@dataclass(slots=True)
class Frame:
    """Rows in use: lines of the file, times [s], batches, numbers by column as in the file."""

    file: Path
    mapping: RecordingMapping
    lines: NDArray[np.int_]
    time: NDArray[np.float64]
    batch: NDArray[np.str_]
    numbers: dict[str, NDArray[np.float64]]
    code: str = ""

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.time.size)

    @property
    def joined(self) -> NDArray[np.bool_]:
        """Rows that follow the row before, in the same batch and without a gap."""
        same = np.zeros(self.size, dtype=bool)
        same[1:] = self.batch[1:] == self.batch[:-1]
        return same & ~gaps(self.time, self.mapping.period_s)

    def keep(self, rows: NDArray[np.bool_] | NDArray[np.int_]) -> None:
        """Keep these rows, in this order."""
        self.lines, self.time, self.batch = self.lines[rows], self.time[rows], self.batch[rows]
        self.numbers = {name: values[rows] for name, values in self.numbers.items()}

    def found(
        self,
        rows: NDArray[np.bool_],
        kind: str,
        channel: str,
        severity: Severity,
        text: str,
        action: str,
    ) -> Finding:
        """Finding about the marked rows."""
        return found_in(
            rows,
            self.lines,
            kind=kind,
            channel=channel,
            severity=severity,
            text=text,
            action=action,
        )
