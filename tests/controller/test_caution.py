"""The estimate's uncertainty in the problem of a cycle: as configured, and never an exception."""

from dataclasses import replace

import numpy as np
import pytest

from controller.algorithms import make_brain
from controller.config import OptimisationConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, initial_state, make_setup
from controller.data import CycleRecord, Mode, ReachedBy
from controller.nmpc import NmpcBrain
from controller.optimisation.caution import Caution
from controller.optimisation.fast import FastSolver
from controller.optimisation.scenarios import ScenarioSolver
from controller.records.historian import Historian, History, sqlite_url
from controller.records.replay import replay
from hil.plant import Plant
from tests.controller.kit import EPOCH, LINE, ROOT, TABLE, ask, controller_config
from tests.controller.ocp_kit import SHORT, fast_of, problem
from tests.controller.uncertain import FREE, covariance
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets, read_snapshot

BOTH_ON = {"back_off": True, "scenarios": 8}


def caution(**changes: object) -> Caution:
    return Caution(fast_of(), FREE, SHORT.model_copy(update=changes))


def test_by_default_a_problem_stays_as_it_is() -> None:
    p = problem(1)
    same, verdicts = Caution(fast_of(), FREE, OptimisationConfig()).applied(
        p, p.hold(), covariance(), 1.0
    )
    assert same is p
    assert verdicts == ()


def test_back_off_gives_every_zone_margins_and_the_inflation_widens_them() -> None:
    p = problem(1)
    plain, wide = (
        caution(back_off=True).applied(p, p.hold(), covariance(1), w)[0] for w in (1.0, 4.0)
    )
    assert plain.draws is None
    for zone, wider in zip(plain.zones, wide.zones, strict=True):
        assert np.shape(zone.margin) == (p.grid.stages,)
        assert np.asarray(wider.margin) == pytest.approx(2.0 * np.asarray(zone.margin))
    level = next(z for z in plain.zones if z.output == "level")
    assert np.all(np.asarray(level.margin) > 0.0)


def test_more_deviations_are_a_wider_margin() -> None:
    p = problem(1)
    one, two = (
        caution(back_off=True, back_off_deviations=z).applied(p, p.hold(), covariance(), 1.0)[0]
        for z in (1.0, 2.0)
    )
    for a, b in zip(one.zones, two.zones, strict=True):
        assert np.asarray(b.margin) == pytest.approx(2.0 * np.asarray(a.margin))


def test_a_band_that_closes_is_told() -> None:
    p = problem(1)
    _, verdicts = caution(back_off=True).applied(p, p.hold(), covariance(scale=50.0), 1.0)
    assert any(v.startswith("back-off: the band of thickness closes at stage") for v in verdicts)


def test_scenarios_give_draws_and_leave_the_zones() -> None:
    p = problem(1)
    drawn, _ = caution(scenarios=6).applied(p, p.hold(), covariance(), 1.0)
    assert drawn.draws is not None
    assert drawn.draws.weights == pytest.approx(np.full(6, 1.0 / 7.0))
    assert drawn.zones is p.zones


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_a_covariance_that_is_none_is_a_verdict(value: float) -> None:
    p, broken = problem(1), covariance()
    broken[0, 0] = value
    same, verdicts = caution(**BOTH_ON).applied(p, p.hold(), broken, 1.0)
    assert same is p
    assert verdicts == ("uncertainty: left out, the estimate's covariance is none",)


def test_a_prediction_that_breaks_down_is_a_verdict() -> None:
    p = problem(1)
    broken = replace(p, x0=np.full_like(p.x0, np.nan))
    same, verdicts = caution(**BOTH_ON).applied(broken, p.hold(), covariance(), 1.0)
    assert same is broken
    assert verdicts == ("uncertainty: left out, the outputs' spread is not finite",)


def make(changes: dict[str, object]) -> NmpcBrain:
    config = controller_config("nmpc")
    optimisation = config.optimisation.model_copy(
        update={"stages": SHORT.stages, "nodes": SHORT.nodes, **changes}
    )
    brain = make_brain(config.model_copy(update={"optimisation": optimisation}), LINE, TABLE, None)
    assert isinstance(brain, NmpcBrain)
    return brain


def test_the_solver_for_scenarios_is_built_only_where_they_are_wanted() -> None:
    assert type(make({"scenarios": 0}).fast) is FastSolver
    assert type(make({"scenarios": 4}).fast) is ScenarioSolver


def test_cycles_with_back_off_and_scenarios_are_replayed_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The draws need no generator, so that nothing has to be recorded of them."""
    config = controller_config("nmpc")
    setups = [
        make_setup(config, LINE, TABLE, make(BOTH_ON), product_targets(LINE)) for _ in range(2)
    ]
    scenario = load_scenario(ROOT / "configs/scenarios/shift.yaml")
    plant = Plant(LINE, scenario, seed=4, start_time=START_TIME, run_dir=None)
    plant.advance(900)
    state = initial_state(setups[0], EPOCH)
    url = sqlite_url(tmp_path_factory.mktemp("uncertain") / "historian.sqlite")
    records: list[CycleRecord] = []
    with Historian(url, setups[0], state) as historian:
        for number in range(1, 25):
            plant.advance(5)
            inputs = CycleInputs(
                snapshot=read_snapshot(plant),
                requests=(ask(Mode.ADVISORY),) if number == 2 else (),
                deadline_s=60.0,
            )
            output = run_cycle(inputs, state, setups[0], lambda: 0.0)
            state = output.state
            records.append(output.record)
            historian.append(output)
    report = replay(History(url), setups[1], start=1, first=8, last=24)
    assert report.differences == ()
    assert report.plans == 17
    plans = [r.plan for r in records if r.plan is not None]
    assert {p.reached_by for p in plans} == {ReachedBy.FAST}
