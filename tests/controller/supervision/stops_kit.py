"""Forty stops in eight hours; the real PLC rules in front of a line that does what it is told.

That line is fast enough for every run of the tests; the whole stand-in takes minutes for a shift.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.brain import Step
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleState, initial_state, make_setup
from controller.data import Mode
from hil.plant import Plant
from hil.plc.handshake import apply_frame, received_frame, request_control
from hil.plc.modes import operator_set, set_local
from hil.plc.scan import scan
from hil.plc.sequence import line_command, powers
from hil.plc.state import Diverter, PlcState
from hil.process_image import Counters, process_image
from hil.readings import Reading, Readings
from plant_models.signals import MV, PLC, LineState, Payload, Snapshot
from tests.controller.kit import (
    EPOCH,
    LINE,
    PERIOD,
    START,
    TABLE,
    TARGETS,
    FilterBrain,
    ask,
    controller_config,
)
from tests.hil.plc_kit import outlet_at, parameters, readings, running_state

HOURS, STOPS, SHORTEST_S, LONGEST_S = 8, 40, 10.0, 1200.0


def schedule(seed: int) -> list[tuple[int, int]]:
    """(second of the stop, seconds until the restart): log-uniform times, in random order."""
    draw = random.Random(seed)
    span = math.log(LONGEST_S / SHORTEST_S)
    standing = [SHORTEST_S * math.exp((i + draw.random()) / STOPS * span) for i in range(STOPS)]
    draw.shuffle(standing)
    weights = [0.3 + draw.expovariate(1.0) for _ in range(STOPS + 1)]
    runs = (HOURS * 3600.0 - sum(standing)) / sum(weights)
    plan, second = [], 0.0
    for length, weight in zip(standing, weights, strict=False):
        second += weight * runs
        plan.append((round(second), max(10, round(length))))
        second += length
    return plan


@dataclass
class Stopper:
    """Holds and restarts the line of the whole stand-in.

    ``todo`` are plant second of the stop and seconds until the restart; a stop waits until the line
    runs.
    """

    todo: list[tuple[int, int]]
    held: int | None = None
    sheds: list[int] = field(default_factory=list)

    def __call__(self, plant: Plant, second: int) -> None:
        """What he does at this second; how often the PLC has shed is noted."""
        self.sheds.append(plant.state.lease.shed_count)
        if not self.todo:
            return
        (at, length), line = self.todo[0], plant.state.sequence.line
        if self.held is None and line is LineState.RUNNING and second >= at:
            assert plant.line_command("operator", "hold", "test of stops") == "done"
            self.held = second
        elif self.held is not None and line is LineState.HELD and second >= self.held + length:
            assert plant.line_command("operator", "restart", "test of stops") == "done"
            self.todo.pop(0)
            self.held = None


SESSION = "session-1"
_NOTHING = Counters(made=0, rejected=0, diverted=0, released=0)


@dataclass(frozen=True)
class EagerBrain(FilterBrain):
    """Wants every set point at one end of its range, the other end every quarter of an hour."""

    def step(self, state, validated, mode, targets, deadline_s, forced=None) -> Step:  # type: ignore[no-untyped-def]
        step = FilterBrain.step(self, state, validated, mode, targets, deadline_s, forced)
        if step.plan is None:
            return step
        up = int(validated.time / 900.0) % 2
        ends = {m.tag: TABLE[f"{m.tag}/ACT"].to_si((m.lo, m.hi)[up]) for m in TABLE.manipulated}
        moves = {tag: 0.0 * v + ends[tag] for tag, v in step.plan.moves.items()}
        return replace(step, plan=replace(step.plan, moves=moves))


def light_config() -> ControllerConfig:
    """As shipped, but no force is compared over long times: here they obey no press."""
    config = controller_config()
    measurement = config.supervision.measurement
    slow = measurement.slow.model_copy(update={"enabled": False})
    measurement = measurement.model_copy(update={"slow": slow})
    supervision = config.supervision.model_copy(update={"measurement": measurement})
    return config.model_copy(update={"supervision": supervision})


@dataclass
class PlcLine:
    """PLC, line and controller, one control period at a time."""

    config: ControllerConfig = field(default_factory=light_config)
    plc: PlcState = field(default_factory=running_state)
    seed: int = 1
    outputs: list[CycleOutput] = field(default_factory=list)
    written: list[tuple[PlcState, CycleOutput]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._outlet = outlet_at(Diverter.COLLECT)
        self._registers: dict[str, tuple[Payload, float]] = {}
        self._refusal = ""
        self._readings = self._read()
        self.setup = make_setup(self.config, LINE, TABLE, EagerBrain(), TARGETS)
        self.state: CycleState = initial_state(self.setup, EPOCH)

    @property
    def second(self) -> int:
        return self.plc.heartbeat

    @property
    def line(self) -> LineState:
        return self.plc.sequence.line

    def command(self, name: str) -> None:
        """An operator's command to the line; it must be possible."""
        self.plc, answer = line_command(parameters(), self.plc, name, "test of stops")
        assert answer == "done", answer

    def local(self, tag: str, local: bool) -> None:
        """The operator keeps a set point at the PLC, or gives it back."""
        self.plc, answer = set_local(parameters(), self.plc, tag, local, "test of a takeover")
        assert answer == "done", answer

    def set_by_hand(self, tag: str, value: float) -> None:
        """The operator moves a set point that he keeps, in its plant unit."""
        self.plc, answer = operator_set(parameters(), self.plc, tag, value, "test of a takeover")
        assert answer == "done", answer

    def cycle(self, *modes: Mode, asked: tuple[object, ...] = ()) -> CycleOutput:
        """One control period: the line goes on, the cycle runs, its effects are carried out."""
        for _ in range(PERIOD):
            self.plc, _ = scan(parameters(), self.plc, self._readings, self._outlet.feedback)
            self._outlet.drive(self.plc.diverter.goal)
            self._readings = self._read()
        inputs = CycleInputs(
            snapshot=self._snapshot(),
            requests=tuple(map(ask, modes)),
            operator_requests=asked,
            refusal=self._refusal,
        )
        output = run_cycle(inputs, self.state, self.setup, lambda: 0.0)
        self.state, self._refusal = output.state, ""
        self.outputs.append(output)
        if output.request_control is not None:
            self._request(output.request_control)
        if output.command.frame is not None:
            self._write(output.command.frame.as_writes(), output)
        return output

    def _request(self, mode: str) -> None:
        self.plc, answer = request_control(
            parameters(),
            self.plc,
            session=SESSION,
            user="controller",
            mode=mode,
            epoch=EPOCH,
            reason="test of stops",
        )
        self._refusal = "" if answer == "granted" else answer

    def _write(self, writes: Mapping[str, Payload], output: CycleOutput) -> None:
        self.written.append((self.plc, output))
        self._registers |= {tag: (value, START + self.second) for tag, value in writes.items()}
        frame = received_frame(writes, parameters().limits)
        self.plc, _ = apply_frame(parameters(), self.plc, frame)

    def _read(self) -> Readings:
        """Good instruments with a little noise; what stands shows nothing."""
        on = powers(parameters(), self.plc)
        seen = readings(self.plc)
        # A reading is of the second that has just ended.
        seen = replace(seen, second=self.second - 1)

        def noisy(r: Reading, flows: bool = True) -> Reading:
            factor = 1.0 + 1e-4 * self._random.gauss(0.0, 1.0) if flows else 0.0
            return Reading(factor * r.value, r.status, self.second - 1)

        return replace(
            seen,
            feeders=tuple(
                replace(
                    f,
                    weight=noisy(f.weight),
                    flow=noisy(f.flow, on.feed),
                    screw_speed=noisy(f.screw_speed, on.feed),
                    level=noisy(f.level),
                )
                for f in seen.feeders
            ),
            level=noisy(seen.level),
            potency=noisy(Reading(1.0)),
            paddle_speed=noisy(Reading(1.0), on.press),
            pre_force=noisy(Reading(0.45 * seen.main_force.value), on.press),
            ejection=noisy(Reading(190.0), on.press),
            main_force=noisy(seen.main_force, on.press),
            turret_speed=noisy(seen.turret_speed, on.press),
            fill_depth=noisy(seen.fill_depth),
            thickness=noisy(seen.thickness),
        )

    def _snapshot(self) -> Snapshot:
        values = process_image(
            TABLE,
            parameters(),
            self.plc,
            self._readings,
            _NOTHING,
            self._registers,
            start=START,
            speed=0.0,
        )
        scan_id = values[PLC.SCAN_ID].value
        assert isinstance(scan_id, int)
        return Snapshot(time=START + self.second, scan_id=scan_id, values=values)

    def close(self) -> None:
        """Up to the first cycle in closed loop."""
        self.cycle(Mode.ADVISORY)
        for _ in range(20):
            self.cycle()
        self.cycle(Mode.CLOSED_LOOP)
        output = self.cycle()
        assert output.state.mode is Mode.CLOSED_LOOP, output.command.reasons


def moved(output: CycleOutput) -> dict[str, float]:
    """Moves of a frame as shares of the largest one in a cycle, by MV that the algorithm owns."""
    frame = output.command.frame
    assert frame is not None
    actual = output.record.snapshot
    steps = {}
    for tag in (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED):
        before = actual.number(f"{tag}/ACT")
        assert before is not None
        steps[tag] = (frame.requests[tag] - before) / (TABLE.mv(tag).rate * PERIOD)
    return steps
