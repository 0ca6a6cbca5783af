"""Where one run of the demo is, for whoever shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

from tools.shown_time import clock

__all__ = ["Phase", "Status"]


class Phase(StrEnum):
    """What a run is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(slots=True)
class Status:
    """State of one run.

    ``values`` are readings in plant units by short name, ``None`` where nothing is known; ``began``
    and ``ended`` are monotonic seconds.
    """

    controller: str
    total: int
    phase: Phase = Phase.WAITING
    second: int = 0
    began: float | None = None
    ended: float | None = None
    mode: str = ""
    line_state: str = ""
    values: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def wall_s(self) -> float:
        """Wall time since the first cycle, up to the last [s]."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began

    @property
    def factor(self) -> float:
        """Plant time over wall time."""
        return self.second / self.wall_s if self.wall_s > 0.0 else 0.0

    def note(self, text: str, second: int | None = None) -> None:
        """Something happened, now or at plant second ``second``."""
        when = clock(self.second if second is None else second)
        self.notes.append(f"{when} {self.controller}: {text}")
