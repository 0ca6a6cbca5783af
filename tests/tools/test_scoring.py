"""Scores on logs whose result can be worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from controller.data import CV
from plant_models.config import ProductConfig
from tools.scoring import (
    EstimateLog,
    Specification,
    TabletLog,
    TruthLog,
    out_of_specification,
    score_estimates,
    score_tablets,
    score_truth,
    specification,
    trailing_mean,
)

TARGETS = {
    CV.POTENCY.value: 1.0,
    CV.TABLET_WEIGHT.value: 200e-6,
    CV.TENSILE_STRENGTH.value: 2.25e6,
    CV.THROUGHPUT.value: 20.0 / 3600.0,
}
PER_SECOND = 10


@pytest.fixture(scope="module")
def spec(root: Path) -> Specification:
    text = (root / "configs/products/reference_tablet.yaml").read_text("utf-8")
    return specification(ProductConfig.model_validate(yaml.safe_load(text)))


def _set_points(seconds: int) -> dict[str, np.ndarray]:
    return {name: np.full(seconds, value) for name, value in TARGETS.items()}


def _log(
    seconds: int,
    *,
    weight: float | np.ndarray = 200e-6,
    strength: float | np.ndarray = 2.25e6,
    assay: float | np.ndarray = 1.0,
    tablet_weights: np.ndarray | None = None,
    released: bool = True,
) -> TruthLog:
    """Tablets that equal the mean of their second, unless their weights are given."""
    ones = np.ones(seconds)
    row = np.repeat(np.arange(seconds), PER_SECOND)
    w, s, a = weight * ones, strength * ones, assay * ones
    count = np.full(seconds, PER_SECOND)
    return TruthLog(
        time=np.arange(1.0, seconds + 1.0),
        weight=w,
        strength=s,
        assay=a,
        potency=ones,
        throughput=ones * TARGETS[CV.THROUGHPUT.value],
        main_force=7.25e3 * ones,
        level=0.5 * ones,
        thickness=3.32e-3 * ones,
        made=count,
        rejected=0 * count,
        diverted=0 * count if released else count,
        released=count if released else 0 * count,
        tablets=TabletLog(
            row=row,
            weight=w[row] if tablet_weights is None else tablet_weights,
            strength=s[row],
            assay=a[row],
            released=np.full(row.size, released),
        ),
    )


def test_the_moving_mean_looks_back_and_leaves_out_gaps() -> None:
    values = np.array([1.0, 3.0, np.nan, 5.0, 7.0])
    np.testing.assert_allclose(trailing_mean(values, 2), [1.0, 2.0, 3.0, 5.0, 6.0])
    gap = trailing_mean(np.array([np.nan, np.nan, 2.0]), 2)
    assert np.isnan(gap[:2]).all()
    assert gap[2] == 2.0


def test_a_tablet_on_its_limit_is_good_and_beyond_it_is_not(spec: Specification) -> None:
    bad = out_of_specification(
        spec,
        np.array([190e-6, 189.9e-6, 200e-6, 200e-6, 210.1e-6]),
        np.array([2.25e6, 2.25e6, 1.69e6, 2.25e6, 2.25e6]),
        np.array([1.0, 1.0, 1.0, 1.051, 1.0]),
    )
    assert bad.tolist() == [False, True, True, True, True]


def test_an_offset_is_excess_and_scatter_is_floor(spec: Specification) -> None:
    """8 % scatter alone breaks the limit on every tenth tablet; an offset of 6 % breaks all."""
    seconds = 300
    pattern = np.full(PER_SECOND, 200e-6)
    pattern[0], pattern[1] = 216e-6, 184e-6
    scatter = np.tile(pattern, seconds)
    counts = score_tablets(_log(seconds, tablet_weights=scatter), spec, TARGETS, start=101.0)
    assert counts["made"] == seconds * PER_SECOND
    assert counts["out_of_spec"] == counts["floor"] == 2 * 200
    assert counts["excess"] == 0
    shifted = _log(seconds, weight=212e-6, tablet_weights=scatter * 1.06)
    counts = score_tablets(shifted, spec, TARGETS, start=101.0)
    # 184 mg becomes 195 mg and passes by luck; the other nine of ten do not.
    assert counts["out_of_spec"] == 9 * 200
    assert counts["floor"] == 2 * 200
    assert counts["excess"] == 7 * 200
    assert counts["released_out_of_spec"] == counts["out_of_spec"]


def test_diverted_tablets_are_out_of_spec_but_not_released(spec: Specification) -> None:
    counts = score_tablets(_log(100, weight=180e-6, released=False), spec, TARGETS, start=1.0)
    assert counts["out_of_spec"] == 1000
    assert counts["diverted"] == 1000
    assert counts["released"] == counts["released_out_of_spec"] == 0


def test_integral_error_of_a_step_of_the_set_point(spec: Specification) -> None:
    """A set point 20 % up that is never followed costs 20/1.2 % of it for its share of time."""
    log, set_points = _log(400), _set_points(400)
    name = CV.THROUGHPUT.value
    set_points[name][300:] *= 1.2
    scores = score_truth(log, spec, set_points, start=201.0)
    assert scores[name]["iae_norm"] == pytest.approx(100.0 * (0.2 / 1.2) * 0.5)
    assert scores[name]["rmse"] == pytest.approx(4.0 * np.sqrt(0.5))
    assert scores[name]["time_out_of_spec_s"] == 100.0
    assert scores[CV.TABLET_WEIGHT.value]["iae_norm"] == pytest.approx(0.0, abs=1e-9)


def test_the_window_leaves_out_what_was_before_it(spec: Specification) -> None:
    weight = np.where(np.arange(400) < 100, 150e-6, 202e-6)
    scores = score_truth(_log(400, weight=weight), spec, _set_points(400), start=201.0)
    assert scores[CV.TABLET_WEIGHT.value]["iae_norm"] == pytest.approx(1.0)
    assert scores[CV.TABLET_WEIGHT.value]["rmse"] == pytest.approx(2.0)
    assert scores[CV.TABLET_WEIGHT.value]["time_out_of_spec_s"] == 0.0


def test_alternating_jitter_leaves_the_integral_error_at_zero(spec: Specification) -> None:
    jitter = 200e-6 * (1.0 + 0.01 * (-1.0) ** np.arange(400))
    scores = score_truth(_log(400, weight=jitter), spec, _set_points(400), start=101.0)
    assert scores[CV.TABLET_WEIGHT.value]["iae_norm"] == pytest.approx(0.0, abs=1e-9)


def test_estimates_are_held_against_the_tablets_of_their_own_cycle() -> None:
    """Weight steps with each cycle; an estimate of the right cycle is exact, half miss by 1 mg."""
    weight = np.repeat(np.arange(20) * 1e-6 + 200e-6, 5)
    log = _log(100, weight=weight)
    time = np.arange(5.0, 101.0, 5.0)
    offset = np.where(np.arange(20) % 2 == 0, 0.0, 1e-6)
    name = CV.TABLET_WEIGHT.value
    estimates = EstimateLog(
        time=time,
        mean={name: weight[4::5] + offset},
        half_width={name: np.full(20, 0.5e-6)},
    )
    scores = score_estimates(log, estimates, 5.0, start=0.0)
    assert list(scores) == [name]
    assert scores[name]["coverage_95"] == pytest.approx(0.5)
    assert scores[name]["rmse"] == pytest.approx(np.sqrt(0.5))
    assert scores[name]["half_width"] == pytest.approx(0.5)
    assert scores[name]["sharpness"] == pytest.approx(0.5 / (1.96 * np.sqrt(0.5)))
    part = score_estimates(log, estimates, 5.0, start=5.0, end=6.0)
    assert part[name]["coverage_95"] == pytest.approx(1.0)
