"""Health of every measurement: defect, NE 107 category, action; and what weight is left to it.

`assess` takes over what validation dropped, adds what only a longer memory can see (frozen early,
spiking, wrong unit, far from the twin, drifting against redundant information), and reports one
`SignalHealth` per signal. It lowers weights, never raises them, and never raises an error: what it
cannot judge it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, nan

from controller.data import Estimate, Measurement, Validated, Verdict
from controller.measurement.context import excused
from controller.measurement.expectation import expected_readings
from controller.measurement.ne107 import (
    DEFECTS,
    Defect,
    DefectAction,
    Ne107,
    SignalHealth,
    defect_of,
)
from controller.measurement.redundancy import PreForce, Residuals, follow
from controller.measurement.second_opinion import deviations, opinions
from controller.measurement.signal_watch import Finding, SignalMemory, watch
from controller.measurement.slow import Made, SlowState, observe
from controller.measurement.slow_opinion import SlowOpinion, slow_findings, slow_judged
from controller.measurement.slow_tables import NIR, NIR_TAG
from controller.measurement_config import MeasurementConfig
from plant_models.signals import LAB, PLC, LineState, Snapshot

__all__ = ["HealthReport", "HealthState", "assess"]

_FRESH = SignalMemory()
_SAMPLE = (LAB.WEIGHT, LAB.THICKNESS, LAB.FORCE)
_PASSING = (Defect.CONTEXT, Defect.NOT_NEW, Defect.SPIKE)
_DOUBTED = (Defect.DRIFT, Defect.BIAS)
_UNBELIEVED = frozenset(
    d for d, row in DEFECTS.items() if row.action is DefectAction.SUBSTITUTE and d not in _PASSING
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Health by tag; ``deviations`` [-] from redundant information, where there is any."""

    signals: Mapping[str, SignalHealth] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> Ne107:
        """Worst category of all signals."""
        order = tuple(Ne107)
        return max((s.category for s in self.signals.values()), key=order.index, default=order[0])

    def not_good(self) -> tuple[str, ...]:
        """Tags whose category is not good."""
        return tuple(t for t, s in self.signals.items() if s.category is not Ne107.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """Memory between cycles; never changed in place."""

    memories: Mapping[str, SignalMemory] = field(default_factory=dict)
    signals: Mapping[str, SignalHealth] = field(default_factory=dict)
    residuals: Residuals = field(default_factory=Residuals)
    slow: SlowState = field(default_factory=SlowState)
    opinion: SlowOpinion = field(default_factory=SlowOpinion)
    held: frozenset[str] = frozenset()


def assess(
    validated: Validated,
    snapshot: Snapshot,
    state: HealthState,
    config: MeasurementConfig,
    *,
    expected: Mapping[str, tuple[float, float]] | None = None,
    estimate: Estimate | None = None,
    held: frozenset[str] = frozenset(),
    clock: str = "",
    pre_force: PreForce | None = None,
    made: Made | None = None,
) -> tuple[Validated, HealthReport, HealthState]:
    """Judge every measurement of a cycle.

    Parameters
    ----------
    validated
        What validation made of ``snapshot``.
    snapshot
        Values as read.
    state
        Memory after the cycle before.
    config
        Settings.
    expected
        Mean and standard deviation (SI, noise included) by tag of what the twin expected of this
        cycle; taken from ``estimate`` where empty.
    estimate
        Estimate of the cycle before.
    held
        Tags that the loss ladder held in the cycle before: they teach no reference.
    clock
        What is wrong with the plant's clock.
    pre_force
        Of the press; without it the two forces are compared as at a constant thickness.
    made
        Of the press: the tablet at a force; without it slow drift of the forces is not seen.

    Returns
    -------
    Measurements with the weights that are left, the report, and the memory for the next cycle.
    """
    if not config.enabled:
        return validated, HealthReport(), state
    expectation = expected or expected_readings(estimate)
    running = validated.line_state is LineState.RUNNING
    distrusted = held | {t for t, h in state.signals.items() if h.defect in _UNBELIEVED}
    residuals = (
        follow(state.residuals, validated, config, distrusted, pre_force)
        if running
        else (replace(state.residuals, time=validated.time))
    )
    before = frozenset(t for t, h in state.signals.items() if h.defect in _DOUBTED)
    second = opinions(residuals, config, distrusted, before) if running else {}
    slow, opinion = _slowly(state, validated, residuals, held, config, made)
    if running and config.slow.enabled:
        second = _with_slow(second, slow_findings(opinion, slow, config), slow, opinion, config)
    memories = dict(state.memories)
    signals: dict[str, SignalHealth] = {}
    changed: dict[str, Measurement] = {}
    for tag, m in validated.measurements.items():
        defect = defect_of(m.reason) if m.reason else Defect.NONE
        text, share = m.reason, 1.0
        if defect is not Defect.NONE and (why := excused(tag, validated, snapshot)):
            defect, text = Defect.CONTEXT, why
        check = config.by_tag.get(tag)
        if check is not None:
            memories[tag], found = watch(
                memories.get(tag, _FRESH),
                m,
                defect,
                check,
                config,
                running=running,
                expected=expectation.get(tag),
            )
            if found.defect is not Defect.NONE:
                defect, text, share = found
        if m.weight > 0.0:
            if not isfinite(m.value):
                defect, text, share = Defect.NOT_A_NUMBER, "not a number", 0.0
            elif share == 1.0 and tag in second:
                defect, text, share = _worse(defect, text, second[tag])
        signals[tag] = _health(state.signals.get(tag), defect, text, validated.time, config)
        if share < 1.0 and m.weight > 0.0:
            changed[tag] = _lowered(m, share, text)
    for tag in second.keys() - signals.keys():
        old, other = state.signals.get(tag), second[tag]
        signals[tag] = _health(old, other.defect, other.text, validated.time, config)
    for tag, found in _others(snapshot, clock).items():
        signals[tag] = _health(
            state.signals.get(tag), found.defect, found.text, validated.time, config
        )
    if changed:
        validated = replace(validated, measurements={**validated.measurements, **changed})
    report = HealthReport(signals=signals, deviations=deviations(residuals, validated, expectation))
    after = HealthState(
        memories=memories,
        signals=signals,
        residuals=residuals,
        slow=slow,
        opinion=opinion,
        held=held,
    )
    return validated, report, after


def _slowly(
    state: HealthState,
    validated: Validated,
    residuals: Residuals,
    held: frozenset[str],
    config: MeasurementConfig,
    made: Made | None,
) -> tuple[SlowState, SlowOpinion]:
    """Slow residuals and what they say; begun anew for what somebody has vouched for."""
    if not config.slow.enabled:
        return state.slow, state.opinion
    slow, opinion = state.slow, state.opinion
    if (state.held - held) & {tag for shown in opinion.shown for tag in shown.tags}:
        slow, opinion = replace(slow, tracks={}, sampled={}), SlowOpinion()
    share = residuals.tanks[-1] if residuals.tanks else nan
    slow = observe(slow, validated, config, share, made)
    return slow, slow_judged(opinion, slow, config, validated.feeder_rates)


def _with_slow(
    second: dict[str, Finding],
    found: Mapping[str, Finding],
    slow: SlowState,
    opinion: SlowOpinion,
    config: MeasurementConfig,
) -> dict[str, Finding]:
    """Both opinions; once it can tell it from a load cell, the slow one alone doubts the NIR."""
    merged = dict(second)
    nir, blamed = merged.get(NIR_TAG), opinion.shown[-1].tags
    judged = NIR in slow.tracks and slow.tracks[NIR].learnt >= config.slow.learn_s
    if nir is not None and judged and (nir.share == 1.0 or (blamed and NIR_TAG not in blamed)):
        del merged[NIR_TAG]
    order = tuple(Ne107)
    for tag, finding in found.items():
        old = merged.get(tag)
        rank = order.index(DEFECTS[finding.defect].category)
        if old is None or rank >= order.index(DEFECTS[old.defect].category):
            merged[tag] = finding
    return merged


def _others(snapshot: Snapshot, clock: str) -> dict[str, Finding]:
    """What is wrong with data that are no measurements: at-line samples, the plant's clock."""
    found: dict[str, Finding] = {}
    for tag in _SAMPLE:
        item = snapshot.values.get(tag)
        if item is not None and item.value is not None and not isinstance(item.value, tuple):
            found[tag] = Finding(Defect.TYPE, f"wrong type: {type(item.value).__name__}", 0.0)
    if clock:
        found[PLC.TIME] = Finding(Defect.CLOCK_CORRECTED, clock, 1.0)
    return found


def _worse(defect: Defect, text: str, found: Finding) -> tuple[Defect, str, float]:
    """The graver of what was found so far and a second opinion."""
    order = tuple(Ne107)
    if order.index(DEFECTS[found.defect].category) > order.index(DEFECTS[defect].category):
        return found
    return defect, text, found.share


def _health(
    old: SignalHealth | None, defect: Defect, text: str, time: float, config: MeasurementConfig
) -> SignalHealth:
    """Health of a signal; a defect that may pass shows in its category once it has lasted."""
    row = DEFECTS[defect]
    if old is not None and old.defect is defect:
        if old.category is row.category or time - old.since < config.confirmed_after_s:
            return old
        return replace(old, category=row.category, text=text)
    category = row.category if row.certain or config.confirmed_after_s == 0.0 else Ne107.GOOD
    return SignalHealth(category=category, defect=defect, action=row.action, since=time, text=text)


def _lowered(m: Measurement, share: float, text: str) -> Measurement:
    weight = m.weight * share
    verdict = Verdict.DOWN_WEIGHT if weight > 0.0 else Verdict.DROP
    return replace(m, weight=weight, verdict=verdict, reason=text)
