"""10,000 events in a burst: nothing is lost, the cause stays visible, work and memory are bounded.

Counts, not wall times: what a burst costs is how much is looked at, kept and sent.
"""

import json
from collections.abc import Iterator, Mapping

import pytest

from controller.alarms.definitions import Definition, Priority, alarm_list
from controller.alarms.engine import AlarmState, Condition, EventKind, State, update
from controller.alarms.export import alarm_rows, event_of, event_rows
from controller.alarms.handling import handle_alarm_requests
from controller.alarms.requests import AlarmRequest
from controller.alarms.statistics import statistics
from controller.alarms.watch import Load, bear
from controller.config import SupervisionConfig
from tests.controller.alarms.alarm_kit import definition, desk

MANY = 10_000


class Counting(Mapping[str, Condition]):
    """Conditions that count how often they are looked at."""

    def __init__(self, conditions: Mapping[str, Condition]) -> None:
        self.conditions, self.looks = conditions, 0

    def __getitem__(self, name: str) -> Condition:
        self.looks += 1
        return self.conditions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.conditions)

    def __len__(self) -> int:
        return len(self.conditions)


@pytest.fixture(scope="module")
def many() -> Mapping[str, Definition]:
    """A cause and 10,000 consequences, every second of which the cause does not explain."""
    cause = definition("cause", Priority.HIGH, names_cause=True)
    rest = (
        definition(
            f"a{i}",
            Priority.MEDIUM if i % 10 == 1 else Priority.LOW,
            suppressed_by=("cause",) if i % 2 else (),
        )
        for i in range(MANY)
    )
    return alarm_list((cause, *rest), {})


def test_all_alarms_at_once_are_in_the_journal_and_the_cause_is_first(
    many: Mapping[str, Definition],
) -> None:
    found = Counting({name: Condition(True) for name in many})
    state, events = update(AlarmState(), found, many, time=0.0)
    assert found.looks == MANY + 1  # each once
    assert [e.number for e in events] == list(range(1, MANY + 2))
    assert {e.alarm for e in events} == set(many)
    assert [e.alarm for e in events if e.first_out] == ["cause"] == [state.first_out]
    assert state.alarms["cause"].state is State.UNACKNOWLEDGED
    assert sum(e.annunciated for e in events) == MANY // 2 + 1  # the others are explained
    rows = {r["id"]: r["state"] for r in json.loads(json.dumps(alarm_rows(state, many)))}
    assert rows["cause"] == rows["a0"] == "unacknowledged" and rows["a1"] == "suppressed by design"
    assert [event_of(r) for r in json.loads(json.dumps(event_rows(events)))] == list(events)


def test_a_burst_that_stays_costs_nothing_more(many: Mapping[str, Definition]) -> None:
    found = {name: Condition(True) for name in many}
    state, _ = update(AlarmState(), found, many, time=0.0)
    again, events = update(state, found, many, time=5.0)
    assert events == () and again is state


def test_a_cycle_has_no_more_events_than_the_list_allows(many: Mapping[str, Definition]) -> None:
    """However often a signal changes between two reads: a cycle sees it once."""
    state, journal = AlarmState(), 0
    for cycle in range(4):
        found = {name: Condition(cycle % 2 == 0) for name in many}
        state, events = update(state, found, many, time=5.0 * cycle)
        assert len(events) == len({e.alarm for e in events}) <= len(many)
        journal += len(events)
    assert state.number == journal == 4 * len(many)
    assert len(state.alarms) == len(many)


def test_10_000_requests_are_all_answered(many: Mapping[str, Definition]) -> None:
    found = {name: Condition(True) for name in many}
    state, _ = update(AlarmState(), found, many, time=0.0)
    requests = [
        AlarmRequest(alarm=n, action="acknowledge", user="sue", role="operator", reason="seen")
        for n in many
    ]
    state, answers, events = handle_alarm_requests(
        state, requests, many, config=SupervisionConfig(), time=5.0
    )
    shown = MANY // 2 + 1
    assert len(answers) == MANY + 1 and sum(a.accepted for a in answers) == shown == len(events)
    assert state.alarms["cause"].state is State.ACKNOWLEDGED


def test_one_alarm_that_comes_and_goes_10_000_times_keeps_one_place() -> None:
    d = desk(definition("a"))
    for _ in range(MANY // 2):
        d.cycle("a")
        d.cycle()
    assert len(d.journal) == MANY
    assert [e.number for e in d.journal] == list(range(1, MANY + 1))
    assert len(d.state.alarms) == 1 and d.state.alarms["a"].count == MANY // 2
    assert d["a"] is State.RETURNED
    s = statistics(d.journal, 1000.0, d.time + 1.0)
    assert s.annunciated == MANY // 2
    assert s.chattering == {"a": MANY // 2} and s.fleeting == {"a": MANY // 2}
    assert s.flood_share > 0.9 and len(s.floods) == 1
    assert sum(e.kind is EventKind.CLEARED for e in d.journal) == MANY // 2


def test_the_load_remembers_ten_minutes_only() -> None:
    load = Load()
    for i in range(MANY):
        load = bear(load, 5.0 * i, 100)
        assert len(load.recent) <= 120
    assert load.flood
    for i in range(MANY, MANY + 121):
        load = bear(load, 5.0 * i, 0)
    assert load == Load()


@pytest.mark.parametrize(("counts", "flood"), [((10,), False), ((11,), True), ((5, 6), True)])
def test_a_flood_begins_above_ten_in_ten_minutes(counts: tuple[int, ...], flood: bool) -> None:
    load = Load()
    for i, n in enumerate(counts):
        load = bear(load, 60.0 * i, n)
    assert load.flood is flood


def test_a_flood_ends_below_five_in_ten_minutes() -> None:
    load = bear(bear(Load(), 0.0, 7), 300.0, 5)
    assert load.flood
    assert bear(load, 599.0, 0).flood
    assert bear(load, 600.0, 0).flood  # five are left
    assert not bear(load, 900.0, 4).flood
