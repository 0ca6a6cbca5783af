"""The supervision of a controller without its algorithm: what a fuzzed cycle runs.

The steps and their order are those of `controller.cycle.run_cycle`, with the real objects; the
algorithm's part comes from outside, records are not made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from controller.cycle_data import CycleInputs, CycleSetup
from controller.data import Command, Estimate, Mode, Plan, Validated
from controller.plant_clock import PlantClock, steady_time
from controller.supervision.authority import Authority
from controller.supervision.bumpless import ramp
from controller.supervision.findings import Counters, count, findings
from controller.supervision.gate import OperatorOrder, withhold
from controller.supervision.permissives import update
from controller.supervision.roles import Action, refusal
from controller.supervision.supervisor import (
    Decision,
    SupervisionState,
    decide,
    handle_requests,
)
from controller.validation import ValidationState
from plant_models.signals import PLC, LineState, Snapshot

__all__ = ["AdvisedMove", "Outcome", "Rig", "Thought"]

Thought = Callable[[Mode, Snapshot], tuple[Estimate | None, Plan | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisedMove:
    """An advice as it was accepted; the fields are those of `Gate.order`."""

    mv: str
    value: float
    now: float
    made: float
    expires: float
    computed_from: Mapping[str, float]
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a cycle leads to; ``advice`` is what an operator has accepted in it."""

    mode: Mode
    command: Command
    authority: Authority | None
    request_control: str | None
    orders: tuple[OperatorOrder, ...]
    advice: AdvisedMove | None


@dataclass(slots=True)
class Rig:
    """One start of a controller. ``targets`` and ``limits`` are those of its operators, SI."""

    setup: CycleSetup
    epoch: int
    targets: Mapping[str, float]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    cycle: int = 0
    time: float = 0.0
    heartbeat: int | None = None
    sequence: int = 0
    supervision: SupervisionState = field(init=False)
    counters: Counters = field(default_factory=Counters)
    validation: ValidationState = field(default_factory=ValidationState)
    last: Command | None = None
    plant_clock: PlantClock = field(default_factory=PlantClock)

    def __post_init__(self) -> None:
        start = Mode(self.setup.config.supervision.start_mode)
        self.supervision = SupervisionState(mode=start)

    @property
    def lost(self) -> bool:
        """Whether only a new start brings this controller back."""
        return False

    @property
    def mode(self) -> Mode:
        """Mode after the last cycle."""
        return self.supervision.mode

    def step(self, inputs: CycleInputs, think: Thought, advice: AdvisedMove | None) -> Outcome:
        """One cycle: ``think`` is the algorithm, ``advice`` what an operator accepts."""
        setup, config = self.setup, self.setup.config.supervision
        self.cycle += 1
        read = inputs.snapshot
        if read is not None:
            read, self.plant_clock = steady_time(read, self.plant_clock)
        snapshot = read or Snapshot(time=self.time, scan_id=0, values={})
        validated: Validated | None = None
        if read is not None:
            validated, self.validation = setup.validator.validate(read, self.validation)
        heard = handle_requests(
            self.supervision, inputs.requests, config, time=snapshot.time, cycle=self.cycle
        )
        estimate, plan = None, None
        mode = heard.state.mode
        if mode is not Mode.OFF and validated is not None and validated.time > self.time:
            estimate, plan = think(mode, snapshot)
        self.counters = count(self.counters, config, estimate, plan)
        found = findings(
            snapshot,
            validated,
            heard.state,
            self.counters,
            config,
            link=inputs.link,
            last_heartbeat=self.heartbeat,
            structure=setup.config.structure,
            epoch=self.epoch,
            model_version=setup.model_version,
            recipe_id=setup.recipe_id,
            has_estimator=setup.has_estimator,
            write_trouble=inputs.write_trouble,
            last_command=self.last,
            critical=config.critical,
        )
        state = replace(
            heard.state, permissives=update(heard.state.permissives, found, snapshot.time)
        )
        decision = decide(
            state,
            config,
            structure=setup.config.structure,
            line_state=LineState.STOPPED if validated is None else validated.line_state,
            refusal=inputs.refusal,
            time=snapshot.time,
            cycle=self.cycle,
        )
        command = self._command(decision, inputs, snapshot, validated, plan)
        order = None
        if advice is not None and read is not None:
            order = self._order(advice, snapshot, validated)
        self._after(command, snapshot, validated)
        return Outcome(
            mode=self.supervision.mode,
            command=command,
            authority=decision.authority,
            request_control=decision.request_control,
            orders=() if order is None else (order,),
            advice=advice,
        )

    def _command(
        self,
        decision: Decision,
        inputs: CycleInputs,
        snapshot: Snapshot,
        validated: Validated | None,
        plan: Plan | None,
    ) -> Command:
        self.supervision = decision.state
        if not decision.write or validated is None:
            return withhold(decision.why_not)
        closed = decision.state.closed_cycles
        command = self.setup.gate.decide(
            decision.authority,
            plan,
            validated,
            snapshot,
            cycle=self.cycle,
            epoch=self.epoch,
            sequence=self.sequence,
            share=ramp(closed, self.setup.config.supervision.closing_ramp_cycles),
            limits=self.limits,
            sent=None if self.last is None or inputs.write_trouble else self.last.frame,
        )
        if command.frame is not None:
            self.supervision = replace(decision.state, closed_cycles=closed + 1)
        return command

    def _order(
        self, advice: AdvisedMove, snapshot: Snapshot, validated: Validated | None
    ) -> OperatorOrder | None:
        config = self.setup.config.supervision
        order, _ = self.setup.gate.order(
            mv=advice.mv,
            value=advice.value,
            now=advice.now,
            made=advice.made,
            expires=advice.expires,
            computed_from=advice.computed_from,
            user=advice.user,
            role=advice.role,
            reason=advice.reason,
            objection=lambda u, r, why: refusal(Action.ANSWER_ADVICE, u, r, why, config),
            mode=self.supervision.mode,
            permissives=self.supervision.permissives,
            targets=self.targets,
            validated=validated,
            snapshot=snapshot,
            limits=self.limits,
        )
        return order

    def _after(self, command: Command, snapshot: Snapshot, validated: Validated | None) -> None:
        rejected = snapshot.number(PLC.REJECTED_COUNT)
        self.counters = replace(
            self.counters,
            frame_sent=command.frame is not None,
            rejected_count=self.counters.rejected_count if rejected is None else int(rejected),
        )
        if command.frame is not None:
            self.sequence = command.frame.sequence
        if validated is not None and validated.heartbeat >= 0:
            self.heartbeat = validated.heartbeat
        self.time, self.last = snapshot.time, command
