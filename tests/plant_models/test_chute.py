"""Chute: exact plug flow by mass, its collocation, the level."""

from math import erf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from plant_models.chute import ChuteParameters, PlugFlow, advection_rates, collocation, level

FLOW = 20.0 / 3600.0
CONTENT = 0.30

masses = st.floats(0.0, 0.5)


def _one(value: float) -> np.ndarray:
    return np.array([value])


# exact plug flow


@given(
    first=st.lists(st.tuples(masses, st.floats(0.0, 1.0)), max_size=8),
    steps=st.lists(st.tuples(masses, st.floats(0.0, 1.0), masses), max_size=12),
)
def test_mass_and_component_are_conserved(
    first: list[tuple[float, float]], steps: list[tuple[float, float, float]]
) -> None:
    chute = PlugFlow([(m, _one(c)) for m, c in first if m > 0.0])
    mass = sum(m for m, _ in first)
    component = sum(m * c for m, c in first)
    for pushed, value, wanted in steps:
        chute.push(pushed, _one(value))
        mass += pushed
        component += pushed * value
        taken, mean = chute.pull(wanted)
        assert taken == pytest.approx(min(wanted, mass), abs=1e-12)
        mass -= taken
        if mean is not None:
            component -= taken * float(mean[0])
        assert chute.mass == pytest.approx(mass, abs=1e-12)
        held = chute.mean()
        if held is not None:
            assert chute.mass * float(held[0]) == pytest.approx(component, abs=1e-11)


@given(parcels=st.lists(st.tuples(st.floats(0.01, 0.5), st.floats(0.0, 1.0)), min_size=1))
def test_what_comes_first_leaves_first(parcels: list[tuple[float, float]]) -> None:
    chute = PlugFlow([])
    for mass, value in parcels:
        chute.push(mass, _one(value))
    for mass, value in parcels:
        taken, mean = chute.pull(mass)
        assert taken == pytest.approx(mass, rel=1e-12)
        assert mean is not None
        assert float(mean[0]) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_when_nothing_flows_nothing_moves() -> None:
    chute = PlugFlow([(0.1, _one(1.0)), (0.2, _one(2.0))])
    chute.push(0.0, _one(9.0))
    assert chute.pull(0.0) == (0.0, None)
    assert [(m, float(c[0])) for m, c in chute.parcels()] == [(0.1, 1.0), (0.2, 2.0)]


def test_an_empty_chute_gives_nothing() -> None:
    chute = PlugFlow([])
    assert chute.pull(1.0) == (0.0, None)
    assert chute.mean() is None


def test_a_parcel_cannot_have_negative_mass() -> None:
    with pytest.raises(ValueError, match=r"a parcel cannot weigh -0\.1 kg"):
        PlugFlow([]).push(-0.1, _one(1.0))


def test_a_saved_chute_goes_on_as_before() -> None:
    chute = PlugFlow([(0.1, _one(1.0))])
    chute.push(0.2, _one(3.0))
    chute.pull(0.05)
    copy = PlugFlow(chute.parcels())
    assert copy.mass == pytest.approx(chute.mass, rel=1e-15)
    for _ in range(4):
        (a, x), (b, y) = chute.pull(0.07), copy.pull(0.07)
        assert a == pytest.approx(b, rel=1e-15)
        np.testing.assert_allclose(x if x is not None else [], y if y is not None else [])


def test_what_was_pushed_cannot_be_changed_from_outside() -> None:
    value = _one(1.0)
    chute = PlugFlow([])
    chute.push(0.1, value)
    value[0] = 99.0
    mean = chute.mean()
    assert mean is not None
    assert mean[0] == 1.0


# level


@given(content=st.floats(0.0, 1.0), volume=st.floats(1e-3, 3e-3))
def test_level_sees_volume(content: float, volume: float) -> None:
    p = ChuteParameters(volume=0.6 / 480.0, nodes=4)
    assert level(p, content, volume) == pytest.approx(content * volume / p.volume, rel=1e-12)
    assert level(p, 0.3, 1.0 / 480.0) == pytest.approx(0.5, rel=1e-12)
    assert level(p, 0.3, 1.0 / (480.0 * 0.94)) > 0.5  # a lighter lot stands higher


# collocation


@pytest.mark.parametrize("nodes", range(1, 9))
def test_nodes_end_at_the_outlet_and_weights_sum_to_one(nodes: int) -> None:
    xi, derivative, weights = collocation(nodes)
    assert xi[-1] == 1.0
    assert np.all(np.diff(np.r_[0.0, xi]) > 0.0)
    assert derivative.shape == (nodes, nodes + 1)
    assert np.all(weights > 0.0)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("nodes", range(1, 9))
def test_collocation_is_exact_for_polynomials(nodes: int) -> None:
    """Derivatives up to degree q, integrals up to degree 2 q - 2 (Radau)."""
    xi, derivative, weights = collocation(nodes)
    grid = np.r_[0.0, xi]
    for degree in range(nodes + 1):
        slope = degree * xi ** max(degree - 1, 0)
        np.testing.assert_allclose(derivative @ grid**degree, slope, atol=1e-9)
    for degree in range(2 * nodes - 1):
        assert weights @ xi**degree == pytest.approx(1.0 / (degree + 1), rel=1e-9)


def _smooth(t: float) -> float:
    """A step as a blender lets it through: spread over about a minute."""
    return 0.5 * (1.0 + erf((t - 100.0) / (30.0 * sqrt(2.0))))


def _outlet(nodes: int, times: np.ndarray, flow: float = FLOW) -> np.ndarray:
    result = solve_ivp(
        lambda t, c: np.array(advection_rates(list(c), _smooth(t), CONTENT, flow, flow)),
        (0.0, times[-1]),
        np.full(nodes, _smooth(0.0)),
        t_eval=times,
        method="BDF",
        rtol=1e-9,
        atol=1e-11,
    )
    return np.asarray(result.y[-1])


def _plug(times: np.ndarray) -> np.ndarray:
    """The same inlet through `PlugFlow` in steps of 0.1 s."""
    step = 0.1
    chute = PlugFlow([(CONTENT, _one(_smooth(0.0)))])
    out = []
    for i in range(round(times[-1] / step) + 1):
        chute.push(FLOW * step, _one(_smooth((i + 0.5) * step)))
        _, mean = chute.pull(FLOW * step)
        out.append(float(mean[0]) if mean is not None else float("nan"))
    return np.interp(times, (np.arange(len(out)) + 0.5) * step, np.array(out))


def test_collocation_follows_plug_flow_for_smooth_inlets() -> None:
    times = np.linspace(0.0, 300.0, 301)
    exact = _plug(times)
    np.testing.assert_allclose(exact, [_smooth(t - CONTENT / FLOW) for t in times], atol=2e-3)
    errors = [float(np.max(np.abs(_outlet(n, times) - exact))) for n in (2, 4, 6)]
    assert errors[1] < 0.02
    assert errors[2] < 0.3 * errors[1] < 0.3 * errors[0]


def test_collocation_keeps_the_delay_of_plug_flow() -> None:
    """The mean residence time is content over flow."""
    times = np.linspace(0.0, 2000.0, 4001)
    late = 1.0 - _outlet(4, times)
    early = np.array([1.0 - _smooth(t) for t in times])
    delay = float(np.trapezoid(late - early, times))
    assert delay == pytest.approx(CONTENT / FLOW * (1.0 - _smooth(0.0)), rel=1e-5)


@given(
    cells=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8),
    inlet=st.floats(0.0, 1.0),
    content=st.floats(0.05, 0.6),
    flow_in=st.floats(0.0, 0.02),
    flow_out=st.floats(0.0, 0.02),
)
def test_a_component_is_conserved_also_while_the_level_moves(
    cells: list[float], inlet: float, content: float, flow_in: float, flow_out: float
) -> None:
    _, _, weights = collocation(len(cells))
    rates = advection_rates(cells, inlet, content, flow_in, flow_out)
    stored = content * float(weights @ rates) + (flow_in - flow_out) * float(weights @ cells)
    assert stored == pytest.approx(flow_in * inlet - flow_out * cells[-1], abs=1e-12)


@given(cells=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), inlet=st.floats(0.0, 1.0))
def test_standing_powder_keeps_its_profile(cells: list[float], inlet: float) -> None:
    assert advection_rates(cells, inlet, CONTENT, 0.0, 0.0) == pytest.approx(
        [0.0] * len(cells), abs=1e-15
    )


@given(value=st.floats(0.0, 1.0), nodes=st.integers(1, 8), flow_in=st.floats(0.0, 0.02))
def test_uniform_powder_stays_uniform(value: float, nodes: int, flow_in: float) -> None:
    rates = advection_rates([value] * nodes, value, CONTENT, flow_in, FLOW)
    assert rates == pytest.approx([0.0] * nodes, abs=1e-12)


def test_a_source_adds_to_every_node() -> None:
    rates = advection_rates([1.0] * 4, 1.0, CONTENT, FLOW, FLOW, 0.5)
    assert rates == pytest.approx([0.5] * 4, abs=1e-12)
