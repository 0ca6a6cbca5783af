"""Mode logic of one cycle as pure functions, driven by the table of modes.

`handle_requests` runs before the algorithm (so that a mode takes effect in its cycle), `decide`
after it, when the permissives of this cycle are known. Both look up what follows in
`controller.supervision.mode_table`; here is when a happening holds, and how what follows is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.authority import Authority, authorise
from controller.supervision.mode_table import (
    ASKS,
    MODE_OF,
    TABLE,
    Do,
    Event,
    Rule,
    State,
    asked_for,
)
from controller.supervision.modes import Answer, By, ModeRequest, Pending, Signature, Transition
from controller.supervision.permissives import (
    NEEDED_TO_CLOSE,
    NEEDED_TO_RESUME,
    SHEDS_SUSPENDED,
    SHEDS_WRITING,
    Name,
    Permissive,
    debounce_of,
    first_lost,
    missing,
)
from controller.supervision.roles import refusal
from plant_models.signals import LineState

__all__ = [
    "Decision",
    "SupervisionState",
    "debounce_of",
    "decide",
    "handle_requests",
    "resting",
    "state_of",
]

_ALL = frozenset(Name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionState:
    """Mode with its cause and since when [s, UTC], and what supervision must remember.

    ``closed_cycles`` counts commands since the loop was closed or resumed; ``asked`` is the cycle
    in which control was last requested from the plant.
    """

    mode: Mode = Mode.OFF
    since: float = 0.0
    cause: str = "started"
    pending: Pending | None = None
    signature: Signature | None = None
    suspended_since: float | None = None
    asked: int | None = None
    closed_cycles: int = 0
    permissives: Mapping[Name, Permissive] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What supervision decided: next state, whether to write, what to ask of the plant.

    ``authority`` is the leave to write in this cycle, there if ``write`` is.
    """

    state: SupervisionState
    write: bool
    authority: Authority | None = None
    why_not: str = ""
    request_control: str | None = None
    answers: tuple[Answer, ...] = ()
    transitions: tuple[Transition, ...] = ()


def state_of(state: SupervisionState) -> State:
    """State in the table of modes, from what is remembered."""
    if state.mode is Mode.ADVISORY and state.pending is not None:
        return State.REQUESTED if state.asked is None else State.CLOSING
    if state.mode is Mode.CLOSED_LOOP and state.suspended_since is not None:
        return State.SUSPENDED if state.asked is None else State.RESUMING
    return _PLAIN[state.mode]


_PLAIN: Mapping[Mode, State] = {
    Mode.OFF: State.OFF,
    Mode.MONITORING: State.MONITORING,
    Mode.ADVISORY: State.ADVISORY,
    Mode.CLOSED_LOOP: State.CLOSED,
    Mode.SHED: State.SHED,
}


def resting(state: SupervisionState, line_state: LineState, config: SupervisionConfig) -> bool:
    """Whether a closed loop stands with its line, or has only just gone on after that."""
    if state.mode is not Mode.CLOSED_LOOP:
        return False
    stands = line_state is not LineState.RUNNING or state.suspended_since is not None
    return stands or state.closed_cycles < config.estimator_cycles


def _change(state: SupervisionState, after: Mode, time: float, cause: str) -> SupervisionState:
    return replace(
        state,
        mode=after,
        since=time,
        cause=cause,
        pending=None,
        signature=state.signature if after is Mode.CLOSED_LOOP else None,
        suspended_since=None,
        asked=None,
        closed_cycles=0,
    )


# Requests


def handle_requests(
    state: SupervisionState,
    requests: Iterable[ModeRequest],
    config: SupervisionConfig,
    *,
    time: float,
    cycle: int,
) -> Decision:
    """Apply operators' requests in order; CLOSED_LOOP only becomes pending here."""
    answers: list[Answer] = []
    transitions: list[Transition] = []
    for r in requests:
        event = asked_for(r.mode)
        rule = TABLE[state_of(state)][event]
        why_not = refusal(ASKS[event], r.user, r.role, r.reason, config)
        if not why_not and rule.to is None:
            why_not = rule.why.format(mode=state.mode, wanted=r.mode)
        if why_not or rule.to is None:
            answers.append(Answer(request=r, accepted=False, text=why_not))
            continue
        if Do.ANSWER in rule.do and state.pending is not None:
            told = f"withdrawn: {r.user} has asked for {r.mode} since"
            answers.append(Answer(request=state.pending.request, accepted=False, text=told))
        if rule.to is State.REQUESTED:
            state = replace(state, pending=Pending(request=r, since=cycle), asked=None)
            continue
        if MODE_OF[rule.to] is state.mode:
            state = replace(state, pending=None, asked=None)
        else:
            transitions.append(
                Transition(before=state.mode, after=r.mode, by=r.user, reason=r.reason)
            )
            state = _change(state, r.mode, time, f"{r.user}: {r.reason}")
        answers.append(Answer(request=r, accepted=True, text=f"the mode is {r.mode}"))
    return Decision(
        state=state, write=False, answers=tuple(answers), transitions=tuple(transitions)
    )


# A cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cycle:
    """What one cycle is judged by."""

    state: SupervisionState
    inner: State
    config: SupervisionConfig
    structure: str
    line_state: LineState
    refusal: str
    time: float
    cycle: int

    @property
    def suspended_s(self) -> float:
        since = self.state.suspended_since
        return 0.0 if since is None else self.time - since


def decide(
    state: SupervisionState,
    config: SupervisionConfig,
    *,
    structure: str,
    line_state: LineState,
    refusal: str,
    time: float,
    cycle: int,
) -> Decision:
    """Mode after this cycle, from the permissives in ``state``.

    Parameters
    ----------
    state
        State after requests, with this cycle's permissives.
    config
        Times and debounce.
    structure
        PLC mode to ask for.
    line_state
        State of the line in this cycle.
    refusal
        The plant's answer to the last request for control if it was a refusal, else nothing.
    time
        Plant time [s, UTC].
    cycle
        Number of this cycle.
    """
    now = _Cycle(
        state=state,
        inner=state_of(state),
        config=config,
        structure=structure,
        line_state=line_state,
        refusal=refusal,
        time=time,
        cycle=cycle,
    )
    for event, rule in TABLE[now.inner].items():
        if event in ASKS or rule.to is None:
            continue
        cause = _HOLDS[event](now)
        if cause:
            return _follow(now, rule, rule.to, cause)
    raise AssertionError(f"{now.inner}: the table has no rule for a quiet cycle")


def _lost(now: _Cycle) -> str:
    writing = now.inner is State.CLOSED and now.line_state is LineState.RUNNING
    sheds = SHEDS_WRITING if writing else SHEDS_SUSPENDED
    debounce = debounce_of(now.config)
    lost = first_lost(now.state.permissives, debounce, ignore=_ALL - sheds)
    return "" if lost is None else _texts((lost,))


def _missing(now: _Cycle) -> str:
    closing = MODE_OF[now.inner] is Mode.ADVISORY
    needed = NEEDED_TO_CLOSE if closing else NEEDED_TO_RESUME
    return _texts(missing(now.state.permissives, ignore=_ALL - needed))


def _refused(now: _Cycle) -> str:
    if not now.refusal:
        return ""
    to_resume = "" if MODE_OF[now.inner] is Mode.ADVISORY else " to resume"
    return f"the plant refused{to_resume}: {now.refusal}"


def _overdue(now: _Cycle) -> str:
    asked, within = now.state.asked, now.config.grant_cycles
    if asked is None or now.cycle - asked <= within:
        return ""
    return f"no grant within {within} cycles"


def _granted(now: _Cycle) -> str:
    held = now.state.permissives.get(Name.PLC_MODE)
    return "granted" if held is not None and held.good else ""


def _too_long(now: _Cycle) -> str:
    within = now.config.resume_within_s
    if now.suspended_s < 0.0:
        return "the plant's time went back while the line stood"
    return f"the line did not run for {within:.0f} s" if now.suspended_s > within else ""


def _texts(lost: Iterable[Permissive]) -> str:
    return "; ".join(f"{p.name}: {p.text}" for p in lost)


# Text that says that a happening holds, or nothing.
_HOLDS: Mapping[Event, Callable[[_Cycle], str]] = {
    Event.LOST: _lost,
    Event.ABORTED: lambda now: (
        "the line was aborted" if now.line_state is LineState.ABORTED else ""
    ),
    Event.TOO_LONG: _too_long,
    Event.STANDS: lambda now: (
        "" if now.line_state is LineState.RUNNING else f"the line is {now.line_state}"
    ),
    Event.MISSING: _missing,
    Event.REFUSED: _refused,
    Event.OVERDUE: _overdue,
    Event.GRANTED: _granted,
    Event.QUIET: lambda now: _QUIET.get(now.inner, f"{now.state.mode} writes nothing"),
}

_QUIET: Mapping[State, str] = {
    State.REQUESTED: "control was requested from the plant",
    State.CLOSING: "waiting for the plant's grant",
    State.SUSPENDED: "control was requested from the plant",
    State.RESUMING: "waiting for the plant's grant",
}


def _follow(now: _Cycle, rule: Rule, to: State, cause: str) -> Decision:
    """Do what the rule says."""
    writes = Do.WRITE in rule.do
    after = _enter(now, to, cause)
    return Decision(
        state=after,
        write=writes,
        authority=_leave(now, after) if writes else None,
        why_not="" if writes else _why_not(now.inner, to, cause),
        request_control=now.structure if Do.ASK_PLANT in rule.do else None,
        answers=_answers(now, rule, to, cause),
        transitions=_transitions(now, rule, after),
    )


def _leave(now: _Cycle, after: SupervisionState) -> Authority:
    """Leave to write in this cycle, as the gate asks for it."""
    return authorise(
        cycle=now.cycle,
        time=now.time,
        mode=after.mode,
        suspended=after.suspended_since is not None,
        permissives=after.permissives,
    )


def _enter(now: _Cycle, to: State, cause: str) -> SupervisionState:
    """The state of supervision in ``to``."""
    state = now.state
    if to is State.CLOSED and state.pending is not None:
        who = state.pending.request
        signed = replace(
            state, signature=Signature(user=who.user, role=who.role, reason=who.reason)
        )
        return _change(signed, Mode.CLOSED_LOOP, now.time, f"{who.user}: {who.reason}")
    if MODE_OF[to] is not state.mode:
        return _change(state, MODE_OF[to], now.time, cause)
    since = now.time if state.suspended_since is None else state.suspended_since
    if to is State.SUSPENDED:
        return replace(state, suspended_since=since, asked=None, closed_cycles=0)
    if to is State.RESUMING:
        asked = now.cycle if state.asked is None else state.asked
        return replace(state, suspended_since=since, asked=asked, closed_cycles=0)
    if to is State.CLOSING:
        return replace(state, asked=now.cycle if state.asked is None else state.asked)
    if to is State.ADVISORY:
        return replace(state, pending=None, asked=None)
    if to is State.CLOSED and now.inner is not State.CLOSED:
        return replace(state, suspended_since=None, asked=None, closed_cycles=0)
    return state


def _why_not(before: State, to: State, cause: str) -> str:
    if to is State.SHED and before is not State.SHED:
        return f"shed: {cause}"
    return f"suspended: {cause}" if to in (State.SUSPENDED, State.RESUMING) else cause


def _answers(now: _Cycle, rule: Rule, to: State, cause: str) -> tuple[Answer, ...]:
    """What the operator is told who waits for CLOSED_LOOP."""
    pending = now.state.pending
    if Do.ANSWER not in rule.do or pending is None:
        return ()
    accepted, text = {
        State.CLOSED: (True, "the mode is CLOSED_LOOP"),
        State.CLOSING: (None, "waiting for the plant's grant"),
    }.get(to, (False, cause))
    return (Answer(request=pending.request, accepted=accepted, text=text),)


def _transitions(now: _Cycle, rule: Rule, after: SupervisionState) -> tuple[Transition, ...]:
    before = now.state.mode
    if after.mode is before:
        return ()
    if Do.SIGN in rule.do and after.signature is not None:
        by, reason = after.signature.user, after.signature.reason
    else:
        by, reason = str(By.SUPERVISION), after.cause
    return (Transition(before=before, after=after.mode, by=by, reason=reason),)
