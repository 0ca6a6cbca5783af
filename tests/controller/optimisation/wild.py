"""Optimal control problems far from home: any set point in use, any range, wide steps wanted."""

from dataclasses import replace

import numpy as np

from controller.config import OptimisationConfig
from controller.data import Array
from controller.optimisation.problem import OcpProblem
from plant_models.variables import Structure
from tests.controller.ocp_kit import problem

# Few stages and nodes: the reference takes half a second.
TINY = OptimisationConfig(stages=12, nodes=(0, 1, 2, 4, 8))


def wild(
    seed: int, config: OptimisationConfig = TINY, structure: Structure = Structure.CASCADE
) -> tuple[OcpProblem, Array]:
    """A problem and a first guess, both as far away as ranges allow.

    Set points in use anywhere in their ranges, some of them fixed there, some ranges narrow; wanted
    are up to 4 % of potency, 10 % of weight, 40 % of strength and half of the throughput elsewhere.
    """
    rng = np.random.default_rng(1000 + seed)
    p = problem(seed, config, structure)
    wanted = p.references + rng.uniform(-1.0, 1.0, 5) * np.array([0.04, 0.1, 0.4, 0.0, 0.25])
    wanted[3] *= rng.uniform(0.55, 1.5)
    previous = p.lo + (p.hi - p.lo) * rng.uniform(size=5)
    x0 = p.x0.copy()
    x0[1] *= rng.uniform(0.4, 1.6)
    lo, hi, kind = p.lo.copy(), p.hi.copy(), rng.uniform(size=5)
    width = 0.3 * (hi - lo)
    narrow = kind < 0.3
    lo[narrow] = np.maximum(lo, previous - width * rng.uniform(size=5))[narrow]
    hi[narrow] = np.minimum(hi, previous + width * rng.uniform(size=5))[narrow]
    fixed = (kind >= 0.3) & (kind < 0.4)
    lo[fixed], hi[fixed] = previous[fixed], previous[fixed]
    p = replace(p, references=wanted, previous=previous, x0=x0, lo=lo, hi=hi)
    anywhere = lo + (hi - lo) * rng.uniform(size=(len(p.grid.nodes), 5))
    return p, p.feasible(anywhere)
