"""What the plant keeps of what was asked of it: people's calls and command frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hil.plc.handshake import ReceivedFrame, Refusal
from hil.plc.state import LeaseState
from hil.tally import ReceivedCommand

__all__ = ["Event", "received_command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that somebody asked for: who, what, why, and the answer."""

    second: int
    user: str
    what: str
    reason: str
    answer: str


def received_command(
    frame: ReceivedFrame,
    lease: LeaseState,
    cause: Refusal | None,
    second: int,
    session: str,
    owned: tuple[str, ...],
    previous: Mapping[str, float],
) -> ReceivedCommand:
    """A frame for the log, with the ``lease`` before it and the set points it came from."""
    return ReceivedCommand(
        second=second,
        session=session,
        cause="" if cause is None else cause.value,
        mode=lease.mode.value,
        sequence=frame.head,
        epoch=frame.epoch,
        echo=frame.echo,
        first=lease.fresh,
        owned=owned,
        requests=dict(frame.requests),
        previous=previous,
    )
