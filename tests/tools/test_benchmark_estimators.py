"""The comparison of estimators: what it counts, and what a gross error is."""

import numpy as np
import pytest

from controller.data import CV
from plant_models.signals import MV
from tools.benchmarks import REGISTRY
from tools.benchmarks.estimators import (
    CASES,
    ESTIMATORS,
    Recording,
    _better,
    _case,
    _medians,
    _record,
    run_estimators,
)

CVS = [CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value, CV.POTENCY.value]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return _record(31, 6.0)


def test_gross_errors_are_rare_large_and_the_same_every_time(recording: Recording) -> None:
    plain, spoilt, again = (_case(recording, c) for c in (CASES[0], CASES[1], CASES[1]))
    tag = f"{MV.FILL_DEPTH}/FBK"
    ratio = np.array(
        [
            s.measurements[tag].value / p.measurements[tag].value
            for s, p in zip(spoilt, plain, strict=True)
        ]
    )
    wrong = np.abs(ratio - 1.0) > 1e-9
    assert 0 < wrong.sum() < 0.06 * wrong.size
    np.testing.assert_allclose(np.abs(ratio[wrong] - 1.0), 0.04, rtol=1e-9)
    assert [s.measurements[tag].value for s in again] == [s.measurements[tag].value for s in spoilt]


def test_without_its_marker_a_lot_is_the_old_one(recording: Recording) -> None:
    assert len({v.lots for v in _case(recording, CASES[0])}) == 2
    assert len({v.lots for v in _case(recording, CASES[2])}) == 1


def test_medians_and_seeds_won_are_counted_by_case() -> None:
    def row(value: float) -> dict[str, float]:
        return dict.fromkeys(CVS, value)

    runs = {"gross errors": {"mhe": [row(1.0), row(2.0), row(3.0)], "ekf": [row(2.0)] * 3}}
    assert _medians(runs)["gross_errors"]["mhe"][CVS[0]] == 2.0
    assert _better(runs)["gross_errors"] == {"ekf": dict.fromkeys(CVS, 1)}


def test_the_linear_observer_follows_a_plant_that_it_does_not_know() -> None:
    found = run_estimators(None, seeds=(31,), minutes=20.0, names=("linear",))["estimators"]
    rmse = found["rmse"]["as_they_came"]["linear"]
    assert rmse[CV.TABLET_WEIGHT.value] < 1.5
    assert rmse[CV.POTENCY.value] < 0.6
    assert set(found["rmse"]) == {c.replace(" ", "_") for c in CASES}


def test_it_is_a_benchmark_by_its_name() -> None:
    assert "estimators" in REGISTRY
    assert ESTIMATORS[0] == "mhe"
