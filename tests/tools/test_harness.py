"""A short shift in process: who closes the loop when, what is scored, and that it repeats."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.algorithms import make_brain
from controller.baselines.pid import PidBrain
from controller.data import CV, Mode
from hil.config import ScenarioConfig
from plant_models.line import KG_H, ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import MV
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import START_TIME, Restart, ShiftResult, product_targets, run_shift
from tools.shift_score import closing_second, set_point_series, truth_log
from tools.shift_script import shift_script

MINUTES = 10.0


@pytest.fixture(scope="module")
def line(root: Path) -> ResolvedLine:
    return load_line(root / "configs/lines/reference.yaml")


@pytest.fixture(scope="module")
def scenario(root: Path) -> ScenarioConfig:
    found = load_scenario(root / "configs/scenarios/shift.yaml")
    assert isinstance(found, ScenarioConfig)
    return found


def _run(
    root: Path,
    line: ResolvedLine,
    scenario: ScenarioConfig,
    name: str,
    **how: Any,
) -> ShiftResult:
    config = load_controller(root / f"configs/controllers/{name}.yaml")
    return run_shift(
        line=line,
        scenario=scenario,
        config=config,
        brain=make_brain(config, line, signal_table(line.line), None),
        seed=11,
        minutes=MINUTES,
        **how,
    )


@pytest.fixture(scope="module")
def pid(root: Path, line: ResolvedLine, scenario: ScenarioConfig) -> ShiftResult:
    return _run(root, line, scenario, "pid", keep_records=True)


@pytest.fixture(scope="module")
def plc(root: Path, line: ResolvedLine, scenario: ScenarioConfig) -> ShiftResult:
    return _run(root, line, scenario, "plc", keep_records=True)


def test_the_loop_is_closed_within_two_percent_of_the_shift(
    pid: ShiftResult, scenario: ScenarioConfig
) -> None:
    assert pid.closed_at == pid.start == closing_second(scenario, MINUTES, 5)
    assert pid.start <= 900.0 + 0.02 * 60.0 * MINUTES
    modes = [r.mode for r in pid.records]
    closed = modes.index(Mode.CLOSED_LOOP)
    assert set(modes[closed:]) == {Mode.CLOSED_LOOP}


def test_the_plcs_loops_alone_never_get_a_command(plc: ShiftResult) -> None:
    assert plc.closed_at is None
    assert plc.plant.received == []
    assert plc.scores["bump_at_closing"] == plc.scores["max_mv_rate_violation"] == 0.0


def test_the_operator_of_the_plc_sets_force_and_thickness_once(plc: ShiftResult) -> None:
    sets = [e.what.split()[1] for e in plc.plant.events if e.what.startswith("OperatorSet")]
    assert sets.count(MV.THICKNESS) == sets.count(MV.MAIN_FORCE) == 1
    assert sets.count(MV.TOTAL_FEED) == 1


def test_until_the_loop_is_closed_both_see_the_same_plant(
    pid: ShiftResult, plc: ShiftResult
) -> None:
    """Start-up is the PLC's sequence: noise depends on the second, not on who controls."""
    a, b = pid.plant.tally.seconds(), plc.plant.tally.seconds()
    before = int(pid.start) - 60
    assert a[:before].tobytes() == b[:before].tobytes()


def test_a_shift_is_a_function_of_its_arguments(
    root: Path, line: ResolvedLine, scenario: ScenarioConfig, pid: ShiftResult
) -> None:
    again = _run(root, line, scenario, "pid")
    np.testing.assert_array_equal(again.plant.tally.tablets(), pid.plant.tally.tablets())


def test_a_result_has_every_key(pid: ShiftResult) -> None:
    scores = pid.scores
    assert {
        "cycles",
        "overruns",
        "real_time_factor",
        "cycle_ms",
        "tablets",
        "max_mv_rate_violation",
        "bump_at_closing",
        "units",
    } <= scores.keys()
    assert scores["cycles"] == (900 + 60 * MINUTES) / 5
    assert scores["cycle_ms"].keys() == {"median", "p99"}
    assert scores["tablets"].keys() == {
        "made",
        "rejected",
        "diverted",
        "released",
        "released_out_of_spec",
        "out_of_spec",
        "floor",
        "excess",
    }
    for cv in CV:
        assert scores[cv.value].keys() == {"iae_norm", "rmse", "time_out_of_spec_s"}
    for zone in ("main_compression_force", "chute_level", "tablet_thickness"):
        assert scores[zone].keys() == {"time_outside_s"}


def test_counts_are_those_of_the_plant(pid: ShiftResult) -> None:
    tablets, tally = pid.scores["tablets"], pid.plant.tally
    assert (tablets["made"], tablets["rejected"], tablets["diverted"]) == (
        tally.made,
        tally.rejected,
        tally.diverted,
    )
    assert tablets["excess"] == tablets["out_of_spec"] - tablets["floor"]
    assert 0 < tablets["released"] <= tally.released


def test_the_throughput_follows_the_order_of_the_scenario(
    pid: ShiftResult, line: ResolvedLine, scenario: ScenarioConfig
) -> None:
    log = truth_log(pid.plant.tally.seconds(), pid.plant.tally.tablets(), line)
    series = set_point_series(line, scenario, MINUTES, log.time)[CV.THROUGHPUT.value]
    step = 900 + int(0.6 * 60 * MINUTES)
    assert series[step - 1] == pytest.approx(20.0 * KG_H)
    assert series[step] == pytest.approx(24.0 * KG_H)
    assert np.mean(log.throughput[-60:]) == pytest.approx(24.0 * KG_H, rel=0.03)


def test_moves_stay_within_their_rates_and_the_loop_closes_without_a_bump(pid: ShiftResult) -> None:
    assert pid.scores["max_mv_rate_violation"] == 0.0
    assert 0.0 < pid.scores["bump_at_closing"] <= 0.25


def test_a_loop_closed_at_another_line_rate_starts_from_there(
    root: Path, line: ResolvedLine, scenario: ScenarioConfig
) -> None:
    calm = scenario.model_copy(update={"events": ()})
    run = _run(root, line, calm, "pid", close_at=1400, local_feed=15.0 * KG_H, keep_records=True)
    assert run.closed_at == 1400.0
    at_closing = next(r for r in run.records if r.mode is Mode.CLOSED_LOOP)
    assert at_closing.validated is not None
    assert at_closing.validated.actual[MV.TOTAL_FEED] == pytest.approx(15.0 * KG_H)
    assert run.scores["bump_at_closing"] <= 0.25


@pytest.mark.parametrize(("trim", "follows"), [(None, False), (600.0, True)])
def test_the_nir_raises_an_alarm_and_moves_the_ratio_only_where_it_is_chosen(
    root: Path, line: ResolvedLine, pid: ShiftResult, trim: float | None, follows: bool
) -> None:
    """A NIR that reads 10 % too much for ten minutes."""
    config = load_controller(root / "configs/controllers/pid.yaml").pid
    brain = PidBrain(line, config.model_copy(update={"nir_trim_s": trim}), 5.0)
    seen = pid.records[-1].validated
    assert seen is not None
    tag = "Line/FeedFrame/Potency/PV"
    high = {**seen.measurements, tag: replace(seen.measurements[tag], value=1.10, weight=1.0)}
    state, ratios, alarms = brain.initial(), [], []
    for cycle in range(120):
        now = replace(seen, time=seen.time + 5.0 * cycle, samples=(), measurements=high)
        step = brain.step(state, now, Mode.CLOSED_LOOP, product_targets(line), 1.0)
        assert step.plan is not None
        state = step.state
        ratios.append(float(step.plan.moves[MV.API_RATIO][0]))
        alarms.append(step.plan.solver_verdicts)
    assert alarms[0] == ()
    assert alarms[-1][0].startswith("alarm: NIR potency +9")
    assert (ratios[-1] < ratios[0] - 5e-4) is follows


def test_people_close_the_loop_again_after_the_plant_s_restart(
    root: Path, line: ResolvedLine, scenario: ScenarioConfig, tmp_path: Path
) -> None:
    script = shift_script(scenario, MINUTES, 5)
    assert script.kill is not None
    restart = Restart(at=script.kill, run_dir=tmp_path, notice_s=15, come_back_s=45)
    result = _run(root, line, scenario, "pid", restart=restart, keep_records=True)
    modes = {round(r.time - START_TIME): r.mode for r in result.records}
    assert modes[script.kill] is Mode.CLOSED_LOOP
    assert {modes[script.kill + s] for s in (5, 10, 15)} == {Mode.SHED}
    assert {modes[script.kill + s] for s in range(20, 55, 5)} == {Mode.ADVISORY}
    assert modes[script.kill + 55] is Mode.CLOSED_LOOP
    seconds = result.plant.tally.seconds()
    assert len(seconds) == script.end  # not one plant second is lost or made twice
