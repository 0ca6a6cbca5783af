"""From what a cycle found to the conditions of the alarms.

What is not known in a cycle has no condition, so that its alarm stays as it is. `conditions` is a
pure function of the facts of a cycle and of what was seen in the cycles before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.alarms.definitions import Definition, alarm_id
from controller.alarms.engine import Condition
from controller.alarms.ids import Id
from controller.config import SupervisionConfig
from controller.data import Command, Estimate, Forecast, Interval, Mode, Plan, ReachedBy, Validated
from controller.supervision.findings import LinkStatus
from controller.supervision.supervisor import SupervisionState
from plant_models.signals import PLC, LineState, PlcMode, Snapshot

__all__ = ["Facts", "LossLike", "ReadinessLike", "Seen", "Watched", "conditions", "meaningless"]

Band = tuple[float, float]

_OFF = Condition(False)
_OLD_PLAN = frozenset({ReachedBy.SHIFTED, ReachedBy.HOLD, ReachedBy.NONE})
_ACTIVE_MODES = frozenset({Mode.ADVISORY, Mode.CLOSED_LOOP})
_MISSED = 1.5  # periods


class LossLike(Protocol):
    """An instrument that is lost (`controller.supervision.ladder.Loss`)."""

    @property
    def name(self) -> str:
        """Row of the ladder."""
        ...

    @property
    def instrument(self) -> str:
        """How it is called."""
        ...

    @property
    def expired(self) -> bool:
        """Whether it has been lost for longer than allowed."""
        ...

    @property
    def text(self) -> str:
        """Why, and what is done."""
        ...


class ReadinessLike(Protocol):
    """A readiness report, as far as it matters here."""

    @property
    def ready(self) -> bool:
        """Whether the controller calls itself ready."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What does not change while a controller runs.

    ``owned`` are the MVs that it moves, by tag; ``instruments`` those of the loss ladder by name
    with the name that is shown; ``specification`` the limits of CVs, SI.
    """

    owned: tuple[str, ...]
    instruments: Mapping[str, str]
    specification: Mapping[str, Band]
    period_s: float
    config: SupervisionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one cycle found; ``before`` and ``after`` are supervision at its begin and end.

    ``losses`` and ``divert`` come from the loss ladder, ``doubts`` say per instrument of it what
    its health has against it, ``critical`` which critical variable is out of service, ``clock``
    what is wrong with the plant's clock.
    """

    snapshot: Snapshot
    read: bool
    before: SupervisionState
    after: SupervisionState
    link: LinkStatus
    validated: Validated | None = None
    estimate: Estimate | None = None
    forecast: Forecast | None = None
    plan: Plan | None = None
    command: Command | None = None
    losses: tuple[LossLike, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    divert: bool = False
    critical: str = ""
    readiness: ReadinessLike | None = None
    clock: str = ""
    flood: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What must be remembered of earlier cycles; ``running_since`` is plant time [s, UTC]."""

    heartbeat: int | None = None
    shed_count: int | None = None
    ready: bool = False
    running_since: float | None = None


def meaningless(
    facts: Facts, seen: Seen, definitions: Iterable[Definition], settle_s: float
) -> frozenset[str]:
    """Alarms that mean nothing now: those that need a running line, until it has settled."""
    since = seen.running_since
    if since is not None and facts.snapshot.time - since >= settle_s:
        return frozenset()
    return frozenset(d.id for d in definitions if d.needs_running)


def conditions(facts: Facts, seen: Seen, watched: Watched) -> tuple[dict[str, Condition], Seen]:
    """Conditions of this cycle by alarm, and what to remember."""
    found = {
        Id.PLANT_LOST: Condition(
            not (facts.read and facts.link.connected and facts.link.alive), facts.link.note
        ),
        Id.SHED: Condition(facts.after.mode is Mode.SHED, facts.after.cause),
        Id.FLOOD: Condition(facts.flood),
        Id.CERTIFICATE: _certificate(facts, watched),
    }
    _standing(found, facts, watched)
    validated = facts.validated
    if not facts.read or validated is None:
        return found, seen
    found |= _of_permissives(facts, validated)
    found |= _of_commands(facts, validated, seen)
    found |= _of_instruments(facts, validated, watched)
    found |= _of_set_points(facts, validated, watched)
    found |= _of_thinking(facts, watched)
    found |= _of_times(facts, validated, seen, watched)
    return found, _remember(facts, validated, seen)


def _certificate(facts: Facts, watched: Watched) -> Condition:
    limit = watched.config.alarms.certificate_days
    days = facts.link.certificates
    if not days:
        return _OFF
    name = min(days, key=lambda n: days[n])
    left = days[name]
    text = f"{name}: {left:.0f} days left" if left > 0.0 else f"{name}: expired"
    return Condition(left < limit, text)


def _standing(found: dict[str, Condition], facts: Facts, watched: Watched) -> None:
    since = facts.after.suspended_since
    config = watched.config
    warn = config.alarms.resume_warning_percent / 100.0 * config.resume_within_s
    stood = 0.0 if since is None else facts.snapshot.time - since
    left = config.resume_within_s - stood
    found[Id.SUSPENDED] = Condition(since is not None)
    v = facts.validated
    acted = v is not None and v.line_state is LineState.RESTARTING
    found[Id.RESUME] = Condition(
        since is not None and stood >= warn and not acted, f"in {left:.0f} s"
    )


def _of_permissives(facts: Facts, validated: Validated) -> dict[str, Condition]:
    """Alarms that a permissive stands behind."""
    mode, closed = facts.after.mode, facts.before.mode is Mode.CLOSED_LOOP
    held = {str(p.name): p for p in facts.after.permissives.values()}

    def lost(name: str, relevant: bool) -> Condition:
        p = held.get(name)
        return _OFF if p is None or p.good or not relevant else Condition(True, p.text)

    running = validated.line_state is LineState.RUNNING
    active = running and (mode in _ACTIVE_MODES or closed)
    critical = facts.critical
    return {
        Id.INTERLOCK: Condition(not validated.permit),
        Id.LIMITS: lost("recipe, model and units agree", mode is not Mode.OFF),
        Id.PRODUCT: lost("product set bound", mode is not Mode.OFF),
        Id.MEASUREMENTS: Condition(
            mode is not Mode.OFF and not validated.enough, ", ".join(validated.missing)
        ),
        Id.CRITICAL: Condition(True, critical)
        if critical and active
        else lost("critical set points available", active),
        Id.COMMANDS: lost("commands accepted", closed),
        Id.ESTIMATOR: lost("estimator converged", mode is not Mode.OFF),
    }


def _of_commands(facts: Facts, validated: Validated, seen: Seen) -> dict[str, Condition]:
    """Who controls, and whether commands go out."""
    before, after = facts.before, facts.after
    writing = before.mode is Mode.CLOSED_LOOP and before.suspended_since is None
    running = validated.line_state is LineState.RUNNING
    count = facts.snapshot.number(PLC.SHED_COUNT)
    shed = count is not None and seen.shed_count is not None and count > seen.shed_count
    held = {str(p.name): p for p in after.permissives.values()}
    lease = held.get("PLC mode and lease")
    taken = writing and running and lease is not None and not lease.good and not shed
    command = facts.command
    silent = after.mode is Mode.CLOSED_LOOP and after.suspended_since is None and running
    withheld = silent and command is not None and command.frame is None
    reasons = "" if command is None else "; ".join(command.reasons)
    asked = facts.divert or (
        command is not None and command.frame is not None and command.frame.divert
    )
    return {
        Id.LEASE: Condition(taken, lease.text if taken and lease is not None else ""),
        Id.WATCHDOG: Condition(
            shed and writing and running, facts.snapshot.text(PLC.SHED_CAUSE) or ""
        ),
        Id.WITHHELD: Condition(withheld, reasons if withheld else ""),
        Id.DIVERT: Condition(asked and after.mode is not Mode.OFF),
        Id.DIVERTING: Condition(running and facts.snapshot.text(PLC.DIVERTER) == "divert"),
    }


def _of_instruments(facts: Facts, validated: Validated, watched: Watched) -> dict[str, Condition]:
    """Lost and doubtful instruments; a line that stands says nothing against a doubt."""
    running = validated.line_state is LineState.RUNNING
    lost = {loss.name: loss for loss in facts.losses}
    expired = [loss.instrument for loss in facts.losses if loss.expired]
    found = {Id.ALLOWANCE: Condition(bool(expired), ", ".join(expired))}
    for name in watched.instruments:
        loss, doubt = lost.get(name), facts.doubts.get(name)
        found[alarm_id(Id.LOST, name)] = _OFF if loss is None else Condition(True, loss.text)
        if doubt is not None or running:
            found[alarm_id(Id.DOUBTFUL, name)] = Condition(doubt is not None, doubt or "")
    return found


def _of_set_points(facts: Facts, validated: Validated, watched: Watched) -> dict[str, Condition]:
    """Manipulated variables in local, or at a limit of the plant."""
    snapshot = facts.snapshot
    ready = validated.permit and validated.line_state is LineState.RUNNING
    by_plc = validated.plc_mode is not PlcMode.LOCAL
    found: dict[str, Condition] = {}
    for tag in watched.owned:
        source = snapshot.text(f"{tag}/SRC")
        kept = source == PlcMode.LOCAL if by_plc else not validated.available.get(tag, False)
        found[alarm_id(Id.LOCAL, tag)] = Condition(ready and kept)
        act, lo, hi = (snapshot.number(f"{tag}/{name}") for name in ("ACT", "LO", "HI"))
        if act is None or lo is None or hi is None or not hi > lo:
            continue
        room = 100.0 * min(act - lo, hi - act) / (hi - lo)
        limit = watched.config.alarms.saturated_range_percent
        ours = facts.after.mode is Mode.CLOSED_LOOP and facts.after.suspended_since is None
        at = "upper" if hi - act < act - lo else "lower"
        found[alarm_id(Id.SATURATED, tag)] = Condition(
            ours and room <= limit, f"{at} limit", room if ours else None, limit
        )
    return found


def _of_thinking(facts: Facts, watched: Watched) -> dict[str, Condition]:
    """Estimate, forecast, plan, readiness."""
    found: dict[str, Condition] = {}
    estimate, plan, forecast = facts.estimate, facts.plan, facts.forecast
    active = facts.after.mode in _ACTIVE_MODES and facts.after.suspended_since is None
    if facts.after.mode is Mode.OFF:
        found[Id.MISMATCH] = found[Id.OUT_OF_SPEC] = _OFF
    elif estimate is not None:
        value, limit = estimate.normalised_innovation, watched.config.alarms.innovation_limit
        found[Id.MISMATCH] = Condition(value > limit, f"{value:.1f} of 1", value, limit)
        found[Id.OUT_OF_SPEC] = _out_of_spec(estimate.quality, watched.specification)
    if active:
        old = plan is None or plan.reached_by in _OLD_PLAN
        found[Id.SOLVER] = Condition(old, "" if plan is None else str(plan.reached_by))
        relaxed = () if plan is None or plan.target is None else plan.target.relaxed
        found[Id.RELAXED] = Condition(bool(relaxed), ", ".join(r.variable for r in relaxed))
    else:
        found[Id.SOLVER] = found[Id.RELAXED] = _OFF
    for cv, (lo, hi) in watched.specification.items():
        row = None if forecast is None else forecast.series.get(cv)
        if row is None:
            found[alarm_id(Id.FORECAST, cv)] = _OFF
            continue
        low, high = float(row[1].min()), float(row[1].max())
        found[alarm_id(Id.FORECAST, cv)] = Condition(low < lo or high > hi)
    return found


def _out_of_spec(quality: Mapping[str, Interval], limits: Mapping[str, Band]) -> Condition:
    out = [
        cv
        for cv, (lo, hi) in limits.items()
        if (now := quality.get(cv)) is not None and not lo <= now.mean <= hi
    ]
    return Condition(bool(out), ", ".join(out))


def _of_times(
    facts: Facts, validated: Validated, seen: Seen, watched: Watched
) -> dict[str, Condition]:
    """Missed cycles, a plant clock that is not in step with its heartbeat, lost readiness."""
    found = {Id.CLOCK: Condition(bool(facts.clock), facts.clock)}
    if facts.readiness is not None:
        worse = seen.ready and not facts.readiness.ready
        found[Id.READINESS] = Condition(worse and facts.after.mode in _ACTIVE_MODES)
    if seen.heartbeat is None or validated.heartbeat < 0:
        return found
    missed = (validated.heartbeat - seen.heartbeat) / watched.period_s - 1.0
    found[Id.LATE] = Condition(missed >= _MISSED - 1.0, f"{missed:.0f}")
    return found


def _remember(facts: Facts, validated: Validated, seen: Seen) -> Seen:
    count = facts.snapshot.number(PLC.SHED_COUNT)
    since = seen.running_since
    if validated.line_state is not LineState.RUNNING:
        since = None
    elif since is None:
        since = facts.snapshot.time
    ready = seen.ready or (facts.readiness is not None and facts.readiness.ready)
    return replace(
        seen,
        heartbeat=validated.heartbeat if validated.heartbeat >= 0 else seen.heartbeat,
        shed_count=seen.shed_count if count is None else int(count),
        ready=ready and facts.after.mode in _ACTIVE_MODES,
        running_since=since,
    )
