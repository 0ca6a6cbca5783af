"""The two forces are compared for the tablet that is made, whatever the set points."""

from dataclasses import replace
from math import log

import pytest

from controller.data import Measurement, Validated, Verdict
from controller.measurement.redundancy import Comparison, Residuals, follow
from controller.measurement.second_opinion import opinions
from controller.measurement_config import MeasurementConfig
from plant_models.line import compaction, press_parameters
from plant_models.tablet_press import compress_at_force
from tests.controller.kit import LINE, Loop

MAIN, PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
THICKNESS = "Line/Press/Thickness/FBK"
CONFIG = MeasurementConfig()
MINUTES = 10


def pre_force(main: float, thickness: float) -> float:
    made = compress_at_force(press_parameters(LINE), compaction(LINE.blend), main, thickness)
    return float(made.pre_force)


def seen(main: float, thickness: float, factor: float, time: float) -> Validated:
    """A cycle of a press whose pre-compression force is ``factor`` off what belongs to the rest."""
    loop = Loop()
    found = loop.cycle().record.validated
    assert found is not None
    values = {MAIN: main, PRE: factor * pre_force(main, thickness), THICKNESS: thickness}
    measured = {
        tag: Measurement(value=v, weight=1.0, verdict=Verdict.USE, reason="", source_time=time)
        for tag, v in values.items()
    }
    return replace(found, time=time, measurements={**found.measurements, **measured})


def shift_after_a_move(*, with_model: bool, factor: float = 1.0) -> float:
    """Shift of the comparison after a long time at one thickness and a minute at another."""
    before, after = seen(7.0e3, 3.15e-3, 1.0, 0.0), seen(8.6e3, 3.02e-3, factor, 0.0)
    r, time = Residuals(), 0.0
    model = pre_force if with_model else None
    for k in range(12 * MINUTES + 12):
        time += 5.0
        now = before if k < 12 * MINUTES else after
        r = follow(r, replace(now, time=time), CONFIG, frozenset(), model)
    return r.forces.shift


def test_a_move_of_force_and_thickness_is_no_disagreement() -> None:
    limit = CONFIG.forces.drift_percent / 100.0
    assert abs(shift_after_a_move(with_model=True)) < 0.1 * limit
    assert abs(shift_after_a_move(with_model=False)) > limit


def test_a_transducer_that_is_wrong_is_still_seen_after_a_move() -> None:
    limit = CONFIG.forces.lost_percent / 100.0
    found = shift_after_a_move(with_model=True, factor=1.15)
    assert limit < found < log(1.15) * 1.01


def test_a_force_that_no_tablet_meets_says_nothing() -> None:
    r = Residuals()
    for time in (5.0, 10.0):
        r = follow(r, seen(7.0e3, 3.15e-3, 1.0, time), CONFIG, frozenset(), pre_force)
    r = follow(r, seen(7.0e3, 3.15e-3, 1.0, 15.0), CONFIG, frozenset(), lambda main, at: 0.0)
    assert r.forces.last == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("ejection", "blamed"),
    [(-0.08, MAIN), (-0.02, MAIN), (-0.005, PRE), (0.0, PRE), (0.04, PRE)],
)
def test_in_doubt_it_is_the_main_force_whose_loss_sheds(ejection: float, blamed: str) -> None:
    def off(shift: float) -> Comparison:
        return Comparison(reference=0.0, filtered=shift, last=shift, learnt=1e6)

    found = opinions(Residuals(forces=off(-0.07), ejection=off(ejection)), CONFIG)
    assert [tag for tag, finding in found.items() if finding.share == 0.0] == [blamed]
