"""A line that stands gives no samples: the laboratory is not lost for that."""

from dataclasses import replace

import pytest

from controller.data import LabSample, Validated
from controller.ladder_config import LadderConfig
from controller.measurement.health import HealthReport
from controller.supervision.ladder import LadderReport, LadderState, climb
from tests.controller.kit import LINE, PERIOD, Loop

CONFIG = LadderConfig()


def _after(standing_s: int, running_s: int) -> LadderReport:
    """A sample, 100 s of running, a stop, and running again without a sample."""
    validated = Loop().cycle().record.validated
    assert validated is not None
    taken = validated.time
    sample = LabSample(number=1, taken=taken, weights=(), thicknesses=(), forces=())
    state, report, time = LadderState(), LadderReport(), taken
    for phase, seconds in ((True, 100), (False, standing_s), (True, running_s)):
        for _ in range(seconds // PERIOD):
            time += PERIOD
            new = (sample,) if time == taken + PERIOD else ()
            now: Validated = replace(validated, time=time, samples=new)
            state, report = climb(
                state,
                now,
                HealthReport(),
                CONFIG,
                time=time,
                line_running=phase,
                diameter=LINE.product.diameter_mm * 1e-3,
            )
    return report


@pytest.mark.parametrize(("running_s", "lost"), [(420, False), (500, True)])
def test_after_a_stop_the_wait_for_a_sample_begins_anew(running_s: int, lost: bool) -> None:
    assert any(loss.name == "lab" for loss in _after(200, running_s).lost) is lost
