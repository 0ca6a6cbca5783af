from __future__ import annotations

from dataclasses import replace

import pytest

from hil.plc.handshake import apply_frame
from hil.plc.modes import (
    Source,
    available,
    controlled,
    level_follower,
    operator_set,
    owner,
    restarted,
    set_local,
    shed,
)
from hil.plc.state import Diverter, DiverterState, PlcState, SequenceState
from hil.readings import Reading
from plant_models.signals import MV, LineState, PlcMode
from plant_models.tablet_press import weight_at_force
from tests.hil.plc_kit import frame, granted, parameters, running_state, scans

P = parameters()


def _owners(state: PlcState) -> dict[str, Source]:
    return {tag: owner(P, state, tag) for tag in P.limits}


def _local(state: PlcState, *tags: str) -> PlcState:
    for tag in tags:
        state, answer = set_local(P, state, tag, True, "test")
        assert answer == "done"
    return state


def test_in_local_the_loops_own_fill_depth_and_turret_and_the_operator_the_rest() -> None:
    owners = _owners(running_state())
    loops = {MV.FILL_DEPTH, MV.TURRET_SPEED}
    assert {t for t, o in owners.items() if o is Source.LOOP} == loops
    assert {t for t, o in owners.items() if o is Source.LOCAL} == set(P.limits) - loops


def test_in_cascade_the_controller_owns_all_but_the_fill_depth() -> None:
    owners = _owners(granted(running_state()))
    assert owners.pop(MV.FILL_DEPTH) is Source.LOOP
    assert set(owners.values()) == {Source.CONTROLLER}


def test_in_remote_the_controller_owns_the_fill_depth_and_the_force_set_point_tracks() -> None:
    state = granted(running_state(), mode="REMOTE")
    owners = _owners(state)
    assert owners.pop(MV.MAIN_FORCE) is Source.LOOP
    assert set(owners.values()) == {Source.CONTROLLER}
    measured = Reading(7700.0, 0, 0.0)
    after = state
    for _ in range(14):  # within the watchdog
        after = scans(after, 1, main_force=measured)
    assert after.mvs[MV.MAIN_FORCE].act > state.mvs[MV.MAIN_FORCE].act + 200.0
    assert after.mvs[MV.FILL_DEPTH].act == state.mvs[MV.FILL_DEPTH].act


def test_outside_running_the_sequence_owns_everything_and_nothing_is_available() -> None:
    state = replace(granted(running_state()), sequence=SequenceState(line=LineState.HELD))
    assert set(_owners(state).values()) == {Source.SEQUENCE}
    assert not any(available(P, state, tag) for tag in P.limits)


def test_a_set_point_in_local_is_not_available_and_a_frame_leaves_it_alone() -> None:
    state = _local(granted(running_state()), MV.THICKNESS)
    assert not available(P, state, MV.THICKNESS)
    assert available(P, state, MV.MAIN_FORCE)
    after, cause = apply_frame(P, state, frame(state, {MV.THICKNESS: 3.07, MV.MAIN_FORCE: 7.3}))
    assert cause is None
    assert after.mvs[MV.THICKNESS] == state.mvs[MV.THICKNESS]
    assert after.mvs[MV.MAIN_FORCE].target == pytest.approx(7300.0)
    assert MV.THICKNESS not in controlled(P, state)


def test_before_control_is_granted_availability_is_that_of_cascade() -> None:
    state = running_state()
    assert available(P, state, MV.TURRET_SPEED)
    assert not available(P, state, MV.FILL_DEPTH)
    assert not available(P, _local(state, MV.API_RATIO), MV.API_RATIO)


@pytest.mark.parametrize(
    ("mode", "local", "follower"),
    [
        (PlcMode.LOCAL, (), MV.TURRET_SPEED),
        (PlcMode.LOCAL, (MV.TURRET_SPEED,), MV.TOTAL_FEED),
        (PlcMode.LOCAL, (MV.TURRET_SPEED, MV.TOTAL_FEED), ""),
        (PlcMode.CASCADE, (), ""),
        (PlcMode.CASCADE, (MV.TOTAL_FEED,), MV.TURRET_SPEED),
        (PlcMode.CASCADE, (MV.TURRET_SPEED,), MV.TOTAL_FEED),
        (PlcMode.REMOTE, (), ""),
    ],
)
def test_the_level_loop_is_on_whenever_the_controller_does_not_own_both(
    mode: PlcMode, local: tuple[str, ...], follower: str
) -> None:
    mvs = _local(running_state(), *local).mvs
    assert level_follower(P, mode, mvs) == follower


def test_with_the_turret_as_master_the_feed_follows() -> None:
    turret_leads = replace(P, feeders_lead=False)
    assert level_follower(turret_leads, PlcMode.LOCAL, running_state().mvs) == MV.TOTAL_FEED


def test_an_operators_thickness_move_carries_the_force_that_keeps_the_weight() -> None:
    state = running_state()
    force, thickness = state.mvs[MV.MAIN_FORCE].target, state.mvs[MV.THICKNESS].target
    before = weight_at_force(P.press, P.compaction, force, thickness)
    state, answer = operator_set(P, state, MV.THICKNESS, 3.064, "strength")
    assert answer == "done"
    moved = state.mvs[MV.MAIN_FORCE].target
    after = weight_at_force(P.press, P.compaction, moved, state.mvs[MV.THICKNESS].target)
    assert moved - force == pytest.approx(9.93 * 20.0, rel=0.05)
    assert after == pytest.approx(before, rel=1e-9)


def test_in_cascade_the_controller_adds_the_re_reference_itself() -> None:
    state = _local(granted(running_state()), MV.THICKNESS)
    after, answer = operator_set(P, state, MV.THICKNESS, 3.064, "test")
    assert answer == "done"
    assert after.mvs[MV.MAIN_FORCE] == state.mvs[MV.MAIN_FORCE]


@pytest.mark.parametrize(
    ("tag", "value", "reason", "word"),
    [
        (MV.TOTAL_FEED, 40.0, "test", "outside"),
        (MV.TOTAL_FEED, float("nan"), "test", "outside"),
        (MV.TOTAL_FEED, 21.0, "", "reason"),
        (MV.FILL_DEPTH, 8.0, "test", "LOOP"),
        (MV.TURRET_SPEED, 50.0, "test", "LOOP"),
        ("Line/Press/Colour", 1.0, "test", "no manipulated variable"),
    ],
)
def test_an_operators_set_point_is_refused_with_the_reason(
    tag: str, value: float, reason: str, word: str
) -> None:
    state = running_state()
    after, answer = operator_set(P, state, tag, value, reason)
    assert word in answer
    assert after == state


def test_an_operator_cannot_move_what_the_controller_owns() -> None:
    _, answer = operator_set(P, granted(running_state()), MV.TOTAL_FEED, 21.0, "test")
    assert "CONTROLLER" in answer


def test_an_operators_move_ramps_at_the_rate_all_the_way() -> None:
    state, _ = operator_set(P, running_state(), MV.TOTAL_FEED, 21.2, "more")
    halfway = scans(state, 10)
    assert halfway.mvs[MV.TOTAL_FEED].act * 3600.0 == pytest.approx(20.6)
    assert scans(halfway, 10).mvs[MV.TOTAL_FEED].act * 3600.0 == pytest.approx(21.2)


def test_shed_keeps_all_set_points_and_aims_the_force_at_its_mean_before_the_last_command() -> None:
    state = granted(running_state())
    measured = [7000.0 + 5.0 * i for i in range(60)]
    state = replace(state, force=replace(state.force, recent=tuple(measured)))
    state, _ = apply_frame(P, state, frame(state, {MV.TOTAL_FEED: 20.3}))
    after = shed(P, scans(state, 2, main_force=Reading(9000.0, 0, 0.0)), "test")
    assert after.lease.mode is PlcMode.LOCAL
    assert after.mvs[MV.MAIN_FORCE].target == pytest.approx(sum(measured) / 60)
    assert after.mvs[MV.TOTAL_FEED].target == after.mvs[MV.TOTAL_FEED].act
    assert (after.lease.shed_count, after.lease.shed_cause) == (1, "test")


def test_the_watchdog_sheds_after_its_time_and_says_why() -> None:
    state = granted(running_state())
    state, _ = apply_frame(P, scans(state, 4), frame(scans(state, 4)))
    before = scans(state, 14)
    assert before.lease.mode is PlcMode.CASCADE
    after = scans(before, 1)
    assert after.lease.mode is PlcMode.LOCAL
    assert after.lease.shed_cause == "no accepted command for 15 s"


def test_while_the_line_is_held_the_watchdog_waits_and_starts_anew_with_running() -> None:
    state = granted(running_state())
    held = replace(state, sequence=SequenceState(line=LineState.HELD))
    assert scans(held, 100).lease.mode is PlcMode.CASCADE


@pytest.mark.parametrize("line", [LineState.STOPPING, LineState.ABORTED])
def test_a_stop_or_an_abort_sheds(line: LineState) -> None:
    state = replace(granted(running_state()), sequence=SequenceState(line=line))
    after = scans(state, 1)
    assert after.lease.mode is PlcMode.LOCAL
    assert after.lease.shed_cause == f"line {line.value}"


def test_the_level_loop_takes_over_from_the_values_in_use() -> None:
    state = granted(running_state())
    turret = replace(state.mvs[MV.TURRET_SPEED], act=50.0 / 60.0, target=50.0 / 60.0)
    state = replace(
        state,
        mvs={**state.mvs, MV.TURRET_SPEED: turret},
        level=replace(state.level, window=(0.7,) * 5, level=0.7),
    )
    after = scans(shed(P, state, "test"), 1, level=Reading(0.7, 0, 0.0))
    assert after.mvs[MV.TURRET_SPEED].act == pytest.approx(turret.act, rel=1e-3)
    later = scans(after, 120, level=Reading(0.7, 0, 0.0))
    assert later.mvs[MV.TURRET_SPEED].act > 1.01 * turret.act


def test_shed_diverts_until_the_material_has_been_good() -> None:
    collecting = DiverterState(position=Diverter.COLLECT, goal=Diverter.COLLECT, good_s=500)
    state = shed(P, replace(granted(running_state()), diverter=collecting), "test")
    wait = P.config.good_before_collect_s + int(P.config.diverter_clear_s)
    assert scans(state, 1).diverter.goal is Diverter.DIVERT
    assert scans(state, 4).diverter.position is Diverter.DIVERT
    assert scans(state, wait - 1).diverter.goal is Diverter.DIVERT
    assert scans(state, wait + 4).diverter.position is Diverter.COLLECT


def test_a_restarted_plc_is_in_local_and_moves_nothing_if_it_was_before() -> None:
    local = running_state()
    after = restarted(P, local)
    assert after.mvs == local.mvs
    assert after.lease.shed_cause == "plant restarted"
    closed = restarted(P, granted(local))
    assert closed.lease.mode is PlcMode.LOCAL
    assert closed.lease.shed_cause == "plant restarted"
