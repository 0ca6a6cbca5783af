"""Faults of the stand-in's instruments: what is shown changes, what is made does not."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary

from hil.config import InstrumentFails, NirDrift, ScenarioConfig
from hil.faults import SENSOR_FAILURE, FaultKind, Faults, Instrument, InstrumentFault
from hil.noise import Noise
from hil.plant import Plant
from hil.wire import payload_of, variant_of
from plant_models.signals import LAB, PLC, DataType, Value, is_good
from tests.hil.truth_kit import line, scenario

NIR, LEVEL = "Line/FeedFrame/Potency/PV", "Line/Chute/Level/PV"
MAIN, PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
START, RUNNING_S = 1000.0, 1000
SHOWN = {
    Instrument.NIR: NIR,
    Instrument.MAIN_FORCE: MAIN,
    Instrument.PRE_FORCE: PRE,
    Instrument.LOAD_CELL_1: "Line/Feeder1/Weight/PV",
    Instrument.LOAD_CELL_2: "Line/Feeder2/Weight/PV",
    Instrument.LOAD_CELL_3: "Line/Feeder3/Weight/PV",
    Instrument.CHUTE_LEVEL: LEVEL,
}


def _plant(run_dir: Path | None = None) -> Plant:
    return Plant(line(), scenario(), seed=2, start_time=START, run_dir=run_dir, minutes=30.0)


@cache
def _ran() -> Plant:
    plant = _plant()
    plant.advance(RUNNING_S)
    return plant


def _with(kind: FaultKind, instrument: Instrument, seconds: int = 20, **more: Any) -> Plant:
    plant = copy.deepcopy(_ran())
    fault = InstrumentFault(instrument=instrument, kind=kind, start=RUNNING_S, **more)
    plant.faults.set(fault)
    plant.advance(seconds)
    return plant


@cache
def _sound(seconds: int = 20) -> Plant:
    plant = copy.deepcopy(_ran())
    plant.advance(seconds)
    return plant


def _show(plant: Plant, tag: str) -> Value:
    return plant.values()[tag]


def test_without_faults_nothing_is_touched() -> None:
    faults, plant = Faults(Noise(1)), _ran()
    image = dict(plant.values())
    assert faults.readings(plant.readings) is plant.readings
    assert faults.image(image, plant.second) is image


@pytest.mark.parametrize("instrument", list(SHOWN), ids=str)
def test_a_lost_instrument_shows_a_bad_status_and_no_other_does(instrument: Instrument) -> None:
    plant, sound = _with(FaultKind.LOST, instrument), _sound()
    assert _show(plant, SHOWN[instrument]).status == SENSOR_FAILURE
    others = {t for t in SHOWN.values() if t != SHOWN[instrument]}
    assert all(_show(plant, t).status == _show(sound, t).status for t in others)


@pytest.mark.parametrize("instrument", list(SHOWN), ids=str)
def test_a_frozen_instrument_repeats_itself_with_a_good_status(instrument: Instrument) -> None:
    plant = _with(FaultKind.FROZEN, instrument, seconds=1)
    first = _show(plant, SHOWN[instrument])
    for _ in range(4):
        plant.advance(5)
        shown = _show(plant, SHOWN[instrument])
        assert (shown.value, shown.status) == (first.value, first.status)
    assert shown.source_time > first.source_time


def test_what_no_loop_follows_leaves_the_physics_as_it_is() -> None:
    sound = _sound(60).tally.seconds()
    for instrument in (Instrument.NIR, Instrument.PRE_FORCE):
        for kind, size in ((FaultKind.LOST, 0.0), (FaultKind.BIASED, 30.0)):
            faulty = _with(kind, instrument, 60, size=size).tally.seconds()
            assert sound.tobytes() == faulty.tobytes()


def test_data_faults_are_seen_by_opc_ua_clients_only() -> None:
    for kind in (FaultKind.WRONG_TYPE, FaultKind.WRONG_UNIT):
        plant = _with(kind, Instrument.MAIN_FORCE, 60, size=1000.0)
        assert _sound(60).tally.seconds().tobytes() == plant.tally.seconds().tobytes()
        assert _show(plant, MAIN).value != _show(_sound(60), MAIN).value


def test_a_wrong_main_force_moves_the_press_because_its_loop_follows_it() -> None:
    biased = _with(FaultKind.BIASED, Instrument.MAIN_FORCE, 120, size=8.0)
    true = biased.tally.seconds()["main_force"][-20:].mean()
    assert true == pytest.approx(7250.0 / 1.08, rel=0.02)
    shown = _show(biased, MAIN).value
    assert isinstance(shown, float)
    assert shown == pytest.approx(7.25, rel=0.03)


def test_without_a_force_no_tablet_is_released() -> None:
    plant = _with(FaultKind.LOST, Instrument.MAIN_FORCE, 120)
    t = plant.tally.tablets()
    late = t["fate"][t["second"] > RUNNING_S + 5]
    assert late.size > 1000
    assert not np.any(late == 0)


@pytest.mark.parametrize(
    ("kind", "size", "seconds", "expected"),
    [
        (FaultKind.BIASED, 5.0, 20, 5.0),
        (FaultKind.BIASED, -5.0, 20, -5.0),
        (FaultKind.DRIFTING, 360.0, 50, 4.9),
        (FaultKind.FOULED, -6.0, 50, -4.9),
        (FaultKind.FOULED, -6.0, 100, -6.0),
    ],
)
def test_a_bias_is_as_large_as_it_is_told(
    kind: FaultKind, size: float, seconds: int, expected: float
) -> None:
    plant = _with(kind, Instrument.NIR, seconds, size=size, ramp_s=60.0)
    right, wrong = _show(_sound(seconds), NIR).value, _show(plant, NIR).value
    assert isinstance(right, float)
    assert isinstance(wrong, float)
    assert wrong - right == pytest.approx(expected, abs=0.15)


def test_spikes_come_and_go_and_are_the_same_for_the_same_seed() -> None:
    def shown() -> list[float]:
        plant, values = _with(FaultKind.SPIKES, Instrument.CHUTE_LEVEL, 1, size=80.0), []
        for _ in range(60):
            plant.advance(1)
            values.append(plant.values()[LEVEL].value)
        return values  # type: ignore[return-value]

    first, second = shown(), shown()
    assert first == second
    away = np.abs(np.array(first) / np.median(first) - 1.0) > 0.1
    assert 3 <= np.count_nonzero(away) <= 25


def test_a_frozen_load_cell_shows_no_flow() -> None:
    plant = _with(FaultKind.FROZEN, Instrument.LOAD_CELL_1, 40)
    assert _show(plant, "Line/Feeder1/MassFlow/PV").value == 0.0
    assert is_good(_show(plant, "Line/Feeder1/MassFlow/PV").status)


def test_the_laboratory_that_is_lost_publishes_nothing_new() -> None:
    plant = _with(FaultKind.LOST, Instrument.LAB, 400)
    assert _show(plant, LAB.ID).value == _show(_ran(), LAB.ID).value
    before, number = _show(_ran(), LAB.ID).value, _show(_sound(400), LAB.ID).value
    assert isinstance(number, int)
    assert isinstance(before, int)
    assert number > before
    assert _sound(400).tally.seconds().tobytes() == plant.tally.seconds().tobytes()


def test_types_units_and_clocks() -> None:
    wrong = _with(FaultKind.WRONG_TYPE, Instrument.LOAD_CELL_2)
    assert isinstance(_show(wrong, "Line/Feeder2/Weight/PV").value, str)
    unit = _with(FaultKind.WRONG_UNIT, Instrument.LOAD_CELL_2, size=2.2046)
    right = _show(_sound(), "Line/Feeder2/Weight/PV").value
    assert isinstance(right, float)
    assert _show(unit, "Line/Feeder2/Weight/PV").value == pytest.approx(2.2046 * right)
    for size in (3600.0, -3600.0):
        plant = _with(FaultKind.CLOCK_OFFSET, Instrument.NIR, size=size)
        moved = _show(plant, NIR).source_time - _show(_sound(), NIR).source_time
        assert moved == size
        plant = _with(FaultKind.CLOCK_OFFSET, Instrument.LAB, size=size)
        assert _show(plant, LAB.TAKEN).value == _show(_sound(), LAB.TAKEN).value + size  # type: ignore[operator]
    drift = _with(FaultKind.CLOCK_DRIFT, Instrument.NIR, 31, size=300.0, ramp_s=60.0)
    assert _show(drift, NIR).source_time - _show(_sound(31), NIR).source_time == pytest.approx(
        155.0
    )


def test_the_plants_clock_takes_its_stamps_with_it_but_not_those_of_others() -> None:
    plant, sound = _with(FaultKind.CLOCK_OFFSET, Instrument.PLANT_CLOCK, size=-3600.0), _sound()
    for tag in (PLC.TIME, PLC.HB, MAIN, LEVEL):
        assert _show(plant, tag).source_time == _show(sound, tag).source_time - 3600.0
    assert _show(plant, PLC.TIME).value == plant.time - 3600.0
    assert _show(plant, NIR).source_time == _show(sound, NIR).source_time
    assert _show(plant, LAB.TAKEN).value == _show(sound, LAB.TAKEN).value
    assert plant.second == sound.second


def test_a_fault_ends_when_it_is_told_and_when_it_is_cleared() -> None:
    plant = _with(FaultKind.LOST, Instrument.NIR, 10, end=RUNNING_S + 15)
    assert _show(plant, NIR).status == SENSOR_FAILURE
    plant.advance(10)
    assert is_good(_show(plant, NIR).status)
    plant.faults.set(
        InstrumentFault(instrument=Instrument.NIR, kind=FaultKind.LOST, start=plant.second)
    )
    plant.advance(2)
    assert _show(plant, NIR).status == SENSOR_FAILURE
    plant.faults.clear(Instrument.NIR)
    plant.advance(2)
    assert is_good(_show(plant, NIR).status)


def _scripted(**more: Any) -> ScenarioConfig:
    event = InstrumentFails.model_validate(
        {"event": "instrument", "at": 0.5, "instrument": "nir", "fault": "lost", **more}
    )
    return scenario().model_copy(update={"events": (event,)})


def test_a_scenario_schedules_faults_by_shares_of_the_shift() -> None:
    faults = Faults(Noise(1), _scripted(over=0.1).schedule(30.0))
    assert faults.all == (
        InstrumentFault(instrument=Instrument.NIR, kind=FaultKind.LOST, start=1800, end=1980),
    )
    assert Faults(Noise(1), _scripted().schedule(30.0)).all[0].end is None
    drift = NirDrift.model_validate({"event": "nir_drift", "at": 0.1, "bias_percent": 1, "over": 1})
    other = scenario().model_copy(update={"events": (drift,)})
    assert Faults(Noise(1), other.schedule(30.0)).all == ()


@pytest.mark.parametrize("kind", [FaultKind.FROZEN, FaultKind.LOST])
def test_a_plant_that_resumes_goes_on_with_its_faults(kind: FaultKind, tmp_path: Path) -> None:
    plant = _plant(tmp_path)
    plant.advance(960)
    for instrument in (Instrument.PRE_FORCE, Instrument.LAB):
        plant.faults.set(InstrumentFault(instrument=instrument, kind=kind, start=plant.second))
    plant.advance(10)
    again = Plant.resume(line(), scenario(), run_dir=tmp_path, minutes=30.0)
    assert again.faults.all == plant.faults.all
    for p in (plant, again):
        p.advance(30)
    for tag in (PRE, LAB.ID, LAB.WEIGHT):
        assert _show(again, tag) == _show(plant, tag)
    json.dumps(again.faults.state())


@pytest.mark.parametrize("data_type", list(DataType))
def test_a_wrong_type_goes_over_the_link_as_it_is(data_type: DataType) -> None:
    variant = variant_of("7.25", data_type)
    assert payload_of(variant_from_binary(Buffer(variant_to_binary(variant)))) == "7.25"
