"""The feeder filter against a simulated feeder: mass, refill, gross errors, forecast.

The feeder is the equations of `plant_models.feeder` at 1 s, with flow noise, a drifting feed factor
and a noisy load cell, so that the true flow is known.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from controller.estimation.feeders import FeederEstimate, FeederFilter
from plant_models.config import FeederConfig
from plant_models.signals import RefillPhase
from tests.controller.kit import LINE, PERIOD
from tests.controller.line_data import Feeder

RATES = (2.0 / 3600.0, 17.8 / 3600.0, 0.2 / 3600.0)  # of API, filler, lubricant [kg/s]
FEEDERS = list(zip(LINE.line.feeders, RATES, strict=True))
NAMES = [f.role for f, _ in FEEDERS]


def _settled(f: FeederFilter, feeder: Feeder, cycles: int = 120) -> FeederEstimate:
    e = f.initial()
    for _ in range(cycles):
        feeder.cycle()
        e = f.update(e, feeder.weight(), feeder.shown_speed(), RefillPhase.NONE)
    return e


def _refill(
    f: FeederFilter, feeder: Feeder, e: FeederEstimate
) -> tuple[FeederEstimate, list[tuple[float, float]]]:
    """A refill and its settling; returns the estimate after it and (estimated, true) flows."""
    c, seen = feeder.config, []
    pouring = round(c.refill_time_s / PERIOD)
    for k in range(pouring):
        feeder.cycle(pouring=True, poured_s=k * PERIOD)
        e = f.update(e, None, feeder.shown_speed(), RefillPhase.ACTIVE)
        seen.append((e.flow, feeder.flow))
    for _ in range(round(c.settling_time_s / PERIOD)):
        feeder.cycle()
        e = f.update(e, feeder.weight(), feeder.shown_speed(), RefillPhase.SETTLING)
        seen.append((e.flow, feeder.flow))
    return e, seen


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_flow_adds_up_to_the_powder_that_left(
    config: FeederConfig, rate: float, seed: int
) -> None:
    """Over half an hour, to what one weighing before and one after would say."""
    feeder, f = Feeder(config, rate, seed=seed), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    start, counted = feeder.out, 0.0
    for _ in range(360):
        feeder.cycle()
        e = f.update(e, feeder.weight(), feeder.shown_speed(), RefillPhase.NONE)
        counted += e.flow * PERIOD
    noise = config.weight_noise_g * 1e-3
    assert abs(counted - (feeder.out - start)) < 4.0 * sqrt(2.0) * noise
    assert abs(counted - (feeder.out - start)) < 0.002 * (feeder.out - start)


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_the_deviation_of_the_feed_factor_is_found_with_an_honest_deviation(
    config: FeederConfig, rate: float
) -> None:
    """Within its 95 % interval in most of 40 runs, after ten minutes."""
    f, inside = FeederFilter(config, PERIOD), 0
    for seed in range(40):
        feeder = Feeder(config, rate, seed=seed, deviation=0.08 if seed % 2 else -0.08)
        e = _settled(f, feeder)
        inside += abs(e.deviation - feeder.deviation) < 1.96 * sqrt(e.p_ss)
        assert abs(e.deviation - feeder.deviation) < 0.03
    assert inside >= 34


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_through_a_refill_the_flow_is_the_models_and_the_content_the_cells_again(
    config: FeederConfig, rate: float
) -> None:
    feeder, f = Feeder(config, rate, overfeed=1.2), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    assert not e.frozen
    pouring = round(config.refill_time_s / PERIOD)
    e, seen = _refill(f, feeder, e)
    assert e.frozen
    noise = config.weight_noise_g * 1e-3
    assert abs(e.content - feeder.content) < 5.0 * noise
    blind = np.array(seen[:pouring])
    assert np.max(np.abs(blind[:, 0] / np.mean(blind[:, 1]) - 1.0)) < 0.05
    assert abs(np.mean(blind[:, 0]) / np.mean(blind[:, 1]) - 1.0) < 0.02
    seeing = np.array(seen[pouring + 1 :])
    assert abs(np.mean(seeing[:, 0]) / np.mean(seeing[:, 1]) - 1.0) < 0.02
    assert e.p_ss > 0.0


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_the_content_poured_in_is_never_taken_for_negative_flow(
    config: FeederConfig, rate: float
) -> None:
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e, seen = _refill(f, feeder, _settled(f, feeder))
    flows = np.array(seen)[:, 0]
    assert np.all(flows > 0.5 * rate)
    assert np.all(flows < 1.5 * rate)
    assert not f.update(e, feeder.weight(), feeder.speed, RefillPhase.NONE).frozen


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
@pytest.mark.parametrize("size", [-1.0, 1.0])
def test_a_spike_of_the_cell_moves_nothing(config: FeederConfig, rate: float, size: float) -> None:
    """The same data with and without one wrong weighing, 0.5 % of the hopper off."""
    results = []
    for spike in (0.0, size * 0.005 * config.hopper_kg):
        feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
        e, flows = _settled(f, feeder), []
        for k in range(24):
            feeder.cycle()
            shown = feeder.weight() + (spike if k == 6 else 0.0)
            e = f.update(e, shown, feeder.shown_speed(), RefillPhase.NONE)
            flows.append(e.flow)
        results.append((np.array(flows), e))
    (clean, a), (spiked, b) = results
    sd = config.weight_noise_g * 1e-3 * sqrt(2.0) / PERIOD + 0.02 * rate
    assert np.max(np.abs(spiked - clean)) < 5.0 * sd
    assert abs(b.deviation - a.deviation) < 0.01
    assert abs(b.content - a.content) < 4.0 * config.weight_noise_g * 1e-3
    assert b.doubts == 0


def _shifted(
    config: FeederConfig, rate: float, shift: float
) -> tuple[FeederEstimate, np.ndarray, np.ndarray, list[int]]:
    """A minute after the cell's zero moved by ``shift`` [kg]: flows over true ones, contents."""
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    flows, contents, doubts = [], [], []
    for _ in range(12):
        feeder.cycle()
        e = f.update(e, feeder.weight() + shift, feeder.shown_speed(), RefillPhase.NONE)
        flows.append(e.flow / feeder.flow)
        contents.append(e.content - feeder.content - shift)
        doubts.append(e.doubts)
    assert abs(e.deviation - feeder.deviation) < 0.04
    return e, np.array(flows), np.array(contents), doubts


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
@pytest.mark.parametrize("share", [-0.02, 0.02])
def test_a_shifted_zero_of_the_cell_is_accepted_after_some_patience(
    config: FeederConfig, rate: float, share: float
) -> None:
    """And, larger than anything the screw can have done, never read as powder."""
    e, flows, contents, doubts = _shifted(config, rate, share * config.hopper_kg)
    noise = config.weight_noise_g * 1e-3
    assert doubts[:2] == [1, 0]
    assert np.max(np.abs(contents[1:])) < 5.0 * noise
    assert np.max(np.abs(flows - 1.0)) < 5.0 * sqrt(2.0) * noise / PERIOD / rate + 0.08
    assert e.doubts == 0


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_powder_that_did_not_flow_is_seen_one_cycle_late_and_booked(
    config: FeederConfig, rate: float
) -> None:
    """A screw that misses 80 % of one cycle's powder (bridging): the mass adds up again."""
    missing = 0.8 * rate * PERIOD
    noise = config.weight_noise_g * 1e-3
    _, flows, contents, doubts = _shifted(config, rate, missing)
    assert doubts[0] in (0, 1)
    assert np.max(np.abs(contents[1:])) < 5.0 * noise
    booked = float(np.sum(flows - 1.0)) * rate * PERIOD
    assert booked == pytest.approx(-missing, abs=6.0 * noise + 0.1 * missing)


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_without_a_cell_the_flow_is_the_models_and_less_is_known_of_it(
    config: FeederConfig, rate: float
) -> None:
    """A feeder that runs volumetrically the whole time."""
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    before, sd = e.p_ss, []
    for _ in range(120):
        feeder.cycle()
        e = f.update(e, None, feeder.shown_speed(), RefillPhase.NONE)
        sd.append(e.flow_sd)
        assert e.flow == pytest.approx(feeder.flow, rel=0.08)
    assert e.p_ss > 2.0 * before
    assert np.all(np.diff(sd) > -0.01 * rate)
    assert sd[-1] > 1.1 * sd[0]


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_the_forecast_at_the_start_of_a_refill_is_what_then_comes(
    config: FeederConfig, rate: float
) -> None:
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    feeder.cycle(pouring=True)
    e = f.update(e, None, feeder.shown_speed(), RefillPhase.ACTIVE)
    ahead = f.forecast(e, rate, 60)
    left = config.refill_time_s - PERIOD + config.settling_time_s
    assert abs(sum(ahead.frozen) * PERIOD - left) <= PERIOD
    assert ahead.frozen == tuple(sorted(ahead.frozen, reverse=True))
    true = []
    for k in range(sum(ahead.frozen)):
        pouring = (k + 1) * PERIOD < config.refill_time_s
        feeder.cycle(pouring=pouring, poured_s=(k + 1) * PERIOD)
        true.append(feeder.flow)
    expected = np.array(ahead.flow[: len(true)])
    assert abs(np.mean(expected) / np.mean(true) - 1.0) < 0.02
    assert np.max(np.abs(expected / np.array(true) - 1.0)) < 0.06
    surplus = np.array(ahead.deviation[len(true) :])
    assert np.all(np.abs(np.diff(np.abs(surplus))) <= np.abs(surplus[:-1]) + 1e-12)
    assert abs(surplus[-1]) < 0.1 * abs(surplus[0]) + 1e-6


def test_a_feeder_in_gravimetric_control_is_forecast_at_its_set_point() -> None:
    config, rate = FEEDERS[0]
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    ahead = f.forecast(e, rate, 40)
    assert not any(ahead.frozen)
    assert abs(ahead.deviation[-1]) < 0.01
    assert ahead.deviation[0] == pytest.approx(f.smooth_flow(e) / rate - 1.0, abs=1e-9)


def _stop(
    f: FeederFilter, feeder: Feeder, e: FeederEstimate, standing: int, late: int
) -> tuple[FeederEstimate, list[FeederEstimate]]:
    """The line stands for ``standing`` cycles; screws start ``late`` seconds into a cycle."""
    speed, seen = feeder.speed, []
    for goal, cycles in ((0.0, standing), (speed, 24)):
        feeder.goal, feeder.late = goal, late
        for _ in range(cycles):
            feeder.cycle()
            e = f.update(e, feeder.weight(), feeder.shown_speed(), RefillPhase.NONE)
            seen.append(e)
    return e, seen


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
@pytest.mark.parametrize("standing", [2, 12, 240])
@pytest.mark.parametrize("late", [0, 2, 4])
def test_a_stop_of_the_line_teaches_nothing_about_the_feed_factor(
    config: FeederConfig, rate: float, standing: int, late: int
) -> None:
    """Starting and stopping screws deliver less than their speed afterwards says."""
    for seed in range(6):
        feeder, f = Feeder(config, rate, seed=seed), FeederFilter(config, PERIOD)
        e = _settled(f, feeder)
        left = feeder.out
        e, seen = _stop(f, feeder, e, standing, late)
        counted = sum(s.flow for s in seen) * PERIOD
        noise = config.weight_noise_g * 1e-3
        assert counted == pytest.approx(feeder.out - left, abs=5.0 * noise + 0.01 * rate * PERIOD)
        bound = 0.03 + 4.0 * sqrt(e.p_ss)
        assert max(abs(s.deviation - feeder.deviation) for s in seen) < bound
        assert sum(s.doubts for s in seen[standing + 2 :]) == 0


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
def test_a_screw_that_stands_leaves_what_is_known_of_its_feed_factor(
    config: FeederConfig, rate: float
) -> None:
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    feeder.goal = 0.0
    known = []
    for _ in range(120):
        feeder.cycle()
        shown = feeder.speed if feeder.speed > 1e-4 else 0.0
        e = f.update(e, feeder.weight(), shown, RefillPhase.NONE)
        known.append(e.p_ss)
    assert known[-1] <= known[10] < 2.0 * known[0]


@pytest.mark.parametrize(("config", "rate"), FEEDERS, ids=NAMES)
@pytest.mark.parametrize("error", [-0.3, -0.12, 0.12, 0.3])
def test_a_wrong_feed_factor_that_was_thought_certain_is_learnt_anew(
    config: FeederConfig, rate: float, error: float
) -> None:
    """Else every weight is doubted, and every second one believed as powder, for ever."""
    feeder, f = Feeder(config, rate), FeederFilter(config, PERIOD)
    e = _settled(f, feeder)
    e = replace(e, deviation=e.deviation + error, p_ss=1e-6, p_ws=0.0)
    for _ in range(180):
        feeder.cycle()
        e = f.update(e, feeder.weight(), feeder.shown_speed(), RefillPhase.NONE)
    assert abs(e.deviation - feeder.deviation) < 0.04
    assert (e.doubts, e.believed) == (0, 0)


def test_the_same_data_give_the_same_bits() -> None:
    config, rate = FEEDERS[1]
    runs = []
    for _ in range(2):
        feeder, f = Feeder(config, rate, seed=7), FeederFilter(config, PERIOD)
        runs.append(_refill(f, feeder, _settled(f, feeder))[0])
    assert runs[0] == runs[1]
