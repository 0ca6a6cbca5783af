"""From a snapshot to validated measurements in SI, each with weight, verdict and reason.

Checks per tag, in this order: value present, status, age, new reading, context (refill, press
standing), range, freeze, spike, slope; what a number is refused for is in
`plant_models.signal_checks`, as for recorded series. Too little left is said (`Validated.enough`),
never guessed.
`Validator` is compiled once from the configuration; `Validator.validate` is a pure function of
snapshot and previous `ValidationState`. This is the one place where plant units become SI.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.config import SourceClockConfig, TagRuleConfig, ValidationConfig
from controller.data import Measurement, Validated, Verdict
from controller.lab import new_sample
from controller.source_clock import ClockState, LabClock, track
from plant_models.signal_checks import jump, late, not_newer, out_of_range, same_readings, stuck
from plant_models.signals import (
    APC,
    LAB,
    MV,
    PLC,
    DataType,
    LineState,
    PlcMode,
    RefillPhase,
    Signal,
    SignalTable,
    Snapshot,
    Value,
    Writer,
    is_good,
)

__all__ = ["POTENCY", "TABLET_RATE", "TagHistory", "ValidationState", "Validator"]

POTENCY = "Line/FeedFrame/Potency/PV"
TABLET_RATE = "Line/Press/TabletRate/PV"
_STANDS_BELOW_PER_H = 1.0
NEVER = -math.inf
_RECENT = 5
_BAD_BIT = 0x80000000
_NO_CLOCK = LabClock()


class TagHistory(NamedTuple):
    """What is remembered of a tag, in its plant unit.

    ``used`` is the plant time of the last usable reading and ``good_time`` its source time,
    ``same`` counts identical readings, ``rejected`` consecutive implausible ones of which ``doubt``
    was the last. ``clock`` is what is known of a source's own clock.
    """

    raw: float = math.nan
    source_time: float = NEVER
    used: float = NEVER
    good_time: float = NEVER
    same: int = 1
    rejected: int = 0
    doubt: float = math.nan
    recent: tuple[float, ...] = ()
    clock: ClockState = ClockState()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationState:
    """Memory of validation between cycles; maps are never changed in place."""

    tags: Mapping[str, TagHistory] = field(default_factory=dict)
    lab_id: int | None = None
    lab_clock: LabClock = _NO_CLOCK
    actual: Mapping[str, float] = field(default_factory=dict)
    feeder_rates: tuple[float, ...] = ()
    lots: tuple[str, ...] = ()


class _Rule(NamedTuple):
    """A tag's checks, resolved against the signal list; limits in the plant unit."""

    tag: str
    factor: float
    lo: float
    hi: float
    age_max: float
    ahead_max: float
    clock: SourceClockConfig | None
    uncertain_weight: float
    rate: float
    spike: float
    freeze: int
    required: bool
    grace: float
    needs_press: bool
    refill_tag: str | None
    refill_phases: frozenset[RefillPhase]


_PHASES: dict[str, frozenset[RefillPhase]] = {
    "never": frozenset(),
    "active": frozenset({RefillPhase.ACTIVE}),
    "active and settling": frozenset({RefillPhase.ACTIVE, RefillPhase.SETTLING}),
}


def _resolve(signal: Signal, config: ValidationConfig) -> _Rule:
    rule = TagRuleConfig(tags="Line/*/*/PV")
    for candidate in config.rules:
        if fnmatch.fnmatchcase(signal.tag, candidate.tags):
            rule = candidate
    low = [x for x in (signal.lo, rule.lo) if x is not None]
    high = [x for x in (signal.hi, rule.hi) if x is not None]
    clock = config.nir_clock if signal.tag == POTENCY else None
    unit = signal.tag.rsplit("/", 2)[0]
    return _Rule(
        tag=signal.tag,
        factor=signal.to_si(1.0),
        lo=max(low, default=-math.inf),
        hi=min(high, default=math.inf),
        age_max=(
            clock.age_max_s
            if clock is not None and rule.age_max_s is None
            else rule.age_max_s or config.age_max_s
        ),
        ahead_max=clock.ahead_max_s if clock is not None else config.ahead_max_s,
        clock=clock,
        uncertain_weight=rule.uncertain_weight,
        rate=rule.rate_per_s or math.inf,
        spike=rule.spike or math.inf,
        freeze=rule.freeze_readings or 0,
        required=rule.required,
        grace=rule.grace_s,
        needs_press=rule.needs_flowing_press,
        refill_tag=f"{unit}/Refill/PV" if rule.drop_in_refill != "never" else None,
        refill_phases=_PHASES[rule.drop_in_refill],
    )


def _is_measurement(signal: Signal) -> bool:
    return (
        signal.data_type is DataType.DOUBLE
        and signal.writer is Writer.PLANT
        and signal.read_every_cycle
        and signal.tag.endswith(("/PV", "/FBK"))
    )


class Validator:
    """Checks of one line, compiled once; holds no memory.

    Parameters
    ----------
    table
        Signal list of the line: ranges and units.
    config
        Limits per tag.
    structure
        PLC mode that the controller asks for. In LOCAL ``AVAIL`` says what CASCADE would allow; for
        REMOTE it is heeded once that mode is granted.
    """

    def __init__(self, table: SignalTable, config: ValidationConfig, structure: PlcMode) -> None:
        self._table = table
        self._config = config
        self._structure = structure
        self._rules = tuple(_resolve(s, config) for s in table if _is_measurement(s))
        self._mvs = tuple(
            (m.tag, f"{m.tag}/ACT", f"{m.tag}/AVAIL", table[f"{m.tag}/ACT"].to_si(1.0))
            for m in table.manipulated
        )
        feeders = 1
        while f"Line/Feeder{feeders}/MassFlow/SP" in table:
            feeders += 1
        self._feeders = tuple(f"Line/Feeder{i}" for i in range(1, feeders))
        self._flow = table["Line/Feeder1/MassFlow/SP"].to_si(1.0)

    def validate(
        self, snapshot: Snapshot, state: ValidationState
    ) -> tuple[Validated, ValidationState]:
        """Judge every measurement of ``snapshot``.

        Parameters
        ----------
        snapshot
            Values as read, in plant units.
        state
            Memory after the cycle before.

        Returns
        -------
        Validated record in SI, and the memory for the next cycle.
        """
        refills = {
            f"{u}/Refill/PV": _refill(snapshot.text(f"{u}/Refill/PV")) for u in self._feeders
        }
        stands = self._stands(snapshot)
        measurements: dict[str, Measurement] = {}
        tags: dict[str, TagHistory] = {}
        missing: list[str] = []
        for rule in self._rules:
            old = state.tags.get(rule.tag, _NEW)
            in_refill = (
                rule.refill_tag is not None and refills[rule.refill_tag] in rule.refill_phases
            )
            context = (
                "refill" if in_refill else "press stands" if rule.needs_press and stands else ""
            )
            m, new = self._judge(rule, snapshot.values.get(rule.tag), snapshot.time, old, context)
            measurements[rule.tag] = m
            tags[rule.tag] = new
            if rule.required and not context and snapshot.time - new.used > rule.grace:
                missing.append(rule.tag)
        actual, available, lost = self._set_points(snapshot, state)
        missing += lost
        missing += _unreadable(snapshot)
        rates = self._rates(snapshot, state)
        lots = tuple(
            snapshot.text(f"{u}/Lot/PV") or (state.lots[i] if i < len(state.lots) else "")
            for i, u in enumerate(self._feeders)
        )
        sample, lab_id, lab_clock = new_sample(
            snapshot, state.lab_id, self._table, self._config.lab_clock, state.lab_clock
        )
        if lab_clock.text:
            measurements[LAB.TAKEN] = _drop(math.nan, lab_clock.text, snapshot.time)
        validated = Validated(
            time=snapshot.time,
            scan_id=snapshot.scan_id,
            heartbeat=_integer(snapshot, PLC.HB, -1),
            plc_mode=_plc_mode(snapshot),
            line_state=_line_state(snapshot),
            permit=_true(snapshot, PLC.PERMIT),
            lease_epoch=_integer(snapshot, APC.EPOCH, 0),
            measurements=measurements,
            actual=actual,
            available=available,
            feeder_rates=rates,
            refills=tuple(refills.values()),
            lots=lots,
            samples=() if sample is None else (sample,),
            enough=not missing,
            missing=tuple(missing),
        )
        return validated, ValidationState(
            tags=tags,
            lab_id=lab_id,
            lab_clock=lab_clock,
            actual=actual,
            feeder_rates=rates,
            lots=lots,
        )

    def _stands(self, snapshot: Snapshot) -> bool:
        """Whether the press stands: by its turret or, if that is unreadable, by its tablets."""
        turret = snapshot.number(f"{MV.TURRET_SPEED}/FBK")
        if turret is not None:
            return turret < self._config.turret_stands_below_rpm
        rate = snapshot.number(TABLET_RATE)
        return rate is not None and rate < _STANDS_BELOW_PER_H

    def _judge(
        self, rule: _Rule, item: Value | None, now: float, old: TagHistory, context: str
    ) -> tuple[Measurement, TagHistory]:
        if max(old.source_time, old.used) > now + rule.ahead_max:
            old = _NEW  # the plant's clock was set back: what is remembered says nothing any more
        if context:  # what comes after it is not to be compared with what was before
            old = old._replace(raw=math.nan, recent=(), rejected=0)
        if item is None or item.value is None:
            return _drop(math.nan, "no value", NEVER), old
        if isinstance(item.value, (bool, str, tuple)):
            return _drop(math.nan, f"wrong type: {type(item.value).__name__}", NEVER), old
        value, source, said = float(item.value), item.source_time, ""
        si = value * rule.factor
        if item.status & _BAD_BIT or not math.isfinite(value):
            return _drop(si, "bad status" if math.isfinite(value) else "not a number", source), old
        if rule.clock is not None:
            clock, source, said = track(old.clock, rule.clock, source, now)
            old = old._replace(clock=clock)
        if reason := late(now, source, rule.age_max, rule.ahead_max):
            return _drop(si, reason, source), old
        if reason := not_newer(source, old.source_time):
            return _drop(si, reason, source), old
        same = same_readings(value, old.raw, old.same)
        seen = old._replace(raw=value, source_time=source, same=same)
        if context:
            return _drop(si, context, source), seen
        if reason := out_of_range(value, rule.lo, rule.hi) or stuck(same, rule.freeze):
            return _drop(si, reason, source), seen
        doubt = jump(value, source - old.good_time, old.recent, spike=rule.spike, rate=rule.rate)
        if doubt:
            agrees = abs(value - old.doubt) <= rule.spike
            rejected = old.rejected + 1 if agrees else 1
            if rejected < self._config.spike_accept_readings:
                return _drop(si, doubt, source), seen._replace(rejected=rejected, doubt=value)
            seen = seen._replace(recent=())
        recent = (*seen.recent, value)[-_RECENT:]
        new = seen._replace(used=now, good_time=source, rejected=0, doubt=math.nan, recent=recent)
        if not is_good(item.status):
            weight = rule.uncertain_weight
            return Measurement(
                value=si,
                weight=weight,
                verdict=Verdict.DOWN_WEIGHT,
                reason="uncertain status",
                source_time=source,
            ), new
        return Measurement(
            value=si, weight=1.0, verdict=Verdict.USE, reason=said, source_time=source
        ), new

    def _set_points(
        self, snapshot: Snapshot, state: ValidationState
    ) -> tuple[dict[str, float], dict[str, bool], list[str]]:
        """Set points in use [SI]; an unreadable one keeps its last value and may not be moved."""
        mode = _plc_mode(snapshot)
        unasked = self._structure is PlcMode.REMOTE and mode is not PlcMode.REMOTE
        actual: dict[str, float] = {}
        available: dict[str, bool] = {}
        lost: list[str] = []
        for spec, (tag, act, avail, factor) in zip(self._table.manipulated, self._mvs, strict=True):
            value = snapshot.number(act)
            readable = value is not None and math.isfinite(value)
            if value is not None and readable:
                actual[tag] = value * factor
            else:
                actual[tag] = state.actual.get(tag, spec.nominal * factor)
                lost.append(act)
            available[tag] = readable and (unasked or _true(snapshot, avail))
        return actual, available, lost

    def _rates(self, snapshot: Snapshot, state: ValidationState) -> tuple[float, ...]:
        rates = []
        for i, unit in enumerate(self._feeders):
            value = snapshot.number(f"{unit}/MassFlow/SP")
            if value is None or not math.isfinite(value):
                rates.append(state.feeder_rates[i] if i < len(state.feeder_rates) else 0.0)
            else:
                rates.append(value * self._flow)
        return tuple(rates)


_NEW = TagHistory()
_PLC_MODES = {str(m): m for m in PlcMode}
_LINE_STATES = {str(s): s for s in LineState}
_REFILL_PHASES = {str(p): p for p in RefillPhase}


def _drop(value: float, reason: str, source: float) -> Measurement:
    return Measurement(
        value=value, weight=0.0, verdict=Verdict.DROP, reason=reason, source_time=source
    )


def _true(snapshot: Snapshot, tag: str) -> bool:
    item = snapshot.values.get(tag)
    return item is not None and is_good(item.status) and item.value is True


def _integer(snapshot: Snapshot, tag: str, default: int) -> int:
    number = snapshot.number(tag)
    return default if number is None or not math.isfinite(number) else int(number)


def _refill(text: str | None) -> RefillPhase:
    """Phase of a refill; an unreadable one counts as settling: its flow is not trusted."""
    return _REFILL_PHASES.get(text or "", RefillPhase.SETTLING)


def _plc_mode(snapshot: Snapshot) -> PlcMode:
    return _PLC_MODES.get(snapshot.text(PLC.MODE_ACT) or "", PlcMode.LOCAL)


def _line_state(snapshot: Snapshot) -> LineState:
    """State of the line; an unreadable one counts as stopped."""
    return _LINE_STATES.get(snapshot.text(PLC.LINE_STATE) or "", LineState.STOPPED)


def _unreadable(snapshot: Snapshot) -> list[str]:
    return [t for t in (PLC.HB, PLC.MODE_ACT, PLC.LINE_STATE) if snapshot.text(t) is None]
