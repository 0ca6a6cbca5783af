"""Blender and feed frame: hold-up, residence times against closed forms and pinned numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.blender import (
    BlenderParameters,
    axial_dispersion_rates,
    closed_vessel_variance,
    hold_up_at,
    impeller_torque,
    outflow,
    tank_rates,
    tanks_for_peclet,
)
from plant_models.feed_frame import FeedFrameParameters, frame_rate
from tests.plant_models.rtd import Array, Linear, crossing, linear

BLENDER = BlenderParameters(hold_up_0=0.10, rate_0=0.0146, speed_0=200 / 60, alpha=0.6, tanks=5)
FLOW = 20.0 / 3600.0

flows = st.floats(1e-3, 2e-2)
speeds = st.floats(100 / 60, 350 / 60)


def tanks(n: int, tau: float) -> Linear:
    """``n`` equal tanks of total mean residence time ``tau`` [s], by `tank_rates`."""

    def rates(x: Array, u: float) -> Array:
        return np.array(tank_rates(list(x), u, tau * FLOW, FLOW, FLOW))

    return linear(rates, n)


def dispersed(n: int, peclet: float, tau: float) -> Linear:
    """Closed vessel with axial dispersion, by `axial_dispersion_rates`."""

    def rates(x: Array, u: float) -> Array:
        cells = axial_dispersion_rates(
            x[:, None], np.array([u]), tau * FLOW, FLOW, FLOW, peclet, np.zeros(1)
        )
        return cells[:, 0]

    return linear(rates, n)


def frame(tau: float) -> Linear:
    """Feed frame of mean residence time ``tau`` [s], by `frame_rate`."""
    p = FeedFrameParameters(hold_up=tau * FLOW, paddle_speed=1.0)
    return linear(lambda x, u: np.array([frame_rate(p, x[0], u, FLOW)]), 1)


# hold-up


def test_reference_hold_up_residence_time_and_revolutions() -> None:
    """MODELS: 0.48 kg, 86.5 s, 288 revolutions."""
    hold_up = hold_up_at(BLENDER, FLOW, BLENDER.speed_0)
    assert hold_up == pytest.approx(0.4805, abs=5e-4)
    assert hold_up / FLOW == pytest.approx(86.5, abs=0.05)
    assert hold_up / FLOW * BLENDER.speed_0 == pytest.approx(288.0, abs=0.5)


@given(flow=flows, speed=speeds)
def test_outflow_at_the_steady_hold_up_is_the_throughput(flow: float, speed: float) -> None:
    assert outflow(BLENDER, hold_up_at(BLENDER, flow, speed), speed) == pytest.approx(
        flow, rel=1e-12
    )


@given(flow=flows, a=speeds, b=speeds)
def test_hold_up_falls_with_speed(flow: float, a: float, b: float) -> None:
    """Item 7: the published trend."""
    slow, fast = sorted((a, b))
    assert hold_up_at(BLENDER, flow, fast) <= hold_up_at(BLENDER, flow, slow)


@given(a=flows, b=flows, speed=speeds)
def test_hold_up_rises_with_throughput(a: float, b: float, speed: float) -> None:
    low, high = sorted((a, b))
    assert hold_up_at(BLENDER, low, speed) <= hold_up_at(BLENDER, high, speed)


@given(hold_up=st.floats(0.0, 0.1), speed=speeds)
def test_nothing_leaves_below_the_dead_hold_up(hold_up: float, speed: float) -> None:
    assert outflow(BLENDER, hold_up, speed) == 0.0


@given(a=st.floats(0.1, 3.0), b=st.floats(0.1, 3.0), speed=st.floats(0.1, 3.0))
def test_torque_rises_with_hold_up_and_speed(a: float, b: float, speed: float) -> None:
    low, high = sorted((a, b))
    assert impeller_torque(4.0, low, speed) <= impeller_torque(4.0, high, speed)
    assert impeller_torque(4.0, speed, low) <= impeller_torque(4.0, speed, high)
    assert impeller_torque(4.0, 1.0, 1.0) == pytest.approx(4.0, rel=1e-14)
    assert impeller_torque(4.0, 1.0, 0.0) == 0.0


# closed forms


@pytest.mark.parametrize(
    ("peclet", "variance", "equivalent"),
    [
        (1, 0.735759, 1.3591),
        (5, 0.320539, 3.1197),
        (10, 0.180001, 5.5555),
        (20, 0.095000, 10.5263),
        (50, 0.039200, 25.5102),
        (100, 0.019800, 50.5051),
    ],
)
def test_variance_of_the_closed_vessel(peclet: float, variance: float, equivalent: float) -> None:
    """Section 3, table; item 9."""
    assert closed_vessel_variance(peclet) == pytest.approx(variance, abs=6e-7)
    assert tanks_for_peclet(peclet) == pytest.approx(equivalent, abs=6e-5)


def test_item_9_to_all_printed_digits() -> None:
    assert closed_vessel_variance(10.0) == pytest.approx(0.1800009, abs=5e-8)
    assert tanks_for_peclet(10.0) == pytest.approx(5.5555, abs=5e-5)


@given(a=st.floats(0.1, 500.0), b=st.floats(0.1, 500.0))
def test_more_dispersion_means_more_variance(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 < closed_vessel_variance(high) <= closed_vessel_variance(low) < 1.0


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_moments_of_equal_tanks(n: int) -> None:
    mean, variance = tanks(n, 75.0).moments()
    assert mean == pytest.approx(75.0, rel=1e-9)
    assert variance == pytest.approx(75.0**2 / n, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "t50", "t95", "t99"),
    [
        (1, 0.6931, 2.9957, 4.6052),
        (2, 0.8392, 2.3719, 3.3192),
        (3, 0.8914, 2.0986, 2.8020),
        (5, 0.9342, 1.8307, 2.3209),
    ],
)
def test_step_response_of_equal_tanks(n: int, t50: float, t95: float, t99: float) -> None:
    """Section 3, second table."""
    times = np.linspace(0.0, 6.0, 6001)
    values = tanks(n, 1.0).step(times)
    found = [crossing(times, values, level) for level in (0.50, 0.95, 0.99)]
    assert found == pytest.approx([t50, t95, t99], abs=1e-4)


@pytest.mark.parametrize("peclet", [1.0, 5.0, 10.0, 20.0])
def test_dispersed_cells_approach_the_closed_vessel(peclet: float) -> None:
    """(B4, B5) against (B6): first order in the number of cells, exact mean at any number."""
    errors = []
    for n in (20, 40, 80):
        mean, variance = dispersed(n, peclet, 86.5).moments()
        assert mean == pytest.approx(86.5, rel=1e-8)
        errors.append(abs(variance / 86.5**2 - closed_vessel_variance(peclet)))
    assert errors[1] <= 0.55 * errors[0]
    assert errors[2] <= 0.55 * errors[1]
    assert errors[2] < 2e-3 * closed_vessel_variance(peclet)


def test_too_few_cells_for_the_dispersion_are_refused() -> None:
    cells = np.ones((4, 1))
    with pytest.raises(ValueError, match="4 cells are too few for Pe = 10: at least 5"):
        axial_dispersion_rates(cells, np.ones(1), 0.5, FLOW, FLOW, 10.0, np.zeros(1))


def test_cells_without_back_flow_are_tanks() -> None:
    """At n = Pe / 2 the back flow is 0 and (B4) is (B3)."""
    x = np.linspace(0.2, 1.4, 5)
    dispersed_rates = axial_dispersion_rates(
        x[:, None], np.array([2.0]), 0.5, 1.1 * FLOW, FLOW, 10.0, np.array([0.3])
    )
    assert list(dispersed_rates[:, 0]) == pytest.approx(
        tank_rates(list(x), 2.0, 0.5, 1.1 * FLOW, FLOW, 0.3), rel=1e-12
    )


# balances


@given(
    cells=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    inlet=st.floats(0.0, 1.0),
    hold_up=st.floats(0.1, 1.0),
    flow_in=flows,
    flow_out=flows,
)
def test_a_component_is_conserved_in_the_tanks_also_while_the_hold_up_changes(
    cells: list[float], inlet: float, hold_up: float, flow_in: float, flow_out: float
) -> None:
    n = len(cells)
    rates = tank_rates(cells, inlet, hold_up, flow_in, flow_out)
    stored = sum(rates) * hold_up / n + sum(cells) * (flow_in - flow_out) / n
    assert stored == pytest.approx(flow_in * inlet - flow_out * cells[-1], abs=1e-15, rel=1e-10)


@given(
    cells=st.lists(st.floats(0.0, 1.0), min_size=20, max_size=30),
    inlet=st.floats(0.0, 1.0),
    hold_up=st.floats(0.1, 1.0),
    flow_in=flows,
    flow_out=flows,
    peclet=st.floats(1.0, 20.0),
)
def test_a_component_is_conserved_in_the_dispersed_cells(
    cells: list[float],
    inlet: float,
    hold_up: float,
    flow_in: float,
    flow_out: float,
    peclet: float,
) -> None:
    n = len(cells)
    x = np.array(cells)[:, None]
    rates = axial_dispersion_rates(
        x, np.array([inlet]), hold_up, flow_in, flow_out, peclet, np.zeros(1)
    )
    stored = float(rates.sum()) * hold_up / n + sum(cells) * (flow_in - flow_out) / n
    assert stored == pytest.approx(flow_in * inlet - flow_out * cells[-1], abs=1e-14, rel=1e-9)


@given(value=st.floats(0.0, 1.0), n=st.integers(1, 8), flow_in=flows, flow_out=flows)
def test_uniform_powder_stays_uniform(
    value: float, n: int, flow_in: float, flow_out: float
) -> None:
    rates = tank_rates([value] * n, value, 0.5, flow_in, flow_out)
    assert rates == pytest.approx([0.0] * n, abs=1e-16)


def test_the_source_counts_revolutions_seen() -> None:
    """At steady state the extent at the outlet is impeller speed times mean residence time."""
    n, hold_up, speed = 5, 0.4805, 200 / 60
    extents = [hold_up / FLOW * speed * (j + 1) / n for j in range(n)]
    assert tank_rates(extents, 0.0, hold_up, FLOW, FLOW, speed) == pytest.approx(
        [0.0] * n, abs=1e-12
    )


# pulses, noise, sines


@pytest.mark.parametrize(
    ("n", "peaks"),
    [(1, (0.1248, 0.3297, 0.5507, 0.7981)), (2, (0.0978, 0.2867, 0.5324, 0.8373))],
)
def test_peaks_of_pulses_through_75_s(n: int, peaks: tuple[float, ...]) -> None:
    """Items 10 and 11: pulses of 10, 30, 60, 120 s."""
    times = np.linspace(0.0, 600.0, 6001)
    step = tanks(n, 75.0).step(times)
    for length, peak in zip((10.0, 30.0, 60.0, 120.0), peaks, strict=True):
        delay = round(length / (times[1] - times[0]))
        pulse = step.copy()
        pulse[delay:] -= step[:-delay]
        assert pulse.max() == pytest.approx(peak, abs=6e-5)


def test_the_surveys_reference_line() -> None:
    """Item 12: 35 s plug flow, 2 tanks of 75 s in all, a frame of 54 s."""
    line = tanks(2, 75.0).then(frame(54.0))
    mean, variance = line.moments()
    assert mean + 35.0 == pytest.approx(164.0, abs=1e-6)
    assert variance == pytest.approx(5728.5, abs=0.01)
    times = np.linspace(0.0, 800.0, 8001)
    values = line.step(times)
    found = [35.0 + crossing(times, values, level) for level in (0.01, 0.05, 0.50, 0.95, 0.99)]
    assert found == pytest.approx([53.5, 69.7, 149.3, 308.2, 403.0], abs=0.2)


def test_pulses_through_the_surveys_reference_line() -> None:
    """Item 13: peaks and when they come."""
    times = np.linspace(0.0, 800.0, 8001)
    step = tanks(2, 75.0).then(frame(54.0)).step(times)
    for length, peak, when in (
        (10, 0.0629, 125),
        (30, 0.187, 136),
        (60, 0.3629, 153),
        (120, 0.6492, 194),
        (300, 0.9711, 344),
    ):
        pulse = step.copy()
        pulse[10 * length :] -= step[: -10 * length]
        assert pulse.max() == pytest.approx(peak, abs=6e-5)
        assert 35.0 + times[int(pulse.argmax())] == pytest.approx(when, abs=1.0)


@pytest.mark.parametrize(
    ("n", "ratios"),
    [(1, (0.02597, 0.11765, 0.44444)), (2, (0.02660, 0.12742, 0.49700))],
)
def test_feeder_noise_is_filtered(n: int, ratios: tuple[float, ...]) -> None:
    """Item 15: correlation times 2, 10, 60 s through 75 s (the last is 0.49704 by its formula)."""
    system = tanks(n, 75.0)
    for time, ratio in zip((2.0, 10.0, 60.0), ratios, strict=True):
        assert system.noise_variance_ratio(time) == pytest.approx(ratio, abs=5e-5)


@given(time=st.floats(1.0, 200.0), tau=st.floats(20.0, 200.0))
def test_feeder_noise_is_filtered_by_the_closed_forms(time: float, tau: float) -> None:
    """Section 3: one tank ``tc / (tc + tau)``; two equal tanks likewise."""
    assert tanks(1, tau).noise_variance_ratio(time) == pytest.approx(time / (time + tau), rel=1e-9)
    fast, slow = 2.0 / tau, 1.0 / time
    expected = fast / 2.0 * (1.0 / (fast + slow) + fast / (fast + slow) ** 2)
    assert tanks(2, tau).noise_variance_ratio(time) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("period", "blender", "line"),
    [(300.0, 0.6185, 0.4097), (120.0, 0.2060, 0.0687), (60.0, 0.0609, 0.0106)],
)
def test_sines_are_damped(period: float, blender: float, line: float) -> None:
    """Item 16; plug flow does not damp."""
    two = tanks(2, 75.0)
    assert two.sine_gain(period) == pytest.approx(blender, abs=6e-5)
    assert two.then(frame(54.0)).sine_gain(period) == pytest.approx(line, abs=6e-5)


# feed frame


def test_the_surveys_frame_holds_powder_for_54_seconds() -> None:
    """Item 19: 0.3 kg at 20 kg/h."""
    p = FeedFrameParameters(hold_up=0.3, paddle_speed=1.0)
    system = linear(lambda x, u: np.array([frame_rate(p, x[0], u, FLOW)]), 1)
    assert system.moments()[0] == pytest.approx(54.0, rel=1e-9)


def test_paddles_add_their_revolutions() -> None:
    """MODELS: 0.35 kg at 60 rpm and 20 kg/h adds 63 revolutions."""
    p = FeedFrameParameters(hold_up=0.35, paddle_speed=1.0)
    assert frame_rate(p, 288.0 + 63.0, 288.0, FLOW, p.paddle_speed) == pytest.approx(0.0, abs=1e-12)


@given(value=st.floats(-1.0, 1.0), inlet=st.floats(-1.0, 1.0), flow=flows)
def test_the_frame_moves_towards_what_comes_in(value: float, inlet: float, flow: float) -> None:
    p = FeedFrameParameters(hold_up=0.35, paddle_speed=1.0)
    rate = frame_rate(p, value, inlet, flow)
    assert rate * (inlet - value) >= 0.0
    assert frame_rate(p, value, inlet, 0.0) == 0.0
