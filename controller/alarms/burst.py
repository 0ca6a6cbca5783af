"""What of a cycle's events is sent one by one when there are very many.

The journal and the list hold all of them; only the sending is bounded, so that a burst delays
neither the cycle nor whoever listens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.alarms.definitions import Priority
from controller.alarms.engine import AlarmEvent

__all__ = ["Batch", "for_sending"]

_RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events to send, in their order, and how many are left to the journal."""

    events: tuple[AlarmEvent, ...]
    left_out: int

    @property
    def text(self) -> str:
        """What stands for those left out; empty if there are none."""
        return f"{self.left_out} more events: see the alarm journal" if self.left_out else ""


def for_sending(events: Sequence[AlarmEvent], most: int) -> Batch:
    """At most ``most`` of ``events``: the first of the episode, then the urgent ones."""
    if len(events) <= most:
        return Batch(events=tuple(events), left_out=0)
    ranked = sorted(
        events, key=lambda e: (not e.first_out, not e.annunciated, _RANK[e.priority], e.number)
    )
    chosen = sorted(ranked[:most], key=lambda e: e.number)
    return Batch(events=tuple(chosen), left_out=len(events) - most)
