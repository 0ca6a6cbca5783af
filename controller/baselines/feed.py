"""Feeding by conventional means: ratio on totals, refill feed-forward, level by averaging.

(K1)  dE/dt = F_api - r_0 F_total - E / T_leak      surplus of API in the blender [kg]
(K2)  ratio = r_0 F_exp / F_sp - g_E E / F_sp        ratio set point [-]
(K3)  F_i = -dW_i/dt,  or  F_held (1 + o)            flow by load cell, or volumetric
      o = o_0 t / T_refill while filling, o_0 exp(-t / tau_o) after it
(K4)  dm/dt = F_bl - q + l_1 (m_L - m),  dc/dt = -l_2 (m_L - m)      chute balance
(K5)  q = n z w (1 + c)                              consumption of the press [kg/s]
(K6)  F_sp = q + (m_sp - m) / T_level                total feed

``W_i`` weight of a hopper: its fall is the total fed, whose errors do not add up. ``m_L`` the level
as mass, ``F_bl`` the feed after the blender's lag, ``w`` the weight as the at-line trim believes
it. (K1, K2) are the ratio station on totals: what was fed too much is fed less while it is still in
the blender, which is why the integral leaks. (K4) is an averaging PI level controller written as an
observer: ``c`` is its integral, the relative disagreement of load cells and press, and corrects the
turret speed too.

References
----------
Ratio on totals and averaging level control: practice; worked out from the mass balances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from plant_models.signals import RefillPhase

__all__ = [
    "Balance",
    "BalanceTuning",
    "FeederFlow",
    "FeederSettings",
    "advance_balance",
    "advance_flow",
    "advance_surplus",
]

_VOLUMETRIC = (RefillPhase.ACTIVE, RefillPhase.SETTLING)
_GATE = 8.0  # SDs of the load cell's noise
_STRAY = 0.2  # share of the flow by which a screw may really be off
_PATIENCE = 3  # periods after which a shifted weight is the new zero


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederSettings:
    """One feeder: overfeed [-] with its decay [s], refill time [s], weight noise [kg]."""

    overfeed: float
    decay: float
    refill_time: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederFlow:
    """One feeder's flow.

    ``flow`` [kg/s] over the last period; ``mean`` [kg/s] of the undisturbed screw; ``expected``
    [kg/s] now, without the load cell's noise. ``weight`` [kg] is the last one believed and ``fed``
    [kg] what the flows since then add up to; ``doubts`` counts weights in a row that did not fit.
    ``volumetric`` while refilling or settling; times [s] of that phase.
    """

    flow: float
    mean: float
    expected: float
    weight: float | None = None
    fed: float = 0.0
    doubts: int = 0
    volumetric: bool = False
    filling: float = 0.0
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Chute content [kg], flow out of the blender [kg/s], disagreement ``c`` [-]."""

    content: float
    blended: float
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceTuning:
    """Lag of the blender [s], time constant of the balance [s], largest ``c`` [-]."""

    blender_lag: float
    time_constant: float
    bias_max: float


def advance_flow(
    before: FeederFlow,
    settings: FeederSettings,
    weight: float | None,
    rate: float,
    phase: RefillPhase,
    period: float,
    feed_forward: float,
) -> FeederFlow:
    """Flow of one feeder over a period (K3).

    Parameters
    ----------
    before, settings
        State and data of the feeder.
    weight
        Hopper content by load cell [kg], ``None`` where it cannot be trusted.
    rate
        Rate set point in use [kg/s].
    phase
        Of the refill.
    period
        [s]
    feed_forward
        Scales the overfeed that the feeder's data promise [-].
    """
    volumetric = phase in _VOLUMETRIC
    filling = before.filling + period if phase is RefillPhase.ACTIVE else 0.0
    since = before.since + period if phase is RefillPhase.SETTLING else 0.0
    surplus = 0.0
    if phase is RefillPhase.ACTIVE:
        surplus = settings.overfeed * min(filling / settings.refill_time, 1.0)
    elif phase is RefillPhase.SETTLING:
        surplus = settings.overfeed * exp(-since / settings.decay)
    mean = before.mean if volumetric else rate
    expected = mean * (1.0 + feed_forward * surplus)
    after = replace(
        before,
        flow=expected,
        mean=mean,
        expected=expected,
        volumetric=volumetric,
        filling=filling,
        since=since,
    )
    if phase is RefillPhase.ACTIVE:
        return replace(after, weight=None, fed=0.0, doubts=0)
    if weight is None:
        return replace(after, fed=before.fed + expected * period)
    if before.weight is None:
        return replace(after, weight=weight, fed=0.0, doubts=0)
    # What the load cell says was fed since the last believed weight, less what was counted.
    fed = before.weight - weight - before.fed
    waited = (before.doubts + 1) * period
    if abs(fed - expected * period) > _GATE * settings.noise + _STRAY * expected * waited:
        if before.doubts + 1 >= _PATIENCE:  # the zero has moved
            return replace(after, weight=weight, fed=0.0, doubts=0)
        return replace(after, fed=before.fed + expected * period, doubts=before.doubts + 1)
    return replace(after, flow=fed / period, weight=weight, fed=0.0, doubts=0)


def advance_surplus(
    surplus: float,
    flows: Sequence[FeederFlow],
    api: int,
    share: float,
    period: float,
    leak: float,
) -> float:
    """Surplus of API in the blender [kg] after one ``period`` [s] (K1)."""
    gained = flows[api].flow - share * sum(f.flow for f in flows)
    return (surplus + period * gained) * exp(-period / leak)


def advance_balance(
    before: Balance,
    tuning: BalanceTuning,
    feed: float,
    press: float,
    level: float | None,
    period: float,
) -> Balance:
    """Balance of the chute over one period (K4).

    Parameters
    ----------
    before, tuning
        State and tuning.
    feed
        Feed by the load cells [kg/s].
    press
        Consumption of the press ``n z w`` without its correction [kg/s].
    level
        Content by the level sensor [kg], ``None`` when it cannot be trusted.
    period
        [s]
    """
    blended = before.blended + (1.0 - exp(-period / tuning.blender_lag)) * (feed - before.blended)
    content = before.content + period * (blended - press * (1.0 + before.bias))
    if level is None or press <= 0.0:
        return replace(before, content=content, blended=blended)
    share = period / tuning.time_constant
    innovation = level - content
    bias = before.bias - share * innovation / (tuning.time_constant * press)
    return Balance(
        content=content + min(2.0 * share, 1.0) * innovation,
        blended=blended,
        bias=min(max(bias, -tuning.bias_max), tuning.bias_max),
    )
