"""A whole shift in one process: the plant and the control cycle, without sockets in between.

The loop is the lock-step of the real link: the plant advances one control period, its values are
read, the cycle runs, its command is written. What is left out is what OPC UA does. Used by
benchmarks, studies and tests; a shift depends on its arguments only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from controller.baselines.internal_model import OperatingRecord
from controller.baselines.operator_plc import operator_settings
from controller.brain import Brain
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import (
    CycleInputs,
    CycleSetup,
    CycleState,
    TargetRequest,
    initial_state,
    make_setup,
)
from controller.data import CV, CycleRecord, LabSample, Mode, Validated
from controller.supervision.modes import ModeRequest
from controller.targets import product_targets
from hil.config import ScenarioConfig, ThroughputChange
from hil.plant import Plant
from plant_models.line import KG_H, ResolvedLine, nominal_extent
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC, LineState, Snapshot, is_good
from plant_models.units import from_si, to_si
from tools.shift_score import CycleNote, closing_second, cycle_note, score_shift

__all__ = ["START_TIME", "Restart", "ShiftResult", "product_targets", "run_shift"]

START_TIME = 1_767_225_600.0  # 2026-01-01T00:00:00Z; plant second 0 of every shift in process
DEADLINE_S = 60.0  # wall time never decides anything here
SESSION, USER, ROLE = "harness", "operator", "operator"
OPERATOR_SAMPLES = 2
SAMPLE_WINDOW_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The plant dies at plant second ``at`` and goes on in LOCAL from what it saved in ``run_dir``.

    The operators ask for ADVISORY ``notice_s`` later and for CLOSED_LOOP from ``come_back_s`` on,
    every ``ask_again_s`` until it is granted.
    """

    at: int
    run_dir: Path
    notice_s: int = 15
    come_back_s: int = 60
    ask_again_s: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftResult:
    """What a shift left: scores by key, the plant's tally, the cycles.

    ``records`` is empty unless they were asked for. ``closed_at`` is the plant second of the first
    cycle in closed loop, ``None`` if there was none; ``start`` that of the counted window.
    """

    controller: str
    seed: int
    minutes: float
    start: float
    closed_at: float | None
    scores: dict[str, Any]
    plant: Plant
    notes: tuple[CycleNote, ...]
    records: tuple[CycleRecord, ...]
    wall_s: float


@dataclass(slots=True)
class _Shift:
    """One shift while it runs."""

    line: ResolvedLine
    scenario: ScenarioConfig
    minutes: float
    setup: CycleSetup
    plant: Plant
    close_at: int | None
    local_feed: float | None
    reaction_s: float
    state: CycleState
    records: list[CycleRecord] | None
    notes: list[CycleNote] = field(default_factory=list)
    points: list[OperatingRecord] = field(default_factory=list)
    samples: list[tuple[LabSample, OperatingRecord]] = field(default_factory=list)
    settings: dict[str, float] | None = None
    throughput: float = 0.0
    refusal: str = ""
    trouble: str = ""
    closed_at: float | None = None
    shed_at: int | None = None
    restart: Restart | None = None

    @property
    def algorithm(self) -> str:
        return self.setup.config.algorithm

    def cycle(self, second: int) -> None:
        """One control cycle at plant second ``second``, with everything the operators do."""
        snapshot = read_snapshot(self.plant)
        inputs = CycleInputs(
            snapshot=snapshot,
            requests=self._mode_requests(second),
            target_requests=self._target_requests(second),
            refusal=self.refusal,
            write_trouble=self.trouble,
            deadline_s=DEADLINE_S,
        )
        out = run_cycle(inputs, self.state, self.setup, perf_counter)
        self.state, self.refusal, self.trouble = out.state, "", ""
        if out.request_control is not None:
            answer = self.plant.request_control(
                SESSION, USER, out.request_control, out.state.epoch, "shift"
            )
            self.refusal = "" if answer == "granted" else answer
        if out.command.frame is not None:
            codes = self.plant.write(SESSION, out.command.frame.as_writes())
            bad = [tag for tag, code in codes.items() if not is_good(code)]
            self.trouble = f"not written: {', '.join(bad)}" if bad else ""
        if self.closed_at is None and out.state.mode is Mode.CLOSED_LOOP:
            self.closed_at = float(second)
        self.notes.append(cycle_note(out.record, START_TIME))
        if self.records is not None:
            self.records.append(out.record)
        self._operate_line(out.record.validated)
        self.setup.brain.prepare(out.state.brain)

    def _operate_line(self, v: Validated | None) -> None:
        """What the operator of the line does in LOCAL."""
        if v is None:
            return
        if self.local_feed is not None and v.line_state is LineState.RUNNING:
            self._operator_set(MV.TOTAL_FEED, self.local_feed, "another line rate")
            self.local_feed = None
        if self.algorithm == "plc":
            self._operate_press(v)

    def _mode_requests(self, second: int) -> tuple[ModeRequest, ...]:
        """Climb to CLOSED_LOOP: advice from the start, control one period before it must hold."""
        if self.close_at is None or self._people_wait(second):
            return ()
        mode, period = self.state.mode, self.setup.config.period_s
        if mode is Mode.MONITORING:
            wanted = Mode.ADVISORY
        elif (
            mode in (Mode.ADVISORY, Mode.SHED)
            and second >= self.close_at - period
            and self.state.supervision.pending is None
        ):
            wanted = Mode.CLOSED_LOOP if mode is Mode.ADVISORY else Mode.ADVISORY
        else:
            return ()
        return (ModeRequest(mode=wanted, user=USER, role=ROLE, reason="shift script"),)

    def _people_wait(self, second: int) -> bool:
        """Whether the operators have not yet seen a shed, or the plant has just died."""
        self.shed_at = (self.shed_at or second) if self.state.mode is Mode.SHED else None
        if self.shed_at is not None and second - self.shed_at < self.reaction_s:
            return True
        found = self.restart
        if found is None or second <= found.at:
            return False
        since = second - found.at - self.setup.config.period_s  # asked for one period before
        if self.state.mode in (Mode.SHED, Mode.MONITORING):
            return since < found.notice_s
        return since < found.come_back_s or (since - found.come_back_s) % found.ask_again_s > 0

    def _target_requests(self, second: int) -> tuple[TargetRequest, ...]:
        """The scenario's orders: a new throughput, to the controller or to the PLC."""
        wanted = self.throughput
        for s in self.scenario.schedule(self.minutes):
            if isinstance(s.event, ThroughputChange) and second >= s.second:
                change = 1.0 + s.event.change_percent / 100.0
                wanted = self.line.product.throughput_kg_h * KG_H * change
        if wanted == self.throughput:
            return ()
        self.throughput = wanted
        if self.algorithm == "plc":
            self._operator_set(MV.TOTAL_FEED, wanted, "new throughput")
        return (
            TargetRequest(
                variable=CV.THROUGHPUT.value, value=wanted, user=USER, role=ROLE, reason="order"
            ),
        )

    def _operate_press(self, v: Validated) -> None:
        """The operator of `plc`: two samples, one setting, once the line runs."""
        force = v.measurements["Line/Press/MainForce/PV"]
        if force.weight > 0.0:
            self.points.append(
                OperatingRecord(
                    time=v.time,
                    force=force.value,
                    thickness=v.actual[MV.THICKNESS],
                    extent=nominal_extent(self.line),
                )
            )
        for sample in v.samples:
            near = [p for p in self.points if abs(p.time - sample.taken) <= SAMPLE_WINDOW_S]
            if near:
                mean = sum(p.force for p in near) / len(near)
                self.samples.append((sample, replace(near[0], force=mean)))
        if self.settings is not None or v.line_state is not LineState.RUNNING:
            return
        if len(self.samples) < OPERATOR_SAMPLES:
            return
        targets = self.setup.targets.set_points
        self.settings = operator_settings(
            self.line,
            self.samples[-OPERATOR_SAMPLES:],
            targets[CV.TABLET_WEIGHT],
            targets[CV.TENSILE_STRENGTH],
        )
        # Thickness first: in LOCAL its move re-references the force, which is then set outright.
        for tag in (MV.THICKNESS, MV.MAIN_FORCE):
            self._operator_set(tag, self.settings[tag], "two samples weighed and broken")

    def _operator_set(self, tag: str, value: float, reason: str) -> None:
        spec = self.setup.table.mv(tag)
        wanted = min(max(value, to_si(spec.lo, spec.unit)), to_si(spec.hi, spec.unit))
        answer = self.plant.operator_set(USER, tag, from_si(wanted, spec.unit), reason)
        if answer != "done":
            raise RuntimeError(f"the plant refused to set {tag}: {answer}")


def read_snapshot(plant: Plant) -> Snapshot:
    """All values of the plant as one batched read would return them."""
    values = plant.values()
    time, scan = values[PLC.TIME].value, values[PLC.SCAN_ID].value
    if not isinstance(time, (int, float)) or not isinstance(scan, int):
        raise TypeError("plant time and scan counter must be numbers")
    return Snapshot(time=float(time), scan_id=scan, values=values)


def run_shift(
    *,
    line: ResolvedLine,
    scenario: ScenarioConfig,
    config: ControllerConfig,
    brain: Brain,
    seed: int,
    minutes: float | None = None,
    close_at: int | None = None,
    local_feed: float | None = None,
    reaction_s: float = 0.0,
    keep_records: bool = False,
    on_cycle: Callable[[int, int], None] | None = None,
    at_line: Callable[[Plant, int], None] | None = None,
    restart: Restart | None = None,
) -> ShiftResult:
    """Run one shift.

    Parameters
    ----------
    line, scenario
        The line that both sides are configured with, and the script of the shift.
    config, brain
        Controller and its algorithm.
    seed
        Of the truth and its noise.
    minutes
        Length of the shift after start-up; the scenario's own by default.
    close_at
        Plant second of the first cycle in closed loop; by default the script's. The loop is never
        closed for the algorithm `plc`. The counted window begins there.
    local_feed
        Total feed [kg/s] that the operator sets in LOCAL once the line runs.
    reaction_s
        How long the operator takes before he does something about a shed [s].
    keep_records
        Keep every `CycleRecord` (large).
    on_cycle
        Called with (plant second, last second) after each cycle.
    at_line
        What people do at the line: called with the plant and its second after each cycle.
    restart
        Of the plant, on the grid of control cycles; none by default.

    Returns
    -------
    Scores, tally and cycles.
    """
    length = scenario.minutes if minutes is None else minutes
    script = scenario.model_copy(update={"minutes": length})
    table = signal_table(line.line)
    setup = make_setup(config, line, table, brain, product_targets(line))
    run_dir = None if restart is None else restart.run_dir
    plant = Plant(line, script, seed=seed, start_time=START_TIME, run_dir=run_dir)
    period, last = config.period_s, script.total_seconds()
    start = closing_second(script, length, period) if close_at is None else close_at
    shift = _Shift(
        line=line,
        scenario=script,
        minutes=length,
        setup=setup,
        plant=plant,
        close_at=start if config.algorithm != "plc" else None,
        local_feed=local_feed,
        reaction_s=reaction_s,
        state=initial_state(setup, epoch=seed + 1),
        records=[] if keep_records else None,
        throughput=setup.targets.set_points[CV.THROUGHPUT],
        restart=restart,
    )
    began = perf_counter()
    for second in range(period, last + 1, period):
        plant.advance(period)
        shift.cycle(second)
        if at_line is not None:
            at_line(plant, second)
        if restart is not None and second == restart.at:
            plant = shift.plant = Plant.resume(line, script, run_dir=restart.run_dir)
        if on_cycle is not None:
            on_cycle(second, last)
    wall = perf_counter() - began
    scores = score_shift(
        line=line,
        table=table,
        scenario=script,
        minutes=length,
        seconds=plant.tally.seconds(),
        tablets=plant.tally.tablets(),
        commands=plant.tally.commands,
        cycles=shift.notes,
        start=float(start),
        period=float(period),
        wall_s=wall,
    )
    return ShiftResult(
        controller=config.algorithm,
        seed=seed,
        minutes=length,
        start=float(start),
        closed_at=shift.closed_at,
        scores=scores,
        plant=plant,
        notes=tuple(shift.notes),
        records=tuple(shift.records or ()),
        wall_s=wall,
    )
