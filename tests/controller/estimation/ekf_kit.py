"""A case in which filter and window must agree: quadratic losses, noise too small for curvature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.estimation.mhe import Arrival, MheProblem
from plant_models.variables import Structure
from tests.controller.twin_data import COUNT, estimator, gaussian, prior

__all__ = ["SMALL", "linear_gaussian"]

SMALL = 1e-4  # of the configured noise and priors: the twin is linear over that


def linear_gaussian(structure: Structure, samples: int) -> tuple[MheProblem, Arrival]:
    """Problem with a step of noise at every one of ``samples``, and its prior.

    Every state is free that matters: the configured filter and the arrival cost take the
    lubrication's states as known, the window itself does not, through which the two would differ.
    """
    e = estimator(structure)
    problem, first = gaussian(e.problem, SMALL, blocks=samples), prior(e, SMALL)
    names = problem.twin.state_names
    free = np.array([i for i, n in enumerate(names) if ".lot" not in n and ".lubricant" not in n])
    place = [int(np.flatnonzero(free == i)[0]) for i in problem.free]
    place += range(free.size, free.size + COUNT)
    cov = np.diag(np.full(free.size + COUNT, SMALL**2))
    cov[np.ix_(place, place)] = first.cov
    return replace(problem, free=free), replace(first, cov=cov)
