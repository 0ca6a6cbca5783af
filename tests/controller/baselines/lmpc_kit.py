"""Linear model, planner and problems of the reference line, for the tests of lmpc."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from controller.baselines.lmpc import LmpcBrain
from controller.baselines.lmpc_model import DISTURBANCES, LinearTwin
from controller.baselines.lmpc_qp import LinearProblem
from controller.data import Array
from controller.optimisation.problem import TRACKED
from controller.twin.core import INPUTS, OUTPUTS, ControlTwin
from plant_models.variables import Structure
from tests.controller.kit import LINE, TABLE, controller_config

__all__ = ["brain", "disturbed", "move_inputs", "problem", "twin"]


@lru_cache(maxsize=1)
def brain() -> LmpcBrain:
    """The configured linear controller."""
    return LmpcBrain(LINE, TABLE, controller_config("lmpc"))


@lru_cache(maxsize=1)
def twin() -> ControlTwin:
    """The twin that it was made of."""
    return ControlTwin(LINE, Structure.CASCADE, step=5.0)


def disturbed(model: LinearTwin, **values: float) -> Array:
    """State ``z`` at the operating point with disturbances by name."""
    z = np.zeros(model.size)
    for name, value in values.items():
        z[model.nx + DISTURBANCES.index(name)] = value
    return z


def move_inputs(u: Array) -> Array:
    """Inputs of the twin while no feeder is frozen."""
    v = brain().model.v0.copy()
    at = [INPUTS.index(n) for n in ("feed", "api", "press", "thickness", "turret_speed")]
    v[at] = u
    return v


def problem(z: Array, previous: Array | None = None, **changes: object) -> LinearProblem:
    """A cycle in which no feeder is frozen; set points of the product unless ``changes``."""
    b = brain()
    model, grid = b.model, b.planner.grid
    u = model.u0 if previous is None else previous
    v = move_inputs(u)
    limits = b._limits
    settings: dict[str, object] = {
        "z": z,
        "inputs": np.repeat(v[:, None], grid.stages, axis=1),
        "gains": np.repeat(b.planner.plain_gain[None], grid.stages, axis=0),
        "settled": v,
        "settled_gain": b.planner.plain_gain,
        "previous": u,
        "lo": limits.lo,
        "hi": limits.hi,
        "rate": limits.rate,
        "references": model.y0[[OUTPUTS.index(n) for n in TRACKED]],
    }
    return LinearProblem(**(settings | changes))  # type: ignore[arg-type]
