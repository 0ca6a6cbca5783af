"""The linear controller as a brain: on the real stand-in, by its protocol, by its configuration."""

from __future__ import annotations

import pickle
from functools import lru_cache
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from controller.algorithms import make_brain
from controller.baselines.lmpc import LmpcBrain
from controller.baselines.lmpc_model import DISTURBANCES
from controller.config import ControllerConfig, Disturbance
from controller.data import CV, Mode, ReachedBy
from plant_models.signals import MV, RefillPhase
from tests.controller.baselines.lmpc_kit import brain
from tests.controller.kit import LINE, TABLE, TARGETS, controller_config
from tools.configuration import load_scenario
from tools.harness import ShiftResult, run_shift

SEED, MINUTES = 12, 20.0


@lru_cache(maxsize=1)
def _shift() -> ShiftResult:
    config = controller_config("lmpc")
    scenario = load_scenario("configs/scenarios/shift.yaml")
    return run_shift(
        line=LINE,
        scenario=scenario,
        config=config,
        brain=make_brain(config, LINE, TABLE, None),
        seed=SEED,
        minutes=MINUTES,
        keep_records=True,
    )


def test_it_is_chosen_by_its_name_and_moves_what_the_nonlinear_controller_moves() -> None:
    made = make_brain(controller_config("lmpc"), LINE, TABLE, None)
    assert isinstance(made, LmpcBrain)
    assert made.name == "lmpc"
    assert made.manipulated == (
        MV.TOTAL_FEED,
        MV.API_RATIO,
        MV.MAIN_FORCE,
        MV.THICKNESS,
        MV.TURRET_SPEED,
    )


def test_it_closes_in_time_and_keeps_every_rate() -> None:
    shift = _shift()
    assert shift.closed_at == shift.start
    assert shift.scores["max_mv_rate_violation"] == 0.0
    assert shift.scores["overruns"] == 0


def test_the_set_points_are_met_on_a_line_that_is_not_the_model() -> None:
    """Means over the last minutes, after lot change and throughput step; a drawn plant."""
    shift = _shift()
    seconds = shift.plant.tally.seconds()[-300:]
    assert np.nanmean(seconds["weight"]) == pytest.approx(200e-6, rel=0.006)
    assert np.nanmean(seconds["strength"]) == pytest.approx(2.25e6, rel=0.04)
    assert np.nanmean(seconds["throughput"]) == pytest.approx(24.0 / 3600.0, rel=0.012)
    assert np.nanmean(seconds["level"]) == pytest.approx(0.5, abs=0.06)


def test_every_plan_is_solved_and_says_how() -> None:
    plans = [r.plan for r in _shift().records if r.mode is Mode.CLOSED_LOOP]
    assert plans
    assert {p.reached_by for p in plans if p is not None} == {ReachedBy.FAST}
    assert all(p is not None for p in plans)


def test_there_were_refills_while_the_loop_was_closed() -> None:
    seen = [r.validated for r in _shift().records if r.mode is Mode.CLOSED_LOOP]
    assert any(RefillPhase.ACTIVE in v.refills for v in seen if v is not None)


def test_a_step_is_a_function_of_state_and_data() -> None:
    """The same cycle again, from a state that was pickled, gives the same plan bit for bit."""
    b, state, last = brain(), brain().initial(), None
    records = [r for r in _shift().records if r.validated is not None][:240]
    for record in records:
        before = pickle.dumps(state)
        step = b.step(state, record.validated, Mode.MONITORING, TARGETS, 1.0)
        state, last = step.state, (before, record, step)
    assert last is not None
    before, record, step = last
    again = b.step(pickle.loads(before), record.validated, Mode.MONITORING, TARGETS, 1e-9)
    assert step.plan is not None
    assert again.plan is not None
    for tag, values in step.plan.moves.items():
        np.testing.assert_array_equal(again.plan.moves[tag], values)


def test_forecast_and_estimate_are_in_si_with_half_widths() -> None:
    record = _shift().records[-1]
    assert record.forecast is not None
    assert record.estimate is not None
    free, planned, half = record.forecast.series[CV.TABLET_WEIGHT]
    assert free.shape == planned.shape == half.shape == record.forecast.times.shape
    assert planned[-1] == pytest.approx(200e-6, rel=0.01)
    assert 0.0 < half[0] < 3e-6
    assert record.estimate.mean.shape == (len(record.estimate.names),)


def test_lost_cycles_widen_what_is_believed_and_nothing_breaks() -> None:
    b, state = brain(), brain().initial()
    seen = [r.validated for r in _shift().records if r.validated is not None]
    for v in seen[:230]:
        state = b.observer.update(state, v)
    whole = b.observer.update(state, seen[230])
    for v in seen[231:245]:
        whole = b.observer.update(whole, v)
    gap = b.observer.update(state, seen[244])
    assert whole.kalman is not None
    assert gap.kalman is not None
    assert np.all(np.isfinite(gap.kalman.now.mean))
    assert np.trace(gap.kalman.now.cov) > np.trace(whole.kalman.now.cov)
    assert gap.kalman.window.times[-1] == whole.kalman.window.times[-1]


def test_it_works_in_cascade_only() -> None:
    document = controller_config("lmpc").model_dump(by_alias=True) | {"structure": "REMOTE"}
    with pytest.raises(ValidationError, match="lmpc works in CASCADE only"):
        ControllerConfig.model_validate(document)


@pytest.mark.parametrize("name", ["nonsense", "lot_volume"])
def test_a_walk_needs_a_disturbance_of_the_linear_model(name: str) -> None:
    config = controller_config("lmpc")
    lmpc = config.lmpc.model_dump() | {"walk": ((name, 1e-3),)}
    document = config.model_dump(by_alias=True) | {"lmpc": lmpc}
    with pytest.raises(ValidationError, match=name):
        ControllerConfig.model_validate(document)


def test_the_names_that_may_walk_are_those_of_the_model() -> None:
    assert set(get_args(Disturbance)) <= set(DISTURBANCES)
