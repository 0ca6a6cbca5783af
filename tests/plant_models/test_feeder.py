"""Feeders against the survey's pinnable numbers (feeding and blending, section 10)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from plant_models.feeder import (
    FeederParameters,
    content_at_feed_factor,
    feed_factor,
    feed_factor_drive,
    feeder_rates,
    mass_flow,
    rate_time_base,
    refill_overfeed,
    signal_quality_gain,
)

# Item 18: ff_max 3.0, ff_min 2.4 g/rev, beta 0.8 1/kg.
FEEDER = FeederParameters(
    ff_min=2.4e-3,
    ff_max=3.0e-3,
    beta=0.8,
    capacity=15.0,
    tau_screw=1.5,
    overfeed=0.05,
    tau_overfeed=80.0,
    speed_max=2.0,
)

contents = st.floats(0.0, 15.0)
speeds = st.floats(0.0, 2.0)


def test_drive_based_feed_factor_is_the_flow_at_full_drive() -> None:
    """Item 1: 15 kg/h at 25 % drive -> 60 kg/h."""
    assert feed_factor_drive(15.0, 25.0) == pytest.approx(60.0, rel=1e-12)


def test_time_base_of_the_printed_example() -> None:
    """Item 2: 880 lb scale, 3 lb/min -> 1.76 s, rounded up to 2 s."""
    base = rate_time_base(880.0, 3.0 / 60.0)
    assert base == pytest.approx(1.76, rel=1e-12)
    assert math.ceil(base) == 2


@pytest.mark.parametrize(
    ("perturbation", "gain"),
    [(20.0, 0.80), (50.0, 0.50), (80.0, 0.20), (200.0, 0.10), (300.0, 0.0)],
)
def test_gain_falls_in_bands_of_signal_quality(perturbation: float, gain: float) -> None:
    """Item 3."""
    assert signal_quality_gain(perturbation) == gain


@given(a=st.floats(0.0, 500.0), b=st.floats(0.0, 500.0))
def test_a_noisier_signal_never_raises_the_gain(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert signal_quality_gain(high) <= signal_quality_gain(low)


def test_draw_down_between_refills_gives_the_printed_period() -> None:
    """Item 4: 15 kg/h from 12 down to 10 kg takes 480 s, 7.5 refills per hour, 80 to 66.7 %."""
    flow = 15.0 / 3600.0

    def rates(_: float, x: np.ndarray) -> list[float]:
        hold = flow / feed_factor(FEEDER, x[0])
        d_content, d_speed = feeder_rates(FEEDER, x[0], hold, hold)
        return [float(d_content), float(d_speed)]

    def low(_: float, x: np.ndarray) -> float:
        return float(x[0] - 10.0)

    start = [12.0, flow / float(feed_factor(FEEDER, 12.0))]
    result = solve_ivp(rates, (0.0, 1000.0), start, events=low, rtol=1e-10, atol=1e-12)
    (period,) = result.t_events[0]
    assert period == pytest.approx(480.0, rel=1e-8)
    assert 3600.0 / period == pytest.approx(7.5, rel=1e-8)
    assert 12.0 / FEEDER.capacity == pytest.approx(0.8)


def test_feed_factor_at_two_kilograms() -> None:
    """Item 18."""
    assert feed_factor(FEEDER, 2.0) * 1e3 == pytest.approx(2.8789, abs=5e-5)
    assert content_at_feed_factor(FEEDER, 0.9) == pytest.approx(0.8664, abs=5e-5)


@given(a=contents, b=contents)
def test_feed_factor_rises_with_content_between_its_limits(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert FEEDER.ff_min <= feed_factor(FEEDER, low) <= feed_factor(FEEDER, high) <= FEEDER.ff_max


def test_feed_factor_reaches_its_limits() -> None:
    assert feed_factor(FEEDER, 0.0) == pytest.approx(FEEDER.ff_min, rel=1e-14)
    assert feed_factor(FEEDER, 100.0) == pytest.approx(FEEDER.ff_max, rel=1e-14)


@given(content=st.floats(0.01, 5.0))
def test_content_is_found_back_from_its_feed_factor(content: float) -> None:
    fraction = float(feed_factor(FEEDER, content)) / FEEDER.ff_max
    assert content_at_feed_factor(FEEDER, fraction) == pytest.approx(content, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("fraction", [0.0, 0.79, 1.0, 1.1])
def test_a_feed_factor_that_never_occurs_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"it lies between 0\.8 and 1"):
        content_at_feed_factor(FEEDER, fraction)


@given(content=contents, speed=speeds, deviation=st.floats(0.5, 1.5))
def test_flow_is_proportional_to_speed_and_deviation(
    content: float, speed: float, deviation: float
) -> None:
    flow = mass_flow(FEEDER, content, speed, deviation)
    assert flow == pytest.approx(feed_factor(FEEDER, content) * speed * deviation, rel=1e-12)
    assert mass_flow(FEEDER, content, 0.0) == 0.0


@given(content=contents, speed=speeds, refill=st.floats(0.0, 0.5), deviation=st.floats(0.5, 1.5))
def test_the_hopper_loses_exactly_what_the_screw_delivers(
    content: float, speed: float, refill: float, deviation: float
) -> None:
    d_content, _ = feeder_rates(FEEDER, content, speed, speed, refill, deviation)
    delivered = mass_flow(FEEDER, content, speed, deviation)
    assert d_content + delivered == pytest.approx(refill, rel=1e-12, abs=1e-15)


def test_the_screw_reaches_63_percent_of_a_step_in_its_time_constant() -> None:
    result = solve_ivp(
        lambda _, n: [float(feeder_rates(FEEDER, 5.0, n[0], 1.0)[1])],
        (0.0, FEEDER.tau_screw),
        [0.0],
        rtol=1e-10,
        atol=1e-12,
    )
    assert result.y[0, -1] == pytest.approx(1.0 - math.exp(-1.0), rel=1e-8)


@given(a=st.floats(0.0, 1000.0), b=st.floats(0.0, 1000.0))
def test_overfeed_decays_from_its_size_to_nothing(a: float, b: float) -> None:
    early, late = sorted((a, b))
    start = 1.0 + FEEDER.overfeed
    assert 1.0 <= refill_overfeed(FEEDER, late) <= refill_overfeed(FEEDER, early) <= start


def test_overfeed_after_one_time_constant() -> None:
    assert refill_overfeed(FEEDER, 0.0) == pytest.approx(1.05, rel=1e-14)
    assert refill_overfeed(FEEDER, 80.0) == pytest.approx(1.0 + 0.05 / math.e, rel=1e-14)
