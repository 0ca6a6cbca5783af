"""The window's least squares problem written down a second time, stage by stage, for scipy."""

from __future__ import annotations

from math import sqrt

import numpy as np

from controller.data import Array
from controller.estimation.mhe import Arrival, MheProblem, block_starts
from controller.estimation.window import Window, selection
from tests.controller.twin_data import COUNT, PERIOD

__all__ = ["Reference"]


class Reference:
    """(H1) as residuals of the unknowns [free states, parameters, steps, inflows], by blocks."""

    def __init__(self, problem: MheProblem, window: Window, first: Arrival) -> None:
        self.problem, self.window, self.first = problem, window, first
        self.stage = problem.twin.stage_function()
        self.starts = block_starts(window.size, problem.blocks)
        self.lengths = np.diff(np.append(self.starts, window.size))
        self.root = np.linalg.cholesky(np.linalg.inv(first.cov)).T
        self.walking = np.flatnonzero(problem.tuning.walk > 0.0)
        self.head = problem.free.size + COUNT
        self.size = self.head + (self.starts.size - 1) * self.walking.size + self.starts.size
        self.pick = selection(problem.cascade)
        used = window.weights > 0.0
        self.dof = np.concatenate(
            (
                np.full(self.head, np.inf),
                np.full((self.starts.size - 1) * self.walking.size, problem.tuning.dof_walk),
                np.full(self.starts.size, np.inf),
                np.full(int(used.sum()), problem.tuning.dof_measured),
            )
        )

    def scale(self) -> Array:
        """Size of each unknown's prior."""
        t, blocks = self.problem.tuning, self.starts.size
        steps = []
        for b in range(1, blocks):
            samples = 0.5 * (self.lengths[b - 1] + self.lengths[b])
            steps.append(t.walk[self.walking] * sqrt(samples))
        inflow = t.inflow / PERIOD / np.sqrt(self.lengths)
        return np.concatenate((np.sqrt(np.diag(self.first.cov)), *steps, inflow))

    def residuals(self, scaled: Array) -> Array:
        z = scaled * self.scale()
        problem, t, window = self.problem, self.problem.tuning, self.window
        free, nf, nw = problem.free, problem.free.size, self.walking.size
        x = self.first.x.copy()
        x[free] += z[:nf]
        p = np.append(self.first.p[:COUNT] + z[nf : self.head], 0.0)
        inflows = z[-self.starts.size :]
        seen, block = [], -1
        for k in range(window.size):
            if k in self.starts:
                block += 1
                if block > 0:
                    p[self.walking] += z[self.head + (block - 1) * nw :][:nw]
                p[-1] = inflows[block]
            out = self.stage(x, p, window.inputs[:, k])
            x, y = np.array(out[0]).ravel(), np.array(out[4]).ravel()
            used = window.weights[:, k] > 0.0
            weight = np.sqrt(window.weights[used, k])
            seen.append((window.values[used, k] - (self.pick @ y)[used]) / t.sigma[used] * weight)
        return np.concatenate((self.root @ z[: self.head], scaled[self.head :], *seen))

    def loss(self, z: Array) -> Array:
        """Twice the log-likelihood's loss of squared residuals, with two derivatives."""
        dof = np.where(np.isfinite(self.dof), self.dof, 1.0)
        heavy = np.isfinite(self.dof)
        rho = np.where(heavy, (dof + 1.0) * np.log1p(z / dof), z)
        first = np.where(heavy, (dof + 1.0) / (dof + z), 1.0)
        second = np.where(heavy, -(dof + 1.0) / (dof + z) ** 2, 0.0)
        return np.vstack((rho, first, second))
