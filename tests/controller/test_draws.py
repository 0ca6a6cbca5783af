"""The draws: few, in pairs, where the outputs spread most; the same for the same estimate."""

from dataclasses import replace

import numpy as np
import pytest

from controller.data import Array
from controller.optimisation.backoff import output_spread
from controller.optimisation.draws import captured, sigma_points
from controller.optimisation.problem import TRACKED, Draws, OcpProblem, tracking
from controller.twin.core import OUTPUTS
from tests.controller.ocp_kit import fast_of, problem
from tests.controller.uncertain import FREE, factor

ROWS = [OUTPUTS.index(n) for n in TRACKED]


def spread_of(p: OcpProblem, seed: int | None = None) -> Array:
    out = fast_of().predict(p, p.hold())
    return output_spread(out, factor(seed), ROWS) / p.weights.tracked[:, None]


def mean_cost(p: OcpProblem, draws: Draws) -> float:
    """Tracking terms over draws and, with the weight that is left, the estimate."""
    total = (1.0 - np.sum(draws.weights)) * tracking(p, fast_of().predict(p, p.hold()).y)
    for x0, q, weight in zip(draws.x0, draws.p, draws.weights, strict=True):
        y = fast_of().predict(replace(p, x0=x0, p=q), p.hold()).y
        total += weight * tracking(p, y)
    return float(total)


def random_draws(p: OcpProblem, e: Array, scale: float) -> Draws:
    f = factor(4, scale)
    return Draws(p.x0 + e @ f.x.T, p.p + e @ f.p.T, np.full(len(e), 1.0 / len(e)))


@pytest.mark.parametrize("seed", [None, 5])
def test_their_mean_is_the_estimate_and_their_covariance_its_in_the_leading_directions(
    seed: int | None,
) -> None:
    p, f = problem(1), factor(seed)
    spread = spread_of(p, seed)
    d = sigma_points(p, f, spread, 8)
    rest = 1.0 - np.sum(d.weights)
    assert rest == pytest.approx(d.weights[0])
    assert d.weights @ d.x0 + rest * p.x0 == pytest.approx(p.x0, rel=1e-12)
    assert d.weights @ d.p + rest * p.p == pytest.approx(p.p, rel=1e-12, abs=1e-15)
    off = np.hstack((d.x0[:, FREE] - p.x0[FREE], d.p - p.p))
    cov = off.T @ (d.weights[:, None] * off)
    flat = spread.reshape(-1, spread.shape[2])
    _, v = np.linalg.eigh(flat.T @ flat)
    lead = np.vstack((f.x[FREE], f.p)) @ v[:, -4:]
    known = np.sqrt(np.diag(lead @ lead.T)) < 1e-12
    scale = np.where(known, 1.0, np.sqrt(np.diag(lead @ lead.T)))
    expected = lead @ lead.T / np.outer(scale, scale)
    assert cov / np.outer(scale, scale) == pytest.approx(expected, abs=1e-9)


def test_they_are_the_same_every_time_and_come_in_pairs() -> None:
    p, spread = problem(2), spread_of(problem(2), 2)
    a, b = (sigma_points(p, factor(2), spread, 8) for _ in range(2))
    assert np.array_equal(a.x0, b.x0) and np.array_equal(a.p, b.p)
    assert a.p[:4] - p.p == pytest.approx(-(a.p[4:] - p.p), rel=1e-9, abs=1e-15)


def test_an_odd_number_is_rounded_down_and_there_are_no_more_than_two_per_direction() -> None:
    p, spread = problem(2), spread_of(problem(2))
    assert sigma_points(p, factor(), spread, 7).weights.size == 6
    assert sigma_points(p, factor(), spread, 1).weights.size == 0
    assert sigma_points(p, factor(), spread, 400).weights.size == 2 * spread.shape[2]


def test_masses_and_fractions_stay_positive() -> None:
    p = problem(2)
    d = sigma_points(p, factor(scale=100.0), spread_of(p), 8)
    assert np.all(d.x0 > 0.0)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_eight_of_them_hold_most_of_the_outputs_variance(seed: int | None) -> None:
    share = captured(spread_of(problem(3), seed), 8)
    assert 0.9 < share <= 1.0
    assert captured(spread_of(problem(3), seed), 4) < share
    assert captured(np.zeros((3, 2, 5)), 8) == 1.0


def test_they_tell_the_mean_cost_better_than_as_many_random_draws() -> None:
    """Nearer to it than nine in ten sets of eight, every other one made of antithetic pairs.

    Deviations are small, so that the mean is known: the estimate's cost and the outputs' variance.
    """
    p, scale = problem(4), 0.2
    spread = scale * spread_of(p, 4)
    base = tracking(p, fast_of().predict(p, p.hold()).y)
    added = float(np.sum(spread**2)) / p.grid.stages
    ours = mean_cost(p, sigma_points(p, factor(4, scale), spread, 8)) - base - added
    rng, errors = np.random.default_rng(4), []
    for k in range(100):
        half = rng.standard_normal((4, spread.shape[2]))
        e = np.concatenate((half, -half)) if k % 2 else rng.standard_normal((8, spread.shape[2]))
        errors.append(abs(mean_cost(p, random_draws(p, e, scale)) - base - added))
    assert abs(ours) < 0.1 * added
    assert abs(ours) < np.quantile(errors[1::2], 0.1)
    assert abs(ours) < np.quantile(errors[::2], 0.1)
    assert np.median(errors) > 0.3 * added
