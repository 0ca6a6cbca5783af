"""A recording while it is being checked: channels in SI, and what was found so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tools.recordings.findings import Finding, RecordingError, Severity
from tools.recordings.frame import Frame
from tools.recordings.mapping import REQUIRED, Tooling, factor_of

__all__ = ["Draft"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(slots=True)
class Draft:
    """A recording being checked: channels in SI, with the column and unit each came from."""

    frame: Frame
    tooling: Tooling
    channels: dict[str, Array]
    columns: dict[str, str]
    units: dict[str, str]
    findings: list[Finding] = field(default_factory=list)

    @property
    def running(self) -> BoolArray:
        """Rows at which the press makes tablets."""
        return np.asarray(np.nan_to_num(self.channels["tablet_rate"]) > 0.0)

    def say(
        self,
        rows: BoolArray,
        kind: str,
        channel: str,
        severity: Severity,
        text: str,
        action: str,
    ) -> None:
        """Add a finding about the marked rows."""
        self.findings.append(self.frame.found(rows, kind, channel, severity, text, action))

    def blank(self, channel: str, rows: BoolArray) -> None:
        """Mark a channel's numbers as missing in these rows."""
        self.channels[channel] = np.where(rows, np.nan, self.channels[channel])

    def drop(self, channel: str, kind: str, text: str, right: str, rows: BoolArray) -> None:
        """Do without a channel, or refuse the file where it is needed."""
        if channel in REQUIRED:
            raise RecordingError(
                self.frame.file, f"{channel}: {text}", right, f"column {self.columns[channel]!r}"
            )
        self.say(rows, kind, channel, "error", text, "channel left out")
        del self.channels[channel]

    def shown(self, channel: str, value: float) -> str:
        """A number in the unit of the file."""
        unit = self.units[channel]
        return f"{value / factor_of(channel, unit):.4g} {unit}".strip()
