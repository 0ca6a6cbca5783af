"""Tuning of the conventional loops on the linearised twin: SIMC, lambda tuning, margins.

(G1)  level: feed -> content is exp(-theta s) / (s (tau s + 1)); SIMC for an integrating process:
      K_c = 1 / (tau_c + theta'), tau_I = 4 (tau_c + theta'),  theta' = theta + tau / 2
(G2)  at-line trim: with the internal model the loop is g / (z - 1) at the sample interval T:
      pole 1 - g, so g = 1 - exp(-T / lambda); gain margin 2 / g
(G3)  best constant g for a random walk of step SD s in noise of SD n:
      g = (sqrt(1 + 4 r) - 1) / (2 r)  with r = (n / s)^2
(G4)  ratio on totals: work-off gain 1 / (tau_c + theta), theta the window of the flow signal plus
      the period of its gravimetric loop

The plant of every margin is the twin's CASCADE structure, linearised at the product's set points.

References
----------
SIMC: Skogestad 2003, J Process Control 13:291-309 (rules from memory; the integrating rule checked
by the margins computed here). (G3) steady-state Kalman filter of a random walk, worked out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import exp, sqrt

import casadi as ca
import control
import numpy as np
from numpy.typing import NDArray

from controller.config import PidConfig
from plant_models import line as build
from plant_models.flowsheet import Line
from plant_models.line import ResolvedLine
from plant_models.variables import Structure

__all__ = [
    "LinearLine",
    "Margins",
    "lambda_gain",
    "level_margins",
    "linearise",
    "press_gains",
    "random_walk_gain",
    "relative_gains",
    "simc_level",
    "surplus_gain",
    "trim_margins",
]

Array = NDArray[np.float64]
CONTENT = "chute.content"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLine:
    """The twin in CASCADE at an operating point: ``x' = A x + B u``, ``y = C x + D u``, SI."""

    a: Array
    b: Array
    c: Array
    d: Array
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def feed_to_content(self) -> control.StateSpace:
        """Total feed to chute content: screws, blender hold-up, content; the rest is not in it."""
        keep = [
            k
            for k, name in enumerate(self.states)
            if name.endswith((".speed", "hold_up")) or name == CONTENT
        ]
        j = self.inputs.index("total_feed")
        a, b = self.a[np.ix_(keep, keep)], self.b[keep][:, [j]]
        return control.ss(a, b, self.c[[0]][:, keep], np.zeros((1, 1)))

    def settled_gain(self, output: str, input_: str) -> float:
        """Gain of a fast output (one that does not integrate) through the drives alone, SI."""
        press = [k for k, name in enumerate(self.states) if name.startswith("press.")]
        i, j = self.outputs.index(output), self.inputs.index(input_)
        a = self.a[np.ix_(press, press)]
        inner = np.linalg.solve(a, self.b[press, j])
        return float(self.d[i, j] - self.c[i, press] @ inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Gain margin [-] and phase margin [degree] of a loop."""

    gain: float
    phase: float


def linearise(line: ResolvedLine) -> LinearLine:
    """Linearise the twin in CASCADE at the product's set points; outputs are content and CVs."""
    twin = Line(line, Structure.CASCADE)
    point = twin.steady_state()
    x0 = np.array(list(point.states.values()))
    u0 = np.array([point.inputs[name] for name in twin.input_names()])
    x, u = ca.SX.sym("x", x0.size), ca.SX.sym("u", u0.size)
    deviations = twin.no_deviation()
    xs, us = ca.vertsplit(x), ca.vertsplit(u)
    rates = ca.vertcat(*twin.rates(xs, us, deviations))
    quality = twin.quality(xs, us, deviations)
    names = ("content", "potency", "tablet_weight", "tensile_strength", "throughput")
    out = ca.vertcat(
        x[twin.state_names().index(CONTENT)], *[quality[name] for name in names if name in quality]
    )
    jacobians = ca.Function(
        "jacobians",
        [x, u],
        [ca.jacobian(rates, x), ca.jacobian(rates, u), ca.jacobian(out, x), ca.jacobian(out, u)],
    )
    a, b, c, d = (np.array(m) for m in jacobians(x0, u0))
    return LinearLine(
        a=a,
        b=b,
        c=c,
        d=d,
        states=tuple(twin.state_names()),
        inputs=tuple(twin.input_names()),
        outputs=names,
    )


def press_gains(linear: LinearLine) -> Array:
    """Settled gains of (weight, strength) on (force setting, thickness), SI."""
    return np.array(
        [
            [linear.settled_gain(y, u) for u in ("main_force", "thickness")]
            for y in ("tablet_weight", "tensile_strength")
        ]
    )


def relative_gains(gains: Array) -> Array:
    """Relative gain array ``G * inv(G).T``; element by element."""
    return np.asarray(gains * np.linalg.inv(gains).T)


def lambda_gain(interval: float, time_constant: float) -> float:
    """Share of a sample's deviation to believe for a closed-loop time constant [s] (G2)."""
    return 1.0 - exp(-interval / time_constant)


def random_walk_gain(noise: float, step: float) -> float:
    """Best constant filter gain for a random walk in white noise; same unit for both (G3)."""
    if step <= 0.0:
        return 0.0
    r = (noise / step) ** 2
    return 1.0 if r < 1e-12 else (sqrt(1.0 + 4.0 * r) - 1.0) / (2.0 * r)


def trim_margins(gain: float, interval: float, model_error: float = 1.0) -> Margins:
    """Margins of an at-line trim whose process gain is ``model_error`` times the model's (G2)."""
    loop = control.tf([gain * model_error], [1.0, -1.0], interval)
    found = _margins(loop)
    # The phase reaches -180 degrees at the Nyquist frequency only, where no crossing is looked for.
    nyquist = 1.0 / abs(complex(loop(-1.0)))
    return Margins(gain=min(found.gain, nyquist), phase=found.phase)


def simc_level(line: ResolvedLine, closed_loop_s: float) -> tuple[float, float]:
    """SIMC settings of the level loop: proportional gain [1/s], integral time [s] (G1)."""
    lag = 1.0 / build.blender_parameters(line).rate_0
    horizon = closed_loop_s + 0.5 * lag
    return 1.0 / horizon, 4.0 * horizon


def surplus_gain(line: ResolvedLine, period: float) -> float:
    """Work-off gain [1/s] of the ratio on totals, as fast as SIMC allows (G4)."""
    window = line.line.feeders[line.feeder_index("api")].flow_window_s
    delay = 0.5 * window + window + 0.5 * period
    return 1.0 / (2.0 * delay)


def level_margins(
    linear: LinearLine, line: ResolvedLine, config: PidConfig, period: float
) -> Margins:
    """Margins of the level loop broken at the total feed, one period and a half of delay in it.

    The controller is the balance (K4) with its output (K6): states content, flow out of the
    blender, integral of the disagreement; input the measured content, output the feed.
    """
    lag = 1.0 / build.blender_parameters(line).rate_0
    t, fast = config.balance_s, 1.0 / config.level_s
    controller = control.ss(
        [[-2.0 / t, 1.0, -1.0], [-fast / lag, -1.0 / lag, 1.0 / lag], [1.0 / t**2, 0.0, 0.0]],
        [[2.0 / t], [0.0], [-1.0 / t**2]],
        [[-fast, 0.0, 1.0]],
        [[0.0]],
    )
    delay = control.tf2ss(*control.pade(1.5 * period, 2))
    return _margins(-1.0 * linear.feed_to_content() * controller * delay)


def _margins(loop: control.lti.LTI) -> Margins:
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # integrators at zero frequency
        warnings.simplefilter("ignore", RuntimeWarning)
        gain, phase, *_ = control.margin(loop)
    return Margins(gain=float(gain), phase=float(phase))
