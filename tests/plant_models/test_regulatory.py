"""The PLC's loops: ratio station, gravimetric and force loop, level loop, ramps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.line import (
    ResolvedLine,
    force_loop,
    gravimetric_loops,
    level_loop,
    nominal_flow,
)
from plant_models.regulatory import (
    ForceLoop,
    GravimetricLoop,
    LevelLoop,
    feeder_rate_setpoints,
    force_loop_move,
    force_re_reference,
    force_slope,
    gravimetric_move,
    level_loop_output,
    limit_move,
)
from plant_models.tablet_press import (
    Compaction,
    PressParameters,
    compress_at_fill,
    fill_depth_for_weight,
    force_at_weight,
    weight_at_force,
)

LOOP = ForceLoop(gain=0.7, deadband=7e-6, step_min=10e-6, step_max=50e-6)
LEVEL = LevelLoop(set_point=0.5, gain=0.5, integral_time=600.0)

numbers = st.floats(-1e6, 1e6)


# ratio station


@given(
    total=st.floats(1e-3, 1e-2),
    api=st.floats(0.0, 0.3),
    lubricant=st.floats(0.0, 0.05),
    frozen=st.tuples(st.none() | st.floats(0.0, 1e-3), st.none() | st.floats(0.0, 1e-4)),
)
def test_rates_add_up_to_the_total_feed(
    total: float,
    api: float,
    lubricant: float,
    frozen: tuple[float | None, float | None],
) -> None:
    rates = feeder_rate_setpoints(total, [api, None, lubricant], [frozen[0], None, frozen[1]])
    assert all(r >= 0.0 for r in rates)
    assert sum(rates) == pytest.approx(max(total, rates[0] + rates[2]), rel=1e-12)
    for i, (held, share) in enumerate(zip(frozen, (api, lubricant), strict=True)):
        assert rates[2 * i] == pytest.approx(total * share if held is None else held)


def test_a_frozen_filler_keeps_its_rate() -> None:
    rates = feeder_rate_setpoints(5e-3, [0.1, None, 0.01], [None, 4e-3, None])
    assert rates == pytest.approx([5e-4, 4e-3, 5e-5])


def test_the_filler_never_runs_backwards() -> None:
    assert feeder_rate_setpoints(1e-3, [0.1, None, 0.01], [2e-3, None, None])[1] == 0.0


# gravimetric loop


@given(
    rate=st.floats(1e-5, 1e-2),
    flow=st.floats(1e-5, 1e-2),
    gain=st.floats(0.05, 1.0),
    feed_factor=st.floats(1e-4, 1e-2),
)
def test_the_gravimetric_loop_removes_its_share_of_the_error(
    rate: float, flow: float, gain: float, feed_factor: float
) -> None:
    move = gravimetric_move(GravimetricLoop(gain=gain, period=10.0), rate, flow, feed_factor)
    after = flow + move * feed_factor
    assert rate - after == pytest.approx((1.0 - gain) * (rate - flow), rel=1e-9, abs=1e-15)


# force loop


@given(force=st.floats(0.0, 2e4), set_point=st.floats(0.0, 2e4), slope=st.floats(1e5, 1e7))
def test_a_fill_move_is_a_step_of_the_drive_within_its_limits(
    force: float, set_point: float, slope: float
) -> None:
    move = force_loop_move(LOOP, force, set_point, slope)
    assert abs(move) <= LOOP.step_max + 1e-15
    assert move / LOOP.step_min == pytest.approx(round(move / LOOP.step_min), abs=1e-9)
    assert move * (set_point - force) >= 0.0  # too little force: deeper fill


@given(error=st.floats(-0.99, 0.99))
def test_inside_the_deadband_nothing_moves(error: float) -> None:
    slope = 4e6
    offset = error * LOOP.deadband / LOOP.gain * slope
    assert force_loop_move(LOOP, 7240.0 + offset, 7240.0, slope) == 0.0


def test_just_outside_the_deadband_it_moves() -> None:
    slope = 4e6
    offset = 1.01 * LOOP.deadband / LOOP.gain * slope
    assert force_loop_move(LOOP, 7240.0 + offset, 7240.0, slope) == pytest.approx(-1e-5)


def test_slope_is_that_of_the_press(press: PressParameters, blend: Compaction) -> None:
    """dF/dh_f at fixed setting, against a finite difference of the whole press."""
    volume, setting = 1.0 / 480.0, 3.084e-3
    depth = fill_depth_for_weight(press, 200e-6, volume)
    force = force_at_weight(press, blend, 200e-6, setting)

    def at(fill: float) -> float:
        return float(compress_at_fill(press, blend, fill, setting, volume).main_force)

    difference = (at(depth + 1e-6) - at(depth - 1e-6)) / 2e-6
    assert force_slope(press, blend, force, setting, depth) == pytest.approx(difference, rel=1e-4)


def test_the_loop_brings_the_force_back(press: PressParameters, blend: Compaction) -> None:
    """A bulk density 3 % low is corrected within a few revolutions, to the deadband."""
    volume, setting = 1.0 / (0.97 * 480.0), 3.084e-3
    depth = fill_depth_for_weight(press, 200e-6, 1.0 / 480.0)
    target = float(force_at_weight(press, blend, 200e-6, setting))
    slope = float(force_slope(press, blend, target, setting, depth))
    for _ in range(15):
        force = float(compress_at_fill(press, blend, depth, setting, volume).main_force)
        depth += force_loop_move(LOOP, force, target, slope)
    residual = force - target
    assert abs(residual) <= LOOP.deadband / LOOP.gain * slope
    tablet = compress_at_fill(press, blend, depth, setting, volume)
    assert tablet.weight == pytest.approx(200e-6, rel=2e-3)


# re-reference


def test_reference_re_reference(press: PressParameters, blend: Compaction) -> None:
    """MODELS: -9.93 kN per mm of thickness keeps the weight; strength then -3.34 MPa/mm."""
    force = force_at_weight(press, blend, 200e-6, 3.084e-3)
    per_mm = force_re_reference(press, blend, force, 3.084e-3, 1e-7) / 1e-7 / 1e6
    assert per_mm == pytest.approx(-9.93, rel=5e-3)


@given(
    force=st.floats(5e3, 12e3),
    setting=st.floats(2.7e-3, 3.5e-3),
    move=st.floats(1e-9, 2e-5) | st.floats(-2e-5, -1e-9),
)
def test_a_thickness_move_with_its_re_reference_keeps_the_weight(
    press: PressParameters, blend: Compaction, force: float, setting: float, move: float
) -> None:
    before = weight_at_force(press, blend, force, setting)
    change = force_re_reference(press, blend, force, setting, move)
    after = weight_at_force(press, blend, force + change, setting + move)
    assert after == pytest.approx(before, rel=1e-9)
    assert change * move < 0.0


# level loop


def test_at_its_set_point_the_level_loop_gives_the_base() -> None:
    assert level_loop_output(LEVEL, 46.3, 0.5, 0.0, 1.0) == (pytest.approx(46.3), 0.0)


@given(a=st.floats(0.0, 1.0), b=st.floats(0.0, 1.0), integral=st.floats(-100.0, 100.0))
def test_a_higher_level_asks_for_more(a: float, b: float, integral: float) -> None:
    low, high = sorted((a, b))
    below, _ = level_loop_output(LEVEL, 46.3, low, integral, 1.0)
    above, _ = level_loop_output(LEVEL, 46.3, high, integral, 1.0)
    assert below <= above


def test_the_integral_adds_what_the_error_was_for() -> None:
    output, integral = level_loop_output(LEVEL, 46.3, 0.6, 0.0, 60.0)
    assert integral == pytest.approx(6.0)
    assert output == pytest.approx(46.3 * (1.0 + 0.5 * (0.1 + 6.0 / 600.0)))


def test_the_level_loop_absorbs_a_lasting_mismatch(reference: ResolvedLine) -> None:
    """Acceptance 5: a 3 % feed/press mismatch leaves the level within 30-80 % for 60 min."""
    loop, flow = level_loop(reference), nominal_flow(reference)
    capacity = reference.line.chute.capacity_kg
    level, integral, seen = 0.5, 0.0, []
    for _ in range(3600):
        taken, integral = level_loop_output(loop, flow, level, integral, 1.0)
        level += (1.03 * flow - taken) / capacity
        seen.append(level)
    assert min(seen) > 0.30
    assert max(seen) < 0.80
    assert seen[-1] == pytest.approx(0.5, abs=0.02)


# ramps


@given(
    request=numbers,
    actual=numbers,
    bounds=st.tuples(numbers, numbers),
    move=st.floats(0.0, 1e5),
)
def test_a_move_never_exceeds_its_limit(
    request: float, actual: float, bounds: tuple[float, float], move: float
) -> None:
    low, high = sorted(bounds)
    result = float(limit_move(request, actual, low, high, move))
    assert abs(result - actual) <= move + 1e-9
    if low <= actual <= high:
        assert low <= result <= high
        if low <= request <= high and abs(request - actual) <= move:
            assert result == pytest.approx(request, abs=1e-9)


def test_a_request_is_clamped_then_limited() -> None:
    assert limit_move(20.0, 7.0, 5.0, 12.0, 0.2) == pytest.approx(7.2)
    assert limit_move(20.0, 11.9, 5.0, 12.0, 0.2) == pytest.approx(12.0)
    assert limit_move(1.0, 5.1, 5.0, 12.0, 0.2) == pytest.approx(5.0)


def test_a_value_outside_its_range_returns_at_the_permitted_rate() -> None:
    assert limit_move(8.0, 13.0, 5.0, 12.0, 0.2) == pytest.approx(12.8)


# configured loops


def test_loops_are_configured_in_si(reference: ResolvedLine) -> None:
    g = reference.line.regulatory
    assert [loop.period for loop in gravimetric_loops(reference)] == [20, 10, 60]
    assert force_loop(reference) == replace(
        LOOP,
        gain=g.force_loop_gain,
        deadband=pytest.approx(g.force_loop_deadband_mm * 1e-3),
        step_min=pytest.approx(g.fill_step_min_mm * 1e-3),
        step_max=pytest.approx(g.fill_step_max_mm * 1e-3),
    )
    assert level_loop(reference).set_point == pytest.approx(0.5)
