"""Data made by the twin itself, so that the estimator's model and noise are exactly right."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from controller.data import Array
from controller.estimation.estimator import LineEstimator
from controller.estimation.mhe import Arrival, MheProblem
from controller.estimation.window import MEASURED, Window, selection
from controller.twin.core import INPUTS, PARAMETERS
from plant_models.line import blender_parameters, nominal_flow
from plant_models.variables import Structure
from tests.controller.kit import LINE, controller_config

__all__ = [
    "COUNT",
    "LAB",
    "PERIOD",
    "Run",
    "TwinLine",
    "at",
    "estimator",
    "gaussian",
    "nominal_inputs",
    "prior",
    "stage_inputs",
]

PERIOD = 5.0
COUNT = len(PARAMETERS) - 1  # parameters that have a level (inflow has none)
LAB = ("lab_weight", "lab_strength", "lab_thickness")
FORCE, FILL_DEPTH, THICKNESS, TURRET = 7240.0, 8.29e-3, 3.084e-3, 46.3 / 60.0


@lru_cache(maxsize=8)
def estimator(
    structure: Structure = Structure.CASCADE, window: int = 96, blocks: int = 11
) -> LineEstimator:
    """The configured estimator; compiled once per process."""
    config = controller_config().estimation.model_copy(
        update={"window_samples": window, "noise_blocks": blocks}
    )
    cache = Path(os.environ["TWINLINE_HOME"]) / "cache"
    return LineEstimator(LINE, structure, config, PERIOD, cache)


def at(name: str) -> int:
    """Position of a measured column or of a parameter."""
    return MEASURED.index(name) if name in MEASURED else PARAMETERS.index(name)


def gaussian(problem: MheProblem, scale: float = 1.0, blocks: int | None = None) -> MheProblem:
    """The problem with quadratic losses and all noise ``scale`` times as large."""
    t = problem.tuning
    tuning = replace(
        t,
        sigma=t.sigma * scale,
        walk=t.walk * scale,
        inflow=t.inflow * scale,
        dof_measured=1e12,
        dof_walk=1e12,
    )
    return replace(problem, tuning=tuning, blocks=problem.blocks if blocks is None else blocks)


def stage_inputs(**changes: float) -> Array:
    """Inputs of one stage at the reference point in CASCADE, but for ``changes``."""
    named = {
        "feed": nominal_flow(LINE),
        "api": 0.10,
        "lot": 0.0,
        "blender_speed": blender_parameters(LINE).speed_0,
        "press": FORCE,
        "thickness": THICKNESS,
        "turret_speed": TURRET,
        "lubricant": 0.01,
    }
    return np.array([{**named, **changes}[name] for name in INPUTS])


def nominal_inputs(structure: Structure, samples: int) -> Array:
    """Inputs ``(nv, samples)`` at the reference point."""
    press = FORCE if structure is Structure.CASCADE else FILL_DEPTH
    return np.repeat(stage_inputs(press=press)[:, None], samples, axis=1)


def prior(e: LineEstimator, scale: float = 1.0) -> Arrival:
    """What the configured estimator knows before the first sample, at steady state."""
    inputs = nominal_inputs(e.twin.structure, 1)[:, 0]
    first = e.first_arrival(inputs, np.zeros(len(MEASURED)), np.zeros(len(MEASURED)))
    return replace(first, cov=first.cov * scale**2)


@dataclass(frozen=True)
class Run:
    """A window of data and the truth behind it; ``x`` (nx, n) and ``p`` (np, n) per stage."""

    window: Window
    x0: Array
    x: Array
    p: Array
    y: Array

    def truth(self, free: np.ndarray) -> Array:
        """Free states at the end and parameters of the last stage."""
        return np.concatenate((self.x[free, -1], self.p[:COUNT, -1]))


@dataclass
class TwinLine:
    """The twin as a plant: walks, unexplained inflow and measurement noise as the tuning says.

    ``lab_every`` samples there is an at-line sample; ``blind`` columns are never measured; ``drop``
    is the share of all other values that is missing.
    """

    estimator: LineEstimator
    problem: MheProblem
    arrival: Arrival
    seed: int
    lab_every: int = 12
    blind: tuple[str, ...] = ()
    drop: float = 0.0
    spread: bool = True  # draw start and parameters from the prior

    def run(self, samples: int, inputs: Array | None = None, jumps: Array | None = None) -> Run:
        """Simulate; ``jumps`` (np, samples) is added to the parameters' steps."""
        rng, e, t = np.random.default_rng(self.seed), self.estimator, self.problem.tuning
        free = self.problem.free
        v = nominal_inputs(e.twin.structure, samples) if inputs is None else inputs
        x, p = self.arrival.x.copy(), self.arrival.p.copy()
        if self.spread:
            root = np.linalg.cholesky(self.arrival.cov + 1e-30 * np.eye(self.arrival.cov.shape[0]))
            error = root @ rng.standard_normal(root.shape[0])
            x[free] += error[: free.size]
            p[:COUNT] += error[free.size :]
        pick = selection(self.problem.cascade)
        window, start, xs, ps, ys = Window.empty(), x.copy(), [], [], []
        for k in range(samples):
            if k > 0:
                p[:COUNT] += t.walk[:COUNT] * rng.standard_normal(COUNT)
            if jumps is not None:
                p += jumps[:, k]
            p[-1] = t.inflow / PERIOD * rng.standard_normal()
            out = e.one_stage(x, p[:, None], v[:, k : k + 1])
            x, y = out.x[:, 0].copy(), out.y[:, 0].copy()
            values = pick @ y + t.sigma * rng.standard_normal(t.sigma.size)
            weights = (rng.random(t.sigma.size) >= self.drop).astype(float)
            if (k + 1) % self.lab_every:
                weights[[at(name) for name in LAB]] = 0.0
            weights[[at(name) for name in self.blind]] = 0.0
            window = window.append(PERIOD * (k + 1), v[:, k], values, weights, 1.0, 0.0)
            xs.append(x)
            ps.append(p.copy())
            ys.append(y)
        return Run(window, start, np.array(xs).T, np.array(ps).T, np.array(ys).T)
