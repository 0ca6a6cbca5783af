"""What is wrong with a recording: findings as data, and the error of a file that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Finding", "RecordingError", "Severity", "duration_text", "found_in"]

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth knowing about a recording, and what was done about it.

    ``channel`` is a channel, a column or empty for whole rows; ``first_row`` and ``last_row`` are
    lines of the file (its header is line 1), ``share`` is of its rows. `info` is a fact, `warning`
    may matter to who uses the data, `error` says that data are not what they claim to be.
    """

    kind: str
    channel: str
    rows: int
    share: float
    first_row: int | None
    last_row: int | None
    severity: Severity
    text: str
    action: str

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class RecordingError(ValueError):
    """A recording that cannot be used: what, where, why, remedy."""

    def __init__(self, file: Path, wrong: str, right: str, where: str = "") -> None:
        self.file, self.wrong, self.right, self.where = file, wrong, right, where
        lines = [f"file   {file}", f"wrong  {wrong}", f"right  {right}"]
        if where:
            lines.insert(1, f"at     {where}")
        super().__init__("\n".join(lines))


def duration_text(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def found_in(
    rows: NDArray[np.bool_],
    lines: NDArray[np.int_] | Sequence[int],
    *,
    kind: str,
    channel: str,
    severity: Severity,
    text: str,
    action: str,
) -> Finding:
    """Finding about the marked ``rows``, of which ``lines`` are the lines of the file."""
    where = np.asarray(lines)[np.flatnonzero(rows)]
    return Finding(
        kind=kind,
        channel=channel,
        rows=int(where.size),
        share=float(where.size / max(len(rows), 1)),
        first_row=int(where.min()) if where.size else None,
        last_row=int(where.max()) if where.size else None,
        severity=severity,
        text=text,
        action=action,
    )
