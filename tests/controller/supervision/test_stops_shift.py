"""Forty stops in eight hours of the whole stand-in under the optimising controller.

The plant differs from the twin as a drawn seed says, feeders are refilled, the NIR drifts, material
and load cells disturb as always; nothing else happens but the stops.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from controller.alarms.engine import AlarmEvent, EventKind
from controller.alarms.export import event_of
from controller.alarms.ids import Id
from controller.alarms.statistics import AlarmStatistics, statistics
from controller.algorithms import make_brain
from controller.data import CycleRecord, Mode
from hil.tally import ReceivedCommand
from plant_models.signals import LineState
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tests.controller.supervision.stops_kit import HOURS, STOPS, Stopper, schedule
from tools.configuration import load_scenario
from tools.harness import START_TIME, ShiftResult, run_shift

pytestmark = pytest.mark.slow

SEED, CLOSED_S, REACTION_S = 1, 960, 60.0
SIGNED_WITHIN_S = 180.0  # of the running line, where the operator must sign again
CONFIG = controller_config()
WITHIN_S = CONFIG.supervision.resume_within_s
SETTLE_S = CONFIG.supervision.alarms.settle_s
WARNED_S = CONFIG.supervision.alarms.resume_warning_percent / 100.0 * WITHIN_S


@dataclass(frozen=True)
class Stop:
    """A stop as the cycles saw it: first cycle without and first with a running line."""

    left: int
    back: int
    standing: float


@dataclass(frozen=True)
class Run:
    """The shift, from its closing on, and its alarms."""

    result: ShiftResult
    records: tuple[CycleRecord, ...]
    events: tuple[AlarmEvent, ...]

    @property
    def figures(self) -> AlarmStatistics:
        return statistics(self.events, self.records[0].time, self.records[-1].time + PERIOD)

    def stops(self) -> Iterator[Stop]:
        left = None
        for i, record in enumerate(self.records):
            if not _runs(record):
                left = i if left is None else left
            elif left is not None:
                yield Stop(left, i, record.time - self.records[left].time)
                left = None

    def resumed(self, stop: Stop) -> int:
        """First cycle from the stop's end on that writes."""
        return next(i for i in range(stop.back, len(self.records)) if self.records[i].command.frame)

    def called(self) -> list[AlarmEvent]:
        return [e for e in self.events if e.annunciated]


def _runs(record: CycleRecord) -> bool:
    assert record.validated is not None
    return record.validated.line_state is LineState.RUNNING


def _held_too_long(shift: Run, stop: Stop) -> bool:
    """Whether nobody had begun to restart the line when most of the time was over."""
    warned = shift.records[stop.left].time + WARNED_S
    states = [
        r.validated.line_state
        for r in shift.records[stop.left : stop.back]
        if r.validated is not None and r.time >= warned
    ]
    return bool(states) and states[0] is not LineState.RESTARTING


@pytest.fixture(scope="module")
def shift() -> Run:
    drawn = load_scenario(ROOT / "configs/scenarios/shift.yaml")
    calm = load_scenario(ROOT / "configs/scenarios/calm.yaml")
    stopper = Stopper([(CLOSED_S + at, length) for at, length in schedule(SEED)])
    result = run_shift(
        line=LINE,
        scenario=drawn.model_copy(update={"events": calm.events}),
        config=CONFIG,
        brain=make_brain(CONFIG, LINE, TABLE, Path(os.environ["TWINLINE_HOME"]) / "cache"),
        seed=SEED,
        minutes=60.0 * HOURS + 1.0,
        close_at=CLOSED_S,
        reaction_s=REACTION_S,
        keep_records=True,
        at_line=stopper,
    )
    assert not stopper.todo
    assert result.closed_at == CLOSED_S
    records = tuple(r for r in result.records if r.time >= START_TIME + CLOSED_S)
    events = [event_of(row) for r in records for row in r.extra["oversight"]["alarms"]]
    return Run(result, records, tuple(events))


def test_the_line_stands_for_nearly_three_of_eight_hours(shift: Run) -> None:
    standing = [s.standing for s in shift.stops()]
    assert len(standing) == STOPS
    assert 2.6 <= sum(standing) / 3600.0 <= 3.4  # with stopping and starting again
    assert 2.6 <= sum(length for _, length in schedule(SEED)) / 3600.0 <= 2.9


def test_no_stop_leaves_control_switched_off(shift: Run) -> None:
    for stop in shift.stops():
        back, resumed = shift.records[stop.back], shift.records[shift.resumed(stop)]
        if stop.standing <= WITHIN_S:
            assert resumed is back, (stop, back.command.reasons)
        else:
            assert resumed.time - back.time <= SIGNED_WITHIN_S, stop


def test_only_stops_that_last_too_long_cost_a_signature(shift: Run) -> None:
    too_long = sum(s.standing > WITHIN_S for s in shift.stops())
    sheds = sum(b.mode is Mode.SHED and a.mode is not Mode.SHED for a, b in pairwise(shift.records))
    assert 1 <= too_long == sheds <= 5
    closed = sum(r.mode is Mode.CLOSED_LOOP and _runs(r) for r in shift.records)
    assert closed / sum(map(_runs, shift.records)) > 0.98


def test_a_resumption_is_no_bump(shift: Run) -> None:
    steps = {m.tag: m.rate * PERIOD for m in TABLE.manipulated}

    def largest(c: ReceivedCommand) -> float:
        asked = ((tag, c.requests[tag]) for tag in c.owned)
        return max(abs(v - c.previous[tag]) / steps[tag] for tag, v in asked if v is not None)

    taken = [c for c in shift.result.plant.tally.commands if c.accepted]
    firsts = [c for c in taken if c.first]
    assert len(firsts) == STOPS + 1
    ramp = CONFIG.supervision.closing_ramp_cycles
    assert max(map(largest, firsts)) <= 1.0 / ramp + 1e-6
    assert max(map(largest, taken)) <= 1.0 + 1e-6
    assert max(map(largest, taken)) > 0.5  # there was something to do


def test_no_tablet_out_of_specification_is_released(shift: Run) -> None:
    tablets = shift.result.scores["tablets"]
    assert tablets["released"] > 350_000
    assert tablets["released_out_of_spec"] == 0


def test_alarms_come_as_seldom_as_they_should(shift: Run) -> None:
    """ISA-18.2 and EEMUA 191, on eight hours instead of thirty days."""
    s = shift.figures
    assert s.per_hour <= 6.0
    assert s.most_in_window <= 10 and s.floods == ()
    assert s.chattering == {} and s.fleeting == {} and s.stale == ()
    assert all(u.alarms <= 10 for u in s.upsets)


def test_alarms_are_those_that_stops_and_an_ageing_nir_call_for(shift: Run) -> None:
    called = Counter(e.alarm for e in shift.called())
    stops = list(shift.stops())
    assert called.pop(Id.SHED) == sum(s.standing > WITHIN_S for s in stops)
    assert called.pop(Id.RESUME) == sum(_held_too_long(shift, s) for s in stops)
    assert set(called) <= {"instrument-doubtful.nir", "instrument-lost.lab"}
    assert called["instrument-doubtful.nir"] <= 8  # not once per stop


def test_that_the_line_stands_is_told_and_hides_what_follows_from_it(shift: Run) -> None:
    suspended = Counter(e.kind for e in shift.events if e.alarm == Id.SUSPENDED)
    assert suspended == {EventKind.RAISED: STOPS, EventKind.CLEARED: STOPS}
    settled = [
        (shift.records[s.left].time, shift.records[s.back].time + SETTLE_S) for s in shift.stops()
    ]
    free = (Id.SHED, Id.RESUME)  # one names a cause, the other is about standing
    for e in shift.called():
        assert e.alarm in free or not any(a <= e.time < b for a, b in settled), e
