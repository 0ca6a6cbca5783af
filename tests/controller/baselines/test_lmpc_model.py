"""The linear model is the twin to first order, and its responses are its simulation."""

import numpy as np
import pytest

from controller.baselines.lmpc_model import DISTURBANCES, InputMap, Responses
from controller.data import Array
from controller.twin.compiled import build_rollout
from controller.twin.core import OUTPUTS, PARAMETERS
from tests.controller.baselines.lmpc_kit import brain, disturbed, move_inputs, twin
from tests.controller.kit import LINE


def _error_of(size: float) -> float:
    """Largest error of the linear outputs after a minute, relative to the deviation made."""
    model, t = brain().model, twin()
    one = build_rollout(t.stage_function(), 1, None)
    z = disturbed(model, pressure_scale=size, strength=-size, specific_volume=size)
    u = model.u0 * (1.0 + size * np.array([1.0, 0.2, 1.0, 0.3, 1.0]))
    v = move_inputs(u)
    p = np.zeros((len(PARAMETERS), 1))
    for name in ("pressure_scale", "strength", "specific_volume"):
        p[PARAMETERS.index(name)] = z[model.nx + DISTURBANCES.index(name)]
    x = np.zeros(len(t.state_names))
    x[[t.state_names.index(n) for n in model.names]] = model.x0
    for _ in range(12):
        out = one(x, p, v[:, None])
        x, y = out.x[:, 0].copy(), out.y[:, 0].copy()
        z = model.f @ z + model.g @ (v - model.v0)
    scale = np.maximum(np.abs(y - model.y0), 1e-9)
    off = np.abs(model.outputs(z, v) - y) / scale
    return float(np.max(off[np.abs(y - model.y0) > 1e-3 * size * np.abs(model.y0)]))


def test_the_model_is_the_twin_to_first_order() -> None:
    """The relative error falls in proportion to the deviation."""
    large, small = _error_of(1e-2), _error_of(1e-4)
    assert small < 2e-3
    assert small == pytest.approx(large / 100.0, rel=0.3)


def test_the_chute_is_the_only_integrator() -> None:
    model = brain().model
    sizes = np.sort(np.abs(np.linalg.eigvals(model.f[: model.nx, : model.nx])))
    assert sizes[-1] == pytest.approx(1.0, abs=1e-9)
    assert sizes[-2] < 0.95
    z = np.zeros(model.size)
    z[model.content] = 0.01
    np.testing.assert_allclose(model.f @ z, z, atol=1e-9)


def test_the_operating_point_meets_the_set_points() -> None:
    y = dict(zip(OUTPUTS, brain().model.y0, strict=True))
    assert np.exp(y["log_weight"]) == pytest.approx(200e-6, rel=1e-9)
    assert np.exp(y["log_strength"]) == pytest.approx(2.25e6, rel=1e-9)
    assert (y["potency"], y["level"]) == pytest.approx((1.0, 0.5))
    assert y["throughput"] == pytest.approx(20.0 / 3600.0)


def test_responses_are_what_the_recursion_gives() -> None:
    b = brain()
    model, grid, rng = b.model, b.planner.grid, np.random.default_rng(5)
    rows = [OUTPUTS.index(n) for n in ("level", "log_weight", "potency")]
    responses = Responses(model, rows, grid.stages)
    z0 = rng.standard_normal(model.size) * 1e-3
    nodes = rng.standard_normal((len(grid.nodes), 5)) * 1e-3 * model.u0
    held = grid.interpolation @ nodes
    gains = np.repeat(b.planner.plain_gain[None], grid.stages, axis=0)
    gains[3:9] *= 0.5
    inputs = model.v0[:, None] + np.einsum("jvu,ju->vj", gains, held)
    z, simulated = z0, []
    for j in range(grid.stages):
        v = inputs[:, j]
        z = model.f @ z + model.g @ (v - model.v0)
        simulated.append(model.outputs(z, v)[rows])
    np.testing.assert_allclose(responses.free(z0, inputs), simulated, rtol=1e-9, atol=1e-12)
    every = np.arange(grid.stages)
    sens = responses.by_nodes(grid.interpolation, gains, every)
    still = np.repeat(model.v0[:, None], grid.stages, axis=1)
    by_parts = responses.free(z0, still) + sens @ nodes.ravel()
    np.testing.assert_allclose(by_parts, simulated, rtol=1e-9, atol=1e-12)


def _known(frozen: int | None) -> Array:
    model = brain().model
    known = InputMap(twin()).at_set_points(model.v0)
    if frozen is not None:
        known[3 * frozen : 3 * frozen + 2] = (1.0, 5.6e-4)
    return known


def test_a_frozen_feeder_does_not_answer() -> None:
    model, mapped = brain().model, InputMap(twin())
    feed, api = 0, 1
    plain = mapped.gain(model.u0, _known(None))
    np.testing.assert_allclose(plain[feed, :2], [1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(plain[api, :2], [0.0, 1.0], atol=1e-9)
    frozen = mapped.gain(model.u0, _known(LINE.feeder_index("api")))
    assert frozen[api, 1] == pytest.approx(0.0, abs=1e-12)
    # more powder thins what the frozen feeder gives
    assert frozen[api, 0] < 0.0


def test_inputs_of_known_disturbances_are_exact() -> None:
    model, mapped = brain().model, InputMap(twin())
    known = np.column_stack((_known(None), _known(LINE.feeder_index("api"))))
    inputs = mapped.inputs(model.u0, known)
    np.testing.assert_allclose(inputs[:, 0], model.v0, rtol=1e-12)
    assert inputs[1, 1] == pytest.approx(5.6e-4 / inputs[0, 1])
