"""Soft sensor of a press: moving-horizon estimate of the powder in the die and of the fill depth.

(S1)  F_k = f(m_k, h_k, v_k, q_k) + e_k            main force, `plant_models.press_cell`
(S2)  m'_k = m_k + n_k                             fill depth as the press reports it
(S3)  v_k+1 = v_k + w_k,  m_k+1 = m_k + u_k        powder and effective fill depth walk
(S4)  min |z_0 - z_a|^2_{P_a^-1} + sum rho(w^2/q_v) + sum rho(u^2/q_m) + sum rho(e^2/r) + ...

``v`` ln of the specific bulk volume, ``m`` fill depth that the powder sees [m]: the fill cam is
moved all the time, and part of what its encoder says never reaches the die. ``rho`` is the
Student-t loss by reweighting, so that a gross error loses its influence and a jump of the powder
is followed. The arrival cost is the sample that leaves, marginalised exactly at the last solution.
Only samples with the press running enter; a stop in between widens the step across it.

References
----------
Rao, Rawlings & Mayne 2003, IEEE Trans Autom Control 48:246-258 (moving-horizon estimation, from
memory). Student-t by reweighting: Lange, Little & Taylor 1989, J Am Stat Assoc 84:881-896 (from
memory).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import solveh_banded

from controller.data import Array
from controller.press.settings import PressSensorConfig
from plant_models.press_cell import PressCell, main_force

__all__ = ["PressSample", "PressSensor", "SensorState"]

_START_SD = np.array([0.05, 0.3])  # ln volume, mm
_FIRST_BAND = 0.25  # of a fill depth: how far the first guess of ln volume may lie off
_MM = 1e-3
_KN = 1e3


@dataclass(frozen=True, slots=True)
class PressSample:
    """One sample of a running press in SI; ``force`` or ``fill`` NaN if not usable.

    ``walk`` multiplies the standard deviation of the step from the sample before.
    """

    force: float
    fill: float
    band: float
    rate: float
    walk: float = 1.0


@dataclass(frozen=True, slots=True)
class SensorState:
    """Memory of the sensor: samples in the window and the last solution.

    ``data`` (n, 5) rows of `PressSample`; ``z`` (n, 2) ln volume [-] and fill depth [mm];
    ``prior`` (2,) and ``info`` (2, 2) the arrival cost; ``cov`` (2, 2) of the newest ``z``;
    ``force`` [N] and ``force_sd`` at the newest settings; ``residual`` the newest normalised one.
    """

    data: Array
    z: Array
    prior: Array
    info: Array
    cov: Array
    force: float
    force_sd: float
    residual: float


class PressSensor:
    """The sensor of one press cell; holds no memory of its own, but buffers: one thread only."""

    def __init__(self, cell: PressCell, config: PressSensorConfig) -> None:
        self._cell, self._c = cell, config
        self._force = _ForceMap(cell, config.window_samples)
        self._walk = np.array([config.powder_walk, config.fill_walk_mm])

    def start(self, sample: PressSample) -> SensorState:
        """State after the first sample."""
        fill = sample.fill / _MM if np.isfinite(sample.fill) else 5.0
        z = np.array([[self._first_volume(sample, fill), fill]])
        data = np.array([_row(sample)])
        info = np.diag(1.0 / _START_SD**2)
        return self._solve(data, z, z[0].copy(), info)

    def step(self, state: SensorState | None, sample: PressSample) -> SensorState:
        """State after one more sample of the running press."""
        if state is None:
            return self.start(sample)
        data = np.vstack((state.data, _row(sample)))
        z = np.vstack((state.z, state.z[-1]))
        if np.isfinite(sample.fill):
            z[-1, 1] += 0.5 * (sample.fill / _MM - z[-1, 1])
        prior, info = state.prior, state.info
        if len(data) > self._c.window_samples:
            prior, info = self._leave(data, z, prior, info)
            data, z = data[1:], z[1:]
        return self._solve(data, z, prior, info)

    def stand(self, state: SensorState, samples: float) -> SensorState:
        """State after ``samples`` periods of which nothing is known."""
        cov = state.cov + np.diag(self._walk**2) * samples
        _, slope = self._force(state.z[-1:], state.data[-1:])
        sd = float(np.sqrt(slope[0] @ cov @ slope[0])) * _KN
        return replace(state, cov=cov, force_sd=sd)

    def force_at(self, state: SensorState, fill: float, band: float, rate: float) -> float:
        """Main force [N] that the estimated powder would meet at other settings (SI)."""
        return float(main_force(self._cell, fill, band, float(state.z[-1, 0]), rate))

    def _first_volume(self, sample: PressSample, fill: float) -> float:
        """Ln volume at which the cell meets the first force, by bisection (force falls with it)."""
        if not np.isfinite(sample.force):
            return 0.0
        lo, hi = -_FIRST_BAND, _FIRST_BAND
        for _ in range(30):
            mid = 0.5 * (lo + hi)
            force = main_force(self._cell, fill * _MM, sample.band, mid, sample.rate)
            lo, hi = (mid, hi) if force > sample.force else (lo, mid)
        return 0.5 * (lo + hi)

    def _linearised(self, data: Array, z: Array) -> tuple[Array, Array, Array, Array]:
        """Residuals of force and fill, normalised and 0 if missing; slopes (n, 2); weights."""
        force, slope = self._force(z, data)
        c, dof = self._c, self._c.dof_measured
        e = (data[:, 0] / _KN - force) / c.force_sd_kn
        n = (data[:, 1] / _MM - z[:, 1]) / c.fill_sd_mm
        weight = np.empty((2, len(z)))
        for row, r in zip(weight, (e, n), strict=True):
            missing = ~np.isfinite(r)
            r[missing] = 0.0
            row[:] = (dof + 1.0) / (dof + r**2)
            row[missing] = 0.0
        return e, n, slope / c.force_sd_kn, weight

    def _steps(self, data: Array, z: Array) -> Array:
        """(n-1, 2) information of the steps, reweighted."""
        sd = self._walk[None, :] * data[1:, 4:5]
        dof = self._c.dof_walk
        step = np.diff(z, axis=0) / sd
        return np.asarray((dof + 1.0) / (dof + step**2) / sd**2)

    def _solve(self, data: Array, z: Array, prior: Array, info: Array) -> SensorState:
        n = len(z)
        for _ in range(self._c.steps):
            band, gradient = self._normal(data, z, prior, info)
            change = solveh_banded(band, -gradient, lower=True, check_finite=False)
            z = z + change.reshape(n, 2)
        band, _ = self._normal(data, z, prior, info)
        unit = np.zeros((2 * n, 2))
        unit[-2, 0] = unit[-1, 1] = 1.0
        cov = solveh_banded(band, unit, lower=True, check_finite=False)[-2:]
        force, slope = self._force(z[-1:], data[-1:])
        sd = float(np.sqrt(slope[0] @ cov @ slope[0]))
        residual = (data[-1, 0] / _KN - force[0]) / np.hypot(self._c.force_sd_kn, sd)
        return SensorState(
            data=data,
            z=z,
            prior=prior,
            info=info,
            cov=cov,
            force=float(force[0]) * _KN,
            force_sd=sd * _KN,
            residual=float(residual),
        )

    def _normal(self, data: Array, z: Array, prior: Array, info: Array) -> tuple[Array, Array]:
        """Lower band (4, 2n) of the Gauss-Newton Hessian, unknowns sample by sample; gradient."""
        n = len(z)
        e, f, slope, weight = self._linearised(data, z)
        band, gradient = np.zeros((4, 2 * n)), np.zeros((n, 2))
        fill_sd = self._c.fill_sd_mm
        we, wf = weight
        band[0, 0::2] = we * slope[:, 0] ** 2
        band[0, 1::2] = we * slope[:, 1] ** 2 + wf / fill_sd**2
        band[1, 0::2] = we * slope[:, 0] * slope[:, 1]
        gradient -= slope * (we * e)[:, None]
        gradient[:, 1] -= wf * f / fill_sd
        if n > 1:
            steps = self._steps(data, z)
            pull = steps * np.diff(z, axis=0)
            gradient[1:] += pull
            gradient[:-1] -= pull
            flat = steps.ravel()
            band[0, 2:] += flat
            band[0, :-2] += flat
            band[2, :-2] -= flat
        gradient[0] += info @ (z[0] - prior)
        band[0, 0] += info[0, 0]
        band[0, 1] += info[1, 1]
        band[1, 0] += info[1, 0]
        return band, gradient.ravel()

    def _leave(self, data: Array, z: Array, prior: Array, info: Array) -> tuple[Array, Array]:
        """Arrival cost of the second sample: the first one marginalised at ``z``."""
        e, f, slope, weight = self._linearised(data[:1], z[:1])
        q = self._steps(data[:2], z[:2])[0]
        own = info + weight[0, 0] * np.outer(slope[0], slope[0])
        own[1, 1] += weight[1, 0] / self._c.fill_sd_mm**2
        g = info @ (z[0] - prior) - slope[0] * weight[0, 0] * e[0]
        g[1] -= weight[1, 0] * f[0] / self._c.fill_sd_mm
        pull = q * (z[1] - z[0])
        gain = q[:, None] * np.linalg.inv(own + np.diag(q))
        after = np.diag(q) - gain * q[None, :]
        after = 0.5 * (after + after.T)
        gradient = pull + gain @ (g - pull)
        return z[1] - np.linalg.solve(after, gradient), after


class _ForceMap:
    """Force [kN] and its slopes by (ln volume, fill depth [mm]) for up to ``size`` samples."""

    def __init__(self, cell: PressCell, size: int) -> None:
        z, s = ca.SX.sym("z", 2), ca.SX.sym("s", 2)
        force = main_force(cell, z[1] * _MM, s[0], z[0], s[1]) / _KN
        one = ca.Function("force", [z, s], [force, ca.jacobian(force, z)], {"cse": True})
        function: Any = one.map(size)
        self._buffer, self._evaluate = function.buffer()
        self._z, self._s = np.ones((size, 2)), np.ones((size, 2))
        self._f, self._j = np.zeros(size), np.zeros((size, 2))
        self._buffer.set_arg(0, self._z.data)
        self._buffer.set_arg(1, self._s.data)
        self._buffer.set_res(0, self._f.data)
        self._buffer.set_res(1, self._j.data)

    def __call__(self, z: Array, data: Array) -> tuple[Array, Array]:
        n = len(z)
        self._z[:n] = z
        self._s[:n] = data[:, 2:4]
        self._evaluate()
        return self._f[:n].copy(), self._j[:n].copy()


def _row(sample: PressSample) -> tuple[float, ...]:
    return (sample.force, sample.fill, sample.band, sample.rate, sample.walk)
