"""The shift for supervision: when people act, and the account of what came of it."""

import itertools
from pathlib import Path

import pytest

from controller.alarms.definitions import Priority
from controller.alarms.engine import AlarmEvent, EventKind, State
from controller.alarms.entries import ENTRIES
from controller.cycle_data import CycleOutput
from controller.data import Mode
from hil.config import LocalTakeover
from hil.tally import ReceivedCommand
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC
from tests.controller.kit import START, Loop
from tools.commands.demo import _controllers
from tools.configuration import load_line, load_scenario
from tools.demo.deeds import Give, Hold, Restart, Take, Watch, deeds_of
from tools.demo.orchestrate import SHIFTS
from tools.report.account import account_of, account_tables, spans, transfers

PERIOD = 5
MOVES = {MV.API_RATIO: 0.1, MV.THICKNESS: 0.01}


@pytest.fixture(scope="module")
def configs(root: Path) -> Path:
    return root / "configs"


@pytest.mark.parametrize("minutes", [5.0, 8.0, 40.0])
def test_people_act_on_the_grid_in_order_and_one_after_the_other(
    configs: Path, minutes: float
) -> None:
    scenario = load_scenario(configs / "scenarios/supervision.yaml")
    table = signal_table(load_line(configs / "lines/reference.yaml").line)
    deeds = deeds_of(scenario, table, minutes, PERIOD)
    assert [type(d) for d in deeds] == [Hold, Restart, Take, Give, Watch, Watch]
    seconds = [d.second for d in deeds]
    assert seconds == sorted(set(seconds))
    assert all(s % PERIOD == 0 for s in seconds)
    assert seconds[1] - seconds[0] >= 15  # the line must be held before it can be restarted
    assert seconds[-1] < scenario.total_seconds(minutes)


def test_the_nir_comes_back_within_the_time_that_the_twin_may_stand_in(configs: Path) -> None:
    scenario = load_scenario(configs / "scenarios/supervision.yaml")
    lost = next(s for s in scenario.schedule() if s.event.event == "instrument")
    assert 120 <= lost.duration <= 600


def test_the_default_shift_asks_nothing_of_people_but_what_it_did(configs: Path) -> None:
    scenario = load_scenario(configs / "scenarios/shift.yaml")
    table = signal_table(load_line(configs / "lines/reference.yaml").line)
    assert deeds_of(scenario, table, 40.0, PERIOD) == ()


def test_a_set_point_must_exist() -> None:
    with pytest.raises(ValueError, match="Line/Press/Colour is no manipulated variable"):
        LocalTakeover(event="local", at=0.0, over=0.1, mv="Line/Press/Colour")


def test_which_controllers_run_which_shift() -> None:
    assert set(SHIFTS) == {"default", "supervision"}
    assert _controllers("all", "default") == ("nmpc", "pid", "plc")
    assert _controllers("all", "supervision") == ("nmpc",)
    assert _controllers("pid", "supervision") == ("pid",)
    with pytest.raises(ValueError, match="never in closed loop"):
        _controllers("plc", "supervision")
    with pytest.raises(ValueError, match="'night' is no shift"):
        _controllers("all", "night")


def _suspended_once() -> list[CycleOutput]:
    loop = Loop()
    loop.close()
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.cycles(3)
    loop.plant.values[PLC.LINE_STATE] = "running"
    loop.cycles(3)
    return loop.outputs


def test_modes_in_order() -> None:
    outputs = _suspended_once()
    found = spans([o.record for o in outputs], START)
    assert [s.state for s in found] == [
        "ADVISORY",
        "CLOSED_LOOP",
        "CLOSED_LOOP, suspended",
        "CLOSED_LOOP",
    ]
    assert all(a.end == b.begin for a, b in itertools.pairwise(found))
    assert found[2].end - found[2].begin == 15.0
    assert outputs[-1].state.mode is Mode.CLOSED_LOOP


def _frame(
    second: int, api: float, *, owned: tuple[str, ...] = (MV.API_RATIO,), **more: object
) -> ReceivedCommand:
    facts: dict[str, object] = {
        "session": "s",
        "cause": "",
        "mode": "CASCADE",
        "sequence": second,
        "epoch": 1,
        "echo": second,
        "first": False,
    }
    return ReceivedCommand(
        second=second,
        owned=owned,
        requests={MV.API_RATIO: api, MV.THICKNESS: 3.0},
        previous={MV.API_RATIO: 10.0, MV.THICKNESS: 3.0},
        **{**facts, **more},  # type: ignore[arg-type]
    )


def test_bumps_are_those_of_what_was_transferred() -> None:
    both = (MV.API_RATIO, MV.THICKNESS)
    found = transfers(
        [
            _frame(0, 10.02, owned=both, first=True),
            _frame(5, 10.05, owned=both),
            _frame(10, 10.5, owned=both, cause="late"),  # refused: it moved nothing
            _frame(15, 10.0, owned=(MV.THICKNESS,)),  # taken local: no transfer to us
            _frame(20, 10.01, owned=both),
            _frame(25, 10.04, owned=both),
            _frame(90, 10.09, owned=both),  # more than a minute later
        ],
        MOVES,
    )
    assert [(t.second, t.tags) for t in found] == [(0, both), (20, (MV.API_RATIO,))]
    assert [t.first for t in found] == pytest.approx([0.2, 0.1])
    assert [t.bump for t in found] == pytest.approx([0.5, 0.4])


def test_the_account_as_data_and_as_tables() -> None:
    event = AlarmEvent(
        number=1,
        time=START + 1100.0,
        alarm="instrument-lost.nir",
        kind=EventKind.RAISED,
        state=State.UNACKNOWLEDGED,
        priority=Priority.LOW,
        text="NIR lost [frozen]",
        value=None,
        annunciated=True,
        first_out=True,
        alert=False,
    )
    outputs = _suspended_once()
    account = account_of(
        [o.record for o in outputs],
        [event],
        [_frame(1100, 10.05, first=True)],
        MOVES,
        {d.id: d for d in ENTRIES},
        START,
    )
    document = account.document()
    assert document["sheds"] == 0 and document["largest_bump"] == pytest.approx(0.5)
    assert document["alarms"][0]["second"] == 1100.0
    assert document["timeline"][-1]["state"] == "CLOSED_LOOP"
    counts = {"released": 10, "released_out_of_spec": 1, "floor": 2}
    tables = account_tables(account, counts)
    assert [t.title for t in tables] == [
        "What happened",
        "Transfers",
        "Alarms",
        "Alarm load",
        "Tablets",
    ]
    cells = [list(column.cells) for column in tables[2].columns]
    assert cells[0] == ["0:18:20"] and "(first)" in str(cells[2][0])
