"""Residence times measured on the model functions themselves: linear systems made of their rates.

`tank_rates`, `axial_dispersion_rates` and `frame_rate` are linear in the attribute at constant
flow. Their matrices are read off unit vectors; responses then follow from matrix exponentials,
without an integrator's error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """``x' = A x + b u``; the output is the last state."""

    a: Array
    b: Array

    def then(self, other: "Linear") -> "Linear":
        """Both in series."""
        n, m = len(self.b), len(other.b)
        a = np.zeros((n + m, n + m))
        a[:n, :n], a[n:, n:] = self.a, other.a
        a[n:, n - 1] = other.b
        return Linear(a, np.r_[self.b, np.zeros(m)])

    def step(self, times: Array) -> Array:
        """Response to a unit step at equally spaced ``times`` that start at 0."""
        n = len(self.b)
        block = np.zeros((n + 1, n + 1))
        block[:n, :n], block[:n, n] = self.a, self.b
        advance = expm(block * (times[1] - times[0]))
        x = np.r_[np.zeros(n), 1.0]
        out = []
        for _ in times:
            out.append(x[n - 1])
            x = advance @ x
        return np.array(out)

    def moments(self) -> tuple[float, float]:
        """Mean and variance of the residence time [s], [s2]."""
        inverse = np.linalg.inv(self.a)
        first = float((inverse @ inverse @ self.b)[-1])
        second = float(-2.0 * (inverse @ inverse @ inverse @ self.b)[-1])
        area = float(-(inverse @ self.b)[-1])
        return first / area, second / area - (first / area) ** 2

    def sine_gain(self, period: float) -> float:
        """Amplitude ratio for a sine of this period [s]."""
        n = len(self.b)
        return float(abs(np.linalg.solve(2j * np.pi / period * np.eye(n) - self.a, self.b)[-1]))

    def noise_variance_ratio(self, correlation_time: float) -> float:
        """Variance out over in for noise with autocorrelation ``exp(-|s|/tc)``."""
        noise = Linear(np.array([[-1.0 / correlation_time]]), np.array([0.0]))
        whole = noise.then(self)
        drive = np.zeros_like(whole.a)
        drive[0, 0] = 2.0 / correlation_time  # unit variance of the noise
        return float(solve_continuous_lyapunov(whole.a, -drive)[-1, -1])


def linear(rates: Callable[[Array, float], Array], states: int) -> Linear:
    """The linear system behind ``rates(x, u)``; checks that it is linear."""
    zero = np.zeros(states)
    a = np.column_stack([rates(e, 0.0) for e in np.eye(states)])
    b = rates(zero, 1.0)
    x, u = np.linspace(0.3, 1.7, states), 0.7
    np.testing.assert_allclose(rates(x, u), a @ x + b * u, rtol=1e-12, atol=1e-12)
    return Linear(a, b)


def crossing(times: Array, values: Array, level: float) -> float:
    """First time at which ``values`` reach ``level``, between grid points by a straight line."""
    i = int(np.argmax(values >= level))
    share = (level - values[i - 1]) / (values[i] - values[i - 1])
    return float(times[i - 1] + share * (times[i] - times[i - 1]))
