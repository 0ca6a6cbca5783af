from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plc.handshake import (
    ReceivedFrame,
    Refusal,
    apply_frame,
    judge_frame,
    received_frame,
    release_session,
    request_control,
)
from hil.plc.modes import controlled
from hil.plc.scan import scan
from hil.plc.state import PlcState, SequenceState
from plant_models.signals import APC, MV, CommandFrame, LineState, PlcMode
from tests.hil.plc_kit import (
    CONTROLLER,
    EPOCH,
    actual,
    frame,
    granted,
    outlet_at,
    parameters,
    readings,
    running_state,
    scans,
)

P = parameters()


def test_a_good_frame_is_taken_whole_and_only_its_own_set_points_move() -> None:
    state = granted(running_state())
    moves = {tag: value * 1.001 for tag, value in actual(state).items()}
    after, cause = apply_frame(P, state, frame(state, moves))
    assert cause is None
    moved = {tag for tag, mv in after.mvs.items() if mv.target != state.mvs[tag].target}
    assert moved == set(P.limits) - {MV.FILL_DEPTH}
    assert after.lease.sequence == state.lease.sequence + 1


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"tail": 99}, Refusal.TORN),
        ({"tail": None}, Refusal.TORN),
        ({"head": None, "tail": None}, Refusal.TORN),
        ({"head": 0, "tail": 0}, Refusal.SEQUENCE),
        ({"echo": 996}, Refusal.ECHO),
        ({"echo": 1001}, Refusal.ECHO),
        ({"echo": None}, Refusal.INCOMPLETE),
        ({"divert": None}, Refusal.INCOMPLETE),
        ({"epoch": EPOCH + 1}, Refusal.EPOCH),
    ],
)
def test_a_bad_frame_is_refused_whole_and_counted(
    change: dict[str, int | None], cause: Refusal
) -> None:
    state = granted(running_state())
    bad = replace(frame(state, {MV.TOTAL_FEED: 20.2}), **change)
    after, refused = apply_frame(P, state, bad)
    assert refused is cause
    assert after.mvs == state.mvs
    assert after.lease.refused == {cause.value: 1}
    assert after.lease.accepted_hb == state.lease.accepted_hb


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("tag", [MV.TOTAL_FEED, MV.FILL_DEPTH])
def test_no_value_may_be_other_than_finite_not_even_one_that_is_ignored(
    tag: str, value: float
) -> None:
    state = granted(running_state())
    assert judge_frame(P, state, frame(state, {tag: value})) is Refusal.NOT_FINITE


def test_a_frame_without_one_of_the_eight_set_points_is_incomplete() -> None:
    state = granted(running_state())
    whole = frame(state)
    for tag in P.limits:
        rest = {t: v for t, v in whole.requests.items() if t != tag}
        assert judge_frame(P, state, replace(whole, requests=rest)) is Refusal.INCOMPLETE


def test_nothing_is_taken_in_local_outside_running_or_without_permit() -> None:
    state = granted(running_state())
    good = frame(state)
    held = replace(state, sequence=SequenceState(line=LineState.HELD))
    tripped = replace(state, sequence=replace(state.sequence, interlock="chute overflow"))
    local = replace(state, lease=replace(state.lease, mode=PlcMode.LOCAL))
    assert judge_frame(P, state, good) is None
    assert judge_frame(P, held, good) is Refusal.LINE_STATE
    assert judge_frame(P, tripped, good) is Refusal.PERMIT
    assert judge_frame(P, local, good) is Refusal.MODE
    assert judge_frame(P, running_state(), good) is Refusal.EPOCH


def test_the_command_frame_of_the_link_is_understood() -> None:
    state = granted(running_state())
    sent = CommandFrame(
        sequence=7, requests=actual(state), echo=state.heartbeat, epoch=EPOCH, divert=True
    )
    seen = received_frame(sent.as_writes(), P.limits)
    assert judge_frame(P, state, seen) is None
    assert (seen.head, seen.tail, seen.divert) == (7, 7, True)
    wrong_type = {**sent.as_writes(), APC.SEQ_HEAD: 7.0}
    assert judge_frame(P, state, received_frame(wrong_type, P.limits)) is Refusal.TORN


def test_a_request_is_clamped_to_its_range_and_cut_to_one_periods_move() -> None:
    state = granted(running_state())
    after, cause = apply_frame(P, state, frame(state, {MV.TOTAL_FEED: 1e6, MV.API_RATIO: 10.01}))
    assert cause is None
    feed = after.mvs[MV.TOTAL_FEED]
    assert feed.clamped == 2
    assert (feed.target - feed.act) * 3600.0 == pytest.approx(0.3)
    assert after.mvs[MV.API_RATIO].clamped == 0
    nominal = P.limits[MV.API_RATIO].nominal
    high = replace(
        after,
        mvs={
            **after.mvs,
            MV.API_RATIO: replace(after.mvs[MV.API_RATIO], act=0.105, target=0.105),
        },
    )
    top, _ = apply_frame(P, high, frame(high, {MV.API_RATIO: 11.0}))
    assert top.mvs[MV.API_RATIO].clamped == 1
    assert top.mvs[MV.API_RATIO].target == pytest.approx(0.105)
    assert nominal == pytest.approx(0.1)


def _ask(state: PlcState, epoch: int, **other: str) -> tuple[PlcState, str]:
    arguments = {
        "session": "session-2",
        "user": "b",
        "mode": "CASCADE",
        "reason": "taking over",
        **other,
    }
    return request_control(P, state, epoch=epoch, **arguments)


def test_taking_over_revokes_the_earlier_epoch_for_good() -> None:
    first = granted(running_state())
    second, answer = _ask(first, EPOCH + 1)
    assert answer == "granted"
    zombie = frame(second, epoch=EPOCH)
    assert judge_frame(P, second, zombie) is Refusal.EPOCH
    _, answer = _ask(second, EPOCH)
    assert "revoked" in answer
    local = scans(second, 20)
    assert local.lease.mode is PlcMode.LOCAL
    _, answer = _ask(local, EPOCH)
    assert "revoked" in answer


def test_the_same_controller_may_ask_again_after_a_shed_and_its_numbers_go_on() -> None:
    state = granted(running_state())
    state, _ = apply_frame(P, state, frame(state))
    shed = scans(state, 20)
    again, answer = _ask(shed, EPOCH, session=CONTROLLER)
    assert answer == "granted"
    assert judge_frame(P, again, frame(again, head=1, tail=1)) is Refusal.SEQUENCE
    assert judge_frame(P, again, frame(again)) is None


@pytest.mark.parametrize(
    ("epoch", "other", "word"),
    [
        (5, {"mode": "LOCAL"}, "CASCADE or REMOTE"),
        (5, {"mode": "cascade"}, "CASCADE or REMOTE"),
        (5, {"reason": "  "}, "reason"),
        (0, {}, "positive"),
    ],
)
def test_control_is_refused_with_the_reason(epoch: int, other: dict[str, str], word: str) -> None:
    state = running_state()
    after, answer = _ask(state, epoch, **other)
    assert word in answer
    assert after == state


def test_control_is_refused_while_the_line_does_not_run_or_an_interlock_is_active() -> None:
    state = running_state()
    held = replace(state, sequence=SequenceState(line=LineState.HELD))
    assert _ask(held, 5)[1] == "the line is held, not running"
    tripped = replace(state, sequence=replace(state.sequence, interlock="chute starved"))
    assert "chute starved" in _ask(tripped, 5)[1]


def test_taking_control_moves_nothing() -> None:
    state = running_state()
    ramping = {
        tag: replace(mv, target=P.limits[tag].hi) if tag == MV.THICKNESS else mv
        for tag, mv in state.mvs.items()
    }
    after = granted(replace(state, mvs=ramping))
    assert all(mv.target == mv.act == state.mvs[tag].act for tag, mv in after.mvs.items())


def test_a_lost_session_keeps_the_lease_until_the_watchdog() -> None:
    state = release_session(granted(running_state()), CONTROLLER)
    assert state.lease.session == "" and state.lease.active
    assert judge_frame(P, state, frame(state)) is None
    assert release_session(state, "somebody else") == state


@dataclass(frozen=True)
class _Act:
    kind: str
    seconds: int
    epoch: int
    head: int
    tail: int
    echo: int
    value: float


_ACTS = st.lists(
    st.builds(
        _Act,
        kind=st.sampled_from(["frame", "frame", "good", "good", "ask", "wait"]),
        seconds=st.integers(0, 8),
        epoch=st.integers(0, 4),
        head=st.integers(-1, 3),
        tail=st.integers(-1, 3),
        echo=st.integers(-12, 2),
        value=st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=40,
)


def _frame_of(act: _Act, state: PlcState) -> ReceivedFrame:
    if act.kind == "good":
        tag = tuple(P.limits)[act.seconds % len(P.limits)]
        good = frame(state, {tag: act.value} if math.isfinite(act.value) else None)
        return replace(good, echo=state.heartbeat - act.seconds % 5)
    return ReceivedFrame(
        head=state.lease.sequence + act.head,
        tail=state.lease.sequence + act.tail,
        echo=state.heartbeat + act.echo,
        epoch=act.epoch,
        divert=False,
        requests={tag: act.value for tag in P.limits},
    )


@settings(max_examples=150)
@given(acts=_ACTS)
def test_the_rules_of_the_handshake_hold_whatever_arrives(acts: list[_Act]) -> None:
    """No old echo, no torn frame, no revoked epoch; rates; shed within the watchdog."""
    state = granted(running_state(), epoch=1)
    revoked: set[int] = set()
    for act in acts:
        if act.kind == "ask":
            holder = state.lease.epoch
            state, answer = _ask(state, act.epoch)
            if answer == "granted":
                assert act.epoch not in revoked
                revoked |= {holder} - {act.epoch}
        elif act.kind in ("frame", "good"):
            sent = _frame_of(act, state)
            before = state
            state, cause = apply_frame(P, state, sent)
            if cause is None:
                assert 0 <= before.heartbeat - sent.echo <= P.config.echo_max_s
                assert sent.head == sent.tail > before.lease.sequence
                assert sent.epoch == before.lease.epoch and sent.epoch not in revoked
                assert before.lease.mode is not PlcMode.LOCAL
                for tag in controlled(P, before):
                    mv, limit = state.mvs[tag], P.limits[tag]
                    assert abs(mv.target - mv.act) <= P.period_move(tag) * (1 + 1e-9)
                    assert limit.lo <= mv.target <= limit.hi
            else:
                assert state.mvs == before.mvs
        for _ in range(act.seconds):
            before = state
            state, _ = scan(P, state, readings(state), outlet_at(state.diverter.goal).feedback)
            for tag in set(P.limits) - {MV.FILL_DEPTH}:
                change = abs(state.mvs[tag].act - before.mvs[tag].act)
                assert change <= P.limits[tag].rate * (1 + 1e-9)
            if state.lease.mode is not PlcMode.LOCAL:
                assert state.heartbeat - state.lease.accepted_hb < P.config.watchdog_s
        assert revoked <= set(state.lease.revoked)
