"""Spread of forecasts: against draws of the twin, refills, lots, the PLC's level loop, the plan."""

from dataclasses import replace

import numpy as np
import pytest

from controller.estimation.estimator import EstimatorState
from controller.optimisation.feed_doubt import FeedDoubt
from controller.optimisation.outlook import SPREAD_OF, Outlook
from controller.twin.core import OUTPUTS, PARAMETERS
from tests.controller.kit import LINE
from tests.controller.optimisation.outlook_kit import (
    LEVEL,
    calm,
    covariance,
    scatter_of,
    simulate,
    spread_of,
    state_of,
)
from tests.controller.twin_data import PERIOD, estimator
from tests.controller.uncertain import FREE

THROUGHPUT = OUTPUTS.index("throughput")
NOTHING = np.zeros_like(covariance())


def deviations(
    state: EstimatorState, *, steered: bool = False, follows: bool = False, **changes: object
) -> dict[str, np.ndarray]:
    found = Outlook(estimator()).deviations(
        replace(calm(), **changes),  # type: ignore[arg-type]
        state,
        steered=steered,
        follows=follows,
    )
    assert found is not None
    return found


@pytest.mark.parametrize("follows", [False, True])
def test_the_spread_is_that_of_many_lines_drawn_from_the_estimate_and_the_noise(
    follows: bool,
) -> None:
    seed, rng, p = 2, np.random.default_rng(5), calm()
    found = deviations(state_of(covariance(seed)), follows=follows)
    drawn = spread_of([simulate(p, rng, seed=seed, follows=follows) for _ in range(200)])
    scatter = scatter_of(simulate(p, rng, seed=None)[:, -1])
    for name in ("potency", "level", "log_weight", "throughput", "thickness"):
        expected = np.hypot(drawn[name], scatter.get(name, 0.0))
        for k in (3, 11, 23, 35, 47):
            assert found[name][k] == pytest.approx(expected[k], rel=0.2), (name, k)


def test_powder_that_is_not_fed_yet_makes_potency_less_certain_as_it_arrives() -> None:
    found = deviations(state_of(NOTHING))["potency"]
    assert np.all(np.diff(found) >= 0.0)
    assert found[0] < 1e-5
    assert found[47] > 10.0 * found[11] > 0.0


def test_a_refill_to_come_counts_with_the_surplus_that_it_brings() -> None:
    full, low = deviations(state_of(NOTHING)), deviations(state_of(NOTHING, full=False))
    assert low["potency"][8] == pytest.approx(full["potency"][8], abs=2e-4)
    api, p = LINE.feeder_index("api"), calm()
    rates = p.previous[0] * np.array([0.10, 0.89, 0.01])
    courses = FeedDoubt(LINE.line.feeders, PERIOD).refills(
        state_of(NOTHING, full=False).feeders, rates, np.zeros(3), PERIOD * (np.arange(48) + 0.5)
    )
    rng, added = np.random.default_rng(0), []
    for i in range(3):
        feed = np.zeros((3, 48))
        feed[i] = courses[1, i]
        added.append(simulate(p, rng, seed=None, feed=feed) - simulate(p, rng, seed=None))
    assert added[api][OUTPUTS.index("potency"), -1] > 0.005
    for name in ("potency", "level"):
        row = OUTPUTS.index(name)
        expected = np.sqrt(full[name] ** 2 + sum(a[row] ** 2 for a in added))
        assert low[name][[35, 47]] == pytest.approx(expected[[35, 47]], rel=0.1), name


def test_a_refill_that_goes_on_is_less_sure_than_none_and_comes_to_its_end() -> None:
    doubt, times = FeedDoubt(LINE.line.feeders, PERIOD), np.arange(2.5, 240.0, 5.0)
    rates = np.array([5.6e-4, 5e-3, 5.6e-5])
    feeders = state_of(NOTHING).feeders
    none = doubt.refills(feeders, rates, np.zeros(3), times)
    on = doubt.refills(feeders, rates, np.array([60.0, 0.0, 0.0]), times)
    assert not np.any(none) and not np.any(on[:, 1:]) and not np.any(on[1])
    assert on[0, 0, 0] == on[0, 0, 10] > 0.015
    assert on[0, 0, -1] < 0.1 * on[0, 0, 0]
    frozen = calm().known.copy()
    frozen[0, :12], frozen[1, :12] = 1.0, 5.6e-4
    wide = deviations(state_of(NOTHING), known=frozen)["potency"]
    assert wide[47] > 1.2 * deviations(state_of(NOTHING))["potency"][47]


def test_a_new_lot_makes_tablets_less_certain_when_it_reaches_the_dies_not_before() -> None:
    cov = NOTHING.copy()
    k = FREE.size + PARAMETERS.index("lot_scale")
    cov[k, k] = 0.15**2
    before = deviations(state_of(NOTHING, lot_share=1.0))["log_weight"]
    found = deviations(state_of(cov, lot_share=1.0))["log_weight"]
    assert found[5] == pytest.approx(before[5], rel=0.02)
    assert found[47] > 3.0 * before[47]
    rest = deviations(state_of(cov, lot_share=0.0))["log_weight"]
    assert rest == pytest.approx(before)


def test_the_level_loop_goes_on_in_the_forecast_without_moves() -> None:
    p = calm()
    x0 = p.x0.copy()
    x0[1] *= 1.10
    p, rng = replace(p, x0=x0), np.random.default_rng(0)
    held = simulate(p, rng, seed=None)
    moved = simulate(p, rng, seed=None, follows=True)
    change, faster = Outlook(estimator()).followed(
        p, held[LEVEL], float(held[LEVEL, 0]), float(held[THROUGHPUT, 0])
    )
    assert moved[LEVEL, -1] < held[LEVEL, -1] - 0.005
    assert held[LEVEL] + change == pytest.approx(moved[LEVEL], abs=0.002)
    assert held[THROUGHPUT] * (1.0 + faster) == pytest.approx(moved[THROUGHPUT], rel=0.001)


def test_it_stops_where_the_turret_may_not_go_further() -> None:
    p = calm()
    hi = p.hi.copy()
    hi[4] = p.previous[4] * 1.001
    level = np.full(p.grid.stages, 0.9)
    _, faster = Outlook(estimator()).followed(replace(p, hi=hi), level, 0.9, 5e-3)
    assert np.max(faster) == pytest.approx(0.001)


def test_the_plan_s_replies_keep_what_moves_reach_as_certain_as_it_is_now() -> None:
    state = state_of(covariance(2), full=False)
    free, steered = deviations(state), deviations(state, steered=True)
    for name in ("log_weight", "log_strength", "throughput"):
        assert np.ptp(steered[name]) == 0.0
        assert free[name][-1] > steered[name][-1]
    assert steered["potency"][-1] < free["potency"][-1]
    assert steered["log_main_force"][-1] > free["log_main_force"][-1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_covariance_that_is_none_gives_no_spread(value: float) -> None:
    cov = covariance()
    cov[0, 0] = value
    outlook, p = Outlook(estimator()), calm()
    assert outlook.deviations(p, state_of(cov), steered=False, follows=True) is None
    lost = replace(state_of(cov), solution=None)
    assert outlook.deviations(p, lost, steered=True, follows=False) is None


def test_every_output_has_a_spread_at_every_stage() -> None:
    found = deviations(state_of(covariance(1)))
    assert tuple(found) == SPREAD_OF
    assert all(v.shape == (48,) and np.all(v > 0.0) for v in found.values())
