"""States, delays, deadband, latching, suppression and first-out of alarms."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.alarms.definitions import Priority, alarm_list
from controller.alarms.engine import Condition, EventKind, State
from tests.controller.alarms.alarm_kit import PERIOD, Desk, definition, desk

N, U, A, R = State.NORMAL, State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED


def test_an_alarm_comes_is_acknowledged_and_goes() -> None:
    d = desk(definition("a"))
    (event,) = d.cycle("a")
    assert (d["a"], event.kind, event.annunciated, event.number) == (U, EventKind.RAISED, True, 1)
    assert d.cycle("a") == ()
    assert d.ask("a", "acknowledge").accepted
    assert d["a"] is A
    (event,) = d.cycle()
    assert (d["a"], event.kind, event.annunciated) == (N, EventKind.CLEARED, False)
    assert [e.number for e in d.journal] == [1, 2, 3]


def test_one_that_goes_before_it_is_acknowledged_waits_for_it() -> None:
    d = desk(definition("a"))
    d.cycle("a")
    d.cycle()
    assert d["a"] is R
    d.cycle("a")
    assert d["a"] is U
    d.cycle()
    assert d.ask("a", "acknowledge").accepted
    assert d["a"] is N
    answer = d.ask("a", "acknowledge")
    assert not answer.accepted and "nothing to acknowledge" in answer.text


def test_a_latched_alarm_stays_until_it_is_acknowledged() -> None:
    d = desk(definition("a", latching=True))
    d.cycle("a")
    d.cycle()
    assert d["a"] is U
    d.ask("a", "acknowledge")
    assert d["a"] is N


@pytest.mark.parametrize(("delay", "cycles"), [(0.0, 1), (4.0, 2), (10.0, 3), (11.0, 4)])
def test_an_alarm_comes_after_its_delay(delay: float, cycles: int) -> None:
    d = desk(definition("a", on_delay_s=delay))
    came = next(i for i in range(1, 10) if d.cycle("a"))
    assert came == cycles


def test_a_condition_shorter_than_the_delay_is_no_alarm() -> None:
    d = desk(definition("a", on_delay_s=10.0))
    for _ in range(5):
        d.cycle("a")
        d.cycle("a")
        d.cycle()
    assert d.journal == []


def test_a_condition_gone_for_less_than_the_delay_is_still_there() -> None:
    d = desk(definition("a", off_delay_s=10.0))
    d.cycle("a")
    for _ in range(4):
        d.cycle()
        d.cycle()
        d.cycle("a")
    assert [e.kind for e in d.journal] == [EventKind.RAISED]
    d.cycle()
    d.cycle()
    assert d.cycle()[0].kind is EventKind.CLEARED


def test_a_value_must_come_back_by_the_deadband() -> None:
    d = desk(definition("a", deadband=2.0))

    def at(value: float) -> State:
        d.cycle(a=Condition(value > 10.0, "", value, 10.0))
        return d["a"]

    assert [at(v) for v in (9.9, 10.1, 9.0, 8.0, 7.9)] == [N, U, U, U, R]
    assert at(9.0) is R  # from below, the limit counts


def test_the_deadband_works_below_a_lower_limit_too() -> None:
    d = desk(definition("a", deadband=2.0))
    for value, state in ((4.0, U), (6.5, U), (7.1, R)):
        d.cycle(a=Condition(value < 5.0, "", value, 5.0))
        assert d["a"] is state


def test_what_is_unknown_stays_as_it_is() -> None:
    d = desk(definition("a", on_delay_s=PERIOD), definition("b"))
    d.cycle("a", "b")
    for _ in range(5):
        assert d.cycle(a=None, b=None) == ()
    assert (d["a"], d["b"]) == (N, U)


def test_a_shelved_alarm_is_hidden_until_its_time_is_up() -> None:
    d = desk(definition("a"))
    d.cycle("a")
    assert d.ask("a", "shelve", minutes=0.25).accepted
    assert d["a"] is State.SHELVED
    d.ask("a", "acknowledge")
    d.cycle()
    (again,) = d.cycle("a")  # comes again on the shelf: in the journal, but calls nobody
    assert (again.state, again.annunciated) == (State.SHELVED, False)
    (event,) = d.cycle("a")
    assert (event.kind, event.annunciated, d["a"]) == (EventKind.SHELF_EXPIRED, True, U)


def test_shelving_ends_early_by_hand_and_when_the_clock_goes_back() -> None:
    d = desk(definition("a"), definition("b"))
    d.cycle("a", "b")
    for name in ("a", "b"):
        d.ask(name, "acknowledge")
        d.ask(name, "shelve", minutes=60.0)
    assert d.ask("a", "unshelve").accepted
    assert d["a"] is A  # nothing new: it had been acknowledged
    d.time -= 3600.0
    d.cycle("a", "b")
    assert d["b"] is A


@pytest.mark.parametrize("minutes", [0.0, -1.0, 481.0, float("nan"), float("inf")])
def test_shelving_has_a_limit(minutes: float) -> None:
    d = desk(definition("a"))
    d.cycle("a")
    answer = d.ask("a", "shelve", minutes=minutes)
    assert not answer.accepted and "480 min" in answer.text
    assert d["a"] is U


def test_out_of_service_hides_until_it_is_put_in_service() -> None:
    d = desk(definition("a"))
    assert d.ask("a", "out_of_service").accepted
    (event,) = d.cycle("a")
    assert (event.state, event.annunciated) == (State.OUT_OF_SERVICE, False)
    d.time += 100_000.0
    d.cycle("a")
    assert d["a"] is State.OUT_OF_SERVICE
    assert not d.ask("a", "shelve", minutes=5.0).accepted
    assert d.ask("a", "in_service").accepted
    assert d["a"] is U
    assert [e.annunciated for e in d.journal] == [False, False, True]


@pytest.mark.parametrize(
    ("action", "role", "reason", "says"),
    [
        ("acknowledge", "observer", "because", "role observer"),
        ("shelve", "quality", "because", "role quality"),
        ("out_of_service", "operator", "because", "role operator"),
        ("in_service", "operator", "because", "role operator"),
        ("shelve", "operator", " ", "reason"),
        ("silence", "operator", "because", "no action"),
    ],
)
def test_who_may_not_is_refused_in_words(action: str, role: str, reason: str, says: str) -> None:
    d = desk(definition("a"))
    d.cycle("a")
    before = d.state
    answer = d.ask("a", action, minutes=5.0, role=role, reason=reason)
    assert not answer.accepted and says in answer.text
    assert d.state is before


def test_an_unknown_alarm_is_refused() -> None:
    assert "no alarm 'x'" in desk(definition("a")).ask("x", "acknowledge").text


def test_who_acted_and_why_is_in_the_journal() -> None:
    d = desk(definition("a"))
    d.cycle("a")
    d.ask("a", "shelve", minutes=5.0, reason="being cleaned")
    assert (d.journal[-1].user, d.journal[-1].reason) == ("sue", "being cleaned")
    assert d.state.alarms["a"].by == "sue: being cleaned"


def test_a_comment_is_on_record_and_changes_nothing() -> None:
    d = desk(definition("a"))
    d.cycle("a")
    before = d.state.alarms["a"]
    assert d.ask("a", "comment", role="engineer", reason="window fouled").accepted
    event = d.journal[-1]
    assert (event.kind, event.user, event.reason) == (EventKind.COMMENTED, "sue", "window fouled")
    assert event.state is U and not event.annunciated
    assert d.state.alarms["a"] == before and d.state.number == 2


CAUSE = definition("cause", Priority.HIGH, names_cause=True)
EFFECT = definition("effect", suppressed_by=("cause",))


def test_a_consequence_is_hidden_while_its_cause_is_shown() -> None:
    d = desk(CAUSE, EFFECT)
    events = d.cycle("cause", "effect")
    assert [e.annunciated for e in events] == [True, False]
    assert d["effect"] is State.SUPPRESSED
    gone, back = d.cycle("effect")
    assert gone.kind is EventKind.CLEARED and gone.alarm == "cause"
    assert (back.kind, back.annunciated, d["effect"]) == (EventKind.UNSUPPRESSED, True, U)


def test_an_alarm_that_was_there_first_is_not_hidden() -> None:
    """It may be what caused the one that would suppress it."""
    d = desk(CAUSE, EFFECT)
    d.cycle("effect")
    d.cycle("cause", "effect")
    assert (d["cause"], d["effect"]) == (U, U)


def test_its_delay_does_not_make_it_the_later_one() -> None:
    d = desk(CAUSE, definition("effect", suppressed_by=("cause",), on_delay_s=10.0))
    d.cycle("effect")
    for _ in range(3):
        d.cycle("cause", "effect")
    assert d["effect"] is U


@pytest.mark.parametrize("action", ["shelve", "out_of_service"])
def test_what_is_hidden_itself_hides_nothing(action: str) -> None:
    d = desk(CAUSE, EFFECT)
    d.cycle("cause", "effect")
    d.ask("cause", action, minutes=5.0)
    d.cycle("cause", "effect")
    assert d["effect"] is U


def test_what_names_a_cause_cannot_be_suppressed() -> None:
    d = desk(CAUSE, EFFECT)
    d.cycle("cause", "effect", suppressed=("cause", "effect"))
    assert (d["cause"], d["effect"]) == (U, State.SUPPRESSED)
    with pytest.raises(ValueError, match="names a cause"):
        definition("c", names_cause=True, needs_running=True)
    with pytest.raises(ValueError, match="names a cause"):
        definition("c", names_cause=True, suppressed_by=("a",))


def test_what_is_suppressed_for_what_it_means_comes_back_when_it_means_something() -> None:
    d = desk(definition("a"))
    d.cycle("a", suppressed=("a",))
    assert d["a"] is State.SUPPRESSED
    d.cycle("a")
    assert d["a"] is U
    d.ask("a", "acknowledge")
    d.cycle("a", suppressed=("a",))
    d.cycle("a")
    assert d["a"] is A  # known already: nobody is called again


def test_the_first_of_an_episode_is_marked() -> None:
    d = desk(CAUSE, definition("b"), definition("m", Priority.MEDIUM))
    d.cycle("b")
    d.cycle("b", "cause")
    assert [e.first_out for e in d.journal] == [True, False]
    assert d.state.first_out == "b" and d.state.alarms["b"].first_out
    for _ in range(20):
        d.cycle("b", "cause")
    d.cycle("b", "cause", "m")
    assert d.state.first_out == "m"


def test_of_those_that_come_together_the_one_that_names_the_cause_is_first() -> None:
    d = desk(definition("m", Priority.MEDIUM), definition("c", names_cause=True))
    d.cycle("m", "c")
    assert [(e.alarm, e.first_out) for e in d.journal] == [("m", False), ("c", True)]


def test_an_alert_calls_nobody() -> None:
    d = desk(definition("a", alert=True))
    (event,) = d.cycle("a")
    assert (event.alert, event.annunciated, d["a"]) == (True, False, A)
    assert not d.ask("a", "acknowledge").accepted
    assert not d.ask("a", "shelve", minutes=1.0).accepted
    d.cycle()
    assert d["a"] is N


def test_a_clock_that_goes_back_makes_no_alarm_late() -> None:
    d = desk(definition("a", on_delay_s=20.0))
    d.cycle("a")
    d.time -= 3600.0
    d.cycle("a")
    assert d["a"] is U


def test_the_state_is_plain_data_that_survives_a_pickle() -> None:
    d = desk(CAUSE, EFFECT)
    d.cycle("cause", "effect")
    d.ask("cause", "shelve", minutes=5.0)
    assert pickle.loads(pickle.dumps(d.state)) == d.state


NAMES = ("cause", "a", "b", "latched", "delayed")
LIST = alarm_list(
    (
        CAUSE,
        definition("a", suppressed_by=("cause",)),
        definition("b", suppressed_by=("cause", "a")),
        definition("latched", latching=True, suppressed_by=("b",)),
        definition("delayed", on_delay_s=10.0, off_delay_s=5.0, suppressed_by=("cause",)),
    ),
    {},
)
STEP = st.one_of(
    st.frozensets(st.sampled_from(NAMES)),
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["acknowledge", "shelve", "unshelve", "out_of_service", "in_service"]),
    ),
)


@given(st.lists(STEP, max_size=40))
def test_whatever_happens_nothing_is_lost_and_something_is_shown(steps: list[object]) -> None:
    """The journal tells every state; numbers have no gap; no alarm hides behind hidden ones."""
    d = Desk(LIST)
    for step in steps:
        if isinstance(step, tuple):
            d.ask(step[0], step[1], minutes=0.5)
            continue
        assert isinstance(step, frozenset)
        d.cycle(*step)
        alarms = d.state.alarms.values()
        assert any(a.state in (U, A) for a in alarms) or d["b"] is not State.SUPPRESSED
        for alarm in alarms:
            assert (alarm.state is A) <= (alarm.active and alarm.told)
            assert alarm.state is not State.SUPPRESSED or alarm.id != "cause"
    assert [e.number for e in d.journal] == list(range(1, len(d.journal) + 1))
    raised = {n: sum(e.kind is EventKind.RAISED and e.alarm == n for e in d.journal) for n in NAMES}
    counts = {n: d.state.alarms[n].count if n in d.state.alarms else 0 for n in NAMES}
    assert raised == counts
