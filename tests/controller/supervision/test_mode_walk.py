"""Every situation that the supervisor can get into, and every step out of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.mode_table import State
from controller.supervision.modes import ModeRequest
from controller.supervision.permissives import SAFETY, Name, Permissive
from controller.supervision.supervisor import (
    Decision,
    SupervisionState,
    decide,
    handle_requests,
    state_of,
)
from plant_models.signals import LineState

CONFIG = SupervisionConfig(grant_cycles=2)
PERIOD = 5.0
LONG = frozenset({State.SUSPENDED, State.RESUMING})


@dataclass(frozen=True)
class Play:
    """What happens in one cycle: a request, what is lost, the line, the plant's answer, a pause."""

    asked: Mode | None
    role: str
    lost: frozenset[Name]
    line: LineState
    refusal: str
    pause_s: float

    @property
    def nothing_lost(self) -> bool:
        return not self.lost and self.line is LineState.RUNNING


LOSSES = (
    frozenset[Name](),
    frozenset({Name.PLC_MODE}),
    frozenset({Name.PERMIT}),
    frozenset({Name.SOLVER}),
    frozenset({Name.READINESS}),
    frozenset({Name.PLC_MODE, Name.SOLVER}),
)
ASKED = ((None, "operator"), *((m, "operator") for m in Mode), (Mode.CLOSED_LOOP, "observer"))
PLAYS = tuple(
    Play(asked, role, lost, line, refusal, pause_s)
    for (asked, role), lost, line, refusal, pause_s in product(
        ASKED,
        LOSSES,
        (LineState.RUNNING, LineState.HELD, LineState.ABORTED),
        ("", "no"),
        (0.0, CONFIG.resume_within_s),
    )
)


@dataclass(frozen=True)
class Step:
    """One step of the walk; ``heard`` is the state between request and judgement."""

    before: SupervisionState
    play: Play
    heard: State
    decision: Decision


def step(before: SupervisionState, cycle: int, time: float, play: Play) -> Step:
    """One cycle of the supervisor."""
    requests = []
    if play.asked is not None:
        requests = [ModeRequest(mode=play.asked, user="ada", role=play.role, reason="walk")]
    heard = handle_requests(before, requests, CONFIG, time=time, cycle=cycle).state
    lost = set(play.lost)
    if play.line is not LineState.RUNNING:
        lost.add(Name.LINE_STATE)
    if heard.pending is None and heard.signature is None:
        lost.add(Name.OPERATOR)
    found = {
        n: Permissive(name=n, good=n not in lost, text="", since=0.0, lost_cycles=99) for n in Name
    }
    decision = decide(
        replace(heard, permissives=found),
        CONFIG,
        structure="CASCADE",
        line_state=play.line,
        refusal=play.refusal,
        time=time,
        cycle=cycle,
    )
    return Step(before, play, state_of(heard), decision)


@cache
def walk() -> tuple[Step, ...]:
    """All steps from all situations; situations that differ only by when they began are one."""
    cycle, now = 1000, 1e6
    start = SupervisionState()
    seen, todo, steps = {_situation(start, cycle, now)}, deque([start]), []
    while todo:
        before = todo.popleft()
        for play in PLAYS:
            taken = step(before, cycle, now + play.pause_s, play)
            steps.append(taken)
            after = _aged(taken.decision.state, play.pause_s)
            key = _situation(after, cycle, now)
            if key not in seen:
                seen.add(key)
                todo.append(after)
    return tuple(steps)


def _aged(state: SupervisionState, passed: float) -> SupervisionState:
    """The same state one cycle later, told as if it were now: what it remembers is older."""
    since = state.suspended_since
    return replace(
        state,
        asked=None if state.asked is None else state.asked - 1,
        suspended_since=None if since is None else since - passed - PERIOD,
        closed_cycles=0,
        permissives={},
    )


def _situation(state: SupervisionState, cycle: int, now: float) -> tuple[object, ...]:
    asked = None if state.asked is None else min(cycle - state.asked, CONFIG.grant_cycles + 2)
    stood = None
    if state.suspended_since is not None:
        stood = min(now - state.suspended_since, CONFIG.resume_within_s + PERIOD)
        stood = stood > CONFIG.resume_within_s
    return state_of(state), asked, stood, state.signature is not None


def test_every_state_of_the_table_is_reached() -> None:
    reached = {s for x in walk() for s in (x.heard, state_of(x.decision.state))}
    assert reached == set(State)
    assert len(walk()) > 5000


def test_the_loop_is_closed_only_on_the_one_way() -> None:
    closings = 0
    for x in walk():
        if x.before.mode is Mode.CLOSED_LOOP or x.decision.state.mode is not Mode.CLOSED_LOOP:
            continue
        closings += 1
        assert x.before.mode is Mode.ADVISORY
        asked_now = x.play.asked is Mode.CLOSED_LOOP and x.play.role == "operator"
        assert asked_now or x.before.pending is not None
        assert x.play.nothing_lost
        assert x.decision.state.signature is not None
    assert closings > 0


def test_a_plan_goes_out_only_while_everything_holds_that_it_needs() -> None:
    for x in walk():
        if not x.decision.write:
            continue
        assert state_of(x.decision.state) is State.CLOSED
        assert x.play.line is LineState.RUNNING
        assert not x.play.lost & SAFETY
        if state_of(x.before) in LONG:
            assert x.play.lost <= {Name.READINESS}


def test_a_loop_that_was_shed_is_closed_again_only_through_advisory() -> None:
    for x in walk():
        if x.before.mode is Mode.SHED:
            wanted = x.play.asked is Mode.ADVISORY and x.play.role == "operator"
            after = x.decision.state.mode
            assert after is (Mode.ADVISORY if wanted else Mode.SHED)
            assert not x.decision.write


def test_a_suspension_ends_with_the_same_signature_or_without_the_loop() -> None:
    ends = set()
    for x in walk():
        if state_of(x.before) in LONG and x.play.asked is None:
            after = x.decision.state
            ends.add(state_of(after))
            if after.mode is Mode.CLOSED_LOOP:
                assert after.signature == x.before.signature
            else:
                assert after.mode is Mode.SHED
                assert after.signature is None
    assert ends == {State.CLOSED, State.SUSPENDED, State.RESUMING, State.SHED}


def test_an_operator_can_always_stop_it() -> None:
    for x in walk():
        if x.play.asked is Mode.SHED:
            assert x.decision.state.mode is Mode.SHED
            assert not x.decision.write
