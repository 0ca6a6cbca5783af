"""Replay: recorded cycles come out bit for bit, whatever the clock says; a change is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.cycle_data import CycleSetup
from controller.data import Mode
from controller.records.historian import Historian, History, HistoryError, sqlite_url
from controller.records.replay import (
    Difference,
    inputs_of,
    recorded_config,
    recorded_line,
    replay,
)
from controller.supervision.findings import LinkStatus
from plant_models.signals import PLC
from tests.controller.kit import FilterBrain, Loop

CYCLES = 130


def _slow(deadline_s: float) -> int:
    """Steps that a faster machine, or an idle one, would not have stopped at."""
    return 1


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Loop]:
    """A run with closing, a suspension, a lost link and its recovery; solved in one step each."""
    loop = Loop(brain=FilterBrain(steps=_slow))
    url = sqlite_url(tmp_path_factory.mktemp("run") / "historian.sqlite")
    with Historian(url, loop.setup, loop.state) as historian:
        for number in range(1, CYCLES + 1):
            requests = {5: (Mode.ADVISORY,), 25: (Mode.CLOSED_LOOP,), 95: (Mode.ADVISORY,)}
            changes: dict[str, object] = {}
            if number in (70, 71):
                changes = {"snapshot": None, "link": LinkStatus(connected=False, note="cut")}
            loop.plant.values[PLC.LINE_STATE] = "held" if 50 <= number < 55 else "running"
            historian.append(loop.cycle(*requests.get(number, ()), **changes))
    modes = [o.state.mode for o in loop.outputs]
    assert {Mode.MONITORING, Mode.ADVISORY, Mode.CLOSED_LOOP, Mode.SHED} == set(modes)
    return History(url), loop


def fast(loop: Loop) -> CycleSetup:
    """The same setup, with an algorithm that would take more steps if it were not forced."""
    return replace(loop.setup, brain=FilterBrain(steps=lambda deadline_s: 9))


def test_a_hundred_cycles_come_out_exactly(recorded: tuple[History, Loop]) -> None:
    history, loop = recorded
    report = replay(history, fast(loop), start=1, first=20, last=119)
    assert report.differences == ()
    assert (report.compared, report.first, report.last) == (100, 20, 119)
    assert report.plans > 70
    assert report.exact


def test_the_whole_run_comes_out_exactly(recorded: tuple[History, Loop]) -> None:
    history, loop = recorded
    report = replay(history, fast(loop), start=1)
    assert report.exact and report.compared == CYCLES


def test_without_forcing_the_clock_would_have_changed_history(
    recorded: tuple[History, Loop],
) -> None:
    """The test above would notice: the same algorithm with other steps plans otherwise."""
    history, loop = recorded
    record = next(history.records(1, 30, 30))
    state = history.state_at(1, 29)
    assert record.plan is not None and record.validated is not None
    one, nine = (
        FilterBrain(steps=lambda deadline_s, n=n: n).step(  # type: ignore[misc]
            state.brain, record.validated, record.mode, record.targets, 1.0
        )
        for n in (1, 9)
    )
    assert one.plan is not None and nine.plan is not None
    tag = loop.brain.manipulated[0]
    assert not np.array_equal(one.plan.moves[tag], nine.plan.moves[tag])


def test_another_algorithm_is_found_out(recorded: tuple[History, Loop]) -> None:
    history, loop = recorded
    setup = replace(loop.setup, brain=FilterBrain(wish={loop.brain.manipulated[0]: 0.006}))
    report = replay(history, setup, start=1, first=40, last=42)
    assert not report.exact
    assert {d.part for d in report.differences} >= {"plan"}
    assert Difference(cycle=40, part="plan") in report.differences


def test_other_hashes_are_said(recorded: tuple[History, Loop]) -> None:
    history, loop = recorded
    setup = replace(loop.setup, hashes={**loop.setup.hashes, "software": "later"})
    assert replay(history, setup, start=1, last=3).notes == ("software was , is later",)


def test_inputs_come_back_with_their_snapshot(recorded: tuple[History, Loop]) -> None:
    history, _ = recorded
    cut, whole = next(history.records(1, 70, 70)), next(history.records(1, 72, 72))
    assert inputs_of(cut).snapshot is None
    assert inputs_of(cut).link.note == "cut"
    assert inputs_of(whole).snapshot == whole.snapshot


def test_a_gap_is_not_jumped_over(tmp_path: Path) -> None:
    loop = Loop()
    url = sqlite_url(tmp_path / "gap.sqlite")
    with Historian(url, loop.setup, loop.state) as historian:
        for number in range(1, 9):
            output = loop.cycle()
            if number != 5:
                historian.append(output)
    with pytest.raises(HistoryError, match="cycle 5 is missing"):
        replay(History(url), loop.setup, start=1, first=6)


def test_nothing_compared_is_not_exact(recorded: tuple[History, Loop]) -> None:
    history, loop = recorded
    assert not replay(history, loop.setup, start=1, first=CYCLES + 1).exact


def test_what_a_start_ran_with_can_be_rebuilt_from_the_database_alone(
    recorded: tuple[History, Loop],
) -> None:
    history, loop = recorded
    facts = history.facts(1)
    assert recorded_config(facts).digest() == loop.config.digest()
    assert recorded_line(facts).digest() == loop.setup.line.digest()
