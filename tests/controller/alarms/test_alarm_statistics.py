"""Rates, floods, nuisance alarms: each by hand on a small journal."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from controller.alarms.definitions import Priority
from controller.alarms.engine import AlarmEvent, EventKind, State
from controller.alarms.entries import ENTRIES
from controller.alarms.export import figure_rows
from controller.alarms.statistics import (
    AlarmStatistics,
    Figure,
    compare,
    flood_periods,
    statistics,
)
from controller.alarms.upsets import Upset, UpsetCount, counted

HOUR, DAY = 3600.0, 86_400.0
_numbers = itertools.count(1)


def event(
    time: float,
    alarm: str = "a",
    kind: EventKind = EventKind.RAISED,
    priority: Priority = Priority.LOW,
    *,
    alert: bool = False,
    user: str = "",
    reason: str = "",
) -> AlarmEvent:
    """A line of a journal."""
    return AlarmEvent(
        number=next(_numbers),
        time=time,
        alarm=alarm,
        kind=kind,
        state=State.UNACKNOWLEDGED,
        priority=priority,
        text="",
        value=None,
        annunciated=kind is EventKind.RAISED and not alert,
        first_out=False,
        alert=alert,
        user=user,
        reason=reason,
    )


def figure(s: AlarmStatistics, name: str) -> Figure:
    """The figure of this name."""
    listed = {d.id: d for d in ENTRIES}
    return next(f for f in compare(s, listed) if f.name == name)


def test_rates_count_what_calls_for_somebody() -> None:
    journal = [event(600.0 * i, f"a{i}") for i in range(12)]
    journal += [event(100.0, alert=True), event(200.0, kind=EventKind.CLEARED)]
    s = statistics(sorted(journal, key=lambda e: e.time), 0.0, 2 * HOUR)
    assert (s.annunciated, s.per_hour, s.per_window, s.most_in_window) == (12, 6.0, 1.0, 1)
    assert figure(s, "alarms per hour").good
    assert figure(s, "alarms per hour").goal == "about 6, at most 12"


def test_twelve_an_hour_are_the_most_that_is_manageable() -> None:
    for number, good in ((12, True), (13, False)):
        s = statistics([event(i * 270.0) for i in range(number)], 0.0, HOUR)
        assert figure(s, "alarms per hour").good is good
        assert figure(s, "alarms per 10 min").good is good


def test_a_flood_begins_with_the_eleventh_and_ends_below_five() -> None:
    times = [10.0 * i for i in range(11)]  # 0..100 s
    assert flood_periods(times, 2000.0) == ((100.0, 660.0),)  # 60 s is the seventh: four are left
    assert flood_periods(times[:10], 2000.0) == ()
    assert flood_periods(times, 300.0) == ((100.0, 300.0),)
    late = [*times, 650.0, 655.0, 658.0]
    assert flood_periods(late, 2000.0) == ((100.0, 690.0),)


def test_two_floods_are_two() -> None:
    times = [float(i) for i in range(11)] + [5000.0 + i for i in range(12)]
    first, second = flood_periods(times, 10_000.0)
    assert (first[0], second[0]) == (10.0, 5010.0)


def test_the_sweep_agrees_with_a_count_second_by_second() -> None:
    rng = np.random.default_rng(7)
    times = sorted(float(t) for t in rng.integers(0, 20_000, size=220))
    inside, flood = [], False
    for second in range(20_000):
        count = sum(second - 600 < t <= second for t in times)
        flood = count >= 5 if flood else count > 10
        inside.append(flood)
    found = flood_periods(times, 20_000.0)
    assert len(found) > 1
    mine = [any(a <= s < b for a, b in found) for s in range(20_000)]
    assert mine == inside


def test_the_share_of_time_in_flood() -> None:
    s = statistics([event(10.0 * i) for i in range(11)], 0.0, HOUR)
    assert s.flood_share == pytest.approx(560.0 / HOUR)
    assert s.windows_over == pytest.approx(1 / 6)
    assert not figure(s, "share of time in flood").good
    assert not figure(s, "most alarms in any 10 min").good


@pytest.mark.parametrize(("gap", "chatters"), [(30.0, True), (31.0, False)])
def test_three_within_a_minute_chatter(gap: float, chatters: bool) -> None:
    s = statistics([event(gap * i) for i in range(3)], 0.0, HOUR)
    assert s.chattering == ({"a": 3} if chatters else {})
    assert figure(s, "chattering alarms").good is not chatters


def test_what_goes_by_itself_within_15_s_is_fleeting() -> None:
    def gone(after: float, *between: AlarmEvent) -> dict[str, int]:
        cleared = event(after, kind=EventKind.CLEARED)
        return dict(statistics([event(0.0), *between, cleared], 0.0, HOUR).fleeting)

    assert gone(15.0) == {"a": 1}
    assert gone(16.0) == {}
    assert gone(15.0, event(5.0, kind=EventKind.ACKNOWLEDGED)) == {}


def test_stale_is_more_than_a_day() -> None:
    journal = [
        event(0.0, "old"),
        event(0.0, "standing"),
        event(DAY, "new"),
        event(DAY + 1.0, "old", EventKind.CLEARED),
    ]
    s = statistics(journal, 0.0, 2 * DAY)
    assert s.stale == ("old", "standing")
    assert figure(s, "stale alarms").good


def test_what_stood_before_the_period_is_stale_in_it() -> None:
    assert statistics([event(0.0)], 2 * DAY, 3 * DAY).stale == ("a",)


def test_the_most_frequent_and_the_priorities() -> None:
    journal = [event(60.0 * i, f"a{i % 20}", priority=list(Priority)[i % 2]) for i in range(60)]
    journal.append(event(3600.0, "a3", priority=Priority.HIGH))
    s = statistics(journal, 0.0, 2 * HOUR)
    assert s.top[0] == ("a3", 4) and len(s.top) == 10
    assert s.top_share == pytest.approx(31 / 61)
    assert s.priorities[Priority.HIGH] == pytest.approx(1 / 61)
    assert figure(s, "share of the ten most frequent").good is None  # the list is too short


def test_suppression_without_a_name_is_unauthorised() -> None:
    shelved = event(1.0, kind=EventKind.SHELVED, user="sue", reason="cleaning")
    nobody = event(2.0, kind=EventKind.OUT_OF_SERVICE)
    s = statistics([shelved, nobody], 0.0, HOUR)
    assert s.unauthorised == 1
    assert not figure(s, "unauthorised suppressions").good


def test_an_empty_journal_is_fine_and_a_period_must_be_one() -> None:
    s = statistics([], 0.0, HOUR)
    figures = compare(s, {d.id: d for d in ENTRIES})
    assert all(f.good is not False for f in figures if "priority" not in f.name)
    assert json.loads(json.dumps(figure_rows(figures)))[0]["name"] == "alarms per hour"
    with pytest.raises(ValueError, match="must end after it begins"):
        statistics([], HOUR, HOUR)


def upset(
    begin: float, number: int, *, gap: float = 20.0, urgent: int = 0, first: bool = True
) -> list[AlarmEvent]:
    """An episode of ``number`` alarms, of which that at position ``urgent`` has high priority."""
    return [
        replace(
            event(
                begin + gap * i,
                f"u{i}",
                priority=Priority.HIGH if i == urgent else Priority.LOW,
            ),
            first_out=first and i == 0,
        )
        for i in range(number)
    ]


UPSETS = "most alarms in the first 10 min of a major upset"


@pytest.mark.parametrize(("number", "good"), [(10, True), (11, False)])
def test_ten_alarms_after_a_major_upset_are_the_most_that_is_manageable(
    number: int, good: bool
) -> None:
    s = statistics(upset(1000.0, number), 0.0, HOUR)
    assert s.upsets == (Upset(begin=1000.0, alarms=number),)
    assert (figure(s, UPSETS).value, figure(s, UPSETS).good) == (number, good)
    assert figure(s, UPSETS).goal == "at most 10"


def test_an_upset_begins_with_the_first_alarm_of_its_episode() -> None:
    s = statistics([*upset(900.0, 1, urgent=-1), *upset(1000.0, 5, urgent=3)], 0.0, HOUR)
    assert s.upsets == (Upset(begin=1000.0, alarms=5),)
    long = upset(1000.0, 25, gap=50.0, urgent=20)  # urgent at 2000 s, ten minutes are 12 before
    s = statistics(long, 0.0, HOUR)
    assert s.upsets == (Upset(begin=1450.0, alarms=12),)


def test_what_comes_after_ten_minutes_belongs_to_the_upset_no_more() -> None:
    late = [event(1599.0), event(1600.0), event(1700.0, alert=True)]
    assert statistics([*upset(1000.0, 1), *late], 0.0, HOUR).upsets == (Upset(1000.0, 2),)


def test_a_second_urgent_alarm_is_another_upset_only_after_ten_minutes() -> None:
    journal = [*upset(1000.0, 3), *upset(1300.0, 2), *upset(1600.0, 4)]
    s = statistics(journal, 0.0, HOUR)
    assert s.upsets == (Upset(1000.0, 5), Upset(1600.0, 4))
    assert figure(s, UPSETS).value == 5


def test_without_an_urgent_alarm_there_is_no_major_upset() -> None:
    s = statistics(upset(0.0, 8, urgent=-1), 0.0, HOUR)
    assert s.upsets == () and figure(s, UPSETS).good is None


def test_the_count_goes_on_from_cycle_to_cycle() -> None:
    journal = [*upset(1000.0, 12), *upset(1300.0, 2), *upset(5000.0, 4, urgent=2)]
    whole = statistics(journal, 0.0, 2 * HOUR).upsets
    count = UpsetCount()
    for at in range(0, len(journal), 4):
        count = counted(count, journal[at : at + 4])
    assert (count.upsets, count.worst) == (2, 14) == (len(whole), whole[0].alarms)
    assert count.last == whole[1]
