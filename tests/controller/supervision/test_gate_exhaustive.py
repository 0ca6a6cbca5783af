"""Every mode, permissive and event that can be reached, with the gate and the advice path in it.

`explore` walks breadth-first through all states of supervision that real cycles can lead to, with
the real `handle_requests`, `update`, `decide` and `Gate`. In each state every combination of what
may happen in the next cycle is tried: what an operator asks for, with and without the right to; the
permissives under study good or lost; the PLC's grant; the line; the plant's answer. What must hold
of anything that is written is said here once more, in the words of the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import pytest

from controller.config import SupervisionConfig
from controller.data import Command, Mode, Plan, ReachedBy, Validated
from controller.supervision.authority import authorise
from controller.supervision.gate import Gate, OperatorOrder
from controller.supervision.modes import ModeRequest, Pending
from controller.supervision.permissives import Finding, Name, Permissive, debounce_of, update
from controller.supervision.roles import Action, refusal
from controller.supervision.supervisor import (
    SupervisionState,
    decide,
    handle_requests,
    state_of,
)
from controller.validation import ValidationState, Validator
from plant_models.signals import MV, LineState, PlcMode, Snapshot
from tests.controller.kit import EPOCH, OWNED, PERIOD, TABLE, TinyPlant, controller_config
from tests.controller.supervision.mutants import MUTANTS, planted

CYCLE = 1_000
CONFIG = SupervisionConfig.model_validate(
    {
        "grant_cycles": 2,
        "resume_within_s": 12.0,
        "debounce": {
            "measurements_cycles": 2,
            "set_points_cycles": 2,
            "estimator_cycles": 2,
            "solver_cycles": 2,
            "commands_cycles": 2,
        },
    }
)
DEBOUNCE = debounce_of(CONFIG)
GATE = Gate(
    table=TABLE,
    owned=frozenset(OWNED),
    period_s=PERIOD,
    plan_age_max_cycles=6,
    debounce=DEBOUNCE,
)
SAFETY = {Name.HEARTBEAT, Name.PLC_MODE, Name.PERMIT, Name.AGREEMENT, Name.PRODUCT}
ENTRY_ONLY = {Name.READINESS}
FREE = tuple(n for n in Name if n not in (Name.PLC_MODE, Name.LINE_STATE))
STUDIED: tuple[tuple[Name, ...], ...] = (
    *((n,) for n in FREE),
    (Name.HEARTBEAT, Name.SOLVER),
    (Name.COMMANDS, Name.MEASUREMENTS),
    (Name.OPERATOR, Name.ESTIMATOR),
)
ASKS = (None, *(ModeRequest(mode=m, user="ada", role="operator", reason="try it") for m in Mode))
NOT_ALLOWED = tuple(
    ModeRequest(mode=m, user="eve", role="observer", reason="try it")
    for m in (Mode.ADVISORY, Mode.CLOSED_LOOP)
)
TARGETS = {"potency": 1.0}


def seen(plant: TinyPlant) -> tuple[Snapshot, Validated]:
    snapshot = plant.snapshot()
    config = controller_config().validation
    validator = Validator(TABLE, config, PlcMode.CASCADE)
    return snapshot, validator.validate(snapshot, ValidationState())[0]


def plants() -> dict[bool, tuple[Snapshot, Validated]]:
    """What is read where the PLC has granted control, and where it is in LOCAL."""
    ours, local = TinyPlant(), TinyPlant()
    ours.grant()
    for tag in OWNED:
        local.values[f"{tag}/SRC"] = "LOCAL"
    return {True: seen(ours), False: seen(local)}


SEEN = plants()
NOW = SEEN[True][0].time
PLAN = Plan(
    time=NOW,
    times=np.zeros(1),
    moves={MV.MAIN_FORCE: np.array([7300.0])},
    reached_by=ReachedBy.FAST,
    steps=1,
    solver_verdicts=(),
    cost=0.0,
)


@dataclass(frozen=True)
class Ghost:
    """What a bystander remembers: who of those allowed has asked for the loop since it was left."""

    consent: bool = False


@dataclass(frozen=True)
class Step:
    """One thing that may happen in a cycle."""

    ask: ModeRequest | None
    lost: frozenset[Name]
    granted: bool
    line: LineState
    refused: bool


def steps(studied: tuple[Name, ...]) -> tuple[Step, ...]:
    lines = (LineState.RUNNING, LineState.HELD, LineState.ABORTED)
    asks = (*ASKS, *NOT_ALLOWED)
    lost = [frozenset(c) for n in range(len(studied) + 1) for c in combinations(studied, n)]
    return tuple(Step(*row) for row in product(asks, lost, (True, False), lines, (False, True)))


Key = tuple[object, ...]


def normal(state: SupervisionState, cycle: int, time: float) -> SupervisionState:
    """The same state with its clocks counted from ``CYCLE`` and ``NOW``, as far as they matter."""
    asked = None if state.asked is None else CYCLE - min(cycle - state.asked, 4)
    since = state.suspended_since
    if since is not None:
        since = NOW - min(time - since, 20.0)
    pending = state.pending
    if pending is not None:
        pending = Pending(request=pending.request, since=CYCLE)
    return replace(
        state,
        since=0.0,
        cause="",
        asked=asked,
        suspended_since=since,
        pending=pending,
        closed_cycles=min(state.closed_cycles, 1),
    )


def key(state: SupervisionState, ghost: Ghost) -> Key:
    lost = tuple(min(p.lost_cycles, DEBOUNCE.get(p.name, 0)) for p in state.permissives.values())
    return (
        state_of(state),
        state.asked,
        state.suspended_since,
        lost,
        state.closed_cycles,
        state.signature is not None,
        ghost,
    )


@dataclass
class Cycle:
    """A step taken from a state with the real objects."""

    before: SupervisionState
    ghost: Ghost
    step: Step

    def run(self) -> None:
        s = self.step
        snapshot, validated = SEEN[s.granted]
        heard = handle_requests(
            self.before, () if s.ask is None else (s.ask,), CONFIG, time=NOW, cycle=CYCLE
        )
        self.heard = heard.state
        good = {Name.PLC_MODE: s.granted, Name.LINE_STATE: s.line is LineState.RUNNING}
        found = [Finding(n, good.get(n, n not in s.lost), "") for n in Name]
        judged = replace(
            heard.state, permissives=update(heard.state.permissives, found, snapshot.time)
        )
        decision = decide(
            judged,
            CONFIG,
            structure="CASCADE",
            line_state=s.line,
            refusal="not now" if s.refused else "",
            time=NOW,
            cycle=CYCLE,
        )
        self.after, self.command = decision.state, None
        self.asked_plant = decision.request_control is not None
        if decision.write:
            self.command = GATE.decide(
                decision.authority,
                PLAN,
                validated,
                snapshot,
                cycle=CYCLE,
                epoch=EPOCH,
                sequence=0,
                share=1.0,
            )
            if self.command.frame is not None:
                self.after = replace(self.after, closed_cycles=self.after.closed_cycles + 1)
        self.ghost_after = self._remember()

    command: Command | None = None

    def _remember(self) -> Ghost:
        ask, consent = self.step.ask, self.ghost.consent
        if ask is not None and ask.role == "operator":
            if ask.mode is not Mode.CLOSED_LOOP and ask.mode is not self.before.mode:
                consent = False
            if ask.mode is Mode.CLOSED_LOOP and self.before.mode is Mode.ADVISORY:
                consent = True
        if self.after.mode is Mode.SHED:
            consent = False
        if self.after.mode is Mode.ADVISORY and self.after.pending is None:
            consent = False
        return Ghost(consent)

    @property
    def written(self) -> bool:
        return self.command is not None and self.command.frame is not None

    def faults(self) -> Iterator[str]:
        """What a bystander has to object to, in the words of the specification."""
        s, after = self.step, self.after
        if after.mode is Mode.CLOSED_LOOP and not self.ghost_after.consent:
            yield "CLOSED_LOOP, though nobody who may has asked for it since it was left"
        if self.before.mode is Mode.SHED and after.mode not in (Mode.SHED, Mode.ADVISORY):
            yield "SHED was left to something else than ADVISORY"
        rises = self.before.mode is Mode.SHED and after.mode is Mode.ADVISORY
        if rises and (s.ask is None or s.ask.role != "operator"):
            yield "SHED was left, though no operator has asked"
        if self.asked_plant and s.lost - ENTRY_ONLY:
            yield f"the plant was asked for control without {s.lost}"
        if not self.written:
            return
        if after.mode is not Mode.CLOSED_LOOP or after.suspended_since is not None:
            yield f"written in {after.mode}, suspended since {after.suspended_since}"
        if s.line is not LineState.RUNNING:
            yield f"written while the line is {s.line}"
        if not s.granted:
            yield "written without the plant's grant"
        entering = self.before.mode is not Mode.CLOSED_LOOP
        resuming = self.before.suspended_since is not None
        for name in s.lost:
            cycles = after.permissives[name].lost_cycles
            if name in SAFETY or name is Name.OPERATOR:
                yield f"written without {name}"
            elif name in ENTRY_ONLY:
                if entering:
                    yield f"closed without {name}"
            elif entering or resuming:
                yield f"closed or resumed without {name}"
            elif cycles >= DEBOUNCE.get(name, 1):
                yield f"written {cycles} cycles after {name} was lost"

    def orders(self) -> Iterator[tuple[OperatorOrder | None, str]]:
        """What becomes of an advice that somebody accepts in this cycle."""
        snapshot, validated = SEEN[self.step.granted]
        for role, expires in (
            ("operator", NOW + 10.0),
            ("observer", NOW + 10.0),
            ("operator", 0.0),
        ):
            order, _ = GATE.order(
                mv=MV.MAIN_FORCE,
                value=7.3,
                now=7.25,
                made=NOW - 5.0,
                expires=expires,
                computed_from=TARGETS,
                user="ada",
                role=role,
                reason="weight is low",
                objection=lambda u, r, why: refusal(Action.ANSWER_ADVICE, u, r, why, CONFIG),
                mode=self.after.mode,
                permissives=self.after.permissives,
                targets=TARGETS,
                validated=validated,
                snapshot=snapshot,
            )
            yield order, self._objection_to_order(role, expires)

    def _objection_to_order(self, role: str, expires: float) -> str:
        s = self.step
        if role != "operator" or expires < NOW:
            return "expired, or accepted by somebody who may not"
        if self.after.mode is not Mode.ADVISORY:
            return f"an order in {self.after.mode}"
        if s.granted:
            return "an order outside LOCAL"
        if s.line is not LineState.RUNNING:
            return f"an order while the line is {s.line}"
        if s.lost - {Name.OPERATOR, Name.READINESS}:
            return f"an order without {s.lost}"
        return ""


@dataclass
class Seen:
    """What an exploration has seen: states, cycles tried, frames, orders, and where one may be."""

    states: int = 0
    cycles: int = 0
    frames: int = 0
    orders: int = 0
    places: frozenset[object] = frozenset()


def explore(studied: tuple[Name, ...]) -> Seen:
    """All that can be reached from the start, with permissives free to come and go."""
    possible = steps(studied)
    start, ghost, found = SupervisionState(mode=Mode.OFF), Ghost(), Seen()
    visited = {key(start, ghost)}
    todo = [(start, ghost)]
    while todo:
        state, ghost = todo.pop()
        found.places |= {state_of(state)}
        for step in possible:
            if step.refused and state.asked is None:
                continue  # the plant answers what it was asked
            cycle = Cycle(state, ghost, step)
            cycle.run()
            found.places |= {state_of(cycle.heard)}
            found.cycles += 1
            found.frames += cycle.written
            faults = list(cycle.faults())
            assert not faults, f"{state_of(state)}, {step}: {faults}"
            if step.ask is None and not step.refused:
                for order, objection in cycle.orders():
                    found.orders += order is not None
                    assert (order is None) == (objection != ""), f"{state}, {step}: {objection}"
            after = normal(cycle.after, CYCLE + 1, NOW + PERIOD)
            place = key(after, cycle.ghost_after)
            if place not in visited:
                visited.add(place)
                todo.append((after, cycle.ghost_after))
    found.states = len(visited)
    return found


@pytest.mark.parametrize("studied", STUDIED, ids=lambda s: "+".join(s))
def test_nothing_is_written_without_all_that_it_needs(
    studied: tuple[Name, ...], record_property: pytest.FixtureRequest
) -> None:
    found = explore(studied)
    record_property("states", found.states)  # type: ignore[operator]
    record_property("cycles", found.cycles)  # type: ignore[operator]
    assert len(found.places) == 9, "every state of the table is reached"
    assert found.states > 12
    assert found.cycles >= found.states * len(steps(studied)) // 2
    assert found.frames > 0
    assert found.orders > 0


def test_the_gate_withholds_for_every_pair_of_lost_permissives() -> None:
    """Whatever supervision decided: with two lost at once the worse of them counts."""
    snapshot, validated = SEEN[True]
    tried = 0
    for first, second in combinations(Name, 2):
        for cycles in product((1, 2), repeat=2):
            lost = dict(zip((first, second), cycles, strict=True))
            permissives = {
                n: Permissive(
                    name=n, good=n not in lost, text="", since=0.0, lost_cycles=lost.get(n, 0)
                )
                for n in Name
            }
            for mode, suspended in product(Mode, (False, True)):
                leave = authorise(
                    cycle=CYCLE,
                    time=NOW,
                    mode=mode,
                    suspended=suspended,
                    permissives=permissives,
                )
                command = GATE.decide(
                    leave,
                    PLAN,
                    validated,
                    snapshot,
                    cycle=CYCLE,
                    epoch=EPOCH,
                    sequence=0,
                    share=1.0,
                )
                bearable = mode is Mode.CLOSED_LOOP and not suspended
                bearable &= all(
                    n in ENTRY_ONLY or (n in DEBOUNCE and c < DEBOUNCE[n]) for n, c in lost.items()
                )
                assert (command.frame is not None) == bearable, (lost, mode, suspended)
                tried += 1
    assert tried == 4 * 10 * len(list(combinations(Name, 2)))


def test_the_exploration_notices_who_may_not_ask() -> None:
    slip = next(m for m in MUTANTS if m.slip == "anybody may ask for a mode")
    with planted(slip), pytest.raises(AssertionError, match="asked"):
        explore((Name.SOLVER,))
