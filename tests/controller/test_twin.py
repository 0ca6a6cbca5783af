"""The control twin against the line that it describes, and against the numbers of the models."""

from collections.abc import Sequence
from dataclasses import replace

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.algorithms import make_brain
from controller.data import Array
from controller.nmpc import NmpcBrain
from controller.twin.core import INPUTS, MOVES, OUTPUTS, PARAMETERS, ControlTwin
from plant_models.flowsheet import Line
from plant_models.signals import MV
from plant_models.variables import OperatingPoint, Structure
from tests.controller.kit import LINE, TABLE, controller_config
from tests.controller.ocp_kit import (
    API,
    BLENDER,
    FEED,
    LUBRICANT,
    MIDDLE,
    PRESS,
    THICKNESS,
    TURRET,
    fast_of,
    problem,
    twin_of,
)

BOTH = [Structure.CASCADE, Structure.REMOTE]
NONE = [0.0] * len(PARAMETERS)
# Output of the twin, and what the line calls it; a True means the logarithm.
SAME = (
    ("level", "chute.level", False),
    ("potency", "frame.potency", False),
    ("log_pre_force", "press.pre_force", True),
    ("log_main_force", "press.main_force", True),
    ("log_fill_depth", "press.fill_depth", True),
    ("ejection_force", "press.ejection_force", False),
    ("log_weight", "tablet_weight", True),
    ("log_strength", "tensile_strength", True),
    ("thickness", "tablet_thickness", False),
    ("throughput", "throughput", False),
)


def inputs(structure: Structure = Structure.CASCADE, **changes: float) -> list[float]:
    """Stage inputs at the reference point."""
    nominal = {
        "feed": FEED,
        "api": API,
        "lot": 0.0,
        "blender_speed": BLENDER,
        "press": PRESS[structure],
        "thickness": THICKNESS,
        "turret_speed": TURRET,
        "lubricant": LUBRICANT,
    } | changes
    return [nominal[name] for name in INPUTS]


def parameters(**changes: float) -> list[float]:
    return [changes.get(name, 0.0) for name in PARAMETERS]


def at_point(point: OperatingPoint, structure: Structure) -> tuple[Array, list[float]]:
    """The twin's states and inputs at an operating point of the line."""
    line, twin = Line(LINE, structure), twin_of(structure)
    x = [point.states.get(name, 0.0) for name in twin.state_names]
    own = {n for n in twin.state_names if ".lot" in n}
    assert own == set(twin.state_names) - set(line.path.names())
    press = "main_force" if structure is Structure.CASCADE else "fill_depth"
    v = inputs(
        structure,
        feed=point.inputs["total_feed"],
        api=point.inputs["api_ratio"],
        lubricant=point.inputs["lubricant_ratio"],
        blender_speed=point.inputs["blender_speed"],
        press=point.inputs[press],
        thickness=point.inputs["thickness"],
        turret_speed=point.inputs["turret_speed"],
    )
    return np.array(x), v


@pytest.mark.parametrize("structure", BOTH)
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"throughput": 24.0 / 3600.0},
        {"weight": 205e-6, "strength": 2.4e6},
        {"potency": 1.02, "throughput": 16.0 / 3600.0},
    ],
    ids=["nominal", "faster", "heavier and stronger", "more potent and slower"],
)
def test_where_the_line_is_steady_the_twin_is_and_makes_the_same_tablets(
    structure: Structure, wanted: dict[str, float]
) -> None:
    """The density of the blend follows its recipe in the line; the twin has to be told it."""
    point = Line(LINE, structure).steady_state(**wanted)
    x, v = at_point(point, structure)
    twin = twin_of(structure)
    volume = point.states["frame.specific_volume"] * LINE.blend.bulk_density_kg_m3
    p = parameters(specific_volume=np.log(volume))
    assert abs(volume - 1.0) < 1e-3
    rates = np.array(twin.rates(x, p, v), dtype=float)
    assert np.abs(rates) * 600.0 == pytest.approx(np.zeros(x.size), abs=1e-6)
    seen = twin.outputs(x, p, v)
    for name, theirs, logarithm in SAME:
        value = (point.outputs | dict(point.quality))[theirs]
        own = np.exp(float(seen[name])) if logarithm else float(seen[name])
        assert own == pytest.approx(value, rel=1e-6), name


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_away_from_rest_the_powder_moves_in_both_alike(seed: int) -> None:
    """Same hold-ups, composition, lubrication and inputs: same derivatives of all of them."""
    rng = np.random.default_rng(seed)
    line, twin = Line(LINE, Structure.CASCADE), twin_of()
    point = line.steady_state()
    x, v = at_point(point, Structure.CASCADE)
    scatter = dict(zip(twin.state_names, x * rng.uniform(0.95, 1.05, x.size), strict=True))
    named = dict(zip(INPUTS, np.array(v) * rng.uniform(0.97, 1.03, len(v)), strict=True))
    named["blender_speed"], named["lubricant"] = v[INPUTS.index("blender_speed")], LUBRICANT
    full = {n: scatter.get(n, point.states[n]) for n in line.state_names()}
    full["press.thickness"] = named["thickness"]
    full["press.turret_speed"] = named["turret_speed"]
    flows = [named["feed"] * s for s in (named["api"], 1 - named["api"] - LUBRICANT, LUBRICANT)]
    _screws_for(line, full, flows)
    u = {
        "total_feed": named["feed"],
        "api_ratio": named["api"],
        "lubricant_ratio": LUBRICANT,
        "main_force": named["press"],
        "thickness": named["thickness"],
        "turret_speed": named["turret_speed"],
        "blender_speed": named["blender_speed"],
    }
    theirs = line.rates(
        list(full.values()), [u[n] for n in line.input_names()], line.no_deviation()
    )
    by_name = dict(zip(line.state_names(), theirs, strict=True))
    own = twin.rates([scatter[n] for n in twin.state_names], NONE, [named[n] for n in INPUTS])
    for name, value in zip(twin.state_names, own, strict=True):
        if ".lot" not in name:
            size = abs(scatter[name]) / 100.0
            assert float(value) == pytest.approx(float(by_name[name]), abs=1e-9 * size), name


def _screws_for(line: Line, full: dict[str, float], flows: Sequence[float]) -> None:
    """Screw speeds of the line at which the feeders deliver ``flows`` [kg/s]."""
    outputs = line.outputs(
        list(full.values()),
        [line.steady_state().inputs[n] for n in line.input_names()],
        line.no_deviation(),
    )
    for i, flow in enumerate(flows, start=1):
        full[f"feeder{i}.speed"] *= flow / float(outputs[f"feeder{i}.mass_flow"])


def step_response(twin: ControlTwin, seconds: int) -> Array:
    """Share of a step in the API ratio that the feed frame has seen, once per step of the twin."""
    x = ca.DM(twin.steady(FEED, API, 0.0, BLENDER))
    p, v = ca.DM(NONE), ca.DM(inputs(api=1.01 * API, press=7.25e3))
    symbol = ca.SX.sym("x", x.shape[0])
    advance = ca.Function("advance", [symbol], [twin.advance(symbol, p, v)])
    seen = [0.0]
    for _ in range(int(seconds / twin.step)):
        x = advance(x)
        values = np.array(x).ravel()
        seen.append((float(twin.outputs(values, NONE, inputs())["potency"]) - 1.0) / 0.01)
    return np.array(seen)


@pytest.mark.parametrize(
    ("share", "seconds", "relative"),
    [(0.02, 107.0, 0.10), (0.50, 189.0, 0.03), (0.95, 346.0, 0.03)],
)
def test_a_step_in_the_api_ratio_reaches_the_frame_as_the_models_say(
    share: float, seconds: float, relative: float
) -> None:
    """The first traces only roughly: the chute's plug flow is three collocation nodes here."""
    twin = ControlTwin(LINE, Structure.CASCADE, step=1.0)
    seen = step_response(twin, 500)
    after = int(np.argmax(seen >= share))
    time = after - (seen[after] - share) / (seen[after] - seen[after - 1])
    assert time == pytest.approx(seconds, rel=relative)
    assert seen[-1] == pytest.approx(1.0, abs=0.01)


def test_one_step_of_five_seconds_is_five_of_one() -> None:
    fine = step_response(ControlTwin(LINE, Structure.CASCADE, step=1.0), 400)
    coarse = step_response(ControlTwin(LINE, Structure.CASCADE, step=5.0), 400)
    assert coarse == pytest.approx(fine[::5], abs=2e-4)


def gains(structure: Structure = Structure.CASCADE) -> dict[tuple[str, str], float]:
    """Settled effect of inputs on outputs at the reference point, in SI, logarithms undone."""
    twin = twin_of(structure)
    x, p, v = twin.steady(FEED, API, 0.0, BLENDER), np.zeros(len(PARAMETERS)), inputs(structure)
    *_, y, _, _, hv = twin.stage_function()(x, p, v)
    y, hv = np.array(y).ravel(), np.array(hv)
    out = {}
    for i, name in enumerate(OUTPUTS):
        size = np.exp(y[i]) if name.startswith("log_") else 1.0
        for j, inp in enumerate(INPUTS):
            out[name.removeprefix("log_"), inp] = size * hv[i, j]
    return out


def test_in_cascade_the_gains_at_the_reference_point_are_those_of_the_models() -> None:
    """Thickness at constant force moves the weight and not the strength: the force fixes that."""
    g = gains()
    assert g["weight", "press"] * 1e6 * 1e3 == pytest.approx(6.31, rel=0.01)  # mg/kN
    assert g["weight", "thickness"] * 1e6 * 1e-3 == pytest.approx(62.7, rel=0.01)  # mg/mm
    assert g["strength", "press"] * 1e-6 * 1e3 == pytest.approx(0.336, rel=0.01)  # MPa/kN
    assert g["strength", "thickness"] * 1e-6 * 1e-3 == pytest.approx(0.0, abs=1e-6)  # MPa/mm
    assert g["main_force", "press"] == pytest.approx(1.0, rel=1e-9)


def test_at_fixed_fill_strength_follows_weight_as_the_models_say() -> None:
    g = gains(Structure.REMOTE)
    weight, strength = g["weight", "press"], g["strength", "press"]
    force = g["main_force", "press"]
    assert (strength / 2.25e6) / (weight / 200e-6) == pytest.approx(4.74, rel=0.02)
    assert (force / 7.24e3) / (weight / 200e-6) == pytest.approx(4.38, rel=0.02)
    assert weight == pytest.approx(200e-6 / 8.29e-3, rel=0.01)


def test_a_harder_powder_at_constant_force_costs_weight_and_strength_as_the_models_say() -> None:
    twin, x = twin_of(), twin_of().steady(FEED, API, 0.0, BLENDER)
    soft = twin.outputs(x, NONE, inputs())
    hard = twin.outputs(x, parameters(pressure_scale=np.log(1.1)), inputs())
    weight = np.exp(float(hard["log_weight"]) - float(soft["log_weight"])) - 1.0
    strength = np.exp(float(hard["log_strength"]) - float(soft["log_strength"])) - 1.0
    assert weight == pytest.approx(-0.0189, rel=0.02)
    assert strength == pytest.approx(-0.10, rel=0.05)


def test_a_lot_acts_as_its_share_in_the_die() -> None:
    """At a share of one, as the same deviation of all powder would."""
    twin = twin_of(Structure.REMOTE)
    old, new = (twin.steady(FEED, API, share, BLENDER) for share in (0.0, 1.0))
    v = inputs(Structure.REMOTE)
    lot = parameters(lot_volume=0.05, lot_scale=0.1, lot_strength=-0.03)
    everywhere = parameters(specific_volume=0.05, pressure_scale=0.1, strength=-0.03)
    for name in OUTPUTS:
        assert float(twin.outputs(old, lot, v)[name]) == pytest.approx(
            float(twin.outputs(old, NONE, v)[name])
        )
        assert float(twin.outputs(new, lot, v)[name]) == pytest.approx(
            float(twin.outputs(new, everywhere, v)[name])
        )


def test_a_frozen_feeder_leaves_the_filler_to_make_up_the_total() -> None:
    p = problem()
    d = p.known[:, 0].copy()
    api = LINE.feeder_index("api")
    d[3 * api], d[3 * api + 1] = 1.0, 1.1 * FEED * API
    v = dict(zip(INPUTS, twin_of().stage_inputs(list(p.previous), list(d)), strict=True))
    assert float(v["feed"]) == pytest.approx(FEED)
    assert float(v["api"]) == pytest.approx(1.1 * API)
    filler = LINE.feeder_index("filler")
    d[3 * filler], d[3 * filler + 1] = 1.0, 0.8 * FEED
    v = dict(zip(INPUTS, twin_of().stage_inputs(list(p.previous), list(d)), strict=True))
    assert float(v["feed"]) == pytest.approx((0.8 + 1.1 * API + LUBRICANT) * FEED)


def test_a_flow_that_deviates_shows_in_feed_and_ratio() -> None:
    p = problem()
    d = p.known[:, 0].copy()
    d[3 * LINE.feeder_index("api") + 2] = 0.02
    v = dict(zip(INPUTS, twin_of().stage_inputs(list(p.previous), list(d)), strict=True))
    assert float(v["feed"]) == pytest.approx(FEED * (1.0 + 0.02 * API))
    assert float(v["api"]) == pytest.approx(1.02 * API / (1.0 + 0.02 * API))


def test_in_remote_the_controller_moves_the_fill_depth() -> None:
    config = controller_config("nmpc").model_copy(update={"structure": "REMOTE"})
    brain = make_brain(config, LINE, TABLE, None)
    assert isinstance(brain, NmpcBrain)
    assert brain.manipulated[MOVES.index("press")] == MV.FILL_DEPTH
    assert MV.MAIN_FORCE not in brain.manipulated
    assert brain.fast.grid.stages == config.optimisation.stages


def test_in_remote_a_plan_reaches_a_heavier_and_stronger_tablet_by_fill_and_thickness() -> None:
    p, fast = problem(None, MIDDLE, Structure.REMOTE), fast_of(MIDDLE, Structure.REMOTE)
    wish = p.references + np.array([0.0, np.log(1.02), np.log(1.05), 0.0, 0.0])
    found = fast.solve(replace(p, references=wish), p.hold(), 10)
    assert found.ok
    for name, target in (("log_weight", wish[1]), ("log_strength", wish[2])):
        assert found.outputs[OUTPUTS.index(name), -1] == pytest.approx(target, abs=2e-3)
    assert found.moves[-1, 2] > PRESS[Structure.REMOTE] + 0.05e-3
