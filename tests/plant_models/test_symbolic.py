"""One equation for twin and plant: every model function gives the same on CasADi symbols.

The table below must name every public function of the equation modules; a new function without an
entry fails `test_every_public_function_is_compared`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args

import casadi as ca
import numpy as np
import pytest

import plant_models
from plant_models import (
    blender,
    chute,
    feed_frame,
    feeder,
    materials,
    maths,
    press_cell,
    quality,
    regulatory,
    tablet_press,
)

FEEDER = feeder.FeederParameters(
    ff_min=0.8e-3,
    ff_max=1.1e-3,
    beta=1.5,
    capacity=5.0,
    tau_screw=1.5,
    overfeed=0.05,
    tau_overfeed=80.0,
    speed_max=2.0,
)
BLENDER = blender.BlenderParameters(
    hold_up_0=0.1, rate_0=0.0146, speed_0=200 / 60, alpha=0.6, tanks=5
)
CHUTE = chute.ChuteParameters(volume=0.6 / 480.0, nodes=4)
FRAME = feed_frame.FeedFrameParameters(hold_up=0.35, paddle_speed=1.0)
BLEND = tablet_press.Compaction(a=0.7, scale=20e6, critical_density=0.316, true_density=1520.0)
CELLS = tuple(
    press_cell.PressCell(
        law=law,
        die_area=51.5e-6,
        cup_height=1.1e-3,
        lower_cup=0.55e-3,
        compliance=20e-9,
        true_density=1505.0,
        bulk_density=610.0,
        a=0.7,
        scale=14e6,
        critical_density=0.32,
        heckel_slope=1.1e-8,
        heckel_intercept=0.65,
        speed_sensitivity=0.09,
        rate_ref=33.0,
    )
    for law in get_args(press_cell.Law)
)
PRESS = tablet_press.PressParameters(
    die_area=50.27e-6,
    diameter=8e-3,
    stations=36,
    compliance=15e-9,
    pre_thickness=3.8e-3,
    recovery=0.04,
    critical_speed=50 / 60,
    paddle_speed=1.0,
    fill_loss=0.16,
    fill_loss_power=1.2,
    ejection_0=190.0,
    ejection_pressure=144e6,
    ejection_power=0.8,
    ejection_extent=5e-4,
    extent_0=351.0,
    speed_ref=46.3 / 60,
    rate_sensitivity=0.064,
)
STRENGTH = quality.StrengthParameters(sigma_0=10e6, k=7.06, beta=0.35, gamma=0.003, extent_0=351.0)
GRAVIMETRIC = regulatory.GravimetricLoop(gain=0.5, period=10.0)
LEVEL = regulatory.LevelLoop(set_point=0.5, gain=0.5, integral_time=600.0)


@dataclass(frozen=True)
class Case:
    """A function, with its parameters bound, over numbers; and points to compare at."""

    function: Callable[..., Any]
    call: Callable[..., Any]
    points: tuple[tuple[float, ...], ...]


def case(
    function: Callable[..., Any],
    call: Callable[..., Any],
    *points: tuple[float, ...],
) -> Case:
    return Case(function, call, points)


CASES = (
    case(maths.exp, maths.exp, (0.3,), (-5.0,)),
    case(maths.log, maths.log, (0.3,), (5.0,)),
    case(maths.sqrt, maths.sqrt, (0.3,), (5.0,)),
    case(maths.maximum, maths.maximum, (1.0, 2.0), (2.0, 1.0), (1.0, 1.0)),
    case(maths.minimum, maths.minimum, (1.0, 2.0), (2.0, 1.0), (1.0, 1.0)),
    case(maths.where, lambda a, b: maths.where(a > b, a, 2.0 * b), (1.0, 2.0), (2.0, 1.0)),
    case(
        materials.mixture_density,
        lambda a, b: materials.mixture_density([a, 1.0 - a], [b, 480.0]),
        (0.1, 420.0),
    ),
    case(
        materials.mix_by_mass,
        lambda a, b: materials.mix_by_mass([a, 1.0 - a], [b, 20.0]),
        (0.1, 30.0),
    ),
    case(feeder.feed_factor, lambda w: feeder.feed_factor(FEEDER, w), (0.0,), (3.1,)),
    case(
        feeder.mass_flow,
        lambda w, n, s: feeder.mass_flow(FEEDER, w, n, s),
        (3.1, 0.6, 1.05),
        (0.0, 0.0, 1.0),
    ),
    case(
        feeder.feeder_rates,
        lambda w, n, s, r, d: feeder.feeder_rates(FEEDER, w, n, s, r, d),
        (3.1, 0.6, 0.7, 0.02, 0.95),
    ),
    case(feeder.refill_overfeed, lambda t: feeder.refill_overfeed(FEEDER, t), (0.0,), (40.0,)),
    case(feeder.feed_factor_drive, feeder.feed_factor_drive, (15.0, 25.0)),
    case(blender.outflow, lambda m, n: blender.outflow(BLENDER, m, n), (0.48, 3.3), (0.05, 3.3)),
    case(blender.hold_up_at, lambda q, n: blender.hold_up_at(BLENDER, q, n), (5.6e-3, 3.3)),
    case(
        blender.impeller_torque,
        lambda t, m, n: blender.impeller_torque(t, m, n),
        (4.0, 1.1, 0.9),
    ),
    case(
        blender.tank_rates,
        lambda a, b, c, i, m, q, p, s: blender.tank_rates([a, b, c], i, m, q, p, s),
        (0.1, 0.2, 0.3, 0.4, 0.48, 5e-3, 6e-3, 3.3),
    ),
    case(
        chute.advection_rates,
        lambda a, b, c, i, m, q, p, s: chute.advection_rates([a, b, c], i, m, q, p, s),
        (0.1, 0.2, 0.3, 0.4, 0.30, 5e-3, 6e-3, 0.1),
    ),
    case(chute.level, lambda m, v: chute.level(CHUTE, m, v), (0.3, 2.1e-3)),
    case(
        feed_frame.frame_rate,
        lambda v, i, q, s: feed_frame.frame_rate(FRAME, v, i, q, s),
        (0.1, 0.11, 5.6e-3, 1.0),
    ),
    case(
        tablet_press.critical_turret_speed,
        lambda n: tablet_press.critical_turret_speed(PRESS, n),
        (0.9,),
    ),
    case(
        tablet_press.fill_fraction,
        lambda t, n: tablet_press.fill_fraction(PRESS, t, n),
        (0.7, 1.0),
        (1.1, 1.0),
    ),
    case(
        tablet_press.tablet_weight,
        lambda h, v, f: tablet_press.tablet_weight(PRESS, h, v, f),
        (8.29e-3, 2.1e-3, 0.99),
    ),
    case(
        tablet_press.fill_depth_for_weight,
        lambda w, v, f: tablet_press.fill_depth_for_weight(PRESS, w, v, f),
        (200e-6, 2.1e-3, 0.99),
    ),
    case(
        tablet_press.kawakita_pressure,
        lambda rho: tablet_press.kawakita_pressure(BLEND, rho),
        (0.82,),
        (0.2,),
    ),
    case(
        tablet_press.compaction_work,
        lambda w, rho: tablet_press.compaction_work(BLEND, w, rho),
        (200e-6, 0.82),
        (200e-6, 0.2),
    ),
    case(
        tablet_press.kawakita_density,
        lambda p: tablet_press.kawakita_density(BLEND, p),
        (144e6,),
        (0.0,),
    ),
    case(
        tablet_press.in_die_density,
        lambda w, h: tablet_press.in_die_density(PRESS, BLEND, w, h),
        (200e-6, 3.19e-3),
    ),
    case(tablet_press.force_gain, lambda rho: tablet_press.force_gain(BLEND, rho), (0.82,)),
    case(
        tablet_press.force_at_weight,
        lambda w, h: tablet_press.force_at_weight(PRESS, BLEND, w, h),
        (200e-6, 3.084e-3),
        (50e-6, 3.084e-3),
    ),
    case(
        tablet_press.weight_at_force,
        lambda f, h: tablet_press.weight_at_force(PRESS, BLEND, f, h),
        (7240.0, 3.084e-3),
    ),
    case(
        tablet_press.compress_at_fill,
        lambda d, h, v, f: tablet_press.compress_at_fill(PRESS, BLEND, d, h, v, f),
        (8.29e-3, 3.084e-3, 2.08e-3, 0.999),
    ),
    case(
        tablet_press.compress_at_force,
        lambda f, h: tablet_press.compress_at_force(PRESS, BLEND, f, h),
        (7240.0, 3.084e-3),
    ),
    case(
        tablet_press.ejection_force,
        lambda p, k: tablet_press.ejection_force(PRESS, p, k),
        (144e6, 400.0),
        (0.0, 400.0),
    ),
    case(
        tablet_press.speed_pressure_scale,
        lambda b, n: tablet_press.speed_pressure_scale(PRESS, b, n),
        (20e6, 0.9),
        (20e6, 0.0),
    ),
    case(
        tablet_press.powder_flow,
        lambda n, w: tablet_press.powder_flow(PRESS, n, w),
        (0.77, 200e-6),
    ),
    case(quality.lubrication_factor, lambda k: quality.lubrication_factor(STRENGTH, k), (400.0,)),
    case(
        quality.tensile_strength,
        lambda e, k: quality.tensile_strength(STRENGTH, e, k),
        (0.21, 400.0),
    ),
    case(
        quality.porosity_for_strength,
        lambda s, k: quality.porosity_for_strength(STRENGTH, s, k),
        (2.25e6, 400.0),
    ),
    case(quality.breaking_force, lambda s, t: quality.breaking_force(s, 8e-3, t), (2.25e6, 3.3e-3)),
    case(
        quality.tensile_strength_from_breaking_force,
        lambda f, t: quality.tensile_strength_from_breaking_force(f, 8e-3, t),
        (94.0, 3.3e-3),
    ),
    case(quality.potency, lambda c: quality.potency(c, 0.1), (0.102,)),
    case(quality.assay, lambda c, w: quality.assay(c, w, 20e-6), (0.102, 203e-6)),
    case(
        quality.heckel_density,
        lambda p: quality.heckel_density(p, 93.6e6, 0.657),
        (100e6,),
    ),
    case(quality.weibull_dissolved, quality.weibull_dissolved, (900.0, 480.0, 1.2)),
    case(
        regulatory.feeder_rate_setpoints,
        lambda f, x, y: regulatory.feeder_rate_setpoints(f, [x, None, y], [None, None, 6e-5]),
        (5.6e-3, 0.1, 0.01),
        (1e-5, 0.1, 0.01),
    ),
    case(
        regulatory.gravimetric_move,
        lambda r, f, k: regulatory.gravimetric_move(GRAVIMETRIC, r, f, k),
        (5e-4, 4.8e-4, 1e-3),
    ),
    case(
        regulatory.force_slope,
        lambda f, h, d: regulatory.force_slope(PRESS, BLEND, f, h, d),
        (7240.0, 3.084e-3, 8.29e-3),
    ),
    case(
        regulatory.force_re_reference,
        lambda f, h, m: regulatory.force_re_reference(PRESS, BLEND, f, h, m),
        (7240.0, 3.084e-3, -2e-5),
    ),
    case(
        regulatory.level_loop_output,
        lambda b, v, i: regulatory.level_loop_output(LEVEL, b, v, i, 5.0),
        (0.77, 0.6, 12.0),
    ),
    case(
        regulatory.limit_move,
        regulatory.limit_move,
        (20.0, 7.0, 5.0, 12.0, 0.2),
        (7.1, 7.0, 5.0, 12.0, 0.2),
    ),
)

CASES += tuple(
    one
    for cell in CELLS
    for one in (
        case(
            press_cell.tablet_weight,
            lambda h, v, cell=cell: press_cell.tablet_weight(cell, h, v),
            (6.6e-3, 0.01),
        ),
        case(
            press_cell.main_force,
            lambda h, b, v, q, cell=cell: press_cell.main_force(cell, h, b, v, q),
            (6.6e-3, 2.1e-3, 0.01, 40.0),
            (2.0e-3, 2.1e-3, 0.0, 0.0),
        ),
        case(
            press_cell.relative_density,
            lambda f, q, cell=cell: press_cell.relative_density(cell, f, q),
            (6000.0, 40.0),
        ),
        case(
            press_cell.weight_at_force,
            lambda f, b, q, cell=cell: press_cell.weight_at_force(cell, f, b, q),
            (6000.0, 2.1e-3, 40.0),
        ),
        case(
            press_cell.force_sensitivity,
            lambda f, b, q, cell=cell: press_cell.force_sensitivity(cell, f, b, q),
            (6000.0, 2.1e-3, 40.0),
        ),
    )
)

# Public functions of the equation modules that are numeric by nature, and why.
NUMERIC_ONLY = {
    "maths.is_symbolic": "asks what its arguments are",
    "feeder.content_at_feed_factor": "checks its argument, for commissioning",
    "feeder.rate_time_base": "a design rule",
    "feeder.signal_quality_gain": "a table of bands",
    "blender.axial_dispersion_rates": "numpy arrays, for the simulated plant",
    "blender.closed_vessel_variance": "a design number",
    "blender.tanks_for_peclet": "a design number",
    "chute.collocation": "constants of a method",
    "regulatory.force_loop_move": "rounds to the steps of a drive",
}

EQUATION_MODULES = (
    "blender",
    "chute",
    "feed_frame",
    "feeder",
    "materials",
    "maths",
    "press_cell",
    "quality",
    "regulatory",
    "tablet_press",
)


def _flat(result: Any) -> list[Any]:
    if is_dataclass(result) and not isinstance(result, type):
        return [getattr(result, f.name) for f in fields(result)]
    if isinstance(result, (list, tuple)):
        return [item for part in result for item in _flat(part)]
    return [result]


def _symbolic(call: Callable[..., Any], kind: Any, point: Sequence[float]) -> list[float]:
    symbols = [kind.sym(f"x{i}") for i in range(len(point))]
    outputs = _flat(call(*symbols))
    f = ca.Function("f", symbols, [ca.vertcat(*outputs)])
    return [float(v) for v in np.atleast_1d(f(*point).full().ravel())]


def _numeric(call: Callable[..., Any], point: Sequence[float]) -> list[float]:
    return [float(v) for v in _flat(call(*point))]


PAIRS = [
    pytest.param(c.call, point, id=f"{c.function.__module__.split('.')[1]}.{c.function.__name__}")
    for c in CASES
    for point in c.points
]


@pytest.mark.parametrize(("call", "point"), PAIRS)
def test_numbers_and_symbols_give_the_same(
    call: Callable[..., Any], point: tuple[float, ...]
) -> None:
    expected = _numeric(call, point)
    assert all(np.isfinite(expected))
    for kind in (ca.SX, ca.MX):
        assert _symbolic(call, kind, point) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize(("call", "point"), PAIRS)
def test_arrays_are_computed_element_by_element(
    call: Callable[..., Any], point: tuple[float, ...]
) -> None:
    """As the simulated press does over its stations."""
    arrays = [np.array([v, v]) for v in point]
    found = _flat(call(*arrays))
    for value, number in zip(found, _numeric(call, point), strict=True):
        np.testing.assert_allclose(np.broadcast_to(value, 2), number, rtol=1e-13)


@pytest.mark.parametrize(("call", "point"), PAIRS)
def test_derivatives_are_finite(call: Callable[..., Any], point: tuple[float, ...]) -> None:
    """The optimiser differentiates everywhere, also at the edges of validity."""
    symbols = [ca.SX.sym(f"x{i}") for i in range(len(point))]
    x = ca.vertcat(*symbols)
    jacobian = ca.Function("j", symbols, [ca.jacobian(ca.vertcat(*_flat(call(*symbols))), x)])
    assert np.all(np.isfinite(jacobian(*point).full()))


def _public_functions(name: str) -> set[str]:
    module = importlib.import_module(f"plant_models.{name}")
    return {
        f"{name}.{n}"
        for n, member in vars(module).items()
        if inspect.isfunction(inspect.unwrap(member))
        and getattr(member, "__module__", "") == module.__name__
        and not n.startswith("_")
    }


def test_every_public_function_is_compared() -> None:
    public = set().union(*(_public_functions(name) for name in EQUATION_MODULES))
    compared = {f"{c.function.__module__.split('.')[1]}.{c.function.__name__}" for c in CASES}
    assert public - compared == set(NUMERIC_ONLY)
    assert compared <= public


def test_every_module_with_equations_is_in_the_list() -> None:
    """A module is one of equations when its functions take expressions."""
    found = set()
    for info in pkgutil.iter_modules(plant_models.__path__):
        module = importlib.import_module(f"plant_models.{info.name}")
        if getattr(module, "Expr", None) is not None and _public_functions(info.name):
            found.add(info.name)
    assert found == set(EQUATION_MODULES)
