"""Stops of the simulated plant under the optimising controller: back at once, without a bump."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from controller.algorithms import make_brain
from controller.data import CycleRecord, Mode
from plant_models.signals import LineState
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tests.controller.supervision.stops_kit import Stopper
from tools import harness
from tools.configuration import load_scenario

# Plant second of the stop, seconds until the restart.
STOPS = ((1010, 20), (1200, 240))
MINUTES = 12.0
SEED = 3

Shift = tuple[Stopper, tuple[CycleRecord, ...]]


@pytest.fixture(scope="module")
def shift() -> Shift:
    stopper, config = Stopper(list(STOPS)), controller_config()
    records = harness.run_shift(
        line=LINE,
        scenario=load_scenario(ROOT / "configs/scenarios/calm.yaml"),
        config=config,
        brain=make_brain(config, LINE, TABLE, Path(os.environ["TWINLINE_HOME"]) / "cache"),
        seed=SEED,
        minutes=MINUTES,
        keep_records=True,
        at_line=stopper,
    ).records
    assert not stopper.todo
    return stopper, records


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


def test_the_loop_goes_on_in_the_first_cycle_that_runs_again(shift: Shift) -> None:
    back = _back(shift[1])
    assert len(back) == len(STOPS)
    for i in back:
        assert shift[1][i - 1].command.frame is None
        assert shift[1][i].command.frame is not None, shift[1][i].command.reasons


def test_the_plc_never_sheds_and_nobody_signs_again(shift: Shift) -> None:
    modes = [r.mode for r in shift[1]]
    closed = modes.index(Mode.CLOSED_LOOP)
    assert set(modes[closed:]) == {Mode.CLOSED_LOOP}
    assert len(set(shift[0].sheds[closed:])) == 1


def test_nothing_is_written_while_the_line_stands(shift: Shift) -> None:
    assert any(_line(r) is LineState.HELD for r in shift[1])
    for record in shift[1]:
        assert record.command.frame is None or _line(record) is LineState.RUNNING


def test_the_first_moves_use_a_growing_part_of_the_rate(shift: Shift) -> None:
    ramp = controller_config().supervision.closing_ramp_cycles
    for first in _back(shift[1]):
        for k in range(ramp):
            record = shift[1][first + k]
            assert record.command.frame is not None
            for spec in TABLE.manipulated:
                before = record.snapshot.number(f"{spec.tag}/ACT")
                assert before is not None
                move = abs(record.command.frame.requests[spec.tag] - before)
                assert move <= (k + 1) / ramp * spec.rate * PERIOD * (1.0 + 1e-9), spec.tag
