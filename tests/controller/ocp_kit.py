"""Optimal control problems of the reference line, at random, on grids small enough for tests."""

from dataclasses import replace
from functools import cache
from math import log

import numpy as np

from controller.config import OptimisationConfig
from controller.data import Array
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import OcpProblem, stage_moves
from controller.optimisation.reference import DoMpcReference
from controller.optimisation.setup import ProblemFactory
from controller.twin.core import PARAMETERS, ControlTwin
from plant_models.variables import Structure
from tests.controller.kit import LINE, TABLE

PERIOD = 5.0
FEED, API, LUBRICANT, BLENDER = 20.0 / 3600.0, 0.10, 0.01, 200.0 / 60.0
PRESS = {Structure.CASCADE: 7.25e3, Structure.REMOTE: 8.29e-3}
THICKNESS, TURRET = 3.084e-3, 46.3 / 60.0
SHORT = OptimisationConfig(stages=24, nodes=(0, 1, 2, 4, 8, 16))
MIDDLE = OptimisationConfig(stages=48, nodes=(0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 36))
LONG = OptimisationConfig()
SPREAD = {
    "specific_volume": 0.04,
    "pressure_scale": 0.08,
    "strength": 0.08,
    "compliance": 0.1,
    "discharge": 0.1,
    "thickness_offset": 4e-6,
    "lot_volume": 0.03,
    "lot_scale": 0.05,
}


@cache
def twin_of(structure: Structure = Structure.CASCADE) -> ControlTwin:
    return ControlTwin(LINE, structure, step=PERIOD)


@cache
def factory_of(
    config: OptimisationConfig = SHORT, structure: Structure = Structure.CASCADE
) -> ProblemFactory:
    return ProblemFactory(LINE, structure, config, TABLE, PERIOD)


@cache
def fast_of(
    config: OptimisationConfig = SHORT, structure: Structure = Structure.CASCADE
) -> FastSolver:
    """The fast solver on CasADi's machine."""
    return FastSolver(twin_of(structure), factory_of(config, structure).grid, None)


@cache
def reference_of(
    config: OptimisationConfig = SHORT, structure: Structure = Structure.CASCADE
) -> DoMpcReference:
    factory = factory_of(config, structure)
    return DoMpcReference(twin_of(structure), factory.grid, factory.zones, tolerance=1e-8)


def known(stages: int) -> Array:
    """Disturbances of a line on which every feeder follows its set point."""
    rows = np.zeros((3 * len(LINE.line.feeders) + 3, stages))
    rows[-3], rows[-1] = LUBRICANT, BLENDER
    return rows


def problem(
    seed: int | None = None,
    config: OptimisationConfig = SHORT,
    structure: Structure = Structure.CASCADE,
) -> OcpProblem:
    """A line at rest at its recipe; with a ``seed``, off it in every respect."""
    factory = factory_of(config, structure)
    twin, stages = twin_of(structure), config.stages
    calm = OcpProblem(
        grid=factory.grid,
        x0=twin.steady(FEED, API, 0.0, BLENDER),
        p=np.zeros(len(PARAMETERS)),
        known=known(stages),
        previous=np.array([FEED, API, PRESS[structure], THICKNESS, TURRET]),
        lo=factory.lo,
        hi=factory.hi,
        rate=factory.rate,
        references=np.array([1.0, log(200e-6), log(2.25e6), FEED, 0.5]),
        zones=factory.zones,
        weights=factory.weights,
    )
    return calm if seed is None else _disturbed(calm, twin, seed)


def _disturbed(calm: OcpProblem, twin: ControlTwin, seed: int) -> OcpProblem:
    rng = np.random.default_rng(seed)
    flow = FEED * rng.uniform(0.8, 1.25)
    x0 = twin.steady(flow, API * rng.uniform(0.97, 1.03), rng.uniform(), BLENDER)
    x0[1] *= rng.uniform(0.6, 1.5)
    p = np.zeros(len(PARAMETERS))
    for name, spread in SPREAD.items():
        p[PARAMETERS.index(name)] = spread * rng.uniform(-1.5, 1.5)
    disturbed = calm.known.copy()
    disturbed[2:9:3] = rng.uniform(-0.02, 0.02, (3, 1))
    if rng.uniform() < 0.5:  # the API feeder is refilled and runs at a frozen speed
        disturbed[0, :6] = 1.0
        disturbed[1, :6] = flow * API * rng.uniform(0.97, 1.05)
    share = rng.uniform(0.02, 0.98, calm.previous.size) if rng.uniform() < 0.3 else None
    near = calm.previous * rng.uniform(0.96, 1.04, calm.previous.size)
    anywhere = calm.lo + (calm.hi - calm.lo) * (0.5 if share is None else share)
    previous = np.clip(near if share is None else 0.7 * near + 0.3 * anywhere, calm.lo, calm.hi)
    wanted = calm.references.copy()
    wanted[0] *= rng.uniform(0.99, 1.01)
    wanted[1] += rng.uniform(-0.02, 0.02)
    wanted[2] += rng.uniform(-0.15, 0.15)
    wanted[3] *= rng.uniform(0.8, 1.25)
    return replace(calm, x0=x0, p=p, known=disturbed, previous=previous, references=wanted)


def held(problem: OcpProblem, moves: Array) -> Array:
    """Set points stage by stage, ``(N + 1, nu)``, the one in use before the first."""
    return np.vstack((problem.previous, stage_moves(problem, moves).T))
