"""Feeding by conventional means: ratio on totals, refill feed-forward, level by averaging.

(K1)  dE/dt = F_api - r_0 F_total - E / T_leak      surplus of API in the blender [kg]
(K2)  ratio = r_0 F_est / F_sp - g_E E / F_sp        ratio set point [-]
(K3)  F_api,est = F_held (1 + o_0 exp(-t / tau_o))   flow of a volumetric feeder after its refill
(K4)  dm/dt = F_bl - q + l_1 (m_L - m),  dc/dt = -l_2 (m_L - m)      chute balance
(K5)  q = n z w (1 + c)                              consumption of the press [kg/s]
(K6)  F_sp = q + (m_sp - m) / T_level                total feed

``F_total`` the sum of the load-cell flows, ``m_L`` the level as mass, ``F_bl`` the feed after the
blender's lag, ``w`` the weight as the at-line trim believes it. (K1, K2) are the ratio station on
totals: what was fed too much is fed less while it is still in the blender, which is why the
integral leaks. (K4) is an averaging PI level controller written as an observer: ``c`` is its
integral, the relative disagreement of load cells and press, and corrects the turret speed too.

References
----------
Ratio on totals and averaging level control: practice; worked out from the mass balances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from plant_models.feeder import FeederParameters
from plant_models.signals import RefillPhase

__all__ = [
    "Balance",
    "BalanceTuning",
    "FeederFlows",
    "advance_balance",
    "advance_flows",
    "advance_surplus",
]

_VOLUMETRIC = (RefillPhase.ACTIVE, RefillPhase.SETTLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederFlows:
    """Flow [kg/s] per feeder; time [s] its refill valve closed; last flow by its load cell."""

    flows: tuple[float, ...]
    held: tuple[float, ...]
    closed_at: tuple[float, ...]
    volumetric: tuple[bool, ...]

    @property
    def total(self) -> float:
        """Sum of the flows [kg/s]."""
        return sum(self.flows)


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


def advance_flows(
    before: FeederFlows,
    time: float,
    measured: tuple[float | None, ...],
    phases: tuple[RefillPhase, ...],
    feeders: tuple[FeederParameters, ...],
    feed_forward: float,
) -> FeederFlows:
    """Flow of each feeder: by load cell, or held with the usual overfeed of a refill (K3).

    ``measured`` is ``None`` where the load cell cannot be trusted; ``feed_forward`` [-] scales the
    overfeed that the feeder's data sheet promises.
    """
    flows, held, closed = [], [], []
    for i, (value, phase) in enumerate(zip(measured, phases, strict=True)):
        volumetric = phase in _VOLUMETRIC
        end = time if phase is RefillPhase.ACTIVE else before.closed_at[i]
        last = before.held[i] if volumetric or value is None else value
        flow = last
        if phase is RefillPhase.SETTLING:
            p = feeders[i]
            flow = last * (1.0 + feed_forward * p.overfeed * exp(-(time - end) / p.tau_overfeed))
        flows.append(flow)  # (K3)
        held.append(last)
        closed.append(end)
    return FeederFlows(
        flows=tuple(flows),
        held=tuple(held),
        closed_at=tuple(closed),
        volumetric=tuple(p in _VOLUMETRIC for p in phases),
    )


def advance_surplus(
    surplus: float, flows: FeederFlows, api: int, share: float, period: float, leak: float
) -> float:
    """Surplus of API in the blender [kg] after one ``period`` [s] (K1)."""
    gained = flows.flows[api] - share * flows.total
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
