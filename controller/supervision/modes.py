"""Modes of the controller as an explicit table of transitions.

An operator climbs OFF -> MONITORING -> ADVISORY -> CLOSED_LOOP one step at a time and may go down
any number of steps at once. SHED is entered by anybody at any time and left only to ADVISORY, by an
operator. While the line does not run, CLOSED_LOOP is *suspended*: the mode stays, nothing is
written, and back in running it resumes within a configured time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.data import Mode

__all__ = [
    "TRANSITIONS",
    "Answer",
    "By",
    "ModeRequest",
    "Pending",
    "Signature",
    "Transition",
    "may_change",
]


class By(StrEnum):
    """Who may cause a transition."""

    OPERATOR = "operator"
    SUPERVISION = "supervision"


_OPERATOR = frozenset({By.OPERATOR})
_ANYBODY = frozenset({By.OPERATOR, By.SUPERVISION})

TRANSITIONS: dict[tuple[Mode, Mode], frozenset[By]] = {
    (Mode.OFF, Mode.MONITORING): _OPERATOR,
    (Mode.OFF, Mode.SHED): _OPERATOR,
    (Mode.MONITORING, Mode.OFF): _OPERATOR,
    (Mode.MONITORING, Mode.ADVISORY): _OPERATOR,
    (Mode.MONITORING, Mode.SHED): _OPERATOR,
    (Mode.ADVISORY, Mode.OFF): _OPERATOR,
    (Mode.ADVISORY, Mode.MONITORING): _OPERATOR,
    (Mode.ADVISORY, Mode.CLOSED_LOOP): _OPERATOR,
    (Mode.ADVISORY, Mode.SHED): _OPERATOR,
    (Mode.CLOSED_LOOP, Mode.OFF): _OPERATOR,
    (Mode.CLOSED_LOOP, Mode.MONITORING): _OPERATOR,
    (Mode.CLOSED_LOOP, Mode.ADVISORY): _OPERATOR,
    (Mode.CLOSED_LOOP, Mode.SHED): _ANYBODY,
    (Mode.SHED, Mode.ADVISORY): _OPERATOR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRequest:
    """An operator asks for a mode; user and role come from the authenticated session."""

    mode: Mode
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request; ``accepted`` is None while the plant has still to grant control."""

    request: ModeRequest
    accepted: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A request for CLOSED_LOOP that waits for the plant's grant since cycle ``since``."""

    request: ModeRequest
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who closed the loop and why; valid until the loop is left."""

    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of mode that happened, for record and audit trail."""

    before: Mode
    after: Mode
    by: str
    reason: str


def may_change(before: Mode, after: Mode, by: By) -> bool:
    """Whether the table allows ``by`` to cause the change."""
    return by in TRANSITIONS.get((before, after), frozenset())
