"""Back-off: the spread of the outputs, and zones tightened by it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.optimisation.backoff import (
    back_off,
    factor_of,
    output_spread,
    standard_deviations,
    zone_rows,
)
from controller.optimisation.problem import Zone
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.variables import Structure
from tests.controller.ocp_kit import fast_of, problem
from tests.controller.uncertain import FREE, NAMES, SIZE, covariance, factor

ROWS = list(range(len(OUTPUTS)))


@pytest.mark.parametrize("seed", [None, 3])
def test_the_factor_squares_to_the_covariance_and_leaves_out_what_is_known(
    seed: int | None,
) -> None:
    f, cov = factor(seed), covariance(seed)
    whole = np.vstack((f.x[FREE], f.p[:-1]))
    assert whole @ whole.T == pytest.approx(cov, rel=1e-9, abs=1e-15)
    assert not np.any(np.delete(f.x, FREE, axis=0))
    assert not np.any(f.p[-1])


def test_inflation_is_a_factor_on_the_covariance() -> None:
    plain, wide = (
        factor_of(covariance(1), FREE, len(NAMES), len(PARAMETERS), inflation=w) for w in (1.0, 4.0)
    )
    assert plain is not None and wide is not None
    assert wide.x == pytest.approx(2.0 * plain.x)
    assert wide.p == pytest.approx(2.0 * plain.p)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-4])
def test_a_covariance_that_is_none_has_no_factor(value: float) -> None:
    cov = covariance()
    cov[2, 2] = value
    assert factor_of(cov, FREE, len(NAMES), len(PARAMETERS)) is None


def test_a_covariance_that_rounding_made_indefinite_has_one() -> None:
    cov = covariance()
    cov[0, 1] = cov[1, 0] = np.sqrt(cov[0, 0] * cov[1, 1]) * (1.0 + 1e-12)
    f = factor_of(cov, FREE, len(NAMES), len(PARAMETERS))
    assert f is not None
    assert np.all(np.isfinite(f.x))


@pytest.mark.parametrize("structure", [Structure.CASCADE, Structure.REMOTE])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_spread_is_the_finite_difference_of_the_prediction(
    structure: Structure, seed: int
) -> None:
    p, fast, f = problem(seed, structure=structure), fast_of(structure=structure), factor(seed)
    moves = p.hold()
    spread = output_spread(fast.predict(p, moves), f, ROWS)
    scale = np.maximum(np.max(np.abs(spread), axis=(0, 2)), 1e-12)
    for column in range(0, SIZE, 4):
        step = 1e-4
        up, down = (
            fast.predict(
                replace(p, x0=p.x0 + s * f.x[:, column], p=p.p + s * f.p[:, column]), moves
            ).y.copy()
            for s in (step, -step)
        )
        change = (up - down).T / (2.0 * step)
        assert np.max(np.abs(change - spread[:, :, column]) / scale) < 1e-5


def test_its_standard_deviations_are_those_of_many_predictions() -> None:
    p, fast, f = problem(4), fast_of(), factor(4)
    sd = standard_deviations(output_spread(fast.predict(p, p.hold()), f, ROWS))
    rng, samples = np.random.default_rng(4), []
    for _ in range(1500):
        e = 0.2 * rng.standard_normal(SIZE)  # small: the formula is linear
        drawn = replace(p, x0=p.x0 + f.x @ e, p=p.p + f.p @ e)
        samples.append(fast.predict(drawn, p.hold()).y.copy())
    spread = np.std(samples, axis=0) / 0.2
    assert spread == pytest.approx(sd, rel=0.08, abs=1e-9)


def test_nothing_unknown_means_no_margin() -> None:
    p = problem(2)
    spread = output_spread(fast_of().predict(p, p.hold()), factor(scale=0.0), zone_rows(p.zones))
    zones, verdicts = back_off(p.zones, standard_deviations(spread), 1.645)
    assert verdicts == ()
    for zone, before in zip(zones, p.zones, strict=True):
        lower, upper = zone.limits
        assert np.all(lower == before.lo)
        assert np.all(upper == before.hi)


@given(
    st.floats(0.0, 5.0),
    st.lists(st.floats(0.0, 2.0), min_size=1, max_size=8),
    st.floats(-1.0, 1.0),
    st.floats(0.01, 2.0),
)
@settings(max_examples=100)
def test_a_zone_is_tightened_by_so_many_deviations_and_never_closes_beyond_its_middle(
    z: float, sd: list[float], lo: float, width: float
) -> None:
    zone = Zone("level", lo, lo + width, 0.1)
    (tight,), verdicts = back_off((zone,), np.array([sd]), z)
    lower, upper = tight.limits
    middle = lo + 0.5 * width
    for a, b, s in zip(lower, upper, sd, strict=True):
        assert lo <= a <= b <= lo + width
        assert a == pytest.approx(min(lo + z * s, middle))
        assert b == pytest.approx(max(lo + width - z * s, middle))
    closed = [j for j, s in enumerate(sd) if 2.0 * z * s >= zone.hi - zone.lo]
    if closed:
        assert verdicts == (f"back-off: the band of level closes at stage {closed[0]}",)
    else:
        assert verdicts == ()


def test_a_margin_ends_at_the_set_point_of_its_output() -> None:
    zone = Zone("level", 0.3, 0.8, 0.1)
    (tight,), verdicts = back_off((zone,), np.array([[0.05, 0.2, 9.0]]), 2.0, {"level": 0.45})
    assert verdicts == ()
    assert tight.limits[0] == pytest.approx([0.4, 0.45, 0.45])
    assert tight.limits[1] == pytest.approx([0.7, 0.65, 0.65])
    (other,), verdicts = back_off((zone,), np.array([[0.05, 9.0]]), 2.0, {"level": 0.2})
    assert other.limits[0] == pytest.approx([0.4, 0.55])
    assert verdicts == ("back-off: the band of level closes at stage 1",)


def test_one_sided_zones_never_close() -> None:
    zone = Zone("ejection_force", -1e9, 300.0, 30.0)
    (tight,), verdicts = back_off((zone,), np.array([[20.0, 400.0]]), 1.645)
    assert verdicts == ()
    assert tight.limits[1] == pytest.approx([300.0 - 32.9, 300.0 - 658.0])


def test_a_spread_that_is_not_finite_leaves_the_zone_as_it_is_and_is_told() -> None:
    zone = Zone("level", 0.3, 0.8, 0.1)
    (same,), verdicts = back_off((zone,), np.array([[0.01, np.nan]]), 1.645)
    assert same.limits == (0.3, 0.8)
    assert verdicts == ("back-off: level has none, its spread is not finite",)
