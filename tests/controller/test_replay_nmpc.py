"""A hundred cycles of the real optimising controller on the simulated line, replayed exactly."""

from pathlib import Path

import pytest

from controller.algorithms import make_brain
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, initial_state, make_setup
from controller.data import Mode, ReachedBy
from controller.records.historian import Historian, History, sqlite_url
from controller.records.replay import ReplayReport, replay
from hil.plant import Plant
from plant_models.signals import PLC
from tests.controller.kit import EPOCH, LINE, ROOT, TABLE, ask, controller_config
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets, read_snapshot

WARM, CYCLES, START_UP_S, PERIOD_S = 40, 100, 900, 5
NO_TIME_S = 1e-6


class Stopwatch:
    """A monotonic clock that stands still: the record's timings are not what is tested."""

    def __call__(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, ReplayReport]:
    """Cycles in closed loop, every seventh without any time left for solving; then replayed."""
    config = controller_config("nmpc")
    folder: Path = tmp_path_factory.mktemp("nmpc")
    setups = [
        make_setup(
            config,
            LINE,
            TABLE,
            make_brain(config, LINE, TABLE, folder / "cache"),
            product_targets(LINE),
        )
        for _ in range(2)
    ]
    scenario = load_scenario(ROOT / "configs/scenarios/shift.yaml")
    plant = Plant(LINE, scenario, seed=3, start_time=START_TIME, run_dir=None)
    plant.advance(START_UP_S)
    state = initial_state(setups[0], EPOCH)
    url = sqlite_url(folder / "historian.sqlite")
    with Historian(url, setups[0], state) as historian:
        for number in range(1, WARM + CYCLES + 1):
            plant.advance(PERIOD_S)
            requests = {2: (ask(Mode.ADVISORY),), WARM: (ask(Mode.CLOSED_LOOP),)}
            inputs = CycleInputs(
                snapshot=read_snapshot(plant),
                requests=requests.get(number, ()),
                deadline_s=NO_TIME_S if number > WARM and number % 7 == 0 else 5.0,
            )
            output = run_cycle(inputs, state, setups[0], Stopwatch())
            state = output.state
            historian.append(output)
            if output.request_control is not None:
                plant.request_control("test", "ada", output.request_control, EPOCH, "test")
            if output.command.frame is not None:
                plant.write("test", output.command.frame.as_writes())
    history = History(url)
    report = replay(history, setups[1], start=1, first=WARM + 1, last=WARM + CYCLES)
    return history, report


def test_a_hundred_plans_come_out_bit_for_bit(
    replayed: tuple[History, ReplayReport],
) -> None:
    _, report = replayed
    assert report.differences == ()
    assert (report.compared, report.plans) == (CYCLES, CYCLES)


def test_most_of_them_were_in_closed_loop_and_some_had_no_time_to_solve(
    replayed: tuple[History, ReplayReport],
) -> None:
    """Else the test above would show little."""
    history, _ = replayed
    records = list(history.records(1, WARM + 1, WARM + CYCLES))
    assert [r.mode for r in records].count(Mode.CLOSED_LOOP) == CYCLES
    rungs = [r.plan.reached_by for r in records if r.plan is not None]
    assert rungs.count(ReachedBy.FAST) > CYCLES // 2
    steps = {r.plan.steps for r in records if r.plan is not None}
    assert len(set(rungs)) > 1 or len(steps) > 1
    refused = records[-1].snapshot.number(PLC.REJECTED_COUNT)
    assert refused == 0
