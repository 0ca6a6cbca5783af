"""A recording played behind the signal list: what it shows, what it refuses, where it goes on."""

import json
from dataclasses import replace
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
from hil.process_image import INITIAL_VALUE, WAITING
from hil.recorded import ENDED, NO_DATA, NOT_RECORDED, REFUSAL, RecordedPlant, fingerprint
from plant_models.recording import CHANNELS
from plant_models.signals import APC, MV, PLC, DataType, Payload, Value, is_good
from tests.hil.recording_kit import GAP, MISSING, PAUSE, PERIOD, START, made_recording
from tests.hil.recording_kit import recorded_line as line
from tests.hil.truth_kit import scenario

RECORDED = {
    channel.tag
    for name, channel in CHANNELS.items()
    if channel.tag is not None and name not in ("pre_force",)
}
GOOD_ALWAYS = {
    PLC.HB,
    PLC.SCAN_ID,
    PLC.TIME,
    PLC.SPEED,
    PLC.MODE_ACT,
    PLC.PERMIT,
    PLC.RECIPE_ID,
    PLC.SHED_CAUSE,
    PLC.SHED_COUNT,
    PLC.REJECTED_COUNT,
    PLC.MODEL_VERSION,
    APC.EPOCH,
}


def at_row(row: int, **options: int) -> RecordedPlant:
    plant = RecordedPlant(line(), made_recording(), **options)
    plant.advance(PERIOD * (row + 1 - options.get("first_row", 0)))
    assert plant.row == row
    return plant


def test_every_tag_is_good_or_bad_as_it_should_be() -> None:
    plant = at_row(0)
    values = plant.values()
    assert set(values) == {s.tag for s in plant.table}
    good = {tag for tag, v in values.items() if is_good(v.status)}
    assert good == RECORDED | GOOD_ALWAYS
    shown = {APC.HB, APC.STATE}
    assert {values[tag].status for tag in shown} == {INITIAL_VALUE}
    for tag in set(values) - good - shown:
        assert values[tag].value is None, tag
        assert values[tag].status == NOT_RECORDED, tag


def test_recorded_numbers_are_shown_in_plant_units_under_their_own_time() -> None:
    recording = made_recording()
    for row in (0, 5, 21, 39):
        plant = at_row(row)
        values, at = plant.values(), float(recording.time[row])
        for name, channel in CHANNELS.items():
            if channel.tag not in RECORDED or name not in recording.channels:
                continue
            signal, shown = plant.table[channel.tag], values[channel.tag]
            assert isinstance(shown.value, (int, float))
            assert signal.to_si(shown.value) == pytest.approx(recording.channels[name][row])
            assert type(shown.value) is (int if signal.data_type is DataType.INT64 else float)
            assert shown.source_time == at
        force = values["Line/Press/MainForce/PV"].value
        assert isinstance(force, float) and force == round(force, 1)
        assert values[PLC.TIME] == Value(at, 0, at)
        assert values[PLC.HB].value == values[PLC.SCAN_ID].value == PERIOD * (row + 1)
        snapshot = plant.snapshot()
        assert (snapshot.time, snapshot.scan_id) == (at, PERIOD * (row + 1))
        assert snapshot.values == values


def test_a_row_without_a_number_has_no_data_and_the_others_stand() -> None:
    values = at_row(MISSING).values()
    assert {values[tag] for tag in RECORDED} == {Value(None, NO_DATA, START + PERIOD * MISSING)}
    recording = made_recording()
    channels = dict(recording.channels)
    channels["main_force"] = channels["main_force"].copy()
    channels["main_force"][3] = np.inf
    plant = RecordedPlant(line(), replace(recording, channels=channels))
    plant.advance(4 * PERIOD)
    assert plant.values()["Line/Press/MainForce/PV"].status == NO_DATA
    assert is_good(plant.values()[f"{MV.FILL_DEPTH}/FBK"].status)


def test_channels_that_nobody_recorded_are_not_supported() -> None:
    """Neither a channel that is absent nor one in which no row has a number."""
    recording = made_recording()
    kept = {k: v for k, v in recording.channels.items() if k != "paddle_speed"}
    plant = RecordedPlant(line(), replace(recording, channels=kept, code=""))
    plant.advance(PERIOD)
    values = plant.values()
    for tag in ("Line/FeedFrame/PaddleSpeed/PV", "Line/Press/PreForce/PV", PLC.RECIPE_ID):
        assert values[tag] == Value(None, NOT_RECORDED, START - PERIOD)
    assert at_row(0).values()[PLC.RECIPE_ID].value == "5"


def test_before_the_first_row_the_recorded_tags_wait() -> None:
    plant = RecordedPlant(line(), made_recording())
    for _ in range(PERIOD):
        values = plant.values()
        assert (plant.row, plant.next_row, plant.ended) == (None, 0, False)
        assert {values[tag] for tag in RECORDED} == {Value(None, WAITING, START - PERIOD)}
        assert values[PLC.TIME].value == START - PERIOD
        plant.advance(1)
    assert plant.row == 0


def test_the_heartbeat_counts_seconds_and_time_jumps_over_a_pause() -> None:
    plant = at_row(GAP - 1)
    before = plant.time
    for second in range(1, PERIOD):
        plant.advance(1)
        assert (plant.row, plant.time) == (GAP - 1, before)
        assert plant.values()[PLC.HB].value == PERIOD * GAP + second
    plant.advance(1)
    assert plant.row == GAP
    assert plant.time == before + PERIOD + PAUSE
    assert plant.values()[PLC.HB].value == PERIOD * (GAP + 1)


def test_after_the_last_row_nothing_recorded_is_readable_and_time_stays() -> None:
    plant = at_row(39)
    last = plant.time
    for _ in range(3):
        plant.advance(PERIOD)
        values = plant.values()
        assert (plant.row, plant.next_row, plant.ended) == (None, 40, True)
        assert {values[tag] for tag in RECORDED} == {Value(None, ENDED, last)}
        assert values[PLC.TIME].value == last
        assert values[PLC.HB].value == plant.second
        assert set(values) == {s.tag for s in plant.table}


def test_a_recording_can_begin_later() -> None:
    whole, late = at_row(25), at_row(25, first_row=24)
    assert late.second == 2 * PERIOD
    one, other = whole.values(), late.values()
    assert {t: one[t] for t in RECORDED} == {t: other[t] for t in RECORDED}
    assert RecordedPlant(line(), made_recording(), first_row=24).time == START + 23 * PERIOD
    late = RecordedPlant(line(), made_recording(), first_row=GAP)
    assert late.time == START + (GAP - 1) * PERIOD
    late.advance(PERIOD)
    assert late.time == START + GAP * PERIOD + PAUSE
    for row in (-1, 40):
        with pytest.raises(ValueError, match=f"no row {row}; its 40 rows"):
            RecordedPlant(line(), made_recording(), first_row=row)


def test_the_spacing_must_be_the_lines_control_period() -> None:
    with pytest.raises(ValueError, match=r"every 5 s.*'recorded press' is 10 s.*control_period_s"):
        RecordedPlant(line(), replace(made_recording(), period_s=5.0))


def test_all_calls_are_refused_and_kept() -> None:
    plant = at_row(3)
    answers = [
        plant.request_control("s", "controller", "CASCADE", 5, "test"),
        plant.operator_set("operator", MV.THICKNESS, 3.0, "test"),
        plant.set_local("operator", MV.THICKNESS, True, "test"),
        plant.line_command("operator", "hold", "test"),
    ]
    assert answers == [REFUSAL] * 4
    assert [(e.second, e.answer) for e in plant.events] == [(40, REFUSAL)] * 4
    assert plant.events[1].what == "OperatorSet Line/Press/Thickness 3.0"


@pytest.mark.parametrize(
    ("tag", "value", "code"),
    [
        ("Line/Nowhere/X", 1.0, BAD_NODE_ID_UNKNOWN),
        (PLC.MODE_ACT, "CASCADE", BAD_NOT_WRITABLE),
        (f"{MV.TOTAL_FEED}/REQ", 20.0, BAD_NOT_WRITABLE),
        (APC.EPOCH, 7, BAD_NOT_WRITABLE),
        (APC.DIVERT_REQ, True, BAD_NOT_WRITABLE),
        (APC.HB, 1.0, BAD_TYPE_MISMATCH),
        (APC.HB, True, BAD_TYPE_MISMATCH),
        (APC.STATE, 3, BAD_TYPE_MISMATCH),
    ],
)
def test_nothing_but_heartbeat_and_state_is_written(tag: str, value: Payload, code: int) -> None:
    plant = at_row(3)
    before = {t: v for t, v in plant.values().items() if t != PLC.REJECTED_COUNT}
    assert plant.write("s", {tag: value}) == {tag: code}
    assert {t: v for t, v in plant.values().items() if t != PLC.REJECTED_COUNT} == before


def test_refused_frames_are_counted_and_the_first_controller_shows_itself() -> None:
    plant = at_row(3)
    assert plant.write("a", {APC.HB: 5, APC.STATE: "MONITORING"}) == {APC.HB: 0, APC.STATE: 0}
    assert plant.values()[APC.STATE] == Value("MONITORING", 0, plant.time)
    assert plant.write("b", {APC.HB: 6}) == {APC.HB: BAD_USER_ACCESS_DENIED}
    assert plant.values()[PLC.REJECTED_COUNT].value == 0
    frame = {APC.SEQ_HEAD: 1, f"{MV.THICKNESS}/REQ": 3.0, APC.SEQ_TAIL: 1}
    assert set(plant.write("a", frame).values()) == {BAD_NOT_WRITABLE}
    assert set(plant.write("b", frame).values()) == {BAD_USER_ACCESS_DENIED}
    assert plant.values()[PLC.REJECTED_COUNT].value == 2
    plant.release_session("b")
    assert plant.write("b", {APC.HB: 6}) == {APC.HB: BAD_USER_ACCESS_DENIED}
    plant.release_session("a")
    assert plant.write("b", {APC.HB: 6}) == {APC.HB: 0}


def test_playing_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    plant = RecordedPlant(line(), made_recording(), first_row=5, run_dir=tmp_path / "run")
    plant.write("s", {APC.EPOCH: 3})
    for _ in range(34):
        plant.advance(1)
    del plant
    again = RecordedPlant.resume(line(), made_recording(), run_dir=tmp_path / "run", first_row=5)
    assert (again.second, again.row, again.refused) == (30, 7, 1)
    again.advance(PERIOD)
    whole = at_row(8, first_row=5)
    for tag in RECORDED | {PLC.TIME, PLC.HB}:
        assert again.values()[tag] == whole.values()[tag]


def test_another_recording_start_or_plant_is_not_resumed(tmp_path: Path) -> None:
    recording = made_recording()
    plant = RecordedPlant(line(), recording, run_dir=tmp_path)
    plant.advance(PERIOD)
    RecordedPlant.resume(line(), replace(recording, name="moved"), run_dir=tmp_path)
    with pytest.raises(ValueError, match=r"another recording .* choose another run directory"):
        RecordedPlant.resume(line(), made_recording(seed=2), run_dir=tmp_path)
    with pytest.raises(ValueError, match="began with row 0, not with 3"):
        RecordedPlant.resume(line(), recording, run_dir=tmp_path, first_row=3)
    with pytest.raises(ValueError, match="another line or version"):
        Plant.resume(line(), scenario("calm"), run_dir=tmp_path)
    path = tmp_path / STATE_FILE
    path.write_text(json.dumps({"schema": 1, "line": "0" * 16}))
    with pytest.raises(ValueError, match="simulated plant"):
        RecordedPlant.resume(line(), recording, run_dir=tmp_path)
    with pytest.raises(ValueError, match="without a run directory"):
        RecordedPlant(line(), recording).save()


def test_the_fingerprint_is_that_of_the_rows() -> None:
    recording = made_recording()
    assert fingerprint(recording) == fingerprint(replace(made_recording(), name="other"))
    channels = {k: v.copy() for k, v in recording.channels.items()}
    channels["main_force"][11] += 1.0
    others = [
        replace(recording, code="3"),
        replace(recording, channels=channels),
        replace(recording, batch=("A",) * 40),
        replace(recording, time=recording.time + 1.0),
        replace(recording, channels={**channels, "fill_depth": recording.channels["thickness"]}),
    ]
    assert len({fingerprint(r) for r in (recording, *others)}) == 6
