"""Nothing depends on the units: in kg/h, kN, mm, rpm, mg and percent the plan is that in SI.

The same line with its moves and outputs in plant units, every number of the problem converted.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.data import Array
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import TRACKED, OcpProblem, Zone
from controller.optimisation.reference import DoMpcReference
from controller.twin.core import OUTPUTS, ControlTwin
from plant_models.maths import Expr
from plant_models.variables import Structure
from tests.controller.kit import LINE
from tests.controller.ocp_kit import PERIOD, factory_of, fast_of, reference_of
from tests.controller.optimisation.wild import TINY, wild

BOTH = (Structure.CASCADE, Structure.REMOTE)
# Plant units per SI unit: kg/h, %, kN or mm, mm, rpm.
MOVES = {
    Structure.CASCADE: np.array([3600.0, 100.0, 1e-3, 1e3, 60.0]),
    Structure.REMOTE: np.array([3600.0, 100.0, 1e3, 1e3, 60.0]),
}
FACTORS = dict.fromkeys(OUTPUTS, 1.0) | {
    "level": 100.0,
    "potency": 100.0,
    "potency_measured": 100.0,
    "thickness": 1e3,
    "throughput": 3600.0,
    "ejection_force": 1e-3,
    "lubricant": 100.0,
}
SHIFTS = dict.fromkeys(OUTPUTS, 0.0) | {
    "log_weight": log(1e6),
    "log_strength": log(1e-6),
    "log_pre_force": log(1e-3),
    "log_main_force": log(1e-3),
    "log_fill_depth": log(1e3),
}


class PlantUnits(ControlTwin):
    """The twin with moves and outputs in plant units."""

    def stage_inputs(self, u: Sequence[Expr], d: Sequence[Expr]) -> list[Expr]:
        factors = MOVES[self.structure]
        return super().stage_inputs([x / f for x, f in zip(u, factors, strict=True)], d)

    def outputs(self, x: Sequence[Expr], p: Sequence[Expr], v: Sequence[Expr]) -> dict[str, Expr]:
        return {k: y * FACTORS[k] + SHIFTS[k] for k, y in super().outputs(x, p, v).items()}


@cache
def twin_of(structure: Structure) -> PlantUnits:
    return PlantUnits(LINE, structure, step=PERIOD)


@cache
def solver_of(structure: Structure) -> FastSolver:
    return FastSolver(twin_of(structure), factory_of(TINY, structure).grid, None)


@cache
def peer_of(structure: Structure) -> DoMpcReference:
    p, _ = wild(0, TINY, structure)
    zones = tuple(in_plant_units(z) for z in p.zones)
    return DoMpcReference(twin_of(structure), p.grid, zones, tolerance=1e-8)


def in_plant_units(z: Zone) -> Zone:
    f, s = FACTORS[z.output], SHIFTS[z.output]
    return replace(z, lo=z.lo * f + s, hi=z.hi * f + s, scale=z.scale * f, margin=z.margin * f)


def converted(p: OcpProblem, guess: Array, structure: Structure) -> tuple[OcpProblem, Array]:
    """The same problem and guess in plant units."""
    m = MOVES[structure]
    f = np.array([FACTORS[name] for name in TRACKED])
    s = np.array([SHIFTS[name] for name in TRACKED])
    q = replace(
        p,
        previous=p.previous * m,
        lo=p.lo * m,
        hi=p.hi * m,
        rate=p.rate * m,
        references=p.references * f + s,
        zones=tuple(in_plant_units(z) for z in p.zones),
        weights=replace(p.weights, tracked=p.weights.tracked * f),
    )
    return q, guess * m


def same(structure: Structure, ours: Any, theirs: Any, tolerance: float) -> None:
    step = np.abs(theirs.moves / MOVES[structure] - ours.moves)
    assert np.max(step / factory_of(TINY, structure).rate) < tolerance
    assert theirs.cost == pytest.approx(ours.cost, rel=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(BOTH))
@settings(max_examples=30)
def test_the_plan_is_the_same_in_plant_units(seed: int, steps: int, structure: Structure) -> None:
    """To a thousandth of the smallest move that the PLC would see."""
    p, guess = wild(seed, TINY, structure)
    q, start = converted(p, guess, structure)
    ours = fast_of(TINY, structure).solve(p, guess, steps)
    theirs = solver_of(structure).solve(q, start, steps)
    same(structure, ours, theirs, 1e-4)


@pytest.mark.parametrize("seed", [1, 2])
def test_so_is_that_of_the_reference(seed: int) -> None:
    p, guess = wild(seed)
    q, start = converted(p, guess, Structure.CASCADE)
    ours = reference_of(TINY)(p, guess, 60.0)
    theirs = peer_of(Structure.CASCADE)(q, start, 60.0)
    assert ours.ok and theirs.ok
    same(Structure.CASCADE, ours, theirs, 1e-2)
