"""Stops of the simulated plant under the optimising controller: back at once, without a bump."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from controller.algorithms import make_brain
from controller.data import CycleRecord, Mode
from hil.plant import Plant
from plant_models.signals import LineState
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tools import harness
from tools.configuration import load_scenario

# Plant second of the stop, seconds until the restart.
STOPS = ((1010, 20), (1200, 240))
MINUTES = 12.0
SEED = 3


@dataclass
class Stopped:
    """A shift with its stops; how often the PLC has shed, and who closed the loop."""

    plants: list[Plant] = field(default_factory=list)
    todo: list[tuple[int, int]] = field(default_factory=lambda: list(STOPS))
    sheds: list[int] = field(default_factory=list)
    records: tuple[CycleRecord, ...] = ()

    def on_cycle(self, second: int, last: int) -> None:
        (plant,) = self.plants
        self.sheds.append(plant.state.lease.shed_count)
        if not self.todo:
            return
        (at, length), line = self.todo[0], plant.state.sequence.line
        if line is LineState.RUNNING and second >= at:
            assert plant.line_command("operator", "hold", "test of stops") == "done"
        elif line is LineState.HELD and second >= at + length:
            assert plant.line_command("operator", "restart", "test of stops") == "done"
            self.todo.pop(0)


@pytest.fixture(scope="module")
def shift() -> Stopped:
    stopped, config = Stopped(), controller_config()

    def plant(*args: object, **options: object) -> Plant:
        stopped.plants.append(Plant(*args, **options))  # type: ignore[arg-type]
        return stopped.plants[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "Plant", plant)
        stopped.records = harness.run_shift(
            line=LINE,
            scenario=load_scenario(ROOT / "configs/scenarios/calm.yaml"),
            config=config,
            brain=make_brain(config, LINE, TABLE, Path(os.environ["TWINLINE_HOME"]) / "cache"),
            seed=SEED,
            minutes=MINUTES,
            keep_records=True,
            on_cycle=stopped.on_cycle,
        ).records
    assert not stopped.todo
    return stopped


def _line(record: CycleRecord) -> LineState:
    assert record.validated is not None
    return record.validated.line_state


def _back(records: tuple[CycleRecord, ...]) -> list[int]:
    """Positions of the first cycles that run again after a stop."""
    stands = (LineState.HELD, LineState.RESTARTING)
    return [
        i + 1
        for i, (a, b) in enumerate(pairwise(records))
        if _line(a) in stands and _line(b) is LineState.RUNNING
    ]


def test_the_loop_goes_on_in_the_first_cycle_that_runs_again(shift: Stopped) -> None:
    back = _back(shift.records)
    assert len(back) == len(STOPS)
    for i in back:
        assert shift.records[i - 1].command.frame is None
        assert shift.records[i].command.frame is not None, shift.records[i].command.reasons


def test_the_plc_never_sheds_and_nobody_signs_again(shift: Stopped) -> None:
    modes = [r.mode for r in shift.records]
    closed = modes.index(Mode.CLOSED_LOOP)
    assert set(modes[closed:]) == {Mode.CLOSED_LOOP}
    assert len(set(shift.sheds[closed:])) == 1


def test_nothing_is_written_while_the_line_stands(shift: Stopped) -> None:
    assert any(_line(r) is LineState.HELD for r in shift.records)
    for record in shift.records:
        assert record.command.frame is None or _line(record) is LineState.RUNNING


def test_the_first_moves_use_a_growing_part_of_the_rate(shift: Stopped) -> None:
    ramp = controller_config().supervision.closing_ramp_cycles
    for first in _back(shift.records):
        for k in range(ramp):
            record = shift.records[first + k]
            assert record.command.frame is not None
            for spec in TABLE.manipulated:
                before = record.snapshot.number(f"{spec.tag}/ACT")
                assert before is not None
                move = abs(record.command.frame.requests[spec.tag] - before)
                assert move <= (k + 1) / ramp * spec.rate * PERIOD * (1.0 + 1e-9), spec.tag
