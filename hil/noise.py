"""Noise that depends on seed, source and plant second only, never on who asks, or how often.

Each source has its own Philox stream, keyed by the seed and the CRC-32 of the source's name; a
block of seconds is drawn at once and kept. Every controller therefore meets the same disturbances,
and a plant that resumes goes on with the same noise without saving any generator.

(N1)  e_k = phi_1 e_{k-1} + phi_2 e_{k-2} + a_k + theta a_{k-1}       ARMA(2,1) at 1 s
(N2)  var(e)/var(a) = [(1 + theta^2)(1 - phi_2) + 2 phi_1 theta]
                      / [(1 + phi_2)(1 - phi_1 - phi_2)(1 + phi_1 - phi_2)]
(N3)  x_k = r x_{k-1} + sqrt(1 - r^2) a_k,  r = exp(-dt / T)           first-order noise

References
----------
Philox: Salmon et al. 2011, SC11 (numpy's implementation). (N1) structure and heavy tails after
Johnson et al. 2022, Int J Pharm 621:121776 (abstract read); its coefficients were not available
and are assumed. (N2) worked out from (N1), checked numerically in a test.
"""

from __future__ import annotations

from math import exp, sqrt
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arma", "Correlated", "Noise", "Occurrences", "arma_variance_ratio"]

Array = NDArray[np.float64]
_MASK = (1 << 64) - 1
_VALUES_PER_BLOCK = 4096


class Noise:
    """White noise by source and second; all draws of one seed.

    Parameters
    ----------
    seed
        Any integer; negative ones are taken modulo 2**64.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed & _MASK
        self._blocks: dict[tuple[str, str, int], tuple[int, Array]] = {}

    def normal(self, source: str, second: int, width: int = 1) -> Array:
        """``(width,)`` standard normal values."""
        return self._row("normal", source, second, width, 0.0)

    def uniform(self, source: str, second: int, width: int = 1) -> Array:
        """``(width,)`` values uniform on [0, 1)."""
        return self._row("uniform", source, second, width, 0.0)

    def student(self, source: str, second: int, nu: float, width: int = 1) -> Array:
        """``(width,)`` Student-t values of ``nu`` > 2 degrees of freedom, made variance 1."""
        return self._row("student", source, second, width, nu)

    def _row(self, kind: str, source: str, second: int, width: int, nu: float) -> Array:
        if second < 0:
            raise ValueError(f"noise exists from second 0 on, not at {second}")
        length = max(1, _VALUES_PER_BLOCK // width)
        block, row = divmod(second, length)
        key = (kind, source, width)
        held = self._blocks.get(key)
        if held is None or held[0] != block:
            held = (block, self._draw(kind, source, block, (length, width), nu))
            self._blocks[key] = held
        return np.asarray(held[1][row])

    def _draw(self, kind: str, source: str, block: int, shape: tuple[int, int], nu: float) -> Array:
        name = crc32(f"{kind}:{source}".encode())
        bits = np.random.Philox(
            key=np.array([self._seed, name], dtype=np.uint64),
            counter=np.array([0, block, 0, 0], dtype=np.uint64),
        )
        generator = np.random.Generator(bits)
        if kind == "normal":
            values = generator.standard_normal(shape)
        elif kind == "uniform":
            values = generator.random(shape)
        else:
            values = generator.standard_t(nu, shape) * sqrt((nu - 2.0) / nu)
        values.setflags(write=False)
        return values


def arma_variance_ratio(phi: tuple[float, float], theta: float) -> float:
    """Variance of an ARMA(2,1) process over that of its innovations (N2)."""
    one, two = phi
    above = (1.0 + theta * theta) * (1.0 - two) + 2.0 * one * theta
    below = (1.0 + two) * (1.0 - one - two) * (1.0 + one - two)
    return above / below  # (N2)


class Arma:
    """ARMA(2,1) noise of variance 1 with Student-t innovations, one value per second (N1)."""

    def __init__(
        self, noise: Noise, source: str, phi: tuple[float, float], theta: float, nu: float
    ) -> None:
        self._noise, self._source = noise, source
        self._phi, self._theta, self._nu = phi, theta, nu
        self._scale = 1.0 / sqrt(arma_variance_ratio(phi, theta))
        self._past = (0.0, 0.0, 0.0)  # e_{k-1}, e_{k-2}, a_{k-1}

    def step(self, second: int) -> float:
        """Value of this second; to be called once per second, in order."""
        last, older, shock = self._past
        new = self._scale * float(self._noise.student(self._source, second, self._nu)[0])
        value = self._phi[0] * last + self._phi[1] * older + new + self._theta * shock  # (N1)
        self._past = (value, last, new)
        return value

    def state(self) -> list[float]:
        """The last two values and the last innovation."""
        return list(self._past)

    def restore(self, state: list[float]) -> None:
        """Go on from what `state` returned."""
        last, older, shock = state
        self._past = (last, older, shock)


class Correlated:
    """Normal noise of variance 1 with correlation time ``time`` [s], one value per second (N3)."""

    def __init__(self, noise: Noise, source: str, time: float) -> None:
        self._noise, self._source = noise, source
        self._keep = exp(-1.0 / time)
        self._gain = sqrt(1.0 - self._keep * self._keep)
        self._value = float(noise.normal(f"{source}/start", 0)[0])

    def step(self, second: int) -> float:
        """Value of this second; to be called once per second, in order."""
        shock = float(self._noise.normal(self._source, second)[0])
        self._value = self._keep * self._value + self._gain * shock  # (N3)
        return self._value

    def state(self) -> float:
        """The last value."""
        return self._value

    def restore(self, state: float) -> None:
        """Go on from what `state` returned."""
        self._value = state


class Occurrences:
    """Events at a mean rate, independent from second to second."""

    def __init__(self, noise: Noise, source: str, per_hour: float) -> None:
        self._noise, self._source = noise, source
        self._chance = per_hour / 3600.0

    def size(self, second: int) -> float | None:
        """Standard normal size of an event that starts in this second, else ``None``."""
        if float(self._noise.uniform(self._source, second)[0]) >= self._chance:
            return None
        return float(self._noise.normal(f"{self._source}/size", second)[0])
