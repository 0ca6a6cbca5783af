"""What operators ask of the alarms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["AlarmAction", "AlarmRequest"]


class AlarmAction(StrEnum):
    """What may be done with an alarm."""

    ACKNOWLEDGE = "acknowledge"
    COMMENT = "comment"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRequest:
    """Somebody acts on one alarm; ``minutes`` is how long it is shelved."""

    alarm: str
    action: str
    user: str
    role: str
    reason: str
    minutes: float = 0.0
