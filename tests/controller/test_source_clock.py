"""Clocks of sources: an hour, a drift and nonsense, at the NIR and at the at-line tester."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import SourceClockConfig, ValidationConfig
from controller.data import Verdict
from controller.source_clock import ClockState, LabClock, credible, place_lab, track
from controller.validation import POTENCY
from plant_models.signals import LAB
from tests.controller.kit import PERIOD
from tests.controller.measurement.kit import Bench

NIR_CLOCK = SourceClockConfig(age_max_s=60.0)
LAB_CLOCK = SourceClockConfig(age_max_s=900.0)
HOUR = 3600.0
AGE = 10.0


def _run(offsets: list[float]) -> list[tuple[float, str]]:
    """Age of each reading by our clock, and what is said; one reading per cycle."""
    clock, now, seen = ClockState(), 0.0, []
    for offset in offsets:
        now += PERIOD
        clock, time, said = track(clock, NIR_CLOCK, now - AGE + offset, now)
        seen.append((now - time, said))
    return seen


def test_a_clock_that_is_right_is_used_as_it_is() -> None:
    assert _run([0.0] * 50) == [(AGE, "")] * 50
    assert [age for age, _ in _run([3.0, -40.0, 0.0])] == [AGE - 3.0, AGE + 40.0, AGE]


@pytest.mark.parametrize("jump", [HOUR, -HOUR, HOUR + 250.0, 280.0])
def test_a_jump_is_corrected_at_the_third_reading_and_taken_back_when_it_ends(jump: float) -> None:
    seen = _run([0.0] * 10 + [jump] * 20 + [0.0] * 20)
    assert [abs(age - AGE) > 60.0 for age, _ in seen[10:14]] == [True, True, False, False]
    assert all(age == pytest.approx(AGE) for age, _ in seen[13:30])
    assert seen[20][1] == f"source clock off by {jump:+.0f} s, corrected"
    assert all(age == pytest.approx(AGE) for age, _ in seen[33:])
    assert seen[-1][1] == ""


@pytest.mark.parametrize("end", [300.0, -300.0])
def test_a_clock_that_drifts_is_followed(end: float) -> None:
    seen = _run([end * k / 600 for k in range(600)])
    used = [-NIR_CLOCK.ahead_max_s <= age <= NIR_CLOCK.age_max_s for age, _ in seen]
    assert sum(used) >= len(used) - 3
    assert seen[-1][0] == pytest.approx(AGE, abs=30.0)


@pytest.mark.parametrize("offset", [2000.0, -2000.0, 3.0 * HOUR, 1e6])
def test_a_clock_that_is_wrong_beyond_belief_is_not_corrected(offset: float) -> None:
    seen = _run([0.0] * 5 + [offset] * 30)
    assert all(abs(age - AGE) > 1000.0 for age, _ in seen[5:])
    assert not credible(offset, NIR_CLOCK)


def test_a_clock_that_stands_is_not_corrected() -> None:
    clock, now = ClockState(), 0.0
    for _ in range(100):
        now += PERIOD
        clock, time, said = track(clock, NIR_CLOCK, 0.0, now)
        assert (time, said) == (0.0, "")


def test_times_that_jump_about_are_not_corrected() -> None:
    seen = _run([0.0] * 5 + [HOUR, -HOUR] * 10)
    assert all(said == "" for _, said in seen)


@given(st.lists(st.floats(-1e7, 1e7), max_size=40))
def test_no_reading_is_ever_moved_by_more_than_belief_allows(offsets: list[float]) -> None:
    clock, now = ClockState(), 0.0
    for offset in offsets:
        now += PERIOD
        clock, _, _ = track(clock, NIR_CLOCK, now + offset, now)
        assert clock.offset == 0.0 or credible(clock.offset, NIR_CLOCK)
        assert isnan(clock.age) or -5.0 <= clock.age <= 60.0


def _samples(offsets: list[float]) -> list[tuple[float | None, str]]:
    """How far each sample lies from where it was really taken."""
    clock, now, seen = LabClock(), 0.0, []
    for offset in offsets:
        now += 300.0
        clock, time = place_lab(clock, LAB_CLOCK, now - 120.0 + offset, now)
        seen.append((None if time is None else time - (now - 120.0), clock.text))
    return seen


def test_samples_lie_where_the_tester_says_while_that_is_credible() -> None:
    assert _samples([0.0, 5.0, -3.0, 0.0]) == [(0.0, ""), (5.0, ""), (-3.0, ""), (0.0, "")]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_an_hour_of_daylight_saving_is_taken_out_at_once(jump: float) -> None:
    seen = _samples([0.0, 0.0, jump, jump, 0.0])
    assert [error for error, _ in seen] == pytest.approx([0.0] * 5, abs=1.0)
    assert seen[2][1] == f"source clock off by {jump:+.0f} s, corrected"
    assert seen[-1][1] == ""


def test_even_the_first_sample_may_be_an_hour_off() -> None:
    assert _samples([HOUR])[0][0] == pytest.approx(0.0)


@pytest.mark.parametrize("end", [300.0, -300.0])
def test_a_drifting_tester_is_placed_by_when_its_results_come(end: float) -> None:
    seen = _samples([end * k / 20 for k in range(21)])
    errors = [abs(error) for error, _ in seen if error is not None]
    assert len(errors) == 21
    assert max(errors) <= 120.0
    assert errors[-1] <= 60.0
    assert "corrected" in seen[-1][1]


def test_one_late_result_is_no_drift() -> None:
    seen = _samples([0.0, 0.0, -200.0, 0.0])
    assert [error for error, _ in seen] == pytest.approx([0.0, 0.0, -200.0, 0.0])
    assert all(text == "" for _, text in seen)


@pytest.mark.parametrize("offset", [2000.0, -2000.0, 1e6])
def test_a_sample_of_nowhere_is_dropped(offset: float) -> None:
    error, text = _samples([0.0, offset])[1]
    assert error is None
    assert text.startswith("source clock off by")


def test_the_whole_way_through_validation() -> None:
    """Daylight saving at the NIR: three readings are lost, then it is used and marked."""
    bench = Bench().warm(10)
    bench.plant.stale[POTENCY] = AGE
    bench.warm(10)
    bench.plant.stale[POTENCY] = AGE - HOUR
    seen = [bench.next().measurements[POTENCY] for _ in range(6)]
    assert [m.weight for m in seen] == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert seen[-1].verdict is Verdict.USE
    assert bench.report.signals[POTENCY].category == "maintenance required"
    assert seen[-1].source_time == pytest.approx(bench.plant.time - AGE)


def test_a_corrected_sample_is_reported_until_the_clock_is_right() -> None:
    bench = Bench().warm(10)
    for number, offset, category in ((1, 0.0, None), (2, HOUR, "maintenance"), (3, 0.0, None)):
        bench.plant.lab(number, bench.plant.time + PERIOD - 120.0 + offset, (200.0,) * 3)
        samples = bench.next().samples
        assert samples[0].taken == pytest.approx(bench.plant.time - 120.0, abs=1.0)
        for _ in range(4):
            bench.next()
        health = bench.report.signals.get(LAB.TAKEN)
        if category is None:
            assert health is None
        else:
            assert health is not None
            assert health.category.startswith(category)


def test_a_limit_of_nothing_corrects_only_whole_hours() -> None:
    config = ValidationConfig(nir_clock=SourceClockConfig(age_max_s=60.0, correct_max_s=0.0))
    assert credible(HOUR, config.nir_clock)
    assert not credible(HOUR + 1.0, config.nir_clock)
