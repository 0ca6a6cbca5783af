"""Slow residuals of one cycle: what each redundancy says, against its own mean after the start.

`observe` is a pure function from one `SlowState` to the next; equations in
`controller.measurement.slow_tables` and `controller.measurement.inventory`. What the forces say is
kept for a while, so that an at-line result meets the forces of the tablets it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import exp, isfinite, log, nan
from typing import NamedTuple

from controller.data import LabSample, Validated
from controller.measurement.inventory import Inventory, moved, stepped
from controller.measurement.slow_tables import (
    BALANCE,
    EJECTION,
    MAIN,
    NIR,
    NIR_TAG,
    PRE,
    PRE_TAG,
    WEIGHT,
    cell_tag,
    factor,
    step,
)
from controller.measurement_config import MeasurementConfig, SlowConfig
from plant_models.signals import LineState, RefillPhase

__all__ = ["ExpectedTablet", "FeederWatch", "Made", "SlowState", "Track", "observe", "shifts"]

_EJECTION = "Line/Press/EjectionForce/PV"
_THICKNESS = "Line/Press/Thickness/FBK"
_TABLETS, _LEVEL = "Line/Press/TabletRate/PV", "Line/Chute/Level/PV"
_QUIET = (RefillPhase.NONE, RefillPhase.REQUEST)
_REMEMBERED_S, _SAMPLE_S = 420.0, 30.0
_CLIP = 0.06
_STEP_READINGS = 4
_FACTORS, _FEWEST = 24, 12
_SEEN_BY_S = 150.0
_SAME = (0.5, 1.6)  # step of the feed factor over that of the weight


class ExpectedTablet(NamedTuple):
    """Forces [N] and weight [kg] that belong to a main force."""

    pre_force: float
    weight: float
    ejection: float


# The tablet at a main force [N], thickness setting [m] and powder flow [kg/s].
Made = Callable[[float, float, float], ExpectedTablet]


class Track(NamedTuple):
    """Reference and filtered value of a residual [-]; ``learnt`` [s] went into the reference."""

    reference: float = nan
    filtered: float = nan
    learnt: float = 0.0


class FeederWatch(NamedTuple):
    """A feeder: lot, ``quiet_s`` since the last refill, ``weight`` [kg] that the flow explains.

    ``far`` readings in a row were away from it; ``factors`` are the last residuals (D5). A step of
    the weight [-] is ``doubted`` for ``doubted_s``, until the feed factor, ``before`` the step, is
    seen to have made it too: the cell's span has changed, nobody filled in powder. ``off`` is the
    sum of such steps, the last one ``off_s`` ago.
    """

    lot: str = ""
    quiet_s: float = 0.0
    weight: float = nan
    far: int = 0
    factors: tuple[float, ...] = ()
    doubted: float = 0.0
    doubted_s: float = 0.0
    before: float = nan
    off: float = 0.0
    off_s: float = 0.0


class Pressed(NamedTuple):
    """What the forces said at a time [s, UTC]: expected weight [kg], and residuals [-]."""

    time: float
    weight: float
    pre: float
    ejection: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowState:
    """Memory of all slow residuals.

    ``running_s`` since the line began to run, ``feed`` [kg/s] as it leaves the blender, ``heavier``
    ln of the at-line weight over the one that belongs to the force, ``sampled`` the same residuals
    as of the tablets that went to the laboratory.
    """

    time: float | None = None
    running_s: float = 0.0
    feed: float = nan
    heavier: float = nan
    tracks: Mapping[str, Track] = field(default_factory=dict)
    sampled: Mapping[str, Track] = field(default_factory=dict)
    pressed: tuple[Pressed, ...] = ()
    feeders: tuple[FeederWatch, ...] = ()
    inventory: Inventory = field(default_factory=Inventory)


def shifts(tracks: Mapping[str, Track], learn_s: float) -> dict[str, float]:
    """Shifts [-] of the residuals whose reference is known."""
    return {n: t.filtered - t.reference for n, t in tracks.items() if t.learnt >= learn_s - 1e-9}


def observe(
    state: SlowState,
    seen: Validated,
    config: MeasurementConfig,
    api_share: float,
    made: Made | None = None,
) -> SlowState:
    """All slow residuals one cycle on; they begin anew when the line is started from empty.

    Parameters
    ----------
    state
        After the cycle before.
    seen
        Measurements after validation.
    config
        Settings.
    api_share
        Share of the API in the powder that the NIR sees now [-], by the feeders; NaN if unknown.
    made
        The press's own equations; without them the forces say nothing.
    """
    slow = config.slow
    dt = 0.0 if state.time is None else min(max(seen.time - state.time, 0.0), 60.0)
    if seen.line_state is LineState.STARTING:  # perhaps with another product
        return SlowState(time=seen.time)
    if seen.line_state is not LineState.RUNNING:
        feeders = tuple(f._replace(weight=nan, far=0) for f in state.feeders)
        idle = state.inventory._replace(kept=nan, offsets=())
        return replace(state, time=seen.time, running_s=0.0, feeders=feeders, inventory=idle)
    if dt <= 0.0:
        return replace(state, time=seen.time)
    running = state.running_s + dt
    settled = running > slow.settle_s
    tracks = dict(state.tracks)
    flows, feeders = _feeders(state, seen, slow, dt, tracks, running)
    total = sum(flows)
    keep = exp(-dt / config.blender_lag_s)
    feed = total + (state.feed - total) * keep if isfinite(state.feed) else total
    nir = value(seen, NIR_TAG)
    if nir > 0.0 and api_share > 0.0 and running > slow.resume_s:
        _put(tracks, NIR, log(nir / api_share), dt, slow.nir_filter_s, slow.learn_s)  # (D4)
    pressed, known = state.pressed, _press(seen, feed, made)
    if known is not None:
        kept_from = seen.time - _REMEMBERED_S
        pressed = (*(p for p in pressed if p.time > kept_from), known)
        if settled:
            for name, r in ((PRE, known.pre), (EJECTION, known.ejection)):
                _put(tracks, name, r, dt, slow.press_filter_s, slow.learn_s)
    sampled, heavier = dict(state.sampled), state.heavier
    for sample in seen.samples:
        heavier = _sampled(sampled, pressed, sample, heavier, slow, settled)
    balance = _balance(state, seen, known, heavier, feed, config, dt)
    if not any(f.doubted or f.off for f in feeders):  # else the feed is in doubt, not the level
        balance = stepped(balance, slow.level_step_percent / 100.0)
    if balance.learnt > slow.balance_s and settled:
        _put(tracks, BALANCE, balance.missing, dt, dt, slow.learn_s)  # (D7)
    forgotten = 1.0 - dt / slow.step_memory_s
    return replace(
        state,
        time=seen.time,
        running_s=running,
        feed=feed,
        heavier=heavier,
        tracks=tracks,
        sampled=sampled,
        pressed=pressed,
        feeders=feeders,
        inventory=balance._replace(off=balance.off * forgotten),
    )


def value(seen: Validated, tag: str) -> float:
    """A usable reading in SI, else NaN."""
    m = seen.measurements.get(tag)
    return m.value if m is not None and m.weight > 0.0 else nan


def _put(
    tracks: dict[str, Track], name: str, residual: float, dt: float, time: float, learn_s: float
) -> None:
    """Take a residual in: into its reference until that is known, into its filter always."""
    if not isfinite(residual):
        return
    old = tracks.get(name, Track())
    if old.learnt <= 0.0:
        tracks[name] = Track(residual, residual, dt)
        return
    near = old.filtered + min(max(residual - old.filtered, -_CLIP), _CLIP)
    learnt = old.learnt + dt
    filtered = old.filtered + (near - old.filtered) * dt / min(learnt, max(time, dt))
    if old.learnt < learn_s:
        reference = old.reference + (near - old.reference) * dt / learnt
        tracks[name] = Track(reference, filtered, learnt)
    else:
        tracks[name] = old._replace(filtered=filtered)


def _press(seen: Validated, feed: float, made: Made | None) -> Pressed | None:
    main, thickness = value(seen, MAIN), value(seen, _THICKNESS)
    if made is None or not (main > 0.0 and thickness > 0.0 and feed > 0.0):
        return None
    right = made(main, thickness, feed)
    if not (right.weight > 0.0 and right.pre_force > 0.0 and right.ejection > 0.0):
        return None
    pre, ejection = value(seen, PRE_TAG), value(seen, _EJECTION)
    return Pressed(
        seen.time,
        right.weight,
        log(pre / right.pre_force) if pre > 0.0 else nan,  # (D1)
        log(ejection / right.ejection) if ejection > 0.0 else nan,  # (D2)
    )


def _mean(values: list[float]) -> float:
    known = [v for v in values if isfinite(v)]
    return sum(known) / len(known) if known else nan


def _sampled(
    tracks: dict[str, Track],
    pressed: tuple[Pressed, ...],
    sample: LabSample,
    heavier: float,
    slow: SlowConfig,
    settled: bool,
) -> float:
    """Residuals of the tablets of a sample; ``heavier`` with it."""
    near = [p for p in pressed if abs(p.time - sample.taken) <= _SAMPLE_S]
    if not near or not sample.weights:
        return heavier
    weighed = sum(sample.weights) / len(sample.weights)
    residual = log(weighed / _mean([p.weight for p in near]))  # (D3)
    around = [p for p in pressed if abs(p.time - sample.taken) <= 3.0 * _SAMPLE_S]
    if settled:
        forces = slow.press_filter_samples
        rows = (
            (WEIGHT, residual, slow.lab_filter_samples),
            (PRE, _mean([p.pre for p in around]), forces),
            (EJECTION, _mean([p.ejection for p in around]), forces),
        )
        for name, r, samples in rows:
            _put(tracks, name, r, 1.0, samples, slow.lab_learn_samples)
    if not isfinite(heavier):
        return residual
    return heavier + (residual - heavier) / slow.lab_filter_samples


def _balance(
    state: SlowState,
    seen: Validated,
    known: Pressed | None,
    heavier: float,
    feed: float,
    config: MeasurementConfig,
    dt: float,
) -> Inventory:
    """The balance of the chute with the weight that force and laboratory give."""
    rate = value(seen, _TABLETS)
    if known is None or not isfinite(heavier) or not rate >= 0.0:
        return state.inventory._replace(offsets=())
    out = rate * known.weight * exp(heavier)
    return moved(
        state.inventory,
        value(seen, _LEVEL),
        feed,
        out,
        dt,
        capacity=config.chute_kg,
        time=config.slow.balance_s,
    )


def _feeders(
    state: SlowState,
    seen: Validated,
    slow: SlowConfig,
    dt: float,
    tracks: dict[str, Track],
    running: float,
) -> tuple[list[float], tuple[FeederWatch, ...]]:
    """Flows [kg/s] and what each feeder says; its residuals go into ``tracks``."""
    old = state.feeders or (FeederWatch(),) * len(seen.refills)
    flows: list[float] = []
    feeders: list[FeederWatch] = []
    for i, rate in enumerate(seen.feeder_rates, start=1):
        was, lot = old[i - 1], seen.lots[i - 1]
        quiet = was.quiet_s + dt if seen.refills[i - 1] in _QUIET else 0.0
        flow = value(seen, f"Line/Feeder{i}/MassFlow/PV")
        speed = value(seen, f"Line/Feeder{i}/ScrewSpeed/PV")
        flows.append(flow if flow > 0.0 else rate)
        if was.lot and lot and lot != was.lot:  # another powder, another feed factor
            tracks.pop(factor(i), None)
        usable = flow > 0.0 and speed > 0.0 and quiet > slow.refill_s and running > slow.refill_s
        if usable:
            residual = log(flow / speed)  # (D5)
            _put(tracks, factor(i), residual, dt, slow.feeder_filter_s, slow.learn_s)
            was = was._replace(factors=(*was.factors, residual)[-_FACTORS:])
        watch = _confirmed(_weighed(was, seen, i, flows[-1], slow, dt, quiet), dt, quiet)
        if abs(watch.off) >= 0.5 * slow.weight_step_percent / 100.0:
            tracks[step(i)] = Track(0.0, watch.off, slow.learn_s)  # (D6)
        else:  # an error may grow without a step
            tracks.pop(step(i), None)
        feeders.append(watch._replace(lot=lot or was.lot, quiet_s=quiet))
    return flows, tuple(feeders)


def _weighed(
    was: FeederWatch,
    seen: Validated,
    number: int,
    flow: float,
    slow: SlowConfig,
    dt: float,
    quiet: float,
) -> FeederWatch:
    """A step of the weight that no flow explains begins to be doubted."""
    off_s = was.off_s + dt
    was = was._replace(off=was.off if off_s < slow.step_memory_s else 0.0, off_s=off_s)
    m = seen.measurements.get(cell_tag(number))
    if quiet <= 0.0 or m is None or not m.value > 0.0:
        return was._replace(weight=nan, far=0)
    if not isfinite(was.weight):
        return was._replace(weight=m.value, far=0)
    expected = was.weight - flow * dt
    away = m.value / expected - 1.0 if expected > 0.0 else 0.0
    if abs(away) < slow.weight_step_percent / 100.0:
        return was._replace(weight=m.value, far=0)
    if was.far + 1 < _STEP_READINGS:
        return was._replace(weight=expected, far=was.far + 1)
    earlier = was.factors[: -2 * _STEP_READINGS]
    before = was.before if was.doubted else _mean(list(earlier))
    return was._replace(
        weight=m.value, far=0, factors=(), doubted=was.doubted + away, doubted_s=0.0, before=before
    )


def _confirmed(was: FeederWatch, dt: float, quiet: float) -> FeederWatch:
    """A doubted step of the weight that the feed factor made too is one of the cell's span."""
    if not was.doubted:
        return was
    if quiet <= 0.0 or not isfinite(was.before):
        return was._replace(doubted=0.0, doubted_s=0.0, before=nan)
    if was.doubted_s < _SEEN_BY_S or len(was.factors) < _FEWEST:
        return was._replace(doubted_s=was.doubted_s + dt)
    late = was.factors[-_FEWEST:]
    ratio = (_mean(list(late)) - was.before) / log(1.0 + was.doubted)
    after = was._replace(doubted=0.0, doubted_s=0.0, before=nan)
    if not _SAME[0] <= ratio <= _SAME[1]:
        return after
    return after._replace(off=was.off + was.doubted, off_s=0.0)
