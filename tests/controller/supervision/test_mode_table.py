"""The table of modes: whole, safe, and obeyed by the supervisor in every state and event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.mode_table import (
    ASKS,
    HAPPENINGS,
    MODE_OF,
    TABLE,
    Do,
    Event,
    State,
    rows,
)
from controller.supervision.modes import TRANSITIONS, By, ModeRequest, Pending, Signature
from controller.supervision.permissives import Name, Permissive
from controller.supervision.supervisor import (
    Decision,
    SupervisionState,
    decide,
    handle_requests,
    state_of,
)
from plant_models.signals import LineState

CONFIG = SupervisionConfig()
WHO = ModeRequest(mode=Mode.CLOSED_LOOP, user="ada", role="operator", reason="test of the table")
NOW, CYCLE = 1000.0, 50
CLOSED_FAMILY = (State.CLOSED, State.SUSPENDED, State.RESUMING)


def permissives(*lost: Name, lost_cycles: int = 1) -> dict[Name, Permissive]:
    """All permissives; those in ``lost`` not good for a number of cycles."""
    return {
        n: Permissive(
            name=n,
            good=n not in lost,
            text=f"text of {n.name}",
            since=0.0,
            lost_cycles=lost_cycles if n in lost else 0,
        )
        for n in Name
    }


def supervision(state: State, found: Mapping[Name, Permissive]) -> SupervisionState:
    """What is remembered in ``state``."""
    pending = Pending(request=WHO, since=CYCLE - 1)
    signed = Signature(user="eve", role="operator", reason="signed before")
    common = SupervisionState(mode=MODE_OF[state], cause="before", permissives=found)
    return {
        State.REQUESTED: replace(common, pending=pending),
        State.CLOSING: replace(common, pending=pending, asked=CYCLE - 1),
        State.CLOSED: replace(common, signature=signed, closed_cycles=9),
        State.SUSPENDED: replace(common, signature=signed, suspended_since=NOW - 60.0),
        State.RESUMING: replace(
            common, signature=signed, suspended_since=NOW - 60.0, asked=CYCLE - 1
        ),
    }.get(state, common)


def judged(
    state: SupervisionState,
    *,
    line: LineState = LineState.RUNNING,
    refusal: str = "",
    time: float = NOW,
    cycle: int = CYCLE,
) -> Decision:
    """One cycle."""
    return decide(
        state,
        CONFIG,
        structure="CASCADE",
        line_state=line,
        refusal=refusal,
        time=time,
        cycle=cycle,
    )


def happening(state: State, event: Event) -> Decision:
    """A cycle in which ``event`` holds, and nothing that is judged before it."""
    waiting = permissives(Name.PLC_MODE)
    if event is Event.LOST:
        return judged(supervision(state, permissives(Name.PERMIT)))
    if event is Event.ABORTED:
        return judged(supervision(state, permissives(Name.LINE_STATE)), line=LineState.ABORTED)
    if event is Event.TOO_LONG:
        late = NOW + CONFIG.resume_within_s
        return judged(supervision(state, waiting), time=late)
    if event is Event.STANDS:
        return judged(supervision(state, permissives(Name.LINE_STATE)), line=LineState.HELD)
    if event is Event.MISSING:
        return judged(supervision(state, permissives(Name.SOLVER, Name.PLC_MODE)))
    if event is Event.REFUSED:
        return judged(supervision(state, waiting), refusal="an older epoch")
    if event is Event.OVERDUE:
        return judged(supervision(state, waiting), cycle=CYCLE + CONFIG.grant_cycles)
    if event is Event.GRANTED:
        return judged(supervision(state, permissives()))
    return judged(supervision(state, permissives() if state is State.CLOSED else waiting))


def test_every_state_says_what_follows_from_every_event() -> None:
    assert set(TABLE) == set(State)
    for state in State:
        assert set(TABLE[state]) == set(Event), state
        assert list(TABLE[state])[-1] is Event.QUIET
        assert TABLE[state][Event.QUIET].to is not None


def test_what_does_not_follow_has_a_reason_and_nothing_else() -> None:
    for state, event, rule in rows():
        assert (rule.to is None) == bool(rule.why), (state, event)
        assert not (rule.to is None and rule.do), (state, event)


def test_closed_loop_is_entered_with_the_grant_and_a_signature_or_resumed() -> None:
    entries = {
        (state, event): rule.do
        for state, event, rule in rows()
        if rule.to in CLOSED_FAMILY and state not in CLOSED_FAMILY
    }
    assert set(entries) == {(State.REQUESTED, Event.GRANTED), (State.CLOSING, Event.GRANTED)}
    assert all(Do.SIGN in do for do in entries.values())
    back = {(s, e) for s, e, r in rows() if r.to is State.CLOSED and s in CLOSED_FAMILY}
    assert back == {
        (State.CLOSED, Event.QUIET),
        (State.SUSPENDED, Event.GRANTED),
        (State.RESUMING, Event.GRANTED),
    }


def test_only_an_operator_in_advisory_starts_closing() -> None:
    ways = {(s, e) for s, e, r in rows() if r.to is State.REQUESTED}
    assert ways == {
        (s, Event.ASK_CLOSED_LOOP) for s in (State.ADVISORY, State.REQUESTED, State.CLOSING)
    }
    ways = {(s, e) for s, e, r in rows() if r.to is State.CLOSING and s is not State.CLOSING}
    assert ways == {(State.REQUESTED, Event.QUIET)}


def test_shed_is_left_to_advisory_alone_and_by_an_operator() -> None:
    ways = {(e, r.to) for e, r in TABLE[State.SHED].items() if r.to not in (None, State.SHED)}
    assert ways == {(Event.ASK_ADVISORY, State.ADVISORY)}


def test_a_plan_is_written_in_closed_loop_alone() -> None:
    assert {r.to for _, _, r in rows() if Do.WRITE in r.do} == {State.CLOSED}
    assert all(Do.WRITE in r.do for _, _, r in rows() if r.to is State.CLOSED)


def test_no_state_but_shed_keeps_an_operator_from_shedding() -> None:
    for state in State:
        to = TABLE[state][Event.ASK_SHED].to
        assert to is (None if state is State.SHED else State.SHED)


def test_between_the_five_modes_there_are_these_ways_and_no_others() -> None:
    operator = {
        Mode.OFF: {Mode.MONITORING, Mode.SHED},
        Mode.MONITORING: {Mode.OFF, Mode.ADVISORY, Mode.SHED},
        Mode.ADVISORY: {Mode.OFF, Mode.MONITORING, Mode.CLOSED_LOOP, Mode.SHED},
        Mode.CLOSED_LOOP: {Mode.OFF, Mode.MONITORING, Mode.ADVISORY, Mode.SHED},
        Mode.SHED: {Mode.ADVISORY},
    }
    ways = {(a, b) for a, ends in operator.items() for b in ends}
    assert {way for way, by in TRANSITIONS.items() if By.OPERATOR in by} == ways
    supervision = {way for way, by in TRANSITIONS.items() if By.SUPERVISION in by}
    assert supervision == {(Mode.CLOSED_LOOP, Mode.SHED)}


@pytest.mark.parametrize("state", list(State))
def test_what_is_remembered_tells_the_state(state: State) -> None:
    assert state_of(supervision(state, permissives())) is state


@pytest.mark.parametrize(("state", "event"), list(product(State, ASKS)))
def test_the_supervisor_answers_every_request_as_the_table_says(state: State, event: Event) -> None:
    rule = TABLE[state][event]
    wanted = Mode(event.name.removeprefix("ASK_"))
    request = replace(WHO, mode=wanted, user="bob")
    before = supervision(state, permissives())
    decision = handle_requests(before, [request], CONFIG, time=NOW, cycle=CYCLE)
    own = [a for a in decision.answers if a.request is request]
    assert not decision.write and decision.request_control is None
    if rule.to is None:
        assert decision.state == before
        assert [(a.accepted, bool(a.text)) for a in own] == [(False, True)]
        return
    assert state_of(decision.state) is rule.to
    assert [a.accepted for a in own] == ([] if rule.to is State.REQUESTED else [True])
    others = [a for a in decision.answers if a.request is not request]
    assert [a.accepted for a in others] == ([False] if Do.ANSWER in rule.do else [])
    changed = MODE_OF[rule.to] is not MODE_OF[state]
    assert [(t.before, t.after) for t in decision.transitions] == (
        [(MODE_OF[state], wanted)] if changed else []
    )


@pytest.mark.parametrize(("state", "event"), list(product(State, ASKS)))
def test_without_the_role_or_a_reason_no_request_does_anything(state: State, event: Event) -> None:
    before = supervision(state, permissives())
    wanted = Mode(event.name.removeprefix("ASK_"))
    for request in (
        replace(WHO, mode=wanted, role="observer"),
        replace(WHO, mode=wanted, user=""),
        replace(WHO, mode=wanted, reason=" "),
    ):
        decision = handle_requests(before, [request], CONFIG, time=NOW, cycle=CYCLE)
        assert decision.state == before
        assert [a.accepted for a in decision.answers] == [False]


@pytest.mark.parametrize(("state", "event"), list(product(State, HAPPENINGS)))
def test_the_supervisor_follows_the_table_in_every_happening(state: State, event: Event) -> None:
    rule = TABLE[state][event]
    decision = happening(state, event)
    if rule.to is None:  # judged by another one: never nearer to writing than that one leads
        assert Do.WRITE not in rule.do
        others = {r.to for e, r in TABLE[state].items() if e in HAPPENINGS and r.to is not None}
        assert state_of(decision.state) in others
        return
    assert state_of(decision.state) is rule.to
    assert decision.write == (Do.WRITE in rule.do)
    assert decision.request_control == ("CASCADE" if Do.ASK_PLANT in rule.do else None)
    assert bool(decision.answers) == (Do.ANSWER in rule.do)
    assert decision.write or decision.why_not
    shed = rule.to is State.SHED and state is not State.SHED
    assert decision.why_not.startswith("shed: ") == shed
    suspended = rule.to in (State.SUSPENDED, State.RESUMING)
    assert decision.why_not.startswith("suspended: ") == suspended
    changed = MODE_OF[rule.to] is not MODE_OF[state]
    by = WHO.user if Do.SIGN in rule.do else "supervision"
    assert [(t.before, t.after, t.by) for t in decision.transitions] == (
        [(MODE_OF[state], MODE_OF[rule.to], by)] if changed else []
    )
    assert all(t.reason for t in decision.transitions)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.RESUMING])
def test_a_clock_that_goes_back_never_prolongs_a_suspension(state: State) -> None:
    began = supervision(state, permissives()).suspended_since
    assert began is not None
    decision = judged(supervision(state, permissives()), time=began - 3600.0)
    assert decision.state.mode is Mode.SHED
    assert "time went back" in decision.state.cause
    assert judged(supervision(state, permissives()), time=began).write


@given(
    state=st.sampled_from(list(State)),
    lost=st.sets(st.sampled_from(list(Name)), max_size=6),
    lost_cycles=st.integers(1, 40),
    line=st.sampled_from(list(LineState)),
    refusal=st.sampled_from(["", "no"]),
    late=st.sampled_from([0.0, 2000.0]),
    waited=st.integers(0, 8),
)
@settings(max_examples=400, deadline=None)
def test_nothing_is_written_without_all_that_it_needs(
    state: State,
    lost: set[Name],
    lost_cycles: int,
    line: LineState,
    refusal: str,
    late: float,
    waited: int,
) -> None:
    lost = lost - {Name.LINE_STATE} if line is LineState.RUNNING else lost | {Name.LINE_STATE}
    before = supervision(state, permissives(*lost, lost_cycles=lost_cycles))
    decision = judged(before, line=line, refusal=refusal, time=NOW + late, cycle=CYCLE + waited)
    after = decision.state
    assert decision.write == (state_of(after) is State.CLOSED)
    if decision.write:
        assert line is LineState.RUNNING
        assert not lost & {Name.HEARTBEAT, Name.PLC_MODE, Name.PERMIT, Name.AGREEMENT}
        assert after.signature is not None
        if state is not State.CLOSED:
            assert lost <= ({Name.READINESS} if state in CLOSED_FAMILY else set())
    if after.mode is Mode.CLOSED_LOOP and MODE_OF[state] is not Mode.CLOSED_LOOP:
        assert state in (State.REQUESTED, State.CLOSING)
        assert not lost
        assert after.signature == Signature(user=WHO.user, role=WHO.role, reason=WHO.reason)
    if state is State.SHED:
        assert after == before
    if after.mode is not Mode.CLOSED_LOOP:
        assert after.signature is None or after.mode is MODE_OF[state]
