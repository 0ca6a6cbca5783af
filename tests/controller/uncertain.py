"""Estimates with a covariance, for the tests of what is made of it."""

import numpy as np

from controller.data import Array
from controller.optimisation.backoff import Factor, factor_of
from controller.twin.core import PARAMETERS
from tests.controller.ocp_kit import twin_of

NAMES = twin_of().state_names
FREE = np.array([i for i, n in enumerate(NAMES) if i < 2 or ".api" in n])
SIZE = FREE.size + len(PARAMETERS) - 1
STATE_SD = np.array([0.03, 0.01] + [0.001] * (FREE.size - 2))
PARAMETER_SD = {
    "specific_volume": 0.01,
    "pressure_scale": 0.03,
    "strength": 0.03,
    "lot_volume": 0.01,
    "feed_span": 0.002,
    "potency_span": 0.003,
    "compliance": 0.03,
    "discharge": 0.03,
    "thickness_offset": 2e-6,
}


def covariance(seed: int | None = None, scale: float = 1.0) -> Array:
    """Of an estimate; correlated with a ``seed``; ``scale`` on the standard deviations."""
    parameters = [PARAMETER_SD.get(name, 0.0) for name in PARAMETERS[:-1]]
    sd = scale * np.concatenate((STATE_SD, parameters))
    if seed is None:
        return np.diag(sd**2)
    a = np.random.default_rng(seed).normal(size=(SIZE, 2 * SIZE))
    c = a @ a.T
    c /= np.sqrt(np.outer(np.diag(c), np.diag(c)))
    return np.asarray(c * np.outer(sd, sd))


def factor(seed: int | None = None, scale: float = 1.0) -> Factor:
    found = factor_of(covariance(seed, scale), FREE, len(NAMES), len(PARAMETERS))
    assert found is not None
    return found
