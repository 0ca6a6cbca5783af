"""Requests for modes, answers, transitions; what the table of modes says mode by mode.

An operator climbs OFF -> MONITORING -> ADVISORY -> CLOSED_LOOP one step at a time and may go down
any number of steps at once. SHED is entered by anybody at any time and left only to ADVISORY, by an
operator. While the line does not run, CLOSED_LOOP is *suspended*: the mode stays, nothing is
written, and back in running it resumes within a configured time. All of it is in
`controller.supervision.mode_table`; here is what follows for the five modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.data import Mode
from controller.supervision.mode_table import ASKS, MODE_OF, Do, rows

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


def _transitions() -> dict[tuple[Mode, Mode], frozenset[By]]:
    """Changes of mode in the table; one that is signed is its operator's."""
    found: dict[tuple[Mode, Mode], frozenset[By]] = {}
    for state, event, rule in rows():
        if rule.to is None or MODE_OF[state] is MODE_OF[rule.to]:
            continue
        by = By.OPERATOR if event in ASKS or Do.SIGN in rule.do else By.SUPERVISION
        change = (MODE_OF[state], MODE_OF[rule.to])
        found[change] = found.get(change, frozenset()) | {by}
    return found


TRANSITIONS: dict[tuple[Mode, Mode], frozenset[By]] = _transitions()


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
