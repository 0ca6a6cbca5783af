from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plc.loops import fill_step, gravimetric_step, level_filter, level_step, rate_set_points
from hil.plc.ramps import aim, ramp
from hil.plc.refill import refill_step, volumetric
from hil.plc.state import FeederState, LevelState, MvState
from hil.readings import Reading
from plant_models.signals import BAD, MV, RefillPhase
from tests.hil.plc_kit import parameters, running_state

P = parameters()


@settings(max_examples=100)
@given(
    act=st.floats(0.0, 1.0),
    value=st.floats(allow_nan=False, allow_infinity=False),
    steps=st.integers(1, 50),
    tag=st.sampled_from(sorted(P.limits)),
)
def test_a_ramp_never_leaves_its_range_nor_exceeds_its_rate(
    act: float, value: float, steps: int, tag: str
) -> None:
    limit = P.limits[tag]
    mv = MvState(
        act=limit.lo + act * (limit.hi - limit.lo), target=limit.lo + act * (limit.hi - limit.lo)
    )
    mv = aim(limit, mv, value)
    for _ in range(steps):
        after = ramp(limit, mv)
        assert abs(after.act - mv.act) <= limit.rate * (1 + 1e-9)
        assert limit.lo - 1e-12 <= after.act <= limit.hi + 1e-12
        mv = after


def test_the_ratio_station_balances_with_the_filler() -> None:
    state = running_state()
    rates = rate_set_points(P, state.mvs, state.feeders)
    assert sum(rates) * 3600.0 == pytest.approx(20.0)
    assert rates[P.api] * 3600.0 == pytest.approx(2.0)
    assert rates[P.lubricant] * 3600.0 == pytest.approx(0.2)


def test_a_refilling_feeder_keeps_its_rate_and_the_filler_makes_up_for_it() -> None:
    state = running_state()
    feeders = list(state.feeders)
    feeders[P.api] = replace(feeders[P.api], frozen_rate=2.1 / 3600.0)
    rates = rate_set_points(P, state.mvs, feeders)
    assert rates[P.api] * 3600.0 == pytest.approx(2.1)
    assert sum(rates) * 3600.0 == pytest.approx(20.0)


def test_a_refill_that_began_at_a_standstill_does_not_starve_the_line_that_goes_on() -> None:
    state, low = running_state(), replace(running_state().feeders[P.api], rate=0.0, speed=0.0)
    feeders = [low if i == P.api else f for i, f in enumerate(state.feeders)]
    good, empty = Reading(0.7, 0, 0.0), Reading(0.5, 0, 0.0)
    levels = [empty if i == P.api else good for i in range(3)]
    for _ in range(10):
        feeders = list(refill_step(P.feeders, feeders, levels))
    assert feeders[P.api].phase is RefillPhase.ACTIVE
    wanted = rate_set_points(P, state.mvs, running_state().feeders)[P.api]
    s = P.feeders[P.api]
    for _ in range(5):
        rate = rate_set_points(P, state.mvs, feeders)[P.api]
        assert rate == pytest.approx(wanted)
        feeders[P.api] = gravimetric_step(s, feeders[P.api], Reading(0.0, BAD, 0.0), rate, on=True)
        assert feeders[P.api].speed == pytest.approx(wanted / feeders[P.api].feed_factor)
    assert feeders[P.api].frozen_rate == pytest.approx(wanted)


def _run_feeder(index: int, factor: float, seconds: int, rate: float) -> tuple[FeederState, float]:
    """A feeder whose screw delivers ``factor`` times what its controller thinks."""
    s = P.feeders[index]
    f = FeederState(feed_factor=s.start_feed_factor)
    window: list[float] = []
    for _ in range(seconds):
        size = int(s.loop.period)
        mean = sum(window[-size:]) / size if len(window) >= size else 0.0
        reading = Reading(mean, 0 if len(window) >= size else BAD, 0.0)
        f = gravimetric_step(s, f, reading, rate, on=True)
        window.append(f.speed * s.start_feed_factor * factor)
    return f, window[-1]


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_the_gravimetric_loop_learns_the_feed_factor(index: int, factor: float) -> None:
    rate = P.shares[index] * 20.0 / 3600.0
    seconds = 12 * int(P.feeders[index].loop.period)
    f, flow = _run_feeder(index, factor, seconds, rate)
    assert flow == pytest.approx(rate, rel=1e-3)
    assert f.feed_factor == pytest.approx(P.feeders[index].start_feed_factor * factor, rel=1e-3)


def test_a_new_rate_is_fed_forward_at_the_learnt_factor_at_once() -> None:
    s = P.feeders[0]
    f = FeederState(feed_factor=s.start_feed_factor, speed=1.0, rate=5e-4)
    after = gravimetric_step(s, f, Reading(0.0, BAD, 0.0), 6e-4, on=True)
    assert after.speed * s.start_feed_factor == pytest.approx(6e-4)


@pytest.mark.parametrize("phase", [RefillPhase.ACTIVE, RefillPhase.SETTLING])
def test_the_screw_is_volumetric_during_refill_and_settling(phase: RefillPhase) -> None:
    s = P.feeders[0]
    f = FeederState(feed_factor=s.start_feed_factor, speed=0.7, rate=5e-4, phase=phase, window_s=99)
    after = gravimetric_step(s, f, Reading(9e-4, 0, 0.0), 5e-4, on=True)
    assert after.speed == 0.7
    assert after.feed_factor == f.feed_factor
    assert after.window_s == 0


def test_a_wild_flow_reading_moves_the_screw_by_a_fifth_at_most() -> None:
    s = P.feeders[0]
    f = FeederState(
        feed_factor=s.start_feed_factor,
        speed=5e-4 / s.start_feed_factor,
        rate=5e-4,
        window_s=int(s.loop.period),
        rate_sum=5e-4 * s.loop.period,
    )
    after = gravimetric_step(s, f, Reading(1.0, 0, 0.0), 5e-4, on=True)
    assert after.speed == pytest.approx(0.8 * f.speed)


@settings(max_examples=60)
@given(
    starts=st.lists(st.floats(0.3, 0.9), min_size=3, max_size=3),
    uses=st.lists(st.floats(1e-4, 5e-3), min_size=3, max_size=3),
    blind=st.booleans(),
)
def test_never_two_feeders_at_once_and_every_request_is_served(
    starts: list[float], uses: list[float], blind: bool
) -> None:
    levels = list(starts)
    feeders = tuple(FeederState(feed_factor=1.0) for _ in P.feeders)
    waited = [0, 0, 0]
    for _ in range(900):
        shown = [
            Reading(v, BAD if blind and f.phase is RefillPhase.ACTIVE else 0, 0.0)
            for v, f in zip(levels, feeders, strict=True)
        ]
        feeders = refill_step(P.feeders, feeders, shown)
        assert sum(volumetric(f.phase) for f in feeders) <= 1
        for i, (f, s) in enumerate(zip(feeders, P.feeders, strict=True)):
            waited[i] = waited[i] + 1 if f.phase is RefillPhase.REQUEST else 0
            inflow = (s.refill_to - s.refill_from) / s.refill_time
            levels[i] += (inflow if f.phase is RefillPhase.ACTIVE else 0.0) - 0.01 * uses[i]
            assert levels[i] <= max(starts[i], s.refill_to + 0.6)
    longest = sum(1.5 * s.refill_time + s.settling_time for s in P.feeders) + 10
    assert max(waited) <= longest


def test_a_spike_of_the_load_cell_starts_no_refill() -> None:
    feeders = tuple(FeederState(feed_factor=1.0) for _ in P.feeders)
    for value in (0.7, 0.1, 0.7, 0.1, 0.1, 0.7):
        feeders = refill_step(P.feeders, feeders, [Reading(value, 0, 0.0)] * 3)
    assert all(f.phase is RefillPhase.NONE for f in feeders)


def _fill(force: float, revolution: int = 2, active: bool = True) -> float:
    state = running_state()
    before = state.mvs[MV.FILL_DEPTH].act
    _, after = fill_step(P, state.force, state.mvs, Reading(force, 0, 0.0), revolution, active)
    return after.act - before


def test_the_force_loop_corrects_once_per_revolution_in_whole_steps() -> None:
    set_point = running_state().mvs[MV.MAIN_FORCE].act
    assert _fill(1.03 * set_point) < 0.0 < _fill(0.97 * set_point)
    assert _fill(0.97 * set_point, revolution=1) == 0.0
    assert _fill(1.001 * set_point) == 0.0
    assert _fill(0.5 * set_point) == pytest.approx(P.force_loop.step_max)
    assert _fill(0.97 * set_point, active=False) == 0.0
    steps = _fill(0.97 * set_point) / P.force_loop.step_min
    assert steps == pytest.approx(round(steps))


def test_a_bad_force_moves_nothing() -> None:
    state = running_state()
    _, after = fill_step(P, state.force, state.mvs, Reading(0.0, BAD, 0.0), 2, True)
    assert after == state.mvs[MV.FILL_DEPTH]


def test_a_spike_of_the_level_is_not_seen() -> None:
    level = LevelState(window=(0.5,) * 5, level=0.5, feed=5e-3)
    for value in (0.9, 0.9, 0.5):
        level = level_filter(P, level, Reading(value, 0, 0.0), 5e-3)
    assert level.level == 0.5


@pytest.mark.parametrize("follower", [MV.TURRET_SPEED, MV.TOTAL_FEED])
@pytest.mark.parametrize("mismatch", [-0.03, 0.03])
@pytest.mark.parametrize("start", [0.35, 0.5, 0.75])
def test_the_level_loop_brings_the_level_back(follower: str, mismatch: float, start: float) -> None:
    """Chute and blender as first-order balances; the press takes 3 % more or less."""
    mvs = dict(running_state().mvs)
    feed = mvs[MV.TOTAL_FEED].act
    level, held, blended = LevelState(window=(start,) * 5, level=start, feed=feed), start, feed
    first = mvs[follower].act
    seen = []
    for second in range(3600):
        level = level_filter(P, level, Reading(held, 0, 0.0), mvs[MV.TOTAL_FEED].act)
        level, output = level_step(P, level, mvs, follower)
        assert output is not None
        if second == 0:
            assert output == pytest.approx(first, rel=2e-3)
        mvs[follower] = ramp(P.limits[follower], aim(P.limits[follower], mvs[follower], output))
        blended += (mvs[MV.TOTAL_FEED].act - blended) / P.feed_lag
        pressed = mvs[MV.TURRET_SPEED].act * P.press.stations * P.weight * (1.0 + mismatch)
        held += (blended - pressed) / 0.6
        seen.append(held)
    assert min(seen) > 0.30 and max(seen) < 0.87
    assert held == pytest.approx(0.5, abs=0.03)
