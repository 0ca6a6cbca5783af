from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hil.plant import (
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_WRITABLE,
    BAD_TYPE_MISMATCH,
    BAD_USER_ACCESS_DENIED,
    STATE_FILE,
    Plant,
)
from hil.plc.state import from_document, to_document
from hil.tally import SECOND, bump_at_closing, rate_violation, read_tally
from plant_models.signals import APC, LAB, MV, PLC, DataType, PlcMode, is_good
from tests.hil.plc_kit import CONTROLLER, EPOCH, close_loop, running_plant, writes
from tests.hil.truth_kit import line, scenario

KINDS = {
    DataType.DOUBLE: float,
    DataType.INT32: int,
    DataType.INT64: int,
    DataType.BOOLEAN: bool,
    DataType.STRING: str,
    DataType.DATETIME: float,
    DataType.DOUBLE_ARRAY: tuple,
}


@pytest.mark.parametrize("seconds", [0, 1, 1000])
def test_every_tag_of_the_signal_list_has_a_value_of_its_type_in_its_range(seconds: int) -> None:
    plant = (
        Plant(line(), scenario("calm"), seed=11, start_time=1.7e9)
        if seconds < 1000
        else (running_plant())
    )
    plant.advance(seconds % 1000)
    values = plant.values()
    assert list(values) and set(values) == {s.tag for s in plant.table}
    for signal in plant.table:
        item = values[signal.tag]
        if item.value is None:
            assert not is_good(item.status), signal.tag
            continue
        assert type(item.value) is KINDS[signal.data_type], signal.tag
        assert item.source_time <= plant.time + 1e-9
        if is_good(item.status) and isinstance(item.value, float) and signal.lo is not None:
            assert signal.lo <= item.value <= (signal.hi or 0.0), signal.tag


def test_a_running_plant_shows_what_it_does() -> None:
    plant = running_plant()
    values = plant.values()
    assert values[PLC.HB].value == values[PLC.SCAN_ID].value == 1000
    assert values[PLC.TIME].value == 1.7e9 + 1000
    assert values[PLC.MODE_ACT].value == "LOCAL"
    assert values[PLC.LINE_STATE].value == "running"
    assert values[PLC.RECIPE_ID].value == line().product.recipe_id
    assert values[PLC.MODEL_VERSION].value == plant.table.model_version()
    assert values[APC.WATCHDOG_S].value == 15.0
    assert values[f"{MV.TOTAL_FEED}/ACT"].value == pytest.approx(20.0)
    assert values[f"{MV.TOTAL_FEED}/RATE_UP"].value == pytest.approx(0.3)
    assert values[f"{MV.TOTAL_FEED}/FBK"].value == pytest.approx(20.0, rel=0.05)
    assert values[f"{MV.API_RATIO}/FBK"].value == pytest.approx(10.0, rel=0.1)
    assert values[f"{MV.MAIN_FORCE}/FBK"].value == pytest.approx(7.25, rel=0.05)
    assert values[f"{MV.TURRET_SPEED}/SRC"].value == "LOOP"
    assert values["Line/Feeder2/MassFlow/SP"].value == pytest.approx(17.8, rel=0.02)
    assert values["Line/Press/Made/PV"].value == plant.tally.made
    turret, rate = values[f"{MV.TURRET_SPEED}/FBK"], values["Line/Press/TabletRate/PV"]
    assert isinstance(turret.value, float)
    assert rate.value == pytest.approx(turret.value * line().product.stations * 60.0)
    assert (rate.status, rate.source_time) == (turret.status, turret.source_time)


def test_a_lab_sample_is_placed_at_sampling_and_published_later() -> None:
    plant = running_plant()
    values = plant.values()
    assert values[LAB.ID].value == 2
    assert isinstance(values[LAB.WEIGHT].value, tuple)
    assert values[LAB.TAKEN].value == 1.7e9 + 601
    assert values[LAB.TAKEN].source_time == 1.7e9 + 721
    assert np.mean(values[LAB.WEIGHT].value) == pytest.approx(198.0, rel=0.02)


def test_one_scan_per_second_whatever_the_step() -> None:
    at_once, step_by_step = running_plant(), running_plant()
    at_once.advance(30)
    for _ in range(6):
        step_by_step.advance(5)
    assert at_once.values() == step_by_step.values()
    assert at_once.tally.tablets().tobytes() == step_by_step.tally.tablets().tobytes()


def test_an_accepted_frame_moves_the_line_and_is_shown() -> None:
    plant = running_plant()
    close_loop(plant)
    sent = writes(plant, {MV.TOTAL_FEED: 20.25, MV.FILL_DEPTH: 9.9})
    assert set(plant.write(CONTROLLER, sent).values()) == {0}
    values = plant.values()
    assert values[f"{MV.TOTAL_FEED}/REQ"].value == 20.25
    assert values[PLC.REJECTED_COUNT].value == 0
    assert values[APC.EPOCH].value == EPOCH
    plant.advance(5)
    values = plant.values()
    assert values[f"{MV.TOTAL_FEED}/ACT"].value == pytest.approx(20.25)
    assert values[f"{MV.FILL_DEPTH}/ACT"].value < 9.0
    assert values[f"{MV.TOTAL_FEED}/SRC"].value == "CONTROLLER"


def test_only_the_holder_of_the_lease_may_write() -> None:
    plant = running_plant()
    assert plant.write("a", {APC.HB: 1}) == {APC.HB: 0}
    assert plant.write("b", {APC.HB: 1}) == {APC.HB: BAD_USER_ACCESS_DENIED}
    assert plant.request_control("b", "controller", "CASCADE", 5, "taking over") == "granted"
    assert plant.write("b", {APC.HB: 2}) == {APC.HB: 0}
    denied = plant.write("a", writes(plant))
    assert set(denied.values()) == {BAD_USER_ACCESS_DENIED}
    assert plant.received[-1].cause == "session"
    assert plant.values()[PLC.REJECTED_COUNT].value == 1
    plant.release_session("b")
    assert plant.write("c", {APC.STATE: "MONITORING"}) == {APC.STATE: 0}
    assert plant.write("a", {APC.HB: 3}) == {APC.HB: BAD_USER_ACCESS_DENIED}


def test_a_reconnected_controller_goes_on_with_its_epoch() -> None:
    plant = running_plant()
    close_loop(plant)
    plant.release_session(CONTROLLER)
    plant.write("new session", writes(plant))
    assert plant.received[-1].accepted
    assert plant.state.lease.session == "new session"


@pytest.mark.parametrize(
    ("tag", "value", "code"),
    [
        ("Line/Nowhere/X", 1.0, BAD_NODE_ID_UNKNOWN),
        (PLC.MODE_ACT, "CASCADE", BAD_NOT_WRITABLE),
        (APC.WATCHDOG_S, 1000.0, BAD_NOT_WRITABLE),
        (f"{MV.TOTAL_FEED}/ACT", 20.0, BAD_NOT_WRITABLE),
        (f"{MV.TOTAL_FEED}/REQ", "20", BAD_TYPE_MISMATCH),
        (f"{MV.TOTAL_FEED}/REQ", True, BAD_TYPE_MISMATCH),
        (APC.HB, 1.0, BAD_TYPE_MISMATCH),
        (APC.DIVERT_REQ, 1, BAD_TYPE_MISMATCH),
    ],
)
def test_a_write_that_does_not_fit_has_a_status_and_no_effect(
    tag: str, value: float | str | bool, code: int
) -> None:
    plant = running_plant()
    before = dict(plant.values())
    assert plant.write("a", {tag: value}) == {tag: code}
    after = dict(plant.values())
    before.pop(PLC.REJECTED_COUNT), after.pop(PLC.REJECTED_COUNT)
    assert after == before


def test_set_points_outside_a_frame_are_a_torn_frame() -> None:
    plant = running_plant()
    close_loop(plant)
    plant.write(CONTROLLER, {f"{MV.TOTAL_FEED}/REQ": 20.1})
    assert plant.received[-1].cause == "torn"
    plant.write(CONTROLLER, {APC.HB: 7, APC.STATE: "ADVISORY"})
    assert len(plant.received) == 1


def test_a_diversion_is_requested_never_a_collection() -> None:
    plant = running_plant()
    close_loop(plant)
    assert plant.values()[PLC.DIVERTER].value == "collect"
    for second in range(20):
        sent = {**writes(plant), APC.DIVERT_REQ: second < 10}
        plant.write(CONTROLLER, sent)
        plant.advance(1)
    assert plant.values()[PLC.DIVERTER].value == "divert"


def test_the_log_knows_violations_and_bumps_from_the_set_points_that_were_read() -> None:
    plant = running_plant()
    moves = {t: float(plant.values()[f"{t}/RATE_UP"].value or 0.0) for t in plant.parameters.limits}
    close_loop(plant)
    first = writes(plant, {MV.TURRET_SPEED: plant.values()[f"{MV.TURRET_SPEED}/ACT"].value + 0.07})
    plant.advance(2)
    plant.write(CONTROLLER, first)
    assert plant.received[-1].accepted and plant.received[-1].first
    assert bump_at_closing(plant.received, moves) == pytest.approx(0.1, rel=1e-6)
    assert rate_violation(plant.received, moves) == 0.0
    plant.advance(5)
    plant.write(CONTROLLER, writes(plant, {MV.TOTAL_FEED: 20.36, MV.FILL_DEPTH: 11.0}))
    assert not plant.received[-1].first
    assert rate_violation(plant.received, moves) == pytest.approx(0.2, rel=1e-3)
    assert bump_at_closing(plant.received, moves) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("mismatch", [-0.03, 0.03])
def test_an_hour_after_the_controller_died_the_level_is_in_its_zone(mismatch: float) -> None:
    """Feed and press 3 % apart when the controller falls silent."""
    plant = running_plant()
    close_loop(plant)
    turret = plant.values()[f"{MV.TURRET_SPEED}/ACT"].value * (1.0 + mismatch)
    for _ in range(24):
        act = plant.values()[f"{MV.TURRET_SPEED}/ACT"].value
        move = min(max(turret - act, -0.7), 0.7)
        plant.write(CONTROLLER, writes(plant, {MV.TURRET_SPEED: act + move}))
        plant.advance(5)
    died = plant.tally.seconds().size
    plant.advance(16)
    assert plant.values()[PLC.MODE_ACT].value == "LOCAL"
    assert "no accepted command" in str(plant.values()[PLC.SHED_CAUSE].value)
    plant.advance(3600)
    level = plant.tally.seconds()["level"][died:]
    assert level.min() > 0.30 and level.max() < 0.80
    assert level[-1] == pytest.approx(0.5, abs=0.05)
    assert plant.values()[PLC.LINE_STATE].value == "running"


def _script(plant: Plant, until: int) -> None:
    """An operator's moves at fixed plant seconds."""
    moves = {1003: (MV.THICKNESS, 3.06), 1017: (MV.TOTAL_FEED, 20.6), 1041: (MV.MAIN_FORCE, 7.6)}
    while plant.second < until:
        if plant.second in moves:
            assert plant.operator_set("op", *moves[plant.second], "test") == "done"
        plant.advance(1)


@pytest.mark.parametrize("killed", [1005, 1023, 1044])
def test_a_killed_plant_resumes_and_the_truth_goes_on_as_if_nothing_had_happened(
    killed: int, tmp_path: Path
) -> None:
    whole = running_plant()
    _script(whole, 1100)
    broken = Plant(line(), scenario("calm"), seed=11, start_time=1.7e9, run_dir=tmp_path)
    broken.advance(1000)
    _script(broken, killed)
    del broken
    resumed = Plant.resume(line(), scenario("calm"), run_dir=tmp_path)
    assert resumed.second == killed - killed % 5
    assert resumed.values()[PLC.SHED_CAUSE].value == "plant restarted"
    _script(resumed, 1100)
    one, other = whole.tally, resumed.tally
    for column in set(SECOND.names or ()) - {"collecting"}:
        assert one.seconds()[column].tobytes() == other.seconds()[column].tobytes(), column
    for column in ("second", "weight", "strength", "assay"):
        assert np.array_equal(one.tablets()[column], other.tablets()[column])
    assert other.diverted > one.diverted
    seconds, tablets, _ = read_tally(tmp_path)
    assert seconds.size == 1100
    assert tablets.size == other.made == other.rejected + other.diverted + other.released


def test_a_plant_killed_in_closed_loop_resumes_in_local_and_remembers_the_revoked(
    tmp_path: Path,
) -> None:
    plant = Plant(line(), scenario("calm"), seed=11, start_time=1.7e9, run_dir=tmp_path)
    plant.advance(1000)
    close_loop(plant, PlcMode.CASCADE, 1)
    close_loop(plant, PlcMode.CASCADE, 2)
    plant.write(CONTROLLER, writes(plant))
    plant.advance(7)
    resumed = Plant.resume(line(), scenario("calm"), run_dir=tmp_path)
    assert resumed.second == 1005
    assert resumed.state.lease.mode is PlcMode.LOCAL
    assert len(resumed.received) == 1 and resumed.received[0].accepted
    assert "revoked" in resumed.request_control("s", "u", "CASCADE", 1, "again")
    assert resumed.request_control("s", "u", "CASCADE", 2, "again") == "granted"


def test_another_line_is_not_resumed(tmp_path: Path) -> None:
    plant = Plant(line(), scenario("calm"), seed=11, start_time=1.7e9, run_dir=tmp_path)
    plant.advance(5)
    path = tmp_path / STATE_FILE
    saved = json.loads(path.read_text())
    path.write_text(json.dumps({**saved, "line": "0" * 16}))
    with pytest.raises(ValueError, match="another line"):
        Plant.resume(line(), scenario("calm"), run_dir=tmp_path)


def test_the_plcs_state_survives_json_bit_for_bit() -> None:
    plant = running_plant()
    close_loop(plant)
    plant.write(CONTROLLER, writes(plant))
    plant.advance(3)
    assert from_document(json.loads(json.dumps(to_document(plant.state)))) == plant.state
