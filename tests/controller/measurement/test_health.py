"""Health of measurements: each defect has its category and action, and healthy data none."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.data import Verdict
from controller.measurement.health import HealthState, assess
from controller.measurement.ne107 import DEFECTS, Defect, DefectAction, Ne107, defect_of
from controller.measurement_config import MeasurementConfig
from controller.validation import ValidationState, Validator
from plant_models.signals import BAD, LAB, MV, UNCERTAIN, PlcMode, Snapshot, Value
from tests.controller.kit import PERIOD, START, TABLE, controller_config
from tests.controller.measurement.kit import (
    API,
    FILLER,
    LEVEL,
    MAIN,
    NIR,
    PRE,
    Bench,
    estimate,
)


def test_every_defect_has_a_row_and_worse_categories_never_keep_their_weight() -> None:
    assert set(DEFECTS) == set(Defect)
    for row in DEFECTS.values():
        if row.category in (Ne107.CHECK, Ne107.FAILURE):
            assert row.action is DefectAction.SUBSTITUTE
        assert not (row.certain and row.action is not DefectAction.SUBSTITUTE)


@pytest.mark.parametrize(
    ("reason", "defect"),
    [
        ("", Defect.NONE),
        ("refill", Defect.CONTEXT),
        ("press stands", Defect.CONTEXT),
        ("no new reading", Defect.NOT_NEW),
        ("no value", Defect.NO_VALUE),
        ("wrong type: str", Defect.TYPE),
        ("bad status", Defect.BAD_STATUS),
        ("not a number", Defect.NOT_A_NUMBER),
        ("100 s old", Defect.STALE),
        ("3600 s in the future", Defect.CLOCK),
        ("source clock off by +3600 s, corrected", Defect.CLOCK_CORRECTED),
        ("source clock off by -2000 s", Defect.CLOCK),
        ("outside 0.1..20", Defect.RANGE),
        ("frozen for 12 readings", Defect.FROZEN),
        ("spike: 3 from the median 7", Defect.SPIKE),
        ("slope above 0.1 per second", Defect.RATE),
        ("uncertain status", Defect.UNCERTAIN),
    ],
)
def test_what_validation_found_is_taken_over(reason: str, defect: Defect) -> None:
    assert defect_of(reason) is defect


def test_a_reason_that_nobody_classified_is_an_error() -> None:
    with pytest.raises(ValueError, match="not classified: 'because'"):
        defect_of("because")


def test_healthy_readings_are_good_and_keep_their_weight() -> None:
    bench = Bench(estimate=estimate()).warm()
    seen = bench.next()
    assert bench.report.worst is Ne107.GOOD
    assert bench.report.not_good() == ()
    assert {m.weight for m in seen.measurements.values()} == {1.0}


def _two(bench: Bench, tag: str, value: object, times: int = 3) -> tuple[Any, Any]:
    for _ in range(times - 1):
        bench.read(tag, value)
    return bench.read(tag, value)


@pytest.mark.parametrize(
    ("value", "defect", "category"),
    [
        (None, Defect.NO_VALUE, Ne107.FAILURE),
        ("7.25", Defect.TYPE, Ne107.FAILURE),
        (True, Defect.TYPE, Ne107.FAILURE),
        ((7.25,), Defect.TYPE, Ne107.FAILURE),
        (math.nan, Defect.NOT_A_NUMBER, Ne107.FAILURE),
        (math.inf, Defect.NOT_A_NUMBER, Ne107.FAILURE),
        (-3.0, Defect.RANGE, Ne107.FAILURE),
        (7250.0, Defect.UNIT, Ne107.CHECK),
        (0.725, Defect.UNIT, Ne107.CHECK),
    ],
)
def test_a_value_that_is_none_has_no_weight(value: object, defect: Defect, category: Ne107) -> None:
    m, health = _two(Bench().warm(), MAIN, value)
    assert (m.weight, m.verdict) == (0.0, Verdict.DROP)
    assert (health.defect, health.category) == (defect, category)
    assert health.action is DefectAction.SUBSTITUTE
    assert health.text


def test_a_bad_status_is_a_failure_at_once_and_an_uncertain_one_out_of_specification() -> None:
    bench = Bench().warm()
    bench.plant.status[MAIN] = BAD
    bench.next()
    assert bench.report.signals[MAIN].category is Ne107.FAILURE
    bench.plant.status[MAIN] = UNCERTAIN
    m = [bench.next().measurements[MAIN] for _ in range(4)][-1]
    health = bench.report.signals[MAIN]
    assert m.weight == 0.25
    assert (health.category, health.action) == (Ne107.OUT_OF_SPEC, DefectAction.DOWN_WEIGHT)


def test_a_reading_that_gets_old_is_a_failure() -> None:
    bench = Bench().warm()
    bench.plant.stale[LEVEL] = 100.0
    for _ in range(4):
        bench.next()
    assert bench.report.signals[LEVEL].defect is Defect.STALE
    assert bench.report.signals[LEVEL].category is Ne107.FAILURE


def test_one_odd_reading_is_left_out_and_is_no_message() -> None:
    bench = Bench().warm()
    m, health = bench.read(MAIN, 12.5)
    assert (m.weight, health.defect, health.category) == (0.0, Defect.SPIKE, Ne107.GOOD)
    m, health = bench.read(MAIN, 7.25)
    assert (m.weight, health.defect) == (1.0, Defect.NONE)


def test_a_dead_instrument_is_found_before_its_value_is_old() -> None:
    bench = Bench().warm()
    bench.plant.noisy = False
    weights = [bench.read(MAIN, 7.26)[0].weight for _ in range(4)]
    assert weights == [1.0, 1.0, 0.0, 0.0]
    health = bench.report.signals[MAIN]
    assert (health.defect, health.category) == (Defect.FROZEN, Ne107.FAILURE)


def test_a_line_that_stands_freezes_nothing() -> None:
    bench = Bench().warm()
    bench.plant.values["Line/PLC/LINE_STATE"] = "held"
    bench.plant.noisy = False
    for _ in range(6):
        bench.next()
    assert bench.report.signals[MAIN].category is Ne107.GOOD
    assert bench.report.signals[LEVEL].category is Ne107.GOOD


def test_an_instrument_that_spikes_often_needs_maintenance_and_weighs_less() -> None:
    bench, draw = Bench().warm(), random.Random(1)
    used: list[float] = []
    for k in range(60):
        odd = k % 5 == 0
        value = 50.0 * (1.0 + (0.22 if odd else 0.0) + 0.001 * draw.gauss(0.0, 1.0))
        m, health = bench.read(LEVEL, value)
        if k > 40:
            used.append(m.weight)
            assert m.weight <= (0.0 if odd else 0.25)
    assert health.defect is Defect.SPIKING
    assert health.category is Ne107.MAINTENANCE
    assert max(used) == 0.25


def test_pounds_for_kilograms_are_told_from_a_hopper_that_changed() -> None:
    bench = Bench().warm()
    right = float(bench.plant.values[FILLER])  # type: ignore[arg-type]
    m, health = _two(bench, FILLER, right * 2.2046)
    assert (m.weight, health.defect) == (0.0, Defect.UNIT)
    assert "lb for kg" in health.text
    m, health = _two(bench, FILLER, right)
    assert (m.weight, health.category) == (1.0, Ne107.GOOD)


def test_far_from_the_twin_for_some_readings_has_no_weight() -> None:
    bench = Bench(estimate=estimate(level=0.5)).warm()
    weights = [bench.read(LEVEL, 50.0 + 3.5 * k)[0].weight for k in range(1, 9)]
    assert weights[0] == 1.0
    assert weights[-1] == 0.0
    assert bench.report.signals[LEVEL].defect is Defect.TWIN


def test_without_a_twin_nothing_is_overruled() -> None:
    bench = Bench(estimate=None).warm()
    weights = [bench.read(LEVEL, 50.0 + 3.5 * k)[0].weight for k in range(1, 9)]
    assert set(weights) == {1.0}


def test_a_refill_excuses_its_load_cell_and_no_other() -> None:
    bench = Bench().warm()
    bench.plant.values["Line/Feeder1/Refill/PV"] = "active"
    bench.plant.status[API] = bench.plant.status[FILLER] = BAD
    bench.next()
    assert bench.report.signals[API].defect is Defect.CONTEXT
    assert bench.report.signals[API].category is Ne107.GOOD
    assert bench.report.signals[FILLER].category is Ne107.FAILURE


def test_a_sample_of_the_wrong_type_is_said() -> None:
    bench = Bench().warm()
    bench.next({LAB.WEIGHT: "200.1"})
    assert bench.report.signals[LAB.WEIGHT].defect is Defect.TYPE
    assert bench.report.signals[LAB.WEIGHT].category is Ne107.FAILURE


def test_a_set_point_of_the_wrong_type_may_not_be_moved() -> None:
    bench = Bench().warm()
    for wrong in ("3.1", True, (3.1,)):
        seen = bench.next({f"{MV.THICKNESS}/ACT": wrong})
        assert not seen.available[MV.THICKNESS]
        assert seen.actual[MV.THICKNESS] == pytest.approx(3.084e-3, rel=1e-3)
        assert f"{MV.THICKNESS}/ACT" in seen.missing


def test_switched_off_it_changes_nothing() -> None:
    bench = Bench(config=MeasurementConfig(enabled=False)).warm(3)
    m = bench.next({MAIN: 7.3}).measurements[MAIN]
    assert m.weight == 1.0
    assert bench.report.signals == {}


_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=4),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1e3, 1e3),
    st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)),
)
_TAGS = (MAIN, PRE, LEVEL, NIR, API, FILLER, LAB.WEIGHT, LAB.TAKEN, LAB.ID)
_READING = st.tuples(
    st.sampled_from(_TAGS),
    _ANY,
    st.sampled_from([0, BAD, UNCERTAIN, 0x808C0000]),
    st.one_of(st.floats(-8000.0, 8000.0), st.just(0.0)),
)


@settings(max_examples=60)
@given(st.lists(st.lists(_READING, max_size=6), min_size=1, max_size=12), st.booleans())
def test_whatever_is_read_nothing_raises_and_no_weight_goes_to_what_is_no_number(
    cycles: list[list[tuple[str, Any, int, float]]], twin: bool
) -> None:
    validator = Validator(TABLE, controller_config().validation, PlcMode.CASCADE)
    checked, state = ValidationState(), HealthState()
    bench, config = Bench(), MeasurementConfig()
    for k, readings in enumerate(cycles):
        bench.plant.tick(PERIOD)
        snapshot = bench.plant.snapshot()
        values = dict(snapshot.values)
        for tag, value, status, age in readings:
            values[tag] = Value(value, status, START + 1000 + PERIOD * k - age)
        snapshot = Snapshot(time=snapshot.time, scan_id=k, values=values)
        validated, checked = validator.validate(snapshot, checked)
        seen, report, state = assess(
            validated, snapshot, state, config, estimate=estimate() if twin else None
        )
        for tag, m in seen.measurements.items():
            assert 0.0 <= m.weight <= validated.measurements[tag].weight
            assert m.weight == 0.0 or math.isfinite(m.value)
        assert all(s.defect in DEFECTS for s in report.signals.values())
