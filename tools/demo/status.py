"""Where one run of the demo is, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Phase", "Status"]


class Phase(StrEnum):
    """What a run is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "plant killed, restarting"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(slots=True)
class Status:
    """State of one run.

    ``values`` are readings in plant units by short name, ``None`` where nothing is known;
    ``factor`` is plant time over wall time since the start.
    """

    controller: str
    total: int
    phase: Phase = Phase.WAITING
    second: int = 0
    factor: float = 0.0
    mode: str = ""
    line_state: str = ""
    values: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""

    def note(self, text: str) -> None:
        """Something happened."""
        self.notes.append(f"{clock(self.second)} {self.controller}: {text}")


def clock(second: float) -> str:
    """Plant seconds as ``h:mm:ss``."""
    whole = int(second)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
