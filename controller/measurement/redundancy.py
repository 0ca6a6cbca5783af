"""Slow comparison of instruments with what others say of the same thing.

(R1)  r_NIR = ln y_NIR - ln x_API             x_API: share of the API feeder's flow, delayed
(R2)  r_F = ln F_pre - ln F(F_main, T)        pre-compression of the tablet that meets F_main at T
(R3)  r_i = ln F_i - ln n_i                   flow by weight over screw speed: ln feed factor
(R4)  r_B = (F_total - dM/dt) / (n w) - 1     powder in against tablets out
(R5)  r_E = ln F_ejection                     for whom the ejection force speaks

Only changes are judged: each residual is compared with its own mean over the first minutes of
running (or a mean that follows slowly, where the line itself moves it), so that constant errors,
labels and units do not matter. The powder's delay is that of four stirred tanks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, isfinite, log, nan

from controller.data import Validated
from controller.measurement_config import MeasurementConfig, RedundancyConfig
from plant_models.signals import RefillPhase

__all__ = ["FORCE_EXPONENT", "Comparison", "PreForce", "Residuals", "compare", "follow"]

_TANKS = 4
_KEEPS = 0.2  # of the distance to a trusted level, per reading
FORCE_EXPONENT = 0.76
_RELUCTANT = 10.0  # slower is followed what may be a fault
_NIR = "Line/FeedFrame/Potency/PV"
_MAIN, _PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
_EJECTION = "Line/Press/EjectionForce/PV"
_TABLETS, _LEVEL = "Line/Press/TabletRate/PV", "Line/Chute/Level/PV"
_THICKNESS = "Line/Press/Thickness/FBK"
_QUIET = (RefillPhase.NONE, RefillPhase.REQUEST)

# Pre-compression force [N] at a main force [N] and thickness setting [m].
PreForce = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A residual's reference and filtered value [-]; ``learnt`` seconds of running went into it."""

    reference: float = nan
    filtered: float = nan
    last: float = nan
    learnt: float = 0.0

    def known(self, config: RedundancyConfig) -> bool:
        """Whether the reference has been learnt."""
        return self.learnt >= config.learn_s

    @property
    def shift(self) -> float:
        """Filtered deviation from the reference [-]."""
        return self.filtered - self.reference

    @property
    def now(self) -> float:
        """Deviation of the last residual from the reference [-]."""
        return self.last - self.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """All comparisons.

    ``tanks`` are delayed shares of the API; ``feed`` [kg/s] is the total as it leaves the blender,
    ``level`` of the chute [-] and ``tablet`` [kg] are the last ones known, ``kept`` the level that
    powder in and tablets out have kept since then.
    """

    tanks: tuple[float, ...] = ()
    feed: float = nan
    level: float = nan
    kept: float = nan
    tablet: float = nan
    nir: Comparison = Comparison()
    forces: Comparison = Comparison()
    ejection: Comparison = Comparison()
    feed_factors: tuple[Comparison, ...] = ()
    balance: Comparison = Comparison()
    time: float | None = None


def compare(
    c: Comparison, residual: float, step: float, config: RedundancyConfig, *, learn: bool
) -> Comparison:
    """The comparison after one more residual, ``step`` [s] after the last one.

    ``learn`` is False while an instrument of it is not believed: then its reference stays.
    """
    if not isfinite(residual):
        return c
    if c.learnt <= 0.0:
        return Comparison(residual, residual, residual, step) if learn else c
    clip = config.clip_percent / 100.0
    near = c.filtered + min(max(residual - c.filtered, -clip), clip)
    learnt = c.learnt + step
    filtered = c.filtered + (near - c.filtered) * step / min(learnt, max(config.filter_s, step))
    if not learn:
        return Comparison(c.reference, filtered, residual, c.learnt)
    if learnt < config.learn_s:
        reference = c.reference + (near - c.reference) * step / learnt
    elif config.follows_s is not None:
        doubtful = abs(filtered - c.reference) > config.drift_percent / 100.0
        time = config.follows_s * (_RELUCTANT if doubtful else 1.0)
        reference = c.reference + (near - c.reference) * min(step / time, 1.0)
    else:
        reference = c.reference
    return Comparison(reference, filtered, residual, learnt)


def follow(
    r: Residuals,
    seen: Validated,
    config: MeasurementConfig,
    distrusted: frozenset[str],
    pre_force: PreForce | None = None,
) -> Residuals:
    """All comparisons one cycle on; ``distrusted`` tags do not teach.

    Without ``pre_force`` the pre-compression force is taken to follow the main force to the power
    of `FORCE_EXPONENT`, as it does at a constant thickness.
    """
    step = 0.0 if r.time is None else min(max(seen.time - r.time, 0.0), 60.0)
    if step <= 0.0:
        return replace(r, time=seen.time)
    flows = _flows(seen, distrusted)
    tanks = _delayed(r.tanks, flows, config, step)
    nir, main, pre = _value(seen, _NIR), _value(seen, _MAIN), _value(seen, _PRE)
    ejection = _value(seen, _EJECTION)
    new_nir, new_forces, new_ejection = r.nir, r.forces, r.ejection
    if nir > 0.0 and tanks and tanks[-1] > 0.0:
        trusted = _NIR not in distrusted and _cell(config.api_feeder) not in distrusted
        residual = log(nir / tanks[-1])  # (R1)
        new_nir = compare(r.nir, residual, step, config.potency, learn=trusted)
    if main > 0.0 and pre > 0.0:
        trusted = _MAIN not in distrusted and _PRE not in distrusted
        residual = log(pre) - _expected(main, _value(seen, _THICKNESS), pre_force)  # (R2)
        new_forces = compare(r.forces, residual, step, config.forces, learn=trusted)
    if ejection > 0.0:  # (R5)
        new_ejection = compare(r.ejection, log(ejection), step, config.ejection, learn=True)
    factors = r.feed_factors or (Comparison(),) * len(seen.refills)
    new_factors = tuple(
        _feed_factor(c, i, seen, step, config, distrusted) for i, c in enumerate(factors, start=1)
    )
    moved = replace(
        r,
        tanks=tanks,
        nir=new_nir,
        forces=new_forces,
        ejection=new_ejection,
        feed_factors=new_factors,
        time=seen.time,
    )
    return _balanced(moved, seen, sum(flows), step, config, _LEVEL not in distrusted)


def _value(seen: Validated, tag: str) -> float:
    m = seen.measurements.get(tag)
    return m.value if m is not None and m.weight > 0.0 else nan


def _expected(main: float, thickness: float, pre_force: PreForce | None) -> float:
    """Logarithm of the pre-compression force that belongs to a main force, up to a constant."""
    if pre_force is None:
        return FORCE_EXPONENT * log(main)
    expected = pre_force(main, thickness) if thickness > 0.0 else nan
    return log(expected) if expected > 0.0 else nan


def _cell(number: int) -> str:
    return f"Line/Feeder{number}/Weight/PV"


def _feed_factor(
    c: Comparison,
    number: int,
    seen: Validated,
    step: float,
    config: MeasurementConfig,
    distrusted: frozenset[str],
) -> Comparison:
    if seen.refills[number - 1] not in _QUIET:
        return c
    flow = _value(seen, f"Line/Feeder{number}/MassFlow/PV")
    speed = _value(seen, f"Line/Feeder{number}/ScrewSpeed/PV")
    if not (flow > 0.0 and speed > 0.0):
        return c
    residual = log(flow / speed)  # (R3)
    trusted = _cell(number) not in distrusted
    return compare(c, residual, step, config.feed_factor, learn=trusted)


def _flows(seen: Validated, distrusted: frozenset[str]) -> list[float]:
    """Flow of each feeder [kg/s] by weight; its rate set point where that is not seen."""
    flows = []
    for i, rate in enumerate(seen.feeder_rates, start=1):
        flow = _value(seen, f"Line/Feeder{i}/MassFlow/PV")
        flows.append(flow if flow > 0.0 and _cell(i) not in distrusted else rate)
    return flows


def _delayed(
    tanks: tuple[float, ...], flows: list[float], config: MeasurementConfig, step: float
) -> tuple[float, ...]:
    """Share of the API in the feed as it reaches the feed frame [-]."""
    total = sum(flows)
    if total <= 0.0 or config.api_feeder > len(flows):
        return tanks
    share = flows[config.api_feeder - 1] / total
    if not tanks:
        return (share,) * _TANKS
    keep = exp(-step * _TANKS / config.powder_delay_s)
    after, inflow = [], share
    for content in tanks:
        inflow = inflow + (content - inflow) * keep
        after.append(inflow)
    return tuple(after)


def _balanced(
    r: Residuals,
    seen: Validated,
    total: float,
    step: float,
    config: MeasurementConfig,
    trusted: bool,
) -> Residuals:
    """(R4), with the weight of the last at-line sample; nothing before the first."""
    keep = exp(-step / config.blender_lag_s)
    feed = total + (r.feed - total) * keep if isfinite(r.feed) else total
    level, rate = _value(seen, _LEVEL), _value(seen, _TABLETS)
    tablet = r.tablet
    for sample in seen.samples:
        if sample.weights:
            mean = sum(sample.weights) / len(sample.weights)
            tablet = 0.5 * (tablet + mean) if isfinite(tablet) else mean
    balance, kept = r.balance, r.kept
    if rate >= 0.0 and tablet > 0.0 and isfinite(kept):
        kept += (feed - rate * tablet) / config.chute_kg * step
    if isfinite(level) and trusted:
        kept = kept + (level - kept) * _KEEPS if isfinite(kept) else level
    if isfinite(level) and isfinite(r.level) and rate > 0.0 and tablet > 0.0:
        stored = config.chute_kg * (level - r.level) / step
        residual = (feed - stored) / (rate * tablet) - 1.0  # (R4)
        balance = compare(balance, residual, step, config.balance, learn=True)
    return replace(
        r,
        feed=feed,
        level=level if isfinite(level) else r.level,
        kept=kept,
        tablet=tablet,
        balance=balance,
    )
