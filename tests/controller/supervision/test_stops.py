"""Forty stops in eight hours: suspended while the line stands, back without a new signature."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from controller.data import Mode
from plant_models.signals import LineState
from tests.controller.kit import PERIOD
from tests.controller.supervision.stops_kit import (
    HOURS,
    LONGEST_S,
    SHORTEST_S,
    STOPS,
    PlcLine,
    moved,
    schedule,
)


@dataclass
class Shift:
    """Eight hours with its stops; the operator closes the loop again whenever it was shed."""

    seed: int
    plant: PlcLine = field(default_factory=PlcLine)
    sheds: list[int] = field(default_factory=list)

    def run(self) -> None:
        plant, begin = self.plant, 0
        plant.close()
        begin = plant.second
        todo = [(begin + at, begin + at + length) for at, length in schedule(self.seed)]
        while plant.second < begin + HOURS * 3600:
            mode = plant.state.mode
            if todo and plant.line is LineState.RUNNING and plant.second >= todo[0][0]:
                plant.command("hold")
            elif todo and plant.line is LineState.HELD and plant.second >= todo[0][1]:
                plant.command("restart")
                todo.pop(0)
            if mode is Mode.SHED:
                plant.cycle(Mode.ADVISORY)
            elif mode is Mode.ADVISORY and plant.line is LineState.RUNNING:
                plant.cycle(Mode.CLOSED_LOOP)
            else:
                plant.cycle()
        self.sheds = [
            o.state.cycle for o in plant.outputs for t in o.transitions if t.after is Mode.SHED
        ]


def standing_times(plant: PlcLine) -> list[tuple[int, float]]:
    """(first cycle running again, seconds without running before it), by what the cycles saw."""
    found, since = [], None
    for output in plant.outputs:
        validated = output.record.validated
        assert validated is not None
        if validated.line_state is not LineState.RUNNING:
            since = output.record.time if since is None else since
        elif since is not None:
            found.append((output.state.cycle, output.record.time - since))
            since = None
    return found


@pytest.fixture(scope="module")
def shift() -> Shift:
    done = Shift(seed=7)
    done.run()
    return done


def test_the_stops_are_those_of_a_real_press() -> None:
    plan = schedule(7)
    lengths = [length for _, length in plan]
    assert len(plan) == STOPS
    assert all(SHORTEST_S <= x <= LONGEST_S for x in lengths)
    assert 2.5 * 3600 < sum(lengths) < 3.1 * 3600
    assert all(b[0] >= a[0] + a[1] for a, b in itertools.pairwise(plan))


def test_only_the_stops_that_last_too_long_need_the_operator(shift: Shift) -> None:
    within = shift.plant.config.supervision.resume_within_s
    stops = standing_times(shift.plant)
    assert len(stops) == STOPS
    too_long = [s for _, s in stops if s > within]
    assert 1 <= len(too_long) <= 5
    assert len(shift.sheds) == len(too_long)
    signed = [t for o in shift.plant.outputs for t in o.transitions if t.after is Mode.CLOSED_LOOP]
    assert len(signed) == 1 + len(too_long)
    causes = {t.reason for o in shift.plant.outputs for t in o.transitions if t.after is Mode.SHED}
    assert causes == {f"the line did not run for {within:.0f} s"}


def test_the_others_resume_as_soon_as_the_line_runs(shift: Shift) -> None:
    within = shift.plant.config.supervision.resume_within_s
    writing = {o.state.cycle for _, o in shift.plant.written}
    for cycle, standing in standing_times(shift.plant):
        if standing <= within:
            assert writing & set(range(cycle, cycle + 3)), cycle


def test_a_suspended_loop_keeps_its_mode_and_its_signature(shift: Shift) -> None:
    for output in shift.plant.outputs:
        supervision = output.state.supervision
        if supervision.suspended_since is not None:
            assert supervision.mode is Mode.CLOSED_LOOP
            assert supervision.signature is not None
            assert output.record.time - supervision.suspended_since <= 900.0


def test_nothing_is_written_but_while_the_line_runs(shift: Shift) -> None:
    assert len(shift.plant.written) > 3000
    for plc, output in shift.plant.written:
        assert plc.sequence.line is LineState.RUNNING, output.state.cycle
        assert output.state.mode is Mode.CLOSED_LOOP
    assert shift.plant.plc.lease.refused == {}


def test_the_moves_after_a_stop_grow_from_a_part_of_the_rate(shift: Shift) -> None:
    frames = {o.state.cycle: o for _, o in shift.plant.written}
    firsts = [c for c in frames if c - 1 not in frames]
    assert len(firsts) == STOPS + 1
    ramp = shift.plant.config.supervision.closing_ramp_cycles
    largest = 0.0
    for first in firsts:
        for after in range(ramp):
            if first + after not in frames:
                break
            share = max(map(abs, moved(frames[first + after]).values()))
            assert share <= (after + 1) / ramp * (1.0 + 1e-6), (first, after)
            largest = max(largest, share)
    assert largest > 0.5  # the algorithm did ask for more


def test_the_loop_is_closed_for_all_the_time_that_the_line_runs_and_may(shift: Shift) -> None:
    running = [
        o.record.validated is not None and o.record.validated.line_state is LineState.RUNNING
        for o in shift.plant.outputs
    ]
    closed = len(shift.plant.written) / sum(running)
    assert closed > 0.98
    standing = PERIOD * (len(running) - sum(running)) / 3600.0
    assert 2.5 < standing < 3.5
