"""The table of modes, and who may ask for what."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.modes import TRANSITIONS, By, ModeRequest, may_change
from controller.supervision.supervisor import SupervisionState, handle_requests
from tests.controller.kit import ask

CONFIG = SupervisionConfig()
CLIMB = [Mode.OFF, Mode.MONITORING, Mode.ADVISORY, Mode.CLOSED_LOOP]


def test_an_operator_climbs_one_step_at_a_time() -> None:
    for low, high in product(range(4), range(4)):
        if high > low:
            assert may_change(CLIMB[low], CLIMB[high], By.OPERATOR) == (high == low + 1)


def test_an_operator_goes_down_any_number_of_steps() -> None:
    for low, high in product(range(4), range(4)):
        if high > low:
            assert may_change(CLIMB[high], CLIMB[low], By.OPERATOR)


def test_anybody_in_any_mode_may_shed_on_request_and_supervision_only_a_closed_loop() -> None:
    for mode in CLIMB:
        assert may_change(mode, Mode.SHED, By.OPERATOR)
        assert may_change(mode, Mode.SHED, By.SUPERVISION) == (mode is Mode.CLOSED_LOOP)


def test_shed_leads_to_advisory_alone() -> None:
    ways = {after for (before, after) in TRANSITIONS if before is Mode.SHED}
    assert ways == {Mode.ADVISORY}


def test_supervision_never_climbs() -> None:
    assert all(after is Mode.SHED for (_, after), by in TRANSITIONS.items() if By.SUPERVISION in by)


def _handle(state: SupervisionState, *requests: ModeRequest):  # type: ignore[no-untyped-def]
    return handle_requests(state, requests, CONFIG, time=10.0, cycle=3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"role": "guest"}, "ada has the role guest, needed is operator or supervisor"),
        ({"role": ""}, "role none"),
        ({"user": ""}, "nobody"),
        ({"reason": "  a "}, "at least 3 characters"),
    ],
)
def test_role_and_reason_are_needed(change: dict[str, str], text: str) -> None:
    request = replace(ask(Mode.MONITORING), **change)  # type: ignore[arg-type]
    decision = _handle(SupervisionState(), request)
    assert decision.state.mode is Mode.OFF
    assert [a.accepted for a in decision.answers] == [False]
    assert text in decision.answers[0].text


def test_a_change_is_noted_with_who_why_and_when() -> None:
    decision = _handle(SupervisionState(), ask(Mode.MONITORING))
    (transition,) = decision.transitions
    assert (transition.before, transition.after) == (Mode.OFF, Mode.MONITORING)
    assert (transition.by, transition.reason) == ("ada", "test of the loop")
    assert (decision.state.since, decision.state.cause) == (10.0, "ada: test of the loop")


def test_several_requests_in_one_cycle_are_taken_in_order() -> None:
    decision = _handle(SupervisionState(), ask(Mode.MONITORING), ask(Mode.ADVISORY))
    assert decision.state.mode is Mode.ADVISORY


def test_closing_the_loop_is_never_done_by_a_request_alone() -> None:
    decision = _handle(SupervisionState(mode=Mode.ADVISORY), ask(Mode.CLOSED_LOOP))
    assert decision.state.mode is Mode.ADVISORY
    assert decision.state.pending is not None


def test_a_change_of_mode_drops_a_pending_request() -> None:
    decision = _handle(
        SupervisionState(mode=Mode.ADVISORY), ask(Mode.CLOSED_LOOP), ask(Mode.MONITORING)
    )
    assert decision.state.pending is None


@given(st.sampled_from(list(Mode)), st.lists(st.sampled_from(list(Mode)), max_size=12))
def test_no_sequence_of_requests_leaves_the_table(start: Mode, wishes: list[Mode]) -> None:
    decision = _handle(SupervisionState(mode=start), *map(ask, wishes))
    mode = start
    for t in decision.transitions:
        assert t.before is mode
        assert (t.before, t.after) in TRANSITIONS
        assert t.after is not Mode.CLOSED_LOOP
        mode = t.after
    assert decision.state.mode is mode
