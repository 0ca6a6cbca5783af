"""Where the straight model ends: steps of the strength far from the operating point."""

import numpy as np
import pytest

from tests.controller.steps import Shift, run_steps

STEPS = {2.0: 1.85, 10.0: 2.8, 17.0: 2.25}  # minutes of closed loop -> MPa
MINUTES = 24.0


def _run(algorithm: str, seed: int) -> Shift:
    return run_steps(MINUTES, STEPS, seed, scenario="shift", algorithm=algorithm)


def _mean_weight_error(shift: Shift) -> float:
    """Of the 60 s means, % of the set point, from the second minute on."""
    return 100.0 * float(np.nanmean(np.abs(shift.weight_error(60.0))))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_far_from_its_operating_point_the_straight_model_pays_in_weight(seed: int) -> None:
    """Within the shift's script the two are equals; here the gains are not what they were."""
    linear, nonlinear = (_mean_weight_error(_run(name, seed)) for name in ("lmpc", "nmpc"))
    assert nonlinear < linear
    assert linear < 1.0
