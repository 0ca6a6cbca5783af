"""Slow faults of instruments are named by what contradicts them; what the process does is not."""

from __future__ import annotations

import copy
from functools import cache

import pytest

from controller.measurement.ne107 import DEFECTS, Defect, DefectAction, Ne107
from controller.measurement.signatures import judge
from controller.measurement.slow import shifts
from controller.measurement.slow_tables import EJECTION, PRESS
from controller.measurement_config import MeasurementConfig
from plant_models.signals import LineState, RefillPhase
from tests.controller.measurement.kit import EJECTION as EJECTION_TAG
from tests.controller.measurement.kit import LEVEL, MAIN, NIR, PRE, Bench
from tests.controller.measurement.slow_kit import CELLS, SlowLine

API, FILLER, LUBRICANT = CELLS
LEARNT_MIN = 40.0


@cache
def _learnt(seed: int) -> SlowLine:
    line = SlowLine(seed=seed)
    assert line.go(LEARNT_MIN) == {}
    return line


def _line(seed: int = 1) -> SlowLine:
    return copy.deepcopy(_learnt(seed))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("tag", [MAIN, PRE, NIR, API, FILLER, LUBRICANT])
def test_an_instrument_that_steps_by_five_percent_is_named_with_its_error(
    tag: str, sign: float
) -> None:
    line = _line()
    line.errors[tag] = 0.05 * sign
    found = line.go(30.0)
    assert list(found) == [tag]
    percent = float(found[tag].text.split()[1])
    assert percent == pytest.approx(5.0 * sign, abs=1.5)


@pytest.mark.parametrize("tag", [MAIN, PRE, NIR, API, FILLER])
def test_drift_of_six_percent_per_hour_is_found_within_the_hour(tag: str) -> None:
    line = _line(2)
    for k in range(12):
        line.errors[tag] = 0.005 * (k + 1)
        found = line.go(5.0)
    assert tag in found
    assert {DEFECTS[f.defect].category for f in found.values()} <= {
        Ne107.MAINTENANCE,
        Ne107.OUT_OF_SPEC,
    }


def test_a_cell_that_drifts_like_its_feed_factor_blames_nobody() -> None:
    """The lubricant's share is too small for balance and NIR: cell or powder, nobody knows."""
    line = _line()
    for k in range(12):
        line.errors[LUBRICANT] = 0.005 * (k + 1)
        assert line.go(5.0) == {}


def test_without_ejection_force_both_forces_are_in_doubt() -> None:
    line = _line()
    line.errors[PRE] = -0.06
    assert list(line.go(30.0)) == [PRE]
    blind = shifts(line.slow.sampled, 4.0)
    del blind[EJECTION]
    assert set(judge(blind, PRESS, line.config.slow.press_sampled).tags) == {MAIN, PRE}


@pytest.mark.parametrize(
    "change",
    [
        {"material": 0.2},
        {"material": -0.2},
        {"lubricated": 0.016},
        {"fed": {1: 0.05}},
        {"fed": {2: -0.05}},
        {"fed": {3: 0.08}},
        {"fed": {1: 0.08, 2: -0.08}, "lots": ("B", "G", "L")},
    ],
)
def test_what_the_process_does_names_nobody(change: dict[str, object]) -> None:
    line = _line(3)
    for name, value in change.items():
        setattr(line, name, value)
    for _ in range(12):
        assert line.go(5.0) == {}


def test_powder_filled_in_by_hand_is_no_fault_of_the_cell() -> None:
    line = _line()
    line.added = [0.2, 0.8, 0.05]
    for _ in range(8):
        assert line.go(5.0) == {}


def test_a_weight_that_steps_with_its_feed_factor_is_named_before_the_powder_arrives() -> None:
    line = _line()
    line.errors[LUBRICANT] = 0.03
    assert line.go(2.0) == {}
    assert list(line.go(5.0)) == [LUBRICANT]
    line.errors[LUBRICANT] = 0.0
    assert line.go(10.0) == {}


def test_stops_and_refills_name_nobody() -> None:
    line = _line()
    for k in range(12):
        line.state = LineState.HELD
        line.go(1.0 + k % 3)
        line.state = LineState.RUNNING
        line.refills = (RefillPhase.ACTIVE, RefillPhase.NONE, RefillPhase.SETTLING)
        line.contents = [3.4, 14.0, 0.7]
        line.go(1.0)
        line.refills = (RefillPhase.NONE,) * 3
        assert line.go(6.0) == {}


def test_a_start_from_empty_begins_anew() -> None:
    line = _line()
    line.state = LineState.STARTING
    line.errors |= {NIR: 0.1, MAIN: 0.1}
    line.next()
    assert line.slow.tracks == {}
    line.state = LineState.RUNNING
    for _ in range(12):
        assert line.go(5.0) == {}


def test_a_step_of_the_level_is_found_and_its_way_back_too() -> None:
    line = _line()
    line.errors[LEVEL] = -0.12
    found = line.go(5.0)
    assert list(found) == [LEVEL]
    assert "-" in found[LEVEL].text
    line.errors[LEVEL] = 0.0
    assert line.go(5.0) == {}


def test_of_a_healthy_line_nothing_is_said_in_five_hours() -> None:
    line = _line(4)
    for _ in range(60):
        assert line.go(5.0) == {}


@pytest.mark.parametrize("size", [0.08, -0.08])
def test_a_main_force_that_quality_cannot_bear_is_lost(size: float) -> None:
    line = _line()
    line.errors[MAIN] = size
    found = line.go(30.0)
    assert list(found) == [MAIN]
    assert (found[MAIN].defect, found[MAIN].share) == (Defect.TWIN, 0.0)


def test_in_doubt_it_is_the_main_force_that_is_lost() -> None:
    """Without the ejection force nothing tells the two apart."""
    line = SlowLine(without=frozenset({EJECTION_TAG}))
    assert line.go(LEARNT_MIN) == {}
    line.errors[MAIN] = 0.09
    found = line.go(30.0)
    assert (found[MAIN].defect, found[MAIN].share) == (Defect.TWIN, 0.0)
    assert (found[PRE].defect, found[PRE].share) == (Defect.DISPUTED, 1.0)
    assert "cannot be told apart" in found[MAIN].text


@pytest.mark.parametrize(("tag", "share"), [(API, 0.0), (FILLER, 0.0), (LUBRICANT, 1.0)])
def test_a_cell_that_makes_the_potency_wrong_is_lost(tag: str, share: float) -> None:
    line = _line()
    line.errors[tag] = 0.06
    found = line.go(30.0)
    assert list(found) == [tag]
    assert found[tag].share == share
    line.errors[tag] = 0.036
    assert line.go(30.0)[tag].share == share, "well inside, not just inside"
    line.errors[tag] = 0.0
    assert line.go(60.0) == {}


def test_switched_off_or_not_learnt_it_says_nothing() -> None:
    line = SlowLine(errors={NIR: 0.1, MAIN: 0.1})
    assert line.go(60.0) == {}
    assert DEFECTS[Defect.DISPUTED].action is DefectAction.USE
    assert MeasurementConfig().slow.enabled


def test_what_somebody_has_vouched_for_is_learnt_anew() -> None:
    """In the whole assessment: held by the ladder, then released, though it still reads wrong."""
    bench = Bench().warm(320)
    assert "nir" in shifts_of(bench)
    bench.plant.values[NIR] = 95.0
    bench.warm(140)
    assert NIR in bench.state.opinion.shown[2].tags
    bench.held = frozenset({NIR})
    bench.next()
    assert NIR in bench.state.opinion.shown[2].tags
    bench.held = frozenset()
    bench.next()
    assert bench.state.opinion.shown[2].tags == ()
    assert "nir" not in shifts_of(bench)


def test_the_slow_opinion_tells_a_load_cell_from_the_nir_that_it_deceives() -> None:
    bench = Bench().warm(320)
    bench.plant.values["Line/Feeder1/ScrewSpeed/PV"] *= 0.95  # type: ignore[operator]
    bench.plant.values[NIR] *= 0.955  # type: ignore[operator]
    bench.warm(140)
    assert bench.report.signals[NIR].category is Ne107.GOOD
    assert bench.report.signals[API].category is not Ne107.GOOD


def shifts_of(bench: Bench) -> dict[str, float]:
    """Shifts of a bench whose references are known."""
    return shifts(bench.state.slow.tracks, bench.config.slow.learn_s)
