"""The plant: truth, instruments and PLC composed. The only thing a server or a harness sees.

Order of one plant second: the PLC reads what the instruments showed at its beginning, sets its
drives, the truth goes on for one second, the instruments measure, the gate takes out single
tablets. Frames and operators' calls act on the PLC's state between scans.

With a run directory the whole state is saved atomically every control period; `Plant.resume` goes
on from there, in LOCAL.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from hil.config import ScenarioConfig
from hil.faults import Faults
from hil.instruments import Instruments
from hil.noise import Noise
from hil.outlet import Outlet
from hil.plc.handshake import (
    Refusal,
    apply_frame,
    received_frame,
    refuse,
    release_session,
    request_control,
)
from hil.plc.modes import controlled, operator_set, restarted, set_local
from hil.plc.parameters import plc_parameters
from hil.plc.rejection import judge_tablets
from hil.plc.scan import scan
from hil.plc.sequence import line_command
from hil.plc.state import from_document, initial_state, to_document
from hil.process_image import Counters, blank_readings, process_image
from hil.readings import Readings
from hil.saved_readings import readings_document, readings_from_document
from hil.tally import ReceivedCommand, Tally
from hil.truth import Truth
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import APC, DataType, Payload, SignalTable, Value, Writer
from plant_models.units import from_si

__all__ = [
    "BAD_NODE_ID_UNKNOWN",
    "BAD_NOT_WRITABLE",
    "BAD_TYPE_MISMATCH",
    "BAD_USER_ACCESS_DENIED",
    "STATE_FILE",
    "Event",
    "Plant",
]

BAD_USER_ACCESS_DENIED = 0x801F0000
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_NOT_WRITABLE = 0x803B0000
BAD_TYPE_MISMATCH = 0x80740000

STATE_FILE = "plant_state.json"
_STATE_SCHEMA = 2
_FRAME = frozenset({APC.SEQ_HEAD, APC.SEQ_TAIL, APC.ECHO, APC.EPOCH, APC.DIVERT_REQ})
_REMEMBERED_SCANS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that somebody asked for: who, what, why, and the answer."""

    second: int
    user: str
    what: str
    reason: str
    answer: str


class Plant:
    """A feeder-blender-press line with its PLC.

    Parameters
    ----------
    resolved
        The line as configured.
    scenario
        The scripted run: truth and events. The line starts by itself at plant second 0.
    seed
        Draws the truth's mismatch (if drawn) and all noise.
    start_time
        UTC [s] of plant second 0.
    run_dir
        Where state and tally are saved; ``None`` saves nothing.
    minutes
        Replaces the scenario's length of the shift.
    recipe_id
        What RECIPE_ID shows: that of the product set loaded; by default the product's.

    Attributes
    ----------
    table : SignalTable
    tally : Tally
    truth : Truth
    outlet : Outlet
    faults : Faults
    events : list of Event
    speed : float
        What ``PLC/SPEED`` shows; whoever drives the clock sets it. 0 is lock-step.
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        scenario: ScenarioConfig,
        *,
        seed: int,
        start_time: float,
        run_dir: Path | None = None,
        minutes: float | None = None,
        recipe_id: str | None = None,
    ) -> None:
        self.table: SignalTable = signal_table(resolved.line)
        self.parameters = plc_parameters(resolved, self.table, recipe_id)
        events = scenario.schedule(minutes)
        self.truth = Truth(resolved, scenario.truth, seed, events)
        self._instruments = Instruments(resolved, scenario.truth, seed, events)
        self.faults = Faults(Noise(seed), events)
        self.outlet = Outlet(self.parameters.config.diverter_travel_s)
        self.state = initial_state(self.parameters)
        self._readings: Readings = blank_readings(len(resolved.line.feeders))
        self._start, self._seed, self._digest = start_time, seed, resolved.digest()
        self._run_dir = run_dir
        if run_dir is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
        self.tally = Tally(run_dir, self.parameters.lubricant)
        self._registers: dict[str, tuple[Payload, float]] = {}
        self._first_session = ""
        self._acts: deque[tuple[int, dict[str, float]]] = deque(maxlen=_REMEMBERED_SCANS)
        self.events: list[Event] = []
        self.speed = 0.0
        self.line_command("sequence", "start", "scripted start of the run")

    # -- time ------------------------------------------------------------------------------------

    @property
    def second(self) -> int:
        """Plant seconds since the run began."""
        return self.state.heartbeat

    @property
    def time(self) -> float:
        """Plant time [s, UTC]."""
        return self._start + self.state.heartbeat

    @property
    def received(self) -> list[ReceivedCommand]:
        """All command frames, accepted or not."""
        return self.tally.commands

    @property
    def readings(self) -> Readings:
        """Newest readings, in SI."""
        return self._readings

    def advance(self, seconds: int) -> None:
        """Let ``seconds`` of plant time pass, one scan each."""
        for _ in range(seconds):
            self._scan()
            due = self.second % self.parameters.config.control_period_s == 0
            if due and self._run_dir is not None:
                self.save()

    def _scan(self) -> None:
        second = self.state.heartbeat
        self.state, drives = scan(self.parameters, self.state, self._readings, self.outlet.feedback)
        self.outlet.drive(self.state.diverter.goal)
        out = self.truth.step(drives, second)
        self._readings = self.faults.readings(self._instruments.measure(out))
        rejection, outside = judge_tablets(
            self.parameters, self.state.rejection, self._readings.tablet_force
        )
        self.state = replace(self.state, rejection=rejection)
        self.tally.add(
            out,
            self.outlet.take(outside),
            self.outlet.collecting,
            self.state.sequence.line,
            self.state.lease.mode,
        )
        self._remember()

    def _remember(self) -> None:
        self._acts.append((self.state.heartbeat, self._actual()))

    def _actual(self) -> dict[str, float]:
        """Set points in use, in plant units."""
        limits = self.parameters.limits
        return {t: from_si(mv.act, limits[t].unit) for t, mv in self.state.mvs.items()}

    # -- tags ------------------------------------------------------------------------------------

    def values(self) -> Mapping[str, Value]:
        """Every tag of the table, in its plant unit, with status and source time."""
        t = self.tally
        counts = Counters(
            made=t.made, rejected=t.rejected, diverted=t.diverted, released=t.released
        )
        image = process_image(
            self.table,
            self.parameters,
            self.state,
            self._readings,
            counts,
            self._registers,
            start=self._start,
            speed=self.speed,
        )
        return self.faults.image(image, self.second)

    def write(self, session: str, writes: Mapping[str, Payload]) -> dict[str, int]:
        """One Write call of ``session``: status code per tag.

        Writable only for the session that holds the lease or, while none does, the first
        controller session. A call with any value of a frame is judged as one frame, at once and
        whole; a refused one is still Good on the wire and counted by cause.
        """
        if not self._may_write(session):
            if _FRAME & writes.keys():
                self._record(session, writes, Refusal.SESSION)
            return dict.fromkeys(writes, BAD_USER_ACCESS_DENIED)
        results = {tag: self._fits(tag, value) for tag, value in writes.items()}
        taken = {tag: value for tag, value in writes.items() if results[tag] == 0}
        for tag, value in taken.items():
            self._registers[tag] = (value, self.time)
        if any(tag in _FRAME or tag.endswith("/REQ") for tag in writes):
            self._record(session, taken, None)
        return results

    def _may_write(self, session: str) -> bool:
        lease = self.state.lease
        if lease.active and lease.session:
            return session == lease.session
        if not self._first_session:
            self._first_session = session
        return session == self._first_session

    def _fits(self, tag: str, value: Payload) -> int:
        if tag not in self.table:
            return BAD_NODE_ID_UNKNOWN
        signal = self.table[tag]
        if signal.writer is not Writer.CONTROLLER:
            return BAD_NOT_WRITABLE
        wanted: tuple[type, ...] = {
            DataType.DOUBLE: (float, int),
            DataType.INT64: (int,),
            DataType.BOOLEAN: (bool,),
            DataType.STRING: (str,),
        }.get(signal.data_type, ())
        right = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
        return 0 if right else BAD_TYPE_MISMATCH

    def _record(self, session: str, writes: Mapping[str, Payload], denied: Refusal | None) -> None:
        """Judge a frame, and log it with the set points that it was computed from."""
        frame = received_frame(writes, self.parameters.limits)
        before = self.state
        owned = controlled(self.parameters, before)
        previous = next((a for hb, a in self._acts if hb == frame.echo), None) or self._actual()
        if denied is None:
            self.state, cause = apply_frame(self.parameters, before, frame)
        else:
            self.state, cause = refuse(before, denied), denied
        if cause is None and not before.lease.session:
            self.state = replace(self.state, lease=replace(self.state.lease, session=session))
        self.tally.commands.append(
            ReceivedCommand(
                second=self.second,
                session=session,
                cause="" if cause is None else cause.value,
                mode=before.lease.mode.value,
                sequence=frame.head,
                epoch=frame.epoch,
                echo=frame.echo,
                first=before.lease.fresh,
                owned=owned,
                requests=dict(frame.requests),
                previous=previous,
            )
        )

    # -- methods ---------------------------------------------------------------------------------

    def request_control(self, session: str, user: str, mode: str, epoch: int, reason: str) -> str:
        """Ask for the control lease: ``granted``, or why not."""
        self.state, answer = request_control(
            self.parameters,
            self.state,
            session=session,
            user=user,
            mode=mode,
            epoch=epoch,
            reason=reason,
        )
        if self.state.lease.session == session:
            self._first_session = session
        return self._log(user, f"RequestControl {mode} epoch {epoch}", reason, answer)

    def operator_set(self, user: str, mv: str, value: float, reason: str) -> str:
        """Change a set point that the operator owns: ``done``, or why not."""
        self.state, answer = operator_set(self.parameters, self.state, mv, value, reason)
        return self._log(user, f"OperatorSet {mv} {value!r}", reason, answer)

    def set_local(self, user: str, mv: str, local: bool, reason: str) -> str:
        """Keep one set point from the controller, or give it back: ``done``, or why not."""
        self.state, answer = set_local(self.parameters, self.state, mv, local, reason)
        return self._log(user, f"SetLocal {mv} {local}", reason, answer)

    def line_command(self, user: str, command: str, reason: str) -> str:
        """Start, hold, restart, stop, abort, clear: ``done``, or why not."""
        self.state, answer = line_command(self.parameters, self.state, command, reason)
        return self._log(user, f"LineCommand {command}", reason, answer)

    def release_session(self, session: str) -> None:
        """The connection of ``session`` is gone: it owns nothing any more."""
        self.state = release_session(self.state, session)
        if self._first_session == session:
            self._first_session = ""

    def _log(self, user: str, what: str, reason: str, answer: str) -> str:
        self.events.append(
            Event(second=self.second, user=user, what=what, reason=reason, answer=answer)
        )
        return answer

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the whole state atomically into the run directory."""
        if self._run_dir is None:
            raise ValueError("a plant without a run directory cannot be saved")
        document = {
            "schema": _STATE_SCHEMA,
            "seed": self._seed,
            "line": self._digest,
            "start_time": self._start,
            "plc": to_document(self.state),
            "truth": self.truth.state(),
            "instruments": self._instruments.state(),
            "outlet": self.outlet.state(),
            "faults": self.faults.state(),
            "readings": readings_document(self._readings),
            "tally": self.tally.state(),
            "registers": {tag: list(item) for tag, item in self._registers.items()},
            "acts": [list(item) for item in self._acts],
        }
        partial = self._run_dir / f"{STATE_FILE}.tmp"
        partial.write_text(json.dumps(document), encoding="utf-8")
        os.replace(partial, self._run_dir / STATE_FILE)

    @classmethod
    def resume(
        cls,
        resolved: ResolvedLine,
        scenario: ScenarioConfig,
        *,
        run_dir: Path,
        minutes: float | None = None,
        recipe_id: str | None = None,
    ) -> Self:
        """Go on from the state saved in ``run_dir``, in LOCAL, diverting until good again.

        Raises ``ValueError`` if the saved plant is another line, ``FileNotFoundError`` if nothing
        was saved.
        """
        saved: dict[str, Any] = json.loads((run_dir / STATE_FILE).read_text(encoding="utf-8"))
        if (saved["schema"], saved["line"]) != (_STATE_SCHEMA, resolved.digest()):
            raise ValueError(f"{run_dir / STATE_FILE} was saved by another line or version")
        plant = cls(
            resolved,
            scenario,
            seed=saved["seed"],
            start_time=saved["start_time"],
            run_dir=run_dir,
            minutes=minutes,
            recipe_id=recipe_id,
        )
        plant.events.clear()
        plant.truth.restore(saved["truth"])
        plant._instruments.restore(saved["instruments"])
        plant.outlet.restore(saved["outlet"])
        plant.faults.restore(saved["faults"])
        plant._readings = readings_from_document(saved["readings"])
        plant.tally.restore(saved["tally"])
        plant._registers = {tag: (value, at) for tag, (value, at) in saved["registers"].items()}
        plant._acts.extend((int(hb), acts) for hb, acts in saved["acts"])
        plant.state = restarted(plant.parameters, from_document(saved["plc"]))
        return plant
