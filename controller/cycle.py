"""One control cycle: read, validate, estimate, predict, optimise, act, record.

`run_cycle` is a pure function of the inputs of the cycle (snapshot, requests, state of the link),
the state after the cycle before, and an unchanging `CycleSetup`. It reads no clock but the one that
it is given for the timings in the record, which decide nothing. Whoever calls it carries out the
effects that `CycleOutput` names: ask the plant for control, send the command, write the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.advice_orders import carry_out, held_back
from controller.alarms.conditions import Facts
from controller.brain import Brain, Forced, Step
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState
from controller.data import Command, CycleRecord, Mode, Targets, Validated
from controller.oversight import Begun, begin, divert, finish
from controller.plant_clock import PlantClock, steady_time
from controller.products.sets import binding
from controller.products.watch import shadow_record, shadowed
from controller.supervision.bumpless import ramp
from controller.supervision.findings import Counters, count, findings
from controller.supervision.gate import withhold
from controller.supervision.permissives import debounce_of, update
from controller.supervision.readiness import report
from controller.supervision.supervisor import (
    Decision,
    SupervisionState,
    decide,
    handle_requests,
    resting,
)
from controller.targets import handle_target_requests
from controller.validation import ValidationState
from plant_models.signals import PLC, LineState, Snapshot

__all__ = ["run_cycle"]


@dataclass(slots=True)
class _Timer:
    """Wall time per step [ms], for the record only."""

    clock: Callable[[], float]
    wall_ms: dict[str, float] = field(default_factory=dict)
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = self.clock()

    def lap(self, name: str) -> None:
        now = self.clock()
        self.wall_ms[name] = 1e3 * (now - self.last)
        self.last = now


def run_cycle(
    inputs: CycleInputs,
    state: CycleState,
    setup: CycleSetup,
    clock: Callable[[], float],
    forced: Forced | None = None,
) -> CycleOutput:
    """Run one cycle.

    Parameters
    ----------
    inputs
        Snapshot, requests and state of the link.
    state
        State after the cycle before.
    setup
        Unchanging parts.
    clock
        Monotonic seconds for the timings in the record.
    forced
        In a replay: what the algorithm did when this cycle was recorded.

    Returns
    -------
    Next state, record and effects.
    """
    cycle, timer = state.cycle + 1, _Timer(clock)

    # 1 read
    inputs, plant_clock = _steady(inputs, state, setup)
    snapshot = inputs.snapshot or Snapshot(time=state.time, scan_id=state.scan_id, values={})

    # 2 validate, and hear the operators: a new mode holds from this cycle on
    checked, validation = _validate(inputs, state, setup)
    heard = handle_requests(
        state.supervision,
        inputs.requests,
        setup.config.supervision,
        time=snapshot.time,
        cycle=cycle,
    )
    targets, target_answers = handle_target_requests(
        state.targets, inputs.target_requests, setup.line, setup.config.supervision
    )
    begun = begin(
        state.oversight,
        setup.oversight,
        validated=checked,
        snapshot=snapshot,
        requests=inputs.operator_requests,
        targets=targets,
        mode=heard.state.mode,
        estimate=state.last_estimate,
        clock=plant_clock.text,
    )
    validated, targets = begun.validated, begun.targets
    timer.lap("validate")

    # 3 estimate, 4 predict, 5 optimise
    step = _think(setup.brain, state, validated, heard.state.mode, targets, inputs, forced)
    timer.lap("think")

    # 6 act
    estimate = None if step is None else step.estimate
    begun, diversion = divert(begun, setup.oversight, estimate)
    line_state = LineState.STOPPED if validated is None else validated.line_state
    rests = resting(heard.state, line_state, setup.config.supervision)
    counters = _count(state, setup, step, rests)
    supervision = _permissives(inputs, snapshot, begun, heard.state, counters, state, setup)
    decision = decide(
        supervision,
        setup.config.supervision,
        structure=setup.config.structure,
        line_state=line_state,
        refusal=inputs.refusal,
        time=snapshot.time,
        cycle=cycle,
    )
    command, supervision = _command(
        decision, setup, state, inputs, begun, snapshot, step, diversion.divert
    )
    answered, orders = carry_out(
        begun.accepted,
        begun.answers,
        setup.gate,
        setup.config.supervision,
        supervision=supervision,
        targets=targets,
        validated=validated,
        snapshot=snapshot,
    )
    advice = held_back(begun.state.advice, begun.accepted, orders)
    begun = replace(begun, state=replace(begun.state, advice=advice))
    watching, oversight, told = finish(
        begun,
        setup.oversight,
        Facts(
            snapshot=snapshot,
            read=inputs.snapshot is not None,
            before=state.supervision,
            after=supervision,
            link=inputs.link,
            validated=validated,
            estimate=estimate,
            forecast=None if step is None else step.forecast,
            plan=None if step is None else step.plan,
            command=command,
            clock=plant_clock.text,
        ),
        targets=targets,
        forecast=None if step is None else step.forecast,
        plan=None if step is None else step.plan,
        requests=inputs.operator_requests,
        diversion=diversion,
        solve_ms=inputs.solve_ms,
    )
    timer.lap("act")
    products = shadowed(
        watching.product,
        setup.shadow,
        validated,
        step,
        targets,
        diameter=setup.oversight.diameter,
        config=setup.config.supervision.products,
        deadline_s=inputs.deadline_s,
    )
    watching = replace(watching, product=products)

    # 7 record
    after = CycleState(
        cycle=cycle,
        time=snapshot.time,
        scan_id=snapshot.scan_id,
        heartbeat=_heartbeat(state, validated),
        epoch=state.epoch,
        sequence=state.sequence if command.frame is None else command.frame.sequence,
        supervision=supervision,
        counters=_after_command(counters, command, snapshot),
        validation=validation,
        brain=state.brain if step is None else step.state,
        targets=targets,
        last_command=command,
        last_plan=None if step is None else step.plan,
        last_estimate=estimate,
        oversight=watching,
        plant_clock=plant_clock,
    )
    answers = heard.answers + decision.answers
    transitions = heard.transitions + decision.transitions
    extra = {
        "answers": answers,
        "target_answers": target_answers,
        "transitions": transitions,
        "operator_answers": answered + told,
        "orders": tuple(f"{o.order.mv}: {o.order.value:.6g}: {o.order.reason}" for o in orders),
        "oversight": oversight.as_record(),
        **shadow_record(products, setup.config.supervision.products),
    }
    record = _record(inputs, snapshot, validated, step, after, setup, extra, timer)
    return CycleOutput(
        state=after,
        record=record,
        command=command,
        request_control=decision.request_control,
        answers=answers,
        target_answers=target_answers,
        transitions=transitions,
        permissives=tuple(supervision.permissives.values()),
        authority=decision.authority,
        oversight=oversight,
        operator_answers=answered + told,
        orders=orders,
        product_order=watching.product.order,
    )


def _steady(
    inputs: CycleInputs, state: CycleState, setup: CycleSetup
) -> tuple[CycleInputs, PlantClock]:
    """The inputs in time that goes on whatever the plant's clock does."""
    if inputs.snapshot is None or not setup.config.supervision.measurement.enabled:
        return inputs, state.plant_clock
    snapshot, clock = steady_time(inputs.snapshot, state.plant_clock)
    return replace(inputs, snapshot=snapshot), clock


def _validate(
    inputs: CycleInputs, state: CycleState, setup: CycleSetup
) -> tuple[Validated | None, ValidationState]:
    if inputs.snapshot is None:
        return None, state.validation
    return setup.validator.validate(inputs.snapshot, state.validation)


def _heartbeat(state: CycleState, validated: Validated | None) -> int | None:
    """Newest heartbeat that could be read: the next one has to be newer."""
    readable = validated is not None and validated.heartbeat >= 0
    return validated.heartbeat if validated is not None and readable else state.heartbeat


def _think(
    brain: Brain,
    state: CycleState,
    validated: Validated | None,
    mode: Mode,
    targets: Targets,
    inputs: CycleInputs,
    forced: Forced | None,
) -> Step | None:
    """The algorithm's step; none while off, without data, or when no plant time has passed."""
    if mode is Mode.OFF or validated is None or validated.time <= state.time:
        return None
    return brain.step(state.brain, validated, mode, targets, inputs.deadline_s, forced)


def _count(state: CycleState, setup: CycleSetup, step: Step | None, rests: bool) -> Counters:
    return count(
        state.counters,
        setup.config.supervision,
        None if step is None else step.estimate,
        None if step is None else step.plan,
        resting=rests,
    )


def _permissives(
    inputs: CycleInputs,
    snapshot: Snapshot,
    begun: Begun,
    supervision: SupervisionState,
    counters: Counters,
    state: CycleState,
    setup: CycleSetup,
) -> SupervisionState:
    bound, ready = setup.oversight.product, setup.config.supervision.readiness
    found = findings(
        snapshot,
        begun.validated,
        supervision,
        counters,
        setup.config.supervision,
        link=inputs.link,
        last_heartbeat=state.heartbeat,
        structure=setup.config.structure,
        epoch=state.epoch,
        model_version=setup.model_version,
        recipe_id=setup.recipe_id,
        has_estimator=setup.has_estimator,
        write_trouble=inputs.write_trouble,
        last_command=state.last_command,
        critical=setup.config.supervision.critical,
        readiness=report(begun.state.readiness, ready) if ready.required else None,
        ladder=begun.ladder if setup.config.supervision.ladder.enabled else None,
        services=begun.services,
        product=None if bound is None else binding(bound, begun.limits.conflicts),
    )
    debounce = debounce_of(setup.config.supervision)
    known = supervision.permissives
    return replace(supervision, permissives=update(known, found, snapshot.time, debounce))


def _command(
    decision: Decision,
    setup: CycleSetup,
    state: CycleState,
    inputs: CycleInputs,
    begun: Begun,
    snapshot: Snapshot,
    step: Step | None,
    divert: bool,
) -> tuple[Command, SupervisionState]:
    """Let the plan through the gate, or say why nothing goes out."""
    validated = begun.validated
    if not decision.write or validated is None:
        return withhold(decision.why_not), decision.state
    sent = None if state.last_command is None or inputs.write_trouble else state.last_command.frame
    command = setup.gate.decide(
        decision.authority,
        None if step is None else step.plan,
        validated,
        snapshot,
        cycle=state.cycle + 1,
        epoch=state.epoch,
        sequence=state.sequence,
        share=ramp(decision.state.closed_cycles, setup.config.supervision.closing_ramp_cycles),
        limits=begun.targets.limits,
        sent=sent,
        divert=divert,
    )
    if command.frame is None:
        return command, decision.state
    return command, replace(decision.state, closed_cycles=decision.state.closed_cycles + 1)


def _after_command(counters: Counters, command: Command, snapshot: Snapshot) -> Counters:
    rejected = snapshot.number(PLC.REJECTED_COUNT)
    return replace(
        counters,
        frame_sent=command.frame is not None,
        rejected_count=counters.rejected_count if rejected is None else int(rejected),
    )


def _record(
    inputs: CycleInputs,
    snapshot: Snapshot,
    validated: Validated | None,
    step: Step | None,
    after: CycleState,
    setup: CycleSetup,
    extra: Mapping[str, Any],
    timer: _Timer,
) -> CycleRecord:
    permissives = after.supervision.permissives.values()
    return CycleRecord(
        cycle=after.cycle,
        time=snapshot.time,
        mode=after.mode,
        snapshot=snapshot,
        validated=validated,
        estimate=None if step is None else step.estimate,
        forecast=None if step is None else step.forecast,
        plan=None if step is None else step.plan,
        command=after.last_command or withhold("nothing decided"),
        targets=after.targets,
        permissives={str(p.name): (p.good, p.text) for p in permissives},
        hashes=setup.hashes,
        wall_ms=timer.wall_ms,
        extra={
            "inputs": replace(inputs, snapshot=None),
            "had_snapshot": inputs.snapshot is not None,
            "taken": None if step is None else step.taken,
            "permissives_since": {str(p.name): p.since for p in permissives},
            "suspended_since": after.supervision.suspended_since,
            "epoch": after.epoch,
            **extra,
        },
    )
