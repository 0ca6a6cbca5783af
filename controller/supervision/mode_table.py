"""The modes of the controller: every state, every event, and what follows. This table decides.

Read it as: in this state, when this happens, go there and do that. What operators ask for is heard
before the algorithm runs, each request after its guard in `ASKS`. Then a cycle is judged once: of
the happenings in the block of its state, from top to bottom, the first that holds is taken. The
guards of the happenings are sets of permissives (`controller.supervision.permissives`):

- ``LOST`` looks at `SHEDS_WRITING` while CLOSED and the line runs, else at `SHEDS_SUSPENDED`, each
  permissive after its debounce;
- ``MISSING`` looks at `NEEDED_TO_CLOSE` before the loop is closed, at `NEEDED_TO_RESUME` after;
- ``GRANTED`` is the one permissive that the plant gives: its mode and our lease.

SHED is left only to ADVISORY, and CLOSED is entered only with the plant's grant, all permissives
and the signature of the operator who asked in ADVISORY; a suspended loop goes on under the
signature that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.data import Mode
from controller.supervision.roles import Action

__all__ = [
    "ASKS",
    "HAPPENINGS",
    "MODE_OF",
    "TABLE",
    "Do",
    "Event",
    "Rule",
    "State",
    "asked_for",
    "rows",
]


class State(StrEnum):
    """Where the controller is; the five modes are what is shown of it (`MODE_OF`)."""

    OFF = "OFF"
    MONITORING = "MONITORING"
    ADVISORY = "ADVISORY"
    REQUESTED = "ADVISORY, CLOSED_LOOP asked for"
    CLOSING = "ADVISORY, waiting for the plant's grant"
    CLOSED = "CLOSED_LOOP"
    SUSPENDED = "CLOSED_LOOP, suspended"
    RESUMING = "CLOSED_LOOP, waiting for the plant's grant to resume"
    SHED = "SHED"


MODE_OF: Mapping[State, Mode] = {
    State.OFF: Mode.OFF,
    State.MONITORING: Mode.MONITORING,
    State.ADVISORY: Mode.ADVISORY,
    State.REQUESTED: Mode.ADVISORY,
    State.CLOSING: Mode.ADVISORY,
    State.CLOSED: Mode.CLOSED_LOOP,
    State.SUSPENDED: Mode.CLOSED_LOOP,
    State.RESUMING: Mode.CLOSED_LOOP,
    State.SHED: Mode.SHED,
}


class Event(StrEnum):
    """What an operator asks for, and what may happen in a cycle."""

    ASK_OFF = "an operator asks for OFF"
    ASK_MONITORING = "an operator asks for MONITORING"
    ASK_ADVISORY = "an operator asks for ADVISORY"
    ASK_CLOSED_LOOP = "an operator asks for CLOSED_LOOP"
    ASK_SHED = "an operator asks for SHED"
    LOST = "a permissive is lost that must hold, its debounce is over"
    ABORTED = "the line was aborted"
    TOO_LONG = "suspended for longer than `resume_within_s`, or nobody knows for how long"
    STANDS = "the line does not run"
    MISSING = "a permissive is missing that is needed to go on"
    REFUSED = "the plant refused control"
    OVERDUE = "no grant within `grant_cycles`"
    GRANTED = "the plant has granted control"
    QUIET = "nothing of these"


ASKS: Mapping[Event, Action] = {
    Event.ASK_OFF: Action.CHANGE_MODE,
    Event.ASK_MONITORING: Action.CHANGE_MODE,
    Event.ASK_ADVISORY: Action.CHANGE_MODE,
    Event.ASK_CLOSED_LOOP: Action.CLOSE_LOOP,
    Event.ASK_SHED: Action.SHED,
}
"""Guard of what an operator asks for: the action that the role must be allowed."""

HAPPENINGS = tuple(e for e in Event if e not in ASKS)


class Do(StrEnum):
    """What is done on the way."""

    WRITE = "this cycle's plan goes to the write gate"
    ASK_PLANT = "the plant is asked for control"
    SIGN = "who asked becomes the signature of the loop"
    ANSWER = "who asked is told"


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows: the next state and what is done; or, with ``to`` None, why nothing does.

    A refused request is answered with ``why``; a happening with ``why`` is not judged here.
    """

    to: State | None
    do: tuple[Do, ...] = ()
    why: str = ""


def _to(state: State, *do: Do) -> Rule:
    return Rule(state, do)


def _no(why: str) -> Rule:
    return Rule(None, (), why)


_ALREADY = _no("the mode is {mode} already")
_NO_WAY = _no("there is no way from {mode} to {wanted}")

_NOTHING_ASKED = _no("nothing was asked of the plant")
_OURS = _no("control is ours")
_BY_DEBOUNCE = _no("what is missing counts once it is lost for its debounce")
_BY_MISSING = _no("nothing is written yet: what is lost is missing")
_NOT_SUSPENDED = _no("the loop is not suspended")

_SHOWN_ONLY = _no("nothing is written: permissives are shown, not acted on")
_IDLE: dict[Event, Rule] = {e: _SHOWN_ONLY for e in HAPPENINGS if e is not Event.QUIET}

TABLE: Mapping[State, Mapping[Event, Rule]] = {
    State.OFF: {
        Event.ASK_OFF: _ALREADY,
        Event.ASK_MONITORING: _to(State.MONITORING),
        Event.ASK_ADVISORY: _NO_WAY,
        Event.ASK_CLOSED_LOOP: _NO_WAY,
        Event.ASK_SHED: _to(State.SHED),
        **_IDLE,
        Event.QUIET: _to(State.OFF),
    },
    State.MONITORING: {
        Event.ASK_OFF: _to(State.OFF),
        Event.ASK_MONITORING: _ALREADY,
        Event.ASK_ADVISORY: _to(State.ADVISORY),
        Event.ASK_CLOSED_LOOP: _NO_WAY,
        Event.ASK_SHED: _to(State.SHED),
        **_IDLE,
        Event.QUIET: _to(State.MONITORING),
    },
    State.ADVISORY: {
        Event.ASK_OFF: _to(State.OFF),
        Event.ASK_MONITORING: _to(State.MONITORING),
        Event.ASK_ADVISORY: _ALREADY,
        Event.ASK_CLOSED_LOOP: _to(State.REQUESTED),
        Event.ASK_SHED: _to(State.SHED),
        **_IDLE,
        Event.QUIET: _to(State.ADVISORY),
    },
    # Asked for in this cycle: what is missing is told at once.
    State.REQUESTED: {
        Event.ASK_OFF: _to(State.OFF, Do.ANSWER),
        Event.ASK_MONITORING: _to(State.MONITORING, Do.ANSWER),
        Event.ASK_ADVISORY: _to(State.ADVISORY, Do.ANSWER),
        Event.ASK_CLOSED_LOOP: _to(State.REQUESTED, Do.ANSWER),
        Event.ASK_SHED: _to(State.SHED, Do.ANSWER),
        Event.LOST: _BY_MISSING,
        Event.ABORTED: _BY_MISSING,
        Event.TOO_LONG: _NOT_SUSPENDED,
        Event.STANDS: _BY_MISSING,
        Event.MISSING: _to(State.ADVISORY, Do.ANSWER),
        Event.REFUSED: _to(State.ADVISORY, Do.ANSWER),
        Event.OVERDUE: _NOTHING_ASKED,
        Event.GRANTED: _to(State.CLOSED, Do.SIGN, Do.ANSWER, Do.WRITE),
        Event.QUIET: _to(State.CLOSING, Do.ASK_PLANT, Do.ANSWER),
    },
    State.CLOSING: {
        Event.ASK_OFF: _to(State.OFF, Do.ANSWER),
        Event.ASK_MONITORING: _to(State.MONITORING, Do.ANSWER),
        Event.ASK_ADVISORY: _to(State.ADVISORY, Do.ANSWER),
        Event.ASK_CLOSED_LOOP: _to(State.REQUESTED, Do.ANSWER),
        Event.ASK_SHED: _to(State.SHED, Do.ANSWER),
        Event.LOST: _BY_MISSING,
        Event.ABORTED: _BY_MISSING,
        Event.TOO_LONG: _NOT_SUSPENDED,
        Event.STANDS: _BY_MISSING,
        Event.MISSING: _to(State.ADVISORY, Do.ANSWER),
        Event.REFUSED: _to(State.ADVISORY, Do.ANSWER),
        Event.OVERDUE: _to(State.ADVISORY, Do.ANSWER),
        Event.GRANTED: _to(State.CLOSED, Do.SIGN, Do.ANSWER, Do.WRITE),
        Event.QUIET: _to(State.CLOSING),
    },
    State.CLOSED: {
        Event.ASK_OFF: _to(State.OFF),
        Event.ASK_MONITORING: _to(State.MONITORING),
        Event.ASK_ADVISORY: _to(State.ADVISORY),
        Event.ASK_CLOSED_LOOP: _ALREADY,
        Event.ASK_SHED: _to(State.SHED),
        Event.LOST: _to(State.SHED),
        Event.ABORTED: _to(State.SHED),
        Event.TOO_LONG: _NOT_SUSPENDED,
        Event.STANDS: _to(State.SUSPENDED),
        Event.MISSING: _BY_DEBOUNCE,
        Event.REFUSED: _NOTHING_ASKED,
        Event.OVERDUE: _NOTHING_ASKED,
        Event.GRANTED: _OURS,
        Event.QUIET: _to(State.CLOSED, Do.WRITE),
    },
    # The PLC's sequence owns the set points; back in running it goes on once nothing is missing.
    State.SUSPENDED: {
        Event.ASK_OFF: _to(State.OFF),
        Event.ASK_MONITORING: _to(State.MONITORING),
        Event.ASK_ADVISORY: _to(State.ADVISORY),
        Event.ASK_CLOSED_LOOP: _ALREADY,
        Event.ASK_SHED: _to(State.SHED),
        Event.LOST: _to(State.SHED),
        Event.ABORTED: _to(State.SHED),
        Event.TOO_LONG: _to(State.SHED),
        Event.STANDS: _to(State.SUSPENDED),
        Event.MISSING: _to(State.SUSPENDED),
        Event.GRANTED: _to(State.CLOSED, Do.WRITE),
        Event.REFUSED: _to(State.SHED),
        Event.OVERDUE: _NOTHING_ASKED,
        Event.QUIET: _to(State.RESUMING, Do.ASK_PLANT),
    },
    State.RESUMING: {
        Event.ASK_OFF: _to(State.OFF),
        Event.ASK_MONITORING: _to(State.MONITORING),
        Event.ASK_ADVISORY: _to(State.ADVISORY),
        Event.ASK_CLOSED_LOOP: _ALREADY,
        Event.ASK_SHED: _to(State.SHED),
        Event.LOST: _to(State.SHED),
        Event.ABORTED: _to(State.SHED),
        Event.TOO_LONG: _to(State.SHED),
        Event.STANDS: _to(State.SUSPENDED),
        Event.MISSING: _to(State.RESUMING),
        Event.GRANTED: _to(State.CLOSED, Do.WRITE),
        Event.REFUSED: _to(State.SHED),
        Event.OVERDUE: _to(State.SHED),
        Event.QUIET: _to(State.RESUMING),
    },
    State.SHED: {
        Event.ASK_OFF: _NO_WAY,
        Event.ASK_MONITORING: _NO_WAY,
        Event.ASK_ADVISORY: _to(State.ADVISORY),
        Event.ASK_CLOSED_LOOP: _NO_WAY,
        Event.ASK_SHED: _ALREADY,
        **_IDLE,
        Event.QUIET: _to(State.SHED),
    },
}


def asked_for(mode: Mode) -> Event:
    """The event of an operator who asks for ``mode``."""
    return Event[f"ASK_{mode.name}"]


def rows() -> tuple[tuple[State, Event, Rule], ...]:
    """The table row by row, in the order in which a state's happenings are judged."""
    return tuple((s, e, rule) for s, events in TABLE.items() for e, rule in events.items())
