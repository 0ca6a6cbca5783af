"""What watches over every cycle besides modes and gate, wired in the order of the cycle.

`begin` comes after validation and the operators' requests: health of the measurements, loss ladder,
services, limits; what it returns is what the algorithm sees. `finish` ends the cycle: advice,
readiness, alarms. Both are pure; all that lives between cycles is `OversightState`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.alarms.conditions import Facts
from controller.alarms.engine import AlarmEvent, AlarmState
from controller.alarms.export import event_rows
from controller.alarms.requests import AlarmRequest
from controller.alarms.watch import AlarmMemory, AlarmSetup, watch
from controller.alarms.wiring import doubts_of
from controller.config import SupervisionConfig
from controller.data import Estimate, Forecast, Mode, Plan, Targets, Validated
from controller.measurement.health import HealthReport, HealthState, assess
from controller.measurement.ne107 import Ne107
from controller.measurement.redundancy import PreForce
from controller.measurement.slow import Made
from controller.products.limits import MvLimits, mv_limits
from controller.products.requests import ProductRequest, ProductState, handle_product_requests
from controller.products.sets import ProductBinding, ProductSet
from controller.supervision.advice import AcceptedAdvice, Advice, AdviceState, advise
from controller.supervision.advice_data import AdviceRequest
from controller.supervision.advice_requests import handle_advice_requests
from controller.supervision.diversion import Diversion, DiversionState, decide_diversion
from controller.supervision.ladder import LadderReport, LadderState, climb, heed
from controller.supervision.readiness import ReadinessReport, ReadinessState, observe, report
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal
from controller.supervision.service import (
    ServiceReport,
    ServiceState,
    handle_service_requests,
    in_service,
    initial_services,
    services,
)
from controller.supervision.vouch import handle_vouches
from plant_models.signals import LineState, SignalTable, Snapshot

__all__ = ["Begun", "Oversight", "OversightSetup", "OversightState", "begin", "divert", "finish"]

_NOTHING_ASKED = Diversion(divert=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OversightSetup:
    """What does not change while a controller runs.

    ``specification`` are limits of CVs and of the assay, SI; ``label_weight`` [kg] and ``diameter``
    [m] those of a tablet; ``known`` the product sets that can be loaded, by hash; ``product`` the
    one of this run, if it has one.
    """

    config: SupervisionConfig
    table: SignalTable
    owned: tuple[str, ...]
    period_s: float
    specification: Mapping[str, tuple[float, float]]
    label_weight: float
    diameter: float
    alarms: AlarmSetup
    pre_force: PreForce | None = None
    made: Made | None = None
    product: ProductSet | None = None
    binding: ProductBinding | None = None
    known: Mapping[str, ProductSet] = field(default_factory=dict)

    def objection(self, user: str, role: str, reason: str) -> str:
        """Why this person may not answer an advice, or nothing."""
        return refusal(Action.ANSWER_ADVICE, user, role, reason, self.config)

    def initial(self) -> OversightState:
        """Before the first cycle."""
        active = "" if self.binding is None else self.binding.hash
        return OversightState(
            services=initial_services(self.config), product=ProductState(active=active)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OversightState:
    """All that is remembered between cycles."""

    health: HealthState = field(default_factory=HealthState)
    ladder: LadderState = field(default_factory=LadderState)
    diversion: DiversionState = field(default_factory=DiversionState)
    services: ServiceState = field(default_factory=ServiceState)
    advice: AdviceState = field(default_factory=AdviceState)
    readiness: ReadinessState = field(default_factory=ReadinessState)
    judgement: ReadinessReport | None = None
    alarms: AlarmMemory = field(default_factory=AlarmMemory)
    product: ProductState = field(default_factory=ProductState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversight:
    """What a cycle shows to people. ``readiness`` is the last judgement made in ADVISORY."""

    health: HealthReport
    ladder: LadderReport
    services: ServiceReport
    diversion: Diversion
    advice: tuple[Advice, ...]
    readiness: ReadinessReport | None
    alarms: AlarmState
    alarm_events: tuple[AlarmEvent, ...]
    product: ProductBinding | None

    def as_record(self) -> dict[str, object]:
        """What is not as it should be, in plain data for the record of the cycle."""
        return {
            "health": {
                tag: [str(s.category), str(s.defect), s.text]
                for tag, s in self.health.signals.items()
                if s.category is not Ne107.GOOD
            },
            "lost": [loss.text for loss in self.ladder.lost],
            "divert": list(self.diversion.reasons),
            "services": {
                name: [str(s), self.services.texts.get(name, "")]
                for name, s in {**self.services.mvs, **self.services.cvs}.items()
                if str(s) != "ON"
            },
            "advice": [f"{a.id}: {a.text}: {a.reason}" for a in self.advice],
            "alarms": event_rows(self.alarm_events),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What the cycle goes on with: data and targets as the algorithm is to see them."""

    state: OversightState
    validated: Validated | None
    targets: Targets
    health: HealthReport
    ladder: LadderReport
    services: ServiceReport
    limits: MvLimits
    answers: tuple[Answered, ...]
    accepted: tuple[AcceptedAdvice, ...]


def begin(
    state: OversightState,
    setup: OversightSetup,
    *,
    validated: Validated | None,
    snapshot: Snapshot,
    requests: Iterable[object],
    targets: Targets,
    mode: Mode,
    estimate: Estimate | None,
    clock: str = "",
) -> Begun:
    """From validated data to what the algorithm sees.

    Parameters
    ----------
    state
        After the cycle before.
    setup
        What does not change.
    validated, snapshot
        Of this cycle; ``validated`` is None if nothing was read.
    requests
        Of operators, other than for modes and targets; alarms have theirs in `finish`.
    targets
        Set points of the CVs.
    mode
        Of this cycle, after the requests for modes.
    estimate
        Of the cycle before.
    clock
        What is wrong with the plant's clock.
    """
    config, asked = setup.config, tuple(requests)
    health, memory = HealthReport(), state.health
    if validated is not None:
        validated, health, memory = assess(
            validated,
            snapshot,
            state.health,
            config.measurement,
            estimate=estimate,
            held=state.ladder.held,
            clock=clock,
            pre_force=setup.pre_force,
            made=setup.made,
        )
    confirmed, vouched = handle_vouches(state.ladder, asked, config)
    ladder_state, ladder = climb(
        state.ladder,
        validated,
        health,
        config.ladder,
        time=snapshot.time,
        line_running=validated is not None and validated.line_state is LineState.RUNNING,
        estimate=estimate,
        diameter=setup.diameter,
        confirmed=confirmed,
    )
    if validated is not None:
        validated = heed(validated, ladder)
    permitted = mv_limits(setup.table, snapshot, setup.product)
    service_state, answers = handle_service_requests(
        state.services,
        asked,
        owned=setup.owned,
        ranges={tag: (r.lo, r.hi) for tag, r in permitted.ranges.items()},
        mode=mode,
        config=config,
    )
    service_state, served = services(
        service_state,
        validated,
        owned=setup.owned,
        mode=mode,
        config=config,
        snapshot=snapshot,
        mvs_frozen=ladder.mvs_frozen,
        cvs_dropped=ladder.cvs_dropped,
    )
    product, told = handle_product_requests(
        state.product,
        (r for r in asked if isinstance(r, ProductRequest)),
        mode=mode,
        known=setup.known,
        config=config,
    )
    limits = mv_limits(setup.table, snapshot, setup.product, service_state.limits)
    if validated is not None:
        validated = _without(in_service(validated, served), limits.conflicts)
    narrower = _narrower(limits, setup.table)
    if (targets.out, targets.limits) != (served.out, narrower):
        targets = replace(targets, out=served.out, limits=narrower)
    advice, said, accepted = handle_advice_requests(
        state.advice,
        tuple(r for r in asked if isinstance(r, AdviceRequest)),
        validated=validated,
        targets=targets,
        mode=mode,
        time=snapshot.time,
        period_s=setup.period_s,
        table=setup.table,
        config=config.advice,
        objection=setup.objection,
    )
    after = replace(
        state,
        health=memory,
        ladder=ladder_state,
        services=service_state,
        product=product,
        advice=advice,
    )
    return Begun(
        state=after,
        validated=validated,
        targets=targets,
        health=health,
        ladder=ladder,
        services=served,
        limits=limits,
        answers=vouched + answers + told + said,
        accepted=accepted,
    )


def divert(
    begun: Begun, setup: OversightSetup, estimate: Estimate | None
) -> tuple[Begun, Diversion]:
    """Whether the plant is asked to divert: instruments lost, the estimate of this cycle."""
    state, decided = decide_diversion(
        begun.state.diversion,
        begun.ladder,
        estimate,
        setup.specification,
        setup.label_weight,
        setup.config.ladder.diversion,
    )
    return replace(begun, state=replace(begun.state, diversion=state)), decided


def finish(
    begun: Begun,
    setup: OversightSetup,
    facts: Facts,
    *,
    targets: Targets,
    forecast: Forecast | None,
    plan: Plan | None,
    requests: Iterable[object],
    diversion: Diversion = _NOTHING_ASKED,
    solve_ms: float | None = None,
) -> tuple[OversightState, Oversight, tuple[Answered, ...]]:
    """Advice, readiness and alarms of a cycle that has decided everything else.

    Parameters
    ----------
    begun, setup
        Of this cycle, and what does not change.
    facts
        What the cycle found, for the alarms; reports are filled in here.
    targets, forecast, plan
        Of this cycle.
    requests
        Of operators; those for alarms are answered here.
    diversion
        Of this cycle.
    solve_ms
        Wall time that the algorithm took in the cycle before.
    """
    state, config, mode = begun.state, setup.config, facts.after.mode
    permissives = tuple(facts.after.permissives.values())
    advice = advise(
        state.advice,
        plan=plan,
        forecast=forecast,
        estimate=facts.estimate,
        validated=begun.validated,
        snapshot=facts.snapshot,
        targets=targets,
        mode=mode,
        period_s=setup.period_s,
        table=setup.table,
        config=config.advice,
        limits=targets.limits,
    )
    readiness = observe(
        state.readiness,
        plan=plan,
        forecast=forecast,
        estimate=facts.estimate,
        validated=begun.validated,
        targets=targets,
        permissives=permissives,
        mode=mode,
        time=facts.snapshot.time,
        period_s=setup.period_s,
        table=setup.table,
        config=config.readiness,
        solve_ms=solve_ms,
    )
    judgement = report(readiness, config.readiness) if mode is Mode.ADVISORY else state.judgement
    watched = watch(
        state.alarms,
        replace(
            facts,
            losses=begun.ladder.lost,
            doubts=doubts_of(begun.health),
            divert=diversion.divert,
            critical=begun.services.lost,
            readiness=judgement,
        ),
        (r for r in requests if isinstance(r, AlarmRequest)),
        setup.alarms,
    )
    after = replace(
        state,
        advice=advice,
        readiness=readiness,
        judgement=judgement,
        alarms=watched.memory,
    )
    shown = Oversight(
        health=begun.health,
        ladder=begun.ladder,
        services=begun.services,
        diversion=diversion,
        advice=advice.current,
        readiness=judgement,
        alarms=watched.memory.alarms,
        alarm_events=watched.events,
        product=setup.binding,
    )
    return after, shown, watched.answers


def _without(validated: Validated, conflicts: Mapping[str, str]) -> Validated:
    """An MV whose limits leave no range is not moved."""
    if not conflicts:
        return validated
    available = {t: free and t not in conflicts for t, free in validated.available.items()}
    return replace(validated, available=available)


def _narrower(limits: MvLimits, table: SignalTable) -> dict[str, tuple[float, float]]:
    """Ranges (SI) that somebody else than the PLC has narrowed."""
    theirs = [t for t, r in limits.ranges.items() if {r.lo_by, r.hi_by} != {"PLC"}]
    si = limits.in_si(table)
    return {tag: si[tag] for tag in theirs}
