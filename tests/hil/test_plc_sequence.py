from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hil.plc.rejection import diverter_step, judge_tablets
from hil.plc.scan import scan
from hil.plc.sequence import line_command, powers
from hil.plc.state import Diverter, DiverterState, PlcState, RejectionState, SequenceState
from hil.readings import Reading
from plant_models.signals import APC, MV, PLC, LineState
from tests.hil.plc_kit import (
    CONTROLLER,
    close_loop,
    granted,
    outlet_at,
    parameters,
    readings,
    running_plant,
    running_state,
    scans,
    writes,
)

P = parameters()

ALLOWED = {
    "start": {LineState.IDLE, LineState.STOPPED},
    "hold": {LineState.RUNNING, LineState.RESTARTING},
    "restart": {LineState.HELD},
    "stop": {LineState.STARTING, LineState.RUNNING, LineState.HELD, LineState.RESTARTING},
    "abort": set(LineState) - {LineState.IDLE, LineState.ABORTED},
    "clear": {LineState.ABORTED, LineState.STOPPED},
}


def _in(line: LineState) -> PlcState:
    return replace(running_state(), sequence=SequenceState(line=line))


@pytest.mark.parametrize("command", sorted(ALLOWED))
@pytest.mark.parametrize("line", list(LineState))
def test_a_command_acts_only_in_the_states_that_allow_it(command: str, line: LineState) -> None:
    state = _in(line)
    after, answer = line_command(P, state, command, "test")
    if line in ALLOWED[command]:
        assert answer == "done"
        assert after.sequence.line is not line
    else:
        assert line.value in answer
        assert after == state


def test_a_command_needs_a_known_name_and_a_reason() -> None:
    assert "unknown" in line_command(P, running_state(), "pause", "test")[1]
    assert "reason" in line_command(P, running_state(), "hold", "")[1]


def test_a_held_line_moves_nothing_and_keeps_its_set_points() -> None:
    state, _ = line_command(P, running_state(), "hold", "test")
    acts = {tag: mv.act for tag, mv in state.mvs.items()}
    state = scans(state, 30)
    assert state.sequence.line is LineState.HELD
    _, drives = scan(P, state, readings(state), outlet_at(Diverter.DIVERT).feedback)
    assert drives.screw_speed == (0.0, 0.0, 0.0)
    assert drives.blender_speed == drives.turret_speed == drives.paddle_speed == 0.0
    assert {tag: mv.act for tag, mv in state.mvs.items()} == acts


def test_a_restart_comes_back_to_running_with_the_mode_that_it_had() -> None:
    state, _ = line_command(P, granted(running_state()), "hold", "test")
    state = scans(state, 200)
    state, answer = line_command(P, state, "restart", "test")
    assert answer == "done"
    state = scans(state, 40)
    assert state.sequence.line is LineState.RUNNING
    assert state.lease.active
    assert state.lease.fresh


@pytest.mark.parametrize(
    ("level", "cause", "line"),
    [(0.99, "chute overflow", LineState.HOLDING), (0.02, "chute starved", LineState.HOLDING)],
)
def test_the_chute_trips_the_line(level: float, cause: str, line: LineState) -> None:
    state = scans(granted(running_state()), 200, level=Reading(level, 0, 0.0))
    assert state.sequence.interlock == cause
    assert state.lease.shed_cause in (f"interlock: {cause}", "no accepted command for 15 s")
    assert state.sequence.line in (line, LineState.HELD)


def test_a_main_force_above_the_tooling_cap_aborts_and_sheds_within_three_scans() -> None:
    state = scans(granted(running_state()), 3, main_force=Reading(14_500.0, 0, 0.0))
    assert state.sequence.line is LineState.ABORTED
    assert state.sequence.interlock == "main force above cap"
    assert state.lease.shed_cause == "interlock: main force above cap"
    state, _ = line_command(P, state, "clear", "punches checked")
    assert state.sequence.interlock == ""


def test_an_empty_feeder_holds_the_line_but_a_spike_does_not() -> None:
    state = running_state()
    usual = readings(state).feeders
    empty = (*usual[:2], replace(usual[2], level=Reading(0.01, 0, 0.0)))
    assert scans(state, 4, feeders=empty).sequence.line is LineState.RUNNING
    state = scans(state, 6, feeders=empty)
    assert state.sequence.interlock == "feeder 3 empty"
    assert state.sequence.line is LineState.HOLDING


def test_an_overfull_chute_can_be_restarted_with_the_press_first() -> None:
    state = _in(LineState.RESTARTING)
    full = replace(state, level=replace(state.level, level=0.98))
    empty = replace(state, level=replace(state.level, level=0.05))
    assert (powers(P, full).feed, powers(P, full).press) == (False, True)
    assert (powers(P, empty).feed, powers(P, empty).press) == (True, False)


def test_the_gate_takes_out_what_lies_outside_the_band_and_follows_a_true_shift() -> None:
    forces = np.full(28, 7000.0)
    forces[3], forces[7] = 9000.0, 5500.0
    state, outside = judge_tablets(P, RejectionState(), forces)
    assert np.flatnonzero(outside).tolist() == [3, 7]
    assert state.mean == pytest.approx(7000.0, rel=0.01)
    for _ in range(60):
        state, outside = judge_tablets(P, state, np.full(28, 9000.0))
    assert not outside.any()
    assert judge_tablets(P, state, np.zeros(0))[1].size == 0


def _diverter(d: DiverterState, seconds: int, **how: bool) -> DiverterState:
    usual = {"collectable": True, "good": True, "bad": False, **how}
    outlet = outlet_at(d.position)
    for _ in range(seconds):
        d = diverter_step(P, d, outlet.feedback, **usual)
        outlet.drive(d.goal)
    return d


def test_the_diverter_collects_after_good_time_and_travel_and_diverts_at_once() -> None:
    wait = P.config.good_before_collect_s + int(P.config.diverter_clear_s)
    travel = int(P.config.diverter_travel_s)
    assert _diverter(DiverterState(), wait - 1).goal is Diverter.DIVERT
    assert _diverter(DiverterState(), wait).goal is Diverter.COLLECT
    assert _diverter(DiverterState(), wait + travel).position is Diverter.MOVING
    d = _diverter(DiverterState(), wait + travel + 1)
    assert d.position is Diverter.COLLECT
    for why in ({"collectable": False}, {"bad": True}):
        assert _diverter(d, 1, **why).goal is Diverter.DIVERT
        assert _diverter(d, 2, **why).position is Diverter.MOVING
        assert _diverter(d, travel + 2, **why).position is Diverter.DIVERT
    assert _diverter(d, 100, good=False).position is Diverter.COLLECT


def test_material_that_is_not_good_starts_the_count_again() -> None:
    wait = P.config.good_before_collect_s + int(P.config.diverter_clear_s)
    d = _diverter(_diverter(DiverterState(), wait - 1), 1, good=False)
    assert _diverter(d, wait - 1).goal is Diverter.DIVERT
    assert _diverter(d, wait).goal is Diverter.COLLECT


def test_a_jammed_gate_holds_the_line_after_three_orders_missed() -> None:
    plant = running_plant()
    plant.outlet.gate_jammed = True
    before = plant.tally.rejected
    plant.advance(900)
    assert plant.state.sequence.interlock == "fail to reject"
    assert plant.state.sequence.line is LineState.HELD
    assert plant.tally.rejected == before
    plant.outlet.gate_jammed = False
    assert plant.line_command("operator", "restart", "gate repaired") == "done"
    plant.advance(200)
    assert plant.state.sequence.line is LineState.RUNNING
    assert plant.state.sequence.interlock == ""


def test_a_jammed_diverter_holds_the_line() -> None:
    plant = running_plant()
    close_loop(plant)
    plant.outlet.diverter_jammed = True
    plant.write(CONTROLLER, {**writes(plant), APC.DIVERT_REQ: True})
    plant.advance(12)
    assert plant.state.sequence.interlock == "diverter not in position"
    assert plant.values()[PLC.PERMIT].value is False
    assert plant.values()[PLC.SHED_CAUSE].value == "interlock: diverter not in position"
    assert plant.values()[PLC.DIVERTER].value == "collect"


@pytest.mark.parametrize("seed", [11, 12])
def test_the_shift_starts_up_in_900_s_at_nominal_set_points(seed: int) -> None:
    plant = running_plant(seed=seed)
    rows = plant.tally.seconds()
    states = list(LineState)
    running = rows["line_state"] == states.index(LineState.RUNNING)
    assert running[899] and not running[:899].any()
    level = rows["level"][880:]
    assert level.min() > 0.45 and level.max() < 0.55
    acts = plant.state.mvs
    for tag in set(P.limits) - {MV.TURRET_SPEED, MV.FILL_DEPTH}:
        assert acts[tag].act == pytest.approx(P.limits[tag].nominal)
    assert rows["throughput"][880:].mean() * 3600.0 == pytest.approx(20.0, rel=0.02)
    assert plant.tally.released > 0
    assert (plant.tally.tablets()["fate"][:20_000] != 0).sum() > 15_000


def test_a_held_plant_restarts_without_overflow_and_collects_again() -> None:
    plant = running_plant()
    assert plant.line_command("operator", "hold", "tooling check") == "done"
    plant.advance(120)
    still = plant.tally.seconds()[-60:]
    assert still["made"].sum() == 0
    assert np.ptp(still["level"]) == 0.0
    assert plant.line_command("operator", "restart", "done") == "done"
    plant.advance(240)
    rows = plant.tally.seconds()[-230:]
    assert plant.state.sequence.line is LineState.RUNNING
    assert rows["level"].min() > 0.3 and rows["level"].max() < 0.8
    assert plant.state.diverter.position is Diverter.COLLECT


def test_a_stopped_plant_empties_its_chute_and_starts_again() -> None:
    plant = running_plant()
    plant.line_command("operator", "stop", "end of batch")
    plant.advance(400)
    assert plant.state.sequence.line is LineState.STOPPED
    assert plant.tally.seconds()["level"][-1] < 0.2
    assert plant.line_command("operator", "start", "next batch") == "done"
    plant.advance(950)
    assert plant.state.sequence.line is LineState.RUNNING
