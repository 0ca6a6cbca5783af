"""Loss-in-weight feeder: hopper, fill-dependent feed factor, screw.

(F1)  F = ff(W) s n                                mass flow [kg/s]
(F2)  ff(W) = ff_max - (ff_max - ff_min) exp(-beta W)      feed factor [kg/rev]
(F3)  dn/dt = (n_set - n) / tau_n                  screw speed [rev/s]
(F4)  dW/dt = R - F                                hopper content [kg]
(F5)  o(t) = 1 + o_0 exp(-t / tau_o)               overfeed after a refill [-]

``s`` [-] is the relative deviation of the feed factor (lot, wear, refill, head pressure); 1 where
nothing disturbs it. Valid for a monotone draw-down between refills, ``0 <= W <= capacity``.

References
----------
(F1) Bostijn et al. 2019, Int J Pharm 557:342-353, doi 10.1016/j.ijpharm.2018.12.066 (revolution
    based feed factor; read in a digest). (F2) Metta et al. 2019, Processes 7(4):234,
    doi 10.3390/pr7040234 (symbols seen in the nomenclature; exponential form from memory).
    (F5) duration after Fathollahi et al. 2024, J Pharm Innov, doi 10.1007/s12247-024-09858-2
    (read in a digest); size assumed by the project's owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from plant_models.maths import Expr, exp, log

__all__ = [
    "FeederParameters",
    "content_at_feed_factor",
    "feed_factor",
    "feed_factor_drive",
    "feeder_rates",
    "mass_flow",
    "rate_time_base",
    "refill_overfeed",
    "signal_quality_gain",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederParameters:
    """One feeder in SI: kg/rev, 1/kg, kg, s; ``overfeed`` is the surplus after a refill [-]."""

    ff_min: float
    ff_max: float
    beta: float
    capacity: float
    tau_screw: float
    overfeed: float
    tau_overfeed: float
    speed_max: float


def feed_factor(p: FeederParameters, content: Expr) -> Expr:
    """Feed factor [kg/rev] at hopper content ``content`` [kg] (F2)."""
    return p.ff_max - (p.ff_max - p.ff_min) * exp(-p.beta * content)  # (F2)


def content_at_feed_factor(p: FeederParameters, fraction: float) -> Expr:
    """Hopper content [kg] at which the feed factor is ``fraction`` of ``ff_max`` (F2 inverted).

    Exists only for ``ff_min / ff_max < fraction < 1``; otherwise raises ``ValueError``.
    """
    if not p.ff_min / p.ff_max < fraction < 1.0:
        raise ValueError(
            f"feed factor never is {fraction:g} of its maximum: it lies between "
            f"{p.ff_min / p.ff_max:g} and 1"
        )
    return -log((1.0 - fraction) * p.ff_max / (p.ff_max - p.ff_min)) / p.beta


def mass_flow(p: FeederParameters, content: Expr, speed: Expr, deviation: Expr = 1.0) -> Expr:
    """Mass flow [kg/s] at content [kg], screw speed [rev/s] and relative deviation [-] (F1)."""
    return feed_factor(p, content) * deviation * speed  # (F1)


def feeder_rates(
    p: FeederParameters,
    content: Expr,
    speed: Expr,
    speed_set: Expr,
    refill: Expr = 0.0,
    deviation: Expr = 1.0,
) -> tuple[Expr, Expr]:
    """Time derivatives of hopper content [kg/s] and screw speed [rev/s2] (F3, F4)."""
    d_content = refill - mass_flow(p, content, speed, deviation)  # (F4)
    d_speed = (speed_set - speed) / p.tau_screw  # (F3)
    return d_content, d_speed


def refill_overfeed(p: FeederParameters, since_refill: Expr) -> Expr:
    """Relative feed factor [-] a time ``since_refill`` [s] after a refill ended (F5)."""
    return 1.0 + p.overfeed * exp(-since_refill / p.tau_overfeed)  # (F5)


def feed_factor_drive(flow: Expr, drive_percent: Expr) -> Expr:
    """Drive-based feed factor: flow expected at 100 % drive, in the unit of ``flow``.

    K-Tron K-Commander LWF programming manual 805, Rev G (definition read).
    """
    return 100.0 * flow / drive_percent


def rate_time_base(capacity: float, lowest_rate: float) -> float:
    """Shortest window [s] over which a loss-in-weight rate is worth computing, before rounding up.

    Capacity and rate in matching units. Hardy HI-1756-FC manual p. 24-40 (read).
    """
    return capacity / 10_000.0 / lowest_rate


def signal_quality_gain(perturbation_percent: float) -> float:
    """Adaptive gain [-] of a gravimetric loop against weight-signal noise [% of set point].

    K-Tron KCM manual 0590020601-EN rev 1.6.0, sect. 5.1.3-5.1.4 (read): 80, 50, 20, 10 % in four
    bands; above 250 % "most likely no control", taken as 0.
    """
    for limit, gain in ((33.0, 0.8), (67.0, 0.5), (100.0, 0.2), (250.0, 0.1)):
        if perturbation_percent <= limit:
            return gain
    return 0.0
